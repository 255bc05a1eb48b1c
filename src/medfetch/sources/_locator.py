"""Reading locators and selections: which fields are there, and which of their values a host can be asked for.

It must not know what the fields mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from medfetch.errors import RecipeError
from medfetch.types import Selection


def only(locator: Mapping[str, Any], fields: Collection[str], where: str) -> None:
    """Raises RecipeError if a locator has a field that its source does not know."""
    for field in locator:
        if field not in fields:
            raise RecipeError(f"unknown field {field!r}; known: {', '.join(sorted(fields))}", at=where)


def strings(locator: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
    """The values of a field that holds one text or a list of them; empty if the field is absent.

    Raises:
        RecipeError: it holds something else, or an empty list, which would silently mean "everything".
    """
    if field not in locator:
        return ()
    value = locator[field]
    values = value if isinstance(value, list | tuple) else [value]
    if not values or not all(isinstance(each, str) and each for each in values):
        raise RecipeError(f"expected a text or a list of texts, not {value!r}", at=f"{where}.{field}")
    return tuple(dict.fromkeys(values))


def text(locator: Mapping[str, Any], field: str, where: str) -> str | None:
    """The value of a field that holds one text; None if the field is absent. Raises RecipeError likewise."""
    values = strings(locator, field, where)
    if len(values) > 1:
        raise RecipeError(f"expected one text, not {len(values)}", at=f"{where}.{field}")
    return values[0] if values else None


def number(locator: Mapping[str, Any], field: str, where: str) -> int:
    """The value of a field that holds a number from 1 on. Raises: RecipeError where it does not, or is absent."""
    value = locator.get(field)
    if type(value) is not int or value < 1:
        raise RecipeError(f"expected a number, not {value!r}", at=f"{where}.{field}")
    return value


def literal(selection: Selection, facet: str) -> tuple[str, ...] | None:
    """The values wanted of a facet; None if any would do, or one is a pattern: a host cannot be asked for those."""
    values = selection.facets.get(facet)
    return None if values is None or any(set(value) & set("*?[") for value in values) else tuple(values)


def words(locator: Mapping[str, Any]) -> str:
    """What a locator asks for, for a message that says it is not there."""
    return ", ".join(f"{name} {value}" for name, value in locator.items())
