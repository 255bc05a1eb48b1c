"""Plans that other homes have, a layer's or an export's: used as they are, or made our own."""

from __future__ import annotations

import shutil
from contextlib import closing

from medfetch import cache, database, layers, planning, presence
from medfetch.below import is_whole
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import DiskFull, RecipeError, UsageProblem
from medfetch.ledger import Ledger
from medfetch.permissions import Readers
from medfetch.planning import Plan
from medfetch.progress import Display
from medfetch.reconciling import reconcile
from medfetch.types import Part, Recipe, Selection
from medfetch.wishes import Wish


def of_below(recipe: Recipe, wish: Wish, parts: list[Part], settings: Settings) -> Plan | None:
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


def of_layer(
    wish: Wish, parts: list[Part], name: str, below: Plan, home: Home, readers: Readers, display: Display
) -> Plan | None:
    """A layer's plan, if the layer can be used as it is; else what is wanted of it as a plan of our own.

    None where it cannot be read after all. Raises: UsageProblem where nothing of it is wanted; DiskFull.
    """
    names = [part.name for part in parts]
    try:
        if not wish.own and not cache.is_there(home) and is_whole(below):
            with database.untouched(below.home.root):
                layers.check_selection(below, names, wish.selection)
            return below
        if "path" in wish.selection.facets and (below.totals["archive_bytes"] or below.totals["unknown_sizes"]):
            return None  # what is meant may be inside an archive, of which only its host tells the members
        return adopt(below, home, name, names, wish.selection, readers, display)
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
                home, name, entries, selection, header=lambda: header, make_way=lambda: retire(before, display)
            )
    finally:
        cache.remove_if_empty(home)


def retire(made: Plan | None, display: Display) -> None:
    """Removes a former plan, when nobody works on it any more; what came by it stays in the ledger."""
    if made is None:
        return
    with presence.alone(made.home, display), closing(Ledger(made.home.ledger)) as ledger:
        reconcile(made, ledger, look=False)
        shutil.rmtree(made.folder)
