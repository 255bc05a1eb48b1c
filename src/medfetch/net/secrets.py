"""Which secret goes to which address: only to its own hosts, and not in the clear. It must not know HTTP."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from medfetch import credentials
from medfetch.config import Settings
from medfetch.credentials import BY_AWS, ApiKey, GoogleLogin, Login, RefreshToken, Secret
from medfetch.errors import Refused
from medfetch.hosts import host_of
from medfetch.net.exchange import BY_LOGIN, Post, exchanged
from medfetch.net.signing import is_amazons
from medfetch.types import Traits

KEPT = 300.0
"""Seconds until a secret is looked for again: a person may have got a new one, and a vault's program takes time."""
EARLY = 60.0
"""Seconds before its end at which an access token counts as over."""


@dataclass(frozen=True, slots=True)
class _Kept:
    secret: Secret
    until: float
    """Seconds since 1970."""


class Secrets:
    """The secrets that a source's requests may carry. For many threads."""

    def __init__(self, settings: Settings, traits: Traits, post: Post) -> None:
        """``post``: how a host is asked for a token."""
        self._settings, self._post = settings, post
        told = settings.endpoints
        self._endpoints = traits.endpoints
        self._own = {host_of(told.get(name, address)) for name, address in traits.endpoints.items()}
        self._told = {host_of(told[name]) for name in traits.endpoints if name in told}
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._there: dict[str, tuple[bool, float]] = {}

    def there(self, name: str) -> bool:
        """Whether there is one of that name. Raises: UsageProblem."""
        with self._lock:
            known, until = self._there.get(name, (False, 0.0))
            if until < time.time():
                known = credentials.where(name, self._settings) is not None
                self._there[name] = known, time.time() + KEPT
        return known

    def of(self, name: str, url: str) -> Secret:
        """The secret that is about to go to an address.

        Raises: Refused where it is not there, where that host is none of its own, or where everybody could read along.
        """
        host = host_of(url)
        kind, _, own = name.partition(":")
        amazons = kind in BY_AWS and is_amazons(host)
        if host not in self._own and not amazons and not (own and own in (host, host.partition(":")[0])):
            raise Refused(f"{host} is not one of the hosts that {name} is for: it was not sent there")
        # A host that the person put in its place, on their own network perhaps, may be asked without encryption.
        if urlsplit(url).scheme != "https" and host not in self._told and not _loopback(host):
            raise Refused(f"{host} would get {name} without encryption: it was not sent")
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or kept.until < time.time():
                kept = self._kept[name] = self._found(name, kind, own, host)
        return kept.secret

    def _found(self, name: str, kind: str, own: str, host: str) -> _Kept:
        found = credentials.find(name, self._settings)
        if found is None:
            raise Refused(f"{host} wants a log-in and {name} is not there", hint=f"run: medfetch login {name}")
        if isinstance(found, GoogleLogin):
            granted, until = found.token()
            return _Kept(granted, until - EARLY)
        if not isinstance(found, ApiKey | RefreshToken) and not (isinstance(found, Login) and kind in BY_LOGIN):
            return _Kept(found, time.time() + KEPT)
        token, until = exchanged(found, self._base(kind, own) or f"https://{host}", self._post)
        return _Kept(token, until - EARLY)

    def _base(self, kind: str, own: str) -> str | None:
        """Where the interface is that gives tokens: a commons' own, or the source's."""
        told = self._settings.endpoints.get(kind)
        if own:
            return told and f"{told}/{own}"
        return told or self._endpoints.get(kind)


def _loopback(host: str) -> bool:
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name == "localhost" or name.startswith("127.") or name == "[::1]"
