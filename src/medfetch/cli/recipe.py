"""``medfetch recipe``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click

from medfetch import catalog
from medfetch.cli.common import Session, with_session


@click.group("recipe")
def command() -> None:
    """Check recipes."""


@command.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@with_session
def check(session: Session, paths: tuple[Path, ...]) -> None:
    """Check recipe files, or all built-in ones, without the network; exit 2 where something is wrong."""
    problems = 0
    for problem in catalog.check(paths or (catalog.builtin(),)):
        problems += 1
        where = f"{problem.file}:{problem.line}:{problem.column}"
        hint = f" ({problem.hint})" if problem.hint else ""
        content = dataclasses.asdict(problem) | {"file": str(problem.file)}
        session.out(content, f"{where}: {problem.field}: {problem.message}{hint}")
    if problems:
        session.note(f"{problems} problems")
        sys.exit(2)
    session.note("no problems")
