"""How things stand on this machine, for the page: which steps are taken, and what is in the cache. It only looks.

Of secrets it tells where they are, and never what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from medfetch import agreements, cache, database, layers, requirements, standing, upkeep
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.page.content import Steps
from medfetch.types import Recipe, Verdict


def look(
    recipes: Iterable[Recipe], steps: Steps, settings: Settings, verdicts: Mapping[str, Verdict] | None
) -> dict[str, Any]:
    """What this machine knows of some recipes; ``verdicts`` are hosts' answers by dataset, None where none was asked.

    Raises: UsageProblem where the ledger of agreements is broken.
    """
    recipes, told = list(recipes), verdicts or {}
    ledger = agreements.read(settings)
    own = {
        recipe.id: standing.of_dataset(recipe, requirements.chosen(recipe), settings, ledger, told.get(recipe.id))
        for recipe in recipes
    }
    held = {recipe.id: seen for recipe in recipes if (seen := _held(recipe, settings))}
    ours = {cache.home(settings.cache, recipe.id, recipe.version).root for recipe in recipes}
    others = [home for home in cache.homes(settings.cache) if home.root not in ours]
    return {
        "cache": str(settings.cache), "sandbox": settings.sandbox, "asked": verdicts is not None,
        "states": [state.value for state in standing.SURE], "done": [state.value for state in standing.DONE],
        "steps": {
            name: {steps.number(each.step): [each.state.value, each.said] for each in standings}
            for name, standings in own.items()
        },
        "held": held,
        "others": [
            {"id": home.root.parent.name, "version": home.root.name, **seen}
            for home in others if (seen := _seen(home, None, settings))
        ],
        "hosts": {
            name: {"says": verdict.door.value, "means": verdict.said, "at": verdict.at}
            for name, verdict in told.items()
        },
    }  # fmt: skip


def _held(recipe: Recipe, settings: Settings) -> dict[str, Any] | None:
    """What of a dataset is in the cache or, failing that, in a layer; None where nothing is."""
    try:
        home = layers.where(recipe, settings)
        return _seen(home, recipe, settings) if cache.is_there(home) else None
    except layers.UNREADABLE as error:
        return _unreadable(error)


def _seen(home: Home, recipe: Recipe | None, settings: Settings) -> dict[str, Any]:
    layer = layers.is_layer(home, settings)
    try:
        with ExitStack() as stack:
            if layer:
                stack.enter_context(database.untouched(home.root))
            found = upkeep.look(home, recipe)
    except layers.UNREADABLE as error:
        return _unreadable(error)
    wanted = ("state", "select", "parts", "entries", "done", "missing", "bytes", "bytes_done", "stale")
    return {
        "state": found["state"], "files": found["files"], "bytes": found["bytes"], "path": found["path"],
        "layer": layer, "running": sum(bool(run["alive"]) for run in found["runs"]),
        "plans": [{key: plan[key] for key in wanted} for plan in found["plans"]], "trouble": None,
    }  # fmt: skip


def _unreadable(error: Exception) -> dict[str, Any]:
    return {
        "state": "unreadable", "files": 0, "bytes": 0, "path": None, "layer": False, "running": 0, "plans": [],
        "trouble": str(error),
    }  # fmt: skip
