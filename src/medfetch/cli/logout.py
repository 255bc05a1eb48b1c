"""``medfetch logout``."""

from __future__ import annotations

import click

from medfetch import credentials
from medfetch.cli.common import Session, with_session
from medfetch.credentials import own_file


@click.command("logout")
@click.argument("name")
@with_session
def command(session: Session, name: str) -> None:
    """Forget a credential that login kept; what the hosts' own tools keep is left alone."""
    session.in_earnest("what login keeps")
    credentials.checked(name)
    path = str(session.settings.credentials_file)
    there = own_file.forget(name, session.settings)
    session.note(f"removed from {path}" if there else f"there was none in {path}")
    if left := credentials.where(name, session.settings):
        session.note(f"still there: {left}")
    if session.json:
        session.out({"event": "logout", "name": name, "removed": there, "left": left}, "")
