"""Bytes that cost no memory: a short head, then reproducible noise, readable from any offset.

It must not know what the bytes mean, nor HTTP.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

PERIOD = 1_048_573
"""Bytes after which the noise repeats: a prime, so that bytes from a wrong offset never look right by chance."""


@cache
def _noise() -> memoryview:
    return memoryview(random.Random("medfetch sandbox").randbytes(PERIOD))


@dataclass(frozen=True, slots=True)
class Content:
    """``size`` bytes: ``head``, then noise that starts ``phase`` bytes into its period."""

    head: bytes
    size: int
    phase: int = 0

    @classmethod
    def of(cls, data: bytes) -> Content:
        return cls(data, len(data))

    @classmethod
    def noise(cls, size: int, name: str) -> Content:
        """``size`` bytes that depend on nothing but the name."""
        return cls(b"", size, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"))

    def read(self, start: int, stop: int) -> Iterator[memoryview]:
        """The bytes from ``start`` up to ``stop``, in pieces of at most ``PERIOD`` bytes."""
        if start < len(self.head):
            end = min(stop, len(self.head))
            yield memoryview(self.head)[start:end]
            start = end
        noise = _noise()
        while start < stop:
            position = (self.phase + start) % PERIOD
            piece = noise[position : position + stop - start]
            yield piece
            start += len(piece)

    def whole(self) -> bytes:
        return b"".join(self.read(0, self.size))

    def md5(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.read(0, self.size):
            digest.update(piece)
        return digest.hexdigest()
