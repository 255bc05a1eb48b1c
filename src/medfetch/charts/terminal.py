"""A chart as lines of text: bars of block characters, which need no colour."""

from __future__ import annotations

from collections.abc import Iterator

from medfetch.charts import BYTES, RATE, Bars, Chart, value

EIGHTHS = " ▏▎▍▌▋▊▉"
FULL = "█"
NARROWEST, WIDEST = 40, 100
"""Columns."""


def lines(chart: Chart, width: int, encoding: str | None) -> Iterator[str]:
    """The chart in so many columns; where the encoding has no blocks, of number signs."""
    width = min(max(width, NARROWEST), WIDEST)
    blocks = _has_blocks(encoding)
    yield chart.title
    yield f"{chart.told}; {chart.summary}"
    for panel in chart.panels:
        yield ""
        yield panel.title if panel.unit in (BYTES, RATE) else f"{panel.title} ({panel.unit})"
        yield from _panel(panel, width, blocks)
    if chart.notes:
        yield ""
        yield from chart.notes


def _panel(panel: Bars, width: int, blocks: bool) -> Iterator[str]:
    numbers = ["" if number is None else value(number, panel.unit) for _, number in panel.rows]
    told, names = max(map(len, numbers)), max(len(name) for name, number in panel.rows if number is not None)
    names = min(names, width // 3)
    room = width - names - told - 6
    largest = max(number or 0 for _, number in panel.rows) or 1
    for (name, number), said in zip(panel.rows, numbers, strict=True):
        if number is None:
            yield f"  {name}"
        else:
            short = name if len(name) <= names else f"{name[: names - 1]}…"
            yield f"  {short:<{names}}  {said:>{told}}  {_bar(number / largest, room, blocks)}".rstrip()


def _bar(share: float, room: int, blocks: bool) -> str:
    """Something is never nothing."""
    if not blocks:
        return "#" * max(round(share * room), share > 0)
    eighths = max(round(share * room * 8), share > 0)
    return FULL * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _has_blocks(encoding: str | None) -> bool:
    try:
        (FULL + EIGHTHS + "…–").encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
