"""Redivis with its gates: datasets in versions, tables of files, levels of access, signed links to another origin.

It must not know sockets. Protocol: what redivis 0.21.1 asks and understands, and docs.redivis.com/api; the words of
refusals are assumed.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text

TOKEN = "sandbox-token"
NARROW = "sandbox-token-with-the-scope-public"
"""Good for what everybody may see, and no more."""
LEVELS = ("none", "overview", "metadata", "sample", "data", "edit")
REFERENCE = re.compile(r"(?P<owner>\w+)\.(?P<name>[^.:]+)(:(?P<id>[a-z0-9]{4}))?(:(?P<version>v\d+_\d+|current))?")


@dataclass(frozen=True)
class _Table:
    name: str
    id: str
    reference: str
    """With its dataset's, and its version."""
    files: Mapping[str, Content] | None
    """By name; None for a table of rows."""

    def file_id(self, name: str) -> str:
        return f"{_id(name)}-{zlib.crc32(self.reference.encode()):09d}.{_md5(self.file(name))[:22]}".replace("/", "_")

    def file(self, name: str) -> Content:
        assert self.files is not None
        return self.files[name]


@dataclass
class _Dataset:
    owner: str
    name: str
    id: str
    level: str
    """Of the person with the token."""
    public: str
    """Of everybody."""
    versions: dict[str, Sequence[_Table]]

    def reference(self, tag: str) -> str:
        return f"{self.owner}.{self.name}:{self.id}:{tag}"


@dataclass(slots=True)
class _Link:
    content: Content
    uses: int | None
    expires: float


class Redivis:
    """Datasets by reference.

    ``uses`` and ``life`` (seconds) say how long a signed link is good; with ``direct`` files come from Redivis itself;
    ``page`` is how many tables a list shows at once. ``arrow`` writes rows in Arrow's format, in which its own client
    wants lists of files; without it they are not to be had so.
    """

    def __init__(self) -> None:
        self.uses: int | None = None
        self.life = 900.0
        self.direct = False
        self.page = 100
        self.arrow: Callable[[list[dict[str, Any]]], bytes] | None = None
        self._datasets: list[_Dataset] = []
        self._files: dict[str, tuple[_Dataset, str, Content]] = {}
        self._links: dict[str, _Link] = {}
        self._number = itertools.count(100)
        self._lock = threading.Lock()

    def dataset(
        self,
        reference: str,
        tables: Mapping[str, Mapping[str, bytes] | None],
        *,
        level: str = "data",
        public: str = "overview",
    ) -> None:
        """Has a version of a dataset, ``owner.name:abcd:v1_0``, which is the current one from now on.

        ``tables``, by name or as ``name:abcd``, have the files that they index; None is a table of rows. ``level`` is
        what the person with the token was given: "overview", as long as a request for more is pending; less than
        before, when a requirement has lapsed.
        """
        owner, name, key, tag = _parts(reference)
        assert key and tag and {level, public} <= set(LEVELS)
        found = self._find(owner, name, key)
        if found is None:
            found = _Dataset(owner, name, key, level, public, {})
            self._datasets.append(found)
        found.level, found.public = level, public
        found.versions[tag] = [
            _table(found.reference(tag), *title.partition(":")[::2], files) for title, files in tables.items()
        ]
        for table in found.versions[tag]:
            for path, content in (table.files or {}).items():
                self._files[table.file_id(path)] = found, path, content

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``api/v1/…``, or ``storage/…``."""
        if path.startswith("storage/"):
            return self._stored(request)
        said = request.header("authorization")
        if said not in (None, f"Bearer {TOKEN}", f"Bearer {NARROW}"):
            return _refused(401, "invalid_token", "The access token is invalid, or it has expired")
        match path.removeprefix("api/v1/").split("/"):
            case ["datasets", reference] if shown := self._shown(reference, said):
                return as_json(_about(*shown, _level(shown[0], said)))
            case ["datasets", reference, "tables"] if shown := self._shown(reference, said):
                return self._list(request, shown[0].versions[shown[1]])
            case ["tables", reference] if table := self._table(reference, said):
                return as_json(_about_table(table[1]))
            case ["tables", reference, "rows" | "rawFiles" as what] if table := self._table(reference, said):
                return _barred(table[0], said) or self._rows(request, table[1], request.query.get("format"), what)
            case ["rawFiles", key] if found := self._files.get(key):
                return _barred(found[0], said) or self._sent(request, *found[1:])
        return _refused(404, "not_found", f"No {path} is here, or you have no access to it")

    # -- what there is -------------------------------------------------------------------------------------------

    def _find(self, owner: str, name: str, key: str | None) -> _Dataset | None:
        wanted = owner.lower(), _escaped(name)
        for each in self._datasets:
            if (each.owner.lower(), _escaped(each.name)) == wanted and key in (None, each.id):
                return each
        return None

    def _shown(self, reference: str, said: str | None) -> tuple[_Dataset, str] | None:
        """A dataset and one of its versions, if whoever asks may know of it."""
        owner, name, key, tag = _parts(reference)
        found = self._find(owner, name, key)
        if found is None or _level(found, said) == "none":
            return None
        tag = list(found.versions)[-1] if tag in (None, "current") else tag
        return (found, tag) if tag in found.versions else None

    def _table(self, reference: str, said: str | None) -> tuple[_Dataset, _Table] | None:
        before, _, name = reference.rpartition(".")
        shown = self._shown(before, said)
        name, _, key = name.partition(":")
        for table in shown[0].versions[shown[1]] if shown else ():
            if _escaped(table.name) == _escaped(name) and key in ("", table.id):
                assert shown
                return shown[0], table
        return None

    def _list(self, request: Request, tables: Sequence[_Table]) -> Answer:
        start = int(request.query.get("pageToken") or 0)
        stop = start + min(self.page, int(request.query.get("maxResults") or self.page))
        return as_json({
            "kind": "tableList",
            "results": [_about_table(table) for table in tables[start:stop]],
            "nextPageToken": str(stop) if stop < len(tables) else None,
        })  # fmt: skip

    def _rows(self, request: Request, table: _Table, form: str | None, what: str) -> Answer:
        """In no order that anybody could count on."""
        rows = list(itertools.islice(_rows(table), int(request.query.get("maxResults") or 1 << 60)))
        if form == "arrow" and self.arrow is not None:
            return Answer(200, {"Content-Type": "application/octet-stream"}, Content.of(self.arrow(rows)))
        if form not in (None, "jsonl") or what == "rawFiles":
            return _refused(400, "invalid_format", f"{what} as {form} is not to be had here")
        return text("".join(json.dumps(row) + "\n" for row in rows), kind="application/x-ndjson")

    # -- files, and the storage that they lie in -------------------------------------------------------------------

    def _sent(self, request: Request, name: str, content: Content) -> Answer:
        if self.direct:
            return messages.file(content, f'"{content.md5()}"')
        signature = f"{next(self._number):032x}"
        with self._lock:
            self._links[signature] = _Link(content, self.uses, time.time() + self.life)
        host, _, port = (request.header("host") or "").partition(":")
        # Another origin, which is the other name of this machine.
        other = "127.0.0.1" if host == "localhost" else "localhost"
        there = (
            f"http://{other}:{port}/redivis/storage/{quote(name)}?X-Goog-Algorithm=GOOG4-RSA-SHA256"
            f"&X-Goog-Date={time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}&X-Goog-Expires={max(1, round(self.life))}"
            f"&X-Goog-Signature={signature}"
        )
        return replace(text("Found", 302), headers={"Location": there})

    def _stored(self, request: Request) -> Answer:
        with self._lock:
            link = self._links.get(request.query.get("X-Goog-Signature", ""))
            good = link is not None and link.expires > time.time() and link.uses != 0
            if link and good and link.uses is not None:
                link.uses -= 1
        if link is None or not good:
            return text("<Error><Code>ExpiredToken</Code></Error>", 400, "application/xml")
        told = {"x-goog-hash": f"md5={_md5(link.content)}"}
        return messages.file(link.content, f'"{link.content.md5()}"').with_headers(told)


def _table(dataset: str, name: str, key: str, files: Mapping[str, bytes] | None) -> _Table:
    key = key or _id(name)
    contents = None if files is None else {path: Content.of(data) for path, data in files.items()}
    return _Table(name, key, f"{dataset}.{_escaped(name)}:{key}", contents)


def _level(dataset: _Dataset, said: str | None) -> str:
    return dataset.public if said is None else dataset.level


def _barred(dataset: _Dataset, said: str | None) -> Answer | None:
    """Why whoever asks has no data of it."""
    if _level(dataset, said) not in ("data", "edit"):
        if said is None:
            return _refused(401, "invalid_token", "Must provide a valid Authorization token")
        return _refused(403, "not_authorized", f"You do not have data access to {dataset.owner}.{dataset.name}")
    if said == f"Bearer {NARROW}" and dataset.public != "data":
        return _refused(403, "insufficient_scope", "The token lacks the scope data.data", scope="data.data")
    return None


def _about(dataset: _Dataset, tag: str, level: str) -> dict[str, Any]:
    reference = dataset.reference(tag)
    return {
        "kind": "dataset", "id": dataset.id, "name": dataset.name, "referenceId": dataset.id, "accessLevel": level,
        "qualifiedReference": reference, "scopedReference": reference.partition(".")[2],
        "uri": f"/datasets/{quote(reference, safe='')}", "url": f"https://redivis.com/datasets/{dataset.id}-sandbox",
        "publicAccessLevel": dataset.public, "tableCount": len(dataset.versions[tag]),
        "owner": {"kind": "organization", "userName": dataset.owner}, "version": {"kind": "version", "tag": tag},
    }  # fmt: skip


def _about_table(table: _Table) -> dict[str, Any]:
    return {
        "kind": "table", "id": table.id, "name": table.name, "referenceId": table.id,
        "qualifiedReference": table.reference, "scopedReference": table.reference.rpartition(".")[2],
        "uri": f"/tables/{quote(table.reference, safe='')}", "isFileIndex": table.files is not None, "isSample": False,
        "numRows": 7 if table.files is None else len(table.files),
    }  # fmt: skip


def _rows(table: _Table) -> Iterator[dict[str, Any]]:
    for name in sorted(table.files or {}, key=lambda name: _md5(table.file(name))):
        content = table.file(name)
        yield {
            "file_id": table.file_id(name), "file_name": name, "size": content.size,
            "added_at": "2026-01-01 00:00:00", "md5_hash": _md5(content),
        }  # fmt: skip


def _parts(reference: str) -> tuple[str, str, str | None, str | None]:
    found = REFERENCE.fullmatch(reference)
    if not found:
        raise ValueError(f"{reference!r} is no reference of a dataset")
    return found["owner"], found["name"], found["id"], found["version"]


def _escaped(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()


def _id(name: str) -> str:
    return f"{zlib.crc32(name.encode()) & 0xFFFF:04x}"


def _md5(content: Content) -> str:
    """In base64."""
    return base64.b64encode(bytes.fromhex(content.md5())).decode()


def _refused(status: int, error: str, description: str, **more: str) -> Answer:
    return replace(as_json({"error": error, "error_description": description, "status": status, **more}), status=status)
