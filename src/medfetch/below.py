"""A plan in another home than one's own cache: used where it is, or what is wanted of it taken from there."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from medfetch import database, durability, layers, receipt, space, standing, storage
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import CacheError
from medfetch.ledger import Ledger
from medfetch.planning import Plan
from medfetch.progress import Display, amount, counted
from medfetch.reconciling import lost, reconcile
from medfetch.types import Recipe

if TYPE_CHECKING:
    from medfetch import taking


def take(
    recipe: Recipe, made: Plan, ledger: Ledger, below: list[Home], settings: Settings, display: Display,
    tallies: dict[str, int], refuses: taking.Refuses, *, final: bool,
) -> dict[str, int]:  # fmt: skip
    """What other homes have of a plan; the tallies after that."""
    if final:
        space.check(recipe, made, tallies)
    for home in below:
        if tallies["done"] == tallies["entries"]:
            break
        from medfetch.taking import Taking  # few have layers or exports

        taken = Taking(made, home, ledger, settings.reserve, display.show, refuses=refuses)
        display.start(made.header["dataset"], {**made.totals, **tallies})
        with storage.disk_errors(made.home.root), durability.writing(made.home):
            ledger.relax()
            try:
                unread = taken.run(final=final)
            finally:
                display.stop()
                tallies = reconcile(made, ledger, look=False, durable=False)
        if unread and final:
            raise CacheError(unread, hint="export the dataset again")
        text = f"{counted(taken.taken, 'file')} taken from {home.cache}" + (f"; {unread}" if unread else "")
        display.say("taken", {"files": taken.taken, "cache": str(home.cache), "problem": unread}, text)
    return tallies


def in_layer(recipe: Recipe, made: Plan, display: Display) -> dict[str, Any]:
    """The receipt of a dataset that is used where it is, in a layer."""
    with database.untouched(made.home.root):
        before = receipt.of_plan(made) or {}
    text = f"{standing.label(recipe)}: {amount(made.totals)}; used where it is, in {made.home.cache}"
    display.say("plan", {"dataset": recipe.id, "plan": made.id, **made.totals, "layer": str(made.home.cache)}, text)
    return {**before, "path": str(made.home.root), "layer": str(made.home.cache)}


def read_only(made: Plan) -> dict[str, Any] | None:
    """The receipt of a complete dataset in a cache that this user may only read, where nothing need be written."""
    return whole(made) if not os.access(made.home.inner, os.W_OK) else None


def is_whole(made: Plan) -> bool:
    """Whether all of a layer's plan is there; what cannot be looked at is not."""
    with suppress(*layers.UNREADABLE), database.untouched(made.home.root):
        return whole(made) is not None
    return False


def whole(made: Plan) -> dict[str, Any] | None:
    """The receipt of a plan of which all is there, as far as the sizes of its files tell."""
    before = receipt.of_plan(made)
    if before is None or durability.in_doubt(made.home):
        return None
    with closing(Ledger(made.home.ledger, watching=True)) as ledger:
        all_there = ledger.count(made.token, made.shards) >= before["files"] and not lost(made, ledger)
    return before if all_there else None
