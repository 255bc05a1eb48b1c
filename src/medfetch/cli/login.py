"""``medfetch login``."""

from __future__ import annotations

import sys

import click

from medfetch import credentials
from medfetch.cli.common import Session, with_session
from medfetch.credentials import kinds, own_file
from medfetch.errors import UsageProblem

LARGEST = 1 << 20
"""Characters from standard input."""


@click.command("login")
@click.argument("name")
@with_session
def command(session: Session, name: str) -> None:
    """Keep a credential (kaggle, physionet, hf …), read from a prompt or standard input, never from an argument."""
    session.in_earnest("what login keeps")
    kind, host = credentials.checked(name)
    if kind in credentials.KEEPERS:
        whose, how = credentials.KEEPERS[kind]
        raise UsageProblem(f"{whose} own tools keep this one", hint=f"run: {how}")
    text = _asked(kind, host) if sys.stdin.isatty() else sys.stdin.read(LARGEST)
    try:
        secret = kinds.from_text(kind, text)
    except ValueError as error:
        raise UsageProblem(f"{name}: {error}", hint="nothing was kept") from None
    own_file.keep(name, secret, session.settings)
    path = str(session.settings.credentials_file)
    used = credentials.where(name, session.settings)
    session.note(f"kept in {path}")
    if used != path:
        session.note(f"but {used} goes before it, as with the host's own tools")
    if session.json:
        session.out({"event": "login", "name": name, "kept": path, "used": used}, "")


def _asked(kind: str, host: str) -> str:
    """What a person types at the terminal; only a user name is shown."""
    if kind in kinds.LOGINS:
        user = click.prompt(f"User name at {host or 'physionet.org'}", err=True)
        return f"{user}:{click.prompt('Password', hide_input=True, err=True)}"
    wanted = {
        "gen3": f"API key of {host} (the JSON that its page lets you download, on one line)",
        "kaggle": "Token, or username:key",
    }
    return str(click.prompt(wanted.get(kind, "Token"), hide_input=True, err=True))
