"""Recipes that come with data from another machine, whose medfetch may know more of them than this one's.

They lie in the cache, as they were when the data were handed on: with their requirements, and not checked again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from medfetch import cache, permissions, storage
from medfetch.errors import CacheError
from medfetch.types import Access, Level, Part, Recipe, Requirement, Route, Unpacking

T = TypeVar("T")


def keep(recipe: Recipe, folder: Path) -> None:
    """Writes a recipe into a cache. Raises: OSError."""
    path = cache.recipes_folder(folder) / recipe.id / f"{cache.version_name(recipe.version)}.json"
    with permissions.of_cache(folder).only():
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_json(path, asdict(recipe))


def find(name: str, folders: tuple[Path, ...]) -> Recipe | None:
    """The recipe that a name means in the first of some caches that has one.

    A name is an id, ``id@version``, a DOI that it is cited with, or what its dataset was fetched by where it has no id.
    Raises: CacheError for a recipe that cannot be read.
    """
    for folder in folders:
        # Of several versions the one whose folder comes last.
        for recipe in reversed(list(_of(folder, name))):
            cited = {f"doi:{name}".casefold(), name.casefold()} & {each.casefold() for each in recipe.citations}
            if name in (recipe.id, f"{recipe.id}@{recipe.version}", recipe.origin) or cited:
                return recipe
    return None


def ids(folder: Path) -> list[str]:
    """The datasets that a cache has recipes of."""
    with suppress(OSError):
        return sorted(path.name for path in cache.recipes_folder(folder).iterdir())
    return []


def _of(folder: Path, name: str) -> Iterator[Recipe]:
    recipes = cache.recipes_folder(folder)
    own = recipes / name.partition("@")[0]
    alone = "/" not in name and name not in (".", "..") and own.is_dir()
    for path in sorted(own.glob("*.json") if alone else recipes.glob("*/*.json")):
        if (content := storage.read_json(path)) is not None:
            yield load(content, path)


def load(content: Any, path: Path) -> Recipe:
    """What ``asdict`` made of a recipe; fields that this medfetch does not know are left out.

    Raises: CacheError where it is none.
    """
    try:
        return _recipe(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CacheError(f"{path} is no recipe: {error}", hint="export the dataset again") from error


def _recipe(content: Mapping[str, Any]) -> Recipe:
    access = content["access"]
    return _made(
        Recipe, content, parts=tuple(map(_part, content["parts"])),
        access=_made(Access, access, level=Level(access["level"]), requires=_steps(access["requires"])),
    )  # fmt: skip


def _part(content: Mapping[str, Any]) -> Part:
    return _made(Part, content, routes=tuple(map(_route, content["routes"])))


def _route(content: Mapping[str, Any]) -> Route:
    unpack = tuple(_made(Unpacking, each) for each in content["unpack"])
    return _made(Route, content, requires=_steps(content["requires"]), unpack=unpack)


def _steps(content: list[Mapping[str, Any]]) -> tuple[Requirement, ...]:
    return tuple(_made(Requirement, each) for each in content)


def _made(kind: type[T], content: Mapping[str, Any], **others: Any) -> T:
    """A dataclass of those of its fields that are there; lists are tuples, as everywhere in ``types``."""
    found = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in content:
            value = content[field.name]
            found[field.name] = tuple(value) if isinstance(value, list) else value
        elif field.default is MISSING and field.default_factory is MISSING and field.name not in others:
            raise ValueError(f"{field.name} is missing")
    return kind(**{**found, **others})
