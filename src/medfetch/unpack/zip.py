"""Zip archives, whole, cut into pieces, or spanned over volumes.

It must not know what the members are.
"""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from medfetch.checksum import BLOCK
from medfetch.errors import IntegrityError, MedfetchError
from medfetch.patterns import fits
from medfetch.types import Packed
from medfetch.unpack.pieces import NONE, Patch, open_pieces, starts_of
from medfetch.unpack.staging import Member, Names, Staging, blocks, guard

BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError, IndexError)
LONGEST_TARGET = 4096
"""Bytes of a symbolic link's target (PATH_MAX)."""
DEFLATE64 = 9
"""What Windows packs large files with (APPNOTE 4.4.5); zipfile does not know it."""
PACKED_AT_ONCE = 64 << 10
"""Bytes that are unpacked at once: a thousand times as many may come out."""
_HEADER = 30
"""Bytes of a member's own header, without its name and extra fields (4.3.7)."""
_END, _LOCATOR, _END64 = 22, 20, 56
"""Bytes of the records at the end."""
_LONGEST_COMMENT = 65535


def members(pieces: Sequence[Path], staging: Staging, only: Sequence[Sequence[str]] = ()) -> Iterator[Member]:
    """Unpacks; the names and the declared sizes of all members that are wanted are judged before the first byte is
    written."""
    with guard(staging.archive, BROKEN), open_zip(pieces, staging.archive) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        files = [info for info in files if all(fits(info.filename, patterns) for patterns in only)]
        claimed = [(info, _claim(archive, info, staging)) for info in files]
        staging.expect(sum(info.file_size for info in files))
        for info, name in claimed:
            if name is not None:
                yield staging.store(name, _content(archive, info), info.file_size)
        yield from staging.links()


def unpacked(file: IO[bytes], member: Packed) -> Iterator[bytes]:
    """The content of a member, block by block; its CRC32 is for the caller to compare.

    Raises: what zipfile raises.
    """
    file.seek(member.at)
    header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile(f"{member.name} does not begin where the directory says")
    file.seek(sum(struct.unpack_from("<HH", header, 26)), io.SEEK_CUR)
    if member.method == DEFLATE64:
        yield from _inflated64(file, member.packed)
        return
    info = zipfile.ZipInfo(member.name)
    info.compress_type, info.compress_size, info.file_size = member.method, member.packed, member.size
    with zipfile.ZipExtFile(file, "r", info) as source:
        yield from iter(lambda: source.read(BLOCK), b"")


def _inflated64(file: IO[bytes], packed: int) -> Iterator[bytes]:
    from inflate64 import Inflater

    inflater = Inflater()
    while packed and not inflater.eof:
        block = file.read(min(packed, PACKED_AT_ONCE))
        if not block:
            raise EOFError
        packed -= len(block)
        yield inflater.inflate(block)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    if info.compress_type != DEFLATE64:
        with archive.open(info) as source:
            yield from blocks(source)
        return
    assert archive.fp is not None
    value = 0
    for block in unpacked(archive.fp, packed(info, info.filename)):
        value = zlib.crc32(block, value)
        yield block
    if value != info.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {info.filename!r}")


def packed(info: zipfile.ZipInfo, name: str) -> Packed:
    """A member that gets that name, where it is in its archive."""
    at, (size, crc) = info.header_offset, (info.file_size, info.CRC)
    return Packed(name, at, info.compress_size, size, crc, info.compress_type)


def unix_type(info: zipfile.ZipInfo) -> int:
    """The kind of file (``stat``); 0 where it is not told."""
    return stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0


def _claim(archive: zipfile.ZipFile, info: zipfile.ZipInfo, staging: Staging) -> str | None:
    """The safe name of a regular file; None for a link, which is noted. Raises: IntegrityError for anything else."""
    if unix_type(info) == stat.S_IFLNK:
        link(archive, info, staging)
        return None
    return claim(info, staging)


def claim(info: zipfile.ZipInfo, names: Names) -> str:
    """The safe name of a regular file. Raises: IntegrityError for anything else."""
    # zipfile cuts a name at its first NUL; the name as it stands is what has to be judged
    if unix_type(info) not in (0, stat.S_IFREG):
        raise names.refusal(info.orig_filename, "is neither a file nor a folder")
    return names.claim(info.orig_filename)


def link(archive: zipfile.ZipFile, info: zipfile.ZipInfo, names: Names) -> str:
    """Notes a link; the name that it points to. Raises: IntegrityError."""
    if info.file_size > LONGEST_TARGET:
        raise names.refusal(info.orig_filename, "is a link with an impossibly long target")
    return names.link(info.orig_filename, archive.read(info).decode("utf-8", "replace"), symbolic=True)


@contextmanager
def open_zip(pieces: Sequence[Path], name: str) -> Iterator[zipfile.ZipFile]:
    """A ZipFile over one piece, the pieces of a cut zip, or the volumes of a spanned one (``zip -s``).

    ``name`` is what errors call it.
    Raises: what zipfile raises; IntegrityError if it is encrypted; MedfetchError for a compression zipfile cannot read.
    """
    with read_zip(starts_of(pieces), partial(open_pieces, pieces), name) as archive:
        yield archive


@contextmanager
def read_zip(
    starts: Sequence[int], opened: Callable[[Patch], AbstractContextManager[IO[bytes]]], name: str
) -> Iterator[zipfile.ZipFile]:
    """Likewise over whatever ``opened`` opens; ``starts``: where its pieces begin, and where the last one ends."""
    with opened(NONE) as file:
        end = _find_end(file)
    if end.volume and end.volume + 2 != len(starts):
        raise zipfile.BadZipFile(f"it has {end.volume + 1} volumes, and {len(starts) - 1} are here")
    patch = end.as_one_volume(starts) if end.volume else NONE
    try:
        with opened(patch) as file, zipfile.ZipFile(file) as archive:
            if end.volume:
                _count_from_first_volume(archive, starts)
            # zipfile believes the directory's length, and would silently lose members of a damaged one
            if (len(archive.infolist()) - end.members) % end.modulus:
                raise zipfile.BadZipFile(f"it has {end.members} members, and lists {len(archive.infolist())}")
            if any(info.flag_bits & 0x1 for info in archive.infolist()):
                raise IntegrityError(f"{name}: is encrypted, and medfetch knows no password for archives")
            yield archive
    except NotImplementedError as error:
        raise MedfetchError(f"{name}: {error}", hint="fetch it with --no-unpack, and unpack it with 7-Zip") from error


@dataclass(frozen=True, slots=True)
class _End:
    """What the records at a zip's end say (PKWARE APPNOTE 4.3.14 to 4.3.16)."""

    at: int
    """Where the last of them begins."""
    volume: int
    """The number of the last volume; 0 if there is only one."""
    members: int
    modulus: int
    """Writers without Zip64 keep only the last 16 bits of the number of members."""
    locator: bytes
    """The Zip64 locator in front of the last record; may be empty."""

    def as_one_volume(self, starts: Sequence[int]) -> tuple[int, bytes]:
        """What to read in place of the locator: zipfile refuses any but the first and only volume there."""
        if not self.locator:
            return self.at, b""
        volume, offset = struct.unpack_from("<IQ", self.locator, 4)
        return self.at - _LOCATOR, struct.pack("<4sIQI", b"PK\6\7", 0, starts[volume] + offset, 1)


def _find_end(file: IO[bytes]) -> _End:
    start = max(0, file.seek(0, io.SEEK_END) - _LONGEST_COMMENT - _END - _LOCATOR - _END64)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END:
        raise zipfile.BadZipFile("it is no zip, or it is cut: there is no directory at its end")
    volume, members = struct.unpack_from("<H4xH", tail, at + 4)
    locator = tail[max(0, at - _LOCATOR) : at]
    if not locator.startswith(b"PK\6\7"):
        return _End(start + at, volume, members, 1 << 16, b"")
    if volume == 0xFFFF:
        volume = struct.unpack_from("<I", locator, 16)[0] - 1
    end64 = tail[max(0, at - _LOCATOR - _END64) : at - _LOCATOR]
    if not end64.startswith(b"PK\6\6"):
        raise zipfile.BadZipFile("there is no Zip64 record in front of its locator")
    return _End(start + at, volume, struct.unpack_from("<Q", end64, 32)[0], 1 << 64, locator)


def _count_from_first_volume(archive: zipfile.ZipFile, starts: Sequence[int]) -> None:
    """Makes the members' offsets, each counted from the start of its own volume (4.4.16), offsets in the whole.

    zipfile took the difference between where the directory is and where it says to be for a prefix, and has added
    it to all of them.
    """
    prefix = starts[bisect_right(starts, archive.start_dir) - 1]
    for info in archive.infolist():
        info.header_offset += starts[info.volume] - prefix
        if hasattr(info, "_end_offset"):
            # newer versions of zipfile worked out from the wrong offsets where each member must end
            info._end_offset = None
