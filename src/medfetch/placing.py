"""The last step of a file: from its temporary name to its final one. Only whole, verified files come here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from medfetch import packs, piles
from medfetch.cache import Home
from medfetch.checksum import hash_file
from medfetch.errors import CacheError, IntegrityError
from medfetch.ledger import Ledger, Placed
from medfetch.state import Shard
from medfetch.types import Assurance


@dataclass(frozen=True, slots=True)
class Staged:
    """A verified file that waits for its final name."""

    staged: str
    """Where it is now."""
    path: str
    """The final name, relative to the home."""
    key: str | None
    size: int
    sha256: str
    assurance: Assurance
    checked: str | None
    source: str
    host: str
    at: int | None = None
    """Where it begins, if it is not all of the file that ``staged`` names."""


def accept(
    home: Home, before: Placed | None, unit: str, staged: Staged, planned: Callable[[str], bool], *,
    packed: bool = False,
) -> Placed:  # fmt: skip
    """The record of a file whose final name is free; ``before`` is what is known of that name, ``planned`` tells a
    plan's units. In a ``packed`` home no file gets that name.

    It is written down first and renamed then: a run that is killed in between is finished by ``finish``.
    Raises:
        IntegrityError: the host publishes no checksum, and the bytes are not those first seen.
        CacheError: a file that medfetch did not write is in the way, or another one of the same plan.
    """
    if before and before.sha256 != staged.sha256:
        decided = Assurance.PUBLISHED in (before.assurance, staged.assurance) or staged.assurance is Assurance.LOCKED
        if before.unit == unit and not decided:
            raise IntegrityError(
                f"{staged.path}: the bytes are not those first seen (sha256 {before.sha256[:16]}…), and the host"
                " publishes no checksum that could decide"
            )
        # Of another plan it is an older or newer version, which gives way.
        if before.unit != unit and planned(before.unit):
            raise CacheError(f"{staged.path}: two files of the dataset want this name")
    if not packed:
        _check_free(f"{home.root}{os.sep}{staged.path}", None if before else staged.sha256)
    return Placed(
        staged.path, unit, staged.key, staged.size, staged.sha256, staged.assurance, staged.checked, staged.source,
        staged.host,
    )  # fmt: skip


def _check_free(final: str, sha256: str | None) -> None:
    try:
        os.lstat(final)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        raise in_the_way(Path(final)) from None
    else:
        _look(Path(final), sha256)


def move(staged: str, final: str) -> None:
    """Gives a file its final name, and makes the folder where there is none yet."""
    try:
        os.replace(staged, final)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(final), exist_ok=True)
        os.replace(staged, final)


def left_in(home: Home) -> frozenset[str]:
    """What lies in the folder of temporary names; most often nothing, and to look for each file would take longer."""
    try:
        return frozenset(os.listdir(home.partial))
    except FileNotFoundError:  # as in a copy without empty folders
        return frozenset()


def finish(home: Home, shard: Shard, left: frozenset[str]) -> None:
    """Gives their names to files that are written down and were not renamed any more, because the run was killed."""
    partial, root = f"{home.partial}{os.sep}", f"{home.root}{os.sep}"
    for path, staged in shard.unnamed():
        if pile := packs.pile_of(staged):
            piles.finish(home, pile)
        elif staged in left or (os.sep in staged and os.path.exists(partial + staged)):
            move(partial + staged, root + path)


def hand_over(home: Home, shards: Iterable[Path], ledger: Ledger, *, durable: bool = True) -> None:
    """Enters into the ledger what the shards have placed, also what a killed run left half done."""
    left = left_in(home)
    for path in shards:
        with closing(Shard(path, durable=durable)) as shard:
            finish(home, shard, left)
            shard.move_to(ledger.path)


def _look(final: Path, sha256: str | None) -> None:
    """Raises CacheError where a file must not be replaced; with a digest, unless it has that one."""
    # Without a record it may be from a plan that was thrown away: then it is the same.
    if not final.is_file() or (sha256 and hash_file(final).sha256 != sha256):
        raise in_the_way(final)


def in_the_way(final: Path) -> CacheError:
    """Names the file or folder that is not ours: at the final name, or where one of its folders must be."""
    there = next(path for path in (final, *final.parents) if os.path.lexists(path))
    return CacheError(
        f"{there} is in the way and was not written by medfetch", hint="move it away and run the command again"
    )
