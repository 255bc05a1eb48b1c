"""``medfetch rm``."""

from __future__ import annotations

import sys

import click

from medfetch import cache, dois, layers, upkeep
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session
from medfetch.errors import UsageProblem


@click.command("rm")
@click.argument("names", nargs=-1, required=True, shell_complete=completion.names)
@with_session
def command(session: Session, names: tuple[str, ...], yes: bool) -> None:
    """Remove datasets from the cache."""
    settings = session.resting
    homes = [layers.where(dois.load(name, settings), settings) for name in names]
    for name, home in zip(names, homes, strict=True):
        if layers.is_layer(home, settings):
            raise UsageProblem(f"{name} is in a layer, {home.cache}", hint="medfetch changes nothing there")
        if not cache.is_there(home):
            raise UsageProblem(f"{name} is not in the cache", hint=f"looked in {home.root}")
    if not yes and sys.stdin.isatty():
        click.confirm(f"remove {', '.join(str(home.root) for home in homes)}?", abort=True, err=True)
    for name, home in zip(names, homes, strict=True):
        upkeep.remove(home)
        session.out({"event": "removed", "dataset": name, "path": str(home.root)}, f"removed {home.root}")
