"""A chart as a picture, SVG or PNG, by matplotlib, which is imported only here. The same chart gives the same file."""

from __future__ import annotations

import io
import math
from itertools import accumulate
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from medfetch.charts import Bars, Chart, described, scale, value
from medfetch.errors import CacheError, UsageProblem

KINDS = (".svg", ".png")
STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#5b6b73", "axes.labelcolor": "#33434b", "axes.titlelocation": "left", "axes.titlesize": 10.5,
    "axes.titleweight": "bold", "axes.labelsize": 9, "figure.facecolor": "white",
    "font.size": 9, "grid.color": "#dde4e7", "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text, which keeps the file small and can be searched
    "text.parse_math": False,  # a dollar is a dollar
    "svg.hashsalt": "medfetch", "text.color": "#16252c", "xtick.color": "#33434b", "ytick.color": "#33434b",
}  # fmt: skip
COLOURS = {"bytes": "#0072B2", "bytes/s": "#0072B2", "series": "#009E73", "files": "#009E73", "subjects": "#CC79A7"}
"""Those of Okabe and Ito (Color Universal Design, 2008), which people with any colour vision tell apart."""
TROUBLE = "#D55E00"
WIDTH, BAR, AROUND, UPRIGHT = 11.0, 0.26, 1.0, 2.6
"""Inches: of the picture; of a bar; of what is around a panel's bars; the height of a panel over time."""
LONGEST = 28
"""Characters of a row's name."""
TICKS = 6
GAP = 3
"""Bars that would have room where nothing ran."""


def write(chart: Chart, path: Path) -> None:
    """Writes a picture whose kind is told by its name.

    Raises: UsageProblem without matplotlib; CacheError where the file cannot be written.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageProblem(
            "pictures are drawn by matplotlib, which is not installed",
            hint="pip install 'medfetch[plot]'; --plot without a file draws in the terminal",
        ) from error
    made = io.BytesIO()
    with mpl.rc_context(STYLE):
        rows = _rows(chart)
        heights = [max(map(_height, row)) for row in rows]
        head = 0.75 + 0.2 * len(chart.notes)
        figure = Figure(figsize=(WIDTH, sum(heights) + head), layout="constrained")
        _draw(figure, chart, rows, heights, head)
        metadata = {"Title": chart.title, "Description": described(chart)}
        if path.suffix.lower() == ".svg":
            figure.savefig(made, format="svg", metadata={**metadata, "Date": None, "Creator": "medfetch"})
        else:
            figure.savefig(made, format="png", dpi=150, metadata={**metadata, "Software": "medfetch"})
    content = made.getvalue()
    try:
        path.write_bytes(_accessible(content, chart) if path.suffix.lower() == ".svg" else content)
    except OSError as error:
        raise CacheError(f"{path} cannot be written: {error.strerror}", hint="--plot=FILE elsewhere") from error


def _rows(chart: Chart) -> list[list[Bars]]:
    """Panels side by side: three of bars that have the same rows, else two; those over time have a line each."""
    rows: list[list[Bars]] = []
    for panel in chart.panels:
        last = rows[-1] if rows else []
        most = 3 if last and last[0].by == "modality" else 2
        fits = last and not panel.over_time and last[0].by == panel.by and len(last) < most
        last.append(panel) if fits else rows.append([panel])
    return rows


def _height(panel: Bars) -> float:
    return UPRIGHT if panel.over_time else AROUND + BAR * len(panel.rows)


def _draw(figure: Any, chart: Chart, rows: list[list[Bars]], heights: list[float], head: float) -> None:
    whole = sum(heights) + head
    figure.text(0.01, 1 - 0.12 / whole, chart.title, size=14, weight="bold", va="top")
    figure.text(0.01, 1 - 0.42 / whole, f"{chart.told}; {chart.summary}", size=9.5, va="top", color="#4d606a")
    for number, note in enumerate(reversed(chart.notes)):
        figure.text(0.01, (0.06 + 0.2 * number) / whole, note, size=8.5, va="bottom", color="#4d606a")
    foot = 0.2 * len(chart.notes) / whole
    figure.get_layout_engine().set(rect=(0, foot, 1, 1 - head / whole), w_pad=0.1, h_pad=0.08)
    lines = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False) if len(rows) > 1 else [[figure]]
    for (line,), panels in zip(lines, rows, strict=True):
        for axes, panel in zip(line.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            if panel.over_time:
                _over_time(axes, panel)
            else:
                _bars(axes, panel, max(len(each.rows) for each in panels))
    _fix(figure)


def _fix(figure: Any) -> None:
    """Where everything is, rounded: the solver's last digits, of which identifiers are made, differ from run to run."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for line in figure.subfigs:
        line.bbox_relative.set_points(line.bbox_relative.get_points().round(4))
    for axes in figure.axes:
        axes.set_position([round(number, 4) for number in axes.get_position().bounds])


def _bars(axes: Any, panel: Bars, room: int) -> None:
    """With room for so many, that all bars of a line are as thick."""
    rows = [(name, number) for name, number in panel.rows if number is not None]
    largest = max(number for _, number in rows)
    divisor, unit = scale(largest, panel.unit)
    names = [name if len(name) <= LONGEST else f"{name[:10]}…{name[11 - LONGEST :]}" for name, _ in rows]
    drawn = axes.barh(range(len(rows)), [number / divisor for _, number in rows], 0.72, color=COLOURS[panel.unit])
    axes.bar_label(drawn, [value(number, panel.unit) for _, number in rows], padding=3, size=8.5)
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(room - 0.45, -0.55)
    axes.set_xlim(0, (largest or 1) / divisor * 1.22)
    axes.set(title=panel.title, xlabel=unit, ylabel=panel.by)
    _plain(axes, "x")


def _over_time(axes: Any, panel: Bars) -> None:
    largest = max(number or 0 for _, number in panel.rows)
    divisor, unit = scale(largest, panel.unit)
    ends = list(accumulate(GAP if number is None else 1 for _, number in panel.rows))
    bars = [(end, name, number) for end, (name, number) in zip(ends, panel.rows, strict=True) if number is not None]
    colour = TROUBLE if panel.unit == "files" else COLOURS.get(panel.unit, TROUBLE)
    axes.bar([end for end, _, _ in bars], [number / divisor for _, _, number in bars], 0.9, color=colour)
    shown = bars[:: math.ceil(len(bars) / TICKS)]
    axes.set_xticks([end for end, _, _ in shown], [name for _, name, _ in shown])
    for end, (name, number) in zip(ends, panel.rows, strict=True):
        if number is None:
            middle = end - (GAP - 1) / 2
            axes.axvspan(end - GAP + 0.6, end + 0.4, color="#eef1f2")
            axes.text(
                middle, 0.5, name, transform=axes.get_xaxis_transform(), ha="center", va="center", size=8.5, rotation=90
            )
    axes.set_xlim(0.3, ends[-1] + 0.7)
    axes.set_ylim(0, (largest / divisor or 1) * 1.1)
    axes.set(title=panel.title, xlabel=panel.by, ylabel=unit)
    _plain(axes, "y")


def _plain(axes: Any, values: str) -> None:
    """Axes with a grid behind the bars, along which values are read, and no frame."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis = getattr(axes, f"{values}axis")
    axis.set_major_locator(MaxNLocator(nbins=4, integer=axis.get_label_text() in ("series", "files", "subjects")))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.grid(True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)


def _accessible(svg: bytes, chart: Chart) -> bytes:
    """With the title and the description that screen readers read; matplotlib has them in its metadata only."""
    text = svg.decode()
    begin = text.index("<svg ")
    end = text.index(">", begin)
    told = f'<title id="title">{escape(chart.title)}</title><desc id="desc">{escape(described(chart))}</desc>'
    head = f'{text[:end]} role="img" aria-labelledby="title desc">\n {told}'
    return (head + text[end + 1 :]).encode()
