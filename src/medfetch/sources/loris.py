"""Images of the projects of a LORIS server.

It must not know how a log-in becomes a token. Protocol: docs/API/LorisRESTAPI_v0.0.3.md of aces/Loris (sections 1.1,
2.0, 2.1.1), read 2026-11-29: a list of a project's images, with links relative to the interface; it tells neither sizes
nor checksums.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component
from medfetch.types import Door, RemoteFile, Selection, Traits, Verdict

HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
TYPED = re.compile(r"(?:https?://)?([^/\s]+)(?:/([^/\s]+))?/?")
VERSION = "v0.0.3"
IMAGE = re.compile(r"/candidates/([^/]+)/([^/]+)/images/([^/]+)")


class Loris:
    """Locator: ``host``; ``project``, without which all that the server names are taken; ``path``, patterns of files or
    folders, without which all is taken. Images go to CANDIDATE/VISIT/FILE."""

    name: ClassVar[str] = "loris"
    traits: ClassVar[Traits] = Traits(
        endpoints={"loris": ""},
        facets=("path", "subject", "session", "modality"),
        connections=4,
        logins=("loris:HOST",),
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found or not HOST.fullmatch(found[1]):
            raise UsageProblem(f"expected loris:HOST or loris:HOST/PROJECT, not {text!r}")
        return {"host": found[1], "project": unquote(found[2])} if found[2] else {"host": found[1]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        patterns = strings(locator, "path", self.name)
        server, project = _server(locator, net)
        seen: set[str] = set()
        try:
            for name in [project] if project else server.projects():
                for file in server.images(name):
                    # A candidate may be in two projects.
                    if file.path not in seen and wanted(file.path, patterns):
                        yield file
                    seen.add(file.path)
        except Refused as error:
            raise closed(server.verdict(error), f"loris-{server.host}") from None

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        server, _ = _server(locator, net)
        try:
            server.projects()
        except Refused as error:
            return server.verdict(error)
        return Verdict(Door.OPEN, f"{server.host} lists its projects to you", f"https://{server.host}/")


def _server(locator: Mapping[str, Any], net: Net) -> tuple[_Server, str | None]:
    only(locator, {"host", "project", "path"}, "loris")
    host = text(locator, "host", "loris") or ""
    if not HOST.fullmatch(host):
        raise RecipeError(f"expected the name of a host, not {host!r}", at="loris.host")
    return _Server(host, net), text(locator, "project", "loris")


@dataclass(frozen=True, slots=True)
class _Server:
    host: str
    net: Net

    @property
    def base(self) -> str:
        there = f"{self.net.endpoint('loris')}/{self.host}" if self.net.replaced("loris") else f"https://{self.host}"
        return f"{there}/api/{VERSION}"

    @property
    def credential(self) -> str | None:
        name = f"loris:{self.host}"
        return name if self.net.has(name) else None

    def projects(self) -> list[str]:
        told = self._told("projects").get("Projects")
        if not isinstance(told, dict):
            raise Retryable(f"{self.host} did not answer with its projects")
        return sorted(told)

    def images(self, project: str) -> Iterator[RemoteFile]:
        rows = self._told(f"projects/{quote(project, safe='')}/images").get("Images")
        if not isinstance(rows, list):
            raise Retryable(f"{self.host} did not answer with the images of {project}")
        for row in rows:
            found = IMAGE.fullmatch(urlsplit(str(row.get("Link"))).path)
            if found is None:
                raise Retryable(f"{self.host} gave no link to an image: {row.get('Link')!r}")
            candidate, visit, name = map(unquote, found.groups())
            facets = {"subject": candidate, "session": visit, "modality": str(row.get("ScanType") or "")}
            yield RemoteFile(
                "/".join(map(component, (candidate, visit, name))),
                f"{self.host}{found[0]}",
                (f"{self.base}{quote(unquote(found[0]))}",),
                facets={facet: value for facet, value in facets.items() if value},
                credential=self.credential,
            )

    def _told(self, what: str) -> dict[str, Any]:
        return _answers.told(self.net.get(f"{self.base}/{what}", credential=self.credential), self.host)

    def verdict(self, error: Refused) -> Verdict:
        """What a refusal means. Raises: the error itself, where it is of another kind."""
        page = f"https://{self.host}/"
        if error.status == 404:
            return Verdict(Door.ABSENT, f"{self.host} has no such project, or not this interface ({VERSION})", page)
        if error.status not in (401, 403):
            raise error
        if not self.credential:
            said = f"{self.host} wants a log-in: ask for an account there, and run medfetch login loris:{self.host}"
            return Verdict(Door.NO_LOGIN, said, page)
        if error.status == 401:
            return Verdict(Door.WRONG_LOGIN, f"{self.host} does not take this user name and password", page)
        return Verdict(Door.NOT_APPROVED, f"your account at {self.host} may not see these images", page)
