"""``medfetch path``."""

from __future__ import annotations

import sys

import click

from medfetch import cache, dois, layers, upkeep
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session


@click.command("path")
@click.argument("name", shell_complete=completion.names)
@with_session
def command(session: Session, name: str) -> None:
    """Print where a dataset is; exit 1 if what was asked for is not complete."""
    settings = session.resting
    home = layers.where(dois.load(name, settings), settings)
    if layers.is_layer(home, settings):
        complete = layers.is_complete(home)
    else:
        complete = cache.is_there(home) and upkeep.complete(home)
    session.out({"path": str(home.root), "complete": complete}, str(home.root))
    if not complete:
        session.note(f"{name} is not complete")
        sys.exit(1)
