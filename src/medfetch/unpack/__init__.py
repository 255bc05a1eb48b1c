"""Safe unpacking: archives → members in a staging folder, numbered, and hashed while they are written.

It must not know where members go in the end, and it opens no archive inside an archive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from medfetch.errors import RecipeError
from medfetch.types import Packed
from medfetch.unpack import excerpt, tar, zip
from medfetch.unpack.series import Series, extract_series
from medfetch.unpack.staging import Member, Staging

__all__ = ["Member", "Series", "extract", "extract_excerpt", "extract_series"]


def extract(
    pieces: Sequence[Path],
    kind: str,
    staging: Path,
    *,
    free_bytes: Callable[[], int],
    stop: Callable[[], bool] = lambda: False,
    name: str | None = None,
    only: Sequence[Sequence[str]] = (),
    together: bool = False,
) -> Iterator[Member]:
    """Unpacks an archive into ``staging`` and yields its members as they become whole.

    Nothing may be moved out of ``staging`` before the iterator ends: links are copied from what is there, and
    only the archive's last bytes prove its first ones. On an error the caller throws the folder away.

    Args:
        pieces: the archive; several pieces are read as one file, in that order (``.7z.001`` …, ``.z01`` … ``.zip``).
        kind: zip, tar (plain, gzip, bzip2, xz, zstandard), 7z, or split-zip (a zip of several volumes; zip does too).
        staging: a folder of this archive alone; made if missing.
        free_bytes: the bytes that may still be written; asked before the first byte and again as it goes.
        stop: asked between blocks.
        name: what errors call the archive; its last piece's file name if not given.
        only: of a zip, which members are wanted (``types.Unpack``).
        together: all members in one file (``Member.at``).

    Raises:
        IntegrityError: the archive is cut, corrupt, encrypted or dangerous; it names the archive and the member.
        DiskFull: it does not fit, or the disk said so.
        RecipeError: an unknown kind, or one that is unpacked whole or not at all.
        MedfetchError: the archive uses a compression that is not supported.
        InterruptedError: ``stop`` answered True.
    """
    if only and kind not in ("zip", "split-zip"):
        raise RecipeError(f"cannot unpack a part of {kind!r}", hint="only of a zip")
    space = Staging(pieces, staging, free_bytes, stop, name, together)
    match kind:
        case "zip" | "split-zip":
            return zip.members(pieces, space, only)
        case "tar":
            return tar.members(pieces, space)
        case "7z":
            from medfetch.unpack import sevenzip

            return sevenzip.members(pieces, space)
    raise RecipeError(f"cannot unpack {kind!r}", hint="known kinds of archives: zip, split-zip, tar, 7z")


def extract_excerpt(
    pieces: Sequence[Path],
    wanted: Sequence[Packed],
    staging: Path,
    *,
    free_bytes: Callable[[], int],
    stop: Callable[[], bool] = lambda: False,
    name: str | None = None,
    together: bool = False,
) -> Iterator[Member]:
    """Unpacks members of a zip out of an excerpt of it, and compares each with its CRC32.

    Args and Raises: as ``extract``.
    """
    return excerpt.members(pieces, Staging(pieces, staging, free_bytes, stop, name, together), wanted)
