"""Commons of Gen3: API keys, DRS objects, and signed links to storage at another origin. It must not know sockets.

Protocol: GA4GH's Data Repository Service 1, Fence's public OpenAPI text, and what gen3 4.28.5 asks and understands.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere

NEVER = 4102444800
"""When tokens are over: in the year 2100."""


@dataclass(frozen=True)
class _Object:
    name: str | None
    content: Content
    approved: bool


class Gen3(Signing[_Object]):
    """Objects by commons and id."""

    def __init__(self) -> None:
        super().__init__(life=3600.0)
        self.clouds: Collection[str] = ("s3",)
        """Where its objects lie, as access ids; none as in old commons."""
        self.lapsed: Collection[str] = ()
        """Commons whose key is over."""
        self._objects: dict[tuple[str, str], _Object] = {}

    def put(self, host: str, identifier: str, data: bytes, *, name: str | None = None, approved: bool = True) -> None:
        self._objects[host, identifier] = _Object(name, Content.of(data), approved)

    def key(self, host: str) -> dict[str, str]:
        """What the profile page of a commons lets one download."""
        return {"api_key": _token(host, "key"), "key_id": "sandbox"}

    def access_token(self, host: str) -> str:
        return _token(host, "access")

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``<host>/user/…``, ``<host>/ga4gh/…``, ``<host>/wts/…`` or ``storage/<signature>``."""
        host, _, rest = path.partition("/")
        if host == "storage":
            return self._stored(rest.partition("/")[0])
        if rest == "user/credentials/cdis/access_token" and request.method == "POST":
            good = json.loads(request.body).get("api_key") == self.key(host)["api_key"] and host not in self.lapsed
            return as_json({"access_token": self.access_token(host)}) if good else _refused(401, "Not a valid key")
        if found := re.fullmatch(r"ga4gh/drs/v1/objects/(.+)/access/([^/]+)", rest):
            known = found[2] in self.clouds and (host, found[1]) in self._objects
            return self._download(request, host, found[1]) if known else _refused(404, "no such access id")
        if rest.startswith("ga4gh/drs/v1/objects/"):
            identifier = rest.removeprefix("ga4gh/drs/v1/objects/")
            told = self._objects.get((host, identifier))
            return as_json(self._told(host, identifier, told)) if told else _refused(404, "no record found")
        if rest.startswith("user/data/download/"):
            return self._download(request, host, rest.removeprefix("user/data/download/"))
        if rest.rstrip("/") == "wts/external_oidc":
            return as_json({"providers": []})  # it is linked to no other commons
        return text("Not Found\n", 404)

    def _download(self, request: Request, host: str, identifier: str) -> Answer:
        found = self._objects.get((host, identifier))
        if found is None:
            return _refused(404, "No indexed document found")
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or token != self.access_token(host):
            return _refused(401, "You don't have access permission on this file")
        if not found.approved:
            return _refused(403, "You don't have access permission on this file")
        signature = self.sign(found)
        expires = round(time.time() + self.life)
        place = f"{elsewhere(request)}/gen3/storage/{signature}/{quote(found.name or 'data')}"
        return as_json({"url": f"{place}?Expires={expires}&Signature={signature}"})

    def _told(self, host: str, identifier: str, found: _Object) -> dict[str, Any]:
        place = f"bucket/{identifier}/{found.name or 'data'}"
        ways = [{"type": each, "access_id": each, "access_url": {"url": f"{each}://{place}"}} for each in self.clouds]
        return {
            "id": identifier, "self_uri": f"drs://{host}/{identifier}", "name": found.name, "size": found.content.size,
            "checksums": [{"type": "md5", "checksum": found.content.md5()}], "access_methods": ways,
        }  # fmt: skip

    def _stored(self, signature: str) -> Answer:
        found = self.signed(signature)
        if found is None:
            return text("<Error><Code>AccessDenied</Code></Error>", 403, "application/xml")
        return messages.file(found.content, f'"{found.content.md5()}"')


def _token(host: str, purpose: str) -> str:
    """A JSON Web Token that nobody signed."""
    claims = {"iss": f"https://{host}/user", "pur": purpose, "exp": NEVER}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{body}.sandbox"


def _refused(status: int, said: str) -> Answer:
    return replace(as_json({"message": said}), status=status)
