"""Medians, ratios and goals of what was measured, as tables and as JSON.

It must not know how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.workloads import Workload

US = "medfetch"


@dataclass(frozen=True, slots=True)
class Result:
    """One run."""

    workload: str
    contender: str
    round: int
    verifies: bool
    wall: float
    """Seconds, as are all times."""
    cpu: float
    memory: int
    """Bytes, all processes together."""
    sent: int
    """Bytes of bodies that the server sent."""
    requests: int
    connections: int
    problem: str | None = None
    """What was wrong: then the numbers mean nothing."""
    before: float | None = None
    """Wall time of the step before, which is not in ``wall``."""
    sums: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Wall and processor time of programs that computed the digests afterwards."""


@dataclass(frozen=True, slots=True)
class Row:
    """A contender's runs of one workload, each number a median."""

    contender: str
    verifies: bool
    runs: int
    wall: float
    fastest: float
    slowest: float
    cpu: float
    memory: float
    """The highest of all runs."""
    sent: float
    """As a share of the data."""
    requests: float
    connections: float
    before: float | None
    problem: str | None


def rows(workload: Workload, size: int, results: Iterable[Result]) -> list[Row]:
    """A row for each contender, the fastest first, those that failed last."""
    by_name: dict[str, list[Result]] = {}
    for result in results:
        if result.workload == workload.name:
            by_name.setdefault(result.contender, []).append(result)
    made = [row for runs in by_name.values() for row in _of(runs, size)]
    return sorted(made, key=lambda row: (row.problem is not None, row.wall))


def _of(runs: list[Result], size: int) -> Iterator[Row]:
    good = [run for run in runs if not run.problem]
    problem = next((run.problem for run in runs if run.problem), None)
    name, verifies = runs[0].contender, runs[0].verifies
    if not good:
        yield Row(name, verifies, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, problem)
        return
    if problem:
        problem = f"failed {len(runs) - len(good)} of {len(runs)} times: {problem}"
    walls = [run.wall for run in good]
    befores = [run.before for run in good if run.before is not None]
    row = Row(
        name, verifies, len(good), median(walls), min(walls), max(walls), median(run.cpu for run in good),
        max(run.memory for run in good), median(run.sent for run in good) / size,
        median(run.requests for run in good), median(run.connections for run in good),
        median(befores) if befores else None, problem,
    )  # fmt: skip
    yield row
    for program in good[0].sums:
        wall, cpu = good[0].sums[program]
        yield Row(
            f"{name} + {program}", True, row.runs, row.wall + wall, row.fastest + wall, row.slowest + wall,
            row.cpu + cpu, row.memory, row.sent, row.requests, row.connections, None, None,
        )  # fmt: skip


def goals(workload: Workload, made: list[Row], floor: float) -> list[dict[str, Any]]:
    """Each goal with the ratio that was reached; ``floor`` is what the link alone takes."""
    walls = {row.contender: row.wall for row in made if row.runs}
    walls["floor"] = floor
    return [
        {"against": goal.contender, "goal": goal.ratio, "reached": walls[US] / walls[goal.contender]}
        for goal in workload.goals
        if US in walls and walls.get(goal.contender)
    ]


def table(made: list[Row]) -> str:
    """In Markdown; † is who computes no digest."""
    ours = next((row.wall for row in made if row.contender == US and row.runs), None)
    lines = [
        "| contender | wall s | (range) | medfetch takes | CPU s | peak MB | sent | requests | connections |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in made:
        name = row.contender + ("" if row.verifies else " †")
        if not row.runs:
            lines.append(f"| {name} | failed: {row.problem} |||||||")
            continue
        ratio = f"{ours / row.wall:.2f} ×" if ours else ""
        lines.append(
            f"| {name}{' (!)' if row.problem else ''} | {row.wall:.2f} | {row.fastest:.2f}–{row.slowest:.2f} | {ratio} "
            f"| {row.cpu:.1f} | {row.memory / 1e6:.0f} | {row.sent:.3f} | {row.requests:,.0f} "
            f"| {row.connections:,.0f} |"
        )
    lines.append("")
    lines += [f"- (!) {row.contender}: {row.problem}" for row in made if row.runs and row.problem]
    lines += [
        f"- Before, {row.contender} made its plan in {row.before:.2f} s." for row in made if row.before is not None
    ]
    return "\n".join(lines)


def goals_text(reached: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"- Goal: medfetch takes at most {goal['goal']:.2f} × {goal['against']}: {goal['reached']:.2f}, "
        f"{'reached' if goal['reached'] <= goal['goal'] else 'missed'}."
        for goal in reached
    )


def as_json(result: Result | Row) -> dict[str, Any]:
    return asdict(result)
