"""Articles of figshare, and of the institutions that it keeps repositories for, each in one version.

It must not know where figshare keeps the bytes. Protocol: figshare's OpenAPI text (api.figshare.com/v2). Files are
asked for at addresses that answer programs; figshare.com/ndownloader does not: it answers 202 without a body, and wants
a browser (neuromorphs/tonic pull request 337, scverse/cellrank pull request 1283).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from medfetch.errors import Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import wanted
from medfetch.sources._locator import number, only, strings
from medfetch.sources._paths import component
from medfetch.types import About, RemoteFile, Selection, Traits

PAGE = 100
TYPED = re.compile(
    r"(?:https://(?:[a-z0-9-]+\.)*figshare\.com/articles/(?:[^/]+/)*?|(?:doi:)?10\.6084/m9\.figshare\.)?"
    r"([0-9]+)(?:(?:/|\.v)([0-9]+))?/?",
    re.IGNORECASE,
)


class Figshare:
    """Locator: ``article``, its number; ``version``, without which the newest is taken; ``path``, patterns of files,
    without which all are taken. What figshare only links to is fetched from where its link leads, unverified."""

    name: ClassVar[str] = "figshare"
    traits: ClassVar[Traits] = Traits(
        endpoints={"figshare": "https://api.figshare.com/v2", "figshare_files": "https://ndownloader.figshare.com"}
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            raise UsageProblem(
                f"{text!r} is no article of figshare; expected figshare:NUMBER or figshare:NUMBER/VERSION"
            )
        return {"article": int(found[1]), "version": int(found[2])} if found[2] else {"article": int(found[1])}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"article", "version", "path"}, self.name)
        article, patterns = number(locator, "article", self.name), strings(locator, "path", self.name)
        version = number(locator, "version", self.name) if "version" in locator else None
        taken: set[str] = set()
        try:
            for row in _rows(article, version or _newest(article, net), net):
                file = _file(article, row, taken, net)
                if wanted(file.path, patterns):
                    yield file
        except Refused as error:
            if error.status == 404:
                what = f"version {version} of the article {article}" if version else f"article {article}"
                raise UsageProblem(f"figshare has no {what}, or it is not public") from None
            raise
        except KeyError as error:
            raise Retryable(f"figshare described the article {article} without {error}") from None

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        article = number(locator, "article", self.name)
        newest = _answers.told(net.get(f"{net.endpoint('figshare')}/articles/{article}"), "figshare")
        version, told = locator.get("version") or newest.get("version"), newest
        if version != newest.get("version"):
            address = f"{net.endpoint('figshare')}/articles/{article}/versions/{version}"
            told = _answers.told(net.get(address), "figshare")
        licence, size = told.get("license") or {}, told.get("size")
        return About(
            name=told.get("title"),
            summary=told.get("description"),
            version=str(version) if version else None,
            newest=str(newest["version"]) if newest.get("version") else None,
            licence=licence.get("name"),
            licence_url=licence.get("url"),
            size=size if isinstance(size, int) else None,
            doi=told.get("doi"),
            homepage=told.get("url_public_html"),
            pins={"version": version} if version else {},
        )


def _newest(article: int, net: Net) -> int:
    about = _answers.told(net.get(f"{net.endpoint('figshare')}/articles/{article}"), "figshare")
    return int(about["version"])


def _rows(article: int, version: int, net: Net) -> Iterator[Mapping[str, Any]]:
    """Its files, page by page; an article's own description shows the first few only."""
    address = f"{net.endpoint('figshare')}/articles/{article}/versions/{version}/files"
    seen: set[int] = set()
    page = 1
    while True:
        rows = _answers.rows(net.get(address, {"page": str(page), "page_size": str(PAGE)}), "figshare")
        new = [row for row in rows if row["id"] not in seen]
        seen.update(row["id"] for row in new)
        yield from new
        if len(rows) < PAGE or not new:
            return
        page += 1


def _file(article: int, row: Mapping[str, Any], taken: set[str], net: Net) -> RemoteFile:
    """``taken``: the names that others of the article have, for figshare lets several be alike."""
    key, path = row["id"], component(str(row["name"]))
    if path in taken:
        path = f"{key}-{path}"
    taken.add(path)
    if row.get("is_link_only"):
        return RemoteFile(path, f"figshare:{key}", (_link(article, path, str(row.get("download_url"))),))
    addresses = (f"{net.endpoint('figshare_files')}/files/{key}", f"{net.endpoint('figshare')}/file/download/{key}")
    md5, size = row.get("computed_md5") or row.get("supplied_md5"), row.get("size")
    return RemoteFile(
        path, f"figshare:{key}", addresses, size if isinstance(size, int) else None, _answers.digest("md5", md5)
    )


def _link(article: int, path: str, address: str) -> str:
    """Raises: UsageProblem where it leads to no web address."""
    if urlsplit(address).scheme not in ("http", "https"):
        said = f"{path}, of the article {article}, is no file of figshare but a link that cannot be followed: {address}"
        raise UsageProblem(said, hint="choose the other files with `path` in a recipe")
    return address
