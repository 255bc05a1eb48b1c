"""What no program fetches of a plan: whether it is here, and where a person may get it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from medfetch import agreements, cache, layers, planning, presence, requirements, standing
from medfetch.config import Settings
from medfetch.errors import AccessRequired
from medfetch.ledger import Ledger
from medfetch.permissions import Readers
from medfetch.planning import Plan
from medfetch.progress import Display
from medfetch.reconciling import reconcile
from medfetch.types import Recipe

SHOWN = 10
"""Files that a message names."""


def look(recipe: Recipe, made: Plan, settings: Settings, display: Display, readers: Readers) -> None:
    """Whether what only a person can fetch is here; while others are at work on the dataset, they have looked.

    Raises: AccessRequired, which names it; CacheError, DiskFull.
    """
    # What a layer has of it, nobody need bring: that is seen when it is taken.
    if not any(map(_all_by_hand, made.header["routes"].values())) or any(layers.homes(recipe, settings)):
        return
    cache.prepare(made.home, readers)
    with readers.only(), presence.entrance(made.home, display, lambda run: False) as others:
        if not others:
            with closing(Ledger(made.home.ledger)) as ledger:
                reconcile(made, ledger)
            check(recipe, made, settings)


def check(recipe: Recipe, made: Plan, settings: Settings) -> None:
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
        hint=f"get it by hand, then: medfetch import {standing.label(recipe)} FILE…",
    )


def _all_by_hand(ways: Iterable[Mapping[str, Any]]) -> bool:
    return all(way["source"] in requirements.BY_HAND for way in ways)


def or_there(recipe: Recipe, made: Plan) -> str:
    """Where a person may get what no program could."""
    pages = [
        way.locator.get("at") or way.locator.get("package")
        for part in recipe.parts
        if part.name in made.header["parts"]
        for way in part.routes
        if requirements.by_hand(way)
    ]
    return f", or get it at {pages[0]} and give it to medfetch import {standing.label(recipe)}" if pages else ""
