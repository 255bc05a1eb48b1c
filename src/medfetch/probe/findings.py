"""What was found of a recipe: by class, in words, and with what was asked and answered. Data without behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How something of a recipe fared, the worst first."""

    GONE = "gone"
    """404 or 410: it is not there any more."""
    CHANGED = "changed"
    """Another size, digest, version or licence than the recipe says; or another thing altogether."""
    GATED = "gated"
    """It wants a log-in or a permission now, of which the recipe says nothing."""
    CHALLENGE = "challenge"
    """A check for robots: people with a browser may still have it."""
    MOVED = "moved"
    """A permanent redirect leads elsewhere."""
    UNREACHABLE = "unreachable"
    SLOW = "slow"
    UNCHECKED = "not checkable"
    OK = "ok"


WORST = list(Outcome)
FINE = (Outcome.OK, Outcome.UNCHECKED)
"""What is no reason to look into a recipe."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it; without queries of addresses, which may be secrets."""

    asked: str
    """Method and address."""
    answered: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.asked}: {self.answered}"


@dataclass(frozen=True, slots=True)
class Finding:
    dataset: str
    what: str
    """``homepage``, ``terms``, ``step …``, or a route: ``part images, 2nd route (tcia)``."""
    outcome: Outcome
    said: str
    """For a person: what was found, and what the recipe says in its place."""
    asked: tuple[Exchange, ...] = ()
    date: str = ""

    def as_dict(self) -> dict[str, Any]:
        asked = [{"asked": each.asked, "answered": each.answered, "seconds": each.seconds} for each in self.asked]
        return {
            "dataset": self.dataset, "what": self.what, "class": self.outcome.value, "said": self.said,
            "exchanges": asked, "date": self.date,
        }  # fmt: skip


Verdict = tuple[Outcome, str]
"""A class and the words for it."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst class of some, with all that was said of it, each sentence once."""
    found = list(verdicts)
    outcome = min((each for each, _ in found), key=WORST.index)
    said = list(dict.fromkeys(said for each, said in found if each is outcome))
    more = f" (and {len(said) - 3} more)" if len(said) > 3 else ""
    return outcome, "; ".join(said[:3]) + more


def all_fine(findings: Iterable[Finding]) -> bool:
    """Whether there is no reason to look into a recipe."""
    return all(each.outcome in FINE for each in findings)
