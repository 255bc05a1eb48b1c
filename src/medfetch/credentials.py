"""Secrets by name, found where the hosts' own tools keep them; never printed, stored or logged.

It must not know what a secret is used for. Today there is one kind: ``netrc:HOST``.
"""

from __future__ import annotations

import netrc
from dataclasses import dataclass

from medfetch.config import Settings
from medfetch.errors import UsageProblem


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password; its text never shows the password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.user!r}, ***)"


@dataclass(frozen=True, slots=True)
class Token:
    """What goes into ``Authorization: Bearer``; its text never shows it."""

    value: str

    def __repr__(self) -> str:
        return "Token(***)"


Secret = Login | Token


def find(name: str, settings: Settings) -> Secret | None:
    """The secret called ``netrc:HOST`` from a netrc file, None where there is none.

    Raises: UsageProblem where the file is readable by others or cannot be parsed.
    """
    netrc_path = settings.netrc
    kind, _, host = name.partition(":")
    if kind != "netrc":
        raise UsageProblem(f"{name!r} is no credential that medfetch knows", hint="expected netrc:HOST")
    if not netrc_path.is_file():
        return None
    if netrc_path.stat().st_mode & 0o077:
        raise UsageProblem(f"{netrc_path} can be read by other users", hint=f"run: chmod 600 {netrc_path}")
    try:
        entry = netrc.netrc(netrc_path).authenticators(host)
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        # The parser's message may quote the offending token, which may be the password.
        line = getattr(error, "lineno", None)
        raise UsageProblem(f"{netrc_path}: not a netrc file (line {line})") from None
    return Login(entry[0], entry[2]) if entry else None
