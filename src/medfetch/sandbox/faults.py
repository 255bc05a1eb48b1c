"""Misbehaviour on request: which requests it hits, how often, and what it does to the answer.

It must not know what is served; what happens on the wire itself (cuts, stalls, rates) is done by ``server``.
"""

from __future__ import annotations

import gzip
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import md5

from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request

CHANGED = "Mon, 02 Jan 2023 00:00:00 GMT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong. The first block says when, every other line is one effect; effects can be combined.

    As JSON (``POST /__faults``) it is an object with these names.
    """

    match: str = ""
    """Regular expression, searched in path and query as sent."""
    method: str = "GET"
    """Only this method; empty for all."""
    times: int | None = 1
    """So many matching requests; None: all."""
    after: int = 0
    """Lets so many matching requests pass first."""
    chance: float = 1.0
    """Share of the matching requests that it hits, drawn with ``seed``."""
    seed: int = 0

    # Before any answer
    refuse: bool = False
    """Resets connections as they are opened; ``match`` and ``method`` play no part."""
    stall: float = 0.0
    """Seconds of silence before the head."""

    # Another answer
    status: int | None = None
    body: str | None = None
    """Replaces the body, as text; a status of 300 or more without it has an empty body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added, or put in place of those with the same name."""
    redirect: str | None = None
    """302 to this address; ``{target}`` in it stands for path and query."""
    moved: str | None = None
    """301 likewise: for good."""
    challenge: bool = False
    """202 without a body: Amazon's firewall wants to see a browser."""

    # Another object
    changed: bool = False
    """Every byte differs, and so do ETag and Last-Modified: it was replaced at the host."""
    corrupt: int | None = None
    """The byte at this offset of the whole object is flipped; the validators stay."""
    rotate: int = 0
    """The whole object starts so many bytes later and ends with its beginning: right ranges, wrong bytes."""
    extra: int = 0
    """So many bytes longer."""
    etag: str | None = None
    """Another ETag, with quotes."""
    weak: bool = False
    """The ETag as a weak one."""
    gzip: bool = False
    """``Content-Encoding: gzip``, whatever was asked."""

    # Ranges
    asked: str | None = None
    """As though this Range had been asked: "" ignores it, "bytes=0-" starts again, with a 206, at the beginning."""
    content_range: str | None = None
    """This text as Content-Range; the bytes stay right."""

    # The head
    drop: tuple[str, ...] = ()
    """Headers left out. Without Content-Length, the end of the connection ends the body."""
    chunked: bool = False
    """Chunked encoding in place of a length."""
    http10: bool = False
    """HTTP/1.0: no keep-alive, no chunks."""

    # On the wire
    cut: int | None = None
    """Ends the connection after so many bytes of the body."""
    reset: bool = False
    """… by a reset instead of an orderly close."""
    pause: float = 0.0
    """Seconds of silence within the body."""
    pause_at: int | None = None
    """… after so many bytes of it; else in its middle, or at 64 KiB where the length is not known."""
    rate: int | None = None
    """Bytes a second."""
    overrun: int = 0
    """So many bytes after the announced end."""
    endless: bool = False
    """The body never ends, and no length is announced."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match: {error}") from error
        object.__setattr__(self, "drop", tuple(name.lower() for name in self.drop))

    @property
    def rewrites(self) -> bool:
        """Whether the bytes of the object itself are others."""
        return self.changed or self.corrupt is not None or bool(self.rotate or self.extra) or self.gzip


NONE = Fault()


class Faults:
    """The faults that still lie ahead; several threads may take from them."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._pending += [_Pending(fault) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()

    def take(self, method: str, target: str) -> Fault:
        """What befalls a request: the first fault that fits, or ``NONE``."""
        return self._take(
            lambda fault: not fault.refuse and fault.method in ("", method) and bool(re.search(fault.match, target))
        )

    def refused(self) -> bool:
        """Whether a new connection is reset."""
        return self._take(lambda fault: fault.refuse) is not NONE

    def _take(self, fits: Callable[[Fault], bool]) -> Fault:
        with self._lock:
            for pending in self._pending:
                if fits(pending.fault) and pending.due():
                    return pending.fault
        return NONE


class _Pending:
    """A fault, and how often its moment came."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = self._hits = 0
        self._random = random.Random(fault.seed)

    def due(self) -> bool:
        """Notes one matching request, and says whether it is hit."""
        if self.fault.times is not None and self._hits >= self.fault.times:
            return False
        self._seen += 1
        if self._seen <= self.fault.after or self._random.random() >= self.fault.chance:
            return False
        self._hits += 1
        return True


def replaced(fault: Fault, request: Request, answer: Answer) -> Answer:
    """Another answer, or another object, before ranges are looked at."""
    if fault.redirect is not None:
        return Answer(302, {"Location": fault.redirect.replace("{target}", request.target)})
    if fault.moved is not None:
        return Answer(301, {"Location": fault.moved.replace("{target}", request.target)})
    if fault.challenge:
        return Answer(202, {"x-amzn-waf-action": "challenge", **fault.headers})
    if fault.body is not None or (fault.status or 0) >= 300:
        content = Content.of((fault.body or "").encode())
        return Answer(fault.status or 200, {"Content-Type": "text/plain", **fault.headers}, content)
    if fault.rewrites:
        answer = _rewritten(fault, answer)
    headers = dict(answer.headers)
    if fault.etag is not None:
        headers["ETag"] = fault.etag
    if fault.weak and "ETag" in headers:
        headers["ETag"] = "W/" + headers["ETag"]
    return replace(answer, headers=headers)


def retouched(fault: Fault, answer: Answer) -> Answer:
    """Another head, once the range is known."""
    headers = {**answer.headers, **fault.headers}
    if fault.content_range is not None:
        headers["Content-Range"] = fault.content_range
    headers = {name: value for name, value in headers.items() if name.lower() not in fault.drop}
    return replace(answer, headers=headers, status=fault.status or answer.status)


def _rewritten(fault: Fault, answer: Answer) -> Answer:
    data = bytearray().join(answer.pieces())
    headers = dict(answer.headers)
    if fault.changed:
        data = bytearray(data.translate(bytes(byte ^ 0x55 for byte in range(256))))
        if "ETag" in headers:
            headers |= {"ETag": f'"{md5(data, usedforsecurity=False).hexdigest()}"', "Last-Modified": CHANGED}
    if fault.corrupt is not None and data:
        data[fault.corrupt % len(data)] ^= 0xFF
    if fault.rotate:  # large objects are not worth a copy
        data = data[fault.rotate :] + data[: fault.rotate]
    data += Content.noise(fault.extra, "extra").whole()
    if fault.gzip:
        data = bytearray(gzip.compress(data, 1))
        headers["Content-Encoding"] = "gzip"
    # A body that was streamed without a length still is: one piece, then the end.
    stream = iter([bytes(data)]) if answer.stream else None
    return replace(answer, headers=headers, content=Content.of(bytes(data)), stream=stream)
