"""What XNAT servers answer: subjects, sessions, scans, resources and files of projects; Basic authentication.

It must not know sockets. Protocol: as pyxnat 1.6.4 asks and understands it.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text

USER, PASSWORD = "sandbox", "sandbox-password"


@dataclass(frozen=True)
class File:
    subject: str
    session: str
    scan: str
    resource: str
    path: str
    content: Content


class Xnat:
    """Servers by host. ``users`` are passwords by name; ``digests`` says whether files have MD5s."""

    def __init__(self) -> None:
        self.users = {USER: PASSWORD}
        self.digests = True
        self._projects: dict[str, dict[str, list[File]]] = {}
        self._closed: set[tuple[str, str]] = set()

    def publish(self, host: str, project: str, files: Mapping[str, bytes], *, private: bool = False) -> None:
        """Has files by their ``subject/session/scan/resource/path``; private ones for the users only."""
        made = []
        for path, data in files.items():
            subject, session, scan, resource, name = path.split("/", 4)
            made.append(File(subject, session, scan, resource, name, Content.of(data)))
        self._projects.setdefault(host, {})[project] = made
        self._closed |= {(host, project)} if private else set()

    def answer(self, request: Request, path: str) -> Answer:
        host, _, rest = path.partition("/")
        if host not in self._projects or not (rest == "" or rest.startswith("data/")):
            return text("Not Found\n", 404)
        word, _, pair = (request.header("authorization") or "").partition(" ")
        user, _, password = base64.b64decode(pair).decode().partition(":") if word == "Basic" else ("", "", "")
        if word and (not password or self.users.get(user) != password):
            return text("<html><body>Login attempt failed. Please try again.</body></html>", 401, "text/html")
        what = rest.removeprefix("data/")
        if what == "JSESSION":
            return text("0" * 32)
        if what == "version":
            return text("1.8.10")
        shown = {
            name: files for name, files in self._projects[host].items() if user or (host, name) not in self._closed
        }
        hidden = {name for name in self._projects[host] if name not in shown}
        if found := re.fullmatch(r"projects/([^/]+)(?:/subjects(?:/([^/]+)(?:/experiments)?)?)?", what):
            if found[1] in hidden:
                return text("<html>Status page</html>", 401 if not user else 403, "text/html")
            if found[1] not in shown:
                return text("<html>Status page</html>", 404, "text/html")
            return self._list(request, what, shown[found[1]], found[2])
        every = [(f"XNAT_E_{name}_{file.session}", file) for name, files in shown.items() for file in files]
        if found := re.fullmatch(r"experiments/([^/]+)/scans/([^/]+)(?:/resources/([^/]+))?/files(?:/(.+))?", what):
            _, scan, resource, name = found.groups()
            inside = [
                file
                for session, file in every
                if session == found[1] and scan in ("ALL", file.scan) and resource in (None, file.resource)
            ]
            if name is None:
                return _rows(request, [self._row(found[1], file) for file in inside])
            content = next((file.content for file in inside if file.path == name), None)
            return messages.file(content, f'"{content.md5()}"') if content else text("no such file", 404)
        return text("<html>Status page</html>", 404, "text/html")

    def _list(self, request: Request, what: str, files: list[File], subject: str | None) -> Answer:
        project = what.split("/")[1]
        if subject is None:
            rows = [{"ID": f"XNAT_S_{name}", "label": name} for name in dict.fromkeys(file.subject for file in files)]
            return _rows(request, [{**row, "project": project, "URI": f"/data/subjects/{row['ID']}"} for row in rows])
        own = dict.fromkeys(file.session for file in files if subject in (file.subject, f"XNAT_S_{file.subject}"))
        kind = {"project": project, "xsiType": "xnat:mrSessionData", "date": "2016-08-09"}
        rows = [{"ID": f"XNAT_E_{project}_{label}", "label": label, **kind} for label in own]
        return _rows(request, [{**row, "URI": f"/data/experiments/{row['ID']}"} for row in rows])

    def _row(self, session: str, file: File) -> dict[str, str]:
        where = f"/data/experiments/{session}/scans/{quote(file.scan)}/resources/{quote(file.resource)}/files"
        return {
            "Name": file.path.rpartition("/")[2], "Size": str(file.content.size), "URI": f"{where}/{quote(file.path)}",
            "collection": file.resource, "file_tags": "", "file_format": "", "file_content": "", "cat_ID": "1",
            "digest": file.content.md5() if self.digests else "",
        }  # fmt: skip


def _rows(request: Request, rows: list[dict[str, Any]]) -> Answer:
    columns = [name for name in request.query.get("columns", "").split(",") if name]
    if columns:
        rows = [{name: row[name] for name in (*columns, "URI") if name in row} for row in rows]
    if request.query.get("format") == "csv":
        out = io.StringIO()
        table = csv.DictWriter(out, list(rows[0]) if rows else [], quoting=csv.QUOTE_ALL)
        table.writeheader()
        table.writerows(rows)
        return text(out.getvalue(), kind="text/csv")
    return as_json({"ResultSet": {"Result": rows, "totalRecords": str(len(rows))}})
