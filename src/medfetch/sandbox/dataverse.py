"""Installations of Dataverse: datasets in versions, restricted files, tables that were taken in.

It must not know sockets. Protocol: what pyDataverse 0.3.5 and pooch 1.9.0 ask and understand, and Dataverse's guide.
The words of refusals are assumed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medfetch.sandbox.common import TOKEN, number_of, sent
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere


@dataclass(frozen=True)
class _File:
    content: Content
    restricted: bool = False
    approved: bool = False
    original: tuple[str, Content] | None = None
    """Of a table that was taken in: the name and the bytes that were uploaded."""


@dataclass
class _Set:
    versions: dict[str, Mapping[str, _File]] = field(default_factory=dict)


class Dataverse(Signing[Content]):
    """Datasets by host and DOI. ``redirects``: whether files come from storage at another origin."""

    def __init__(self) -> None:
        super().__init__(life=60.0)
        self.redirects = True
        self.checksum = "MD5"
        self._sets: dict[tuple[str, str], _Set] = {}

    def publish(
        self, host: str, doi: str, files: Mapping[str, bytes], *, version: str = "1.0",
        restricted: Mapping[str, bool] | None = None, tables: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> None:  # fmt: skip
        """Has a version of a dataset. ``restricted`` says of files whether the one with the token was let in, and
        ``tables`` of tables by what name and with which bytes they were uploaded."""
        gates, originals = restricted or {}, tables or {}
        self._sets.setdefault((host, doi), _Set()).versions[version] = {
            path: _File(
                Content.of(data), path in gates, gates.get(path, False),
                (originals[path][0], Content.of(originals[path][1])) if path in originals else None,
            )
            for path, data in files.items()
        }  # fmt: skip

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``<host>/api/…``, or ``storage/…``."""
        host, _, rest = path.partition("/")
        if host == "storage":
            content = self.signed(request.query.get("X-Amz-Signature", ""))
            return sent(content) if content else text("<Error><Code>AccessDenied</Code></Error>", 403)
        key = request.header("x-dataverse-key")
        if key not in (None, TOKEN):
            return _status(401, "Bad API key")
        rest = rest.removeprefix("api/").removeprefix("v1/")
        if found := re.fullmatch(r"access/datafile/(\d+)", rest):
            return self._sent(request, host, int(found[1]), key is not None)
        if found := re.fullmatch(r"datasets/:persistentId/?(?:versions/([^/]+))?/?(?:files)?", rest):
            return self._dataset(request, host, found[1], rest.endswith("files"))
        return _status(404, "API endpoint does not exist on this server")

    def _dataset(self, request: Request, host: str, version: str | None, files: bool) -> Answer:
        doi = request.query.get("persistentId", "").removeprefix("doi:")
        found = self._sets.get((host, doi))
        if found is None:
            return _status(404, f"Dataset with Persistent ID doi:{doi} not found.")
        latest = list(found.versions)[-1]
        number = latest if version in (None, ":latest", ":latest-published") else str(version)
        if number not in found.versions:
            return _status(404, f"Dataset version {version} not found")
        rows = [self._row(host, doi, number, path) for path in found.versions[number]]
        if files:
            return as_json({"status": "OK", "data": rows})
        told = {"versionNumber": int(number.partition(".")[0]), "versionState": "RELEASED", "files": rows,
                "versionMinorNumber": int(number.partition(".")[2] or 0),
                "license": {"name": "CC0 1.0", "uri": "http://creativecommons.org/publicdomain/zero/1.0"},
                "metadataBlocks": {"citation": {"fields": [{"typeName": "title", "value": "Sandbox"}]}}}  # fmt: skip
        return as_json({"status": "OK", "data": told if version else {"id": 1, "latestVersion": told}})

    def _row(self, host: str, doi: str, version: str, path: str) -> dict[str, Any]:
        file = self._sets[host, doi].versions[version][path]
        folder, _, label = path.rpartition("/")
        key = number_of(f"{doi} {version} {path}")
        value = _digest(file.content, self.checksum)
        told: dict[str, Any] = {
            "id": key, "persistentId": "", "filename": label, "contentType": "application/octet-stream",
            "filesize": file.content.size, "checksum": {"type": self.checksum, "value": value}, "tabularData": False,
            **({"md5": value} if self.checksum == "MD5" else {}),
        }  # fmt: skip
        if file.original:
            name, content = file.original
            told |= {
                "tabularData": True, "originalFileFormat": "application/x-stata", "originalFileName": name,
                "originalFileSize": content.size, "UNF": "UNF:6:sandbox==",
                # Of other bytes than it sends: those without the table's head (IQSS/dataverse issue 9501).
                "checksum": {"type": "MD5", "value": "0" * 32}, "md5": "0" * 32,
            }  # fmt: skip
        row = {"label": label, "restricted": file.restricted, "version": 1, "datasetVersionId": 1, "dataFile": told}
        return row | ({"directoryLabel": folder} if folder else {})

    def _sent(self, request: Request, host: str, key: int, known: bool) -> Answer:
        for (place, doi), each in self._sets.items():
            for version, files in each.versions.items():
                for path, file in files.items():
                    if place == host and number_of(f"{doi} {version} {path}") == key:
                        return self._file(request, file, known)
        return _status(404, "Datafile not found")

    def _file(self, request: Request, file: _File, known: bool) -> Answer:
        if file.restricted and not (known and file.approved):
            return _status(403, "Not authorized to access this object via this API endpoint.")
        wants_original = file.original and request.query.get("format") == "original"
        content = file.original[1] if file.original and wants_original else file.content
        if not self.redirects:
            return sent(content)
        there = f"{elsewhere(request)}/dataverse/storage/x?X-Amz-Signature={self.sign(content)}"
        return replace(text("", 303), headers={"Location": there})


def _digest(content: Content, kind: str) -> str:
    return hashlib.new(kind.replace("-", "").lower(), content.whole(), usedforsecurity=False).hexdigest()


def _status(status: int, message: str) -> Answer:
    return replace(as_json({"status": "ERROR", "code": status, "message": message}), status=status)
