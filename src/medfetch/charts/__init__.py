"""Charts of datasets and runs: what they show, as data, for a terminal, a picture or the page.

survey  → holdings ─┐             ┌→ terminal   lines of text
journal → course   ─┴→ Chart ────┼→ figure     SVG or PNG, by matplotlib
                                  └→ as_dict    the page, scripts
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

BYTES, RATE = "bytes", "bytes/s"
"""Units that are shown in kB, MB, GB."""


@dataclass(frozen=True, slots=True)
class Bars:
    """One panel: a bar for each row."""

    title: str
    by: str
    """What the rows are: ``modality``."""
    unit: str
    """Of the values: ``series``, or one of the above."""
    rows: tuple[tuple[str, float | None], ...]
    """None is a gap, of which the text says what it is."""
    over_time: bool = False
    """The rows follow each other in time; a picture has them from left to right."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels with what they have in common."""

    title: str
    told: str
    """The version of what is shown, and who told it."""
    summary: str
    panels: tuple[Bars, ...]
    notes: tuple[str, ...] = ()
    """What is not in it, each a sentence."""


def as_dict(chart: Chart) -> dict[str, Any]:
    return asdict(chart)


def value(number: float, unit: str) -> str:
    """For people: ``1,018``, ``133.1 GB``, ``1.2 MB/s``."""
    if unit not in (BYTES, RATE):
        return f"{number:,.0f}"
    divisor, word = scale(number, unit)
    return f"{number / divisor:.0f} {word}" if divisor == 1 else f"{number / divisor:.1f} {word}"


def scale(largest: float, unit: str) -> tuple[int, str]:
    """By how much values are divided, and the unit that they have then."""
    if unit not in (BYTES, RATE):
        return 1, unit
    divisor, words = 1, ["B", "kB", "MB", "GB", "TB"]
    while largest / divisor >= 1000 and len(words) > 1:
        divisor, words = divisor * 1000, words[1:]
    return divisor, words[0] + unit.removeprefix(BYTES)


def described(chart: Chart) -> str:
    """All of it in words, for whoever does not see it."""
    panels = []
    for panel in chart.panels:
        rows = (f"{name} {value(number, panel.unit)}" if number is not None else name for name, number in panel.rows)
        unit = "" if panel.unit in (BYTES, RATE) else f" ({panel.unit})"
        panels.append(f"{panel.title}{unit}: {', '.join(rows)}.")
    return " ".join([f"{chart.summary}.", *panels, *chart.notes])
