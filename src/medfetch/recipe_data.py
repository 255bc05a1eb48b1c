"""A recipe file's content as a Recipe, and back. It must not know where recipes are, nor say what is wrong with one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from medfetch import archives, names
from medfetch.config import parse_size
from medfetch.recipe_schema import newer
from medfetch.types import Access, Level, Part, Recipe, Requirement, Route

REQUIREMENTS = "requirements.yaml"
"""The file of a recipe directory that holds what several recipes require."""
ROUTE_FIELDS = {"source", "requires", "third_party", "note", "unpack", "into"}
"""What a route has besides its source's own words."""


def built(data: Mapping[str, Any], shared: Mapping[str, Mapping[str, Any]], origin: str) -> Recipe:
    """The recipe that a file's content is; ``shared`` holds the requirements that recipes name.

    Raises: UsageProblem, LookupError, TypeError, ValueError, AttributeError where the content is no recipe.
    """
    if newer(data):
        raise ValueError("a recipe for a newer medfetch")
    shared = {**shared, **own_steps(data)}
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
        also=tuple(data.get("also", ())),
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


def own_steps(recipe: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The steps that a recipe itself describes, by name. Raises: LookupError, AttributeError for what is no recipe."""
    parts = [recipe, *recipe.get("parts", {}).values()]
    routes = [route for part in parts for route in part.get("routes", ())]
    lists = [needing.get("requires", ()) for needing in (recipe["access"], *routes)]
    return {step["name"]: step for steps in lists for step in steps if not isinstance(step, str)}


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
                into=route.get("into", ""),
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
        if "after" in data:
            # Without itself: of a circle, one is not found; the check says which wait for each other.
            others = {name: step for name, step in shared.items() if name != data["name"]}
            for before in _requirements(data["after"], others):
                ordered.setdefault(before.name, before)
        fields: dict[str, Any] = {key: data.get(key) for key in ("at", "wait", "credential", "sign", "lapses")}
        fields["evidence"] = tuple(data.get("evidence", ()))
        after = tuple(data.get("after", ()))
        ordered.setdefault(data["name"], Requirement(data["name"], data["kind"], data["do"], after=after, **fields))
    return tuple(ordered.values())


# -- and back ----------------------------------------------------------------------------------------------------------


def content(recipe: Recipe, parts: Iterable[Part]) -> dict[str, Any]:
    """What ``built`` makes some parts of a recipe of: a file's content that needs no other file. What is about the
    recipe itself is left out: evidence, and what is unknown."""
    access, own = recipe.access, ("modality", "anatomy", "tasks", "also")
    return _there({
        "id": recipe.id, "name": recipe.name, "summary": recipe.summary, "version": recipe.version,
        **{name: list(getattr(recipe, name)) for name in own}, "subjects": recipe.subjects,
        "licence": recipe.licence and dict(recipe.licence), "cite": list(recipe.citations),
        "homepage": recipe.homepage,
        "access": _there({
            "level": access.level.value, "requires": [_step(step) for step in access.requires],
            "terms": access.terms, "note": access.note,
        }),
        "parts": {part.name: _part_content(part) for part in parts},
    })  # fmt: skip


def _part_content(part: Part) -> dict[str, Any]:
    told = _there({
        "summary": part.summary, "licence": part.licence and dict(part.licence), "size": part.size,
        "unpacked": part.unpacked, "routes": [_route_content(route) for route in part.routes],
    })  # fmt: skip
    return told if part.default else {**told, "default": False}


def _route_content(route: Route) -> dict[str, Any]:
    unpack = [
        _there({"path": each.path, "into": each.into if each.into != "" else ".", "volumes": each.volumes})
        for each in route.unpack
    ]
    more = {"requires": [_step(step) for step in route.requires], "unpack": unpack, "into": route.into}
    return {"source": route.source, **route.locator, **_there({**more, "third_party": route.third_party})}


def _step(step: Requirement) -> dict[str, Any]:
    return _there({name: value for name, value in asdict(step).items() if name not in ("after", "evidence")}) | (
        {"after": list(step.after)} if step.after else {}
    )


def _there(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {}, False)}
