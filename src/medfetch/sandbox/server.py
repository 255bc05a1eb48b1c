"""The HTTP/1.1 server on loopback: reads requests, writes answers, does to the wire what faults and rates ask for.

It must not know what is served: that is ``Hosts.answer``.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Protocol

from medfetch.sandbox.content import PERIOD, Content
from medfetch.sandbox.faults import Fault, Faults, replaced, retouched
from medfetch.sandbox.messages import Answer, Request, conditional
from medfetch.sandbox.record import Entry, Record

PIECE = 256 << 10
"""Bytes handed to a socket at once."""
LONGEST_LINE = 64 << 10


class Hosts(Protocol):
    def answer(self, request: Request) -> Answer:
        """What a well-behaved host answers."""

    def control(self, request: Request) -> Answer | None:
        """The answer to a request about the sandbox itself, None for all others."""


class Server(socketserver.ThreadingTCPServer):
    """``rate`` is in bytes a second for each connection, ``latency`` in seconds before each answer."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, port: int, hosts: Hosts, faults: Faults, rate: int | None, latency: float) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.hosts = hosts
        self.faults = faults
        self.rate = rate
        self.latency = latency
        self.record = Record()
        self.stopping = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stop(self) -> None:
        """Ends all connections, as a host does that is switched off."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for connection in self.record.connections():
            _end(connection)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        if self.faults.refused():
            self.record.refused()
            _reset(request)
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not self.stopping.is_set():
            super().handle_error(request, client_address)


class Connection(socketserver.StreamRequestHandler):
    server: Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.server.record.opened(self.connection)
        with suppress(OSError):  # the client went away
            while (request := self._read()) and self._respond(request):
                pass

    def finish(self) -> None:
        self.server.record.closed(self.connection)
        super().finish()

    def _read(self) -> Request | None:
        line = self.rfile.readline(LONGEST_LINE).decode("latin-1").split()
        if len(line) != 3:
            return None
        headers: list[tuple[str, str]] = []
        while (field_line := self.rfile.readline(LONGEST_LINE).decode("latin-1").rstrip("\r\n")) and len(headers) < 200:
            name, _, value = field_line.partition(":")
            headers.append((name, value.strip()))
        request = Request(line[0], line[1], tuple(headers), version=line[2])
        length = int(request.header("content-length") or 0)
        if length and request.header("expect"):
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return replace(request, body=self.rfile.read(length))

    def _respond(self, request: Request) -> bool:
        """Answers; False if the connection is over."""
        control = self.server.hosts.control(request)
        if control is not None:
            self.connection.sendall(_head(control, control.length) + control.content.whole())
            return True
        fault = self.server.faults.take(request.method, request.target)
        entry = self.server.record.began(request)
        try:
            return self._answer(request, fault, entry)
        finally:
            self.server.record.ended()

    def _answer(self, request: Request, fault: Fault, entry: Entry) -> bool:
        if fault.stall or self.server.latency:
            self.server.stopping.wait(fault.stall + self.server.latency)
        answer = replaced(fault, request, self.server.hosts.answer(request))
        if answer.is_object and request.method == "GET":
            asked = request.header("range") if fault.asked is None else fault.asked
            answer = conditional(request, answer, asked)
        answer = retouched(fault, answer)
        plain = fault.http10 or request.version == "HTTP/1.0"
        length = None if fault.chunked or fault.endless or "content-length" in fault.drop else answer.length
        chunked = length is None and not plain and "content-length" not in fault.drop
        closes = plain or (length is None and not chunked) or (request.header("connection") or "").lower() == "close"
        # A slowed answer leaves the socket with small buffers, which would slow the next one too.
        closes = closes or fault.rate is not None
        entry.status, entry.answered = answer.status, dict(answer.headers)
        head = _head(answer, length, chunked, plain, closes)
        if request.method == "HEAD" or answer.status in (204, 304):
            self.connection.sendall(head)
            return not closes
        whole = self._send(head, answer, chunked, fault, entry)
        return whole and not closes

    def _send(self, head: bytes, answer: Answer, chunked: bool, fault: Fault, entry: Entry) -> bool:
        """Writes head and body; False if the connection was cut."""
        is_data = answer.is_object or answer.stream is not None
        rate = fault.rate or self.server.rate
        began, done = time.monotonic(), 0
        pause_at = _pause_at(fault, answer)
        step = max(1, min(PIECE, rate // 50)) if rate else PIECE
        if rate:
            # Little is on its way at any time, so that a killed client has lost little.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, step)
        for piece in _stepped(_body(answer, fault), step, (pause_at, fault.cut)):
            if fault.cut is not None and done >= fault.cut:
                break
            if done == pause_at:
                self.connection.sendall(head)
                head = b""
                self.server.stopping.wait(fault.pause)
            # Small pieces go out with the head; large ones are not worth a copy.
            framed = b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if chunked else piece
            if len(framed) < PIECE // 4:
                self.connection.sendall(b"".join((head, framed)))
            else:
                self.connection.sendall(head)
                self.connection.sendall(framed)
            head = b""
            done += len(piece)
            self.server.record.sent(entry, len(piece), is_data)
            if rate:
                self.server.stopping.wait(max(0.0, began + done / rate - time.monotonic()))
            if self.server.stopping.is_set():
                return False
        self.connection.sendall(head)
        if fault.cut is not None:
            self._cut(fault)
            return False
        if chunked:
            self.connection.sendall(b"0\r\n\r\n")
        return True

    def _cut(self, fault: Fault) -> None:
        if fault.reset:
            # A reset throws away what the client has not been handed yet; a moment lets it arrive.
            self.server.stopping.wait(0.05)
            _reset(self.connection)
        else:
            _end(self.connection)


def _head(
    answer: Answer, length: int | None, chunked: bool = False, plain: bool = False, closes: bool = False
) -> bytes:
    reason = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else "Unknown"
    lines = [f"HTTP/1.{0 if plain else 1} {answer.status} {reason}", "Server: medfetch-sandbox"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if length is not None and answer.status not in (204, 304):
        lines.append(f"Content-Length: {length}")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    if closes:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _body(answer: Answer, fault: Fault) -> Iterator[bytes | memoryview]:
    yield from answer.pieces()
    yield from Content.noise(fault.overrun, "overrun").read(0, fault.overrun)
    while fault.endless:
        yield from Content.noise(PERIOD, "endless").read(0, PERIOD)


def _pause_at(fault: Fault, answer: Answer) -> int | None:
    if not fault.pause:
        return None
    if fault.pause_at is not None:
        return fault.pause_at
    return 64 << 10 if answer.length is None else answer.length // 2


def _stepped(
    pieces: Iterator[bytes | memoryview], step: int, marks: tuple[int | None, ...]
) -> Iterator[bytes | memoryview]:
    """The same bytes in pieces of at most ``step``, with a boundary at each mark."""
    borders = sorted(mark for mark in marks if mark)
    done = 0
    for piece in pieces:
        view = memoryview(piece)
        while view:
            while borders and borders[0] <= done:
                borders.pop(0)
            size = min(step, borders[0] - done) if borders else step
            yield view[:size]
            done += len(view[:size])
            view = view[size:]


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
