"""Asks the live hosts whether what recipes say is still true: ``medfetch recipe probe``.

It fetches nothing but the beginnings of files, keeps nothing, and must not know plans or what is in the cache.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator

from medfetch import requirements
from medfetch.config import Settings
from medfetch.credentials.guard import redacted
from medfetch.errors import MedfetchError
from medfetch.probe import addresses, judging, routes
from medfetch.probe.asking import MOST, WEB, Run, Watched
from medfetch.probe.findings import Finding, Outcome, Verdict, all_fine
from medfetch.types import Recipe

SLOW = 30.0
"""Seconds for one answer, from which on a host is slow."""
ORDINALS = ("", "2nd ", "3rd ")


def probe(
    recipes: Iterable[Recipe], settings: Settings, said: Callable[[str], None], *, slow: float = SLOW, most: int = MOST
) -> Iterator[Finding]:
    """What is found of some recipes, as it is found: pages first, then the routes of each part.

    ``slow``: seconds; ``most``: requests to one host. Raises: UsageProblem, CacheError for what is wrong here.
    """
    with Run(settings, said, most=most) as run:
        for recipe in recipes:
            yield from _of(recipe, run, slow)


def _of(recipe: Recipe, run: Run, slow: float) -> Iterator[Finding]:
    memory: dict[object, object] = {}

    def finding(what: str, verdict: Verdict, net: Watched) -> Finding:
        outcome, words = _rehearsed(verdict) if run.settings.sandbox else verdict
        asked = tuple(net.exchanges)
        longest = max((each.seconds for each in asked), default=0.0)
        if longest >= slow and outcome in (Outcome.OK, Outcome.UNREACHABLE, Outcome.UNCHECKED):
            outcome, words = Outcome.SLOW, f"{longest:.0f} s for one answer; {words}"
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return Finding(recipe.id, what, outcome, redacted(words), asked, now)

    for what, url, gated in _pages(recipe):
        net = run.net(WEB, memory)
        try:
            verdict = addresses.page(url, net, gated=gated)
        except MedfetchError as error:
            verdict = judging.of_error(error, gated=gated)
        yield finding(what, verdict, net)
    for part in recipe.parts:
        for number, route in enumerate(part.routes):
            ordinal = ORDINALS[number] if number < len(ORDINALS) else f"{number + 1}th "
            what = f"part {part.name}, {ordinal}route ({route.source})"
            yield finding(what, *routes.check(recipe, part, route, run, memory))


def _pages(recipe: Recipe) -> Iterator[tuple[str, str, bool]]:
    """What a person is sent to: what it is, its address, whether a log-in is to be expected there; each once."""
    steps = [step for step in requirements.of_all_ways(recipe, recipe.parts) if step.at]
    pages = [("homepage", recipe.homepage, False), ("terms", recipe.access.terms, True)]
    pages += [(f"step {step.name}", step.at, True) for step in steps]
    seen: set[str] = set()
    for what, url, gated in pages:
        if url and url not in seen:
            seen.add(url)
            yield what, url, gated


def _rehearsed(verdict: Verdict) -> Verdict:
    """The stand-in does not have everything: that it lacks something says nothing of the recipe."""
    outcome, said = verdict
    if outcome in (Outcome.GONE, Outcome.CHANGED, Outcome.GATED, Outcome.UNREACHABLE):
        return Outcome.UNCHECKED, f"the stand-in does not have it, or not all of it: {said}"
    return verdict


__all__ = ["SLOW", "Finding", "Outcome", "all_fine", "probe"]
