"""Which steps are taken, as far as this machine and the hosts know. It must not know sources or the network.

A step is met if the host said so, declared if the person did (``agreements``), present if its secret is here
(``credentials``), lapsed if it was declared and is over; missing if medfetch knows that it is not taken, else unknown.
Terms are agreed to by a person, on record: that a host lets somebody in does not stand for that.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from medfetch import agreements, cache, credentials, requirements
from medfetch.agreements import PERSONAL, Agreement
from medfetch.config import Settings
from medfetch.errors import MedfetchError, UsageProblem
from medfetch.requirements import DOWNLOAD, RECEIVE
from medfetch.types import Door, Level, Part, Recipe, Requirement, Verdict


class State(StrEnum):
    """How a step stands; the surer first."""

    MET = "met"
    DECLARED = "declared"
    PRESENT = "present"
    LAPSED = "lapsed"
    MISSING = "missing"
    UNKNOWN = "unknown"


DONE = (State.MET, State.DECLARED, State.PRESENT)
SURE = list(State)
label = requirements.label
NO_LOGIN = (Door.NO_LOGIN, Door.WRONG_LOGIN)
NOT_YET = (Door.NOT_APPROVED, Door.RULES, Door.PENDING)


@dataclass(frozen=True, slots=True)
class Standing:
    """A step, how it stands, and the datasets that it opens."""

    step: Requirement
    state: State
    opens: tuple[str, ...]
    said: str = ""
    """Who says so, and why, for a person."""
    trouble: MedfetchError | None = None
    """A file with secrets that cannot be used."""

    @property
    def done(self) -> bool:
        return self.state in DONE

    def as_dict(self) -> dict[str, Any]:
        return {
            **requirements.as_dict(self.step), "after": list(self.step.after), "state": self.state.value,
            "said": self.said, "opens": list(self.opens),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prospect:
    """A dataset, and what is between it and the person."""

    dataset: str
    label: str
    """What a person calls it."""
    steps: tuple[str, ...]
    """All its steps, by name."""
    to_take: tuple[str, ...]
    """Those that are not taken yet."""
    verdict: Verdict | None = None
    """What its host said, where it was asked."""
    note: str = ""
    """What no step tells: that there is no recipe, or no way by program."""
    further: tuple[str, ...] = ()
    """Parts that are not fetched unasked, and want further steps."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Several datasets: each step once, in the order in which they are best taken."""

    steps: tuple[Standing, ...]
    datasets: tuple[Prospect, ...]


def overview(recipes: Iterable[Recipe], settings: Settings, verdicts: Mapping[str, Verdict] | None = None) -> Overview:
    """The union of the steps for the default parts of some datasets; ``verdicts`` are hosts' answers by dataset.

    Raises: UsageProblem where the ledger of agreements is broken.
    """
    ledger, told = agreements.read(settings), verdicts or {}
    datasets = {recipe.id: recipe for recipe in recipes}
    own = {
        name: of_dataset(recipe, requirements.chosen(recipe), settings, ledger, told.get(name))
        for name, recipe in datasets.items()
    }
    merged: dict[Requirement, Standing] = {}
    for each in (standing for standings in own.values() for standing in standings):
        before = merged.get(each.step)
        merged[each.step] = _merged(before, each) if before else each
    prospects = []
    for name, recipe in datasets.items():
        mine = [merged[each.step] if each.step.kind in PERSONAL else each for each in own[name]]
        to_take = tuple(each.step.name for each in mine if not each.done)
        steps = tuple(each.step.name for each in mine)
        prospects.append(Prospect(name, label(recipe), steps, to_take, told.get(name), note(recipe), further(recipe)))
    return Overview(tuple(merged[step] for step in requirements.in_order(merged)), tuple(prospects))


def _merged(one: Standing, other: Standing) -> Standing:
    """One step of two datasets: what a person has, all datasets know of; else the least that is true of all counts."""
    better, worse = sorted((one, other), key=lambda each: SURE.index(each.state))
    kept = better if one.step.kind in PERSONAL else worse
    said = kept.said
    if better.state != worse.state and kept is worse:
        said = f"{better.state} for {', '.join(better.opens)}" + (f"; {said}" if said else "")
    return replace(kept, opens=(*one.opens, *other.opens), said=said)


def note(recipe: Recipe) -> str:
    """What no step of a recipe tells (``Prospect.note``)."""
    if recipe.name == recipe.origin:
        return "there is no recipe: what it needs is not known"
    notes = []
    if recipe.access.level == Level.UNKNOWN:
        notes.append("what has to be done is not established")
    if not any(part.routes for part in recipe.parts):
        where = f": {recipe.homepage}" if recipe.homepage else ""
        notes.append(f"no program can fetch it{where}; medfetch import {label(recipe)} takes in what you have")
    return "; ".join(notes)


def further(recipe: Recipe) -> tuple[str, ...]:
    """The parts that are not fetched unasked, and want further steps."""
    known = {step.name for step in requirements.steps(recipe, requirements.chosen(recipe))}
    wanted = {
        part.name: {step.name for step in requirements.steps(recipe, [part])} for part in recipe.parts if part.routes
    }
    return tuple(name for name, steps in wanted.items() if steps - known)


def of_dataset(
    recipe: Recipe, parts: Iterable[Part], settings: Settings, ledger: Sequence[Agreement], verdict: Verdict | None
) -> list[Standing]:
    """How the steps of a recipe's parts stand."""
    steps = requirements.in_order(requirements.steps(recipe, parts))
    standings = {step.name: _told(_here(step, recipe, settings, ledger), verdict) for step in steps}
    # A step that others wait for must have been taken once one of those is.
    for step in reversed(steps):
        later = standings[step.name]
        for name in step.after if later.done else ():
            before = standings.get(name)
            if before and before.state == State.UNKNOWN and before.step.kind != "terms":
                standings[name] = replace(before, state=later.state, said=f"it comes before {step.name}")
    return list(standings.values())


def _here(step: Requirement, recipe: Recipe, settings: Settings, ledger: Sequence[Agreement]) -> Standing:
    """What this machine knows of a step."""
    dataset = recipe.id
    opens = (dataset,)
    if step.kind == DOWNLOAD:
        if cache.home(settings.cache, dataset, recipe.version).receipt.exists():
            return Standing(step, State.PRESENT, opens, f"what is here: medfetch status {label(recipe)}")
        return Standing(step, State.MISSING, opens, _ascp() if RECEIVE in step.do else "")
    if step.kind == "link":
        if settings.links:
            return Standing(step, State.PRESENT, opens, "links given")
        return Standing(
            step, State.MISSING, opens, f"no good links are here: medfetch get {label(recipe)} --links FILE, or -"
        )
    if step.credential:
        try:
            where = credentials.where(step.credential, settings)
        except MedfetchError as error:
            hint = f" ({error.hint})" if error.hint else ""
            return Standing(step, State.MISSING, opens, f"{error.message}{hint}", error)
        if where:
            return Standing(step, State.PRESENT, opens, f"{step.credential}, {where}")
        if settings.sandbox:
            return Standing(
                step, State.MISSING, opens, f"the sandbox has no {step.credential}, and nobody's own is used"
            )
        _, keep = credentials.KEEPERS.get(step.credential, ("", f"medfetch login {step.credential}"))
        return Standing(step, State.MISSING, opens, f"{step.credential} is not on this machine: {keep}")
    if word := agreements.for_step(step, dataset, ledger):
        if word.lapsed:
            return Standing(step, State.LAPSED, opens, f"{word.person}, {word.date}; good until {word.expires}")
        until = f", good until {word.expires}" if word.expires else ""
        return Standing(step, State.DECLARED, opens, f"{word.person}, {word.date}{until}")
    if step.kind == "terms":
        return Standing(step, State.MISSING, opens, f"not on record here: medfetch agree {label(recipe)}")
    if step.kind == "payment":
        said = f"not on record here: medfetch agree {label(recipe)} --step {step.name}"
        return Standing(step, State.MISSING, opens, said)
    return Standing(step, State.UNKNOWN, opens)


def _ascp() -> str:
    """Whether Aspera's own client is on this machine, and how it gets there."""
    if found := shutil.which("ascp"):
        return f"ascp is at {found}; ascli, where it is not there yet: gem install aspera-cli"
    return "ascp is not on this machine: gem install aspera-cli (Ruby), then ascli conf ascp install"


def _told(standing: Standing, verdict: Verdict | None) -> Standing:
    """The same after the host has spoken."""
    if verdict is None or standing.step.kind in ("payment", DOWNLOAD):
        return standing
    if standing.step.kind == "terms":
        return _terms_told(standing, verdict)
    login = standing.step.credential is not None
    if verdict.door == Door.OPEN or (verdict.door in NOT_YET and login):
        return replace(standing, state=State.MET, said="the host accepts it" if login else "the host lets you in")
    asked_for = {Door.RULES: ("join",)}.get(verdict.door, ("training", "application", "approval", "join", "payment"))
    if (verdict.door in NO_LOGIN and login) or (verdict.door in NOT_YET and standing.step.kind in asked_for):
        return replace(standing, state=State.MISSING, said=verdict.said)
    return standing


def _terms_told(standing: Standing, verdict: Verdict) -> Standing:
    """Of terms a host can say that they are not accepted; that they are is no record that a receipt could name."""
    if verdict.door in NOT_YET:
        before = f"{standing.said}; but " if standing.state == State.DECLARED else ""
        return replace(standing, state=State.MISSING, said=f"{before}{verdict.said}")
    if verdict.door == Door.OPEN and standing.state == State.MISSING:
        return replace(standing, said=f"the host lets you in, but it is {standing.said}")
    return standing


def to_declare(recipe: Recipe, names: Iterable[str]) -> list[Requirement]:
    """The steps of which a person may say that they are taken: those named, else all that are about terms.

    Raises: UsageProblem where one is not there, or is one of which nobody's word tells.
    """
    known = {step.name: step for step in requirements.of_all_ways(recipe, recipe.parts)}
    for name in names:
        if name not in known:
            raise UsageProblem(f"{recipe.id} has no step {name!r}", hint=f"its steps: {', '.join(known) or 'none'}")
        if secret := known[name].credential:
            raise UsageProblem(
                f"{name!r} is taken when {secret!r} is on this machine: nobody's word stands for that",
                hint=f"medfetch login {secret}",
            )
        if known[name].kind == DOWNLOAD:
            raise UsageProblem(
                f"{name!r} is taken when its files are here: nobody's word stands for that",
                hint=f"medfetch import {label(recipe)} FILE…",
            )
        if known[name].kind == "link":
            raise UsageProblem(
                f"{name!r} is taken when the links are given: nobody's word stands for that",
                hint=f"medfetch get {label(recipe)} --links FILE",
            )
    parts = [recipe.parts, *((part,) for part in recipe.parts)]
    first = {step.name: step for some in parts for step in requirements.steps(recipe, some)}.values()
    return [known[name] for name in names] or [step for step in first if step.kind == "terms"]


def rests_on(recipe: Recipe, parts: Iterable[Part], settings: Settings) -> list[Agreement]:
    """The records of agreements under which a dataset is had."""
    ledger = agreements.read(settings)
    found = (agreements.for_step(step, recipe.id, ledger) for step in requirements.of_all_ways(recipe, parts))
    return [each for each in found if each and not each.lapsed]


def lapsed(dataset: str, recipe: Recipe | None, settings: Settings) -> list[Agreement]:
    """The records of a dataset that are over; without its recipe, those that were made for it alone."""
    ledger = agreements.read(settings)
    if recipe is None:
        return [
            each for each in {each.step: each for each in ledger if each.dataset == dataset}.values() if each.lapsed
        ]
    steps = requirements.of_all_ways(recipe, recipe.parts)
    found = (agreements.for_step(step, recipe.id, ledger) for step in steps)
    return [each for each in found if each and each.lapsed]
