"""User names and passwords by host, from a netrc file as curl and wget read it. It must not know the hosts."""

from __future__ import annotations

from netrc import NetrcParseError
from netrc import netrc as Netrc

from medfetch.config import Settings
from medfetch.credentials import reading
from medfetch.credentials.kinds import Found, Login
from medfetch.errors import UsageProblem


def look(host: str, settings: Settings) -> Found | None:
    """The entry for exactly that host: what stands under ``default`` is meant for nobody, and goes to nobody.

    Raises: UsageProblem where the file is readable by others, belongs to another, or cannot be parsed.
    """
    path = settings.netrc
    if reading.text(path, private=True) is None:
        return None
    try:
        entry = Netrc(path).hosts.get(host)
    except (NetrcParseError, UnicodeDecodeError) as error:
        # The parser's message may quote the offending token, which may be the password.
        line = getattr(error, "lineno", None)
        raise UsageProblem(f"{path}: not a netrc file (line {line})") from None
    return Found(Login(entry[0], entry[2] or ""), str(path)) if entry and host != "default" else None
