"""The datasets of a command line: names, and lists of names in files (``-r``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from medfetch import dois, exports, rehearsal
from medfetch.config import Settings
from medfetch.errors import RecipeError, UsageProblem
from medfetch.types import Recipe, Selection
from medfetch.wishes import Wish

NOTHING = UsageProblem("no dataset was named", hint="medfetch list shows what there is")


def wanted(
    names: tuple[str, ...], files: tuple[Path, ...], wish: Wish, settings: Settings, sha256: str | None = None
) -> list[tuple[Recipe, Wish]]:
    """Recipes, each with what is wanted of it; in a rehearsal, as the sandbox has them.

    Raises: UsageProblem, RecipeError, MedfetchError where the sandbox cannot have one.
    """
    found = [(dois.load(name, settings, sha256, refresh=wish.refresh), wish) for name in names]
    found += [(dois.load(name, settings, refresh=own.refresh), own) for name, own in in_lists(files, wish)]
    if not found:
        raise NOTHING
    return [(rehearsal.stage(recipe, settings).recipe, own) for recipe, own in found]


def in_export(
    names: tuple[str, ...], files: tuple[Path, ...], wish: Wish, settings: Settings, folder: Path
) -> list[tuple[Recipe, Wish]]:
    """The same, with the recipes of an export. Raises: UsageProblem, RecipeError, CacheError."""
    named = [*((name, wish) for name in names), *in_lists(files, wish)]
    if not named:
        raise NOTHING
    return [(exports.named(name, folder, settings), own) for name, own in named]


def in_lists(files: tuple[Path, ...], wish: Wish) -> list[tuple[str, Wish]]:
    """The names in some lists."""
    return [each for file in files for each in _listed(file, wish)]


def _listed(file: Path, wish: Wish) -> Iterator[tuple[str, Wish]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{file} cannot be read: {error}") from error
    if file.suffix not in (".yaml", ".yml"):
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        yield from ((line, wish) for line in lines if line)
        return
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"not valid YAML: {error}", at=str(file)) from error
    if not isinstance(content, list):
        raise RecipeError("expected a list of names, or of mappings with name, select and part", at=str(file))
    for number, item in enumerate(content, 1):
        yield _item(item if isinstance(item, dict) else {"name": item}, f"{file}: item {number}", wish)


def _item(item: dict[str, object], at: str, wish: Wish) -> tuple[str, Wish]:
    name, select, parts = item.get("name"), item.get("select", {}), item.get("part", ())
    if not isinstance(name, str) or not isinstance(select, dict) or item.keys() - {"name", "select", "part", "limit"}:
        raise RecipeError("expected name, and optionally select (a mapping), part and limit", at=at)
    chosen = {
        str(facet): tuple(map(str, values)) if isinstance(values, list) else (str(values),)
        for facet, values in select.items()
    }
    named = tuple(map(str, parts)) if isinstance(parts, list) else (str(parts),) if parts else wish.parts
    limit = item.get("limit", wish.selection.limit)
    if limit is not None and not isinstance(limit, int):
        raise RecipeError(f"limit is {limit!r}, expected a number", at=at)
    return name, replace(wish, selection=Selection({**wish.selection.facets, **chosen}, limit), parts=named)
