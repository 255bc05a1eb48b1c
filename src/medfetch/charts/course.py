"""How the runs on a dataset went, as a chart: rate, failures and retries by time. It must not know where that is kept.

Only the time at work is shown: where nothing ran for a while there is a gap, which says for how long.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from medfetch.charts import BYTES, RATE, Bars, Chart, value
from medfetch.journal import Past
from medfetch.progress import counted

LONGEST_PAUSE = 60.0
"""Seconds between two runs that are no gap."""
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Seconds that a bar may stand for."""
FOUND = "What a run finds of unfinished files and series counts where it begins, as if it had come then."


@dataclass(slots=True)
class _Bin:
    """A span of time (seconds since 1970), and what happened in it."""

    begin: float
    end: float
    size: float = 0.0
    """Bytes."""
    failed: int = 0
    retried: int = 0


def of(name: str, version: str | None, runs: Sequence[Past], bars: int) -> Chart | None:
    """The chart of some runs in about so many bars; None where none lasted long enough to say anything."""
    runs = [run for run in runs if len(run.rows) > 1]
    if not runs:
        return None
    spans = _spans(runs)
    worked = sum(end - begin for begin, end in spans)
    step = next((step for step in STEPS if worked / step <= bars), STEPS[-1])
    stretches = [_cut(begin, end, step) for begin, end in spans]
    for run in runs:
        _fill(run, [each for stretch in stretches for each in stretch])
    rows = list(_rows(stretches, "%H:%M:%S" if step < 60 else "%H:%M"))
    by = f"local time, {_span(step)} a bar"

    def panel(title: str, unit: str, of_bin: Callable[[_Bin], float]) -> Bars:
        return Bars(
            title, by, unit, tuple((told, of_bin(each) if each else None) for told, each in rows), over_time=True
        )

    panels = [panel("Rate", RATE, lambda each: max(0.0, each.size) / (each.end - each.begin))]
    if any(run.rows[-1][3] for run in runs):
        panels.append(panel("Failures", "files", lambda each: each.failed))
    if any(run.rows[-1][4] for run in runs):
        panels.append(panel("Attempts that were repeated", "retries", lambda each: each.retried))
    ends = [run.rows[-1][1:] for run in runs]
    size, files, failed, retried = (sum(each) for each in zip(*ends, strict=True))
    fetched = [value(max(0, size), BYTES), counted(files, "file")] if len(runs) == 1 else [counted(len(runs), "run")]
    repeated = "1 attempt repeated" if retried == 1 else f"{retried:,} attempts repeated"
    summary = ", ".join([*fetched, f"{_span(worked)} at work", counted(failed, "failure"), repeated])
    told = f"version {version}" if version else "no version named"
    told += f"; {_clock(spans[0][0])} to {_clock(spans[-1][1])}"
    return Chart(f"{name}: rate and failures", told, summary, tuple(panels), (FOUND,))


def _spans(runs: Iterable[Past]) -> list[tuple[float, float]]:
    """When at least one was at work."""
    spans: list[tuple[float, float]] = []
    for begin, end in sorted((run.since, run.since + max(run.rows[-1][0], 0.1)) for run in runs):
        if spans and begin - spans[-1][1] <= LONGEST_PAUSE:
            spans[-1] = spans[-1][0], max(spans[-1][1], end)
        else:
            spans.append((begin, end))
    return spans


def _cut(begin: float, end: float, step: int) -> list[_Bin]:
    number = max(1, round((end - begin) / step))
    edges = [begin + at * step for at in range(number)] + [end]
    return [_Bin(first, last) for first, last in pairwise(edges)]


def _fill(run: Past, bins: list[_Bin]) -> None:
    """Bytes evenly between two rows; failures and retries where they were noted."""
    at = 0
    for before, after in pairwise(run.rows):
        begin, end = run.since + before[0], run.since + max(after[0], before[0] + 0.01)
        while at < len(bins) - 1 and bins[at].end <= begin:
            at += 1
        last = at
        while last < len(bins) - 1 and bins[last].end < end:
            last += 1
        for each in bins[at : last + 1]:
            share = max(0.0, min(end, each.end) - max(begin, each.begin)) / (end - begin)
            each.size += share * (after[1] - before[1])
        bins[last].failed += after[3] - before[3]
        bins[last].retried += after[4] - before[4]


def _rows(stretches: list[list[_Bin]], clock: str) -> Iterator[tuple[str, _Bin | None]]:
    """(label, bin), and between two stretches (what to say of the gap, None)."""
    day = ""
    for number, stretch in enumerate(stretches):
        if number:
            yield f"nothing ran for {_span(stretch[0].begin - stretches[number - 1][-1].end)}", None
        for each in stretch:
            at = time.localtime(each.begin)
            today = time.strftime("%m-%d", at)
            yield (f"{today} " if today != day and len(stretches) > 1 else "") + time.strftime(clock, at), each
            day = today


def _clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _span(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = math.floor(seconds / 60 + 0.5)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
