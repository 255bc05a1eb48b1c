"""Secrets that their hosts' tools take from the environment: grand-challenge, PhysioNet, Redivis.

Read in gcapi 0.16.1 (client.py), physionet 0.2.0 (api/utils.py) and redivis 0.21.1 (common/auth.py), 2026-11-20.
It must not know what they are used for.
"""

from __future__ import annotations

import time
from pathlib import Path

from medfetch.config import Settings, variable
from medfetch.credentials import netrc, reading
from medfetch.credentials.kinds import Found, Login, Token


def grand_challenge(_: str, settings: Settings) -> Found | None:
    """As gcapi: the token itself, or ``BEARER token``."""
    words = (variable("GRAND_CHALLENGE_AUTHORIZATION") or "").split()
    return Found(Token(words[-1]), "GRAND_CHALLENGE_AUTHORIZATION") if words else None


def physionet(_: str, settings: Settings) -> Found | None:
    """As its own client, else as wget, which PhysioNet's pages recommend."""
    user, password = variable("PHYSIONET_USERNAME"), variable("PHYSIONET_PASSWORD")
    if user and password:
        return Found(Login(user, password), "PHYSIONET_USERNAME and PHYSIONET_PASSWORD")
    return netrc.look("physionet.org", settings)


def redivis(_: str, settings: Settings) -> Found | None:
    """As its own client; what a log-in in the browser left is used as long as it lives, and not renewed."""
    if value := variable("REDIVIS_API_TOKEN"):
        return Found(Token(value), "REDIVIS_API_TOKEN")
    path = Path("~/.redivis/python_credentials").expanduser()
    content = reading.json_object(path) or {}
    value, until = content.get("access_token"), content.get("expires_at")
    if value and isinstance(until, (int, float)) and until > time.time():
        return Found(Token(str(value)), reading.place(path))
    return None
