"""What the page shows of recipes, as data for its scripts. It must not know this machine.

Steps stand once, and datasets name them by number; what is not known is null or empty, and the page says so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from medfetch import __version__, charts, outlook, recipe_search, requirements, standing
from medfetch.agreements import PERSONAL
from medfetch.charts import Chart
from medfetch.checksum import HEX_LENGTH
from medfetch.config import parse_size
from medfetch.credentials import KEEPERS
from medfetch.errors import RecipeError, UsageProblem
from medfetch.requirements import DOWNLOAD
from medfetch.types import Level, Part, Recipe, Requirement, Route

SHOWN = 8
"""Files, or words of a list, that are shown of each route."""
NO_CHARTS: Mapping[str, Chart] = {}
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Steps:
    """All steps that were asked for, each once, by number."""

    def __init__(self) -> None:
        self._numbers: dict[Requirement, int] = {}

    def number(self, step: Requirement) -> int:
        return self._numbers.setdefault(step, len(self._numbers))

    def numbers(self, steps: Iterable[Requirement]) -> list[int]:
        return [self.number(step) for step in steps]

    def content(self) -> list[dict[str, Any]]:
        return [_step(step) for step in self._numbers]


def of(recipes: Iterable[Recipe], holds: Mapping[str, Chart] = NO_CHARTS) -> tuple[dict[str, Any], Steps]:
    """What the page shows of some recipes, and its steps, by whose numbers ``page.machine`` tells how they stand.

    ``holds``: what there is of a dataset, by its id, where that is known.
    Raises: RecipeError for a recipe that cannot be shown; says which.
    """
    steps = Steps()
    datasets = [{**_sound(recipe, steps), "holds": _holds(holds.get(recipe.id))} for recipe in recipes]
    days = [each["read"] for dataset in datasets for each in dataset["evidence"] if DAY.fullmatch(each["read"])]
    content = {
        "version": __version__, "read": max(days, default=None), "levels": [level.value for level in Level],
        "datasets": datasets, "steps": steps.content(),
    }  # fmt: skip
    return content, steps


def _holds(chart: Chart | None) -> dict[str, Any] | None:
    return charts.as_dict(chart) if chart else None


def _sound(recipe: Recipe, steps: Steps) -> dict[str, Any]:
    """Recipes that are looked for are not validated (``catalog.search``)."""
    try:
        return _dataset(recipe, steps)
    except (UsageProblem, LookupError, TypeError, ValueError, AttributeError) as error:
        hint = f"medfetch recipe check {shlex.quote(recipe.origin)}"
        raise RecipeError(f"cannot be shown: {error!r}", at=recipe.origin, hint=hint) from error


def _dataset(recipe: Recipe, steps: Steps) -> dict[str, Any]:
    own = requirements.in_order(requirements.steps(recipe, requirements.chosen(recipe)))
    return {
        "id": recipe.id, "word": shlex.quote(recipe.id), "name": recipe.name, "summary": recipe.summary,
        "version": recipe.version, "homepage": recipe.homepage, "also": list(recipe.also),
        "cite": list(recipe.citations), "licence": recipe.licence and dict(recipe.licence),
        "licences": recipe_search.words("licence", [recipe]), "status": dict(recipe.status),
        "modality": list(recipe.modality), "anatomy": list(recipe.anatomy), "tasks": list(recipe.tasks),
        "subjects": recipe.subjects, "size": recipe.size, "level": recipe.access.level.value,
        "terms": recipe.access.terms, "access_note": recipe.access.note, "way": outlook.way(recipe),
        "wait": outlook.wait(recipe), "sums": outlook.sums(recipe),
        "sources": recipe_search.words("source", [recipe]), "steps": steps.numbers(own), "note": standing.note(recipe),
        "further": list(standing.further(recipe)), "parts": [_part(recipe, part, own, steps) for part in recipe.parts],
        "evidence": _evidence(recipe.evidence),
        "unknown": list(recipe.unknown),
    }  # fmt: skip


def _part(recipe: Recipe, part: Part, known: Iterable[Requirement], steps: Steps) -> dict[str, Any]:
    """A part, with the steps that it wants besides those of the dataset."""
    wanted = requirements.steps(recipe, [part])
    names = {step.name for step in known}
    return {
        "name": part.name, "default": part.default, "summary": part.summary,
        "licence": part.licence and dict(part.licence), "size": part.size, "unpacked": part.unpacked,
        "steps": steps.numbers(step for step in wanted if step.name not in names and part.routes),
        "routes": [_route(recipe, part, route, wanted, steps) for route in part.routes],
    }  # fmt: skip


def _route(recipe: Recipe, part: Part, route: Route, known: Iterable[Requirement], steps: Steps) -> dict[str, Any]:
    """A route, with the steps that it wants besides those of its part."""
    wanted = requirements.steps(recipe, [replace(part, routes=(route,))])
    names = {step.name for step in known}
    words = {name: value for name, value in route.locator.items() if name != "files"}
    files = list(route.locator.get("files", ()))
    return {
        "source": route.source, "third_party": route.third_party, "by_hand": requirements.by_hand(route),
        "words": [[name, _told(value)] for name, value in words.items()],
        "files": [_file(file) for file in files[:SHOWN]], "count": sum(map(_count, files)),
        "steps": steps.numbers(step for step in wanted if step.name not in names),
    }  # fmt: skip


def _told(value: Any) -> str:
    """A word of a locator, for a person."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    if any(isinstance(each, Mapping) for each in value):
        return f"{len(value):,} entries"
    more = f" and {len(value) - SHOWN:,} more" if len(value) > SHOWN else ""
    return ", ".join(map(str, value[:SHOWN])) + more


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    pieces = file.get("pieces", [file])
    url = file.get("url", pieces[0].get("url"))
    size = file.get("size")
    return {
        "path": str(file["path"]), "url": url[0] if isinstance(url, list) else url, "pieces": len(pieces),
        "size": parse_size(size) if isinstance(size, str) else size, "range": file.get("range"),
        "sums": sorted({name for piece in pieces for name in piece if name in HEX_LENGTH}),
        "sums_by": file.get("checksums_by"),
    }  # fmt: skip


def _count(file: Mapping[str, Any]) -> int:
    first, last = file.get("range", (1, 1))
    return int(last) - int(first) + 1


def _step(step: Requirement) -> dict[str, Any]:
    return {
        "name": step.name, "kind": step.kind, "do": step.do, "at": step.at, "wait": step.wait, "sign": step.sign,
        "lapses": step.lapses, "after": list(step.after), "days": requirements.taken_for(step),
        "personal": step.kind in PERSONAL, "credential": step.credential, "told": _told_by(step),
        "evidence": _evidence(step.evidence),
    }  # fmt: skip


def _evidence(told: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{key: str(each[key]) for key in ("fact", "source", "read")} for each in told]


def _told_by(step: Requirement) -> str | None:
    """The command by which medfetch gets to know that a step is taken; ``NAME`` stands for a dataset."""
    if step.credential:
        return KEEPERS.get(step.credential, ("", shlex.join(["medfetch", "login", step.credential])))[1]
    if step.kind in (DOWNLOAD, "link"):
        return None  # what to do says it
    return "medfetch agree NAME" + ("" if step.kind == "terms" else f" --step {shlex.quote(step.name)}")
