"""From a plan to what a lock has of it. It must not know the network."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext
from dataclasses import asdict, replace
from typing import Any

from medfetch import checksum, database, entries, exports, layers, requirements, standing, upkeep
from medfetch.config import Settings
from medfetch.ledger import Ledger, Placed
from medfetch.locks import Locked, lists
from medfetch.locks.addresses import Addresses
from medfetch.locks.lists import PUBLISHED, File, Planned
from medfetch.planning import Plan
from medfetch.progress import counted
from medfetch.types import Assurance, Entry, Group, Recipe, RemoteFile, Selection
from medfetch.wishes import Wish

FACTS = ("name", "licence", "cite", "routes", "select", "limit", "archives", "index", "made")
"""Of a plan's header, what another machine cannot find out by itself."""
BRIEF = 200
"""Characters of a locator's field; of a longer one, such as a list of files, the lock has the digest."""


def name_of(recipe: Recipe) -> str:
    """What a person names a dataset by."""
    return standing.label(recipe)


def locked(recipe: Recipe, wish: Wish, made: Plan, settings: Settings, into: Locked) -> Locked:
    """A dataset's part of a lock; its list is written into the folder of ``into``, of which nothing else is taken but
    the name.

    Raises: UsageProblem where an address may be a secret; CacheError, DiskFull.
    """
    exports.check_addresses(recipe)
    if not layers.is_layer(made.home, settings):
        upkeep.settle(made.home)
    with ExitStack() as stack:
        if layers.is_layer(made.home, settings):
            stack.enter_context(database.untouched(made.home.root))
        ledger = None
        if made.home.ledger.exists():
            ledger = stack.enter_context(closing(Ledger(made.home.ledger, watching=True)))
        counts: Counter[str] = Counter()
        with ledger.reading() if ledger else nullcontext():
            saved = lists.save(_lines(recipe, made, ledger, settings, counts), into.folder)
        tree = _tree(made, ledger) if ledger and not set(counts) - {"medfetch", *_published(counts)} else None
    told = _told(recipe, wish, made) | {"digests": dict(sorted(counts.items()))} | ({"tree": tree} if tree else {})
    return replace(into, told={"name": into.name, **told, **saved})


def _published(counts: Mapping[str, int]) -> set[str]:
    return {by for by in counts if by.startswith(PUBLISHED)}


def _told(recipe: Recipe, wish: Wish, made: Plan) -> dict[str, Any]:
    """What people want to see of it."""
    header, totals = made.header, made.totals
    parts = [part for part in recipe.parts if part.name in header["routes"]]
    steps = requirements.steps(recipe, parts)
    terms = [{"step": step.name, "at": requirements.terms_at(recipe, step)} for step in steps if step.kind == "terms"]
    told = {
        "asked": asked(wish),
        "dataset": header["dataset"],
        "version": header["version"],
        "licence": dict(header["licence"]),
        "cite": list(header["cite"]),
        "access": recipe.access.level.value,
        "steps": [step.name for step in steps],
        "agreements": terms,
        "recipe": f"sha256:{recipe.digest}",
        "index": header["index"] if _uses_index(made) else None,
        "planned": header["made"],
        "routes": {part: [_brief(way) for way in ways] for part, ways in header["routes"].items()},
        "series": totals["series"],
        "files": totals["files"],
        "bytes": totals["bytes"],
        "unknown_sizes": totals["unknown_sizes"],
    }
    return {key: value for key, value in told.items() if value or key in ("version", "files", "bytes")}


def asked(wish: Wish) -> dict[str, Any]:
    """A wish as it stands in a lock: what is not as usual."""
    told = {
        "select": {facet: list(values) for facet, values in sorted(wish.selection.facets.items())},
        "limit": wish.selection.limit,
        "part": list(wish.parts),
        "route": wish.route,
        "archives": wish.archives if wish.archives != "unpack" else None,
    }
    return {key: value for key, value in told.items() if value}


def wish(asked: Mapping[str, Any]) -> Wish:
    """The wish that ``asked`` is of."""
    facets = {facet: tuple(values) for facet, values in asked.get("select", {}).items()}
    selection = Selection(facets, asked.get("limit"))
    return Wish(selection, tuple(asked.get("part", ())), asked.get("route"), asked.get("archives", "unpack"))


def _uses_index(made: Plan) -> bool:
    return any(ways[0]["source"] == "idc" for ways in made.header["routes"].values())


def _brief(way: Mapping[str, Any]) -> dict[str, Any]:
    told = {"source": way["source"]}
    for field, value in way["locator"].items():
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        told[field] = value if len(text) <= BRIEF else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    return told | ({"into": way["into"]} if way.get("into") else {})


def _tree(made: Plan, ledger: Ledger) -> str:
    """As in a receipt (``receipt.write``)."""
    digest = hashlib.sha256()
    for file in ledger.files_of_plan(made.shards):
        digest.update(f"{file.sha256} {file.size} {file.path}\n".encode())
    return f"sha256:{digest.hexdigest()}"


# -- the list -----------------------------------------------------------------------------------------------------


def _lines(
    recipe: Recipe, made: Plan, ledger: Ledger | None, settings: Settings, counts: Counter[str]
) -> Iterator[str]:
    """The lines of a list; ``counts`` gets the files by whoever gives their digests."""
    # Neither where the recipe lies here, nor what it was read from, is part of what is locked.
    origin = recipe.origin if recipe.name == recipe.origin else f"{recipe.id}.yaml"
    plain = replace(recipe, origin=origin, evidence=(), unknown=())
    facts = {fact: made.header[fact] for fact in FACTS}
    yield json.dumps({"recipe": asdict(plain), "plan": facts}, ensure_ascii=False, separators=(",", ":"))
    told_by = {part: _by_path(ways[0]) for part, ways in made.header["routes"].items()}
    addresses = {part: Addresses(ways[0]["source"], settings) for part, ways in made.header["routes"].items()}
    for part, entry in made.entries():
        planned = Planned(part, _by(entry, told_by[part]), addresses[part].public(entry))
        yield lists.line(planned)
        complete, files = ledger.unit(entries.unit(entry), entry.path) if ledger else (False, [])
        if not complete:
            counts[planned.by] += entries.files(entry) or 1
            continue
        for file in sorted(files, key=lambda file: file.path):
            by = _by_of(file, planned)
            other = by == "medfetch" and file.assurance is Assurance.PUBLISHED
            came = File(file.path, file.size, file.sha256, by, file.checked if other else None)
            counts[came.by] += 1
            yield lists.line(came)


def _by_path(way: Mapping[str, Any]) -> dict[str, str]:
    """Of the files whose checksums a recipe has, by path, who gives them."""
    items = way["locator"].get("files", ())
    folder = f"{way['into']}/" if way.get("into") else ""
    found = {}
    for item in items if isinstance(items, (list, tuple)) else ():
        if any(checksum.HEX_LENGTH.keys() & each.keys() for each in (item, *item.get("pieces", ()))):
            who = item.get("checksums_by")
            found[folder + item["path"]] = f"third party: {who}" if who else "recipe"
    return found


def _by(entry: Entry, told_by: Mapping[str, str]) -> str:
    if isinstance(entry, RemoteFile):
        if entry.checksums or (entry.pieces and all(piece.checksums for piece in entry.pieces)):
            return told_by.get(entry.path, "host")
        if entry.unpack and entry.unpack.members:
            return "archive-crc"
    return "size only" if entry.size is not None else "nothing"


def _by_of(file: Placed, planned: Planned) -> str:
    entry = planned.entry
    published = () if isinstance(entry, Group) or entry.unpack else entry.checksums
    return planned.by if f"sha256:{file.sha256}" in map(str, published) else "medfetch"


def summary(each: Locked) -> str:
    """A locked dataset in a line."""
    counts = each.told.get("digests", {})
    by = ", ".join(f"{count:,} by {who}" for who, count in counts.items())
    return f"{each.name}: {counted(sum(counts.values()), 'file')} locked: {by}"
