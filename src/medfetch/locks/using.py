"""From a lock back to plans: the list of a dataset is its plan, and no host is asked what there is.

It must not know the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from medfetch import dois, locks, pins, planning, rehearsal
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import MedfetchError, UsageProblem
from medfetch.locks import Lock, Locked, lists
from medfetch.locks.addresses import Addresses
from medfetch.locks.lists import File, Planned
from medfetch.planning import Plan
from medfetch.types import Checksum, Entry, Part, Recipe, RemoteFile, Selection
from medfetch.wishes import Wish


def wanted(path: Path, names: Iterable[str], settings: Settings) -> list[tuple[Recipe, Wish]]:
    """What a lock pins, or those of it that are named, as the runner wants it.

    Raises: UsageProblem, RecipeError, CacheError; MedfetchError where the sandbox cannot have one.
    """
    lock = locks.read(path)
    check_rehearsal(lock, settings)
    found = []
    for locked in lock.named(names):
        recipe = rehearsal.stage(recipe_of(locked, settings), settings).recipe
        facts = lists.head(locked)[1]
        found.append((recipe, Wish(parts=tuple(facts["routes"]), archives=facts["archives"], locked=locked)))
    return found


def check_rehearsal(lock: Lock, settings: Settings) -> None:
    """Raises: UsageProblem where a rehearsal's lock is meant for the real hosts, or the other way round."""
    if lock.sandbox != settings.sandbox:
        made = "in a rehearsal" if lock.sandbox else "from the real hosts"
        raise UsageProblem(
            f"{lock.path} was made {made}", hint="add --sandbox" if lock.sandbox else "leave out --sandbox"
        )


def recipe_of(locked: Locked, settings: Settings) -> Recipe:
    """This machine's recipe of a locked dataset, which knows what is asked of people today, in the version that was
    locked; else the one that the lock has.

    Raises: UsageProblem, CacheError where the list cannot be read.
    """
    carried, _ = lists.head(locked)
    with suppress(MedfetchError):
        own = dois.load(locked.name, replace(settings, offline=True))
        if own.id == carried.id:
            return replace(own, version=carried.version)
    return carried


def parts_of(recipe: Recipe, carried: Recipe, names: Iterable[str]) -> list[Part]:
    """The parts that are locked, as a recipe has them; of one that it does not have, as the lock's has it."""
    known = {part.name: part for part in (*carried.parts, *recipe.parts)}
    return [known.get(name, Part(name, ())) for name in names]


def plan_id(locked: Locked) -> str:
    return hashlib.sha256(f"lock {locked.digest}".encode()).hexdigest()[:16]


def build(locked: Locked, home: Home, settings: Settings) -> Plan:
    """The plan that a list is, with its pins.

    Raises: CacheError where the list is damaged; RecipeError for a path that cannot be used; DiskFull.
    """
    carried, facts = lists.head(locked)
    header = {
        **facts,
        "dataset": carried.id,
        "version": carried.version,
        "recipe": carried.digest,
        "origin": carried.origin,
        "lock": locked.digest,
    }

    def pinned(folder: Path) -> None:
        rows = ((planned.entry, (file.pin for file in files)) for planned, files in lists.with_files(locked))
        pins.write(folder, rows)

    return planning.build(
        home, plan_id(locked), _entries(locked, facts["routes"], settings), Selection(),
        header=lambda: header, make_way=lambda: None, beside=pinned,
    )  # fmt: skip


def _entries(
    locked: Locked, routes: Mapping[str, list[dict[str, Any]]], settings: Settings
) -> Iterator[tuple[str, Entry]]:
    addresses = {part: Addresses(ways[0]["source"], settings) for part, ways in routes.items()}
    for planned, files in lists.with_files(locked):
        _check_paths(planned.entry)
        yield planned.part, addresses[planned.part].own(_checked(planned, list(islice(files, 2))))


def _check_paths(entry: Entry) -> None:
    """What sources promise of paths, others need not keep. Raises: RecipeError."""
    if isinstance(entry, RemoteFile):
        folders = [entry.unpack.into] if entry.unpack and entry.unpack.into else []
        members = entry.unpack.members if entry.unpack else ()
        for path in (*folders, *(member.name for member in members), *(piece.path for piece in entry.pieces)):
            planning.check_path(path)


def _checked(planned: Planned, files: list[File]) -> Entry:
    """An entry with the digest of the one file that it is, so that where one address has another the next is asked."""
    entry = planned.entry
    if not isinstance(entry, RemoteFile) or len(files) != 1:
        return entry
    [file] = files
    sha256 = Checksum("sha256", file.sha256)
    itself = file.path == entry.path or (entry.dicom and not entry.unpack)
    return replace(entry, checksums=(*entry.checksums, sha256)) if itself and sha256 not in entry.checksums else entry
