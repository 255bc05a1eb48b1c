"""What a person wants of a dataset, beyond its name, and which parts, routes and plan that means.

It must not know what hosts have, nor what is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from medfetch import planning, requirements
from medfetch.errors import UsageProblem
from medfetch.types import Part, Recipe, Route, Selection

if TYPE_CHECKING:
    from medfetch.locks import Locked


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for beyond the dataset's name."""

    selection: Selection = field(default_factory=Selection)
    parts: tuple[str, ...] = ()
    route: str | None = None
    archives: str = "unpack"
    """``unpack``, ``keep`` (unpack and keep) or ``as-is``."""
    refresh: bool = False
    """Resolve again where a plan exists."""
    own: bool = False
    """In one's own cache, even where a layer has it."""
    locked: Locked | None = None
    """What a lock has of it: that, whatever its hosts have now. Nothing else is asked then, but the parts named."""
    pack: str | None = None
    """``zip`` or ``tar``: the dataset is kept in archives from now on."""


def plan_id(recipe: Recipe, wish: Wish) -> str:
    """The name of a wish's plan. Raises: UsageProblem for parts or routes that are not there."""
    return asked_for(recipe, wish)[1]


def asked_for(recipe: Recipe, wish: Wish) -> tuple[list[Part], str]:
    """The parts with the routes that are meant, and the name of their plan."""
    parts = [replace(part, routes=tuple(_chosen_routes(part, wish))) for part in chosen_parts(recipe, wish)]
    if not recipe.parts:
        parts = [Part("all", ())]
    # What has no route at all may still be had somehow, and be brought.
    elsewhere = Route("manual", {"at": recipe.homepage} if recipe.homepage else {})
    parts = [part if part.routes else replace(part, routes=(elsewhere,)) for part in parts]
    routes = {part.name: list(part.routes) for part in parts}
    return parts, planning.identity(recipe, routes, wish.selection, wish.archives)


def chosen_parts(recipe: Recipe, wish: Wish) -> list[Part]:
    """The parts that a wish means. Raises: UsageProblem for one that is not there."""
    known = {part.name: part for part in recipe.parts}
    for name in wish.parts:
        if name not in known:
            raise UsageProblem(f"{recipe.id} has no part {name!r}", hint=f"its parts: {', '.join(known) or 'none'}")
    return [part for part in recipe.parts if (part.name in wish.parts if wish.parts else part.default)]


def _chosen_routes(part: Part, wish: Wish) -> list[Route]:
    routes = (
        [route for route in part.routes if wish.route == route.source] if wish.route else list(requirements.ways(part))
    )
    if part.routes and not routes:
        ways = ", ".join(route.source for route in part.routes)
        raise UsageProblem(f"the part {part.name!r} has no route by {wish.route}", hint=f"its routes: {ways}")
    # Nobody is charged because a host that is free has failed: a route that costs is taken alone, or asked for.
    return [route for route in routes if not requirements.costs(route)] or routes
