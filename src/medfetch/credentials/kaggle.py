"""Kaggle's secret as kaggle 2.2.4 and kagglehub 1.0.2 find it. It must not know what it is used for.

Their order: an access token (KAGGLE_API_TOKEN, itself or the path of a file, then ~/.kaggle/access_token[.txt]), the
older user name with a key (KAGGLE_USERNAME and KAGGLE_KEY, each before its twin in kaggle.json), then what
``kaggle auth login`` left in ~/.kaggle/credentials.json: an access token, and a refresh token that gives another one.
Read in kagglesdk 0.1.37 (kaggle_env.py, kaggle_creds.py) and kaggle_api_extended.py, 2026-11-20. A new token is not
written into that file, as their client does: it is theirs, and what is in it stays good.
"""

from __future__ import annotations

import datetime
import sys
from pathlib import Path

from medfetch.config import Settings, variable
from medfetch.credentials import reading
from medfetch.credentials.kinds import Found, Login, RefreshToken, Token

HOME = "~/.kaggle"
ENOUGH = datetime.timedelta(minutes=10)
"""A token that ends sooner is not begun with, where another one can be had."""


def look(_: str, settings: Settings) -> Found | None:
    """Kaggle's token, or user name and key; None where there is neither."""
    return _token() or _legacy() or _signed_in()


def _token() -> Found | None:
    home = Path(HOME).expanduser()
    if told := variable("KAGGLE_API_TOKEN"):
        return _of_file(Path(told)) if _is_file(told) else Found(Token(told), "KAGGLE_API_TOKEN")
    return _of_file(home / "access_token") or _of_file(home / "access_token.txt")


def _is_file(told: str) -> bool:
    try:
        return Path(told).is_file()
    except (OSError, ValueError):  # too long for a file's name
        return False


def _of_file(path: Path) -> Found | None:
    value = (reading.text(path) or "").strip()
    return Found(Token(value), reading.place(path)) if value else None


def _legacy() -> Found | None:
    path = folder() / "kaggle.json"
    content = reading.json_object(path) or {}
    user, key = variable("KAGGLE_USERNAME"), variable("KAGGLE_KEY")
    if (user or "username" in content) and (key or "key" in content):
        where = "KAGGLE_USERNAME and KAGGLE_KEY" if user and key else reading.place(path)
        return Found(Login(user or str(content["username"]), key or str(content["key"])), where)
    return None


def folder() -> Path:
    """Where kaggle.json lies."""
    if told := variable("KAGGLE_CONFIG_DIR"):
        return Path(told)
    home = Path(HOME).expanduser()
    if sys.platform.startswith("linux") and not home.exists():
        return Path(variable("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "kaggle"
    return home


def _signed_in() -> Found | None:
    path = Path(HOME).expanduser() / "credentials.json"
    content = reading.json_object(path) or {}
    token, refresh = (str(content.get(name) or "") for name in ("access_token", "refresh_token"))
    try:
        until = datetime.datetime.fromisoformat(str(content.get("access_token_expiration")))
    except ValueError:
        until = datetime.datetime.min
    left = until.replace(tzinfo=until.tzinfo or datetime.UTC) - datetime.datetime.now(datetime.UTC)
    if token and left > (ENOUGH if refresh else datetime.timedelta()):
        return Found(Token(token), reading.place(path))
    return Found(RefreshToken(refresh, "run: kaggle auth login --force"), reading.place(path)) if refresh else None
