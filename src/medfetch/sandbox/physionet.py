"""What PhysioNet answers: files of projects behind their gates, listings of folders, checksums, versions.

It must not know sockets. Gates as in PhysioNet's public server code (github.com/MIT-LCP/physionet-build): a gated file
wants a log-in (401) of programs whose user agent it knows, and refuses all others, and who is not approved (403).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.web import Shelf

SUMS = "SHA256SUMS.txt"
MIRROR = "s3://physionet-open"
AGENTS = r"Wget/|libwfdb/|PhysioNet-Python-Client/|medfetch/"
"""Who may log in. The first two are in the public code; whether PhysioNet knows medfetch is not known."""
USER, PASSWORD = "sandbox", "sandbox-password"


@dataclass(frozen=True)
class Project:
    slug: str
    version: str
    files: Mapping[str, Content]
    policy: str
    approved: frozenset[str]
    """User names that have this project's agreement and all that it takes."""
    doi: str | None


class PhysioNet:
    """Projects, and who may have them. ``accounts`` are passwords by user name; ``agents`` a regular expression."""

    def __init__(self, shelf: Shelf) -> None:
        self.accounts = {USER: PASSWORD}
        self.agents = AGENTS
        self._shelf = shelf
        self._lock = threading.Lock()
        self._projects: dict[str, Project] = {}

    def publish(
        self, slug: str, version: str, files: Mapping[str, bytes | str | int], *, policy: str = "open",
        approved: Collection[str] = (), spaces: int = 1, mirrored: bool = False, doi: str | None = None,
    ) -> dict[str, bytes]:  # fmt: skip
        """Has a project with these files, each its content, its text, or so many bytes; returns all, with the list.

        ``policy`` is open, restricted or credentialed. ``spaces`` separate a checksum from its path. An open project
        may be ``mirrored`` at Amazon.
        """
        contents = {path: _content(f"{slug}/{version}/{path}", what) for path, what in sorted(files.items())}
        lines = [f"{_sha256(content)}{' ' * spaces}{path}\n" for path, content in contents.items()]
        contents[SUMS] = Content.of("".join(lines).encode())
        with self._lock:
            self._projects[f"{slug}/{version}"] = Project(slug, version, contents, policy, frozenset(approved), doi)
        for path, content in contents.items() if mirrored else ():
            self._shelf.put(f"{MIRROR}/{slug}/{version}/{path}", content)
        return {path: content.whole() for path, content in contents.items()}

    def answer(self, request: Request, path: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return text("only GET and HEAD\n", 405)
        if path == "api/v1/projects/published/":
            return as_json([_detail(project) for project in self._all()])
        if found := re.fullmatch(r"api/v1/projects/([^/]+)/versions/", path):
            versions = [_detail(project) for project in self._all() if project.slug == found[1]]
            return as_json(versions) if versions else text('{"error": "not found"}', 404)
        if found := re.fullmatch(r"api/v1/projects/([^/]+/[^/]+)/", path.replace("/versions/", "/")):
            return as_json(_detail(project)) if (project := self._projects.get(found[1])) else text("{}", 404)
        if found := re.fullmatch(r"files/([^/]+/[^/]+)/(.*)", path):
            project = self._projects.get(found[1])
            return self._file(request, project, found[2]) if project else text("Not Found\n", 404)
        return text("Not Found\n", 404)

    def _all(self) -> list[Project]:
        with self._lock:
            return list(self._projects.values())

    def _file(self, request: Request, project: Project, path: str) -> Answer:
        if refusal := self._gate(request, project):
            return refusal
        if path in project.files:
            content = project.files[path]
            # As nginx makes it: of the time (here always the same) and the size.
            return messages.file(content, f'"63b0cd00-{content.size:x}"')
        return _folder(project, path) if path == "" or path.endswith("/") else text("Not Found\n", 404)

    def _gate(self, request: Request, project: Project) -> Answer | None:
        """A refusal, or None."""
        if project.policy == "open":
            return None
        knows_agent = re.match(self.agents, request.header("user-agent") or "")
        user = self._user(request) if knows_agent else None
        if user is None and knows_agent:
            return text("", 401).with_headers({"WWW-Authenticate": 'Basic realm="PhysioNet", charset="UTF-8"'})
        return None if user in project.approved else text("<h1>403 Forbidden</h1>", 403, "text/html")

    def _user(self, request: Request) -> str | None:
        kind, _, pair = (request.header("authorization") or "").partition(" ")
        try:
            user, _, password = base64.b64decode(pair, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user if kind.lower() == "basic" and user and self.accounts.get(user) == password else None


def _content(name: str, what: bytes | str | int) -> Content:
    if isinstance(what, int):
        return Content.noise(what, name)
    return Content.of(what.encode() if isinstance(what, str) else what)


def _sha256(content: Content) -> str:
    digest = hashlib.sha256()
    for piece in content.read(0, content.size):
        digest.update(piece)
    return digest.hexdigest()


def _detail(project: Project) -> dict[str, object]:
    """As far as clients read it."""
    about = {"title": project.slug, "abstract": "", "citation": "", "access_policy": project.policy}
    licence = {"license": {"name": "Open Data Commons Attribution License v1.0"}, "doi": project.doi}
    size = sum(content.size for content in project.files.values())
    return {
        **about, **licence, "slug": project.slug, "version": project.version, "main_storage_size": size,
        "version_doi": project.doi, "core_doi": None,
    }  # fmt: skip


def _folder(project: Project, path: str) -> Answer:
    """An index page, as nginx writes it."""
    inside = (name.removeprefix(path) for name in project.files if name.startswith(path))
    names = sorted({head + slash for head, slash, _ in (name.partition("/") for name in inside)})
    if not names:
        return text("Not Found\n", 404)
    links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in names)
    return text(f'<html><body><pre><a href="../">../</a>\n{links}</pre></body></html>', 200, "text/html")
