"""What a host's refusal means for a run: the step that a person has to take, or that there is no such dataset.

It must not know hosts.
"""

from __future__ import annotations

from medfetch.errors import AccessRequired, MedfetchError, UsageProblem
from medfetch.patterns import fits
from medfetch.types import Door, Verdict

KINDS = {Door.NO_LOGIN: "account", Door.WRONG_LOGIN: "token", Door.RULES: "terms"}
"""Of the steps that open a door; an approval for all others."""


def closed(verdict: Verdict, name: str) -> MedfetchError:
    """The error for a door that is not open; ``name`` is that of the step, such as ``physionet-mimic-cxr``."""
    if verdict.door is Door.ABSENT:
        return UsageProblem(verdict.said)
    kind = KINDS.get(verdict.door, "approval")
    step = {"name": name, "kind": kind, "do": verdict.said, "at": verdict.at or "unknown", "wait": "unknown"}
    return AccessRequired(f"{name}: {verdict.door}", steps=[step])


def wanted(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether a locator's ``path`` patterns want a file: one fits it or a folder above it, or there are none."""
    return not patterns or fits(path, patterns)
