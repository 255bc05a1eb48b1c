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
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from medfetch import archives, entries, recipe_data, requirements, sources
from medfetch.formats import Dataset
from medfetch.formats.listed import MOST, Listed, Shapes, encoding, parts_of, unlisted
from medfetch.ledger import Ledger, Placed
from medfetch.locks.addresses import Addresses
from medfetch.progress import counted, human
from medfetch.types import Group, Level, Part, Recipe, RemoteFile

RECIPE, RECIPE_FORMAT = "recipe", "application/vnd.medfetch.recipe+json"
"""The id and the format of the manifest: a recipe as in docs/recipes.md, in JSON."""
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
        for listed in parts_of(dataset):
            own = _objects(dataset, listed, ledger)
            if own is None:
                told.append(listed.as_part())
                own = list(_sets(listed, ledger))
            nodes += own
    if told or requirements.steps(dataset.recipe, dataset.recipe.parts):
        nodes.insert(0, _manifest(dataset.recipe, told))
    return nodes


# -- what has an address -----------------------------------------------------------------------------------------------


def _objects(dataset: Dataset, listed: Listed, ledger: Ledger | None) -> list[Node] | None:
    """A part as FileObjects, and FileSets of what is in its archives; None where it cannot be told so."""
    if not 0 < len(listed.kept) <= MOST or not listed.whole:
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
    shapes = Shapes()
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


def _address(dataset: Dataset, listed: Listed, file: RemoteFile) -> str | None:
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


def _sets(listed: Listed, ledger: Ledger | None) -> Iterator[Node]:
    """A part as FileSets in the manifest; with what is in the cache of it, if that is not too much: single files, and
    those of series. What is in archives has no digest of theirs to rest on, and is told by patterns alone."""
    part = listed.part
    placed: list[Placed] = []
    if ledger and listed.whole and listed.files <= MOST:
        units = [ledger.unit(entries.unit(entry), entry.path) for entry in listed.kept]
        placed = [each for complete, files in units if complete for each in files]
        if not all(complete for complete, _ in units) or len(placed) > MOST:
            placed = []
    shapes = listed.shapes if listed.shapes.found else unlisted(listed.route)
    if placed:
        shapes = Shapes()
        for each in placed:
            shapes.add(each.path)
    names = {}
    for number, (kind, patterns) in enumerate(shapes.patterns(), 1):
        names[kind] = f"set/{quote(part.name)}/{number}"
        yield _set(names[kind], part.name, RECIPE, kind, patterns, _words(listed))
    if not any(isinstance(entry, RemoteFile) and entry.unpack for entry in listed.kept):
        yield from (_inside(each, each.path, names[encoding(each.path)]) for each in placed)


def _words(listed: Listed) -> str:
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
