"""``medfetch path``."""

from __future__ import annotations

import sys

import click

from medfetch import dois, runner, upkeep
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session


@click.command("path")
@click.argument("name", shell_complete=completion.names)
@with_session
def command(session: Session, name: str) -> None:
    """Print where a dataset is; exit 1 if what was asked for is not complete."""
    settings = session.resting
    home = runner.home_of(dois.load(name, settings), settings)
    complete = home.inner.exists() and upkeep.complete(home)
    session.out({"path": str(home.root), "complete": complete}, str(home.root))
    if not complete:
        session.note(f"{name} is not complete")
        sys.exit(1)
