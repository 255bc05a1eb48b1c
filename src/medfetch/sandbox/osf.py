"""The OSF: projects with storages and folders, in pages; a limit of requests.

It must not know sockets. Protocol: what osfclient 0.0.5 asks and understands. The words of refusals are assumed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from medfetch.sandbox.common import TOKEN, contents, folders_of, here, refused, sent
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere


@dataclass(frozen=True)
class _Node:
    files: Mapping[str, Content]
    kind: str
    storage: str
    public: bool
    shared: bool


class Osf(Signing[Content]):
    """Projects by id; files come from storage at another origin. ``limit`` is how many requests are left."""

    def __init__(self) -> None:
        super().__init__(life=60.0)
        self.limit: int | None = None
        self._nodes: dict[str, _Node] = {}

    def publish(
        self, project: str, files: Mapping[str, bytes], *, kind: str = "nodes", storage: str = "osfstorage",
        public: bool = True, shared: bool = True,
    ) -> None:  # fmt: skip
        """Has a project, or what else ``kind`` says; ``shared``: with the account that has the token."""
        self._nodes[project] = _Node(contents(files), kind, storage, public, shared)

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``v2/…`` as of the interface, ``v1/resources/…`` as of the files, ``storage/…``."""
        if path.startswith("storage/"):
            content = self.signed(request.query.get("Signature", ""))
            return sent(content) if content else text("<Error><Code>AccessDenied</Code></Error>", 403)
        said = request.header("authorization")
        if said not in (None, f"Bearer {TOKEN}"):
            return _errors(401, "User provided an invalid OAuth2 access token")
        if self.limit is not None and path.startswith("v2/"):
            self.limit -= 1
            if self.limit < 0:
                self.limit = None
                return _errors(429, "Request was throttled. Expected available in 1 second.").with_headers(
                    {"Retry-After": "1"}
                )
        if found := re.fullmatch(r"v2/(?:guids|nodes|registrations)/([a-z0-9]{5})/?(.*)", path.replace("//", "/")):
            return self._barred(found[1], said) or self._node(request, found[1], found[2])
        if found := re.fullmatch(r"v1/resources/([a-z0-9]{5})/providers/([a-z0-9]+)(/.*)", path):
            return self._barred(found[1], said) or self._sent(request, found[1], found[3])
        return _errors(404, "Not found.")

    def _barred(self, project: str, said: str | None) -> Answer | None:
        node = self._nodes.get(project)
        if node is None:
            return _errors(404, "Not found.")
        if node.public or (said and node.shared):
            return None
        if said:
            return _errors(403, "You do not have permission to perform this action.")
        return _errors(401, "Authentication credentials were not provided.")

    def _node(self, request: Request, project: str, what: str) -> Answer:
        node = self._nodes[project]
        base = f"{here(request)}/osf/v2/{node.kind}/{project}"
        if not what:
            links = {"files": {"links": {"related": {"href": f"{base}/files/"}}}}
            told = {"title": "Sandbox", "date_created": "", "date_modified": "", "description": ""}
            return as_json({"data": {
                "id": project, "type": node.kind, "attributes": told, "relationships": links, "links": {"self": base},
            }})  # fmt: skip
        provider, _, place = what.removeprefix("files").strip("/").partition("/")
        if not provider:
            files = {"links": {"related": {"href": f"{base}/files/{node.storage}/"}}}
            told = {"path": "/", "name": node.storage, "node": project, "provider": node.storage, "kind": "folder"}
            upload = {"new_folder": "", "upload": ""}
            row = {"id": f"{project}:{node.storage}", "attributes": told, "relationships": {"files": files}}
            return as_json({"data": [row | {"links": upload}], "links": {"next": None}})
        if provider != node.storage:
            return _errors(404, "Not found.")
        return self._list(request, project, place)

    def _list(self, request: Request, project: str, place: str) -> Answer:
        node = self._nodes[project]
        folders = {self._key(folder): folder for folder in folders_of(node.files)}
        if place and place.strip("/") not in folders:
            return _errors(404, "Not found.")
        folder = folders.get(place.strip("/"), "")
        rows = [self._row(request, project, each, None) for each in sorted(folders.values()) if _in(each, folder)]
        rows += [
            self._row(request, project, path, content) for path, content in node.files.items() if _in(path, folder)
        ]
        size, page = int(request.query.get("page[size]", "10")), int(request.query.get("page", "1"))
        following = f"{here(request)}/{request.path.lstrip('/')}?page={page + 1}&page%5Bsize%5D={size}"
        more = page * min(size, 100) < len(rows)
        rows = rows[(page - 1) * min(size, 100) : page * min(size, 100)]
        return as_json({"data": rows, "links": {"next": following if more else None}})

    def _row(self, request: Request, project: str, path: str, content: Content | None) -> dict[str, Any]:
        node, key = self._nodes[project], self._key(path)
        base = f"{here(request)}/osf"
        place = f"/{key}" if content else f"/{key}/"
        told: dict[str, Any] = {
            "kind": "file" if content else "folder", "name": path.rpartition("/")[2], "path": place,
            "materialized_path": f"/{path}", "date_created": None, "date_modified": None, "size": None, "extra": {},
        }  # fmt: skip
        row: dict[str, Any] = {"id": key, "type": "files", "attributes": told}
        if content is None:
            related = f"{base}/v2/{node.kind}/{project}/files/{node.storage}{place}"
            return row | {"relationships": {"files": {"links": {"related": {"href": related}}}}, "links": {}}
        digest = hashlib.sha256(content.whole()).hexdigest()
        told |= {
            "size": content.size,
            "current_version": 1,
            "extra": {"hashes": {"md5": content.md5(), "sha256": digest}},
        }
        upload = f"{base}/v1/resources/{project}/providers/{node.storage}{place}"
        return row | {"links": {"self": f"{base}/v2/files/{key}/", "upload": upload, "html": "", "delete": upload}}

    def _sent(self, request: Request, project: str, place: str) -> Answer:
        files = {f"/{self._key(path)}": content for path, content in self._nodes[project].files.items()}
        if place not in files or request.query.get("version", "1") != "1":
            return refused(404, message="Could not retrieve file or directory", code=404)
        there = f"{elsewhere(request)}/osf/storage{place}?Signature={self.sign(files[place])}"
        return replace(text("", 302), headers={"Location": there})

    @staticmethod
    def _key(path: str) -> str:
        return hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:24]


def _in(path: str, folder: str) -> bool:
    return path.rpartition("/")[0] == folder


def _errors(status: int, detail: str) -> Answer:
    return replace(as_json({"errors": [{"detail": detail}]}), status=status)
