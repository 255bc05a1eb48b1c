"""Recipes against the sandbox: told to it, so that it has what they want, and gone through from the first step to the
last, by each of their routes.

It must not know how the sandbox makes what it has, nor the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from medfetch import agreements, mail, names, requirements, runner, upkeep
from medfetch.config import Settings
from medfetch.errors import AccessRequired, IntegrityError, MedfetchError, Refused
from medfetch.planning import Plan
from medfetch.progress import Event
from medfetch.sandboxed import ITSELF, show
from medfetch.types import Group, Mailed, Part, Recipe, Route, Selection
from medfetch.wishes import Wish

T = TypeVar("T")
INDEXED = ("idc", "tcia")
"""Sources of the archives' index, which the sandbox has whole, terabytes of it: of each part it names some series."""
WORD = ("terms", "payment", "account", "training", "application", "approval", "join", "token")
"""Kinds of steps for which a person's word stands, where they bring no secret."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How it went."""

    dataset: str
    level: str
    parts: int
    """That were tried."""
    routes: tuple[str, ...]
    """Sources by which they were fetched, each of them whole."""
    files: int
    bytes: int
    assurance: Mapping[str, int]
    """Files by how sure their bytes are; all of these counts are of all routes together."""
    code: int
    """What ``get`` would exit with: 3 where something is left to a person."""
    step: str = ""
    """The next step for that person, and where."""
    problems: tuple[str, ...] = ()
    """What did not go as it should; empty where all did."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A recipe as the sandbox has it."""

    recipe: Recipe
    """With the sizes, checksums and commits of what the sandbox serves in place of the real ones."""
    links: tuple[Mailed, ...] = ()
    """Those that would come by mail."""
    series: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By part that is in the archives' index, the UIDs of some small series of it."""


def stage(recipe: Recipe, settings: Settings, *, series: bool = False) -> Stage:
    """Has the sandbox serve what a recipe wants; and tell of ``series``, if they are asked for.

    Nothing is done where no sandbox is running, or where it decides what there is (``kaggle:sandbox/few``).
    Raises: MedfetchError where the sandbox does not do it.
    """
    address = settings.endpoints.get(ITSELF)
    made_up = recipe.name == recipe.origin and not recipe.name.startswith(names.CROISSANT)
    if not settings.sandbox or address is None or made_up:
        return Stage(recipe)
    asked = [{"routes": [_told(recipe, route) for route in part.routes]} for part in recipe.parts]
    answer = show(address, {"id": recipe.id, "parts": asked, "series": series})
    pairs = list(zip(recipe.parts, answer["parts"], strict=True))
    parts = (
        # Published sizes of a part are those of the real one.
        replace(part, size=None, unpacked=None, routes=tuple(map(_pinned, part.routes, told["routes"])))
        for part, told in pairs
    )
    some = {part.name: tuple(told["series"]) for part, told in pairs if "series" in told}
    # Nor is what a description tells of files by name.
    return Stage(replace(recipe, parts=tuple(parts), files={}), mail.read("\n".join(answer["links"])), some)


def _told(recipe: Recipe, route: Route) -> dict[str, Any]:
    steps = (*recipe.access.requires, *route.requires)
    secrets = {step.credential.partition(":")[0] for step in steps if step.credential}
    unpack = [{"path": each.path} for each in route.unpack]
    more = {"unpack": unpack, "into": route.into, "opened_by": sorted(secrets)}
    return {"source": route.source, **route.locator, **more}


def _pinned(route: Route, told: Mapping[str, Any]) -> Route:
    return replace(route, locator={name: told[name] for name in route.locator})


def rehearse(recipe: Recipe, settings: Settings, *, all_parts: bool = False, whole_plans: bool = False) -> Rehearsed:
    """Plans, fetches and verifies a recipe's default parts, or all, as somebody who has taken all steps: each part by
    each of its sources, in a folder of its own; what no program fetches, as somebody who has taken none.

    ``settings`` lead to a sandbox, and to a cache and a ledger of agreements that are for this alone. Of what is in the
    archives' index some series are fetched, and all planned with ``whole_plans``.
    """
    parts = recipe.parts if all_parts else tuple(requirements.chosen(recipe))
    programmed = [part for part in parts if not _by_hand(part)]
    tried, step = _Tried(), ""
    if len(programmed) < len(parts) or not parts:
        step = tried.refused(recipe, [part for part in parts if _by_hand(part)], settings)
    ways = _ways(programmed)
    if ways and (staged := tried.catching(lambda: stage(recipe, settings, series=True))):
        _declare(recipe, settings)
        if whole_plans and "idc" in ways:
            tried.planned(staged, "idc", ways["idc"], settings)
        for source, names in ways.items():
            tried.fetched(staged, source, names, replace(settings, cache=settings.cache / source, links=staged.links))
        tried.compare()
    code = tried.code or (3 if step else 0)
    return Rehearsed(
        recipe.id, recipe.access.level.value, len(parts), tuple(ways), tried.files, tried.bytes,
        dict(tried.assurance), code, step, tuple(tried.problems),
    )  # fmt: skip


def _by_hand(part: Part) -> bool:
    return all(requirements.by_hand(route) for route in part.routes)


def _ways(parts: Sequence[Part]) -> dict[str, list[str]]:
    """Names of parts by the sources of their routes."""
    found: dict[str, list[str]] = {}
    for part in parts:
        for source in dict.fromkeys(route.source for route in part.routes if not requirements.by_hand(route)):
            found.setdefault(source, []).append(part.name)
    return found


def _declare(recipe: Recipe, settings: Settings) -> None:
    """The word of a made-up person for all that a person's word stands for."""
    steps = requirements.of_all_ways(recipe, recipe.parts)
    words = [step for step in steps if step.kind in WORD and not step.credential]
    day = agreements.today()
    agreements.record(
        [agreements.made(recipe.id, step, "a rehearsal", day, at=step.at) for step in words], settings
    )  # fmt: skip


@dataclass(slots=True)
class _Tried:
    """What has come of it so far."""

    files: int = 0
    bytes: int = 0
    assurance: Counter[str] = field(default_factory=Counter)
    code: int = 0
    problems: list[str] = field(default_factory=list)
    trees: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    """By part and source, where a plan puts what."""

    def catching(self, do: Callable[[], T]) -> T | None:
        """What ``do`` returns; None where it raises what is a run's end, which is noted."""
        try:
            return do()
        except MedfetchError as error:
            self.code = self.code or error.exit_code
            steps = getattr(error, "steps", [])
            first = f": {steps[0]['do']} ({steps[0].get('state', 'unknown')})" if steps else ""
            self.problems.append(f"{error.message}{first}")
            return None

    def refused(self, recipe: Recipe, parts: Sequence[Part], settings: Settings) -> str:
        """The next step for whoever wants what no program fetches."""
        try:
            runner.get(recipe, Wish(parts=tuple(part.name for part in parts)), settings, _Quiet())
        except AccessRequired as error:
            if error.steps:
                return f"{error.steps[0]['do']} {error.steps[0]['at'] or ''}".strip()
            return error.hint or error.message
        except MedfetchError as error:
            self.problems.append(error.message)
        else:
            self.problems.append("no program fetches it, and nobody is told so")
        self.code = self.code or 1
        return ""

    def planned(self, staged: Stage, source: str, parts: Sequence[str], settings: Settings) -> None:
        """All of some parts by one of their sources."""
        wish = Wish(parts=tuple(parts), route=source)
        self.catching(lambda: runner.make_plan(staged.recipe, wish, settings, _Quiet()))

    def fetched(self, staged: Stage, source: str, parts: Sequence[str], settings: Settings) -> None:
        """Some parts by one of their sources; of those that are in the archives' index a little."""
        series = tuple(uid for part in parts for uid in staged.series.get(part, ()))
        some = Selection({"series": series} if source in INDEXED else {})
        self.catching(lambda: self._get(staged.recipe, Wish(some, tuple(parts), source), settings))

    def _get(self, recipe: Recipe, wish: Wish, settings: Settings) -> None:
        made = runner.make_plan(recipe, wish, settings, _Quiet())
        if empty := set(wish.parts) - set(made.header["parts"]):
            raise Refused(f"{wish.route} has nothing of {', '.join(sorted(empty))}")
        for part, places in _places(made).items():
            self.trees.setdefault(part, {})[wish.route or ""] = places
        receipt = runner.fulfil(recipe, made, settings, _Quiet())
        self.files += receipt["files"]
        self.bytes += receipt["bytes"]
        self.assurance.update(receipt["assurance"])
        wrong = [finding for _, finding in upkeep.check(made.home, content=True) if finding]
        if wrong:
            raise IntegrityError(f"{wrong[0].path}: {wrong[0].problem}")

    def compare(self) -> None:
        """Routes of one part mean the same content, down to the paths."""
        for part, trees in self.trees.items():
            (first, expected), *others = trees.items()
            for source, tree in others:
                if odd := sorted(expected ^ tree):
                    self.problems.append(f"{part}: {first} and {source} differ in {', '.join(odd[:3])}")
                    self.code = self.code or 2


def _places(made: Plan) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for part, entry in made.entries():
        inner = "" if isinstance(entry, Group) or entry.unpack is None else f" → {entry.unpack.into}/"
        found.setdefault(part, set()).add(f"{entry.path}{inner}")
    return {part: frozenset(places) for part, places in found.items()}


class _Quiet:
    """A display that shows nothing."""

    def start(self, name: str, totals: dict[str, Any]) -> None: ...

    def show(self, event: Event) -> None: ...

    def stop(self) -> None: ...

    def look(self) -> None: ...

    def say(self, kind: str, content: dict[str, Any], text: str) -> None: ...
