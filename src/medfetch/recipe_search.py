"""Which of many recipes fit, and in which order. It must not know where recipes come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from medfetch import addresses
from medfetch.errors import UsageProblem
from medfetch.recipe_schema import schema, suggestion
from medfetch.types import Level, Recipe

Words = str | Iterable[str]
"""One word, or several of which one is enough; none at all are no wish."""

FACETS: Mapping[str, Callable[[Recipe], Iterable[str]]] = {
    "modality": lambda recipe: recipe.modality,
    "anatomy": lambda recipe: recipe.anatomy,
    "task": lambda recipe: recipe.tasks,
    "source": lambda recipe: (route.source for part in recipe.parts for route in part.routes),
    "access": lambda recipe: (recipe.access.level.value,),
    "licence": lambda recipe: (
        each["id"] for each in (recipe.licence, *(part.licence for part in recipe.parts)) if each
    ),
    "status": lambda recipe: (recipe.status.get("is", "unknown"),),
}
"""What can be asked for, and what a recipe has of it."""
NAMES = {"access": "access level"}
"""Facets that people call otherwise."""
LEVELS = list(Level)
ORDERS: Mapping[str, Callable[[Recipe], Any]] = {
    "name": lambda recipe: recipe.id,
    "size": lambda recipe: recipe.size,
    "subjects": lambda recipe: recipe.subjects,
    "modality": lambda recipe: [word.casefold() for word in recipe.modality] or None,
    "access": lambda recipe: LEVELS.index(recipe.access.level),
}
"""By what recipes can be sorted; None is unknown, and comes last."""


def fitting(
    recipes: Iterable[Recipe], text: str | None = None, facets: Mapping[str, Words] | None = None,
    max_size: int | None = None,
) -> list[Recipe]:  # fmt: skip
    """The recipes that fit everything (``catalog.search``).

    Raises: UsageProblem for a facet's word that is in no vocabulary.
    """
    recipes = list(recipes)
    found = addresses.leading_to(text, recipes) if text and addresses.is_address(text) else _told(recipes, text or "")
    for facet, words in (facets or {}).items():
        wanted = [words] if isinstance(words, str) else list(words)
        for word in wanted:
            _known(facet, word, recipes)
        found = [
            recipe for recipe in found if not wanted or any(_among(word, FACETS[facet](recipe)) for word in wanted)
        ]
    return [recipe for recipe in found if max_size is None or (recipe.size is not None and recipe.size <= max_size)]


def ordered(recipes: Iterable[Recipe], by: str, *, reverse: bool = False) -> list[Recipe]:
    """Recipes by one of ``ORDERS``; of those that are alike by id, and what is unknown at the end either way."""
    key = ORDERS[by]
    by_id = sorted(recipes, key=lambda recipe: recipe.id)
    known = [recipe for recipe in by_id if key(recipe) is not None]
    return sorted(known, key=key, reverse=reverse) + [recipe for recipe in by_id if key(recipe) is None]


def folded(word: str) -> str:
    """A word as it is compared: letter case does not matter, and a hyphen may stand for a space."""
    return word.casefold().replace(" ", "-")


def words(facet: str, recipes: Iterable[Recipe]) -> list[str]:
    """What recipes have of a facet."""
    return sorted({word for recipe in recipes for word in FACETS[facet](recipe)})


def _told(recipes: Iterable[Recipe], text: str) -> list[Recipe]:
    wanted = text.casefold().split()
    return [
        recipe
        for recipe in recipes
        if all(word in f"{recipe.id} {recipe.name} {recipe.summary}".casefold() for word in wanted)
    ]


def _among(word: str, values: Iterable[str]) -> bool:
    """Whether a word, or a pattern, fits one of the values."""
    return any(fnmatchcase(folded(value), folded(word)) for value in values)


def _known(facet: str, word: str, recipes: Iterable[Recipe]) -> None:
    known = _vocabulary(facet) or words(facet, recipes)
    if not _among(word, known):
        raise UsageProblem(f"{word!r} is not a known {NAMES.get(facet, facet)}", hint=suggestion(word, known))


def _vocabulary(facet: str) -> list[str]:
    """The words that a recipe may have; none where it has its own."""
    if facet == "access":
        return [level.value for level in LEVELS]
    if facet == "status":
        return list(schema()["properties"]["status"]["properties"]["is"]["enum"])
    return list(schema()["$defs"][facet]["enum"]) if facet in ("modality", "anatomy", "task") else []
