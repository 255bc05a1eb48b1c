"""Builds the network in one place: for bytes ``authorized(paced(curl))``, for APIs a session with the same manners."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from medfetch.config import Settings
from medfetch.credentials import AccessKey, HeaderToken, Secret, Token, guard
from medfetch.credentials.guard import redacted
from medfetch.errors import MedfetchError, Refused, Retryable, Unreachable
from medfetch.hosts import Hosts, Slot, host_of
from medfetch.net.billing import billed
from medfetch.net.ftp import NOT_IMPLEMENTED, is_ftp
from medfetch.net.http import Answer, Curl
from medfetch.net.layers import Authorized, Getter, Paced, T, connections, log, refusal, retried, shown, wished
from medfetch.net.secrets import Secrets
from medfetch.net.signing import signed
from medfetch.types import Mailed, Peek, Traits

SIGNATURE = 20
"""Characters of a link's query from which on a value may be a secret."""
LONGEST_LISTING = 256 << 20
"""Bytes of the listing of one folder: a million files have about a hundred each."""
CONNECT = 10
"""Seconds to connect, to each of a name's addresses in turn: IPv6 may be silent."""
API_TIMEOUT = (CONNECT, 300)
"""And seconds between bytes: NBIA takes minutes to list a large collection."""
GLIMPSE = 4096
"""Bytes of an answer that are looked at to tell what it is."""


def bytes_getter(settings: Settings, traits: Traits, hosts: Hosts, stop: threading.Event) -> Getter:
    """The way for bytes; for many threads, each over a connection of its own."""
    api = ApiNet(settings, traits, hosts, stop)
    paced = Paced(client_of(settings, stop), hosts, traits)
    return Authorized(paced, api.secret, settings.patience or traits.patience)


def client_of(settings: Settings, stop: threading.Event) -> Callable[[Slot], Curl]:
    """The client that holds a slot's connection open."""

    def client(slot: Slot) -> Curl:
        return slot.client(Curl, lambda: Curl(settings.user_agent, settings.ca_bundle, stop.is_set))

    return client


@dataclass(frozen=True, slots=True)
class Glimpse:
    """How an address answers: no redirect is followed, and a refusal is an answer, too."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    start: bytes
    """The beginning of the body."""


class ApiNet:
    """What sources see of the network (``sources.Net``)."""

    def __init__(
        self,
        settings: Settings,
        traits: Traits,
        hosts: Hosts,
        stop: threading.Event,
        said: Callable[[str], None] = lambda reason: None,
        most: int | None = None,
    ) -> None:
        """``most``: bytes up to which the body of an answer is read."""
        self._most = most
        self._settings, self.traits, self._hosts, self._stop, self._said = settings, traits, hosts, stop, said
        self._secrets = Secrets(settings, traits, self._post)
        self._tries_again = True

    def once(self) -> ApiNet:
        """The same without retries, for the links of a file: they are asked for within attempts that are retried."""
        other = copy(self)
        other._tries_again = False
        return other

    def endpoint(self, name: str) -> str:
        return self._settings.endpoints.get(name, self.traits.endpoints.get(name, ""))

    def replaced(self, name: str) -> bool:
        return name in self._settings.endpoints

    def get(
        self, url: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        return self._ask("GET", url, credential, params=params, headers=headers)

    def post(
        self, url: str, data: Any = None, json: Any = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        return self._ask("POST", url, credential, data=data, json=json, headers=headers)

    def peek(self, url: str, *, headers: Mapping[str, str] | None = None) -> Peek:
        plain = {"Accept-Encoding": "identity", **(headers or {})}
        answer = self._ask("GET", url, None, headers=plain, stream=True, hooks={"response": _read_pages_only})
        told = {name.lower(): value for name, value in answer.headers.items()}
        return Peek(answer.url, told, answer.text if _is_page(answer) else None)

    def propfind(
        self, url: str, properties: str, *, headers: Mapping[str, str] | None = None, credential: str | None = None
    ) -> Any:
        asked = {"Depth": "1", "Content-Type": "application/xml; charset=utf-8", **(headers or {})}
        return self._ask("PROPFIND", url, credential, data=properties.encode(), headers=asked)

    def redirect(self, url: str, *, credential: str | None = None) -> str:
        answer = self._ask("GET", url, credential, allow_redirects=False, stream=True)
        answer.close()
        return urljoin(url, answer.headers["Location"]) if answer.is_redirect else url

    def listing(self, url: str) -> bytes:
        return self._again(url, lambda: self._list(url))

    def _list(self, url: str) -> bytes:
        if not is_ftp(url):
            content: bytes = self._once("GET", url, None, {}).content
            return content
        with self._hosts.connection(url, connections(self.traits, url)) as slot:
            client = client_of(self._settings, self._stop)(slot)
            patience = self._settings.patience or self.traits.patience
            try:
                return _Listing().received(client, url, patience, "MLSD")
            except Refused as error:
                if error.status != NOT_IMPLEMENTED:
                    raise
                return _Listing().received(client, url, patience, "LIST")

    def glimpse(
        self, url: str, headers: Mapping[str, str] | None = None, *, credential: str | None = None, patience: float
    ) -> Glimpse:
        """The first GLIMPSE bytes at most of what a GET is answered; ``patience`` in seconds for each of them.

        Raises: Refused for a certificate or a proxy, Retryable (after retries), Unreachable (when offline, too).
        """

        def once() -> Glimpse:
            start = bytearray()

            def begin(answer: Any) -> None:
                for block in answer.iter_content(1024):
                    start.extend(block)
                    if len(start) >= GLIMPSE:
                        break
                answer.close()

            asked = {"headers": headers, "allow_redirects": False, "stream": True, "timeout": (CONNECT, patience)}
            answer, told, _ = self._answered("GET", url, credential, asked, begin)
            return Glimpse(answer.status_code, told, bytes(start[:GLIMPSE]))

        return self._again(url, once)

    def has(self, credential: str) -> bool:
        return self._secrets.there(credential)

    def mailed(self) -> tuple[Mailed, ...]:
        for each in self._settings.links:
            for name, value in parse_qsl(urlsplit(each.link.url).query):
                # Names of files are none, nor what is too short to be a signature.
                if len(value) >= SIGNATURE and not name.startswith("response-"):
                    guard.watch(Token(value))
        return self._settings.links

    def secret(self, name: str, url: str) -> Secret:
        """What goes by that name to that address (see ``Secrets.of``)."""
        return self._secrets.of(name, url)

    def _post(self, url: str, content: Mapping[str, str]) -> Any:
        """Asks for a token (``exchange.Post``); not tried again, for the request that needs it is."""
        return self._once("POST", url, None, {"json": content, "allow_redirects": False})

    def _ask(self, method: str, url: str, credential: str | None, **arguments: Any) -> Any:
        return self._again(url, lambda: self._once(method, url, credential, arguments))

    def _again(self, url: str, attempt: Callable[[], T]) -> T:
        if self._settings.offline:
            raise Unreachable(f"{host_of(url)} would have to be asked", hint="leave out --offline")
        if not self._tries_again:
            return attempt()
        try:
            return retried(
                attempt,
                tries=1 if self._hosts.is_down(url) else self._settings.tries,
                backoff=self._settings.backoff,
                stop=self._stop,
                said=self._said,
            )
        except Retryable as error:
            if error.reached:
                raise
            self._hosts.mark_down(url)
            raise Unreachable(error.message) from error

    def _once(self, method: str, url: str, credential: str | None, arguments: dict[str, Any]) -> Any:
        if self._most is None:
            answer, headers, seconds = self._answered(method, url, credential, arguments)
        else:
            arguments = {**arguments, "stream": True}
            answer, headers, seconds = self._answered(method, url, credential, arguments, _reading(self._most, url))
        log.debug("%s %s: %d", method, shown(answer.url), answer.status_code)
        if answer.status_code >= 400:
            refused = refusal(answer.status_code, headers, url, answer.text[:4000])
            if isinstance(refused, Retryable):
                refused.after = seconds
            raise refused
        if "x-amzn-waf-action" in headers:
            # Amazon's firewall answers 202 without a body to who is to prove in a browser that he is none of us.
            raise Refused(f"{host_of(url)} wants a browser: it answered {answer.status_code} with a check for robots")
        return answer

    def _answered(
        self, method: str, url: str, credential: str | None, arguments: dict[str, Any],
        begin: Callable[[Any], None] = lambda answer: None,
    ) -> tuple[Any, dict[str, str], float | None]:  # fmt: skip
        """The answer, whatever it is, its headers, and for how many seconds the host wants to be left alone.

        ``begin`` is handed it while the connection is still ours.
        """
        import requests

        secret = self.secret(credential, url) if credential else None
        if isinstance(secret, AccessKey | HeaderToken):
            arguments = {**arguments, "allow_redirects": False}
        with self._hosts.connection(url, connections(self.traits, url)) as slot:
            session = slot.client(requests.Session, self._session)
            try:
                answer = session.request(
                    method, url, auth=_auth(secret), verify=self._settings.ca_bundle,
                    **{"timeout": API_TIMEOUT, **arguments},
                )  # fmt: skip
                begin(answer)
            except requests.exceptions.SSLError as error:
                raise Refused(f"{host_of(url)}: its certificate is not valid ({_cause(error)})") from None
            except requests.exceptions.ProxyError as error:
                if " 407 " in (cause := _cause(error)):
                    raise refusal(407, {}, url) from None
                raise Retryable(f"{host_of(url)} cannot be reached, by its proxy: {cause}", reached=False) from None
            except (requests.exceptions.ConnectionError, requests.exceptions.ConnectTimeout) as error:
                raise Retryable(f"{host_of(url)} cannot be reached: {_cause(error)}", reached=False) from None
            except requests.exceptions.RequestException as error:
                raise Retryable(f"{host_of(url)}: {_cause(error)}") from None
            headers = {name.lower(): value for name, value in answer.headers.items()}
            seconds = wished(answer.status_code, headers)
            if seconds is None and answer.status_code == 429 and self.traits.pause:
                seconds = self.traits.pause * self._settings.backoff
            # While the connection is still ours: nobody shall ask in between.
            if seconds:
                self._hosts.pause(url, seconds)
        return answer, headers, seconds

    def _session(self) -> Any:
        import requests

        session: Any = requests.Session()
        session.headers["User-Agent"] = self._settings.user_agent
        # A netrc entry must go nowhere unasked: secrets travel by name, in layers.Authorized.
        # After a redirect requests would look there again.
        session.rebuild_auth = _only_to_the_same_host
        return session


def _reading(most: int, url: str) -> Callable[[Any], None]:
    """Reads an answer's body, unpacked as it goes over the wire, and refuses what is longer."""

    def begin(answer: Any) -> None:
        content = bytearray()
        for block in answer.iter_content(65536):
            content += block
            if len(content) > most:
                answer.close()
                raise Refused(f"{host_of(url)} answered with more than {most:,} bytes")
        # Where requests itself keeps what it has read.
        answer._content = bytes(content)

    return begin


class _Listing:
    """Receives a listing, up to a size that no folder has."""

    def __init__(self) -> None:
        self._content = bytearray()

    def received(self, client: Curl, url: str, patience: float, command: str) -> bytes:
        client.get(url, {}, self, secret=None, patience=patience, command=command)
        return bytes(self._content)

    def begin(self, answer: Answer) -> None:
        if answer.status >= 400:  # a proxy's
            raise refusal(answer.status, answer.headers, answer.url)

    def data(self, blocks: list[bytes]) -> None:
        self._content += b"".join(blocks)
        if len(self._content) > LONGEST_LISTING:
            raise Refused(f"a folder's listing is longer than {LONGEST_LISTING:,} bytes")


def _auth(secret: Secret | None) -> Callable[[Any], Any]:
    """What requests calls on each request: never None, for then it would look into the netrc file itself."""

    def authorize(request: Any) -> Any:
        if isinstance(secret, HeaderToken):
            request.headers[secret.header] = secret.value
        elif isinstance(secret, Token):
            request.url = billed(request.url, secret)
            request.headers["Authorization"] = f"Bearer {secret.value}"
        elif isinstance(secret, AccessKey):
            # A space in a query is written as in forms; the signature is of the other spelling.
            path, mark, query = request.url.partition("?")
            request.url = path + mark + query.replace("+", "%20")
            request.headers.update(signed(secret, request.method, request.url, host_of(request.url)))
        elif secret:
            pair = f"{secret.user}:{secret.password}".encode()
            request.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return request

    return authorize


def _only_to_the_same_host(request: Any, response: Any) -> None:
    """After a redirect; the scheme counts too, for a secret does not travel in the clear."""
    if urlsplit(request.url)[:2] != urlsplit(response.request.url)[:2]:
        request.headers.pop("Authorization", None)


def _is_page(answer: Any) -> bool:
    """Whether an answer is a page to read in a browser: what is to be saved is named."""
    kind = answer.headers.get("Content-Type", "").lower()
    return kind.startswith("text/html") and "Content-Disposition" not in answer.headers


def _read_pages_only(answer: Any, **_: Any) -> None:
    """Called while the connection is still ours; refusals are read elsewhere, too."""
    if _is_page(answer):
        _ = answer.content
    elif answer.status_code < 300:
        answer.close()


def _cause(error: BaseException) -> str:
    """The innermost reason: requests' own text repeats the whole address, query and all."""
    while error.__context__ is not None:
        error = error.__context__
    return redacted(str(error)) if not isinstance(error, MedfetchError) else error.message
