"""The last step of a file: from its temporary name to its final one. Only whole, verified files come here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medfetch.cache import Home
from medfetch.checksum import hash_file
from medfetch.errors import CacheError, IntegrityError
from medfetch.state import Placed
from medfetch.types import Assurance


@dataclass(frozen=True, slots=True)
class Staged:
    """A verified file that waits for its final name."""

    staged: Path
    path: str
    """The final name, relative to the home."""
    key: str | None
    size: int
    sha256: str
    assurance: Assurance
    checked: str | None
    source: str
    host: str


def place(home: Home, before: Placed | None, unit: str, staged: Staged, planned: Callable[[str], bool]) -> Placed:
    """Renames a file into place; ``before`` is what is known of its final name, ``planned`` tells a plan's units.

    Raises:
        IntegrityError: the host publishes no checksum, and the bytes are not those first seen.
        CacheError: a file that medfetch did not write is in the way, or another one of the same plan.
    """
    final = home.root / staged.path
    placed = Placed(
        staged.path, unit, staged.key, staged.size, staged.sha256, staged.assurance, staged.checked, staged.source,
        staged.host,
    )  # fmt: skip
    if before and before.sha256 != staged.sha256:
        if before.unit == unit and Assurance.PUBLISHED not in (before.assurance, staged.assurance):
            raise IntegrityError(
                f"{staged.path}: the bytes are not those first seen (sha256 {before.sha256[:16]}…), and the host"
                " publishes no checksum that could decide"
            )
        # Of another plan it is an older or newer version, which gives way.
        if before.unit != unit and final.exists() and planned(before.unit):
            raise CacheError(f"{staged.path}: two files of the dataset want this name")
    # Without a record the file was perhaps placed just before a kill: then it is the same.
    if before is None and final.is_file() and hash_file(final).sha256 != staged.sha256:
        raise _in_the_way(final)
    try:
        _rename(staged.staged, final)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise _in_the_way(final) from None
    return placed


def _rename(staged: Path, final: Path) -> None:
    try:
        staged.replace(final)
    except FileNotFoundError:
        final.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(final)


def _in_the_way(final: Path) -> CacheError:
    """Names the file or folder that is not ours: at the final name, or where one of its folders must be."""
    there = next(path for path in (final, *final.parents) if path.exists())
    return CacheError(
        f"{there} is in the way and was not written by medfetch", hint="move it away and run the command again"
    )
