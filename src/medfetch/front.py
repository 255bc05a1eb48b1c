"""The digest of a file that is filled in several places at once: it follows the front, up to which all bytes are here.

Bytes that arrive at the front are hashed from memory, by whoever received them. The others are read once, from the
page cache, by a thread that does nothing else, so that no connection waits for it. It must not know hosts or requests.
"""

from __future__ import annotations

import os
import threading

from medfetch.cache import disk_errors
from medfetch.checksum import Hasher
from medfetch.partial import Partial
from medfetch.pieces import PIECE, Pieces
from medfetch.span import Changed

BLOCK = 256 << 10
"""Bytes that are read at once; they fit a core's second-level cache."""


class Front:
    """Hashes what ``pieces`` says is here of a partial that is open as ``descriptor``; for many threads.

    ``hasher`` may be replaced as long as nothing is hashed: before the first call of ``wrote`` or ``follow``.
    """

    def __init__(self, partial: Partial, pieces: Pieces, descriptor: int, stop: threading.Event) -> None:
        self.hasher = Hasher(partial.file.checksums)
        self._partial, self._pieces, self._descriptor, self._stop = partial, pieces, descriptor, stop
        self._hashing = threading.Lock()
        self._news = threading.Event()
        self._over = False
        self._error: Exception | None = None
        self._follower = threading.Thread(target=self._follow, name="front", daemon=True)
        self._follower.start()

    def wrote(self, offset: int, blocks: list[bytes], count: int) -> None:
        """Takes in ``blocks``, of ``count`` bytes together, which were written there, where that is the front.

        Raises: what went wrong in the thread that follows.
        """
        if self._error:
            raise self._error
        if self._hashing.acquire(blocking=False):
            try:
                if self.hasher.length == offset:
                    self.hasher.update(blocks, count)
                    return
            finally:
                self._hashing.release()
        if self._behind() > 0:
            self.follow()

    def follow(self) -> None:
        """Has the thread hash what is here behind the front; nobody waits for it."""
        self._news.set()

    def end(self) -> None:
        """The thread has ended after this."""
        self._over = True
        self._news.set()
        self._follower.join()

    def catch_up(self) -> None:
        """Hashes all that is here behind the front.

        Raises: Changed where the file was cut from outside; CacheError, InterruptedError.
        """
        buffer = memoryview(bytearray(BLOCK))
        with self._hashing:
            while not self._over and (here := min(BLOCK, self._behind())) > 0:
                if self._stop.is_set():
                    raise InterruptedError
                with disk_errors(self._partial.path):
                    count = os.preadv(self._descriptor, [buffer[:here]], self.hasher.length)
                if not count:
                    raise Changed(f"the partial of {self._partial.file.path} was cut from outside")
                self.hasher.update((buffer[:count],), count)

    def _behind(self) -> int:
        """Bytes of the piece at the front that are here and not hashed yet."""
        front = self.hasher.length
        return self._pieces.reached(front // PIECE) - front if front < self._pieces.size else 0

    def _follow(self) -> None:
        while not self._over:
            self._news.wait()
            self._news.clear()
            try:
                self.catch_up()
            except Exception as error:
                self._error = error
                return
