"""Caches of others below one's own, such as a site's mirror: read, never written. It must not know the network.

A layer may vanish, be half-written, or be of another medfetch: what cannot be read in it is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, suppress

from medfetch import cache, database, durability, planning, receipt
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import MedfetchError, UsageProblem
from medfetch.ledger import Ledger
from medfetch.patterns import fits
from medfetch.planning import Plan
from medfetch.types import Recipe, Selection

UNREADABLE = (MedfetchError, OSError, database.Error, LookupError, TypeError, ValueError)
"""What comes of a look at something that is not what it should be."""


def homes(recipe: Recipe, settings: Settings) -> Iterator[Home]:
    """The dataset in those layers that have something of it, and let this user read it."""
    for layer in settings.cache_layers:
        home = cache.home(layer, recipe.id, recipe.version)
        with suppress(OSError):
            if layer != settings.cache and home.ledger.exists():
                yield home


def where(recipe: Recipe, settings: Settings) -> Home:
    """Where a dataset is: in the cache, if anything of it is there, else in the first layer that has all that was asked
    of it or, failing that, something.

    Raises: CacheError where the cache has it, but not for this user.
    """
    own = cache.home(settings.cache, recipe.id, recipe.version)
    if cache.is_there(own):
        return own
    below = list(homes(recipe, settings))
    return next((home for home in below if is_complete(home)), below[0] if below else own)


def is_layer(home: Home, settings: Settings) -> bool:
    return home.cache in settings.cache_layers and home.cache != settings.cache


def is_complete(home: Home) -> bool:
    """Whether a layer has all of some plan, by its own account."""
    with suppress(*UNREADABLE), database.untouched(home.root):
        return any(map(_is_complete, planning.all_of(home)))
    return False


def _is_complete(made: Plan) -> bool:
    before = receipt.of_plan(made)
    if before is None or durability.in_doubt(made.home):
        return False
    with closing(Ledger(made.home.ledger)) as ledger:
        return ledger.count(made.token, made.shards) >= int(before["files"])


def plans(home: Home) -> list[Plan]:
    """A layer's plans; none where they cannot be read."""
    with suppress(*UNREADABLE), database.untouched(home.root):
        return planning.all_of(home)
    return []


def covers(made: Plan, parts: Iterable[str], selection: Selection) -> bool:
    """Whether a plan has all that would be planned for some parts and a selection."""
    header, wanted, asked = made.header, set(parts), selection.facets
    if header["limit"] is not None:
        same = {facet: list(values) for facet, values in asked.items()} == header["select"]
        return same and selection.limit == header["limit"] and wanted == set(header["routes"])
    # What was selected for the plan, or less.
    less = all(facet in asked and set(asked[facet]) <= set(values) for facet, values in header["select"].items())
    return less and wanted <= set(header["routes"])


def check_selection(made: Plan, parts: Iterable[str], selection: Selection) -> None:
    """Raises: UsageProblem where nothing of a complete plan is meant, nor anything in its archives."""
    wanted = set(parts)
    if any(part in wanted and planning.matches(entry, selection) for part, entry in made.entries()):
        return
    with closing(Ledger(made.home.ledger)) as ledger:
        patterns = selection.facets.get("path", ())
        if not any(fits(file.path, patterns) for file in ledger.files_of_plan(made.shards)):
            raise UsageProblem("nothing matches the selection", hint="medfetch info NAME shows what there is")
