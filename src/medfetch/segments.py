"""One large file from one address in several ranges at once. It must not know sources, plans or SQL.

Threads take pieces in order, each as many as it gets along with; whoever helps may come and go. All ranges are of one
version (``If-Range``). The digest follows the front: bytes that arrive there are hashed from memory, others are read
once, from the page cache, by whichever thread has just finished a range.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from medfetch.checksum import Hasher
from medfetch.errors import MedfetchError
from medfetch.net.http import Answer
from medfetch.net.layers import Getter
from medfetch.partial import HEAD, LOOK_AT_DISK, Partial, write_all
from medfetch.pieces import PIECE, Pieces
from medfetch.span import Changed, NoData, NoRanges, Span
from medfetch.storage import disk_errors
from medfetch.types import Checksum, RemoteFile

if TYPE_CHECKING:
    from medfetch.transfer.download import Terms

SEGMENTS_FROM = 64 << 20
"""Bytes from which a file is fetched in several ranges."""
FIRST_PIECES, MOST_PIECES, SPAN = 4, 32, 1.0
"""Pieces of the first request, and of one at the most, and seconds that it should take: more than one, because each
request costs a round trip; no more, because who comes later can take nothing of it over."""
AGAIN = 256 << 10
"""Bytes that are read again at once; they fit a core's second-level cache."""
HELP_AGAIN = 5.0
"""Seconds after a range failed before further threads are asked to help."""


class Segments:
    """A file that several threads fill: one that leads, others that help and may come and go."""

    def __init__(
        self, file: RemoteFile, size: int, url: str, validator: str | None, partial: Partial, getter: Getter,
        terms: Terms, refusal: Callable[[Answer, bytes], MedfetchError],
    ) -> None:  # fmt: skip
        """``validator``: the version that a listing told, if any; ``refusal``: the error for an answer without data."""
        self.file, self.url, self.partial, self.getter = file, url, partial, getter
        self.listed, self.validator = validator, None  # type: str | None, str | None
        self.terms, self.refusal = terms, refusal
        self.provable = bool(file.checksums)
        self.pieces = Pieces(partial.pieces, size)
        self.hasher = Hasher(file.checksums)
        self.descriptor = -1
        self.identified = False
        """Whether the host has said which version it sends, so that others may ask for the same."""
        self._changed = threading.Condition()
        self._hashing = threading.Lock()
        self._open: list[int] = []
        self._at_work = 0
        self._most = FIRST_PIECES
        """Pieces that a connection gets in ``SPAN`` seconds, as far as is known."""
        self._fatal: Exception | None = None
        self._quiet_until = 0.0

    # -- the one that leads --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Goes on from what is there.

        Raises: DiskFull.
        """
        path, size = self.partial.path, self.pieces.size
        length = path.stat().st_size if path.exists() else 0
        if length:
            self._take_up(length)
        self.terms.received(self.pieces.total)
        with disk_errors(path):
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            if length > size:
                os.ftruncate(self.descriptor, size)
            if self.pieces.total:
                os.fsync(self.descriptor)
        self.pieces.begin(self.url, self.validator)
        self._open = list(self.pieces.missing())
        self.terms.room.take(size - self.pieces.total, self.file.path)

    def _take_up(self, length: int) -> None:
        """Goes on from what a former attempt left, in several places or from one end."""
        if self.pieces.path.exists():
            # If this is broken the partial is full of holes that nobody knows: then nothing of it is good.
            self.pieces.load(length)
            url, validator = self.pieces.url, self.pieces.validator
        else:
            self.pieces.fill(length)
            url, validator = self.partial.noted() or (self.url, self.listed)
        if url == self.url and validator:
            self.validator = validator if self.pieces.total else None
        elif not self.provable:
            self.pieces = Pieces(self.pieces.path, self.pieces.size)

    def lead(self) -> None:
        """Fetches pieces until all are there and hashed.

        Raises: NoRanges; Retryable, Refused: for this thread's own request, while others may go on; DiskFull,
            InterruptedError.
        """
        while True:
            self._check()
            if pieces := self._take():
                try:
                    self._fetch(pieces)
                except NoData as error:
                    raise self.refusal(error.answer, error.text) from None
            else:
                with self._changed:
                    if not self._at_work and not self._open:
                        break
                    self._changed.wait(0.25)
                if self.terms.stop.is_set():
                    raise InterruptedError
        self._check()
        self._leave_to_partial()

    def _leave_to_partial(self) -> None:
        """Hashes what is whole from the beginning on; the partial has that then."""
        self._catch_up()
        with disk_errors(self.partial.path):
            self.partial.head = os.pread(self.descriptor, HEAD, 0)
        self.partial.hasher = self.hasher

    def end(self) -> None:
        """Nobody writes any more after this."""
        self._halt()
        self.pieces.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _halt(self) -> None:
        with self._changed:
            self._fatal = self._fatal or InterruptedError()
            while self._at_work:
                self._changed.wait()

    def keep_front(self) -> None:
        """Ends, leaves to the partial what is whole from the beginning on, and forgets the rest."""
        self._halt()
        self._leave_to_partial()
        with disk_errors(self.partial.path):
            os.ftruncate(self.descriptor, self.hasher.length)
        self.partial.note(self.url, self.validator)
        self.end()
        self.pieces.remove()
        self.terms.received(self.hasher.length - self.pieces.total)

    def leave(self) -> None:
        """Ends; what is here stays for another attempt."""
        if self.pieces.total:
            self.end()
            self.terms.received(-self.pieces.total)
        else:
            self.drop()

    def drop(self) -> None:
        """Ends, and forgets all."""
        self.end()
        self.terms.received(-self.pieces.total)
        self.partial.drop()

    def _check(self) -> None:
        if self._fatal:
            raise self._fatal

    # -- those that help -----------------------------------------------------------------------------------------

    def help(self) -> bool:
        """Fetches pieces while nobody needs this thread elsewhere; True if none is left, or the host resists."""
        while not self._fatal and not self.terms.crowded():
            if not (pieces := self._take()):
                return True
            try:
                self._fetch(pieces)
            except (NoData, MedfetchError, InterruptedError):
                # The one that leads will meet it too, unless it was one connection too many.
                self._quiet_until = time.monotonic() + HELP_AGAIN
                return True
            except Exception as error:
                self._fatal = self._fatal or error
                return True
        return bool(self._fatal)

    # -- ranges --------------------------------------------------------------------------------------------------

    def _take(self) -> range:
        """The next pieces in order that nobody has; empty if there are none."""
        with self._changed:
            if not self._open or self._fatal:
                return range(0)
            share = len(self._open) // (2 * (self._at_work + 1))
            first = heappop(self._open)
            last = first
            while last - first + 1 < min(self._most, share) and self._open and self._open[0] == last + 1:
                if self.pieces.got[last + 1]:
                    break
                last = heappop(self._open)
            self._at_work += 1
        return range(first, last + 1)

    def _fetch(self, pieces: range) -> None:
        span, began = Span(self, pieces), time.monotonic()
        try:
            span.complete(self.getter.get(span.request(), span))
            each = (time.monotonic() - began) / len(pieces)
            self._most = max(1, min(MOST_PIECES, int(SPAN / each)))
            self._catch_up()
        finally:
            with self._changed:
                for number in pieces:
                    if self.pieces.got[number] < self.pieces.length(number):
                        heappush(self._open, number)
                self._at_work -= 1
                self._changed.notify_all()
        self._ask_for_help()

    def identify(self, version: str | None, told: Checksum | None) -> None:
        """Notes version and checksum of what the first answer is of, and asks others to help.

        Raises: NoRanges where it is not known.
        """
        if self.identified:
            return
        if version is None and not self.provable:
            raise NoRanges
        if version != self.validator:
            self.validator = version
            self.pieces.begin(self.url, version)
        if told and not self.file.checksums:
            # Nothing is hashed before the first answer.
            self.hasher = Hasher((told,))
        self.identified = True
        self._ask_for_help()

    def _ask_for_help(self) -> None:
        if self._open and time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + HELP_AGAIN
            self.terms.help(self.help)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def write(self, offset: int, blocks: list[bytes], count: int) -> None:
        """Writes ``blocks``, of ``count`` bytes together, where they belong."""
        self._check()
        if (offset + count) // LOOK_AT_DISK != offset // LOOK_AT_DISK:
            self.terms.room.take(0, self.file.path)
        with disk_errors(self.partial.path):
            write_all(self.descriptor, blocks, count, offset)
        self.pieces.add(offset, count)
        self.pieces.sync(self.partial.path)
        if self._hashing.acquire(blocking=False):
            try:
                if self.hasher.length == offset:
                    self.hasher.update(blocks, count)
            finally:
                self._hashing.release()
        self.terms.received(count)

    def _catch_up(self) -> None:
        """Hashes what is whole behind the front, unless another thread does.

        Raises: InterruptedError; Changed where the file was cut from outside.
        """
        if not self._hashing.acquire(blocking=False):
            return
        buffer = memoryview(bytearray(AGAIN))
        try:
            while (front := self.hasher.length) < self.pieces.size:
                here = self.pieces.reached(front // PIECE) - front
                if here <= 0:
                    return
                if self.terms.stop.is_set():
                    raise InterruptedError
                with disk_errors(self.partial.path):
                    count = os.preadv(self.descriptor, [buffer[:here]], front)
                if not count:
                    raise Changed(f"the partial of {self.file.path} was cut from outside")
                self.hasher.update((buffer[:count],), count)
        finally:
            self._hashing.release()
