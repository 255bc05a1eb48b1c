"""A few members of a zip, of which no more was fetched than they take: which they are, and how they are unpacked.

It must not know how the bytes are had.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from medfetch.checksum import CRC32
from medfetch.errors import MedfetchError
from medfetch.types import Checksum, Packed
from medfetch.unpack.pieces import open_pieces
from medfetch.unpack.staging import Member, Names, Staging, guard
from medfetch.unpack.zip import BROKEN, DEFLATE64, claim, link, packed, unix_type, unpacked

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, DEFLATE64, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
METHODS |= {method for name, method in vars(zipfile).items() if name == "ZIP_ZSTANDARD"}  # from Python 3.14 on


def files_of(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [info for info in archive.infolist() if not info.is_dir()]


def wanted(archive: zipfile.ZipFile, name: str, wants: Callable[[str], bool]) -> list[Packed]:
    """The members whose names are wanted, with the names that they get, in the order of the directory.

    A link is the member that it leads to under its own name, as where all is unpacked. ``name``: the archive's.
    Raises: IntegrityError for what would not be unpacked either; MedfetchError for an unknown compression.
    """
    names, infos = Names(name), files_of(archive)
    chosen = [info for info in infos if wants(info.filename)]
    links = [info for info in chosen if unix_type(info) == stat.S_IFLNK]
    found = {claim(info, names): info for info in chosen if unix_type(info) != stat.S_IFLNK}
    if links:
        found |= _led_to(archive, links, {_plain(info): info for info in infos}, names)
    for info in found.values():
        if info.compress_type not in METHODS:
            raise MedfetchError(
                f"{name}: {info.filename} is packed by method {info.compress_type}, which medfetch does not know",
                hint="fetch it with --no-unpack, and unpack it with 7-Zip",
            )
    return [packed(info, safe) for safe, info in found.items()]


def _led_to(
    archive: zipfile.ZipFile, links: list[zipfile.ZipInfo], all_of_it: Mapping[str, zipfile.ZipInfo], names: Names
) -> dict[str, zipfile.ZipInfo]:
    """The files that links lead to, also over links that are not wanted themselves, by the names of the links."""
    own, seen = {_plain(info) for info in links}, set()
    queue = list(links)
    for info in queue:
        seen.add(_plain(info))
        target = all_of_it.get(link(archive, info, names))
        if target and unix_type(target) == stat.S_IFLNK and _plain(target) not in seen:
            queue.append(target)
    files = {name for name, info in all_of_it.items() if unix_type(info) != stat.S_IFLNK}
    return {name: all_of_it[target] for name, target in names.targets(files) if name in own}


def _plain(info: zipfile.ZipInfo) -> str:
    return str(PurePosixPath(info.filename))


def members(pieces: Sequence[Path], staging: Staging, wanted: Sequence[Packed]) -> Iterator[Member]:
    """Unpacks members out of the bytes that were fetched for them; each is compared with its CRC32."""
    with guard(staging.archive, BROKEN), open_pieces(pieces) as file:
        claimed = [(member, staging.claim(member.name)) for member in wanted]
        staging.expect(sum(member.size for member in wanted))
        for member, name in claimed:
            crc = Checksum(CRC32, f"{member.crc32:08x}")
            yield staging.store(name, unpacked(file, member), member.size, [crc])
