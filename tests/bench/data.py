"""What is fetched: files of pseudo-random bytes, the same in every run, with their digests.

It must not know who fetches them, nor how they are served.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
BLOCK = 64 * MIB
"""Bytes of noise that all files are cut from; each file begins with its own number, so that no two are the same."""
FOLDER = 100
"""Files in one folder, as in a series of images."""


@dataclass(frozen=True, slots=True)
class File:
    path: str
    """Relative, with forward slashes; nothing in it needs quoting."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Shape:
    """So many files, whose sizes lie between two limits (bytes); small ones are more frequent."""

    count: int
    smallest: int
    largest: int


@dataclass(frozen=True, slots=True)
class Data:
    folder: Path
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes, all files together."""
        return sum(file.size for file in self.files)


def make(shape: Shape, folder: Path) -> Data:
    """Writes the files into a new folder."""
    noise = memoryview(random.Random(0).randbytes(BLOCK))
    return Data(folder, tuple(_write(folder, f"{number // FOLDER:04d}/{number:06d}.dcm", number, size, noise)
                              for number, size in enumerate(_sizes(shape))))  # fmt: skip


def _sizes(shape: Shape) -> Iterator[int]:
    dice = random.Random(1)
    for _ in range(shape.count):
        # The square makes 240 KiB the mean of 60 to 600 KiB, which is about that of CT and MR slices.
        yield shape.smallest + int((shape.largest - shape.smallest) * dice.random() ** 2)


def _write(folder: Path, path: str, number: int, size: int, noise: memoryview) -> File:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open(target, "wb", buffering=0) as file:
        for block in _content(number, size, noise):
            file.write(block)
            digest.update(block)
    return File(path, size, digest.hexdigest())


def _content(number: int, size: int, noise: memoryview) -> Iterator[memoryview]:
    head = memoryview(b"%031d\n" % number)[:size]
    yield head
    left, at = size - len(head), number * 4099 % BLOCK
    while left:
        block = noise[at : at + min(left, BLOCK - at)]
        yield block
        left -= len(block)
        at = 0
