"""Secrets that their hosts' tools take from the environment: Dataverse, GitHub, grand-challenge, OpenNeuro, the OSF,
PhysioNet, Redivis, Zenodo.

Read in gcapi 0.16.1 (client.py), physionet 0.2.0 (api/utils.py) and redivis 0.21.1 (common/auth.py), 2026-11-20;
osfclient 0.0.5 (cli.py), the manual of R's package dataverse, openneuro-py 2026.9.1 (_config.py), OpenNeuro's own tool
(cli/src/options.ts) and gh 2.23.0 (gh help environment), 2026-11-29. Zenodo has no client of its own: programs
around it take ZENODO_TOKEN. It must not know what they are used for.
"""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from medfetch.config import Settings, variable
from medfetch.credentials import netrc, reading
from medfetch.credentials.kinds import Found, Login, Token, token
from medfetch.errors import UsageProblem


def dataverse(host: str, settings: Settings) -> Found | None:
    """As R's package: a key, and the server that it is for."""
    value, server = variable("DATAVERSE_KEY"), variable("DATAVERSE_SERVER") or ""
    if value and (urlsplit(server).hostname or server.rstrip("/")).lower() == host.lower():
        return Found(token("dataverse", value), "DATAVERSE_KEY")
    return None


def github(_: str, settings: Settings) -> Found | None:
    """As gh: its variables, else what ``gh auth login --insecure-storage`` left, outside the system's keyring."""
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        if value := variable(name):
            return Found(Token(value), name)
    path = Path(variable("GH_CONFIG_DIR") or "~/.config/gh").expanduser() / "hosts.yml"
    if not path.exists():
        return None
    import yaml  # few have such a file, and every worker process imports this module

    try:
        content = yaml.safe_load(reading.text(path) or "")
    except yaml.YAMLError:
        raise UsageProblem(f"{path}: not a file of YAML") from None
    host = content.get("github.com") if isinstance(content, dict) else None
    value = host.get("oauth_token") if isinstance(host, dict) else None
    return Found(Token(str(value)), reading.place(path)) if value else None


def grand_challenge(_: str, settings: Settings) -> Found | None:
    """As gcapi: the token itself, or ``BEARER token``."""
    words = (variable("GRAND_CHALLENGE_AUTHORIZATION") or "").split()
    return Found(Token(words[-1]), "GRAND_CHALLENGE_AUTHORIZATION") if words else None


def osf(_: str, settings: Settings) -> Found | None:
    value = variable("OSF_TOKEN")
    return Found(Token(value), "OSF_TOKEN") if value else None


def openneuro(_: str, settings: Settings) -> Found | None:
    """As OpenNeuro's own tool, else what ``openneuro login`` of openneuro-py left."""
    if value := variable("OPENNEURO_API_KEY"):
        return Found(Token(value), "OPENNEURO_API_KEY")
    path = Path(platformdirs.user_config_dir("openneuro-py", appauthor=False, roaming=True)) / "config.json"
    value = (reading.json_object(path) or {}).get("apikey")
    return Found(Token(str(value)), reading.place(path)) if value else None


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


def zenodo(_: str, settings: Settings) -> Found | None:
    value = variable("ZENODO_TOKEN")
    return Found(Token(value), "ZENODO_TOKEN") if value else None
