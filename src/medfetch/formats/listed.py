"""What there is to describe of a dataset: each part, with what is planned of it, or else with what its recipe tells.

It must not know the network, nor how it is written.
"""

from __future__ import annotations

import mimetypes
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from medfetch import archives, entries, folders, requirements, sources
from medfetch.errors import UsageProblem
from medfetch.formats import Dataset
from medfetch.planning import word
from medfetch.types import Entry, Group, Part, RemoteFile, Route, Selection

MOST = 1000
"""FileObjects of one part: mlcroissant 1.1.1 takes 2 ms for each, and people read the document, too."""
PATTERNS = 20
"""Of one FileSet; where it would be more, all folders are meant."""
DICOM, ANYTHING = "application/dicom", "application/octet-stream"
ENDINGS = {".dcm": DICOM, ".7z": "application/x-7z-compressed"}
PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
KINDS = mimetypes.MimeTypes()
"""Without what this machine knows besides: the same document everywhere."""


def encoding(path: str) -> str:
    """The media type of a file, by its name."""
    ending = next((ending for ending in ENDINGS if path.lower().endswith(ending)), None)
    kind, packed = KINDS.guess_type(path)
    return ENDINGS[ending] if ending else PACKED.get(packed or "", ANYTHING) if packed else kind or ANYTHING


@dataclass(slots=True)
class Shapes:
    """Which files there are, as patterns by media type."""

    found: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, path: str) -> None:
        folder, slash, _ = path.partition("/")
        ending = next((each for each in (".nii.gz", ".tar.gz") if path.endswith(each)), None)
        name = path.rpartition("/")[2]
        ending = ending or (f".{name.rpartition('.')[2]}" if "." in name[1:] else "")
        self.found[encoding(path)].add(f"{_literal(folder)}/**/*{ending}" if slash else f"*{_literal(ending)}")

    def add_folder(self, path: str) -> None:
        self.found[ANYTHING].add(f"{_literal(path)}/**" if path else "**")

    def patterns(self) -> Iterator[tuple[str, list[str]]]:
        for kind, found in sorted(self.found.items()):
            if len(found) > PATTERNS:
                found = {f"**/{each.rpartition('/')[2]}" for each in found}
            yield kind, sorted(found)


@dataclass(slots=True)
class Listed:
    """A part, with what is planned of it; or, without a plan, with what its recipe tells."""

    part: Part
    route: Route
    narrowed: bool = False
    """Only some of it was selected."""
    files: int = 0
    size: int | None = 0
    kept: list[Entry] = field(default_factory=list)
    """All entries, if they are not too many."""
    whole: bool = True
    """Whether ``kept`` has all."""
    shapes: Shapes = field(default_factory=Shapes)

    def add(self, entry: Entry) -> None:
        self.files += entries.files(entry) or 1
        self.size = None if self.size is None or entry.size is None else self.size + entry.size
        if isinstance(entry, Group):
            self.shapes.add(f"{entry.path}/*.dcm") if "series" in entry.facets else self.shapes.add_folder(entry.path)
        elif entry.unpack:
            self.shapes.add_folder(entry.unpack.into)
        else:
            self.shapes.add(f"{entry.path}/*.dcm" if entry.dicom else entry.path)
        if len(self.kept) < MOST or self.narrowed:
            self.kept.append(entry)
        else:
            self.whole = False

    def as_part(self) -> Part:
        """The part as the manifest has it: what was selected, and nothing else."""
        if not self.narrowed:
            return replace(self.part, default=True)
        return replace(self.part, default=True, size=None, unpacked=None, routes=(_narrowed(self.route, self.kept),))


def parts_of(dataset: Dataset) -> list[Listed]:
    """The parts that are described, with what there is of each."""
    found: dict[str, Listed] = {}
    if not dataset.plans:
        for part in dataset.recipe.parts:
            for route in requirements.ways(part)[:1]:
                found[part.name] = Listed(part, route)
                for entry in _told(route):
                    found[part.name].add(entry)
        return list(found.values())
    met: set[tuple[str, str]] = set()
    for made in dataset.plans:
        narrowed = bool(made.header["select"] or made.header["limit"] is not None)
        for part in (part for part in dataset.recipe.parts if part.name in made.header["routes"]):
            route = _route(part, made.header["routes"][part.name][0])
            each = found.setdefault(part.name, Listed(part, route, narrowed))
            each.narrowed = each.narrowed and narrowed
        for name, entry in made.entries():
            if len(dataset.plans) > 1:  # they may have some in common
                if (entry.path, entry.key) in met:
                    continue
                met.add((entry.path, entry.key))
            if name in found:
                found[name].add(entry)
    return list(found.values())


def _route(part: Part, way: Mapping[str, Any]) -> Route:
    """The route by which a part was planned."""
    same = (route for route in part.routes if word(route.source, route.locator, route.into) == word(**way))
    return next(same, Route(way["source"], way["locator"], into=way["into"]))


class _Unasked:
    """Hosts by their own addresses, and none that is asked (``sources.Net``)."""

    def __init__(self, source: sources.Source) -> None:
        self._own = source.traits.endpoints

    def endpoint(self, name: str) -> str:
        return self._own[name]

    def replaced(self, name: str) -> bool:
        return False


def _told(route: Route) -> Iterator[Entry]:
    """The files that a recipe names itself."""
    source = sources.get(route.source)
    if "files" in route.locator and source.traits.offline:
        found = source.resolve(route.locator, cast(sources.Net, _Unasked(source)), Selection())
        yield from folders.put(archives.unpacking(found, route.unpack), route.into)


def unlisted(route: Route) -> Shapes:
    """What is known of files that nobody has listed yet."""
    shapes = Shapes()
    if {"series", "study"} <= set(sources.get(route.source).traits.facets):  # those of DICOM
        shapes.found[DICOM].add(f"{_literal(route.into)}/**/*.dcm" if route.into else "**/*.dcm")
    else:
        shapes.add_folder(route.into)
    return shapes


def _narrowed(route: Route, kept: Iterable[Entry]) -> Route:
    """A route that has nothing but some of its entries.

    Raises: UsageProblem where it has no words for that.
    """
    locator = dict(route.locator)
    prefix = f"{route.into}/" if route.into else ""
    paths = [entry.path.removeprefix(prefix) for entry in kept]
    if all(isinstance(entry, Group) and "series" in entry.facets for entry in kept):
        host = {"host": locator["host"]} if "host" in locator else {}
        return replace(route, locator={**host, "series": sorted({entry.facets["series"] for entry in kept})})
    inside = any(isinstance(entry, RemoteFile) and entry.unpack and entry.unpack.members for entry in kept)
    numbered = any("range" in file for file in locator.get("files", ()))
    if inside or numbered or any(isinstance(entry, Group) for entry in kept):
        raise UsageProblem(
            "what was selected is a part of an archive, of an item or of a range, and has no description of its own",
            hint="describe all of it, without --select and --limit",
        )
    if "files" in locator:
        return replace(route, locator={**locator, "files": [f for f in locator["files"] if f["path"] in set(paths)]})
    return replace(route, locator={**locator, "path": [_literal(path) for path in paths]})


def _literal(text: str) -> str:
    """A pattern that fits a text and nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
