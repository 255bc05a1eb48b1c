"""The composition root, and the only file that knows the whole pipeline: recipe → access → source → plan → shards
→ ledger → receipt.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medfetch import (
    admission,
    adopting,
    cache,
    doors,
    durability,
    fulfilling,
    permissions,
    pins,
    planning,
    presence,
    receipt,
    resolving,
    wishes,
)
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.engines import Engine, local
from medfetch.errors import RecipeError, UsageProblem
from medfetch.permissions import Readers
from medfetch.pins import Pin
from medfetch.planning import Plan, word
from medfetch.progress import Display
from medfetch.shares import Share
from medfetch.types import Entry, Level, Part, Recipe, RemoteFile, Route, Verdict
from medfetch.wishes import Wish

if TYPE_CHECKING:
    from medfetch import taking
    from medfetch.locks import Locked

INDEX = "idc-index-data"


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
    parts, name = wishes.asked_for(recipe, wish)
    found = planning.load(home, name)
    if brought is not None and len(parts) > 1 and any(map(resolving.is_unknown, parts)):
        names = ", ".join(part.name for part in parts)
        raise UsageProblem(f"it cannot be told which part of {recipe.id} that is", hint=f"--part NAME, one of {names}")
    unplanned = found is None and brought is None and not wish.refresh
    if unplanned and (below := adopting.of_below(recipe, wish, parts, settings)):
        _check_access(recipe, parts, settings, display, below, False, closed=[])
        if made := adopting.of_layer(wish, parts, name, below, home, readers_of(recipe, settings), display):
            return made
    unknown = {part.name: resolving.known_of(home, part, brought or ()) for part in parts if resolving.is_unknown(part)}
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
        resolving.check_facets(ways[0], wish.selection)
    # They may be open by the time that their turn comes.
    closed = {part.name: [way for way in part.routes if way not in routes[part.name]] for part in parts}
    readers = readers_of(recipe, settings)
    cache.prepare(home, readers)
    unread: list[RemoteFile] = []
    entries = resolving.entries(routes, wish, settings, display, unknown, unread)
    pinned: list[tuple[Entry, list[Pin]]] = []
    if recipe.files:
        entries = resolving.noting(entries, recipe, pinned)
    try:
        # A host is asked once, however many tasks begin together.
        with readers.only(), presence.turn(home.plans / f"{name}.lease", display, "makes the plan"):
            if not wish.refresh and brought is None and (made := planning.load(home, name)):
                return made
            return planning.build(
                home, name, entries, wish.selection,
                header=lambda: _header(recipe, wish, {part: [*routes[part], *closed[part]] for part in routes}),
                make_way=lambda: adopting.retire(found, display), hint=lambda: resolving.whole_only(unread),
                beside=lambda folder: pins.write(folder, pinned) if pinned else None,
            )  # fmt: skip
    except RecipeError as error:
        raise RecipeError(error.message, at=recipe.origin, hint=error.hint) from error
    finally:
        cache.remove_if_empty(home)


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


def check(recipe: Recipe, wish: Wish, settings: Settings, display: Display) -> None:
    """As ``make_plan`` begins, for what shall not be planned. Raises: AccessRequired, UsageProblem."""
    if wish.locked:
        _check_locked(recipe, wish.locked, settings, display)
        return
    parts, name = wishes.asked_for(recipe, wish)
    home = home_of(recipe, settings)
    found = planning.load(home, name)
    closed = [part.name for part in parts if resolving.is_unknown(part) and not resolving.known_of(home, part, ())]
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


def _check_access(
    recipe: Recipe, parts: list[Part], settings: Settings, display: Display, found: Plan | None, fresh: bool, *,
    closed: list[str], brought: bool = False,
) -> None:  # fmt: skip
    """Raises AccessRequired before a byte; the host is asked only where it is about to be asked for a plan anyway."""

    def ask() -> Verdict | None:
        if fresh and not settings.offline:
            open_ways = [replace(part, routes=admission.ways(recipe, part, settings)) for part in parts]
            return doors.ask(open_ways, settings, resolving.teller(display, recipe.id))
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
    shared = permissions.of_cache(settings.cache)
    if recipe.access.level in (Level.OPEN, Level.ACCOUNT) and not gated:
        return shared
    named = {settings.groups.get(recipe.id) or settings.groups.get(source) for source in ways}
    group = named.pop() if len(named) == 1 else None
    readers = Readers(True, permissions.group_number(group) if group else None, shared.together)
    return permissions.as_there(home_of(recipe, settings), readers)


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
