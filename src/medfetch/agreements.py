"""What people agreed to and declared, in a ledger that only grows. It must not know recipes, hosts or the network.

One JSON object a line in ``agreements.jsonl`` of the user's data directory: dataset, step, kind, person, date,
recorded, at, digest, expires. Of several records for the same the last one counts.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from medfetch import requirements
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.types import Requirement

PERSONAL = ("account", "token", "training", "approval")
"""Kinds of steps that, under one name, are the same for all datasets; of others each dataset has its own."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A person's word that they agreed to terms, or took another step."""

    dataset: str
    step: str
    kind: str
    person: str
    date: str
    """When they did, as ISO 8601 has it (2026-11-20)."""
    recorded: str
    """When it was written down, in UTC."""
    at: str | None = None
    """Where the terms are, or the step is taken."""
    digest: str | None = None
    """``sha256:…`` of the text that was shown, if any was."""
    expires: str | None = None
    """The last day on which it is good, None where nobody says so."""

    @property
    def lapsed(self) -> bool:
        return self.expires is not None and self.expires < today().isoformat()


def today() -> datetime.date:
    return datetime.date.today()


def path(settings: Settings) -> Path:
    return settings.data / "agreements.jsonl"


def read(settings: Settings) -> list[Agreement]:
    """All records, oldest first.

    Raises: UsageProblem where a line is not one.
    """
    try:
        lines = path(settings).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path(settings)} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Agreement(**json.loads(line)))
        except (ValueError, TypeError):
            raise UsageProblem(
                f"{path(settings)}: line {number} is not a record of an agreement",
                hint="put it right, or take the line out and run medfetch agree again",
            ) from None
    return found


def made(
    dataset: str, step: Requirement, person: str, date: datetime.date, *,
    at: str | None, until: datetime.date | None = None, digest: str | None = None,
) -> Agreement:  # fmt: skip
    """A record to be.

    Args:
        at: where the terms stand, or the step is taken.
        until: the last day, where it is not the one that the step's ``lapses`` gives.
        digest: of the text that was shown.

    Raises: UsageProblem for a person without a name, and for a day that has not come yet.
    """
    if not person.strip():
        raise UsageProblem("who agrees has no name", hint="the name of a person")
    if date > today():
        raise UsageProblem(f"{date} is in the future", hint="the day on which the person agreed")
    days = requirements.good_for(step.lapses)
    if until is None and days is not None:
        until = date + datetime.timedelta(days)
    return Agreement(
        dataset, step.name, step.kind, person.strip(), date.isoformat(),
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), at, digest,
        until.isoformat() if until else None,
    )  # fmt: skip


def record(new: Iterable[Agreement], settings: Settings) -> None:
    """Adds records; nothing that was there is touched.

    Raises: UsageProblem where the ledger cannot be written.
    """
    text = "".join(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in new)
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path(settings), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageProblem(
            f"{path(settings)} cannot be written: {error.strerror}", hint="the setting `data` names another directory"
        ) from error


def for_step(step: Requirement, dataset: str, ledger: Iterable[Agreement]) -> Agreement | None:
    """The last record that speaks of a step for a dataset; of personal steps, for whichever dataset it was made."""
    found = None
    for each in ledger:
        same = each.step == step.name and each.kind == step.kind
        if same and (each.dataset == dataset or (step.kind in PERSONAL and each.at == step.at)):
            found = each
    return found
