"""One rate for the bytes of several processes together. It must not know whose bytes they are, nor who else takes.

A token bucket turned round: a file that the processes share holds the moment at which all that was taken so far has
been paid for. The clock is ``time.monotonic``, which Linux and macOS count for the whole machine, not for a process.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import threading
import time
from typing import IO

PORTION = 0.02
"""Seconds' worth of bytes that a process takes at a time, so that the file costs nothing at high rates."""
SAVED = 0.25
"""Seconds' worth, at the most, that is made up for after a silence."""
SHORTEST = 0.005
"""Seconds below which it is not worth while to wait: they add up until it is."""
MOMENT = struct.Struct("d")


def shared_file() -> IO[bytes]:
    """A file without a name; processes that are handed its descriptor keep one rate together."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 whoever asked for it closes it
    os.pwrite(file.fileno(), MOMENT.pack(time.monotonic()), 0)
    return file


class Pace:
    """Keeps all who share a file under ``rate`` bytes per second; None: no limit."""

    def __init__(self, rate: int | None, stop: threading.Event, descriptor: int | None = None) -> None:
        """Without a descriptor of a ``shared_file`` the rate is kept by this object alone."""
        self._rate, self._stop = rate, stop
        self._own = shared_file() if rate and descriptor is None else None
        self._descriptor = self._own.fileno() if self._own else descriptor
        self._lock = threading.Lock()
        self._left = 0
        self._until = 0.0
        """When the portion taken last has been paid for."""

    def take(self, count: int) -> None:
        """Waits, though not after a stop, until ``count`` more bytes are within the rate."""
        if not self._rate:
            return
        with self._lock:
            if count > self._left:
                missing = count - self._left
                portion = max(missing, round(self._rate * PORTION))
                self._until = self._taken(portion / self._rate)
                self._left += portion
            self._left -= count
            wait = self._until - self._left / self._rate - time.monotonic()
        if wait > SHORTEST:
            self._stop.wait(wait)

    def _taken(self, seconds: float) -> float:
        """Takes so many seconds' worth from what is shared; the moment at which it has been paid for."""
        assert self._descriptor is not None
        # lockf, not flock: the latter would not keep out processes that inherited the descriptor.
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            (before,) = MOMENT.unpack(os.pread(self._descriptor, MOMENT.size, 0))
            until: float = max(before, time.monotonic() - SAVED) + seconds
            os.pwrite(self._descriptor, MOMENT.pack(until), 0)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
        return until
