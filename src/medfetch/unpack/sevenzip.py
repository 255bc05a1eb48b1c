"""7z archives, whole or in pieces.

It must not know what the members are. It imports py7zr, so import it only where a 7z archive is at hand.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import py7zr
from py7zr.exceptions import ArchiveError, PasswordRequired, UnsupportedCompressionMethodError
from py7zr.io import Py7zIO, WriterFactory

from medfetch.errors import IntegrityError, MedfetchError
from medfetch.unpack.pieces import open_pieces
from medfetch.unpack.staging import Member, Sink, Staging, guard

_STUMBLES = (ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError, MemoryError)
"""What py7zr's parser runs into on damaged headers; found by flipping their bits."""
BROKEN = (ArchiveError, lzma.LZMAError, zlib.error, struct.error, EOFError, *_STUMBLES)


def members(pieces: Sequence[Path], staging: Staging) -> Iterator[Member]:
    """Unpacks all, then yields; names and declared sizes are judged before the first byte is written.

    Links are refused: they are rare in 7z, and py7zr hands out their targets as if they were a file's bytes.
    py7zr decompresses up to 128 MB at once, so memory is bounded but not small.
    """
    with guard(staging.archive, BROKEN), open_pieces(pieces) as packed:
        try:
            with py7zr.SevenZipFile(packed) as archive:
                receiver = _Receiver(staging, _sizes(archive, staging))
                archive.extractall(factory=receiver)
        except PasswordRequired as error:
            raise IntegrityError(
                f"{staging.archive}: is encrypted, and medfetch knows no password for archives"
            ) from error
        except UnsupportedCompressionMethodError as error:
            raise MedfetchError(
                f"{staging.archive}: {error}", hint="fetch it with --no-unpack, and unpack it with 7-Zip"
            ) from error
    if missing := receiver.sizes.keys() - {member.name for member in receiver.members}:
        raise staging.refusal(min(missing), "has no bytes in the archive")
    yield from receiver.members


def _sizes(archive: py7zr.SevenZipFile, staging: Staging) -> dict[str, int]:
    """Safe names and declared sizes of all files.

    Raises: IntegrityError for what may not be unpacked, DiskFull if all of it does not fit.
    """
    sizes = {}
    for info in archive.files:
        if info.is_directory:
            continue
        if info.is_symlink or info.is_junction or info.is_socket:
            raise staging.refusal(info.filename, "is a link or a socket")
        sizes[staging.claim(info.filename)] = info.uncompressed
    staging.expect(sum(sizes.values()))
    return sizes


class _Receiver(WriterFactory):
    """Gives py7zr something to write each member to, and collects what became whole."""

    def __init__(self, staging: Staging, sizes: dict[str, int]) -> None:
        self.sizes = sizes
        self.members: list[Member] = []
        self._staging = staging

    def create(self, filename: str) -> _Writer:
        return _Writer(Sink(self._staging, filename, self.sizes[filename]), self.members)


class _Writer(Py7zIO):
    """A sink with the methods that py7zr wants; it is only ever written forward."""

    def __init__(self, sink: Sink, members: list[Member]) -> None:
        self._sink = sink
        self._members = members

    def write(self, data: bytes | bytearray) -> int:
        self._sink.write(data)
        return len(data)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def flush(self) -> None:
        pass

    def size(self) -> int:
        return 0

    def close(self) -> None:
        self._members.append(self._sink.finish())
