"""Recipes: where they are, what they say, and which one a name means.

It must not know the network, the cache, or what any single source's locator means.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfetch import config, names, recipe_data, recipe_search
from medfetch.catalog_index import Index
from medfetch.errors import RecipeError, UsageProblem
from medfetch.recipe_data import REQUIREMENTS
from medfetch.recipe_folders import builtin
from medfetch.recipe_schema import suggestion
from medfetch.recipe_search import Words
from medfetch.types import Recipe, Route

if TYPE_CHECKING:
    from medfetch.recipe_check import Problem


def find(extra: Iterable[Path] = ()) -> dict[str, Path]:
    """The recipe file of every id; a recipe in a later directory of ``extra`` takes the place of an earlier one."""
    found: dict[str, Path] = {}
    for directory in (builtin(), *extra):
        files = (file for pattern in ("*.yaml", "*.yml") for file in directory.rglob(pattern))
        found.update({file.stem: file for file in sorted(files) if file.name != REQUIREMENTS})
    return dict(sorted(found.items()))


def load(
    name: str, extra: Iterable[Path] = (), *, sha256: str | None = None, resolve: Callable[[str], str] | None = None
) -> Recipe:
    """The recipe that a name means.

    A name is an id, ``id@version``, ``source:locator``, ``doi:10.…`` or the same at doi.org, an http(s) address (whose
    content ``sha256`` may pin), or the path of a recipe, an NBIA manifest (.tcia), a list of series or of a commons'
    objects (.csv, .tsv), a manifest of a Gen3 commons (.json) or an s5cmd manifest. ``resolve`` is asked for the
    ``source:locator`` of a DOI that neither a recipe nor its beginning tells.

    Raises:
        UsageProblem: there is no such thing; the hint says what was probably meant.
        RecipeError: there is, but it is broken; says where.
    """
    extra = tuple(extra)
    if not sha256 and (doi := names.doi_of(name)):
        return _from_doi(doi, extra, resolve)
    if re.match("https?://", name):
        return names.from_address(name, sha256)
    if sha256:
        raise UsageProblem(f"a SHA-256 was given for {name!r}, which is not an http address")
    if name.startswith("drs://"):
        return names.from_source(f"gen3:{name.removeprefix('drs://')}")
    if name.startswith("doi:"):
        raise UsageProblem(f"{name!r} is no DOI", hint="they look like doi:10.1234/abc")
    prefix, colon, _ = name.partition(":")
    if colon:
        # Imported here because looking for third-party sources takes a third of the time of `medfetch list`.
        from medfetch import sources

        if prefix in sources.names():
            return names.from_source(name)
    path = Path(name).expanduser()
    if path.suffix.lower() in names.MANIFESTS:
        return names.from_manifest(path)
    if path.suffix in (".yaml", ".yml") or ("/" in name and not colon):
        return _load_file(path, extra, None)
    if colon:
        return names.from_source(name)  # which says what sources there are
    return _load_id(name, extra)


def search(
    text: str | None = None, *, max_size: int | None = None, extra: Iterable[Path] = (), **facets: Words
) -> list[Recipe]:
    """The recipes that fit all that is given, by id; every word of ``text`` is in the id, the name or the summary.

    Where ``text`` is an address or a DOI, they are those to which it leads (``addresses``). ``facets`` are those of
    ``recipe_search``: modality, anatomy, task, source, access, licence, status; a word may be a pattern (``CC-BY-*``).
    ``max_size`` is in bytes; a recipe of unknown size does not fit it. Unlike ``load`` it does not validate.
    Raises: RecipeError for a recipe that cannot be used at all; UsageProblem for a word that is in no vocabulary.
    """
    extra = tuple(extra)
    with Index(config.recipe_index()) as index:
        shared = _shared_requirements(extra, index)
        recipes = [_read(path, shared, index) for path in find(extra).values()]
    return recipe_search.fitting(recipes, text, facets, max_size)


def check(paths: Iterable[Path]) -> Iterator[Problem]:
    """Every problem of every recipe in files and directories; they may require what built-in recipes do."""
    from medfetch import recipe_check  # with it comes what only a check needs

    return recipe_check.check(paths, builtin() / REQUIREMENTS)


def _load_id(name: str, extra: tuple[Path, ...]) -> Recipe:
    recipe_id, _, version = name.partition("@")
    found = find(extra)
    if recipe_id not in found:
        search = f"medfetch list {shlex.quote(recipe_id)} looks into names and summaries of all {len(found)}"
        raise UsageProblem(f"there is no recipe {recipe_id!r}", hint=suggestion(recipe_id, found, search))
    recipe = _load_file(found[recipe_id], extra, recipe_id)
    if version and version != recipe.version:
        has = f"version {recipe.version}" if recipe.version else "no version"
        raise UsageProblem(f"the recipe {recipe_id!r} has {has}, not {version!r}")
    return recipe


def _load_file(path: Path, extra: tuple[Path, ...], stem: str | None) -> Recipe:
    above = path.absolute().parents[:2]
    with Index(config.recipe_index()) as index:
        shared = _shared_requirements((*extra, *reversed(above)), index)
        # All that the verdict depends on, besides the file and medfetch itself.
        measure = hashlib.sha256(repr((stem, sorted(shared))).encode()).hexdigest()
        try:
            right = index.is_right(path, measure)
            problem = None if right else _first_problem(path, shared, stem)
        except OSError as error:
            raise UsageProblem(f"{path}: cannot be read: {error.strerror or error}") from error
        if problem:
            raise _as_error(problem)
        recipe = _read(path, shared, index)
        if not right and _is_of_builtin_sources(recipe):
            index.note_right(path, measure)
        return recipe


def _first_problem(path: Path, shared: Iterable[str], stem: str | None) -> Problem | None:
    from medfetch import recipe_check  # as in check

    return next(iter(recipe_check.check_recipe(path, shared, stem)), None)


def _is_of_builtin_sources(recipe: Recipe) -> bool:
    """Others may be gone next time."""
    from medfetch import sources  # as in load

    return all(route.source in sources.BUILTIN for part in recipe.parts for route in part.routes)


def _as_error(problem: Problem) -> RecipeError:
    message = f"{problem.field}: {problem.message}" if problem.field else problem.message
    return RecipeError(message, at=f"{problem.file}:{problem.line}:{problem.column}", hint=problem.hint)


def _from_doi(doi: str, extra: tuple[Path, ...], resolve: Callable[[str], str] | None) -> Recipe:
    """A recipe that is cited with a DOI, or has a route to what it stands for; else what the DOI tells."""
    wanted, name = doi.casefold(), names.of_doi(doi)
    recipes = search(extra=extra)
    for recipe in recipes:
        if f"doi:{wanted}" in (citation.casefold() for citation in recipe.citations):
            return _load_id(recipe.id, extra)
    if found := _with_route(recipes, wanted, name, extra):
        return found
    if wanted.startswith(names.TCIA_DOI):
        return names.from_tcia_doi(doi)
    if name is None and resolve:
        name = resolve(doi)
        if found := _with_route(recipes, wanted, name, extra):
            return found
    if name is None:
        raise UsageProblem(f"no recipe has the DOI {doi!r}", hint="DataCite was not asked what it stands for")
    return names.from_source(name)


def _with_route(recipes: Iterable[Recipe], doi: str, name: str | None, extra: tuple[Path, ...]) -> Recipe | None:
    """The recipe with a route to what a DOI stands for, which is also called ``name``.

    Raises: UsageProblem where only some of its parts have one.
    """
    from medfetch import sources  # as in load

    source, _, text = (name or "").partition(":")
    meant = sources.get(source).locate(text) if source in sources.names() else {}
    partly = []
    for recipe in recipes:
        there = [part for part in recipe.parts if any(_leads_to(route, doi, source, meant) for route in part.routes)]
        if there and len(there) == len(recipe.parts):
            return _load_id(recipe.id, extra)
        partly += [f"{recipe.id} --part {part.name}" for part in there]
    if partly:
        raise UsageProblem(f"{doi} is a part of a dataset", hint=f"medfetch get {' or '.join(partly)}")
    return None


def _leads_to(route: Route, doi: str, source: str, meant: Mapping[str, Any]) -> bool:
    if doi in (str(route.locator.get(field)).casefold() for field in ("source_doi", "doi")):
        return True
    return bool(meant) and route.source == source and meant.items() <= route.locator.items()


def _shared_requirements(extra: Iterable[Path], index: Index) -> dict[str, Mapping[str, Any]]:
    """The requirements of all recipe directories by name; a later directory goes before an earlier one."""
    shared: dict[str, Mapping[str, Any]] = {}
    for directory in (builtin(), *extra):
        path = directory / REQUIREMENTS
        if not path.is_file():
            continue
        try:
            shared.update(index.read(path))
        except (TypeError, ValueError) as error:
            raise _explained(path, error) from error
        try:
            TopologicalSorter({name: step.get("after", ()) for name, step in shared.items()}).prepare()
        except CycleError as error:
            circle = " → ".join(error.args[1])
            raise RecipeError(
                f"these wait for each other: {circle}", at=str(path), hint="one of them comes first"
            ) from error
    return shared


def _explained(path: Path, error: Exception) -> RecipeError:
    return next((_as_error(problem) for problem in check([path])), RecipeError(str(error), at=str(path)))


def _read(path: Path, shared: Mapping[str, Mapping[str, Any]], index: Index) -> Recipe:
    try:
        return recipe_data.built(index.read(path), shared, str(path))
    except (UsageProblem, LookupError, TypeError, ValueError, AttributeError) as error:
        raise _explained(path, error) from error
