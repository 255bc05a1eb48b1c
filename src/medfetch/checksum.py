"""Digests: parsing their written form and computing several over one pass of the bytes.

It must not know where checksums come from.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Protocol

from medfetch.errors import RecipeError
from medfetch.types import Checksum

HEX_LENGTH = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
GIT_BLOB = re.compile(r"git-sha1-([0-9]+)")
"""Git's id of a file: the SHA-1 of its length and its bytes. The length comes first, so it is part of the name."""
IN_PIECES = re.compile(r"sha1-pieces-([0-9]+)")
"""BitTorrent's (BEP 3): the SHA-1 of each so many bytes; the checksum is the SHA-1 of all of those in a row."""
CRC32C = "crc32c"
"""Castagnoli's cyclic redundancy check (RFC 3720, appendix B.4), of which hashlib knows nothing. It finds bytes that
went wrong by accident, and none that somebody changed on purpose."""
CRC32 = "crc32"
"""The check of zip and gzip (ISO 3309), likewise."""
QUICK_XOR = "quickxor"
"""OneDrive's own (Microsoft's code snippet "QuickXorHash Algorithm"), which finds accidents only, likewise."""
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


Data = bytes | bytearray | memoryview


class _Hash(Protocol):
    def update(self, data: Data, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc32c:
    """CRC32C in hashlib's manner."""

    def __init__(self) -> None:
        import google_crc32c  # most files need none

        self._extend, self._value = google_crc32c.extend, 0

    def update(self, data: Data, /) -> None:
        self._value = self._extend(self._value, bytes(data))

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class _QuickXor:
    """QuickXorHash in hashlib's manner: 160 bits, into which each byte goes 11 bits after the one before.

    After 160 bytes the places are the same again, so that a whole block folds into 160 bytes first.
    """

    WIDTH = 160
    """Bits of the state, and bytes after which the places come again."""
    FOLD = 1024 * WIDTH
    """Bytes that are folded at once."""

    def __init__(self) -> None:
        self._column, self._length, self._rest = 0, 0, b""

    def update(self, data: Data, /) -> None:
        self._length += len(data)
        data = self._rest + data if self._rest else data
        whole = len(data) - len(data) % self.WIDTH
        for at in range(0, whole, self.FOLD):
            self._fold(data[at : min(at + self.FOLD, whole)])
        self._rest = bytes(data[whole:])

    def _fold(self, block: Data) -> None:
        """Halves it until 160 bytes are left; bytes that are not there count as zero."""
        value, width = int.from_bytes(block, "little"), self.FOLD
        while width > self.WIDTH:
            width //= 2
            value = (value >> 8 * width) ^ (value & ((1 << 8 * width) - 1))
        self._column ^= value

    def hexdigest(self) -> str:
        column = (self._column ^ int.from_bytes(self._rest, "little")).to_bytes(self.WIDTH, "little")
        state = 0
        for at, byte in enumerate(column):
            place = at * 11 % self.WIDTH
            state ^= byte << place
        state = (state ^ state >> self.WIDTH) & ((1 << self.WIDTH) - 1)
        return (state ^ self._length << 96).to_bytes(20, "little").hex()


class _InPieces:
    """The SHA-1 of pieces, in hashlib's manner."""

    def __init__(self, length: int) -> None:
        self._length, self._left = length, length
        self._piece, self._whole = hashlib.sha1(usedforsecurity=False), hashlib.sha1(usedforsecurity=False)

    def update(self, data: Data, /) -> None:
        view = memoryview(data)
        while view:
            self._piece.update(view[: self._left])
            view, self._left = view[self._left :], self._left - len(view[: self._left])
            if not self._left:
                self._whole.update(self._piece.digest())
                self._piece, self._left = hashlib.sha1(usedforsecurity=False), self._length

    def hexdigest(self) -> str:
        whole = self._whole.copy()
        if self._left < self._length:
            whole.update(self._piece.digest())
        return whole.hexdigest()


class _Crc32:
    """CRC32 in hashlib's manner."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: Data, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _started(algorithm: str) -> _Hash:
    """A hash that has taken in what comes before the file's bytes."""
    if algorithm == CRC32C:
        return _Crc32c()
    if algorithm == CRC32:
        return _Crc32()
    if algorithm == QUICK_XOR:
        return _QuickXor()
    if found := GIT_BLOB.fullmatch(algorithm):
        return hashlib.sha1(f"blob {found[1]}\0".encode(), usedforsecurity=False)
    if found := IN_PIECES.fullmatch(algorithm):
        return _InPieces(int(found[1]))
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

    def update(self, blocks: Iterable[Data], count: int) -> None:
        """Takes in ``blocks``, of ``count`` bytes together."""
        self.length += count
        for hash_ in self._hashes.values():
            for block in blocks:
                hash_.update(block)

    @property
    def sha256(self) -> str:
        return self._hashes["sha256"].hexdigest()

    def digests(self) -> dict[str, str]:
        """All that were computed, by algorithm."""
        return {algorithm: hash_.hexdigest() for algorithm, hash_ in self._hashes.items()}

    def mismatch(self) -> tuple[Checksum, Checksum] | None:
        """The first published checksum that the bytes do not have, with what they have instead; None if all agree."""
        for expected in self.published:
            digest = self._hashes[expected.algorithm].hexdigest()
            if digest != expected.hex:
                return expected, Checksum(expected.algorithm, digest)
        return None


def hash_file(path: Path, published: Iterable[Checksum] = ()) -> Hasher:
    """Reads a whole file through a Hasher."""
    with open(path, "rb", buffering=0) as file:
        return hash_stream(file, published)


def hash_stream(file: BinaryIO | FileIO, published: Iterable[Checksum] = ()) -> Hasher:
    """Reads the rest of an open file through a Hasher."""
    hasher = Hasher(published)
    while block := file.read(BLOCK):
        hasher.update((block,), len(block))
    return hasher
