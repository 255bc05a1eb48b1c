"""A file under an address, or in pieces under several, that is read here and there as though it were on this disk.

It must not know what is in it, nor sources or the cache.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from medfetch import ranges
from medfetch.config import Settings
from medfetch.errors import MedfetchError, Refused, Retryable, Unreachable
from medfetch.hosts import host_of
from medfetch.net.excerpts import check, no_part
from medfetch.net.ftp import is_ftp
from medfetch.net.http import Answer
from medfetch.net.layers import Getter, refusal, retried
from medfetch.swarm import is_magnet
from medfetch.types import Excerpt, RemoteFile, Request
from medfetch.unpack.pieces import Patch, Whole

AT_ONCE = 8 << 20
"""Bytes that are asked for at once, at the most."""
MOST_HELD = 1 << 30
"""Bytes that are held in memory."""
LINK_OVER = (400, 401, 403)
"""What storage answers to a link whose time is over."""


@dataclass(frozen=True, slots=True)
class Way:
    """How bytes of a route are asked for."""

    getter: Getter
    settings: Settings
    ranges: bool
    stop: threading.Event
    said: Callable[[str], None]


class Piece:
    """A file under an address: its size and version, and bytes of it."""

    def __init__(self, file: RemoteFile, way: Way, tail: int) -> None:
        """``tail``: so many bytes of the end are wanted at once."""
        self.file, self.way, self._tail = file, way, tail
        self._urls = tuple(url for url in file.urls if not is_ftp(url) and not is_magnet(url))
        self.size, self.version, self.tail = 0, None, b""  # type: int, str | None, bytes
        failure: MedfetchError = Refused(no_part("its host", file.path, file.size))
        # FTP has no ranges that end, and a swarm is asked for whole files.
        for url in self._urls:
            try:
                self._look(url)
                return
            except (Refused, Retryable, Unreachable) as error:
                failure = error
        raise failure

    def _look(self, url: str) -> None:
        """Asks for the end, or for a byte where it is not known how many there are."""
        self.file = replace(self.file, urls=(url, *(other for other in self._urls if other != url)))
        self.version, size = None, self.file.size
        if size is None:
            answer = self._ask(0, 0, None)
            self.version, size = answer.version, answer.total
        if size is None:
            raise Refused(f"{host_of(url)} does not tell how large {self.file.path} is")
        self.size = size
        answer = self._ask(max(0, size - self._tail), size - 1, size)
        self.version, self.tail = answer.version, bytes(answer.content)

    def read(self, first: int, last: int) -> bytes:
        """Bytes, both ends included; perhaps fewer at the end."""
        return bytes(self._ask(first, min(last, first + AT_ONCE - 1), self.size).content)

    def part(self, first: int, end: int) -> RemoteFile:
        etag = self.version if self.version and self.version.startswith('"') else None
        return replace(
            self.file, key=f"{self.file.key}:{first}+{end - first}", size=end - first, checksums=(), etag=etag,
            unpack=None, excerpt=Excerpt(first, self.size, self.version),
        )  # fmt: skip

    def _ask(self, first: int, last: int, of: int | None) -> _Received:
        way, url = self.way, self.file.urls[0]
        if way.settings.offline:
            raise Unreachable(f"{host_of(url)} would have to be asked", hint="leave out --offline")
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={first}-{last}"}
        if self.version:
            headers["If-Range"] = self.version
        request = Request(url, headers, self.file.credential)

        def attempt() -> _Received:
            received = _Received(self.file.path, first, of, self.version)
            answer = way.getter.get(request, received)
            if answer.status in LINK_OVER and (answer.redirected or answer.url != url):
                # Another link is asked for then.
                received = _Received(self.file.path, first, of, self.version)
                answer = way.getter.get(request, received)
            received.complete(answer)
            return received

        try:
            return retried(
                attempt, tries=way.settings.tries, backoff=way.settings.backoff, stop=way.stop, said=way.said
            )
        except Retryable as error:
            if error.reached:
                raise
            raise Unreachable(error.message) from error


class _Received:
    """One answer, held in memory; the receiver of its bytes."""

    def __init__(self, path: str, first: int, of: int | None, version: str | None) -> None:
        self.path, self.first, self.of, self.version = path, first, of, version
        self.content = bytearray()
        self.last: int | None = None
        self.total: int | None = None

    def begin(self, answer: Answer) -> None:
        if answer.status in (200, 206, 416):
            self.last = check(answer, self.path, self.first, self.of, self.version)
            self.total = ranges.content_range(answer.headers)[2]
            self.version = self.version or ranges.validator(answer.headers)

    def data(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self.content += block
        if self.last is not None and len(self.content) > self.last - self.first + 1:
            raise Refused(f"more of {self.path} came than was said")

    def complete(self, answer: Answer) -> None:
        """Raises: Refused, Retryable unless all came."""
        if self.last is None:
            raise refusal(answer.status, answer.headers, answer.url, self.content[:2000].decode("utf-8", "replace"))
        if len(self.content) < self.last - self.first + 1:
            raise Retryable(f"{host_of(answer.url)} sent {len(self.content)} of {self.last - self.first + 1} bytes")


class Remote(Whole):
    """All pieces as one file that is read by range; what was read once is held."""

    def __init__(self, pieces: Sequence[Piece], starts: Sequence[int], held: dict[int, bytes], patch: Patch) -> None:
        super().__init__(starts[-1], patch)
        self._pieces, self._starts, self._held = pieces, starts, held
        held[starts[-1] - len(pieces[-1].tail)] = pieces[-1].tail

    def read_at(self, position: int, buffer: Any) -> int:
        for start, data in self._held.items():
            if start <= position < start + len(data):
                count = min(len(buffer), start + len(data) - position)
                buffer[:count] = data[position - start : position - start + count]
                return count
        if sum(map(len, self._held.values())) > MOST_HELD:
            raise ValueError(f"more than {MOST_HELD:,} bytes of it would have to be read")
        number = bisect_right(self._starts, position) - 1
        until = min([start for start in self._held if start > position], default=self.size)
        last = min(position + len(buffer), until, self._starts[number + 1]) - 1 - self._starts[number]
        self._held[position] = self._pieces[number].read(position - self._starts[number], last)
        return self.read_at(position, buffer)
