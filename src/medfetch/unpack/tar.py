"""Tar archives, plain or compressed with gzip, bzip2, xz or zstandard, read once from front to back.

It must not know what the members are.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from medfetch.unpack.pieces import open_pieces
from medfetch.unpack.staging import Member, Staging, blocks, guard

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BROKEN = (tarfile.TarError, zlib.error, lzma.LZMAError, zstd.ZstdError, EOFError, ValueError)
LONGEST_HEADER = 1 << 20
"""Bytes of extended headers (long names, PAX records), which tarfile reads into memory at once."""
_EXTENDED = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME}
_EXTENDED |= {tarfile.GNUTYPE_LONGLINK}


def members(pieces: Sequence[Path], staging: Staging) -> Iterator[Member]:
    """Unpacks. Hard and symbolic links to files of the archive become copies; all other special files are refused."""
    with guard(staging.archive, BROKEN), open_pieces(pieces) as packed, _decompressed(packed) as plain:
        with tarfile.open(fileobj=plain, mode="r:", tarinfo=_Header) as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # or a million headers stay in memory
                if info.size < 0:  # from an extended header; it would be a way back, and so a way round and round
                    raise staging.refusal(info.name, f"has a size of {info.size} bytes")
                if info.isdir():
                    continue
                if info.issym() or info.islnk():
                    staging.link(info.name, info.linkname, symbolic=info.issym())
                    continue
                source = archive.extractfile(info) if info.isreg() else None
                if source is None:
                    raise staging.refusal(info.name, "is neither a file, a folder nor a link")
                staging.expect(info.size)
                yield staging.store(staging.claim(info.name), blocks(source), info.size)
        # the compression's own checksum comes last, behind the end that tarfile stops at
        for block in blocks(plain):
            staging.spend(len(block))
        yield from staging.links()


class _Header(tarfile.TarInfo):
    """Refuses what tarfile takes for the archive's end: a damaged header, or no more bytes where one should be."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"bad or missing header: {error}") from error
        if info.size < 0:
            raise tarfile.ReadError(f"a size of {info.size} bytes")
        if info.type in _EXTENDED and info.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"an extended header of {info.size:,} bytes")
        return info


def _decompressed(packed: IO[bytes]) -> IO[bytes]:
    magic = packed.read(6)
    packed.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(packed)  # type: ignore[return-value]
    if magic.startswith(b"BZh"):
        return bz2.open(packed)
    if magic == b"\xfd7zXZ\0":
        return lzma.open(packed)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return zstd.open(packed)  # type: ignore[return-value]
    return packed
