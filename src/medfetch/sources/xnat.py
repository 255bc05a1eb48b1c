"""Files of the scans in a project of an XNAT server, with their MD5.

It must not know what is in the files. Protocol: XNAT's REST interface (projects, subjects, experiments, files), as
pyxnat 1.6.4 and xnatpy 0.8.1 ask and understand it, read 2026-11-29.
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
from medfetch.sources._locator import literal, only, strings, text
from medfetch.sources._paths import component, relative
from medfetch.types import Checksum, Door, RemoteFile, Selection, Traits, Verdict

HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
TYPED = re.compile(r"(?:https?://)?([^/\s]+)/(?:(?:app/template|data)/\S*?projects?/)?([^/\s]+?)/?")
MD5 = re.compile(r"[0-9a-f]{32}")
FILE = re.compile(r".*/scans/(?P<scan>[^/]+)/resources/(?P<resource>[^/]+)/files/(?P<path>.+)")
KIND = re.compile(r"xnat:(.+?)SessionData")


class Xnat:
    """Locator: ``host``, ``project``, ``path``, patterns of files or folders, without which all is taken.

    Files go to SUBJECT/SESSION/scans/SCAN/RESOURCE/…, by the labels that XNAT shows. What is attached to sessions,
    subjects and projects, and not to a scan, is left out.
    """

    name: ClassVar[str] = "xnat"
    traits: ClassVar[Traits] = Traits(
        endpoints={"xnat": ""},
        facets=("path", "subject", "session", "series", "modality"),
        connections=4,
        logins=("xnat:HOST",),
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found or not HOST.fullmatch(found[1]):
            raise UsageProblem(f"expected xnat:HOST/PROJECT, not {text!r}")
        return {"host": found[1], "project": unquote(found[2])}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        patterns = strings(locator, "path", self.name)
        project = _project(locator, net)
        for file in project.files(literal(selection, "subject"), literal(selection, "session")):
            if wanted(file.path, patterns):
                yield file

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        project = _project(locator, net)
        try:
            project.ask(f"projects/{quote(project.name, safe='')}/subjects")
        except Refused as error:
            return project.verdict(error)
        return Verdict(Door.OPEN, f"{project.host} shows {project.name}", f"https://{project.host}/")


def _project(locator: Mapping[str, Any], net: Net) -> _Project:
    only(locator, {"host", "project", "path"}, "xnat")
    host, project = text(locator, "host", "xnat") or "", text(locator, "project", "xnat")
    if not HOST.fullmatch(host):
        raise RecipeError(f"expected the name of a host, not {host!r}", at="xnat.host")
    if not project:
        raise RecipeError("expected a project", at="xnat.project")
    return _Project(host, project, net)


@dataclass(frozen=True, slots=True)
class _Project:
    host: str
    name: str
    net: Net

    @property
    def base(self) -> str:
        return f"{self.net.endpoint('xnat')}/{self.host}" if self.net.replaced("xnat") else f"https://{self.host}"

    @property
    def credential(self) -> str | None:
        name = f"xnat:{self.host}"
        return name if self.net.has(name) else None

    def files(self, subjects: tuple[str, ...] | None, sessions: tuple[str, ...] | None) -> Iterator[RemoteFile]:
        """Of these subjects and sessions, where not of all. Raises: AccessRequired, UsageProblem, Retryable."""
        there = f"projects/{quote(self.name, safe='')}/subjects"
        try:
            for subject in self.ask(there):
                if subjects is not None and subject["label"] not in subjects:
                    continue
                for session in self.ask(f"{there}/{quote(subject['ID'], safe='')}/experiments"):
                    if sessions is None or session["label"] in sessions:
                        yield from self._of_session(subject["label"], session)
        except Refused as error:
            raise closed(self.verdict(error), f"xnat-{self.name}") from None
        except KeyError as error:
            raise Retryable(f"{self.host} described what is in {self.name} without {error}") from None

    def _of_session(self, subject: str, session: Mapping[str, str]) -> Iterator[RemoteFile]:
        facets = {"subject": subject, "session": session["label"]}
        if kind := KIND.fullmatch(session.get("xsiType") or ""):
            facets["modality"] = kind[1].upper()
        folder = f"{component(subject)}/{component(session['label'])}/scans"
        for row in self.ask(f"experiments/{quote(session['ID'], safe='')}/scans/ALL/files"):
            found = FILE.fullmatch(row["URI"])
            if found is None:
                continue
            scan = unquote(found["scan"])
            # The label of a resource, such as DICOM, is nicer than its number, but need not be there.
            resource = row.get("collection") or unquote(found["resource"])
            path = f"{folder}/{component(scan)}/{component(resource)}/{unquote(found['path'])}"
            digest, size = str(row.get("digest") or "").lower(), str(row.get("Size") or "")
            yield RemoteFile(
                relative(path),
                f"{self.host}{row['URI']}",
                (f"{self.base}{urlsplit(row['URI']).path}",),
                int(size) if size.isdecimal() else None,
                (Checksum("md5", digest),) if MD5.fullmatch(digest) else (),
                facets={**facets, "series": scan},
                credential=self.credential,
            )

    def ask(self, what: str) -> list[dict[str, str]]:
        """The rows of a list. Raises: Refused, Retryable."""
        answer = self.net.get(f"{self.base}/data/{what}", {"format": "json"}, credential=self.credential)
        rows = (_answers.told(answer, self.host).get("ResultSet") or {}).get("Result")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Retryable(f"{self.host} did not answer with a list of {what}")
        return rows

    def verdict(self, error: Refused) -> Verdict:
        """What a refusal means. Raises: the error itself, where it is of another kind."""
        page = f"https://{self.host}/"
        if error.status not in (401, 403, 404):
            raise error
        if error.status == 404 and self.credential:
            return Verdict(Door.ABSENT, f"{self.host} has no project {self.name}, or does not show it to you", page)
        if not self.credential:
            said = f"{self.host} does not show {self.name} to everybody: run medfetch login xnat:{self.host}"
            return Verdict(Door.UNCLEAR if error.status == 404 else Door.NO_LOGIN, said, page)
        if error.status == 401:
            return Verdict(Door.WRONG_LOGIN, f"{self.host} does not know this user name and password", page)
        return Verdict(Door.NOT_APPROVED, f"ask the owners of {self.name} on its page for access", page)
