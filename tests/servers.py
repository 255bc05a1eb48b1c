"""A scripted HTTP server over raw sockets: it misbehaves as told, and notes what it was asked and what it sent.

It must not know medfetch. A response is a function of the request that yields steps; the first step is the head.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

BLOCK = 65536


@dataclass(slots=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """By lower-case name."""
    sent: int = 0
    """Bytes of body that were sent in answer."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A step that sends nothing for so many seconds, or until the client goes."""

    seconds: float


class Reset:
    """A step that ends the connection with a reset."""


class Keep:
    """A last step that leaves the connection open for the next request."""


Step = bytes | Pause | Reset | Keep
Script = Callable[[Asked], Iterable[Step]]


@dataclass(slots=True)
class Server:
    """Listens on 127.0.0.1 from ``with`` to its end; each path answers by its scripts in turn, the last for ever."""

    tls: ssl.SSLContext | None = None
    listening: bool = True
    """False: connections are refused until ``listen``."""
    port: int = 0
    """0 takes a free one."""
    asked: list[Asked] = field(default_factory=list)
    _scripts: dict[str, list[Script]] = field(default_factory=dict)
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)
    _socket: socket.socket = field(default_factory=socket.socket)

    def __enter__(self) -> Server:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.port))
        self.port = int(self._socket.getsockname()[1])
        if self.listening:
            self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Ends the server and all its connections, also from within an answer; a second time it does nothing."""
        self._ending.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http{'s' if self.tls else ''}://{host}:{self.port}{path}"

    def script(self, path: str, *responses: Script) -> str:
        """Sets what a path answers, and returns its address."""
        self._scripts[path] = list(responses)
        return self.url(path)

    def of(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    def sent(self, path: str) -> int:
        """Bytes of body that a path sent, all answers together."""
        return sum(asked.sent for asked in self.of(path))

    def listen(self) -> None:
        self._socket.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError):
            # A head and its body are two sends: the second must not wait for the client's word on the first.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._open.add(connection)
            while (asked := self._read(connection)) and self._answer(connection, asked):
                pass
        with self._lock:
            self._open.discard(connection)
        connection.close()

    def _read(self, connection: socket.socket) -> Asked | None:
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            block = connection.recv(BLOCK)
            if not block:
                return None
            text += block
        first, *lines = text.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Asked(method, path, query, headers)

    def _answer(self, connection: socket.socket, asked: Asked) -> bool:
        """Plays the next script of the path; whether the connection stays open."""
        with self._lock:
            scripts = self._scripts.get(asked.path, [reply("404 Not Found")])
            script = scripts[min(len(self.of(asked.path)), len(scripts) - 1)]
            self.asked.append(asked)
        for number, step in enumerate(script(asked)):
            if isinstance(step, bytes):
                connection.sendall(step)
                asked.sent += len(step) if number else 0
            elif isinstance(step, Pause):
                self._pause(connection, step.seconds)
            elif isinstance(step, Keep):
                return True
            else:
                # Lingering for no time at all makes close() send a reset.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
        connection.shutdown(socket.SHUT_WR)
        return False

    def _pause(self, connection: socket.socket, seconds: float) -> None:
        until = time.monotonic() + seconds
        connection.settimeout(0.05)
        while time.monotonic() < until and not self._ending.is_set():
            try:
                if not connection.recv(1):
                    break
            except TimeoutError:
                pass
        connection.settimeout(None)


# -- answers ------------------------------------------------------------------------------------------------------


def head(status: str, *headers: str, version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join([f"{version} {status}", *headers, "", ""]).encode("latin-1")


def raw(*steps: Step) -> Script:
    """Exactly these steps."""
    return lambda asked: steps


def reply(status: str, body: bytes = b"", *headers: str) -> Script:
    """A proper answer."""
    return raw(head(status, f"Content-Length: {len(body)}", "Connection: close", *headers), body)


def redirect(location: str, status: str = "302 Found") -> Script:
    return reply(status, b"moved", f"Location: {location}")


def until_closed(body: bytes, *headers: str, version: str = "HTTP/1.0") -> Script:
    """Without a length: the end of the connection is the end of the body."""
    return raw(head("200 OK", *headers, version=version), body)


def chunked(body: bytes, *headers: str, end: bool = True, status: str = "200 OK") -> Script:
    """In chunks; ``end=False`` leaves out the last one."""
    chunks = (b"%x\r\n%b\r\n" % (len(part), part) for part in _blocks(body))
    return raw(
        head(status, "Transfer-Encoding: chunked", "Connection: close", *headers),
        b"".join(chunks) + (b"0\r\n\r\n" if end else b""),
    )


def serve(
    body: bytes, *headers: str, etag: str = "", modified: str = "", ranges: bool = True, if_range: bool = True,
    keep: bool = False,
) -> Script:  # fmt: skip
    """A server without fault (RFC 9110, sections 13 and 14), as far as it is not told to ignore something."""

    def script(asked: Asked) -> Iterator[Step]:
        validators = [f"ETag: {etag}"] * bool(etag) + [f"Last-Modified: {modified}"] * bool(modified)
        common = [*validators, *headers, "Connection: " + ("keep-alive" if keep else "close")]
        span = _span(asked, len(body)) if ranges else None
        condition = asked.headers.get("if-range")
        if if_range and condition is not None and condition not in (etag, modified):
            span = None
        if span is not None and not span:
            yield head("416 Range Not Satisfiable", f"Content-Range: bytes */{len(body)}", "Content-Length: 0", *common)
        elif span is not None:
            told = f"Content-Range: bytes {span[0]}-{span[-1]}/{len(body)}"
            yield head("206 Partial Content", told, f"Content-Length: {len(span)}", *common)
            yield from _blocks(body[span.start : span.stop])
        else:
            yield head("200 OK", f"Content-Length: {len(body)}", *common)
            yield from _blocks(body)
        if keep:
            yield Keep()

    return script


def _span(asked: Asked, size: int) -> range | None:
    """The bytes of ``bytes=first-`` or ``bytes=first-last``, none beyond the end; None where all are asked for."""
    unit, _, span = asked.headers.get("range", "").partition("=")
    first, _, last = span.partition("-")
    if unit != "bytes" or not first.isdecimal():
        return None
    return range(int(first), min(size, int(last) + 1) if last.isdecimal() else size)


def _blocks(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), BLOCK):
        yield body[at : at + BLOCK]


def cut(script: Script, after: int, *then: Step) -> Script:
    """The same head, but the body ends after so many bytes, orderly unless ``then`` says otherwise."""

    def short(asked: Asked) -> Iterator[Step]:
        steps = iter(script(asked))
        yield next(steps)
        left = after
        for step in steps:
            if isinstance(step, bytes) and left:
                yield step[:left]
                left -= len(step[:left])
        yield from then

    return short


def endless(status: str, *headers: str, block: bytes = b"\xa5" * BLOCK) -> Script:
    """A body that ends when the client goes."""

    def script(asked: Asked) -> Iterator[Step]:
        yield head(status, *headers)
        while True:
            yield block

    return script


def wait_until(met: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if met():
            return
        pause.wait(0.01)
    raise AssertionError("not within half a minute")
