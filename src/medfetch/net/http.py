"""The only user of libcurl: a handle for each connection, over HTTP or FTP, its errors translated into ours.

It must not retry, wait, or look for credentials. Why libcurl and not requests: a fifth of the processor time for
each small file, redirects that drop credentials on another host, stall detection, proxies (CONTRIBUTING.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from urllib.parse import urljoin

import pycurl

from medfetch.credentials import AccessKey, HeaderToken, Login, Secret, Token
from medfetch.errors import MedfetchError, Refused, Retryable
from medfetch.hosts import host_of
from medfetch.net import ftp
from medfetch.net.signing import signed

BUFFER = 512 * 1024
"""Bytes handed over at once; fits a core's second-level cache."""
RECEIVE, RECEIVE_ALONE = 32 * 1024, 256 * 1024
"""Bytes that libcurl reads at once: for a handle among many, and for one that has a thread to itself."""
MANY = 16
"""Blocks that are handed over at once, where bytes are not counted: libcurl's have 16 KiB at the most."""
HOLD = 0.01
"""Seconds for which received bytes are gathered at the most; what is held would be lost in a kill."""
CONNECT_TIMEOUT = 30
SLOWEST = 1024
"""Bytes per second; a transfer that stays below for ``patience`` seconds is given up."""
MAX_REDIRECTS = 10
LISTS = {"x-goog-hash"}
"""Headers that come more than once and all count; of others the last does."""
SUPPRESS_CONNECT_HEADERS = 265
"""CURLOPT_SUPPRESS_CONNECT_HEADERS (curl/curl.h), for which pycurl has no name."""
PROXY_LOGIN = "the proxy wants a password, or another one: http://user:password@proxy in http_proxy and https_proxy"


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of a final response: status, headers by lower-case name, and the address it came from."""

    status: int
    headers: Mapping[str, str]
    url: str
    redirected: bool
    waited: float = 0.0
    """Seconds until the first byte of the body, connecting included."""


class Receiver(Protocol):
    """What becomes of a response; either method may raise to end the transfer."""

    def begin(self, answer: Answer) -> None: ...

    def data(self, blocks: list[bytes]) -> None:
        """Some bytes of the body, as they came; the list is used again."""


class Curl:
    """A connection that is kept open, and what redirects lead to from there; for one thread at a time."""

    def __init__(self, user_agent: str, ca_bundle: str, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._error: BaseException | None = None
        self._login: Login | None = None
        self._lines: list[bytes] = []
        self.holds: list[bytes] = []
        """What was received and not passed on yet."""
        self._headers: list[str] | None = None
        self._patience = 0.0
        self._alone = True
        self._ftp = False
        """Whether the address that was asked last is one of FTP."""
        self._start = 0
        """Of FTP, the byte from which on was asked."""
        self._curl = curl = pycurl.Curl()
        # The connection is this handle's alone, by whichever way it is run: who closes the one closes the other.
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
        curl.setopt(pycurl.SHARE, self._share)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.USERAGENT, user_agent)
        curl.setopt(pycurl.CAINFO, ca_bundle)
        # Many HTTP/1.1 connections beat one of HTTP/2, whose window is shared (3.4 times at 50 ms round trip).
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.BUFFERSIZE, RECEIVE_ALONE)
        curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, SLOWEST)
        # A proxy's answer to CONNECT is not the host's.
        curl.setopt(SUPPRESS_CONNECT_HEADERS, 1)
        curl.setopt(pycurl.MAXREDIRS, MAX_REDIRECTS)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        curl.setopt(pycurl.NOPROGRESS, 0)
        curl.setopt(pycurl.XFERINFOFUNCTION, self._progress)
        # For the date of a file; one change of folder for each file, not one for each part of its path.
        curl.setopt(pycurl.OPT_FILETIME, 1)
        curl.setopt(pycurl.FTP_FILEMETHOD, pycurl.FTPMETHOD_SINGLECWD)

    def get(
        self, url: str, headers: Mapping[str, str], receiver: Receiver, *, secret: Secret | None, patience: float,
        command: str = "",
    ) -> Answer:  # fmt: skip
        """GET, or RETR; the receiver gets the final response's head and body. ``command``: in place of FTP's LIST.

        Raises: Retryable, Refused, InterruptedError when stopped, and whatever the receiver raised.
        """
        self.begin(url, headers, receiver, secret=secret, patience=patience)
        if command:
            self._curl.setopt(pycurl.CUSTOMREQUEST, command)
        self.crowded(False)
        try:
            self._curl.perform()
        except pycurl.error as error:
            return self.end(error.args)
        return self.end()

    def begin(
        self, url: str, headers: Mapping[str, str], receiver: Receiver, *, secret: Secret | None, patience: float
    ) -> None:
        """Makes ready what ``get`` performs, or ``Crowd`` with those of others."""
        self._receiver, self._asked = receiver, url
        self._answer: Answer | None = None
        self._error = None
        self._lines.clear()
        self.holds.clear()
        self._held = 0
        self._first = 0.0
        self._started = self._handed_over = time.monotonic()
        self._set(url, headers, secret, patience)

    def end(self, failure: tuple[int, str] | None = None) -> Answer:
        """What came of it, given libcurl's error, if any. Raises as ``get``."""
        if self._error is None:
            # What came before a failure is good as well.
            self._hand_over(over=failure is None)
        if self._error is not None:
            raise self._error
        if failure is None:
            if self._answer is None:
                raise Retryable(f"{host_of(self._asked)} sent no proper HTTP answer")
            return self._answer
        asked = host_of(self._asked)
        if self._ftp and (refused := ftp.refusal(self._lines, asked)):
            raise refused
        if self._curl.getinfo(pycurl.HTTP_CONNECTCODE) == 407:
            raise Refused(f"{asked}: {PROXY_LOGIN}", status=407)
        raise _translated(failure[0], failure[1], asked, host_of(_heads(self._lines, self._asked)[0]))

    def crowded(self, yes: bool) -> None:
        """Whether ``Crowd`` looks after what is received: then no Python runs for each block."""
        if yes == self._alone:
            self._alone = not yes
            self._curl.setopt(pycurl.WRITEFUNCTION, self.holds.append if yes else self._write)
            self._curl.setopt(pycurl.NOPROGRESS, yes)
            self._curl.setopt(pycurl.BUFFERSIZE, RECEIVE if yes else RECEIVE_ALONE)

    def look(self, now: float) -> bool:
        """Passes on what was received if it is enough, or has been held for long enough; whether all is well."""
        if self.holds and (len(self.holds) >= MANY or now - self._handed_over > HOLD):
            self._hand_over()
        return self._error is None

    def close(self) -> None:
        self._curl.close()
        self._share.close()

    def _set(self, url: str, headers: Mapping[str, str], secret: Secret | None, patience: float) -> None:
        curl = self._curl
        curl.setopt(pycurl.URL, url)
        if (is_ftp := ftp.is_ftp(url)) or self._ftp:
            self._ftp, self._start = is_ftp, ftp.start_of(headers)
            self._set_ftp(url, patience)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        if isinstance(secret, HeaderToken):
            lines.append(f"{secret.header}: {secret.value}")
        elif isinstance(secret, Token):
            # As a header, for libcurl does not forget what it is told by option; it keeps both from other hosts.
            lines.append(f"Authorization: Bearer {secret.value}")
        elif isinstance(secret, AccessKey):
            lines += [f"{name}: {value}" for name, value in signed(secret, "GET", url, host_of(url)).items()]
        curl.setopt(pycurl.FOLLOWLOCATION, not isinstance(secret, AccessKey | HeaderToken))
        if lines != self._headers:
            # To pycurl no lines mean that those of the request before stay.
            curl.unsetopt(pycurl.HTTPHEADER)
            curl.setopt(pycurl.HTTPHEADER, lines)
            self._headers = lines
        secure_only = url[:6].lower() == "https:"
        curl.setopt(
            pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTPS if secure_only else pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        )
        if patience != self._patience:
            curl.setopt(pycurl.LOW_SPEED_TIME, max(1, round(patience)))
            self._patience = patience
        login = secret if isinstance(secret, Login) else None
        if login != self._login:
            self._login = login
            curl.unsetopt(pycurl.USERNAME)
            curl.unsetopt(pycurl.PASSWORD)
            if login:
                curl.setopt(pycurl.USERNAME, login.user.encode())
                curl.setopt(pycurl.PASSWORD, login.password.encode())

    def _set_ftp(self, url: str, patience: float) -> None:
        """Options that FTP needs, and that HTTP must not find."""
        curl, secure = self._curl, url[:5].lower() == "ftps:"
        web = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
        curl.setopt(pycurl.PROTOCOLS, (pycurl.PROTO_FTPS if secure else pycurl.PROTO_FTP) if self._ftp else web)
        curl.setopt(pycurl.USE_SSL, pycurl.FTPSSL_ALL if secure else pycurl.FTPSSL_NONE)
        curl.setopt(pycurl.RESUME_FROM_LARGE, self._start if self._ftp else 0)
        curl.setopt(pycurl.FTP_RESPONSE_TIMEOUT, max(1, round(patience)))
        curl.unsetopt(pycurl.CUSTOMREQUEST)

    # libcurl hands out 16 KiB at a time. Passed on one by one, each would cost a system call and two changes of the
    # thread that Python runs: they are gathered, though not for long.

    def _write(self, block: bytes) -> int | None:
        self._first = self._first or time.monotonic()
        self.holds.append(block)
        self._held += len(block)
        return self._hand_over() if self._held >= BUFFER else None

    def _progress(self, *_: object) -> int:
        if self._stopped():
            self._hand_over()
            self._error = self._error or InterruptedError()
            return 1
        return 0 if self.look(time.monotonic()) else 1

    def _waited(self) -> float:
        """Seconds until the first byte of a body."""
        if self._alone:  # libcurl must not be asked from within one of its calls
            return (self._first or self._handed_over) - self._started
        return float(self._curl.getinfo(pycurl.STARTTRANSFER_TIME))

    def _head(self, over: bool) -> tuple[str, int, dict[str, str]]:
        # By a proxy, FTP is asked for over HTTP.
        if self._ftp and not any(line[:5] == b"HTTP/" for line in self._lines[:1]):
            return self._asked, *ftp.head(self._lines, self._start, over=over)
        return _heads(self._lines, self._asked)

    def _hand_over(self, over: bool = False) -> int | None:
        """Passes on what was received; -1, which ends the transfer, where that fails. ``over``: nothing else comes."""
        self._held, self._handed_over = 0, time.monotonic()
        # libcurl cannot carry a Python exception: it is kept.
        try:
            if self._answer is None:
                last, status, fields = self._head(over)
                if status:
                    self._answer = Answer(status, fields, last, last != self._asked, self._waited())
                    self._receiver.begin(self._answer)
                elif self.holds:
                    # HTTP/0.9, or a server that does not speak HTTP at all.
                    raise Retryable("the answer has no HTTP head")
            if self.holds:
                self._receiver.data(self.holds)
        except BaseException as error:
            self._error = error
            return -1
        finally:
            self.holds.clear()
        return None


class Crowd:
    """Handles that are performed together, in one thread: no other has to be waited for with each 16 KiB."""

    def __init__(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._at_work: dict[pycurl.Curl, Curl] = {}
        self._holding = False

    def __len__(self) -> int:
        return len(self._at_work)

    def add(self, client: Curl) -> None:
        """Takes on a handle after its ``begin``."""
        handle = client._curl
        client.crowded(True)
        self._at_work[handle] = client
        self._multi.add_handle(handle)

    def turn(self, seconds: float) -> list[tuple[Curl, tuple[int, str] | None]]:
        """Waits at most so long for bytes and passes them on; handles that are through, with libcurl's error if any."""
        # What is held must not wait until something else comes.
        self._multi.select(min(seconds, HOLD) if self._holding else seconds)
        self._multi.perform()
        through: list[tuple[Curl, tuple[int, str] | None]] = []
        left = 1
        while left:
            left, well, failed = self._multi.info_read()
            through += [(self._leave(handle), None) for handle in well]
            through += [(self._leave(handle), (code, text)) for handle, code, text in failed]
        now = time.monotonic()
        holding = [(handle, client) for handle, client in self._at_work.items() if client.holds]
        bad = [handle for handle, client in holding if not client.look(now)]
        self._holding = any(client.holds for _, client in holding)
        return through + [(self._leave(handle), None) for handle in bad]

    def perform(self) -> None:
        """Sends what was added; nobody waits, and nothing is passed on."""
        self._multi.perform()

    def drop(self) -> list[Curl]:
        """Breaks off what is under way; the handles."""
        return [self._leave(handle) for handle in list(self._at_work)]

    def _leave(self, handle: pycurl.Curl) -> Curl:
        self._multi.remove_handle(handle)
        return self._at_work.pop(handle)

    def close(self) -> None:
        self._multi.close()


def _heads(lines: list[bytes], url: str) -> tuple[str, int, dict[str, str]]:
    """The address that redirects led to, and the final response's status and headers; 0 where it has not come yet.

    Raises: Refused where a redirect's address is malformed.
    """
    status, fields = 0, {}  # type: int, dict[str, str]
    for line in lines:
        name, value = _field(line)
        if name[:5] == "HTTP/":
            status, fields = int(value) if value.isdecimal() else 0, {}
        elif name:
            fields[name] = f"{fields[name]}, {value}" if name in LISTS and name in fields else value
        elif 300 <= status < 400 and fields.get("location"):
            try:
                url = urljoin(url, fields["location"])
            except ValueError:
                raise Refused(f"{host_of(url)} redirects to an address that is malformed") from None
        elif status >= 200:
            return url, status, fields
    return url, 0, {}


@lru_cache(maxsize=1024)  # a host says much the same with every file
def _field(line: bytes) -> tuple[str, str]:
    """A line of a head as (name in lower case, value): of the first one ``HTTP/…`` and the status, of the last two
    empty strings."""
    text = line.decode("latin-1").strip()
    if text[:5] == "HTTP/":
        words = text.split(None, 2)
        return words[0], words[1] if len(words) > 1 else ""
    name, _, value = text.partition(":")
    return name.strip().lower(), value.strip()


def _translated(code: int, text: str, asked: str, last: str) -> MedfetchError:
    """Our error for libcurl's, given the host that was asked and the one that it last redirected to."""
    unreached = {
        pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_COULDNT_CONNECT,
        pycurl.E_SSL_CONNECT_ERROR,
    }  # fmt: skip
    refused = {
        pycurl.E_UNSUPPORTED_PROTOCOL: "a redirect to another protocol is not followed (https → http, file:, …)",
        pycurl.E_TOO_MANY_REDIRECTS: f"more than {MAX_REDIRECTS} redirects",
        pycurl.E_PEER_FAILED_VERIFICATION: "its certificate is not valid",
        pycurl.E_SSL_CACERT_BADFILE: "the file of trusted certificates cannot be read",
        pycurl.E_URL_MALFORMAT: "the address is malformed",
        pycurl.E_USE_SSL_FAILED: "it does not encrypt, as ftps: asks it to",
    }
    redirected = last != asked
    host = f"{last} (from {asked})" if last and redirected else asked
    if code == pycurl.E_UNSUPPORTED_PROTOCOL and "HTTP" in text:
        # No redirect to file: or the like, but "HTTP/0.9 when not allowed" or "Unsupported HTTP/1 subversion".
        return Retryable(f"{host} sent no proper HTTP answer")
    if code in refused:
        return Refused(f"{host}: {refused[code]} ({text})")
    if code in unreached:
        return Retryable(f"{host} cannot be reached: {text}", reached=redirected)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return Retryable(f"{host} stalled: {text}", reached=redirected or "onnect" not in text)
    return Retryable(f"{host}: the connection broke: {text}")
