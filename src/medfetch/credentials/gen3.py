"""The API key of a Gen3 commons, from the files where gen3 4.28.5 looks for it. It must not know how it is exchanged.

A key says itself which commons it belongs to: the issuer of the token inside. Looked for in the file that GEN3_API_KEY
names (a path, or a name in ~/.gen3/, by default ``credentials``), then in all of ~/.gen3/*.json, for people who have
keys of several commons. Read in its auth.py, 2026-11-20.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medfetch.config import Settings, variable
from medfetch.credentials import reading
from medfetch.credentials.kinds import ApiKey, Found, Token

ACCESS_TOKEN = "accesstoken:///"


def look(host: str, settings: Settings) -> Found | None:
    """The key that the commons at ``host`` issued."""
    told = variable("GEN3_API_KEY") or "credentials"
    if told.startswith(ACCESS_TOKEN):
        value = told.removeprefix(ACCESS_TOKEN)
        return Found(Token(value), "GEN3_API_KEY") if issuer(value) == host else None
    for path in _files(told):
        content = reading.json_object(path) or {}
        key = str(content.get("api_key", ""))
        if issuer(key) == host:
            return Found(ApiKey(key, str(content.get("key_id", ""))), reading.place(path))
    return None


def issuer(token: str) -> str | None:
    """The host, with its port if it has one, that issued a JSON Web Token; None if it does not say."""
    return urlsplit(str(claims(token).get("iss", ""))).netloc or None


def claims(token: str) -> dict[str, Any]:
    """What a JSON Web Token says about itself, unverified; nothing if it is none."""
    try:
        body = token.split(".")[1]
        content = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _files(told: str) -> Iterator[Path]:
    home = Path("~/.gen3").expanduser()
    if Path(told).is_file() or "/" in told:
        yield Path(told)
    else:
        yield home / told
        yield home / f"{told}.json"
    yield from sorted(home.glob("*.json"))
