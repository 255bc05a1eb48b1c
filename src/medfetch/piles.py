"""Where verified files of a packed home wait for their archive: behind each other in few large files, the piles.

A pile has one writer, whoever holds the lease that is in its name. What is in it is said by the shard, which is written
down after the bytes and before their former files are removed: a run that is killed in between loses nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from medfetch import packs
from medfetch.cache import Home

if TYPE_CHECKING:
    from medfetch.placing import Staged

LARGEST = 10**9
"""Bytes from which a pile gets nothing more: it goes when all that is in it is in archives."""
ALONE = 64 << 20
"""Bytes from which a file is a pile by itself: it need not be copied."""


class Piles:
    """What the owner of a shard puts into piles."""

    def __init__(self, home: Home, stem: str) -> None:
        """``stem``: of the names, unlike any other's; ends with the token of a lease."""
        self._home, self._stem = home, stem
        self._number, self._descriptor, self._length = 0, -1, 0
        self._after: dict[Path, Callable[[], None]] = {}

    def take(self, staged: Staged) -> str:
        """Puts a file into a pile; what is to be written down of it (``packs.written``). Raises: OSError."""
        path = Path(staged.staged)
        pile = path.parent.name if staged.at is not None else path.name
        whole = staged.at is not None or staged.size >= ALONE
        if whole and not (self._home.piles / pile).exists():
            self._after[path] = lambda: finish(self._home, pile)
            return packs.written(staged.at or 0, pile)
        pile, at = self._append(path, staged.at or 0, staged.size)
        if staged.at is None:
            self._after[path] = lambda: path.unlink(missing_ok=True)
        return packs.written(at, pile)

    def settle(self) -> None:
        """What ``take`` gave is written down: the files are not needed any more. Raises: OSError."""
        for each in self._after.values():
            each()
        self._after.clear()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, path: Path, start: int, size: int) -> tuple[str, int]:
        if self._descriptor < 0 or self._length + size > LARGEST:
            self.close()
            self._number, self._length = self._number + 1, 0
            name = self._home.piles / f"{self._stem}.{self._number}"
            self._descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        at = self._length
        with open(path, "rb", buffering=0) as source, open(self._descriptor, "wb", closefd=False) as pile:
            source.seek(start)
            pile.seek(at)
            left = size
            while left and (block := source.read(min(left, 1 << 20))):
                pile.write(block)
                left -= len(block)
        if left:
            raise OSError(f"{path} has become shorter by {left} bytes")
        self._length = at + size
        return f"{self._stem}.{self._number}", at


def finish(home: Home, pile: str) -> None:
    """Makes a file, or what was unpacked together, the pile that it is written down as. Raises: OSError."""
    target, source = home.piles / pile, home.partial / pile
    if target.exists():
        return
    with suppress(FileNotFoundError):
        if source.is_dir():
            (source,) = source.iterdir()
        os.replace(source, target)


def clear(home: Home, wanted: set[str]) -> tuple[int, int]:
    """Removes what is in no table, such as what a run wrote that was killed; number and bytes of files.

    ``wanted``: paths relative to the home. Only while nobody else is at work there. Raises: OSError.
    """
    files, size = 0, 0
    for path in home.piles.iterdir():
        if path.relative_to(home.root).as_posix() not in wanted:
            files, size = files + 1, size + path.stat().st_size
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return files, size
