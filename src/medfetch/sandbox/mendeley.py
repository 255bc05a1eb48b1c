"""Mendeley Data: datasets in versions, with folders.

It must not know sockets. Protocol: what datahugger 0.13 asks of data.mendeley.com/public-api and understands. The
words of refusals are assumed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from medfetch.sandbox.common import contents, folders_of, refused, sent
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text


class Mendeley:
    """Datasets by id, each in versions, with folders."""

    def __init__(self) -> None:
        self._datasets: dict[str, list[Mapping[str, Content]]] = {}
        self.page = 1000

    def publish(self, dataset: str, files: Mapping[str, bytes], version: int | None = None) -> int:
        """Has a further version of a dataset, or the one of that number, which it returns."""
        versions = self._datasets.setdefault(dataset, [])
        number = version or len(versions) + 1
        versions += [contents(files)] * (number - len(versions))
        versions[number - 1] = contents(files)
        return number

    def answer(self, request: Request, path: str) -> Answer:
        if not request.header("user-agent"):
            return text("Forbidden", 403)
        found = re.fullmatch(r"public-(api|files)/datasets/([a-z0-9]+)(?:/(.*))?", path)
        versions = self._datasets.get(found[2]) if found else None
        if not found or not versions:
            return refused(404, message="Not found")
        match (found[1], (found[3] or "").split("/")):
            case "files", ["files", key, "file_downloaded"]:
                return self._file(versions, key)
            case "api", [""]:
                return as_json({"id": found[2], "version": len(versions), "name": "Sandbox"})
            case "api", ["versions"]:
                return as_json([{"version": number} for number in range(1, len(versions) + 1)])
            case "api", ["folders", version] if 0 < int(version) <= len(versions):
                return as_json([
                    {"id": _uuid(folder), "name": folder.rpartition("/")[2], **_parent(folder)}
                    for folder in folders_of(versions[int(version) - 1])
                ])  # fmt: skip
            case "api", ["files"] if 0 < int(request.query.get("version", "0")) <= len(versions):
                return self._list(request, found[2], versions[int(request.query["version"]) - 1])
        return refused(404, message="Not found")

    def _list(self, request: Request, dataset: str, files: Mapping[str, Content]) -> Answer:
        wanted = request.query.get("folder_id", "root")
        rows = []
        for path, content in files.items():
            folder, _, name = path.rpartition("/")
            if wanted != (_uuid(folder) if folder else "root"):
                continue
            key = _uuid(f"{path} {content.md5()}")
            there = f"https://data.mendeley.com/public-files/datasets/{dataset}/files/{key}/file_downloaded"
            digest = hashlib.sha256(content.whole()).hexdigest()
            details = {"id": key, "sha256_hash": digest, "size": content.size, "download_url": there}
            rows.append({"id": key, "filename": name, "size": content.size, "content_details": details})
        start = int(request.query.get("$start", "0"))
        return as_json(rows[start : start + min(self.page, int(request.query.get("$limit", "100")))])

    def _file(self, versions: list[Mapping[str, Content]], key: str) -> Answer:
        for files in versions:
            for path, content in files.items():
                if _uuid(f"{path} {content.md5()}") == key:
                    return sent(content)
        return refused(404, message="Not found")


def _parent(folder: str) -> dict[str, str]:
    parent = folder.rpartition("/")[0]
    return {"parent_id": _uuid(parent)} if parent else {}


def _uuid(name: str) -> str:
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"
