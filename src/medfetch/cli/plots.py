"""The option --plot, and where its charts go: into the terminal, into a file, into a line of JSON."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import click

from medfetch import charts
from medfetch.charts import Chart, terminal
from medfetch.cli.common import Function, Session
from medfetch.errors import UsageProblem

TERMINAL = Path("-")
"""The value of --plot without a file."""


def _file(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    # What has to do with pictures is only imported where there are some.
    if value is None or value == TERMINAL:
        return value
    from medfetch.charts.figure import KINDS

    if value.suffix.lower() not in KINDS:
        # With "--plot NAME" click takes the name for a file.
        hint = f"{' or '.join(f'--plot=FILE{kind}' for kind in KINDS)}; --plot alone, for the terminal, comes last"
        raise click.BadParameter(f"{str(value)!r} is no picture's name. {hint}", ctx, parameter)
    return value.expanduser()


def option(told: str) -> Callable[[Function], Function]:
    """--plot, with which a verb is given ``plot``: None, TERMINAL or a file."""
    return click.option(
        "--plot", type=click.Path(path_type=Path), is_flag=False, flag_value=str(TERMINAL), metavar="[=FILE]",
        callback=_file, help=f"{told} As bars in the terminal; with =FILE.svg or =FILE.png as a picture.",
    )  # fmt: skip


def show(session: Session, plot: Path, name: str, chart: Chart | None, nothing: UsageProblem) -> None:
    """A chart where it is wanted; ``nothing`` is raised where there is none.

    Raises: UsageProblem, CacheError.
    """
    if chart is None:
        raise nothing
    content = {"dataset": name, "chart": charts.as_dict(chart)}
    if plot == TERMINAL:
        width = shutil.get_terminal_size().columns
        session.out(content, "\n".join(terminal.lines(chart, width, sys.stdout.encoding)))
        return
    from medfetch.charts import figure

    figure.write(chart, plot)
    session.out({**content, "file": str(plot)}, str(plot))


def of_several(plot: Path, name: str, several: bool) -> Path:
    """Where the chart of one of several datasets goes: each file has its name in it."""
    return plot.with_stem(f"{plot.stem}-{name}") if several and plot != TERMINAL else plot
