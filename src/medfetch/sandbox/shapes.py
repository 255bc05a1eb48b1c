"""Files that are what their names promise: archives, gzip, NIfTI; all else is noise.

It must not know who wants them, or how they are handed out. The same name and size make the same bytes, always.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise

from medfetch.sandbox.content import Content

LONG_AGO = (2001, 1, 1, 0, 0, 0)
HEADER = 352
"""Bytes before a NIfTI's voxels (nifti1.h): the header, and four that say that no extension follows."""


def made(name: str, size: int) -> bytes:
    """A file of about ``size`` bytes: exactly so many where its name promises nothing."""
    for ending, make in MAKERS.items():
        if name.lower().endswith(ending):
            return make(name[: -len(ending)], size)
    return Content.noise(size, name).whole()


def members(stem: str, size: int) -> dict[str, bytes]:
    """What is in an archive, in a folder that is called like it: no two archives have members of one path."""
    folder = stem.rpartition("/")[2] or "archive"
    return {
        f"{folder}/scan-1.nii": made(f"{stem}-1.nii", max(size - 400, HEADER + 8)),
        f"{folder}/table.csv": b"scan,diagnosis\n1,0\n",
    }


def split_zip(stem: str, size: int, count: int) -> list[bytes]:
    """A zip in ``count`` volumes (APPNOTE 6.3.10, 8.5): the cuts are in the last member, the directory in the last
    volume.

    Raises: ValueError where it is too small to be cut so often.
    """
    whole = _zip(stem, size)
    end = whole.rindex(b"PK\x05\x06")
    entries, directory = struct.unpack("<H4xI", whole[end + 10 : end + 20])
    rows = bytearray(whole[directory:end])
    place = last = 0
    for _ in range(entries):
        last = struct.unpack_from("<I", rows, place + 42)[0]
        struct.pack_into("<I", rows, place + 42, last + 4)  # behind the mark of a split archive
        place += 46 + sum(struct.unpack_from("<HHH", rows, place + 28))
    local = whole[last : last + 30]
    begins = last + 30 + sum(struct.unpack("<HH", local[26:30]))
    step = (directory - begins) // count
    if step < 1:
        raise ValueError(f"{len(whole)} bytes cannot be cut into {count} volumes")
    cuts = [0, *(begins + step * number for number in range(1, count)), directory]
    volumes = [whole[start:stop] for start, stop in pairwise(cuts)]
    volumes[0] = b"PK\x07\x08" + volumes[0]
    begin = len(volumes[-1]) if count > 1 else len(volumes[0])
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", count - 1, count - 1, entries, entries, len(rows), begin, 0)
    volumes[-1] += bytes(rows) + tail
    return volumes


def _zip(stem: str, size: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        # The large one last, so that volumes can be cut in it.
        for name, data in reversed(members(stem, size).items()):
            archive.writestr(zipfile.ZipInfo(name, LONG_AGO), data)
    return out.getvalue()


def _tar(stem: str, size: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members(stem, size).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _seven_zip(stem: str, size: int) -> bytes:
    import py7zr
    from py7zr.helpers import ArchiveTimestamp

    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        for name, data in members(stem, size).items():
            archive.writestr(data, name)
        for row in archive.header.files_info.files:
            row["lastwritetime"] = ArchiveTimestamp.from_datetime(1e9)
    return out.getvalue()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=1, mtime=0)


def _nifti(stem: str, size: int) -> bytes:
    """A volume of bytes in one row."""
    voxels = max(1, size - HEADER)
    rows = -(-voxels // 30_000)  # a length is a number of 15 bits
    columns = -(-voxels // rows)
    header = bytearray(HEADER)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, columns, rows, 1, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, *[1.0] * 8)
    struct.pack_into("<f", header, 108, float(HEADER))
    header[344:348] = b"n+1\0"
    return bytes(header) + Content.noise(columns * rows, stem).whole()


MAKERS: Mapping[str, Callable[[str, int], bytes]] = {
    ".nii.gz": lambda stem, size: _gzip(_nifti(stem, size)),
    ".tar.gz": lambda stem, size: _gzip(_tar(stem, size)),
    ".tgz": lambda stem, size: _gzip(_tar(stem, size)),
    ".tar.bz2": lambda stem, size: bz2.compress(_tar(stem, size), 1),
    ".tar.xz": lambda stem, size: lzma.compress(_tar(stem, size), preset=0),
    ".tar": _tar,
    ".zip": _zip,
    ".7z": _seven_zip,
    ".nii": _nifti,
    ".gz": lambda stem, size: _gzip(Content.noise(size, stem).whole()),
}
"""By ending, the longest that fits first."""
