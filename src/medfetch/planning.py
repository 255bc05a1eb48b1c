"""From a stream of entries to shards on disk, and back. It must not know sources or the network.

A plan is a folder: ``plan.json`` (written last: without it there is no plan) and numbered SQLite shards.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from medfetch import cache, storage
from medfetch.cache import Home
from medfetch.entries import files as files_of
from medfetch.errors import RecipeError, UsageProblem
from medfetch.patterns import fits
from medfetch.places import Places
from medfetch.state import Shard, create_shard
from medfetch.types import Entry, Group, Recipe, RemoteFile, Route, Selection

FORMAT = 1
"""Of a plan's header; its shards have their own (``state.VERSION``)."""
SHARD_FILES = 20_000
SHARD_BYTES = 20 * 10**9
FIRST_SHARDS, SMALLEST = 4, 512
"""So many shards are a 512th of that, so many a 256th and so on. They are worked off in the opposite
order: the last ones, at which one process works while others have nothing left to do, are a small part of the plan."""
AT_ONCE = 1000
"""Entries that are read together."""
LONGEST_NAME = 255
"""Bytes of one path component on the usual file systems (NAME_MAX)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The header of a plan; its entries are on disk."""

    id: str
    home: Home
    header: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        return self.home.plans / self.id

    @property
    def shards(self) -> list[Path]:
        return [self.folder / f"{number:05d}.sqlite" for number in range(self.header["shards"])]

    @property
    def token(self) -> str:
        """Another one each time that the plan is made: by its name alone it might be one with other entries."""
        return f"{self.id}.{self.header['token']}"

    @property
    def totals(self) -> dict[str, Any]:
        return dict(self.header["totals"])

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Files and bytes of each shard, where known beforehand."""
        # Plans of an earlier medfetch do not say.
        return [(files, size) for files, size in self.header.get("sizes") or [(1, 0)] * self.header["shards"]]

    @property
    def costs(self) -> bool:
        """Whether the person is charged for what is fetched."""
        return any(way["locator"].get("requester_pays") for ways in self.header["routes"].values() for way in ways)

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """(part, entry), streamed from disk in their order."""
        for path in self.shards:
            with closing(Shard(path, watching=True)) as shard:
                yield from shard.entries()


def waiting(plan: Plan) -> Iterator[tuple[str, Entry]]:
    """(part, entry) of what is not done, as far as plan and ledger were compared."""
    for path in plan.shards:
        with closing(Shard(path)) as shard:
            after = 0
            while rows := shard.todo(after, AT_ONCE):
                yield from ((part, entry) for _, part, _, entry in rows)
                after = rows[-1][0]


def tally(plan: Plan) -> dict[str, int]:
    """Entries, files and bytes in all and done, and entries that failed; files and bytes where known beforehand."""
    totals = plan.totals
    missing = dict.fromkeys(("entries", "files", "bytes", "failed", "untried"), 0)
    for path in plan.shards:
        for key, value in open_in(path).items():
            missing[key] += value
    return {
        "entries": totals["entries"], "done": totals["entries"] - missing["entries"], "failed": missing["failed"],
        "files": totals["files"], "files_done": totals["files"] - missing["files"],
        "bytes": totals["bytes"], "bytes_done": totals["bytes"] - missing["bytes"],
    }  # fmt: skip


def open_in(shard: Path) -> dict[str, int]:
    """Entries of a shard that are not done, with their files and bytes (``Shard.open``)."""
    with closing(Shard(shard, watching=True)) as opened:
        return opened.open()


def matches(entry: Entry, selection: Selection) -> bool:
    """Whether an entry is wanted: for each facet asked for, one of its patterns fits."""
    for facet, patterns in selection.facets.items():
        if facet == "path":
            wanted = _path_fits(entry, patterns)
        else:
            value = entry.facets.get(facet, "")
            wanted = any(fnmatchcase(value, pattern) for pattern in patterns)
        if not wanted:
            return False
    return True


def _path_fits(entry: Entry, patterns: tuple[str, ...]) -> bool:
    # A pattern that reaches into a group's folder wants the group: its files' names are not known yet.
    if isinstance(entry, Group):
        depth = entry.path.count("/") + 1
        patterns = tuple("/".join(pattern.split("/")[:depth]) for pattern in patterns)
    unpack = entry.unpack if isinstance(entry, RemoteFile) else None
    # Of an archive that is to be unpacked in part the members were chosen; or the folder that receives it all is meant.
    if unpack and (unpack.only or unpack.members or (unpack.into and fits(unpack.into, patterns))):
        return True
    return fits(entry.path, patterns)


def identity(recipe: Recipe, routes: Mapping[str, list[Route]], selection: Selection, archives: str) -> str:
    """The name of a plan: what was asked of which recipe's parts by which ways."""
    asked = {
        "recipe": recipe.digest,
        "routes": {part: [[way.source, dict(way.locator)] for way in ways] for part, ways in routes.items()},
        "archives": archives,
        "select": {facet: sorted(values) for facet, values in sorted(selection.facets.items())},
        "limit": selection.limit,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]


def lease(shard: Path) -> Path:
    """Of whoever works on a shard."""
    return shard.with_suffix(".lease")


def ended(shard: Path) -> Path:
    """There when everything in a shard was tried by one of several tasks, so that no other has to look."""
    return shard.with_suffix(".ended")


def word(source: str, locator: Mapping[str, Any], into: str = "") -> tuple[str, str, str]:
    """A way as it can be compared with what stands in a plan."""
    return source, json.dumps(dict(locator), sort_keys=True), into


def load(home: Home, plan_id: str) -> Plan | None:
    """The plan of that name, None where there is none or its making was interrupted.

    Raises: CacheError where it cannot be read, or is one of a newer medfetch.
    """
    header = storage.read_json(path := home.plans / plan_id / "plan.json")
    storage.check_format(header, FORMAT, path)
    return Plan(plan_id, home, header) if header else None


def all_of(home: Home) -> list[Plan]:
    """The plans of a home, oldest first."""
    found = [load(home, path.parent.name) for path in home.plans.glob("[!.]*/plan.json")]
    return sorted((plan for plan in found if plan), key=lambda plan: (plan.header["made"], plan.id))


def build(
    home: Home,
    plan_id: str,
    entries: Iterable[tuple[str, Entry]],
    selection: Selection,
    header: Callable[[], Mapping[str, Any]],
    make_way: Callable[[], None],
    hint: Callable[[], str | None] = lambda: None,
    beside: Callable[[Path], None] = lambda folder: None,
) -> Plan:
    """Streams (part, entry) into shards; nothing is held whole. ``header`` is asked when all have passed, ``beside``
    puts into the folder what else belongs to the plan, ``make_way`` is called before the plan gets its name, and
    ``hint`` for advice where nothing matches.

    Where another process makes the same plan at the same time, the first one's is taken.
    Raises: UsageProblem where nothing matches; RecipeError for a path that cannot be used; CacheError, DiskFull.
    """
    making = home.plans / f".{plan_id}.{secrets.token_hex(4)}"
    with storage.disk_errors(home.root):
        making.mkdir(parents=True)
    try:
        with storage.disk_errors(home.root):
            content = _write(making, entries, selection, header, hint, beside)
            make_way()
            try:
                making.rename(home.plans / plan_id)
            except OSError:
                if (first := load(home, plan_id)) is None:
                    raise
                return first
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return Plan(plan_id, home, content)


def _write(
    folder: Path,
    entries: Iterable[tuple[str, Entry]],
    selection: Selection,
    header: Callable[[], Mapping[str, Any]],
    hint: Callable[[], str | None],
    beside: Callable[[Path], None],
) -> Mapping[str, Any]:
    """Makes the shards and, last, the header."""
    if selection.facets:
        entries = ((part, entry) for part, entry in entries if matches(entry, selection))
    places = Places()
    cut = _Cut(places.noted(itertools.islice(entries, selection.limit)))
    number = 0
    while cut.more():
        create_shard(folder / f"{number:05d}.sqlite", cut.shard())
        number += 1
    if not number:
        asked = ", ".join(f"{facet}={','.join(values)}" for facet, values in selection.facets.items())
        advice = hint() or "medfetch info NAME shows what there is"
        raise UsageProblem(f"nothing matches {asked or 'this recipe'}", hint=advice)
    places.check(_read(folder, number))
    beside(folder)
    content = {
        "format": FORMAT,
        **header(),
        "token": secrets.token_hex(8),
        "shards": number,
        "sizes": cut.sizes,
        "parts": cut.parts(),
        "totals": cut.totals(),
    }
    storage.sync_folder(folder)
    storage.write_json(folder / "plan.json", content)
    return content


def _read(folder: Path, shards: int) -> Iterator[tuple[str, Entry]]:
    for number in range(shards):
        with closing(Shard(folder / f"{number:05d}.sqlite")) as shard:
            yield from shard.entries()


class _Cut:
    """Cuts a stream of (part, entry) into shards, bounded by files and by bytes, the first ones smaller; and counts.

    A shard is streamed too: it is never held whole.
    """

    def __init__(self, entries: Iterable[tuple[str, Entry]]) -> None:
        self._entries = iter(entries)
        self._waiting = list(itertools.islice(self._entries, 1))
        """The first entry of the next shard, if there is one."""
        self._made = 0
        self._counts: dict[str, _Counts] = {}
        self.sizes: list[list[int]] = []
        """Files and bytes of each shard so far."""

    def more(self) -> bool:
        return bool(self._waiting)

    def shard(self) -> Iterator[tuple[str, Entry]]:
        """The entries of the next shard."""
        share = max(1, SMALLEST >> self._made // FIRST_SHARDS)
        most_files, most_bytes = SHARD_FILES // share, SHARD_BYTES // share
        shard, files, size = self._made, 0, 0
        self._made += 1
        rest, self._waiting = itertools.chain(self._waiting, self._entries), []
        for part, entry in rest:
            number, length = files_of(entry) or 1, entry.size or 0
            if files and (files + number > most_files or size + length > most_bytes):
                self._waiting = [(part, entry)]
                return
            files += number
            size += length
            self.sizes[shard:] = [[files, size]]
            check_path(entry.path)
            self._count(part, entry)
            yield part, entry

    def _count(self, part: str, entry: Entry) -> None:
        if (counts := self._counts.get(part)) is None:
            counts = self._counts[part] = _Counts()
        counts.entries += 1
        if isinstance(entry, Group):
            counts.series += 1
            counts.files += entry.files or 0
        elif entry.unpack and (members := entry.unpack.members):
            counts.files += len(members)
            counts.members += len(members)
            counts.archive_bytes += sum(member.size for member in members)
        else:
            counts.files += 1
            if entry.unpack:
                counts.archive_bytes += entry.size or 0
        if entry.size is None:
            counts.unknown_sizes += 1
        else:
            counts.bytes += entry.size

    def parts(self) -> dict[str, dict[str, int]]:
        return {part: asdict(counts) for part, counts in self._counts.items()}

    def totals(self) -> dict[str, int]:
        parts = self.parts().values()
        return {each.name: sum(counts[each.name] for counts in parts) for each in fields(_Counts)}


@dataclass(slots=True)
class _Counts:
    """Of one part."""

    series: int = 0
    files: int = 0
    bytes: int = 0
    unknown_sizes: int = 0
    archive_bytes: int = 0
    """That archives will have when they are unpacked: of members as their directory says, else as many as they have."""
    entries: int = 0
    members: int = 0
    """Files that are fetched singly out of archives."""


def check_path(path: str) -> None:
    """Refuses a path that would leave the home, or that no file system could hold.

    Raises: RecipeError.
    """
    framed = f"/{path}/"
    if "//" in framed or "/./" in framed or "/../" in framed or "\0" in path or framed.startswith(f"/{cache.INNER}/"):
        raise RecipeError(
            f"the path {path!r} cannot be used", hint="paths are relative, without '.', '..' and empty names"
        )
    if len(path) > LONGEST_NAME // 4:  # characters, of at most four bytes
        for name in path.split("/"):
            if len(name.encode()) > LONGEST_NAME:
                raise RecipeError(
                    f"the name {name[:40]!r}… has more than {LONGEST_NAME} bytes", hint="shorten the path"
                )
