"""What OpenNeuro answers: snapshots by GraphQL, files by way of the site, private datasets; the bytes lie in S3.

It must not know sockets. Protocol: packages/openneuro-server and services/datalad of OpenNeuroOrg/openneuro as of
2026-08-19, and what openneuro-py 2026.9.1 asks. Of GraphQL it understands what clients ask for, and no more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere
from medfetch.sandbox.web import Shelf

KEY = "sandbox-openneuro"
"""The API key of a person with whom private datasets are shared."""
BUCKET = "openneuro.org"
ANNEXED = (".nii.gz", ".nii", ".mgz")


@dataclass(frozen=True)
class File:
    content: Content
    id: str
    annexed: bool
    version: str
    """S3's; empty where the bucket has it not."""
    size: int
    """As the interface says."""
    target: str | None = None
    """Of a symbolic link."""


class OpenNeuro(Signing[Content]):
    """Datasets. ``recursive`` says whether the interface lists a whole snapshot, ``shared`` whose keys may read what is
    private, and ``storage`` where lists say that the bucket is: clients that cannot be told otherwise go there."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(life=7 * 24 * 3600.0)
        self.storage = "https://s3.amazonaws.com"
        self.recursive = True
        self.keys = {KEY}
        self._shelf = shelf
        self._snapshots: dict[str, dict[str, dict[str, File]]] = {}
        self._private: set[str] = set()

    def publish(
        self, dataset: str, tag: str, files: Mapping[str, bytes | int | str], *, private: bool = False,
        backend: str = "MD5E", exported: bool = True, sizes: Mapping[str, int] | None = None,
    ) -> dict[str, bytes]:  # fmt: skip
        """Has a snapshot with these files, each its content, so many bytes, or where a link leads; returns all bytes.

        ``exported`` says whether the bucket has them, ``sizes`` what the interface wrongly says of some.
        """
        made = {}
        for path, what in sorted(files.items()):
            made[path] = self._made(dataset, tag, path, what, private, backend, exported, (sizes or {}).get(path))
        self._snapshots.setdefault(dataset, {})[tag] = made
        self._private ^= self._private & {dataset}
        self._private |= {dataset} if private else set()
        return {path: self._content(made, path).whole() for path in made}

    def _made(
        self, dataset: str, tag: str, path: str, what: bytes | int | str, private: bool, backend: str, exported: bool,
        size: int | None,
    ) -> File:  # fmt: skip
        if isinstance(what, str):
            return File(Content.of(what.encode()), _blob(what.encode()), False, "", 0, what)
        content = Content.noise(what, f"{dataset}/{path}/{tag}") if isinstance(what, int) else Content.of(what)
        annexed = path.endswith(ANNEXED)
        if annexed:
            ending = "".join(re.findall(r"\.[a-z0-9]{1,4}", path.rpartition("/")[2])[-2:])
            digest = hashlib.new({"MD5E": "md5", "SHA256E": "sha256"}[backend], content.whole()).hexdigest()
            name = f"{backend}-s{content.size}--{digest}{ending}"
        else:
            name = _blob(content.whole())
        version = hashlib.sha256(f"{name}/{path}".encode()).hexdigest()[:32] if exported else ""
        if version and not private:
            self._shelf.put(f"s3://{BUCKET}/{dataset}/{path}?versionId={version}", content)
            self._shelf.put(f"s3://{BUCKET}/{dataset}/{path}", content)
        return File(content, name, annexed, version, content.size if size is None else size)

    def _content(self, files: Mapping[str, File], path: str) -> Content:
        """Of a link, what it leads to."""
        file = files[path]
        if file.target is None:
            return file.content
        parts = path.split("/")[:-1]
        for step in file.target.split("/"):
            parts = parts[:-1] if step == ".." else [*parts, step]
        return self._content(files, "/".join(parts))

    def answer(self, request: Request, path: str) -> Answer:
        if path == "storage":
            content = self.signed(request.query.get("Signature", ""))
            return messages.file(content, f'"{content.md5()}"') if content else text("<Error/>", 403)
        if path == "crn/graphql" and request.method == "POST":
            return self._graphql(request)
        found = re.fullmatch(r"crn/datasets/(ds\d{6})/(?:snapshots/([^/]+)/files|objects)/(.+)", path)
        if found is None or request.method not in ("GET", "HEAD"):
            return text("Not Found\n", 404)
        dataset, tag, name = found.groups()
        if dataset not in self._snapshots or not self._may(request, dataset):
            return replace(as_json({"error": "You do not have access to read this dataset."}), status=403)
        return self._file(request, dataset, tag, name)

    def _file(self, request: Request, dataset: str, tag: str | None, name: str) -> Answer:
        if tag is None:
            by_id = {file.id: file for files in self._snapshots[dataset].values() for file in files.values()}
            return _sent(by_id[name].content) if name in by_id else text("not there\n", 404)
        files, path = self._snapshots[dataset].get(tag, {}), name.replace(":", "/")
        if path not in files:
            return text("Requested dataset or file cannot be found", 404)
        file = files[path]
        if not file.version:
            return _sent(self._content(files, path))
        there = self._url(request, dataset, tag, path, file)
        here = f"http://{request.header('host')}/s3"
        return replace(text("Found", 302), headers={"Location": there.replace(self.storage, here)})

    def _may(self, request: Request, dataset: str) -> bool:
        """By the cookie of the site, or by the header that it looks at first."""
        cookies = dict(re.findall(r"([^=; ]+)=([^;]*)", request.header("cookie") or ""))
        key = (request.header("authorization") or "")[7:] or cookies.get("accessToken", "")
        return dataset not in self._private or key in self.keys

    # -- GraphQL -----------------------------------------------------------------------------------------------------

    def _graphql(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        query = re.sub(r"^\s*query[^{]*", "", str(asked["query"]))
        for name, value in (asked.get("variables") or {}).items():
            query = re.sub(rf"\${name}\b", json.dumps(value), query)
        found = re.search(r'\b(?:dataset\(id|snapshot\(datasetId): "([^"]+)"(?:, tag: "([^"]+)")?\)', query)
        if found is None:
            return replace(as_json({"errors": [{"message": "Syntax Error"}]}), status=400)
        dataset, tag = found.groups()
        if dataset not in self._snapshots:
            return _wrong(f"Dataset {dataset} does not exist.")
        if not self._may(request, dataset):
            return _wrong("You do not have access to read this dataset.")
        tags = list(self._snapshots[dataset])
        if "snapshots" in query:
            rows = [{"id": f"{dataset}:{each}", "tag": each} for each in tags]
            return as_json({"data": {"dataset": {"snapshots": rows}}})
        if tag and tag not in tags:
            return as_json({"data": {"snapshot": None}})
        if "recursive: true" in query and not self.recursive:
            return _wrong("504: Gateway Timeout")
        shown = self._snapshot(request, dataset, tag or tags[-1], query)
        return as_json({"data": {"snapshot": shown} if tag else {"dataset": {"latestSnapshot": shown}}})

    def _snapshot(self, request: Request, dataset: str, tag: str, query: str) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": f"{dataset}:{tag}", "tag": tag}
        if "description" in query:
            doi = f"doi:10.18112/openneuro.{dataset}.v{tag}"
            shown["description"] = {"Name": "Sandbox", "License": "CC0", "DatasetDOI": doi}
            folders = {path.partition("/")[0] for path in self._snapshots[dataset][tag]}
            subjects = sorted(name.removeprefix("sub-") for name in folders if name.startswith("sub-"))
            shown["summary"] = {"modalities": ["MRI"], "subjects": subjects}
        if found := re.search(r"files(\([^)]*\))?\s*\{([^}]*)\}", query):
            fields = found[2].split()
            tree = re.search(r'tree: "([^"]+)"', found[1] or "")
            rows = self._rows(
                request, dataset, tag, None if "recursive" in (found[1] or "") else tree[1] if tree else ""
            )
            shown["files"] = [{field: row[field] for field in fields} for row in rows]
        return shown

    def _rows(self, request: Request, dataset: str, tag: str, tree: str | None) -> list[dict[str, Any]]:
        """All files by their paths, or with ``tree`` those of one folder by their names; that of the root is empty."""
        files = self._snapshots[dataset][tag]
        folders = {path.rpartition("/")[0] for path in files}
        folders = {"/".join(each.split("/")[:depth]) for each in folders for depth in range(1, each.count("/") + 2)}
        folders -= {""}
        by_tree = {"": "", **{_tree(tag, each): each for each in folders}}
        rows = []
        for path, file in files.items():
            within, _, name = path.rpartition("/")
            if tree is not None and within != by_tree.get(tree):
                continue
            row = {"id": file.id, "filename": path if tree is None else name, "size": file.size}
            row |= {"annexed": file.annexed, "directory": False, "urls": [self._url(request, dataset, tag, path, file)]}
            rows.append(row)
        for folder in sorted(folders) if tree is not None else ():
            within, _, name = folder.rpartition("/")
            if within == by_tree.get(tree or ""):
                row = {"id": _tree(tag, folder), "filename": name, "size": 0}
                rows.append({**row, "annexed": False, "directory": True, "urls": []})
        return rows

    def _url(self, request: Request, dataset: str, tag: str, path: str, file: File) -> str:
        if not file.version:
            name = quote(path.rpartition("/")[2], safe="")
            return f"http://{request.header('host')}/openneuro/crn/datasets/{dataset}/objects/{file.id}?filename={name}"
        if dataset in self._private:
            signature = self.sign(file.content)
            return (
                f"{elsewhere(request)}/openneuro/storage?AWSAccessKeyId=AKIA&Expires=2000000000&Signature={signature}"
            )
        return f"{self.storage}/{BUCKET}/{dataset}/{quote(path, safe='/:')}?versionId={file.version}"


def _sent(content: Content) -> Answer:
    """As the site passes bytes on: without ranges and validators."""
    return Answer(200, {"Content-Type": "application/octet-stream"}, content)


def _wrong(said: str) -> Answer:
    return as_json({"errors": [{"message": said, "path": ["snapshot"]}], "data": {"snapshot": None}})


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _tree(tag: str, folder: str) -> str:
    return hashlib.sha1(f"{tag}:{folder}".encode()).hexdigest()
