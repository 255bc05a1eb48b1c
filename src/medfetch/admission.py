"""Whether a run may begin, and which steps it still waits for. It must not know sources or the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from medfetch import agreements, requirements, standing
from medfetch.config import Settings
from medfetch.errors import AccessRequired
from medfetch.requirements import DOWNLOAD
from medfetch.standing import NO_LOGIN, NOT_YET, Standing, State
from medfetch.types import Door, Part, Recipe, Requirement, Route, Verdict

SHUT = (*NO_LOGIN, *NOT_YET, Door.AGENT, Door.UNCLEAR)

OF_PERSONS = ("terms", "training", "application", "approval", "join")
"""Kinds of steps that matter whoever hands out the data."""


def ways(recipe: Recipe, part: Part, settings: Settings) -> tuple[Route, ...]:
    """A part's first route, which ``check`` judges, and those others of whose own steps all are taken."""
    ledger = agreements.read(settings)
    judged = {step.name for step in requirements.steps(recipe, [part])}
    others = []
    for route in [route for route in part.routes[1:] if not requirements.by_hand(route)]:
        standings = standing.of_dataset(recipe, [replace(part, routes=(route,))], settings, ledger, None)
        if all(each.done for each in standings if each.step.name not in judged):
            others.append(route)
    return (*part.routes[:1], *others)


def check(
    recipe: Recipe, parts: Sequence[Part], settings: Settings, *,
    ask: Callable[[], Verdict | None], silent: Sequence[Part], held: bool, closed: Sequence[str] = (),
) -> None:  # fmt: skip
    """Lets a run begin, or says what is missing.

    ``ask`` asks the hosts, where they should be; ``silent`` are the parts whose hosts tell nothing, so that nothing can
    be unknown of their steps; ``held`` says that all is here already, so that only what was agreed to matters;
    ``closed`` are the names of parts of which nobody knows which files there are, but who has them.
    Raises: AccessRequired with every open step; nothing was downloaded. UsageProblem for a file that cannot be used.
    """
    ledger = agreements.read(settings)
    standings = standing.of_dataset(recipe, parts, settings, ledger, None)
    if held:
        standings = [each for each in standings if each.step.kind == "terms" or each.state == State.LAPSED]
    for each in standings:
        if each.trouble:
            raise each.trouble
    to_take = [each for each in standings if not each.done]
    if closed or not parts:
        see = f"see {recipe.homepage}; " if recipe.homepage else ""
        raise AccessRequired(
            f"{recipe.id}{': ' + ', '.join(closed) if len(recipe.parts) > 1 else ''} cannot be fetched by program",
            steps=[each.as_dict() for each in to_take],
            hint=f"{see}what you have got there, medfetch import {standing.label(recipe)} FILE… takes in",
        )
    untold = {step.name for step in requirements.steps(recipe, silent)} if silent else set()
    # What a person downloads is asked for when the plan is made, and tells of which files.
    to_judge = [each for each in to_take if each.step.kind != DOWNLOAD]
    if any(each.state != State.UNKNOWN or each.step.name in untold for each in to_judge):
        raise _required(recipe, to_take)
    verdict = None if held else ask()
    if verdict and verdict.door in SHUT:
        standings = standing.of_dataset(recipe, parts, settings, ledger, verdict)
        raise _required(recipe, [each for each in standings if not each.done], verdict)


def check_brought(recipe: Recipe, parts: Sequence[Part], settings: Settings) -> None:
    """Lets data be taken that somebody else has fetched: what a person has to do must be on record here.

    What only hosts want does not matter: no host is asked. Nor can one say that a step was taken.
    Raises: AccessRequired with every open step.
    """
    standings = standing.of_dataset(recipe, parts, settings, agreements.read(settings), None)
    own = [each for each in standings if each.step.kind in OF_PERSONS and not each.step.credential]
    if to_take := [each for each in own if not each.done]:
        raise _required(recipe, to_take)


def _required(recipe: Recipe, to_take: list[Standing], verdict: Verdict | None = None) -> AccessRequired:
    steps = [each.as_dict() for each in to_take]
    if verdict and not steps:
        step = Requirement(verdict.door.value.replace(" ", "-"), "approval", verdict.said, verdict.at)
        steps = [Standing(step, State.MISSING, (recipe.id,)).as_dict()]
    count = f"{len(steps)} step{'s' if len(steps) > 1 else ''} to take before it can be downloaded"
    # Nobody's word changes what a host says.
    hint = None if verdict else _hint(recipe, to_take)
    return AccessRequired(f"{standing.label(recipe)}: {verdict.said if verdict else count}", steps=steps, hint=hint)


def _hint(recipe: Recipe, to_take: list[Standing]) -> str | None:
    if terms := next((each.step for each in to_take if each.step.kind == "terms"), None):
        where = recipe.access.terms or terms.at
        return (
            f"the terms: {where or 'address unknown'}; medfetch agree {standing.label(recipe)} records that you agree"
        )
    if other := next(
        (each.step for each in to_take if not each.step.credential and each.step.kind not in ("link", DOWNLOAD)), None
    ):
        return f"what you have done already, medfetch agree {standing.label(recipe)} --step {other.name} records"
    return None


def together(refused: Sequence[AccessRequired]) -> AccessRequired:
    """One error for what several datasets still need, each step once."""
    if len(refused) == 1:
        return refused[0]
    steps: dict[tuple[str, str], dict[str, Any]] = {}
    opened: dict[str, None] = {}
    for step in (step for error in refused for step in error.steps):
        # What a source has found out at its host does not say what it opens.
        opens = step.get("opens", [])
        before = steps.setdefault((step["name"], step["at"]), step)
        if before is not step:
            steps[step["name"], step["at"]] = {**before, "opens": [*before.get("opens", []), *opens]}
        opened |= dict.fromkeys(opens)
    hint = f"in their order: medfetch access {' '.join(opened)}" if opened else None
    return AccessRequired("; ".join(error.message for error in refused), steps=list(steps.values()), hint=hint)
