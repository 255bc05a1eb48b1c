"""Recipes against the sandbox: told to it, so that it has what they want, and gone through from the first step to the
last, by each of their routes.

It must not know how the sandbox makes what it has, nor the command line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medfetch import agreements, mail, requirements, runner, standing, upkeep
from medfetch.config import Settings
from medfetch.errors import AccessRequired, IntegrityError, MedfetchError
from medfetch.planning import Plan
from medfetch.progress import Event
from medfetch.requirements import DOWNLOAD
from medfetch.runner import Wish
from medfetch.sandbox.child import ITSELF, show
from medfetch.types import Group, Mailed, Part, Recipe, Route, Selection

SERIES = 2
"""Of a part of the archives' index, which the sandbox has whole: terabytes of it."""
INDEXED = ("idc", "tcia")
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


def shown(recipe: Recipe, settings: Settings) -> Recipe:
    """A recipe as the sandbox has it: with the sizes, checksums and commits of what it serves in place of the real ones.

    The recipe itself, where no sandbox is running or the sandbox decides what there is (``kaggle:sandbox/few``).
    Raises: MedfetchError where the sandbox does not do it.
    """
    return _shown(recipe, settings)[0]


def _shown(recipe: Recipe, settings: Settings) -> tuple[Recipe, tuple[Mailed, ...]]:
    """Likewise; and the links that would come by mail."""
    address = settings.endpoints.get(ITSELF)
    if not settings.sandbox or address is None or recipe.name == recipe.origin:
        return recipe, ()
    asked = [{"routes": [_told(recipe, route) for route in part.routes]} for part in recipe.parts]
    answer = show(address, {"id": recipe.id, "parts": asked})
    parts = tuple(
        replace(
            part, size=None, unpacked=None,
            routes=tuple(_pinned(route, own) for route, own in zip(part.routes, told["routes"], strict=True)),
        )
        for part, told in zip(recipe.parts, answer["parts"], strict=True)
    )
    return replace(recipe, parts=parts), mail.read("\n".join(answer["links"]))


def _told(recipe: Recipe, route: Route) -> dict[str, Any]:
    secrets = {step.credential.partition(":")[0] for step in (*recipe.access.requires, *route.requires) if step.credential}
    unpack = [{"path": each.path} for each in route.unpack]
    more = {"unpack": unpack, "into": route.into, "opened_by": sorted(secrets)}
    return {"source": route.source, **route.locator, **more}


def _pinned(route: Route, told: Mapping[str, Any]) -> Route:
    return replace(route, locator={name: told[name] for name in route.locator})


def rehearse(recipe: Recipe, settings: Settings, *, all_parts: bool = False) -> Rehearsed:
    """Plans, fetches and verifies a recipe's default parts, or all, as somebody who has taken all steps: each part whole
    by each of its sources, in a folder of its own; what no program fetches, as somebody who has taken none.

    ``settings`` lead to a sandbox, and to a cache and a ledger of agreements that are for this alone.
    """
    parts = recipe.parts if all_parts else tuple(requirements.chosen(recipe))
    programmed = [part for part in parts if not _by_hand(part)]
    tried = _Tried()
    step = ""
    if len(programmed) < len(parts) or not parts:
        step = tried.refused(recipe, [part for part in parts if _by_hand(part)], settings)
    here, links = tried.catching(lambda: _shown(recipe, settings)) or (recipe, ())
    known = {part.name: part for part in here.parts}
    _declare(here, settings)
    for source, names in _ways(programmed).items():
        own = replace(settings, cache=settings.cache / source, links=links)
        tried.fetched(here, source, [known[name] for name in names], own)
    tried.compare()
    code = tried.code or (3 if step else 0)
    return Rehearsed(
        recipe.id, recipe.access.level.value, len(parts), tuple(_ways(programmed)), tried.files, tried.bytes,
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

    def catching(self, do: Any) -> Any:
        """What ``do`` returns; None where it raises what is a run's end, which is noted."""
        try:
            return do()
        except MedfetchError as error:
            self.code = self.code or error.exit_code
            steps = getattr(error, "steps", [])
            first = f": {steps[0]['do']} ({steps[0]['state']}: {steps[0].get('said', '')})" if steps else ""
            self.problems.append(f"{error.message}{first}")
            return None

    def refused(self, recipe: Recipe, parts: Sequence[Part], settings: Settings) -> str:
        """The next step for whoever wants what no program fetches."""
        try:
            runner.make_plan(recipe, Wish(parts=tuple(part.name for part in parts)), settings, _Quiet())
        except AccessRequired as error:
            if error.steps:
                step = error.steps[0]
                return f"{step['do']} {step['at'] or ''}".strip()
            return error.hint or error.message
        except MedfetchError as error:
            self.code = error.exit_code
            self.problems.append(error.message)
            return ""
        self.problems.append("no program fetches it, and nobody is told so")
        return ""

    def fetched(self, recipe: Recipe, source: str, parts: Sequence[Part], settings: Settings) -> None:
        """Some parts by one of their sources; those that are in the archives' index one by one, a little of each."""
        if source not in INDEXED:
            self.catching(lambda: self._get(recipe, Wish(Selection(), _names(parts), source), settings))
            return
        for part in parts:
            some = Selection(limit=SERIES)
            self.catching(lambda part=part: self._get(recipe, Wish(some, (part.name,), source), settings))

    def _get(self, recipe: Recipe, wish: Wish, settings: Settings) -> None:
        made = runner.make_plan(recipe, wish, settings, _Quiet())
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
            whole = [(source, tree) for source, tree in trees.items() if source not in INDEXED]
            for source, tree in whole[1:]:
                if odd := sorted(whole[0][1] ^ tree):
                    self.problems.append(f"{part}: {whole[0][0]} and {source} differ in {', '.join(odd[:3])}")
                    self.code = self.code or 2


def _names(parts: Sequence[Part]) -> tuple[str, ...]:
    return tuple(part.name for part in parts)


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

    def say(self, kind: str, content: dict[str, Any], text: str) -> None: ...
