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
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from medfetch import cache
from medfetch.cache import Home
from medfetch.errors import RecipeError, UsageProblem
from medfetch.state import Shard, create_shard
from medfetch.types import Entry, Group, Recipe, Route, Selection

SHARD_FILES = 20_000
SHARD_BYTES = 20 * 10**9
FIRST_SHARDS = 8
"""The first shards are smaller, so that a small plan keeps several processes busy too."""
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
    def totals(self) -> dict[str, Any]:
        return dict(self.header["totals"])

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """(part, entry), streamed from disk in their order."""
        for path in self.shards:
            shard = Shard(path)
            try:
                yield from shard.entries()
            finally:
                shard.close()


def matches(entry: Entry, selection: Selection) -> bool:
    """Whether an entry is wanted: for each facet asked for, one of its patterns fits."""
    for facet, patterns in selection.facets.items():
        if facet == "path":
            wanted = any(_path_fits(entry, pattern) for pattern in patterns)
        else:
            value = entry.facets.get(facet, "")
            wanted = any(fnmatchcase(value, pattern) for pattern in patterns)
        if not wanted:
            return False
    return True


def _path_fits(entry: Entry, pattern: str) -> bool:
    # A pattern that reaches into a group's folder wants the group: its files' names are not known yet.
    if isinstance(entry, Group):
        depth = entry.path.count("/") + 1
        pattern = "/".join(pattern.split("/")[:depth])
    return fnmatchcase(entry.path, pattern) or fnmatchcase(entry.path, f"{pattern.rstrip('/')}/*")


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


def load(home: Home, plan_id: str) -> Plan | None:
    """The plan of that name, None where there is none or its making was interrupted."""
    header = cache.read_json(home.plans / plan_id / "plan.json")
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
) -> Plan:
    """Streams (part, entry) into shards; nothing is held whole. ``header`` is asked when all have passed, and
    ``make_way`` before the plan gets its name.

    Where another process makes the same plan at the same time, the first one's is taken.
    Raises: UsageProblem where nothing matches; RecipeError for a path that cannot be used; CacheError, DiskFull.
    """
    making = home.plans / f".{plan_id}.{secrets.token_hex(4)}"
    with cache.disk_errors(home.root):
        making.mkdir(parents=True)
    try:
        with cache.disk_errors(home.root):
            content = _write(making, entries, selection, header)
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
) -> Mapping[str, Any]:
    """Makes the shards and, last, the header."""
    matching = ((part, _checked(entry)) for part, entry in entries if matches(entry, selection))
    wanted = itertools.islice(matching, selection.limit)
    totals = _Totals()
    number = 0
    for number, rows in enumerate(_cut(wanted, totals), 1):
        create_shard(folder / f"{number - 1:05d}.sqlite", rows)
    if not number:
        asked = ", ".join(f"{facet}={','.join(values)}" for facet, values in selection.facets.items())
        raise UsageProblem(f"nothing matches {asked or 'this recipe'}", hint="medfetch info NAME shows what there is")
    content = {**header(), "shards": number, "parts": totals.parts, "totals": totals.all()}
    cache.sync_folder(folder)
    cache.write_json(folder / "plan.json", content)
    return content


def _cut(entries: Iterable[tuple[str, Entry]], totals: _Totals) -> Iterator[list[tuple[str, Entry]]]:
    """Batches that become shards: bounded by files and by bytes, the first ones smaller."""
    rows: list[tuple[str, Entry]] = []
    files = size = made = 0
    for part, entry in entries:
        count = (entry.files or 1) if isinstance(entry, Group) else 1
        share = 1 if made >= FIRST_SHARDS else 16
        if rows and (files + count > SHARD_FILES // share or size + (entry.size or 0) > SHARD_BYTES // share):
            yield rows
            made += 1
            rows, files, size = [], 0, 0
        rows.append((part, entry))
        files += count
        size += entry.size or 0
        totals.add(part, entry)
    if rows:
        yield rows


class _Totals:
    """Counts by part while entries stream by."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, int]] = {}

    def add(self, part: str, entry: Entry) -> None:
        counts = self.parts.setdefault(
            part, {"series": 0, "files": 0, "bytes": 0, "unknown_sizes": 0, "archive_bytes": 0, "entries": 0}
        )
        counts["entries"] += 1
        if isinstance(entry, Group):
            counts["series"] += 1
            counts["files"] += entry.files or 0
        else:
            counts["files"] += 1
            counts["archive_bytes"] += (entry.size or 0) if entry.unpack else 0
        counts["bytes"] += entry.size or 0
        counts["unknown_sizes"] += entry.size is None

    def all(self) -> dict[str, int]:
        keys = next(iter(self.parts.values())) if self.parts else {}
        return {key: sum(counts[key] for counts in self.parts.values()) for key in keys}


def _checked(entry: Entry) -> Entry:
    """Refuses a path that would leave the home, or that no file system could hold.

    Raises: RecipeError.
    """
    path = entry.path
    names = path.split("/")
    if {"", ".", ".."} & set(names) or "\0" in path or names[0] == cache.INNER:
        raise RecipeError(
            f"the path {path!r} cannot be used", hint="paths are relative, without '.', '..' and empty names"
        )
    for name in names:
        if len(name.encode()) > LONGEST_NAME:
            raise RecipeError(f"the name {name[:40]!r}… has more than {LONGEST_NAME} bytes", hint="shorten the path")
    return entry
