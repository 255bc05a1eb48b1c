"""Files as resources of Croissant: FileObjects of what has an address and a digest, FileSets of what is in archives,
and of what only its host can list.

A FileSet lies in a container. That of what only a host can list is a *manifest*: the recipe of it, which is small and
has a digest, so that it stands in the document itself (RFC 2397). No digest is made up for what has none.
It must not know the network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import quote, urlsplit

from medfetch import archives, entries, folders, recipe_data, requirements, sources
from medfetch.errors import UsageProblem
from medfetch.formats import Dataset
from medfetch.ledger import Ledger, Placed
from medfetch.locks.addresses import Addresses
from medfetch.planning import word
from medfetch.progress import counted, human
from medfetch.types import Entry, Group, Level, Part, Recipe, RemoteFile, Route, Selection

MOST = 1000
"""FileObjects of one part: mlcroissant 1.1.1 takes 2 ms for each, and people read the document, too."""
PATTERNS = 20
"""Of one FileSet; where it would be more, all folders are meant."""
RECIPE, RECIPE_FORMAT = "recipe", "application/vnd.medfetch.recipe+json"
"""The id and the format of the manifest: a recipe as in docs/recipes.md, in JSON."""
DICOM, ANYTHING = "application/dicom", "application/octet-stream"
ENDINGS = {".dcm": DICOM, ".7z": "application/x-7z-compressed"}
PACKED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
KINDS = mimetypes.MimeTypes()
"""Without what this machine knows besides: the same document everywhere."""
DIGESTS = ("sha256", "md5")
"""Those that a FileObject has room for."""
Node = dict[str, Any]


def distribution(dataset: Dataset) -> list[Node]:
    """The resources of a dataset. Raises: UsageProblem where a part of it has no description of its own."""
    nodes: list[Node] = []
    told: list[Part] = []
    with ExitStack() as stack:
        ledger = None
        if dataset.plans and dataset.home.ledger.exists():
            ledger = stack.enter_context(closing(Ledger(dataset.home.ledger, watching=True)))
        for listed in _listed(dataset):
            own = _objects(dataset, listed, ledger)
            if own is None:
                told.append(listed.as_part())
                own = list(_sets(listed, ledger))
            nodes += own
    if told or requirements.steps(dataset.recipe, dataset.recipe.parts):
        nodes.insert(0, _manifest(dataset.recipe, told))
    return nodes


def encoding(path: str) -> str:
    """The media type of a file, by its name."""
    ending = next((ending for ending in ENDINGS if path.lower().endswith(ending)), None)
    kind, packed = KINDS.guess_type(path)
    return ENDINGS[ending] if ending else PACKED.get(packed or "", ANYTHING) if packed else kind or ANYTHING


# -- what there is -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Shapes:
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
class _Listed:
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
    shapes: _Shapes = field(default_factory=_Shapes)
    met: set[tuple[str, str]] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        if (entry.path, entry.key) in self.met:
            return  # of two plans
        self.met.add((entry.path, entry.key))
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


def _listed(dataset: Dataset) -> list[_Listed]:
    """The parts that are described, with what there is of each."""
    found: dict[str, _Listed] = {}
    for made in dataset.plans:
        narrowed = bool(made.header["select"] or made.header["limit"] is not None)
        for part in (part for part in dataset.recipe.parts if part.name in made.header["routes"]):
            listed = found.setdefault(part.name, _Listed(part, _route(part, made.header["routes"][part.name][0])))
            listed.narrowed = narrowed
        for name, entry in made.entries():
            if name in found:
                found[name].add(entry)
    if dataset.plans:
        return list(found.values())
    for part in dataset.recipe.parts:
        for route in requirements.ways(part)[:1]:
            found[part.name] = _Listed(part, route)
            for entry in _told(route):
                found[part.name].add(entry)
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
    if inside or any(isinstance(entry, Group) for entry in kept):
        raise UsageProblem(
            "what was selected is a part of an archive, or of an item, and has no address of its own",
            hint="describe all of it, without --select and --limit",
        )
    if "files" in locator:
        return replace(route, locator={**locator, "files": [f for f in locator["files"] if f["path"] in set(paths)]})
    return replace(route, locator={**locator, "path": [_literal(path) for path in paths]})


# -- what has an address -----------------------------------------------------------------------------------------------


def _objects(dataset: Dataset, listed: _Listed, ledger: Ledger | None) -> list[Node] | None:
    """A part as FileObjects, and FileSets of what is in its archives; None where it cannot be told so."""
    if not listed.whole or not listed.kept:
        return None
    nodes: list[Node] = []
    for entry in listed.kept:
        if isinstance(entry, Group) or (url := _address(dataset, listed, entry)) is None:
            return None
        complete, placed = ledger.unit(entries.unit(entry), entry.path) if ledger else (False, [])
        digests = {each.algorithm: each.hex for each in entry.checksums if each.algorithm in DIGESTS}
        if complete and not entry.unpack:
            digests.setdefault("sha256", placed[0].sha256)
        if not digests:
            return None
        ordered = {name: digests[name] for name in DIGESTS if name in digests}
        kind = "archive" if entry.unpack else "file"
        size = entry.size if entry.size is not None or not complete or entry.unpack else placed[0].size
        nodes.append({**_object(f"{kind}/{quote(entry.path)}", entry.path, url, size), **ordered})
        if entry.unpack:
            nodes += _members(entry, entry.unpack.into, nodes[-1]["@id"], placed if complete else [])
    return nodes


def _object(name: str, path: str, url: str, size: int | None) -> Node:
    told = {} if size is None else {"contentSize": f"{size} B"}
    return {
        "@type": "cr:FileObject", "@id": name, "name": path, "contentUrl": url, **told,
        "encodingFormat": encoding(path),
    }  # fmt: skip


def _members(archive: RemoteFile, into: str, container: str, placed: list[Placed]) -> Iterator[Node]:
    """What is in an archive; the name of the FileSets is the folder that receives it."""
    prefix = f"{into}/" if into else ""
    shapes = _Shapes()
    for each in placed:
        shapes.add(each.path.removeprefix(prefix))
    if not placed:
        shapes.add_folder("")
    name = f"set/{quote(archive.path)}"
    for number, (kind, patterns) in enumerate(shapes.patterns(), 1):
        yield _set(f"{name}/{number}", f"{prefix or './'}", container, kind, patterns)
    if len(placed) <= MOST:
        yield from (_inside(each, each.path.removeprefix(prefix), container) for each in placed)


def _set(name: str, title: str, container: str, kind: str, patterns: list[str], text: str = "") -> Node:
    told = {"description": text} if text else {}
    return {
        "@type": "cr:FileSet", "@id": name, "name": title, **told, "containedIn": {"@id": container},
        "encodingFormat": kind, "includes": patterns,
    }  # fmt: skip


def _inside(placed: Placed, path: str, container: str) -> Node:
    """A file in the cache that came out of a container."""
    node = _object(f"file/{quote(placed.path)}", placed.path, path, placed.size)
    return {**node, "containedIn": {"@id": container}, "sha256": placed.sha256}


def _address(dataset: Dataset, listed: _Listed, file: RemoteFile) -> str | None:
    """A file's address at its host, if anybody gets it there by no more than asking for it."""
    source = sources.get(listed.route.source)
    unpack = file.unpack
    if file.dicom or file.pieces or file.excerpt or isinstance(source, sources.Links):
        return None
    if unpack and (unpack.members or unpack.only or archives.kind(file.path) != unpack.kind):
        return None
    # A log-in may be sent along that nobody asks for.
    part = replace(listed.part, routes=(listed.route,))
    if file.credential and (dataset.recipe.access.level != Level.OPEN or requirements.steps(dataset.recipe, [part])):
        return None
    public = Addresses(listed.route.source, dataset.settings).public(file) if dataset.settings else file
    urls = public.urls if isinstance(public, RemoteFile) else ()
    return next((url for url in urls if urlsplit(url).scheme in ("http", "https")), None)


# -- what only its host can list ---------------------------------------------------------------------------------------


def _sets(listed: _Listed, ledger: Ledger | None) -> Iterator[Node]:
    """A part as FileSets in the manifest; with what is in the cache of it, if that is not too much: single files, and
    those of series. What is in archives has no digest of theirs to rest on, and is told by patterns alone."""
    part, route = listed.part, listed.route
    placed: list[Placed] = []
    if ledger and listed.whole and listed.files <= MOST:
        units = [ledger.unit(entries.unit(entry), entry.path) for entry in listed.kept]
        placed = [each for complete, files in units if complete for each in files]
        if not all(complete for complete, _ in units) or len(placed) > MOST:
            placed = []
    shapes = listed.shapes
    if placed:
        shapes = _Shapes()
        for each in placed:
            shapes.add(each.path)
    if not shapes.found:
        _unlisted(route, shapes)
    names = {}
    for number, (kind, patterns) in enumerate(shapes.patterns(), 1):
        names[kind] = f"set/{quote(part.name)}/{number}"
        yield _set(names[kind], part.name, RECIPE, kind, patterns, _words(listed))
    packed = [e.unpack.into for e in listed.kept if isinstance(e, RemoteFile) and e.unpack]
    if not packed:
        yield from (_inside(each, each.path, names[encoding(each.path)]) for each in placed)


def _unlisted(route: Route, shapes: _Shapes) -> None:
    """What is known of files that nobody has listed yet."""
    if {"series", "study"} <= set(sources.get(route.source).traits.facets):  # those of DICOM
        shapes.found[DICOM].add(f"{route.into}/**/*.dcm" if route.into else "**/*.dcm")
        return
    shapes.add_folder(route.into)


def _words(listed: _Listed) -> str:
    part = listed.part
    licence = f"Licence: {part.licence['id']}." if part.licence else ""
    size = f", {human(listed.size)}" if listed.size else ""
    planned = f"{counted(listed.files, 'file')}{size} to fetch." if listed.files else ""
    return " ".join(filter(None, (part.summary, planned, f"By {listed.route.source}, as the manifest says.", licence)))


def _manifest(recipe: Recipe, parts: list[Part]) -> Node:
    content = recipe_data.content(replace(recipe, id="croissant", also=()), parts)
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    url = f"data:{RECIPE_FORMAT};base64,{base64.b64encode(text).decode()}"
    return {
        **_object(RECIPE, "recipe.json", url, len(text)),
        "description": "The manifest of what has no addresses: where its hosts have it, and what they ask for first, as"
        " a recipe of medfetch.",
        "encodingFormat": RECIPE_FORMAT,
        "sha256": hashlib.sha256(text).hexdigest(),
    }


def _literal(text: str) -> str:
    """A pattern that fits a text and nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in text)
