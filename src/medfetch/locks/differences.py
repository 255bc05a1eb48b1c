"""What changed from one lock to another. It must not know plans, the cache or the network.

Lists may be longer than memory: they are sorted by pieces, on disk, and then compared line by line.
"""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from itertools import islice
from typing import IO, Any

from medfetch.locks import ENTRIES, LIST, Lock, Locked, lists
from medfetch.locks.lists import Planned
from medfetch.types import Entry, Group

AT_ONCE = 100_000
"""Files that are sorted together in memory."""
UNTOLD = (LIST, ENTRIES, "series", "files", "bytes", "unknown_sizes", "digests", "tree", "planned")
"""Fields that change with the files, which are told one by one, and with every day."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it was."""

    dataset: str
    what: str
    """``dataset``, a field of it, ``file``, or ``digests`` (how many files have one now that had none, or no more)."""
    path: str | None
    before: Any
    after: Any

    def __str__(self) -> str:
        where = self.path or (self.what if self.what != "dataset" else "")
        name = f"{self.dataset}: {where}" if where else self.dataset
        if self.before is None:
            return f"+ {name}" + (f": {_told(self.after)}" if where else "")
        if self.after is None:
            return f"- {name}" + (f": {_told(self.before)}" if where else "")
        return f"~ {name}: {_told(self.before)} → {_told(self.after)}"


def between(before: Lock, after: Lock) -> Iterator[Change]:
    """Datasets that came or went, and of others the facts and files that changed. Raises: UsageProblem, CacheError."""
    old, new = _by_name(before), _by_name(after)
    for name, number in sorted({*old, *new}):
        one, other = old.get((name, number)), new.get((name, number))
        if one and other:
            yield from of_dataset(one, other)
        else:
            yield Change(name, "dataset", None, one and name, other and name)


def _by_name(lock: Lock) -> dict[tuple[str, int], Locked]:
    """One dataset may be there several times, with other selections: then their order tells."""
    found: dict[tuple[str, int], Locked] = {}
    for each in lock.datasets:
        found[each.name, sum(name == each.name for name, _ in found)] = each
    return found


def of_dataset(before: Locked, after: Locked) -> Iterator[Change]:
    """Likewise of one dataset."""
    for field in dict.fromkeys((*before.told, *after.told)):
        one, other = before.told.get(field), after.told.get(field)
        if field not in UNTOLD and one != other:
            yield Change(after.name, field, None, one, other)
    if before.digest != after.digest:
        yield from _files(before, after)


def _files(before: Locked, after: Locked) -> Iterator[Change]:
    """Files where both locks have those of an entry, else the entry itself."""
    more = less = 0
    told = ""
    """The entry of which both have the files, or which only one has."""
    for one, other in _pairs(before, after):
        each = other or one
        assert each is not None
        if each.is_entry and one and other:
            told = each.place if one.files and other.files else ""
            if told:
                continue
            more, less = more + other.files, less + one.files
        elif each.is_entry and each.files:
            told = each.place
            continue
        elif not each.is_entry and each.place != told:
            continue
        if not one or not other or one.differs(other):
            yield Change(after.name, "file", each.path, one and str(one), other and str(other))
    if more or less:
        yield Change(after.name, "digests", None, f"{less:,} files that have none now", f"{more:,} that had none")


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry or, behind it, a file that came of it."""

    place: str
    """The entry's alone, in one lock, and the same in both."""
    is_entry: bool
    path: str
    size: int | None
    digest: str | None
    key: str | None
    """What its source calls exactly that, where nothing else tells one version from another."""
    files: int
    """Of an entry, how many of its files are known by their digests."""

    @property
    def order(self) -> tuple[str, bool, str]:
        return self.place, not self.is_entry, self.path

    def __str__(self) -> str:
        size = f"{self.size:,} bytes" if self.size is not None else "size unknown"
        return ", ".join(filter(None, (size, self.digest or self.key)))

    def differs(self, other: _Row) -> bool:
        if self.size != other.size or self.key != other.key:
            return True
        kinds = {each.digest.partition(":")[0] for each in (self, other) if each.digest}
        return self.digest is not None and other.digest is not None and len(kinds) == 1 and self.digest != other.digest


def _pairs(before: Locked, after: Locked) -> Iterator[tuple[_Row | None, _Row | None]]:
    """The rows of both, side by side."""
    with ExitStack() as stack:
        old, new = (_sorted(each, stack) for each in (before, after))
        one, other = next(old, None), next(new, None)
        while one or other:
            first = min(row.order for row in (one, other) if row)
            pair = one if one and one.order == first else None, other if other and other.order == first else None
            yield pair
            one = next(old, None) if pair[0] else one
            other = next(new, None) if pair[1] else other


def _sorted(locked: Locked, stack: ExitStack) -> Iterator[_Row]:
    rows, piles = _rows(locked), []
    while pile := sorted(islice(rows, AT_ONCE), key=lambda row: row.order):
        file = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))  # noqa: SIM115 the stack closes it
        file.writelines(f"{json.dumps(astuple(row))}\n" for row in pile)
        file.seek(0)
        piles.append(_read(file))
    return heapq.merge(*piles, key=lambda row: row.order)


def _read(file: IO[str]) -> Iterator[_Row]:
    return (_Row(*json.loads(line)) for line in file)


def _rows(locked: Locked) -> Iterator[_Row]:
    for planned, files in lists.with_files(locked):
        place, count = _place(planned.entry), 0
        for file in files:
            count += 1
            yield _Row(place, False, file.path, file.size, f"sha256:{file.sha256}", None, 0)
        yield _entry(planned, place, count)


def _entry(planned: Planned, place: str, files: int) -> _Row:
    entry = planned.entry
    if isinstance(entry, Group):
        return _Row(place, True, entry.path, entry.size, None, entry.key, files)
    digest = str(entry.checksums[0]) if entry.checksums else None
    return _Row(place, True, entry.path, entry.size, digest, None, files)


def _place(entry: Entry) -> str:
    """Several files of one series, or members of one archive, may be entries of one path."""
    if isinstance(entry, Group) or not (entry.dicom or (entry.unpack and (entry.unpack.only or entry.unpack.members))):
        return entry.path
    return f"{entry.path}\0{entry.key}"


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
