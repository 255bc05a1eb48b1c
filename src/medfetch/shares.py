"""``--shard I/N``: the share of a plan that a task of a job array begins with, and what schedulers tell of tasks.

Nothing's correctness rests on it: whoever has done their share helps the others, and two tasks may have the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from medfetch.config import variable
from medfetch.errors import UsageProblem

PER_FILE = 200_000
"""Bytes that could come in the time that a file takes for itself, roughly: many small ones are work, too."""


@dataclass(frozen=True, slots=True)
class Share:
    """``number`` from 0, ``of`` so many tasks; ``job``: what the scheduler calls this one."""

    number: int
    of: int
    job: str | None = None

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse(text: str) -> Share:
    """``3/8``, ``auto`` or ``auto/8`` → a share.

    Raises: UsageProblem.
    """
    first, _, count = text.partition("/")
    of = int(count) if count.isdecimal() else 0
    if first == "auto" and (of or not count):
        return _told(of or None)
    if not first.isdecimal() or int(first) >= of:
        raise UsageProblem(
            f"--shard {text!r} is not I/N, with I from 0 to N-1", hint="such as --shard 0/8, or --shard auto"
        )
    return Share(int(first), of, job())


def _told(of: int | None) -> Share:
    """What the scheduler tells; ``of`` where the person told how many tasks there are."""
    if (index := _number("SLURM_ARRAY_TASK_ID")) is not None:
        first, step = _number("SLURM_ARRAY_TASK_MIN") or 0, _number("SLURM_ARRAY_TASK_STEP") or 1
        return _share((index - first) // step, of or _number("SLURM_ARRAY_TASK_COUNT"))
    if (index := _number("PBS_ARRAY_INDEX", "PBS_ARRAYID")) is not None:
        return _share(index, of)
    # 0 in a job that is no array.
    if index := _number("LSB_JOBINDEX"):
        return _share(index - 1, of or _number("LSB_JOBINDEX_END"))
    # "undefined" in a job that is no array.
    if (index := _number("SGE_TASK_ID")) is not None:
        first, step = _number("SGE_TASK_FIRST") or 1, _number("SGE_TASK_STEPSIZE") or 1
        last = _number("SGE_TASK_LAST")
        return _share((index - first) // step, of or (last and (last - first) // step + 1))
    if (index := _number("JOB_COMPLETION_INDEX")) is not None:
        return _share(index, of)
    raise UsageProblem(
        "--shard auto: no variable here tells which task of a job array this is",
        hint="Slurm, PBS, LSF, SGE and indexed jobs of Kubernetes are known; else --shard I/N",
    )


def _share(number: int, of: int | None) -> Share:
    if not of:
        raise UsageProblem(
            "--shard auto: this scheduler does not tell how many tasks there are", hint="say it: --shard auto/N"
        )
    # Arrays may begin at 1, or have gaps.
    return Share(number % of, of, job())


def _number(*names: str) -> int | None:
    found = next((value for name in names if (value := variable(name))), "")
    return int(found) if re.fullmatch("[0-9]+", found) else None


def job() -> str | None:
    """What the scheduler calls this job, as its own commands take it."""
    if array := variable("SLURM_ARRAY_JOB_ID"):
        return f"{array}_{variable('SLURM_ARRAY_TASK_ID')}"
    index = variable("LSB_JOBINDEX") or "0"
    if (lsf := variable("LSB_JOBID")) and index != "0":
        return f"{lsf}[{index}]"
    # "undefined" in a job that is no array.
    if (number := variable("JOB_ID")) and (sge := variable("SGE_TASK_ID")):
        return number if sge == "undefined" else f"{number}.{sge}"
    return variable("SLURM_JOB_ID") or variable("PBS_JOBID") or lsf


def cut(sizes: list[tuple[int, int]], of: int) -> list[int]:
    """To which of ``of`` shares each shard belongs, given their files and bytes: shares of about the same work."""
    weights = [size + files * PER_FILE for files, size in sizes]
    loads, owners = [0] * of, [0] * len(sizes)
    # The largest first, each to whoever has least so far.
    for shard in sorted(range(len(sizes)), key=lambda shard: weights[shard], reverse=True):
        owners[shard] = loads.index(min(loads))
        loads[owners[shard]] += weights[shard]
    return owners
