"""The composition root, and the only file that knows the whole pipeline: recipe → access → source → plan → shards
→ ledger → receipt.
"""

from __future__ import annotations

import datetime
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from medfetch import (
    admission,
    archives,
    cache,
    database,
    doors,
    durability,
    folders,
    fulfilling,
    layers,
    pins,
    planning,
    presence,
    receipt,
    requirements,
    sources,
)
from medfetch.below import is_whole
from medfetch.cache import Home, Readers
from medfetch.config import Settings
from medfetch.engines import Engine, local
from medfetch.errors import DiskFull, RecipeError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.hosts import Hosts
from medfetch.ledger import Ledger
from medfetch.net.stack import ApiNet
from medfetch.pins import Pin
from medfetch.planning import Plan, word
from medfetch.progress import Display, Event, human
from medfetch.reconciling import reconcile
from medfetch.shares import Share
from medfetch.types import Entry, Level, Part, Recipe, RemoteFile, Route, Selection, Verdict

if TYPE_CHECKING:
    from medfetch import taking
    from medfetch.locks import Locked
    from medfetch.remote import Way

INDEX = "idc-index-data"


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
    locked: Locked | None = None
    """What a lock has of it: that, whatever its hosts have now. Nothing else is asked then, but the parts named."""
    pack: str | None = None
    """``zip`` or ``tar``: the dataset is kept in archives from now on."""


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
        with presence.entrance(home, display, lambda run: False) as others:
            # While others are at work, what they have open is whole.
            if not others:
                durability.recover(home)
    if wish.locked:
        return _of_lock(recipe, wish.locked, settings, display)
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
    pinned: list[tuple[Entry, list[Pin]]] = []
    if recipe.files:
        entries = _noting(entries, recipe, pinned)
    try:
        # A host is asked once, however many tasks begin together.
        with readers.only(), presence.turn(home.plans / f"{name}.lease", display, "makes the plan"):
            if not wish.refresh and brought is None and (made := planning.load(home, name)):
                return made
            return planning.build(
                home, name, entries, wish.selection,
                header=lambda: _header(recipe, wish, {part: [*routes[part], *closed[part]] for part in routes}),
                make_way=lambda: _retire(found, display), hint=lambda: _whole_only(unread),
                beside=lambda folder: pins.write(folder, pinned) if pinned else None,
            )  # fmt: skip
    except RecipeError as error:
        raise RecipeError(error.message, at=recipe.origin, hint=error.hint) from error
    finally:
        cache.remove_if_empty(home)


def _noting(
    entries: Iterator[tuple[str, Entry]], recipe: Recipe, noted: list[tuple[Entry, list[Pin]]]
) -> Iterator[tuple[str, Entry]]:  # fmt: skip
    """The entries; what the recipe tells of the files that they are is noted."""
    told = pins.told(recipe.files)
    for part, entry in entries:
        if found := told(entry):
            noted.append((entry, found))
        yield part, entry


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
    return next((made for made in found if is_whole(made)), found[0] if found else None)


def _of_layer(
    recipe: Recipe, wish: Wish, parts: list[Part], name: str, below: Plan, settings: Settings, display: Display
) -> Plan | None:
    """A layer's plan, if the layer can be used as it is; else what is wanted of it as a plan of our own.

    None where it cannot be read after all. Raises: UsageProblem where nothing of it is wanted; DiskFull.
    """
    home, names = home_of(recipe, settings), [part.name for part in parts]
    try:
        if not wish.own and not cache.is_there(home) and is_whole(below):
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


def _of_lock(recipe: Recipe, locked: Locked, settings: Settings, display: Display) -> Plan:
    """The plan that a lock has; no host is asked what there is.

    Raises: AccessRequired by this machine's recipe or by the lock's; UsageProblem, CacheError, DiskFull.
    """
    from medfetch.locks import using  # few runs have a lock

    home, name = home_of(recipe, settings), using.plan_id(locked)
    if found := _check_locked(recipe, locked, settings, display):
        return found
    readers = readers_of(recipe, settings)
    cache.prepare(home, readers)
    try:
        with readers.only(), presence.turn(home.plans / f"{name}.lease", display, "makes the plan"):
            return planning.load(home, name) or using.build(locked, home, settings)
    finally:
        cache.remove_if_empty(home)


def _check_locked(recipe: Recipe, locked: Locked, settings: Settings, display: Display) -> Plan | None:
    """The plan of a lock, if it is there; both this machine's recipe and the lock's have a say in what is asked for."""
    from medfetch.locks import lists, using  # as in _of_lock

    found = planning.load(home_of(recipe, settings), using.plan_id(locked))
    carried, facts = lists.head(locked)
    for each in [recipe] if recipe.digest == carried.digest else [recipe, carried]:
        parts = using.parts_of(each, carried, facts["routes"])
        _check_access(each, parts, settings, display, found, found is None and each is recipe, closed=[])
    return found


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
    if wish.locked:
        _check_locked(recipe, wish.locked, settings, display)
        return
    parts, name = _asked_for(recipe, wish)
    home = home_of(recipe, settings)
    found = planning.load(home, name)
    closed = [part.name for part in parts if _is_unknown(part) and not _known_of(home, part, ())]
    _check_access(recipe, parts, settings, display, found, found is None or wish.refresh, closed=closed)


def check_again(recipe: Recipe, made: Plan, settings: Settings) -> None:
    """Whether a plan may still be worked off, as far as this machine knows. Raises: AccessRequired, UsageProblem."""
    parts = []
    for part in (part for part in recipe.parts if part.name in made.header["parts"]):
        first = word(**made.header["routes"][part.name][0])
        planned = tuple(way for way in part.routes if word(way.source, way.locator, way.into) == first)
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
    with presence.alone(made.home, display), closing(Ledger(made.home.ledger)) as ledger:
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
                        display.look()
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


def get(
    recipe: Recipe, wish: Wish, settings: Settings, display: Display, share: Share | None = None,
    engine: Engine = local,
) -> dict[str, Any] | None:  # fmt: skip
    """Everything of a wish in its place, whole and verified; returns the receipt. Of a task's ``share`` likewise, but
    None while other tasks are at work on the rest; ``engine`` works off the share.

    Raises: AccessRequired, UsageProblem, Incomplete, DiskFull, Unreachable, CacheError, Stopped.
    """
    made = make_plan(recipe, wish, settings, display)
    if share is None:
        return fulfil(recipe, made, settings, display, pack=wish.pack)
    readers = readers_of(recipe, settings)
    return fulfilling.side_by_side(recipe, made, settings, display, readers, share, engine, wish.pack)


def fulfil(
    recipe: Recipe, made: Plan, settings: Settings, display: Display, *, given: Home | None = None,
    readers: Readers | None = None, refuses: taking.Refuses = lambda path, size: None, pack: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Everything of a plan in its place; returns the receipt.

    ``given``: all of it is taken from that home. ``readers``: who may read it, where that is not for ``readers_of`` to
    say. ``refuses``: what the file system cannot hold (``taking``). ``pack``: see ``Wish``.
    Raises: UsageProblem, Incomplete, DiskFull, Unreachable, CacheError, Stopped.
    """
    readers = readers or readers_of(recipe, settings)
    return fulfilling.alone(recipe, made, settings, display, readers, given=given, refuses=refuses, pack=pack)
