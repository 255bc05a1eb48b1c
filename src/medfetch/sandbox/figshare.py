"""figshare: articles in versions, files in pages, links, and the firewall that wants a browser.

It must not know sockets. Protocol: what pooch 1.9.0 asks and understands, and figshare's OpenAPI text. The words of
refusals are assumed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medfetch.sandbox.common import number_of, refused, sent
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere

LICENCE = {
    "license": {"value": 1, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
    "description": "<p>Images of the sandbox.</p>",
}
"""What figshare tells of an article besides its files."""


class Figshare(Signing[Content]):
    """Articles by number; files come from storage at another origin. ``blocks``: whether the usual address of files
    wants a browser."""

    def __init__(self) -> None:
        super().__init__(life=60.0)
        self.blocks = False
        self._articles: dict[int, list[list[dict[str, Any]]]] = {}
        self._files: dict[int, Content] = {}

    def publish(self, article: int, files: Mapping[str, bytes | str], version: int | None = None) -> int:
        """Has a further version of an article, or the one of that number, which it returns; a text in place of bytes
        is a link."""
        versions = self._articles.setdefault(article, [])
        number = version or len(versions) + 1
        rows = [self._row(f"{article}.{number}/{name}", name, what) for name, what in files.items()]
        versions += [rows] * (number - len(versions))
        versions[number - 1] = rows
        return number

    def _row(self, whole: str, name: str, what: bytes | str) -> dict[str, Any]:
        key = number_of(whole)
        if isinstance(what, str):
            return {
                "id": key, "name": name, "size": 0, "is_link_only": True, "download_url": what, "supplied_md5": "",
                "computed_md5": "", "mimetype": "undefined",
            }  # fmt: skip
        self._files[key] = content = Content.of(what)
        return {
            "id": key, "name": name, "size": content.size, "is_link_only": False,
            # What figshare tells, and what does not answer programs.
            "download_url": f"https://figshare.com/ndownloader/files/{key}", "supplied_md5": content.md5(),
            "computed_md5": content.md5(), "mimetype": "application/octet-stream",
        }  # fmt: skip

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``v2/…``, ``files/ID`` as of ndownloader, ``storage/…``."""
        if path.startswith("storage/"):
            content = self.signed(request.query.get("X-Amz-Signature", ""))
            return sent(content) if content else text("<Error><Code>AccessDenied</Code></Error>", 403)
        if found := re.fullmatch(r"(v2/file/download|files)/(\d+)", path):
            if found[1] == "files" and self.blocks:
                return challenge()
            return self._download(request, int(found[2]))
        if path == "v2/articles":
            return self._by_doi(request.query.get("doi", ""))
        if found := re.fullmatch(r"v2/articles/(\d+)(?:/versions/(\d+))?(/files)?", path):
            return self._article(request, int(found[1]), int(found[2] or 0), bool(found[3]))
        return refused(404, message="Entity not found")

    def _by_doi(self, doi: str) -> Answer:
        found = re.fullmatch(r"10\.6084/m9\.figshare\.(\d+)(?:\.v\d+)?", doi)
        known = found and int(found[1]) in self._articles
        return as_json([{"id": int(found[1])}] if found and known else [])

    def _article(self, request: Request, article: int, version: int, files: bool) -> Answer:
        versions = self._articles.get(article, [])
        version = version or len(versions)
        if not 0 < version <= len(versions):
            return refused(404, message="Entity not found: article", code="EntityNotFound")
        rows = versions[version - 1]
        if not files:
            return as_json({"id": article, "version": version, "title": "Sandbox", "files": rows[:10], **LICENCE})
        size, page = int(request.query.get("page_size", "10")), int(request.query.get("page", "1"))
        return as_json(rows[(page - 1) * size : page * size])

    def _download(self, request: Request, key: int) -> Answer:
        content = self._files.get(key)
        if content is None:
            return refused(404, message="Entity not found: file")
        there = f"{elsewhere(request)}/figshare/storage/{key}?X-Amz-Signature={self.sign(content)}"
        return replace(text("", 302), headers={"Location": there})


def challenge() -> Answer:
    """What Amazon's firewall answers to who is to prove in a browser that he is no program."""
    return replace(text("", 202), headers={"x-amzn-waf-action": "challenge"})
