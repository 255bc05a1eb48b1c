"""An archive that came in pieces, read as the one file that they are.

It must not know any archive format.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

Patch = tuple[int, bytes]
"""What is read in place of the bytes at a position."""
NONE: Patch = (0, b"")


def starts_of(pieces: Sequence[Path]) -> list[int]:
    """Where each piece begins in the whole, in bytes, and as the last element where the whole ends."""
    return list(accumulate((os.stat(piece).st_size for piece in pieces), initial=0))


def open_pieces(pieces: Sequence[Path], patch: Patch = NONE) -> IO[bytes]:
    """One readable, seekable file; nothing is copied on disk."""
    if len(pieces) == 1 and patch == NONE:
        return open(pieces[0], "rb")
    return io.BufferedReader(_Joined(pieces, patch))


class Whole(io.RawIOBase):
    """A file of ``size`` bytes that lies in pieces somewhere; how they are read is for others to say."""

    def __init__(self, size: int, patch: Patch) -> None:
        super().__init__()
        self.size = size
        self._patch = patch
        self._position = 0

    def read_at(self, position: int, buffer: Any) -> int:
        """Fills a buffer as far as it goes at once; how many bytes that were. There is at least one."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if origin + offset < 0:
            raise ValueError("negative seek position")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        start = self._position
        if start >= self.size:
            return 0
        count = self.read_at(start, buffer)
        self._position += count
        at, patch = self._patch
        first, last = max(start, at), min(start + count, at + len(patch))
        if first < last:
            buffer[first - start : last - start] = patch[first - at : last - at]
        return count


class _Joined(Whole):
    """The concatenation of files, one of them open at a time."""

    def __init__(self, pieces: Sequence[Path], patch: Patch) -> None:
        self._pieces = pieces
        self._starts = starts_of(pieces)
        self._open: tuple[int, IO[bytes]] | None = None
        super().__init__(self._starts[-1], patch)

    def read_at(self, position: int, buffer: Any) -> int:
        number = bisect_right(self._starts, position) - 1
        piece = self._piece(number)
        piece.seek(position - self._starts[number])
        count: int = piece.readinto(buffer)  # type: ignore[attr-defined]
        return count

    def _piece(self, number: int) -> IO[bytes]:
        if self._open is None or self._open[0] != number:
            self._close_piece()
            self._open = number, open(self._pieces[number], "rb", buffering=0)  # noqa: SIM115 see _close_piece
        return self._open[1]

    def _close_piece(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._close_piece()
        super().close()
