"""A home's files for whoever reads them, loose or in archives alike. It must not know archive formats or the network.

What is kept open between two files is a thread's own, and a process's: so forks have nothing to share.
"""

from __future__ import annotations

import errno
import io
import os
import threading
from contextlib import suppress
from typing import Any, BinaryIO

from medfetch import database, packs
from medfetch.cache import Home
from medfetch.packs import Packs, Spot

BUFFER = 1 << 16
"""Bytes that are read ahead."""
VIEWS = 4
"""Homes whose tables a thread keeps open."""
TRIES = 10
"""Looks for a file whose archive is being replaced; each time there is a newer one."""


class Section(io.RawIOBase):
    """Some bytes in the middle of a file, as a file: read-only, seekable."""

    def __init__(self, descriptor: int, at: int, size: int, name: str) -> None:
        """Takes over ``descriptor``."""
        self._descriptor, self._at, self._size, self.name = descriptor, at, size, name
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._check_open()
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._place)]
        # Without a file position of the system's: a forked process shares that.
        count = os.preadv(self._descriptor, [view], self._at + self._place) if view else 0
        self._place += count
        return count

    def readall(self) -> bytes:
        # Python's own asks for 8 KiB at a time, and copies them twice.
        self._check_open()
        blocks = []
        while block := os.pread(self._descriptor, max(0, self._size - self._place), self._at + self._place):
            self._place += len(block)
            blocks.append(block)
        return b"".join(blocks)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check_open()
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if place < 0:
            raise ValueError(f"negative seek position {place}")
        self._place = place
        return place

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")


class _Kept(threading.local):
    def __init__(self) -> None:
        self.indices: dict[tuple[object, ...], Packs] = {}


_kept = _Kept()


def _index(home: Home) -> Packs:
    """This thread's own view of a home's tables: to open it takes longer than to look something up."""
    there = os.stat(home.ledger)
    # As immutable it is read once; else SQLite sees what others write.
    fixed = not database.may_write(home.ledger, watching=True)
    # SQLite's connections must not be used by a forked process, nor closed.
    key = (os.getpid(), home.root, there.st_ino, (there.st_mtime_ns, there.st_size) if fixed else None)
    if key not in _kept.indices:
        former = [each for each in _kept.indices if each[0] == key[0]]
        for each in former[: len(former) + 1 - VIEWS]:
            _kept.indices.pop(each).close()
        _kept.indices[key] = Packs(home, watching=True)
    return _kept.indices[key]


def find(home: Home, path: str) -> Spot:
    """Where a file is, or would be."""
    spot = _index(home).find(path) if packs.format_of(home) else None
    return spot or Spot(0, path, 0)


def open_file(home: Home, path: str, size: int | None = None) -> BinaryIO:
    """Opens a file of a home; ``size``: its bytes, where the caller knows.

    Raises: FileNotFoundError where it is not there; OSError; CacheError.
    """
    if not packs.format_of(home):
        return open(home.root / path, "rb")
    for _ in range(TRIES):
        index = _index(home)
        spot = index.find(path)
        length = index.size(path) if size is None else size
        if spot is None:
            return open(home.root / path, "rb")
        with suppress(FileNotFoundError):
            descriptor = _open(home, spot)
            # An archive that has got its name since the look is another one, with other offsets.
            if find(home, path) == spot:
                return io.BufferedReader(Section(descriptor, spot.at, length, str(home.root / path)), BUFFER)
            os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(home.root / path))


def changed(home: Home, path: str) -> float:
    """When the inode that has a file was last changed, in seconds since 1970. Raises: FileNotFoundError."""
    spot = find(home, path)
    for candidate in spot.candidates(home):
        with suppress(FileNotFoundError):
            return os.stat(candidate).st_ctime
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(home.root / path))


def _open(home: Home, spot: Spot) -> int:
    first, *others = spot.candidates(home)
    try:
        return os.open(first, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(others[0], os.O_RDONLY)
