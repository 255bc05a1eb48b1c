"""A DICOM series as NBIA hands it out: a zip of instances with a list of their MD5s.

It must not know the host: it is given a zip, and says which instances are good and what is wrong with the rest.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from medfetch import dicom
from medfetch.checksum import BLOCK
from medfetch.errors import IntegrityError
from medfetch.types import Checksum
from medfetch.unpack import zip
from medfetch.unpack.staging import Member, Staging, blocks, guard

LIST = "md5hashes.csv"
LONGEST_LIST = 64 << 20
"""Bytes; a row has about a hundred, so this is half a million instances."""


@dataclass(frozen=True, slots=True)
class Series:
    """What a series' zip held."""

    members: tuple[Member, ...]
    """Whole instances, named ``<SOPInstanceUID>.dcm``, that match the zip's list of MD5s where it has one."""
    problems: tuple[str, ...]
    """What is wrong with the others, one sentence each: they are to be fetched singly."""


def extract_series(
    pieces: Sequence[Path],
    staging: Path,
    *,
    free_bytes: Callable[[], int],
    stop: Callable[[], bool] = lambda: False,
    name: str | None = None,
    together: bool = False,
) -> Series:
    """Unpacks the answer of NBIA's ``getImageWithMD5Hash`` (or ``getImage``, which has no list).

    Members that are no DICOM files and are not named as such (a licence, annotations) are left out. The other
    arguments are those of ``extract``.

    Raises:
        IntegrityError: the zip cannot be read, or a member is encrypted or has a dangerous name.
        DiskFull, InterruptedError: as ``extract``.
    """
    space = Staging(pieces, staging, free_bytes, stop, name, together)
    members: list[Member] = []
    problems: list[str] = []
    with guard(space.archive, zip.BROKEN), zip.open_zip(pieces, space.archive) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        space.expect(sum(info.file_size for info in files))
        listed: dict[str, Checksum] = {}
        for info in files:
            if _key(info.filename) == LIST:
                listed |= _read_list(archive, info)
        for info in files:
            published = listed.pop(_key(info.filename), None)
            try:
                member = _instance(archive, info, published, space)
            except (IntegrityError, *zip.BROKEN) as error:
                problems.append(f"{info.filename}: {error}")
            else:
                members += [member] if member else []
    problems.extend(f"{name}: is in {LIST} and not in the zip" for name in listed)
    return Series(tuple(members), tuple(problems))


def _key(name: str) -> str:
    """A member's name as the list has it: NBIA strips folders from the one, and all up to ``^`` from the other.

    Source: ``V1_getDCMImage.java`` in CBIIT/NBIA-TCIA.
    """
    return name.rpartition("/")[2].rpartition("^")[2]


def _read_list(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> dict[str, Checksum]:
    """Rows of file name and MD5; the MD5 is known by its shape, so that the header row and other columns do not matter.

    Raises: IntegrityError if it is absurdly long.
    """
    if info.file_size > LONGEST_LIST:
        raise IntegrityError(f"{info.filename}: {info.file_size:,} bytes are too many for a list of MD5s")
    listed = {}
    with archive.open(info) as file:
        for row in csv.reader(io.TextIOWrapper(file, "utf-8-sig", "replace"), skipinitialspace=True):
            digests = [field.strip().lower() for field in row if re.fullmatch("[0-9a-fA-F]{32}", field.strip())]
            names = [field.strip() for field in row if field.strip().lower() not in {"", *digests}]
            if digests and names:
                listed[_key(names[0])] = Checksum("md5", digests[0])
    return listed


def _instance(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, published: Checksum | None, space: Staging
) -> Member | None:
    """None for a file that neither is an instance nor says to be one by its name."""
    with archive.open(info) as source:
        first = source.read(BLOCK)
        try:
            uid = dicom.sop_instance_uid(first[: dicom.HEAD])
        except IntegrityError:
            if info.filename.lower().endswith(".dcm"):
                raise
            return None
        name = space.claim(f"{uid}.dcm")
        checksums = (published,) if published else ()
        return space.store(name, chain((first,), blocks(source)), info.file_size, checksums)
