"""What is wrapped around the HTTP client: waiting for a slot, credentials bound to their host, retries.

Each layer is a function or a class around ``get``; ``stack.py`` puts them together. None of them knows the client.
"""

from __future__ import annotations

import datetime
import email.utils
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from medfetch.credentials import Secret
from medfetch.credentials.guard import redacted
from medfetch.errors import Refused, Retryable
from medfetch.hosts import Hosts, Slot, host_of
from medfetch.net.billing import billed
from medfetch.net.http import PROXY_LOGIN, Answer, Receiver
from medfetch.types import Link, Request, Traits

log = logging.getLogger("medfetch.net")
T = TypeVar("T")
LONGEST_WAIT = 60.0
"""Seconds between two attempts at the most, unless the host asks for more."""
LONGEST_RETRY_AFTER = 3600.0
ATTEMPTS = 100
"""For one file from one address, however much each of them brought."""
QUERY = re.compile(r"\?[^\s\"'<>]+")
RATE_LIMIT = re.compile(r"\b(r|t|remaining|reset)=([0-9]+)")
FIRST_MOMENT = 1e9
"""From here on a number of seconds is one since 1970."""
PROGRESS = 65536
"""Bytes that an attempt must bring so as not to count as one in vain."""
EXPIRED = {400, 401, 403, 404, 410}
"""What storage answers to a link whose time is over."""
LATER = {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529, 598, 599}


class Getter(Protocol):
    """The narrow waist: one request, one receiver."""

    def get(self, request: Request, receiver: Receiver) -> Answer: ...


class RawGetter(Protocol):
    def get(
        self, url: str, headers: Mapping[str, str], receiver: Receiver, *, secret: Secret | None, patience: float
    ) -> Answer: ...


class Authorized:
    """Adds the credential that a request names; libcurl does not carry it along to another host. For many threads."""

    def __init__(self, client: RawGetter, secret: Callable[[str, str], Secret], patience: float) -> None:
        """``secret``: what goes by that name to that address."""
        self._client, self._secret, self._patience = client, secret, patience

    def get(self, request: Request, receiver: Receiver) -> Answer:
        secret = self._secret(request.credential, request.url) if request.credential else None
        url = billed(request.url, secret)
        return self._client.get(url, request.headers, receiver, secret=secret, patience=self._patience)


class Linked:
    """Asks for the link behind a file's stable name when it is needed, and for a new one when it has expired."""

    def __init__(self, inner: Getter, ask: Callable[[str], Link]) -> None:
        self._inner, self._ask = inner, ask
        self._links: dict[str, Link] = {}

    def get(self, request: Request, receiver: Receiver) -> Answer:
        link = self._links.get(request.url)
        if link is None or link.expired:
            link = self._links[request.url] = self._ask(request.url)
        headers = {**link.headers, **request.headers}
        answer = self._inner.get(Request(link.url, headers, link.credential), receiver)
        if answer.status in EXPIRED:
            self._links.pop(request.url, None)
        return answer


class Paced:
    """Asks over one of the host's connections, and passes on what the host wishes for all of us. For many threads."""

    def __init__(self, client: Callable[[Slot], RawGetter], hosts: Hosts, traits: Traits) -> None:
        """``client`` gives the client that holds a slot's connection open."""
        self._client, self._hosts, self._traits = client, hosts, traits

    def get(
        self, url: str, headers: Mapping[str, str], receiver: Receiver, *, secret: Secret | None, patience: float
    ) -> Answer:
        with self._hosts.connection(url, connections(self._traits, url)) as slot:
            started = time.monotonic()
            try:
                answer = self._client(slot).get(url, headers, receiver, secret=secret, patience=patience)
            except Retryable as error:
                log.debug("GET %s: %s", shown(url), error.message)
                raise
            # While the connection is still ours: nobody shall ask in between.
            if seconds := wished(answer.status, answer.headers):
                self._hosts.pause(url, seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("GET %s: %d in %.3f s", shown(url), answer.status, time.monotonic() - started)
        return answer


def connections(traits: Traits, url: str) -> int:
    """How many connections a URL's host bears."""
    return (
        traits.host_connections.get(host_of(url), traits.connections) if traits.host_connections else traits.connections
    )


def shown(url: str) -> str:
    """An address without user, password and query: signed links carry their secret there."""
    scheme, _, rest = url.partition("://")
    path = rest.partition("?")[0].partition("/")[2]
    return f"{scheme}://{host_of(url)}/{path}"


def refusal(status: int, headers: Mapping[str, str], url: str, text: str = "") -> Refused | Retryable:
    """The error for an answer that is not the data."""
    host = host_of(url)
    if status == 407:
        return Refused(f"{host}: {PROXY_LOGIN}", status=status)
    said = f": {quoted}" if (quoted := _quoted(text)) else ""
    if status in LATER:
        return Retryable(f"{host} answered {status}{said}", after=wished(status, headers))
    hints = {
        401: "a log-in is needed, or it is wrong",
        403: "no permission, or the link has expired",
        404: "no such file there",
        410: "it was removed for good",
    }
    hint = f" ({hints[status]})" if status in hints else ""
    return Refused(f"{host} answered {status}{hint} to {shown(url)}{said}", status=status)


def _quoted(text: str) -> str:
    """The beginning of what a host said, on one line, without our secrets and queries of addresses (see ``shown``)."""
    printable = "".join(character for character in text if character.isprintable() or character.isspace())
    return " ".join(QUERY.sub("?…", redacted(printable)).split())[:200]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header, given as such or as a date (RFC 9110, 10.2.3); None without one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        return min(float(value), LONGEST_RETRY_AFTER)
    then = _moment(value)
    if then is None:
        return None
    # The host's own clock decides where it tells the time.
    now = _moment(headers.get("date", "")) or time.time()
    return min(max(0.0, then - now), LONGEST_RETRY_AFTER)


def wished(status: int, headers: Mapping[str, str]) -> float | None:
    """Seconds for which a host wants to be left alone after an answer; None where it does not say so.

    Either it says "later", or that nothing is left of what it allows in a time. Of the latter several dialects are
    spoken: ``X-RateLimit-Remaining`` and ``-Reset`` (Zenodo, GitHub), the same without X-, and ``RateLimit`` of the
    IETF's draft-ietf-httpapi-ratelimit-headers (Hugging Face: ``"resolvers";r=0;t=120``).
    """
    asked = retry_after(headers) if status in LATER else None
    until_reset = rate_limit_reset(headers)
    return max(asked or 0.0, until_reset) if until_reset is not None else asked


def rate_limit_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until a host allows requests again; None where some are left, or it does not tell."""
    told = []
    for prefix in ("x-ratelimit-", "ratelimit-"):
        if headers.get(f"{prefix}remaining", "").strip() == "0":
            told.append((headers.get(f"{prefix}reset", ""), headers.get("date", "")))
    if field := headers.get("ratelimit"):
        # One item for each policy; in its early versions all was one: "limit=100, remaining=0, reset=50".
        for item in [field] if "remaining" in field else field.split(","):
            values = dict(RATE_LIMIT.findall(item))
            if "0" in (values.get("r"), values.get("remaining")):
                told.append((values.get("t") or values.get("reset") or "", ""))
    waits = [_until(reset, date) for reset, date in told if reset.strip().isdecimal()]
    return min(max(waits), LONGEST_RETRY_AFTER) if waits else None


def _until(reset: str, date: str) -> float:
    """Seconds until a reset: some say how many, some the second since 1970."""
    seconds = float(reset)
    return seconds if seconds < FIRST_MOMENT else max(0.0, seconds - (_moment(date) or time.time()))


def _moment(date: str) -> float | None:
    """Seconds since 1970 of an HTTP date; without a zone it is taken for GMT."""
    try:
        moment = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def retried(
    attempt: Callable[[], T],
    *,
    tries: int,
    backoff: float,
    stop: threading.Event,
    progress: Callable[[], int] = lambda: 0,
    said: Callable[[str], None] = lambda reason: None,
) -> T:
    """Calls until it succeeds, with exponential waits and jitter.

    Only Retryable is tried again: ``tries`` times in a row without ``progress`` (bytes so far) growing by
    PROGRESS, and ATTEMPTS times in all.

    Raises: the last Retryable; InterruptedError when stopped; anything else at once.
    """
    in_vain = 0
    for number in range(1, ATTEMPTS + 1):
        before = progress()
        try:
            return attempt()
        except Retryable as error:
            in_vain = 0 if progress() >= before + PROGRESS else in_vain + 1
            if in_vain >= tries or number == ATTEMPTS:
                raise
            wait = error.after if error.after is not None else min(backoff * 2 ** max(0, in_vain - 1), LONGEST_WAIT)
            said(f"{error.message}; again in {wait:.0f} s" if wait >= 1 else error.message)
            if stop.wait(wait + random.uniform(0, backoff)):
                raise InterruptedError from None
    raise AssertionError("unreachable")
