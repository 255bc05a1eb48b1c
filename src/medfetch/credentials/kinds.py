"""The kinds of secrets, whose texts never show what is in them. It must not know where they are found or go to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar


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


@dataclass(frozen=True, slots=True)
class BilledToken(Token):
    """A token of Google's and the project that is charged, where a bucket wants whoever asks to pay."""

    project: str

    def __repr__(self) -> str:
        return f"BilledToken(***, {self.project!r})"


@dataclass(frozen=True, slots=True)
class HeaderToken(Token):
    """A token that its host takes in a header of its own; no client knows that it must not follow a redirect."""

    header: str

    def __repr__(self) -> str:
        return f"HeaderToken(***, {self.header!r})"


@dataclass(frozen=True, slots=True)
class GoogleLogin:
    """A log-in at Google: google-auth, which alone knows what is in it, has tokens for it that live for an hour."""

    token: Callable[[], tuple[Token, float]] = field(repr=False)
    """Asks for one; with it, until when it is good, in seconds since 1970. Raises: Refused, Retryable."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """The API key of a Gen3 commons: it is exchanged for tokens that live for some minutes (``net/exchange.py``)."""

    key: str
    id: str

    def __repr__(self) -> str:
        return "ApiKey(***)"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What a log-in in the browser left: it is exchanged for tokens that live for some hours (``net/exchange.py``)."""

    value: str
    renewal: str = ""
    """What a person does when it is over."""

    def __repr__(self) -> str:
        return "RefreshToken(***)"


@dataclass(frozen=True, slots=True)
class AccessKey:
    """Keys of an AWS account, with which requests are signed (``net/signing.py``); its text shows none of them."""

    id: str
    secret: str
    session: str | None = None
    """The token of a session, which goes along with each request."""
    pays: bool = False
    """Whether the account is to be charged, where a bucket wants whoever asks to pay."""

    def __repr__(self) -> str:
        return "AccessKey(***)"


Typed = Login | Token | ApiKey
"""What a person types, or a vault's command prints."""
Secret = Login | Token | AccessKey
"""What can be sent along with a request, or sign it."""
Kept = Secret | ApiKey | RefreshToken | GoogleLogin
"""What can be found."""
T = TypeVar("T", bound=Kept)


@dataclass(frozen=True, slots=True)
class Found:
    """A secret and, for a person, where it was found."""

    secret: Kept
    where: str


HEADERS = {"dataverse": "X-Dataverse-key"}
"""Kinds whose token is no bearer's, and the header that it goes in."""
LOGINS = ("loris", "netrc", "physionet", "xnat")
"""Kinds that are a user name and a password; ``kaggle`` is that or a token, ``gen3`` a key, all others a token."""


def from_text(kind: str, text: str) -> Typed:
    """What a person types, or a command prints: the first line is a token or ``user:password``; keys may be JSON.

    Raises: ValueError, which says what was expected and quotes nothing.
    """
    if kind == "gen3" or text.lstrip().startswith("{"):
        return from_json(kind, _mapping(text))
    line = (text.splitlines() or [""])[0]
    user, colon, password = line.partition(":")
    if kind in LOGINS or (kind == "kaggle" and colon):
        return sound(Login(user.strip(), password))
    return sound(token(kind, line.strip()))


def from_json(kind: str, content: Mapping[str, Any]) -> Typed:
    """A secret from JSON: ``as_json``'s, a commons' credentials.json, Kaggle's kaggle.json.

    Raises: ValueError, which quotes nothing.
    """
    if kind == "gen3":
        return sound(ApiKey(str(content.get("api_key", "")), str(content.get("key_id", ""))))
    if "token" in content:
        return sound(token(kind, str(content["token"])))
    user = content.get("user", content.get("username", ""))
    return sound(Login(str(user), str(content.get("password", content.get("key", "")))))


def made_up(kind: str, content: Mapping[str, str]) -> Secret | ApiKey:
    """A secret of the sandbox's, which needs no tool of a host's to be used."""
    if kind in ("aws", "aws-payer"):
        return AccessKey(content["id"], content["secret"], pays=kind == "aws-payer")
    if "project" in content:
        return BilledToken(content["token"], content["project"])
    return from_json(kind, content)


def token(kind: str, value: str) -> Token:
    return HeaderToken(value, HEADERS[kind]) if kind in HEADERS else Token(value)


def as_json(secret: Typed) -> dict[str, str]:
    match secret:
        case Login(user, password):
            return {"user": user, "password": password}
        case Token(value):
            return {"token": value}
        case ApiKey(key, identifier):
            return {"api_key": key, "key_id": identifier}


def sound(secret: T) -> T:
    """The same secret, if it can stand in a header: else the HTTP clients' own errors would quote it.

    Raises: ValueError, which quotes nothing.
    """
    match secret:
        case Login(user, password):
            wrong = not user or not password or ":" in user or any(ord(sign) < 32 for sign in user + password)
            expected = "expected user:password"
        case Token(value) | RefreshToken(value):
            wrong, expected = not _visible(value), "expected a token, without spaces"
        case ApiKey(key, identifier):
            wrong, expected = not _visible(key) or not _visible(identifier), "expected JSON with api_key and key_id"
        case AccessKey(identifier, key, session):
            wrong = not all(map(_visible, (identifier, key, session or "none")))
            expected = "expected AWS keys, without spaces"
        case GoogleLogin():
            wrong, expected = False, ""
    if wrong:
        raise ValueError(expected)
    return secret


def _visible(text: str) -> bool:
    return bool(text) and all("!" <= sign <= "~" for sign in text)


def _mapping(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError("expected a JSON object") from None
    return content
