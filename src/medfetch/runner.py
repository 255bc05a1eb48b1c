"""The composition root, and the only file that knows the whole pipeline: recipe → access → source → plan → shards
→ ledger → receipt.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from medfetch import (
    admission,
    agreements,
    archives,
    cache,
    connections,
    database,
    doors,
    durability,
    folders,
    layers,
    leases,
    placing,
    planning,
    receipt,
    requirements,
    sources,
    standing,
)
from medfetch.cache import Home, Readers
from medfetch.config import Settings
from medfetch.engines import local
from medfetch.errors import (
    AccessRequired,
    CacheError,
    DiskFull,
    Incomplete,
    RecipeError,
    Refused,
    Retryable,
    Unreachable,
    UsageProblem,
)
from medfetch.hosts import Hosts
from medfetch.jobs import ShardJob
from medfetch.ledger import Ledger
from medfetch.net.stack import ApiNet
from medfetch.planning import Plan
from medfetch.progress import Display, Event, amount, counted, human
from medfetch.state import Shard
from medfetch.types import Entry, Level, Part, Recipe, RemoteFile, Route, Selection, Verdict

if TYPE_CHECKING:
    from medfetch import taking
    from medfetch.remote import Way

INDEX = "idc-index-data"
SHOWN = 10
"""Files that a message names."""
POLL = 0.5
WORTH_FILES, WORTH_BYTES = 100, 100 * 10**6
"""Files, or bytes, for which a further process is started: for less it takes longer to start than to fetch them."""
SLOWEST = 32 * 1024
"""Bytes per second that each connection should have of a limited rate: slower ones are given up as stalled."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for beyond the dataset's name."""

    selection: Selection = field(default_factory=Selection)
    parts: tuple[str, ...] = ()
    route: str | None = None
    archives: str = "unpack"
    """``unpack``, ``keep`` (unpack and keep) or ``as-is``."""
    refresh: bool = False
    """Resolve again where a plan exists."""
    own: bool = False
    """In one's own cache, even where a layer has it."""


def home_of(recipe: Recipe, settings: Settings) -> Home:
    return cache.home(settings.cache, recipe.id, recipe.version)


def make_plan(
    recipe: Recipe, wish: Wish, settings: Settings, display: Display, brought: Iterable[str] | None = None
) -> Plan:
    """The plan for a wish: the one on disk, else a new one.

    ``brought``: paths of what a person has got already: of parts of which nobody else knows what there is, they are
    the files. Then, too, only what was agreed to matters, and no host is asked for its consent.
    Raises: AccessRequired, UsageProblem, Unreachable, CacheError, DiskFull.
    """
    home = home_of(recipe, settings)
    if durability.in_doubt(home):
        with working_in(home, display):
            durability.recover(home)
    parts, name = _asked_for(recipe, wish)
    found = planning.load(home, name)
    if brought is not None and len(parts) > 1 and any(map(_is_unknown, parts)):
        names = ", ".join(part.name for part in parts)
        raise UsageProblem(f"it cannot be told which part of {recipe.id} that is", hint=f"--part NAME, one of {names}")
    if found is None and brought is None and not wish.refresh and (below := _below(recipe, wish, parts, settings)):
        _check_access(recipe, parts, settings, display, below, False, closed=[])
        if made := _of_layer(recipe, wish, parts, name, below, settings, display):
            return made
    unknown = {part.name: _known_of(home, part, brought or ()) for part in parts if _is_unknown(part)}
    fresh = found is None or wish.refresh
    if found and brought is not None:
        planned = {entry.path for _, entry in found.entries()} if unknown else set()
        fresh = fresh or any(files.keys() - planned for files in unknown.values())
    empty = [part for part, files in unknown.items() if not files]
    _check_access(recipe, parts, settings, display, found, fresh, closed=empty, brought=brought is not None)
    if found and not fresh:
        return found
    routes = {part.name: list(admission.ways(recipe, part, settings)) for part in parts}
    for ways in routes.values():
        _check_facets(ways[0], wish.selection)
    # They may be open by the time that their turn comes.
    closed = {part.name: [way for way in part.routes if way not in routes[part.name]] for part in parts}
    readers = readers_of(recipe, settings)
    cache.prepare(home, readers)
    unread: list[RemoteFile] = []
    entries = _entries(routes, wish, settings, display, unknown, unread)
    try:
        with readers.only():
            return planning.build(
                home, name, entries, wish.selection,
                header=lambda: _header(recipe, wish, {part: [*routes[part], *closed[part]] for part in routes}),
                make_way=lambda: _retire(found, display), hint=lambda: _whole_only(unread),
            )  # fmt: skip
    except RecipeError as error:
        raise RecipeError(error.message, at=recipe.origin, hint=error.hint) from error
    finally:
        cache.remove_if_empty(home)


def _whole_only(unread: list[RemoteFile]) -> str | None:
    """What may hold that which nothing matched."""
    if not unread:
        return None
    path, size = unread[0].path, unread[0].size
    told = f"{path} ({human(size)})" if size is not None else path
    others = f", and so {len(unread) - 1} more" if len(unread) > 1 else ""
    return f"{told} can only be had as a whole{others}: --select path={path}"


def _below(recipe: Recipe, wish: Wish, parts: list[Part], settings: Settings) -> Plan | None:
    """A plan in a layer that has all that is wanted; preferably one of which all is there."""
    names = [part.name for part in parts]
    found = []
    for home in layers.homes(recipe, settings):
        for made in layers.plans(home):
            header = made.header
            same = header["recipe"] == recipe.digest and header["archives"] == wish.archives
            if not same or not layers.covers(made, names, wish.selection):
                continue
            if wish.route is None or all(header["routes"][name][0]["source"] == wish.route for name in names):
                found.append(made)
    return next((made for made in found if _is_whole(made)), found[0] if found else None)


def _of_layer(
    recipe: Recipe, wish: Wish, parts: list[Part], name: str, below: Plan, settings: Settings, display: Display
) -> Plan | None:
    """A layer's plan, if the layer can be used as it is; else what is wanted of it as a plan of our own.

    None where it cannot be read after all. Raises: UsageProblem where nothing of it is wanted; DiskFull.
    """
    home, names = home_of(recipe, settings), [part.name for part in parts]
    try:
        if not wish.own and not cache.is_there(home) and _is_whole(below):
            with database.untouched(below.home.root):
                layers.check_selection(below, names, wish.selection)
            return below
        if "path" in wish.selection.facets and (below.totals["archive_bytes"] or below.totals["unknown_sizes"]):
            return None  # what is meant may be inside an archive, of which only its host tells the members
        return adopt(below, home, name, names, wish.selection, readers_of(recipe, settings), display)
    except layers.UNREADABLE as error:
        if isinstance(error, (UsageProblem, DiskFull)) and not isinstance(error, RecipeError):
            raise
        display.say("note", {"reason": str(error)}, f"{below.home.cache} cannot be used: {error}")
        return None


def adopt(
    theirs: Plan, home: Home, name: str, parts: list[str], selection: Selection, readers: Readers, display: Display
) -> Plan:
    """Another home's plan, or what is wanted of it, as one of this home under a name of its own.

    Raises: UsageProblem where nothing of it is wanted; RecipeError for a path that cannot be used; also CacheError and
        DiskFull.
    """
    before, token = planning.load(home, name), theirs.header["token"]
    # One that came from there before, and was made anew there since, is out of date.
    if before and before.header.get("adopted", token) == token:
        return before
    cache.prepare(home, readers)
    facts = ("dataset", "version", "name", "recipe", "origin", "licence", "cite", "archives", "made", "index")
    header = {
        **{fact: theirs.header[fact] for fact in facts},
        "routes": {part: theirs.header["routes"][part] for part in parts},
        "select": {facet: list(values) for facet, values in selection.facets.items()},
        "limit": selection.limit,
        "adopted": token,
    }
    wanted = set(parts)
    try:
        with readers.only(), database.untouched(theirs.home.root):
            entries = ((part, entry) for part, entry in theirs.entries() if part in wanted)
            return planning.build(
                home, name, entries, selection, header=lambda: header, make_way=lambda: _retire(before, display)
            )
    finally:
        cache.remove_if_empty(home)


def check(recipe: Recipe, wish: Wish, settings: Settings, display: Display) -> None:
    """As ``make_plan`` begins, for what shall not be planned. Raises: AccessRequired, UsageProblem."""
    parts, name = _asked_for(recipe, wish)
    home = home_of(recipe, settings)
    found = planning.load(home, name)
    closed = [part.name for part in parts if _is_unknown(part) and not _known_of(home, part, ())]
    _check_access(recipe, parts, settings, display, found, found is None or wish.refresh, closed=closed)


def check_again(recipe: Recipe, made: Plan, settings: Settings) -> None:
    """Whether a plan may still be worked off, as far as this machine knows. Raises: AccessRequired, UsageProblem."""
    parts = []
    for part in (part for part in recipe.parts if part.name in made.header["parts"]):
        first = _word(**made.header["routes"][part.name][0])
        planned = tuple(way for way in part.routes if _word(way.source, way.locator, way.into) == first)
        parts.append(replace(part, routes=planned or part.routes))
    silent = [part for part in parts if not doors.can_ask([part])]
    admission.check(recipe, parts, settings, ask=lambda: None, silent=silent, held=False)


def _asked_for(recipe: Recipe, wish: Wish) -> tuple[list[Part], str]:
    """The parts with the routes that are meant, and the name of their plan."""
    parts = [replace(part, routes=tuple(_chosen_routes(part, wish))) for part in chosen_parts(recipe, wish)]
    if not recipe.parts:
        parts = [Part("all", ())]
    # What has no route at all may still be had somehow, and be brought.
    elsewhere = Route("manual", {"at": recipe.homepage} if recipe.homepage else {})
    parts = [part if part.routes else replace(part, routes=(elsewhere,)) for part in parts]
    routes = {part.name: list(part.routes) for part in parts}
    return parts, planning.identity(recipe, routes, wish.selection, wish.archives)


def _is_unknown(part: Part) -> bool:
    """Whether nobody knows which files a part has, but those who have got them."""
    return requirements.by_hand(part.routes[0]) and not part.routes[0].locator.get("files")


def _known_of(home: Home, part: Part, brought: Iterable[str]) -> dict[str, RemoteFile]:
    """What was brought of such a part, now or before, by path."""
    page = str(next(iter(part.routes[0].locator.values()), "")).partition("#")[0]
    plans = (made for made in planning.all_of(home) if part.name in made.header["parts"])
    before = (entry for made in plans for name, entry in made.entries() if name == part.name)
    found = {entry.path: entry for entry in before if isinstance(entry, RemoteFile)}
    for path in brought:
        found.setdefault(path, RemoteFile(path, f"{part.routes[0].source}:{path}", (f"{page}#{quote(path)}",)))
    return found


def plan_id(recipe: Recipe, wish: Wish) -> str:
    """The name of a wish's plan. Raises: UsageProblem for parts or routes that are not there."""
    return _asked_for(recipe, wish)[1]


def _check_access(
    recipe: Recipe, parts: list[Part], settings: Settings, display: Display, found: Plan | None, fresh: bool, *,
    closed: list[str], brought: bool = False,
) -> None:  # fmt: skip
    """Raises AccessRequired before a byte; the host is asked only where it is about to be asked for a plan anyway."""

    def ask() -> Verdict | None:
        if fresh and not settings.offline:
            open_ways = [replace(part, routes=admission.ways(recipe, part, settings)) for part in parts]
            return doors.ask(open_ways, settings, _teller(display, recipe.id))
        return None

    held = brought or (found is not None and not fresh and receipt.of_plan(found) is not None)
    silent = [part for part in parts if not doors.can_ask([part])]
    admission.check(recipe, parts, settings, ask=ask, silent=silent, held=held, closed=closed)


def readers_of(recipe: Recipe, settings: Settings) -> Readers:
    """Who may read a dataset: under an agreement, only whoever it covers.

    Raises: UsageProblem where the settings name a group that cannot be used; CacheError where another member of the
    cache's group has it, and this one is not covered.
    """
    ways = [route.source for part in recipe.parts for route in part.routes]
    # Without a recipe nobody says that it is open, if its host is one with gates.
    gated = recipe.name == recipe.origin and doors.can_ask(recipe.parts)
    shared = cache.of_cache(settings.cache)
    if recipe.access.level in (Level.OPEN, Level.ACCOUNT) and not gated:
        return shared
    named = {settings.groups.get(recipe.id) or settings.groups.get(source) for source in ways}
    group = named.pop() if len(named) == 1 else None
    readers = Readers(True, cache.group_number(group) if group else None, shared.together)
    return cache.as_there(home_of(recipe, settings), readers)


def _retire(made: Plan | None, display: Display) -> None:
    """Removes a former plan, when nobody works on it any more; what came by it stays in the ledger."""
    if made is None:
        return
    with working_in(made.home, display), closing(Ledger(made.home.ledger)) as ledger:
        reconcile(made, ledger, look=False)
        shutil.rmtree(made.folder)


def chosen_parts(recipe: Recipe, wish: Wish) -> list[Part]:
    """The parts that a wish means. Raises: UsageProblem for one that is not there."""
    known = {part.name: part for part in recipe.parts}
    for name in wish.parts:
        if name not in known:
            raise UsageProblem(f"{recipe.id} has no part {name!r}", hint=f"its parts: {', '.join(known) or 'none'}")
    return [part for part in recipe.parts if (part.name in wish.parts if wish.parts else part.default)]


def _chosen_routes(part: Part, wish: Wish) -> list[Route]:
    routes = (
        [route for route in part.routes if wish.route == route.source] if wish.route else list(requirements.ways(part))
    )
    if part.routes and not routes:
        ways = ", ".join(route.source for route in part.routes)
        raise UsageProblem(f"the part {part.name!r} has no route by {wish.route}", hint=f"its routes: {ways}")
    # Nobody is charged because a host that is free has failed: a route that costs is taken alone, or asked for.
    return [route for route in routes if not requirements.costs(route)] or routes


def _check_facets(route: Route, selection: Selection) -> None:
    known = sources.get(route.source).traits.facets
    for facet in selection.facets:
        if facet not in known:
            raise UsageProblem(
                f"{route.source} cannot select by {facet!r}", hint=f"it can select by {', '.join(known)}"
            )


def _header(recipe: Recipe, wish: Wish, routes: Mapping[str, list[Route]]) -> dict[str, Any]:
    return {
        "dataset": recipe.id,
        "version": recipe.version,
        "name": recipe.name,
        "recipe": recipe.digest,
        "origin": recipe.origin,
        "licence": dict(recipe.licence or {}),
        "cite": list(recipe.citations),
        "routes": {
            part: [{"source": way.source, "locator": dict(way.locator), "into": way.into} for way in ways]
            for part, ways in routes.items()
        },
        "select": {facet: list(values) for facet, values in wish.selection.facets.items()},
        "limit": wish.selection.limit,
        "archives": wish.archives,
        "made": now(),
        "index": index_version(),
    }


def index_version() -> str | None:
    from importlib.metadata import PackageNotFoundError  # only for new plans: it takes long
    from importlib.metadata import version as installed_version

    try:
        return installed_version(INDEX)
    except PackageNotFoundError:
        return None


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _entries(
    routes: dict[str, list[Route]], wish: Wish, settings: Settings, display: Display,
    unknown: Mapping[str, Mapping[str, RemoteFile]], unread: list[RemoteFile],
) -> Iterator[tuple[str, Entry]]:  # fmt: skip
    """(part, entry) of all parts, each from its first route that answers; those that do not are struck out.

    ``unknown``: what is here of parts of which no source knows anything; ``unread`` gets the archives that cannot be
    looked into.
    """
    stop = threading.Event()
    hosts = Hosts(cache.hosts_folder(settings.cache), stop.is_set)
    try:
        for part, ways in routes.items():
            if part in unknown:
                yield from ((part, file) for file in unknown[part].values())
                continue
            while True:
                source = sources.get(ways[0].source)
                net = ApiNet(settings, sources.traits(source, ways[0].locator), hosts, stop, _teller(display, part))
                way = partial(_way, source, net, settings, hosts, stop, _teller(display, part))
                count = 0
                try:
                    for entry in _listed(source, ways[0], wish, net, way, unread):
                        count += 1
                        yield part, _as_unit(entry, wish.archives)
                except (Unreachable, Refused, Retryable) as error:
                    if count or len(ways) < 2:
                        raise
                    reason = f"{error.message}; planning with {ways[1].source}"
                    display.show(Event("failover", part, reason=reason, source=ways[0].source))
                    del ways[0]
                    continue
                break
    finally:
        hosts.close()


def _listed(
    source: sources.Source,
    route: Route,
    wish: Wish,
    net: ApiNet,
    way: Callable[[], Way],
    unread: list[RemoteFile],
) -> Iterator[Entry]:
    """What a route has of a wish: of zips that are unpacked only the members, where only some are meant."""
    selection = folders.inside(wish.selection, route.into)
    if selection and route.unpack:
        # A source that asks for less does not know what is in the archives that it leaves out.
        selection = replace(selection, facets={k: v for k, v in selection.facets.items() if k != "path"})
    found = source.resolve(route.locator, net, selection) if selection else iter(())
    listed = folders.put(archives.unpacking(found, route.unpack), route.into)
    if wish.archives != "unpack" or "path" not in wish.selection.facets:
        return listed
    from medfetch import members  # as in _way

    return members.expand(listed, wish.selection, way(), unread.append)


def _way(
    source: sources.Source, net: ApiNet, settings: Settings, hosts: Hosts, stop: threading.Event,
    tell: Callable[[str], None],
) -> Way:  # fmt: skip
    """How archives are looked into."""
    # Imported here because every command waits for imports, and few plans look into archives.
    from medfetch.fetching import getter_of
    from medfetch.remote import Way

    return Way(getter_of(source, net, settings, hosts, stop), settings, net.traits.ranges, stop, tell)


def _as_unit(entry: Entry, archives: str) -> Entry:
    """An archive kept is another thing to have than the same one unpacked, and has a key of its own."""
    if archives != "unpack" and isinstance(entry, RemoteFile) and entry.unpack:
        return replace(entry, key=f"{archives}:{entry.key}")
    return entry


def _teller(display: Display, part: str) -> Callable[[str], None]:
    return lambda reason: display.show(Event("retry", part, reason=reason))


# -- get ---------------------------------------------------------------------------------------------------------


def get(recipe: Recipe, wish: Wish, settings: Settings, display: Display) -> dict[str, Any]:
    """Everything of a wish in its place, whole and verified; returns the receipt.

    Raises: AccessRequired, UsageProblem, Incomplete, DiskFull, Unreachable, CacheError, Stopped.
    """
    return fulfil(recipe, make_plan(recipe, wish, settings, display), settings, display)


def fulfil(
    recipe: Recipe, made: Plan, settings: Settings, display: Display, *, given: Home | None = None,
    readers: Readers | None = None, refuses: taking.Refuses = lambda path, size: None,
) -> dict[str, Any]:  # fmt: skip
    """Everything of a plan in its place; returns the receipt.

    ``given``: all of it is taken from that home. ``readers``: who may read it, where that is not for ``readers_of`` to
    say. ``refuses``: what the file system cannot hold (``taking``).
    Raises: UsageProblem, Incomplete, DiskFull, Unreachable, CacheError, Stopped.
    """
    if layers.is_layer(made.home, settings):
        return _in_layer(recipe, made, display)
    if there := _read_only(made):
        return there
    readers = readers or readers_of(recipe, settings)
    cache.prepare(made.home, readers)
    with readers.only(), working_in(made.home, display), closing(Ledger(made.home.ledger)) as ledger:
        tallies = reconcile(made, ledger)
        content = {"dataset": recipe.id, "plan": made.id, **made.totals, "files_here": tallies["files_here"]}
        display.say("plan", content, describe(recipe, made, tallies))
        before = receipt.of_plan(made)
        if tallies["done"] == tallies["entries"] and before:
            return before
        if tallies["done"] < tallies["entries"]:
            below = [given] if given else list(layers.homes(recipe, settings))
            tallies = _take(recipe, made, ledger, below, settings, display, tallies, refuses, final=bool(given))
        if tallies["done"] < tallies["entries"]:
            if given:
                raise _incomplete(recipe, made, tallies)
            _check_by_hand(recipe, made, settings)
            if settings.offline:
                raise Unreachable(f"{standing.label(recipe)} is not complete", hint="leave out --offline")
            _check_space(recipe, made, tallies)
        with cache.disk_errors(made.home.root), durability.writing(made.home):
            ledger.relax()
            failovers: list[Event] = []
            if tallies["done"] < tallies["entries"]:
                try:
                    _run(made, _open_ways(recipe, made, settings), settings, display, tallies, failovers)
                finally:
                    tallies = reconcile(made, ledger, look=False, durable=False)
            if tallies["done"] < tallies["entries"]:
                raise _incomplete(recipe, made, tallies)
            written = receipt_of(recipe, made, ledger, settings, failovers)
            # Before the last sync begins: whoever then changes a folder may have to wait for it.
            ledger.close()
            return written


def receipt_of(
    recipe: Recipe, made: Plan, ledger: Ledger, settings: Settings, failovers: list[Event]
) -> dict[str, Any]:
    """Writes the receipt of a plan of which all is there; returns it."""
    # Noted in the ledger now, so that nobody who asks for the status has to wait.
    ledger.count(made.token, made.shards)
    ledger.totals()
    parts = [part for part in recipe.parts if part.name in made.header["parts"]]
    return receipt.write(made, ledger, settings, failovers, standing.rests_on(recipe, parts, settings))


def check_by_hand(recipe: Recipe, made: Plan, settings: Settings, display: Display) -> None:
    """Whether what only a person can fetch is here. Raises: AccessRequired, which names it; CacheError, DiskFull."""
    # What a layer has of it, nobody need bring: that is seen when it is taken.
    if not any(map(_all_by_hand, made.header["routes"].values())) or any(layers.homes(recipe, settings)):
        return
    readers = readers_of(recipe, settings)
    cache.prepare(made.home, readers)
    with readers.only(), working_in(made.home, display), closing(Ledger(made.home.ledger)) as ledger:
        reconcile(made, ledger)
        _check_by_hand(recipe, made, settings)


def _check_by_hand(recipe: Recipe, made: Plan, settings: Settings) -> None:
    """Raises: AccessRequired."""
    parts = {part for part, ways in made.header["routes"].items() if _all_by_hand(ways)}
    missing = [entry.path for part, entry in planning.waiting(made) if part in parts] if parts else []
    if not missing:
        return
    wanted = [part for part in recipe.parts if part.name in parts]
    steps = standing.of_dataset(recipe, wanted, settings, agreements.read(settings), None)
    more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
    raise AccessRequired(
        f"{standing.label(recipe)}: no program fetches {', '.join(missing[:SHOWN])}{more}",
        steps=[
            replace(each, state=standing.State.MISSING).as_dict()
            for each in steps
            if each.step.kind == requirements.DOWNLOAD
        ],
        hint=f"get it by hand, then: medfetch import {recipe.id} FILE…",
    )


def _all_by_hand(ways: Iterable[Mapping[str, Any]]) -> bool:
    return all(way["source"] in requirements.BY_HAND for way in ways)


def _take(
    recipe: Recipe, made: Plan, ledger: Ledger, below: list[Home], settings: Settings, display: Display,
    tallies: dict[str, int], refuses: taking.Refuses, *, final: bool,
) -> dict[str, int]:  # fmt: skip
    """What other homes have of a plan; the tallies after that."""
    if final:
        _check_space(recipe, made, tallies)
    for home in below:
        if tallies["done"] == tallies["entries"]:
            break
        from medfetch.taking import Taking  # few have layers or exports

        take = Taking(made, home, ledger, settings.reserve, display.show, refuses=refuses)
        display.start(made.header["dataset"], {**made.totals, **tallies})
        with cache.disk_errors(made.home.root), durability.writing(made.home):
            ledger.relax()
            try:
                unread = take.run(final=final)
            finally:
                display.stop()
                tallies = reconcile(made, ledger, look=False, durable=False)
        if unread and final:
            raise CacheError(unread, hint="export the dataset again")
        text = f"{counted(take.taken, 'file')} taken from {home.cache}" + (f"; {unread}" if unread else "")
        display.say("taken", {"files": take.taken, "cache": str(home.cache), "problem": unread}, text)
    return tallies


def _in_layer(recipe: Recipe, made: Plan, display: Display) -> dict[str, Any]:
    """The receipt of a dataset that is used where it is, in a layer."""
    with database.untouched(made.home.root):
        before = receipt.of_plan(made) or {}
    text = f"{standing.label(recipe)}: {amount(made.totals)}; used where it is, in {made.home.cache}"
    display.say("plan", {"dataset": recipe.id, "plan": made.id, **made.totals, "layer": str(made.home.cache)}, text)
    return {**before, "path": str(made.home.root), "layer": str(made.home.cache)}


def _read_only(made: Plan) -> dict[str, Any] | None:
    """The receipt of a complete dataset in a cache that this user may only read, where nothing need be written."""
    return _whole(made) if not os.access(made.home.inner, os.W_OK) else None


def _is_whole(made: Plan) -> bool:
    """Whether all of a layer's plan is there; what cannot be looked at is not."""
    with suppress(*layers.UNREADABLE), database.untouched(made.home.root):
        return _whole(made) is not None
    return False


def _whole(made: Plan) -> dict[str, Any] | None:
    """The receipt of a plan of which all is there, as far as the sizes of its files tell."""
    before = receipt.of_plan(made)
    if before is None or durability.in_doubt(made.home):
        return None
    with closing(Ledger(made.home.ledger)) as ledger:
        whole = ledger.count(made.token, made.shards) >= before["files"] and not _lost(made, ledger)
    return before if whole else None


def describe(recipe: Recipe, made: Plan, tallies: Mapping[str, int]) -> str:
    here = f"; {counted(tallies['files_here'], 'file')} here" if tallies["files_here"] else ""
    pays = "; your account pays for the download" if costs(made) else ""
    return f"{standing.label(recipe)}: {amount(made.totals)}{here}{pays}"


def costs(made: Plan) -> bool:
    """Whether the person is charged for what a plan fetches."""
    return any(way["locator"].get("requester_pays") for ways in made.header["routes"].values() for way in ways)


def reconcile(made: Plan, ledger: Ledger, *, look: bool = True, durable: bool = True) -> dict[str, int]:
    """Brings plan, ledger and disk together; the sum of the shards' tallies.

    ``look`` asks the disk for each file, and counts those in place as ``files_here``.
    """
    shards = made.shards
    with cache.disk_errors(made.home.root):
        placing.hand_over(made.home, shards, ledger, durable=durable)
    if not look:
        return planning.tally(made)
    ledger.lose(_lost(made, ledger))
    with cache.disk_errors(made.home.root):
        if durability.in_doubt(made.home):
            ledger.lose(list(durability.lost(made.home, ledger.files())))
        durability.settle(made.home)
    for path in shards:
        with closing(Shard(path)) as shard:
            shard.reopen(ledger)
    return {**planning.tally(made), "files_here": ledger.count(made.id, shards)}


def _lost(made: Plan, ledger: Ledger) -> list[str]:
    """Paths of the plan that the ledger has and the disk has not, or not in that size."""
    root = f"{made.home.root}{os.sep}"
    lost = []
    for path, size in ledger.sizes(made.shards, made.totals["entries"]):
        try:
            found = os.stat(root + path)
        except (FileNotFoundError, NotADirectoryError):
            lost.append(path)
        else:
            if found.st_size != size or not stat.S_ISREG(found.st_mode):
                lost.append(path)
    return lost


def _check_space(recipe: Recipe, made: Plan, tallies: Mapping[str, int]) -> None:
    """Raises DiskFull before the first byte where the dataset cannot fit, unpacking counted."""
    parts = [part for part in recipe.parts if part.name in made.header["parts"]]
    partly = bool(made.header["select"]) or made.header["limit"] is not None
    # Of archives in part the directories tell; what is published is of all.
    unpacked = 0 if partly else sum(part.unpacked or 0 for part in parts)
    missing = made.totals["bytes"] - tallies["bytes_done"]
    if made.totals["unknown_sizes"] and not partly:
        missing = max(missing, sum(part.size or 0 for part in parts) - tallies["bytes_done"])
    # Without a published figure an archive's content is taken to be as large as the archive.
    needed = missing + (unpacked or made.totals["archive_bytes"]) * (missing > 0)
    # What a former run left of it lies on that disk already.
    needed -= sum(path.stat().st_size for path in made.home.partial.iterdir() if path.is_file())
    free = cache.free_bytes(made.home.root)
    if needed > free:
        raise DiskFull(
            f"{standing.label(recipe)} needs {human(needed)}, the disk of {made.home.cache} has {human(free)} free",
            hint="choose another cache with --cache DIR, or less with --select or --part",
        )


def _open_ways(recipe: Recipe, made: Plan, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The plan's ways without those that wait for a step, by part; the first of them was judged when it was planned."""
    found = dict(made.header["routes"])
    for part in (part for part in recipe.parts if part.name in made.header["routes"]):
        may = admission.ways(recipe, part, settings)
        closed = [_word(way.source, way.locator, way.into) for way in part.routes if way not in may]
        first, *others = found[part.name]
        found[part.name] = [
            first, *(way for way in others if _word(**way) not in closed)
        ]  # fmt: skip
    return found


def _word(source: str, locator: Mapping[str, Any], into: str = "") -> tuple[str, str, str]:
    """A way as it can be compared with what stands in a plan."""
    return source, json.dumps(dict(locator), sort_keys=True), into


def _run(
    made: Plan, routes: dict[str, list[dict[str, Any]]], settings: Settings, display: Display,
    tallies: Mapping[str, int], failovers: list[Event],
) -> None:  # fmt: skip
    def show(event: Event) -> None:
        if event.kind == "failover":
            failovers.append(event)
        display.show(event)

    open_in = {number: planning.open_in(path) for number, path in enumerate(made.shards)}
    # The largest first, so that all processes end at about the same time.
    order = sorted(open_in, key=lambda number: (open_in[number]["bytes"], open_in[number]["files"]), reverse=True)
    open_shards = [number for number in order if open_in[number]["entries"]]
    worth = settings.processes
    if not made.totals["unknown_sizes"]:
        missing = {what: sum(each[what] for each in open_in.values()) for what in ("files", "bytes")}
        worth = 1 + max(missing["files"] // WORTH_FILES, missing["bytes"] // WORTH_BYTES)
    processes = min(settings.processes, len(open_shards), worth)
    settings = replace(settings, processes=processes)
    ways = [ways[0] for ways in routes.values()]
    borne = max(sources.traits(sources.get(way["source"]), way["locator"]).connections for way in ways)
    if settings.limit_rate:
        borne = min(borne, settings.limit_rate // SLOWEST)
    # More connections than a host bears would only wait for each other.
    most = max(1, min(settings.jobs or connections.MOST, borne) // processes)
    start = most if settings.jobs else min(most, connections.START)
    jobs = [
        ShardJob(
            made.home, made.id, number, "", start, most, settings, routes, made.header["archives"],
        )
        for number in open_shards
    ]  # fmt: skip
    display.start(made.header["dataset"], {**made.totals, **tallies})
    try:
        local.run(jobs, processes, show)
    finally:
        display.stop()


def _incomplete(recipe: Recipe, made: Plan, tallies: Mapping[str, int]) -> Incomplete:
    failures: list[dict[str, Any]] = []
    codes: set[int] = set()
    for path in made.shards:
        with closing(Shard(path)) as shard:
            for entry, reason, code in shard.failures(20):
                codes.add(code)
                failures.append({"path": entry, "reason": reason})
    missing = tallies["entries"] - tallies["done"]
    # Wrong bytes are the gravest; "no host answered" is said only where that was all.
    code = 4 if 4 in codes else 6 if codes == {6} else 1
    first = f": {failures[0]['path']}: {failures[0]['reason']}" if failures else ""
    return Incomplete(
        f"{standing.label(recipe)}: {missing} of {tallies['entries']} could not be had{first}",
        failures=failures[:20],
        exit_code=code,
        hint=f"the rest is kept; the same command goes on from there{_or_by_hand(recipe, made)}",
    )


def _or_by_hand(recipe: Recipe, made: Plan) -> str:
    """Where a person may get what no program could."""
    pages = [
        way.locator.get("at") or way.locator.get("package")
        for part in recipe.parts
        if part.name in made.header["parts"]
        for way in part.routes
        if requirements.by_hand(way)
    ]
    return f", or get it at {pages[0]} and give it to medfetch import {recipe.id}" if pages else ""


@contextmanager
def working_in(home: Home, display: Display, at: Path | None = None) -> Iterator[None]:
    """Holds a home for one coordinator; waits for another, and says so. ``at``: another lease than that of the home."""
    said, path = False, at or home.lease
    with cache.disk_errors(home.root):
        while (lease := leases.take(path)) is None:
            if not said:
                said = True
                owner = leases.owner(path) or {}
                text = f"waiting for another medfetch (process {owner.get('pid', 'unknown')}) in {home.root}"
                display.say("note", {"reason": text}, text)
            time.sleep(POLL)
    try:
        yield
    finally:
        lease.release()
