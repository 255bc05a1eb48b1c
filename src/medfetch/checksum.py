"""Digests: parsing their written form and computing several over one pass of the bytes.

It must not know where checksums come from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from medfetch.errors import RecipeError
from medfetch.types import Checksum

HEX_LENGTH = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
GIT_BLOB = re.compile(r"git-sha1-([0-9]+)")
"""Git's id of a file: the SHA-1 of its length and its bytes. The length comes first, so it is part of the name."""
CRC32C = "crc32c"
"""Castagnoli's cyclic redundancy check (RFC 3720, appendix B.4), of which hashlib knows nothing. It finds bytes that
went wrong by accident, and none that somebody changed on purpose."""
BLOCK = 1 << 20
"""Bytes read at once when a file on disk is hashed."""


def parse(text: str) -> Checksum:
    """``"md5:70e2…"`` → Checksum.

    Raises:
        RecipeError: the algorithm is unknown or the digest has the wrong length.
    """
    algorithm, _, digest = text.strip().partition(":")
    algorithm, digest = algorithm.lower(), digest.strip().lower()
    if algorithm not in HEX_LENGTH:
        raise RecipeError(f"unknown checksum algorithm in {text!r}; known: {', '.join(HEX_LENGTH)}")
    if len(digest) != HEX_LENGTH[algorithm] or not re.fullmatch("[0-9a-f]+", digest):
        raise RecipeError(f"{algorithm} checksum {digest!r} is not {HEX_LENGTH[algorithm]} hexadecimal digits")
    return Checksum(algorithm, digest)


def git_blob(digest: str, size: int) -> Checksum:
    """The checksum that a git blob id is, of a file of ``size`` bytes.

    Raises: RecipeError where it is no SHA-1.
    """
    return Checksum(f"git-sha1-{size}", parse(f"sha1:{digest}").hex)


class _Hash(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32c:
    """CRC32C in hashlib's manner."""

    def __init__(self) -> None:
        import google_crc32c  # most files need none

        self._extend, self._value = google_crc32c.extend, 0

    def update(self, data: bytes | bytearray, /) -> None:
        self._value = self._extend(self._value, bytes(data))

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _started(algorithm: str) -> _Hash:
    """A hash that has taken in what comes before the file's bytes."""
    if algorithm == CRC32C:
        return _Crc32c()
    if found := GIT_BLOB.fullmatch(algorithm):
        return hashlib.sha1(f"blob {found[1]}\0".encode(), usedforsecurity=False)
    return hashlib.new(algorithm)


class Hasher:
    """SHA-256 of a stream, and whatever other algorithms its published checksums need."""

    def __init__(self, published: Iterable[Checksum] = ()) -> None:
        self.published = tuple(published)
        self.length = 0
        self._hashes: dict[str, _Hash] = {"sha256": hashlib.sha256()}
        for checksum in self.published:
            if checksum.algorithm not in self._hashes:
                self._hashes[checksum.algorithm] = _started(checksum.algorithm)

    def update(self, blocks: Iterable[bytes | bytearray], count: int) -> None:
        """Takes in ``blocks``, of ``count`` bytes together."""
        self.length += count
        for hash_ in self._hashes.values():
            for block in blocks:
                hash_.update(block)

    @property
    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    def mismatch(self) -> tuple[Checksum, Checksum] | None:
        """The first published checksum that the bytes do not have, with what they have instead; None if all agree."""
        for expected in self.published:
            digest = self._hashes[expected.algorithm].hexdigest()
            if digest != expected.hex:
                return expected, Checksum(expected.algorithm, digest)
        return None


def hash_file(path: Path, published: Iterable[Checksum] = ()) -> Hasher:
    """Reads a whole file through a Hasher."""
    hasher = Hasher(published)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            hasher.update((block,), len(block))
    return hasher
