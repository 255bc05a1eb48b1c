"""What the errors and verdicts of asking mean for a recipe. It must not know recipes, sources or the network."""

from __future__ import annotations

from medfetch.errors import AccessRequired, MedfetchError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.probe.asking import Challenged, Spared
from medfetch.probe.findings import Outcome, Verdict
from medfetch.types import Door
from medfetch.types import Verdict as Answer

EXPECTED = "gated, as the recipe says"


def of_error(error: MedfetchError, *, gated: bool) -> Verdict:
    """The class of an error; ``gated``: the recipe says that a person has to do something first."""
    said = error.message
    match error:
        case Challenged():
            return Outcome.CHALLENGE, said
        case Spared():
            return Outcome.UNCHECKED, said
        case AccessRequired():
            steps = "; ".join(str(step["do"]) for step in error.steps)
            return (Outcome.OK, f"{EXPECTED}: {steps}") if gated else (Outcome.GATED, steps)
        case Refused(status=404 | 410):
            return Outcome.GONE, said
        case Refused(status=401 | 403):
            return (Outcome.OK, f"{EXPECTED}: {said}") if gated else (Outcome.GATED, said)
        case Unreachable() | Retryable():
            return Outcome.UNREACHABLE, said
    return Outcome.CHANGED, f"{said} ({error.hint})" if isinstance(error, UsageProblem) and error.hint else said


def of_door(answer: Answer, *, gated: bool) -> Verdict:
    """The class of what a host says to whoever asks for a dataset."""
    said = f"{answer.door}: {answer.said}"
    match answer.door:
        case Door.OPEN:
            return Outcome.OK, answer.said
        case Door.ABSENT:
            return Outcome.GONE, said
        case Door.DOWN:
            return Outcome.UNREACHABLE, said
        case Door.WRONG_LOGIN:
            return Outcome.UNCHECKED, f"the log-in on this machine is not accepted: {answer.said}"
        case _ if gated:
            return Outcome.OK, f"{EXPECTED} ({said})"
    return Outcome.GATED, said
