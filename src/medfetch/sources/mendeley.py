"""Datasets of Mendeley Data, each in one version, with their folders.

It must not know where Mendeley keeps the bytes. Protocol: what public programs ask of data.mendeley.com/public-api and
understand, among them datahugger 0.13 (read 2026-11-29).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import wanted
from medfetch.sources._locator import number, only, strings, text
from medfetch.sources._paths import component
from medfetch.types import RemoteFile, Selection, Traits

HOST = "data.mendeley.com"
ID = re.compile(r"[a-z0-9]{8,12}")
TYPED = re.compile(
    rf"(?:https://{HOST}/datasets/|(?:doi:)?10\.17632/)?({ID.pattern})(?:[./]([0-9]+))?/?", re.IGNORECASE
)
ROOT = "root"
PAGE = 1000


class Mendeley:
    """Locator: ``dataset``, the id in its address; ``version``, without which the newest is taken; ``path``, patterns
    of files or folders, without which all is taken."""

    name: ClassVar[str] = "mendeley"
    traits: ClassVar[Traits] = Traits(endpoints={"mendeley": f"https://{HOST}"})

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            raise UsageProblem(f"{text!r} is no dataset of Mendeley; expected mendeley:ID or mendeley:ID/VERSION")
        dataset = found[1].lower()
        return {"dataset": dataset, "version": int(found[2])} if found[2] else {"dataset": dataset}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"dataset", "version", "path"}, self.name)
        dataset, patterns = text(locator, "dataset", self.name) or "", strings(locator, "path", self.name)
        if not ID.fullmatch(dataset):
            raise RecipeError(f"expected the id in its address, not {dataset!r}", at="mendeley.dataset")
        version = number(locator, "version", self.name) if "version" in locator else None
        try:
            for file in _files(dataset, version, net):
                if wanted(file.path, patterns):
                    yield file
        except Refused as error:
            if error.status == 404:
                what = f"{dataset} in version {version}" if version else dataset
                raise UsageProblem(f"Mendeley Data has no {what}, or it is not public") from None
            raise
        except (KeyError, TypeError) as error:
            raise Retryable(f"Mendeley Data described {dataset} without {error}") from None


def _files(dataset: str, version: int | None, net: Net) -> Iterator[RemoteFile]:
    api = f"{net.endpoint('mendeley')}/public-api/datasets/{dataset}"
    version = version or int(_answers.told(net.get(api), HOST)["version"])
    folders = {row["id"]: row for row in _answers.rows(net.get(f"{api}/folders/{version}"), HOST)}
    paths = {ROOT: ""} | {key: _path(key, folders) for key in folders}
    for folder, path in sorted(paths.items(), key=lambda item: item[1]):
        for row in _rows(api, folder, version, net):
            yield _file(dataset, version, path, row, net)


def _rows(api: str, folder: str, version: int, net: Net) -> Iterator[Mapping[str, Any]]:
    """The files in a folder, page by page."""
    seen: set[str] = set()
    while True:
        asked = {"folder_id": folder, "version": str(version), "$start": str(len(seen)), "$limit": str(PAGE)}
        rows = _answers.rows(net.get(f"{api}/files", asked), HOST)
        new = [row for row in rows if row["id"] not in seen]
        seen.update(row["id"] for row in new)
        yield from new
        if len(rows) < PAGE or not new:
            return


def _path(folder: str, folders: Mapping[str, Mapping[str, Any]]) -> str:
    """A folder's path with a slash behind it. Raises: Retryable where folders are in each other."""
    parts: list[str] = []
    while folder in folders:
        row = folders[folder]
        parts.append(component(str(row["name"])))
        if len(parts) > len(folders):
            raise Retryable("Mendeley Data told folders that are in each other")
        folder = str(row.get("parent_id") or ROOT)
    return "".join(f"{part}/" for part in reversed(parts))


def _file(dataset: str, version: int, folder: str, row: Mapping[str, Any], net: Net) -> RemoteFile:
    details = row["content_details"]
    size = row.get("size", details.get("size"))
    # Of the address only the path: a mirror may pass on addresses that lead past it.
    address = f"{net.endpoint('mendeley')}{urlsplit(details['download_url']).path}"
    return RemoteFile(
        path=f"{folder}{component(str(row['filename']))}",
        key=f"mendeley:{dataset}.{version}/{row['id']}",
        urls=(address,),
        size=size if isinstance(size, int) else None,
        checksums=_answers.digest("sha256", details.get("sha256_hash")),
    )
