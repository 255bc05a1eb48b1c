"""What a dataset or a plan has, counted: series by modality, files by kind and folder, sizes, subjects.

Nothing is held but the counts and the subjects' names. It must not know how they are shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from medfetch import requirements, sources
from medfetch.errors import Unreachable
from medfetch.types import Alike, Entry, Group, Recipe, Route, Selection

STEPS = [digit * 10**power for power in range(16) for digit in (1, 2, 5)]
"""Bytes: 1, 2, 5, 10, 20, 50 …"""
UNKNOWN = "unknown"
COUNTED_IN_FOLDERS = 2
"""Levels of folders."""
NAMED = 12
"""So many files are known by name, too."""


@dataclass(slots=True)
class Count:
    """Of series, or of files, that have something in common."""

    number: int = 0
    bytes: int = 0
    """Of those whose size is known."""
    subjects: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Survey:
    """What was counted. Series are in ``modalities`` and ``series_sizes``, all other files in the rest."""

    modalities: dict[str, Count] = field(default_factory=dict)
    series_sizes: Counter[int] = field(default_factory=Counter)
    """Number of series by where ``STEPS`` has their size: at this place or above it, and below the next."""
    subjects: Counter[str] = field(default_factory=Counter)
    """Bytes by subject, of series."""
    instances: int = 0
    """Files of series, where it is known beforehand how many they have."""
    kinds: dict[str, Count] = field(default_factory=dict)
    """By the end of their name."""
    folders: list[dict[str, Count]] = field(default_factory=lambda: [{} for _ in range(COUNTED_IN_FOLDERS)])
    """By the first folder, by the first two."""
    file_sizes: Counter[int] = field(default_factory=Counter)
    files: dict[str, int | None] = field(default_factory=dict)
    """Size by path, of the first ``NAMED`` and one more."""
    unknown_sizes: int = 0
    told_by: set[str] = field(default_factory=set)
    """Sources."""
    silent: list[str] = field(default_factory=list)
    """Parts of which only a host could tell."""

    @property
    def number(self) -> int:
        """Of series and files."""
        return sum(count.number for count in (*self.modalities.values(), *self.kinds.values()))

    @property
    def bytes(self) -> int:
        return sum(count.bytes for count in (*self.modalities.values(), *self.kinds.values()))

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if isinstance(entry, Group):
                subject, modality = entry.facets.get("subject"), entry.facets.get("modality")
                self.add_alike([Alike(subject, modality, entry.files or 0, [entry.size])])
            elif entry.unpack and entry.unpack.members:
                for member in entry.unpack.members:
                    self._add_file(str(PurePosixPath(entry.unpack.into, member.name)), member.size)
            else:
                self._add_file(entry.path, entry.size)

    def add_alike(self, series: Iterable[Alike]) -> None:
        for each in series:
            known = [size for size in each.sizes if size is not None]
            count, size = self.modalities.setdefault(each.modality or UNKNOWN, Count()), sum(known)
            count.number += len(each.sizes)
            count.bytes += size
            if each.subject:
                count.subjects.add(each.subject)
                self.subjects[each.subject] += size
            self.instances += each.files
            self.series_sizes.update(map(step, known))
            self.unknown_sizes += len(each.sizes) - len(known)

    def _add_file(self, path: str, size: int | None) -> None:
        *folders, name = path.split("/")
        places = ["/".join(folders[:depth]) or "." for depth in range(1, COUNTED_IN_FOLDERS + 1)]
        known = [(self.kinds, kind(name)), *zip(self.folders, places, strict=True)]
        for counts, value in known:
            count = counts.setdefault(value, Count())
            count.number += 1
            count.bytes += size or 0
        if len(self.files) <= NAMED:
            self.files[path] = size
        self._add_size(self.file_sizes, size)

    def _add_size(self, sizes: Counter[int], size: int | None) -> None:
        if size is None:
            self.unknown_sizes += 1
        else:
            sizes[step(size)] += 1


def step(size: int) -> int:
    """Where ``STEPS`` has a size; below 1 it counts as 1."""
    return max(0, bisect_right(STEPS, size) - 1)


def kind(name: str) -> str:
    """What the end of a file's name says: ``.nii.gz``, ``.dcm``."""
    ends = [end for end in PurePosixPath(name).suffixes[-2:] if end[1:].isalnum() and not end[1:].isdigit()]
    if not ends:
        return "no ending"
    packed = len(ends) == 2 and ends[1].lower() in (".gz", ".bz2", ".xz", ".zst")
    return "".join(ends if packed else ends[-1:]).lower()


def of_plan(entries: Iterable[tuple[str, Entry]], told_by: Iterable[str]) -> Survey:
    """What a plan has, of (part, entry) and the sources that told."""
    found = Survey(told_by=set(told_by))
    found.add(entry for _, entry in entries)
    return found


def of_recipe(recipe: Recipe) -> Survey:
    """What the default parts of a recipe have, as far as no host has to be asked: by an index, or the recipe itself.

    Raises: UsageProblem, RecipeError for a route that cannot be right.
    """
    found = Survey()
    for part in recipe.parts:
        if part.default and not _add_part(found, [route for route in requirements.ways(part) if _knows(route.source)]):
            found.silent.append(part.name)
    return found


def _add_part(found: Survey, routes: list[Route]) -> bool:
    """Counts what the first of some routes has that has anything; whether there was one."""
    before = found.number
    for route in routes:
        source = sources.get(route.source)
        if isinstance(source, sources.Counts):
            found.add_alike(source.count(route.locator))
        else:
            found.add(source.resolve(route.locator, NOBODY, Selection()))
        if found.number > before:
            found.told_by.add(route.source)
            return True
    return False


def _knows(source: str) -> bool:
    return sources.get(source).traits.offline


class _Nobody:
    """A ``sources.Net`` that asks nobody: a source that resolves without the network wants no more of it."""

    def endpoint(self, name: str) -> str:
        return ""

    def replaced(self, name: str) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        raise Unreachable(f"a host would have to be asked ({name})")


NOBODY = cast(sources.Net, _Nobody())
