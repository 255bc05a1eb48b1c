"""A ``Net`` for tests of sources: requests without retries, pacing or credentials, and a note of what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from medfetch.errors import Refused, Retryable, Unreachable
from medfetch.types import Mailed, Peek, Traits


class PlainNet:
    def __init__(self, traits: Traits, **endpoints: str) -> None:
        self.endpoints = endpoints
        self.traits = traits
        self.asked: list[str] = []
        self.secrets: dict[str, str] = {}
        self.links: tuple[Mailed, ...] = ()

    def endpoint(self, name: str) -> str:
        return self.endpoints.get(name, self.traits.endpoints[name])

    def replaced(self, name: str) -> bool:
        return name in self.endpoints

    def get(
        self, url: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        return self._ask("GET", url, params=params, headers=self._headers(headers, credential))

    def post(
        self, url: str, data: Any = None, json: Any = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        return self._ask("POST", url, data=data, json=json, headers=self._headers(headers, credential))

    def peek(self, url: str, *, headers: Mapping[str, str] | None = None) -> Peek:
        answer = self._ask("GET", url, headers=dict(headers or {}))
        told = {name.lower(): value for name, value in answer.headers.items()}
        is_page = told.get("content-type", "").startswith("text/html") and "content-disposition" not in told
        return Peek(answer.url, told, answer.text if is_page else None)

    def propfind(
        self, url: str, properties: str, *, headers: Mapping[str, str] | None = None, credential: str | None = None
    ) -> Any:
        asked = {"Depth": "1", **self._headers(headers, credential)}
        return self._ask("PROPFIND", url, data=properties.encode(), headers=asked)

    def redirect(self, url: str, *, credential: str | None = None) -> str:
        answer = self._ask("GET", url, headers=self._headers(None, credential), allow_redirects=False)
        return str(answer.headers.get("Location", url))

    def listing(self, url: str) -> bytes:
        """As though the FTP server spoke HTTP, which ``responses`` can answer."""
        return bytes(self._ask("GET", url.replace("ftp://", "http://")).content)

    def has(self, credential: str) -> bool:
        return credential in self.secrets

    def mailed(self) -> tuple[Mailed, ...]:
        return self.links

    def _headers(self, headers: Mapping[str, str] | None, credential: str | None) -> dict[str, str]:
        """Those given, with the ``Authorization`` that a test has put under the credential's name."""
        return {**(headers or {}), **({"Authorization": self.secrets[credential]} if credential else {})}

    def _ask(self, method: str, url: str, **options: Any) -> Any:
        try:
            answer = requests.request(method, url, timeout=30, **options)
        except requests.exceptions.ConnectionError as error:
            raise Unreachable(f"{url}: {error}") from None
        self.asked.append(answer.url)
        if answer.status_code >= 500:
            raise Retryable(f"{url} answered {answer.status_code}")
        if answer.status_code >= 400:
            raise Refused(f"{url} answered {answer.status_code}: {answer.text[:200]}", status=answer.status_code)
        return answer


class NoNet(PlainNet):
    """For what must not ask the network."""

    def _ask(self, method: str, url: str, **options: Any) -> Any:
        raise AssertionError(f"{method} {url} was asked")
