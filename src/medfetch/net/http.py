"""The only user of the HTTP client: one libcurl handle a thread, its errors translated into ours.

It must not retry, wait, or look for credentials. Why libcurl and not requests: a fifth of the processor time for
each small file, redirects that drop credentials on another host, stall detection, proxies (CONTRIBUTING.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin

import pycurl

from medfetch.credentials import Login
from medfetch.errors import MedfetchError, Refused, Retryable
from medfetch.hosts import host_of

BUFFER = 256 * 1024
"""Bytes handed over at once; fits a core's second-level cache."""
CONNECT_TIMEOUT = 30
SLOWEST = 1024
"""Bytes per second; a transfer that stays below for ``patience`` seconds is given up."""
MAX_REDIRECTS = 10
SUPPRESS_CONNECT_HEADERS = 265
"""CURLOPT_SUPPRESS_CONNECT_HEADERS (curl/curl.h), for which pycurl has no name."""
PROXY_LOGIN = "the proxy wants a password, or another one: http://user:password@proxy in http_proxy and https_proxy"

_UNREACHED = {
    pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_CONNECT,
    pycurl.E_SSL_CONNECT_ERROR,
}  # fmt: skip
_REFUSED = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "a redirect to another protocol is not followed (https → http, file:, …)",
    pycurl.E_TOO_MANY_REDIRECTS: f"more than {MAX_REDIRECTS} redirects",
    pycurl.E_PEER_FAILED_VERIFICATION: "its certificate is not valid",
    pycurl.E_SSL_CACERT_BADFILE: "the file of trusted certificates cannot be read",
    pycurl.E_URL_MALFORMAT: "the address is malformed",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a final response: status, headers by lower-case name, and the address it came from."""

    status: int
    headers: Mapping[str, str]
    url: str
    redirected: bool


class Receiver(Protocol):
    """What becomes of a response; either method may raise to end the transfer."""

    def begin(self, answer: Answer) -> None: ...

    def data(self, block: bytes) -> None: ...


class Curl:
    """One reusable connection pool of one thread."""

    def __init__(self, user_agent: str, ca_bundle: str, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._error: BaseException | None = None
        self._answer: Answer | None = None
        self._curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.USERAGENT, user_agent)
        curl.setopt(pycurl.CAINFO, ca_bundle)
        # Many HTTP/1.1 connections beat one of HTTP/2, whose window is shared (3.4 times at 50 ms round trip).
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.BUFFERSIZE, BUFFER)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, SLOWEST)
        # A proxy's answer to CONNECT is not the host's.
        curl.setopt(SUPPRESS_CONNECT_HEADERS, 1)
        curl.setopt(pycurl.FOLLOWLOCATION, 1)
        curl.setopt(pycurl.MAXREDIRS, MAX_REDIRECTS)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)
        curl.setopt(pycurl.HEADERFUNCTION, self._header)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, self._progress)

    def get(
        self, url: str, headers: Mapping[str, str], receiver: Receiver, *, login: Login | None, patience: float
    ) -> Answer:
        """GET; the receiver gets the final response's head and body.

        Raises: Retryable, Refused, InterruptedError when stopped, and whatever the receiver raised.
        """
        curl = self._curl
        self._receiver, self._error, self._answer = receiver, None, None
        self._asked = self._url = url
        self._status, self._headers = 0, {}  # type: int, dict[str, str]
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" for name, value in headers.items()])
        secure_only = url.lower().startswith("https:")
        curl.setopt(
            pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTPS if secure_only else pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        )
        curl.setopt(pycurl.LOW_SPEED_TIME, max(1, round(patience)))
        if login:
            curl.setopt(pycurl.USERNAME, login.user)
            curl.setopt(pycurl.PASSWORD, login.password)
        else:
            curl.unsetopt(pycurl.USERNAME)
            curl.unsetopt(pycurl.PASSWORD)
        try:
            curl.perform()
        except pycurl.error as error:
            if self._error is not None:
                raise self._error from None
            if curl.getinfo(pycurl.HTTP_CONNECTCODE) == 407:
                raise Refused(f"{host_of(url)}: {PROXY_LOGIN}", status=407) from None
            raise _translated(error.args[0], error.args[1], host_of(url), host_of(self._url)) from None
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise Retryable(f"{host_of(url)} sent no proper HTTP answer")
        return self._answer

    def _header(self, line: bytes) -> int | None:
        text = line.decode("latin-1").strip()
        if text.startswith("HTTP/"):
            words = text.split(None, 2)
            self._status = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
            self._headers = {}
        elif text:
            name, _, value = text.partition(":")
            self._headers[name.strip().lower()] = value.strip()
        elif self._answer is None and self._status >= 200:
            if 300 <= self._status < 400 and self._headers.get("location"):
                return self._guarded(self._follow, self._headers["location"])
            self._answer = Answer(self._status, self._headers, self._url, self._url != self._asked)
            return self._guarded(self._receiver.begin, self._answer)
        return None

    def _follow(self, location: str) -> None:
        """Notes where libcurl goes next."""
        try:
            self._url = urljoin(self._url, location)
        except ValueError:
            raise Refused(f"{host_of(self._url)} redirects to an address that is malformed") from None

    def _write(self, block: bytes) -> int | None:
        if self._answer is None:
            # HTTP/0.9, or a server that does not speak HTTP at all.
            self._error = Retryable("the answer has no HTTP head")
            return -1
        return self._guarded(self._receiver.data, block)

    def _guarded(self, call: Callable[..., None], argument: object) -> int | None:
        # libcurl cannot carry a Python exception: keep it, and end the transfer.
        try:
            call(argument)
        except BaseException as error:
            self._error = error
            return -1
        return None

    def _progress(self, *_: object) -> int:
        if self._stopped():
            self._error = self._error or InterruptedError()
            return 1
        return 0


def _translated(code: int, text: str, asked: str, last: str) -> MedfetchError:
    """Our error for libcurl's, given the host that was asked and the one that it last redirected to."""
    redirected = last != asked
    host = f"{last} (from {asked})" if last and redirected else asked
    if code == pycurl.E_UNSUPPORTED_PROTOCOL and "HTTP" in text:
        # No redirect to file: or the like, but "HTTP/0.9 when not allowed" or "Unsupported HTTP/1 subversion".
        return Retryable(f"{host} sent no proper HTTP answer")
    if code in _REFUSED:
        return Refused(f"{host}: {_REFUSED[code]} ({text})")
    if code in _UNREACHED:
        return Retryable(f"{host} cannot be reached: {text}", reached=redirected)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return Retryable(f"{host} stalled: {text}", reached=redirected or "onnect" not in text)
    return Retryable(f"{host}: the connection broke: {text}")
