"""What LORIS servers answer: a token for a log-in, projects, their images, the bytes.

It must not know sockets. Protocol: docs/API/LorisRESTAPI_v0.0.3.md of aces/Loris; the words of refusals are those that
providers of DataLad look for.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text

USER, PASSWORD = "sandbox", "sandbox-password"


class Loris:
    """Servers by host. ``users`` are passwords by name; ``life`` is how many seconds a token is good."""

    def __init__(self) -> None:
        self.users = {USER: PASSWORD}
        self.life = 3600.0
        self._images: dict[str, dict[str, dict[str, Content]]] = {}
        """By host, project, and CandID/visit/name."""
        self._tokens: dict[str, float] = {}

    def publish(self, host: str, project: str, images: Mapping[str, bytes]) -> None:
        """Has images by their ``CandID/visit/name``."""
        made = {path: Content.of(data) for path, data in images.items()}
        self._images.setdefault(host, {})[project] = made

    def answer(self, request: Request, path: str) -> Answer:
        host, _, rest = path.partition("/")
        prefix = "api/v0.0.3/"
        if host not in self._images or not rest.startswith(prefix):
            return text("Not Found\n", 404)
        what = rest.removeprefix(prefix).strip("/")
        if what == "login" and request.method == "POST":
            return self._login(request)
        if self._tokens.get((request.header("authorization") or "").removeprefix("Bearer "), 0.0) < time.time():
            return _refused("User not authenticated", 401)
        projects = self._images[host]
        if what == "projects":
            return as_json({"Projects": {name: {"useEDC": "false", "PSCID": {}} for name in projects}})
        if what.startswith("projects/") and what.endswith("/images"):
            name = what.removeprefix("projects/").removesuffix("/images")
            return self._list(projects[name]) if name in projects else _refused("Not found", 404)
        image = what.removeprefix("candidates/").replace("/images/", "/", 1)
        found = next((images[image] for images in projects.values() if image in images), None)
        if found is None:
            return _refused("Not found", 404)
        # As its PHP sends files: without ranges.
        return Answer(200, {"Content-Type": "application/octet-stream"}, found)

    def _login(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        if self.users.get(asked.get("username")) != asked.get("password") or not asked.get("password"):
            return _refused("Unacceptable JWT key or wrong credentials", 401)
        claims = {"user": asked["username"], "exp": time.time() + self.life, "number": len(self._tokens)}
        parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
        token = ".".join([*parts, "signed"])
        self._tokens[token] = time.time() + self.life
        return as_json({"token": token})

    def _list(self, images: Mapping[str, Content]) -> Answer:
        rows = []
        for path in images:
            candidate, visit, name = path.split("/")
            link = f"/candidates/{candidate}/{quote(visit)}/images/{quote(name)}"
            row = {"Candidate": candidate, "PSCID": f"MTL{candidate}", "Visit": visit, "Visit_date": "2016-08-09"}
            rows.append({**row, "Site": "here", "ScanType": "t1", "QC_status": None, "Link": link})
        return as_json({"Images": rows})


def _refused(said: str, status: int) -> Answer:
    return replace(as_json({"error": said}), status=status)
