"""Recipes: where they are, what they say, and which one a name means.

It must not know the network, the cache, or what any single source's locator means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml

from medfetch import archives, names, recipe_check
from medfetch.config import parse_size
from medfetch.errors import RecipeError, UsageProblem
from medfetch.recipe_check import REQUIREMENTS, Problem
from medfetch.recipe_schema import schema, suggestion
from medfetch.types import Access, Level, Part, Recipe, Requirement, Route
from medfetch.yaml_marks import read

ROUTE_FIELDS = {"source", "requires", "third_party", "note", "unpack"}
"""What a route has besides its source's own words."""


def builtin() -> Path:
    """The directory of the recipes that come with medfetch: a checkout's, else the copy in the wheel."""
    here = Path(__file__).resolve()
    checkout = here.parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "recipes").is_dir():
        return checkout / "recipes"
    return here.parent / "recipes"


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
    # Imported here because looking for third-party sources takes a third of the time of `medfetch list`.
    from medfetch import sources

    prefix, colon, _ = name.partition(":")
    if colon and prefix in sources.names():
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
    text: str | None = None,
    *,
    modality: str | None = None,
    anatomy: str | None = None,
    task: str | None = None,
    source: str | None = None,
    access: str | None = None,
    max_size: int | None = None,
    extra: Iterable[Path] = (),
) -> list[Recipe]:
    """The recipes that fit all that is given, by id; every word of ``text`` is in the id, the name or the summary.

    Unlike ``load`` it does not validate. ``max_size`` is in bytes; a recipe of unknown size does not fit it.
    Raises: RecipeError for a recipe that cannot be used at all; UsageProblem for a word that is in no vocabulary.
    """
    for field, wanted in (("modality", modality), ("anatomy", anatomy), ("task", task)):
        _known(field, wanted, schema()["$defs"][field]["enum"])
    _known("access level", access, list(Level))
    extra = tuple(extra)
    shared = _shared_requirements(extra)
    words = (text or "").casefold().split()
    recipes = (_read(path, shared) for path in find(extra).values())
    return [
        recipe
        for recipe in recipes
        if all(word in f"{recipe.id} {recipe.name} {recipe.summary}".casefold() for word in words)
        and _among(modality, recipe.modality)
        and _among(anatomy, recipe.anatomy)
        and _among(task, recipe.tasks)
        and _among(source, (route.source for part in recipe.parts for route in part.routes))
        and _among(access, (recipe.access.level,))
        and (max_size is None or (recipe.size is not None and recipe.size <= max_size))
    ]


def check(paths: Iterable[Path]) -> Iterator[Problem]:
    """Every problem of every recipe in files and directories; they may require what built-in recipes do."""
    return recipe_check.check(paths, builtin() / REQUIREMENTS)


def _among(wanted: str | None, values: Iterable[str]) -> bool:
    return wanted is None or wanted.casefold() in (value.casefold() for value in values)


def _known(what: str, wanted: str | None, words: list[str]) -> None:
    if wanted is not None and not _among(wanted, words):
        raise UsageProblem(f"{wanted!r} is not a known {what}", hint=suggestion(wanted, words))


def _load_id(name: str, extra: tuple[Path, ...]) -> Recipe:
    recipe_id, _, version = name.partition("@")
    found = find(extra)
    if recipe_id not in found:
        raise UsageProblem(f"there is no recipe {recipe_id!r}", hint=suggestion(recipe_id, found))
    recipe = _load_file(found[recipe_id], extra, recipe_id)
    if version and version != recipe.version:
        has = f"version {recipe.version}" if recipe.version else "no version"
        raise UsageProblem(f"the recipe {recipe_id!r} has {has}, not {version!r}")
    return recipe


def _load_file(path: Path, extra: tuple[Path, ...], stem: str | None) -> Recipe:
    above = path.absolute().parents[:2]
    shared = _shared_requirements((*extra, *reversed(above)))
    try:
        problems = recipe_check.check_recipe(path, shared, stem)
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror or error}") from error
    if problems:
        raise _as_error(problems[0])
    return _read(path, shared)


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


def _shared_requirements(extra: Iterable[Path]) -> dict[str, Mapping[str, Any]]:
    """The requirements of all recipe directories by name; a later directory goes before an earlier one."""
    shared: dict[str, Mapping[str, Any]] = {}
    for directory in (builtin(), *extra):
        path = directory / REQUIREMENTS
        if not path.is_file():
            continue
        try:
            shared.update(read(path))
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError) as error:
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


def _read(path: Path, shared: Mapping[str, Mapping[str, Any]]) -> Recipe:
    try:
        return _built(read(path), shared, str(path))
    except (
        yaml.YAMLError,
        UnicodeDecodeError,
        UsageProblem,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise _explained(path, error) from error


def _built(data: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]], origin: str) -> Recipe:
    parts = tuple(_part(name, part, shared) for name, part in data.get("parts", {}).items())
    if "routes" in data:
        parts = (_part("all", {"routes": data["routes"], "size": data.get("size")}, shared),)
    sizes = [part.size for part in parts if part.default]
    total = sum(size for size in sizes if size is not None) if sizes and None not in sizes else None
    access = data["access"]
    return Recipe(
        id=data["id"],
        name=data["name"],
        summary=data["summary"],
        parts=parts,
        access=Access(
            Level(access["level"]),
            _requirements(access.get("requires", ()), shared),
            access.get("terms"),
            access.get("note"),
        ),
        version=data.get("version"),
        licence=data.get("licence"),
        citations=tuple(data.get("cite", ())),
        homepage=data.get("homepage"),
        status=data.get("status", {}),
        modality=tuple(data.get("modality", ())),
        anatomy=tuple(data.get("anatomy", ())),
        tasks=tuple(data.get("tasks", ())),
        subjects=data.get("subjects"),
        size=_size(data.get("size")) or total,
        evidence=tuple(data.get("evidence", ())),
        unknown=tuple(data.get("unknown", ())),
        digest=names.digest(data),
        origin=origin,
    )


def _part(name: str, data: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]]) -> Part:
    return Part(
        name=name,
        routes=tuple(
            Route(
                source=route["source"],
                locator={key: value for key, value in route.items() if key not in ROUTE_FIELDS},
                requires=_requirements(route.get("requires", ()), shared),
                third_party=route.get("third_party", False),
                unpack=archives.read(route.get("unpack", False)),
            )
            for route in data.get("routes", ())
        ),
        default=data.get("default", True),
        summary=data.get("summary"),
        licence=data.get("licence"),
        size=_size(data.get("size")),
        unpacked=_size(data.get("unpacked")),
    )


def _size(value: int | str | None) -> int | None:
    return parse_size(value) if isinstance(value, str) else value


def _requirements(
    items: Iterable[str | Mapping[str, Any]], shared: Mapping[str, Mapping[str, Any]]
) -> tuple[Requirement, ...]:
    """The requirements named, each after those that it waits for."""
    ordered: dict[str, Requirement] = {}
    for item in items:
        data = {"name": item} | dict(shared[item]) if isinstance(item, str) else item
        for before in _requirements(data.get("after", ()), shared):
            ordered.setdefault(before.name, before)
        fields: dict[str, Any] = {key: data.get(key) for key in ("at", "wait", "credential", "sign", "lapses")}
        after = tuple(data.get("after", ()))
        ordered.setdefault(data["name"], Requirement(data["name"], data["kind"], data["do"], after=after, **fields))
    return tuple(ordered.values())
