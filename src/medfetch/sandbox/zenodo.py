"""Zenodo: records of single versions, numbers for all of them, records that are not open.

It must not know sockets. Protocol: what zenodo_get 3.0.0 and pooch 1.9.0 ask and understand. The words of refusals
are assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox.common import TOKEN, contents, here, number_of, refused, sent
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text


@dataclass(frozen=True)
class _Record:
    number: int
    concept: int
    files: Mapping[str, Content]
    access: str
    shared: bool
    """With the account that has the token."""


class Zenodo:
    """Records by number. ``blocks`` is whether programs are refused, ``moved`` whether a number for all versions leads
    to the newest one, as it once did, or is not found."""

    def __init__(self) -> None:
        self.blocks = False
        self.moved = False
        self.bare = False
        """Whether checksums come without their algorithm."""
        self._records: dict[int, _Record] = {}

    def publish(
        self, number: int, files: Mapping[str, bytes], *, concept: int | None = None, access: str = "open",
        shared: bool = False,
    ) -> None:  # fmt: skip
        """Has a version's record; ``access`` is open, embargoed, restricted or closed."""
        self._records[number] = _Record(number, concept or number - 1, contents(files), access, shared)

    def answer(self, request: Request, path: str) -> Answer:
        if self.blocks:
            return text("<html><h1>403 Forbidden</h1>unusual traffic</html>", 403, "text/html")
        said = request.header("authorization")
        if said not in (None, f"Bearer {TOKEN}"):
            return refused(401, message="The server could not verify that you are authorized to access the URL.")
        if path == "api/records":
            return self._search(request)
        if found := re.fullmatch(r"api/records/(\d+)(?:/files/(.+)/content)?", path):
            return self._record(request, int(found[1]), found[2], said is not None)
        return refused(404, message="The requested URL was not found on the server.")

    def _record(self, request: Request, number: int, name: str | None, known: bool) -> Answer:
        record = self._records.get(number)
        if record is None:
            newest = max((each.number for each in self._records.values() if each.concept == number), default=None)
            if newest and self.moved:
                there = f"{here(request)}/zenodo/api/records/{newest}"
                return replace(text("Moved", 301), headers={"Location": there})
            return refused(404, message="The persistent identifier does not exist.")
        open_to = record.access == "open" or (record.shared and known)
        if name is None:
            return as_json(self._told(request, record, open_to))
        if not open_to:
            return refused(403, message="Permission denied.")
        content = record.files.get(name)
        return sent(content) if content else refused(404, message="File not found")

    def _search(self, request: Request) -> Answer:
        asked = request.query.get("q", "").removeprefix("conceptrecid:")
        found = sorted((each for each in self._records.values() if str(each.concept) == asked), key=lambda r: -r.number)
        return as_json({"hits": {"hits": [{"id": each.number} for each in found], "total": len(found)}})

    def _told(self, request: Request, record: _Record, open_to: bool) -> dict[str, Any]:
        place = f"{here(request)}/zenodo/api/records/{record.number}"
        metadata: dict[str, Any] = {
            "title": "Sandbox", "publication_date": "2023-01-01", "access_right": record.access,
            "license": {"id": "cc-by-4.0"},
        }  # fmt: skip
        if record.access == "embargoed":
            metadata["embargo_date"] = "2099-01-01"
        files = [
            {"id": f"{number_of(name):036x}", "key": name, "size": content.size,
             "checksum": content.md5() if self.bare else f"md5:{content.md5()}",
             "links": {"self": f"{place}/files/{quote(name)}/content"}}
            for name, content in record.files.items()
        ]  # fmt: skip
        return {
            "id": record.number, "recid": str(record.number), "conceptrecid": str(record.concept),
            "doi": f"10.5281/zenodo.{record.number}", "metadata": metadata, "links": {"self": place},
            **({"files": files} if open_to else {}),
        }  # fmt: skip
