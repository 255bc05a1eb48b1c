"""Asks hosts for a probe: politely, with a note of every request, and with an eye for checks for robots.

It must not know recipes.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from medfetch import cache
from medfetch.config import Settings
from medfetch.credentials.guard import redacted
from medfetch.errors import MedfetchError, Retryable, Unreachable
from medfetch.hosts import Hosts, host_of
from medfetch.net.layers import shown
from medfetch.net.stack import ApiNet, Glimpse
from medfetch.probe.findings import Exchange
from medfetch.types import Mailed, Peek, Traits

MOST = 150
"""Requests to one host in a probe of many recipes; Zenodo alone has thirty routes."""
LEAVE_ALONE = 10.0
"""Seconds of a pause that are waited for; a host that wants a longer one is asked no more."""
PATIENCE = 60.0
"""Seconds of silence after which a host's answer is not waited for, unless the settings say otherwise."""
FIRST_BYTE = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
WEB = Traits(endpoints={"http": ""}, connections=1)
T = TypeVar("T")

CHALLENGES = {"x-amzn-waf-action": "Amazon's firewall", "cf-mitigated": "Cloudflare"}
"""Headers of an answer that is a check for robots (AWS WAF API reference, ChallengeAction; Cloudflare's documentation,
"Detect a Challenge Page response"; both read 2026-11-29)."""
ROBOT_PAGE = re.compile(
    r"just a moment\.\.\.|making sure you.{1,6}re not a bot|incapsula incident id|_incapsula_resource"
    r"|verify (that )?you are (a )?human|wants a browser",
    re.IGNORECASE,
)
"""What such pages say of themselves."""
CAPTCHA = re.compile(r"captcha|/cdn-cgi/challenge-platform|awswaf|ddos-guard|unusual traffic", re.IGNORECASE)
"""What many a good page holds as well: of one that refuses it tells why."""


class Challenged(MedfetchError):
    """A host wants to see a browser."""


class Spared(MedfetchError):
    """A host was not asked, for it was asked often enough."""


class Run(AbstractContextManager["Run"]):
    """One probe of many recipes: connections, and how often each host was asked."""

    def __init__(self, settings: Settings, said: Callable[[str], None], *, most: int = MOST) -> None:
        # What is tried again is decided here: a host that wants a long pause shall not hold up the others.
        self.settings, self._said, self._most = replace(settings, tries=1), said, most
        self._stop = threading.Event()
        self._asked: dict[str, int] = {}
        self._silent: set[str] = set()
        self.hosts = Hosts(cache.hosts_folder(settings.cache), self._stop.is_set)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.hosts.close()

    def net(self, traits: Traits, memory: dict[Any, Any]) -> Watched:
        """The network for a source's hosts, one request to each at a time."""
        traits = replace(traits, connections=1, host_connections={})
        return Watched(ApiNet(self.settings, traits, self.hosts, self._stop, self._said), self, memory)

    def begin(self, url: str) -> None:
        """Before a request. Raises: Spared, Unreachable where its host is left alone."""
        host = host_of(url)
        if host in self._silent:
            raise Unreachable(f"{host} did not answer a moment ago, and was not asked again")
        if (pause := self.hosts.pause_left(host)) > LEAVE_ALONE:
            raise Unreachable(f"{host} wants to be left alone for {pause:.0f} s")
        # The stand-in is one host for all.
        if not self.settings.sandbox and self._asked.get(host, 0) >= self._most:
            raise Spared(f"{host} was asked {self._most} times already, and no more")
        self._asked[host] = self._asked.get(host, 0) + 1

    def silent(self, url: str) -> None:
        """Notes that a host does not answer at all."""
        self._silent.add(host_of(url))


class Watched:
    """A ``sources.Net`` that notes what is asked and answered, and asks nothing twice within a recipe."""

    def __init__(self, net: ApiNet, run: Run, memory: dict[Any, Any]) -> None:
        self._net, self._run, self._memory = net, run, memory
        self.exchanges: list[Exchange] = []

    def endpoint(self, name: str) -> str:
        return self._net.endpoint(name)

    def replaced(self, name: str) -> bool:
        return self._net.replaced(name)

    def has(self, credential: str) -> bool:
        return self._net.has(credential)

    def mailed(self) -> tuple[Mailed, ...]:
        return self._net.mailed()

    def get(
        self, url: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        key = ("GET", url, _frozen(params), _frozen(headers), credential)
        return self._asked(
            "GET", url, key, lambda: self._net.get(url, params, headers=headers, credential=credential), _status
        )

    def post(
        self, url: str, data: Any = None, json: Any = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        def call() -> Any:
            return self._net.post(url, data, json, headers=headers, credential=credential)

        return self._asked("POST", url, ("POST", url, repr(data), repr(json), credential), call, _status)

    def peek(self, url: str, *, headers: Mapping[str, str] | None = None) -> Peek:
        key = ("peek", url, _frozen(headers))
        return self._asked("GET", url, key, lambda: self._net.peek(url, headers=headers), _peeked)

    def propfind(
        self, url: str, properties: str, *, headers: Mapping[str, str] | None = None, credential: str | None = None
    ) -> Any:
        def call() -> Any:
            return self._net.propfind(url, properties, headers=headers, credential=credential)

        return self._asked("PROPFIND", url, ("PROPFIND", url, properties, _frozen(headers), credential), call, _status)

    def listing(self, url: str) -> bytes:
        return self._asked(
            "MLSD", url, ("MLSD", url), lambda: self._net.listing(url), lambda text: f"{len(text):,} bytes of listing"
        )

    def redirect(self, url: str, *, credential: str | None = None) -> str:
        return self._asked(
            "GET", url, ("redirect", url, credential), lambda: self._net.redirect(url, credential=credential),
            lambda there: "no redirect" if there == url else f"→ {without_query(there)}",
        )  # fmt: skip

    def glimpse(
        self, url: str, headers: Mapping[str, str] | None = None, *, credential: str | None = None
    ) -> Glimpse:  # fmt: skip
        """The first byte of what is at an address (see ``ApiNet.glimpse``)."""
        patience = self._run.settings.patience or PATIENCE
        sent = {**FIRST_BYTE, **(headers or {})}
        return self._asked(
            "GET", url, ("glimpse", url, _frozen(headers), credential),
            lambda: self._net.glimpse(url, sent, credential=credential, patience=patience), _glimpsed,
        )  # fmt: skip

    def _asked(self, method: str, url: str, key: Any, call: Callable[[], T], words: Callable[[T], str]) -> T:
        if key in self._memory:
            answer, exchange = self._memory[key]
            if exchange not in self.exchanges:
                self.exchanges.append(exchange)
            return answer  # type: ignore[no-any-return]
        asked = f"{method} {without_query(url)}"
        for last in (False, True):
            self._run.begin(url)
            began = time.monotonic()
            try:
                answer = call()
                said = words(answer)
            except MedfetchError as error:
                self._note(asked, error.message, began)
                if ROBOT_PAGE.search(error.message) or CAPTCHA.search(error.message):
                    raise Challenged(error.message) from error
                wait = error.after if isinstance(error, Retryable) else None
                if last or not isinstance(error, Unreachable | Retryable) or (wait or 0) > LEAVE_ALONE:
                    if isinstance(error, Unreachable) and not self._run.settings.sandbox:
                        self._run.silent(url)
                    raise
                time.sleep(self._run.settings.backoff)
            else:
                exchange = self._note(asked, said, began)
                self._memory[key] = answer, exchange
                return answer
        raise AssertionError("unreachable")

    def _note(self, asked: str, answered: str, began: float) -> Exchange:
        answered = redacted(" ".join(answered.split()))[:300]
        self.exchanges.append(Exchange(asked, answered, round(time.monotonic() - began, 1)))
        return self.exchanges[-1]


def challenge(status: int, headers: Mapping[str, str], start: bytes) -> str | None:
    """Whose check for robots an answer is; None where it is none."""
    for name, whose in CHALLENGES.items():
        if name in headers:
            return f"{status} with a check for robots by {whose} ({name}: {headers[name]})"
    if status == 202 and not start:
        return "202 without a body: it wants to see a browser"
    page = start.decode(errors="replace") if "html" in headers.get("content-type", "") else ""
    found = ROBOT_PAGE.search(page) or (CAPTCHA.search(page) if status >= 400 else None)
    return f"{status} with a page that checks for robots ({found[0]!r})" if found else None


def without_query(url: str) -> str:
    """An address without user, password and query, of which only is told that there was one."""
    return shown(url) + ("?…" if "?" in url else "")


def _status(answer: Any) -> str:
    """Raises: Challenged where an answer that looks well is a check for robots."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if found := challenge(answer.status_code, headers, answer.content[:4096]):
        raise Challenged(f"{host_of(answer.url)} answered {found}")
    return f"{answer.status_code}, {len(answer.content):,} bytes"


def _peeked(peek: Peek) -> str:
    """Raises: Challenged where a page in place of a file is a check for robots."""
    if found := challenge(200, peek.headers, (peek.page or "").encode()[:4096] or b"a file"):
        raise Challenged(f"{host_of(peek.url)} answered {found}")
    return "a page" if peek.page is not None else f"a file, content-length {peek.headers.get('content-length')}"


def _glimpsed(glimpse: Glimpse) -> str:
    words = [str(glimpse.status)]
    if glimpse.headers.get("location"):
        words.append(f"→ {without_query(glimpse.headers['location'])}")
    for name in ("content-type", "content-range", "content-length", "etag"):
        if glimpse.headers.get(name) and glimpse.status < 400:
            words.append(f"{name} {glimpse.headers[name]}")
    return ", ".join(words)


def _frozen(mapping: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((mapping or {}).items()))
