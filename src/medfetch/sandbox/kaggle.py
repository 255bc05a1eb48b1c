"""Kaggle with its gates: lists, signed links to a storage of another origin, tokens, rules, private datasets.

It must not know sockets. Protocol: the calls of kagglesdk 0.1.37, by POST as the official clients make them and by GET
as it declares their addresses. What Kaggle says with a 404 is assumed, and that storage says 400 when a link is over.
"""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import google_crc32c

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere

TOKEN, USER, KEY = "sandbox-token", "sandbox", "sandbox-key"
"""What opens it: a token, or a user name and a key."""
REFRESH = "sandbox-refresh-token"
"""What a token is given for."""
LIFE = 43200
"""Seconds that such a token is said to live."""
RULES = "You must accept this competition's rules before you'll be able to download files."
DATE = "2023-01-01T12:00:00.123Z"
PAGE = 20
"""Files on a page unless another number is asked for."""
CALLS = {
    "ListDatasetFiles": "list", "GetDataset": "view", "GetDatasetMetadata": "metadata", "DownloadDataset": "download",
    "ListDataFiles": "list", "GetCompetition": "view", "DownloadDataFiles": "download", "DownloadDataFile": "download",
}  # fmt: skip
"""What the official clients POST, by what it is for."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A dataset (``owner/name``) or a competition, and who may have it."""

    files: Mapping[str, Content]
    bundle: Content
    version: int = 0
    """Of a dataset."""
    private: bool = False
    entered: bool = True
    """A competition's rules are accepted."""
    verified: bool = True
    """The account's phone number is; else downloads are refused without a word."""
    wrapped: frozenset[str] = frozenset()
    """Files that the storage has as the only member of a zip."""
    composed: bool = False
    """The storage put its objects together from parts: it knows no MD5 of them."""


class Kaggle(Signing[tuple[Content, bool]]):
    """Datasets and competitions by name."""

    def __init__(self) -> None:
        super().__init__(life=900.0)
        self.shown: dict[str, Shown] = {}

    def dataset(
        self, name: str, files: Mapping[str, bytes], version: int = 1, bundle: Content | None = None, **more: Any
    ) -> None:
        """Shows ``owner/name``; all in one zip is made of the files unless ``bundle`` is given."""
        contents = {path: Content.of(data) for path, data in files.items()}
        self.shown[name] = Shown(contents, bundle or Content.of(zipped(files)), version, **more)

    def competition(self, name: str, files: Mapping[str, bytes], **more: Any) -> None:
        contents = {path: Content.of(data) for path, data in files.items()}
        self.shown[name] = Shown(contents, Content.of(zipped(files)), **more)

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``api/v1/…`` of the site, or ``storage/…``."""
        first, _, rest = path.partition("/")
        if first == "storage":
            return self._stored(request)
        if not rest.startswith("v1/"):
            return _refused(404, "Not found")
        # The path decoded would not tell a folder of a file's name from a part of the address.
        raw = urlsplit(request.target).path.partition("/v1/")[2]
        asked = _posted(request, raw) if request.method == "POST" else _asked(request, raw)
        if "IntrospectToken" in raw:
            known = json.loads(request.body).get("token") == TOKEN
            return as_json({"active": True, "username": USER, "userId": 1, "scope": ""}) if known else _refused(404, "")
        if "GenerateAccessToken" in raw or raw == "access-tokens/generate":
            if json.loads(request.body).get("refreshToken") != REFRESH:
                return _refused(401, "Unauthenticated")
            return as_json({"token": TOKEN, "expiresIn": LIFE, "userName": USER, "userId": 1})
        if asked is None:
            return _refused(404, "Not found")
        return self._api(request, *asked)

    # -- the site ------------------------------------------------------------------------------------------------

    def _api(self, request: Request, call: str, name: str, values: Mapping[str, Any]) -> Answer:
        known = _known(request.header("authorization"))
        shown = self.shown.get(name)
        is_dataset = "/" in name
        if known is False or (not is_dataset and known is None):
            return _refused(401, "Unauthenticated")
        if shown is None:
            permission = "Permission 'datasets.get' was denied" if is_dataset else (
                "Required permission 'competitions.get' was not satisfied"
            )  # fmt: skip
            return _refused(404 if is_dataset else 403, permission)
        if is_dataset and shown.private and known is None:
            return _refused(403, "Permission 'datasets.get' was denied")
        if int(values.get("datasetVersionNumber") or shown.version) != shown.version:
            return _refused(404, "Not found")
        if call == "view":
            owner, _, slug = name.rpartition("/")
            if not is_dataset:
                return as_json({"id": 1, "ref": f"https://www.kaggle.com/competitions/{name}", "title": name,
                              "userHasEntered": shown.entered})  # fmt: skip
            return as_json({"id": 1, "ref": name, "title": slug, "ownerRef": owner, "licenseName": "CC0-1.0",
                          "currentVersionNumber": shown.version, "lastUpdated": DATE,
                          "totalBytes": sum(content.size for content in shown.files.values())})  # fmt: skip
        if call == "metadata":
            owner, _, slug = name.rpartition("/")
            return as_json({"info": {"datasetId": 1, "datasetSlug": slug, "ownerUser": owner, "title": slug,
                                   "licenses": [{"name": "CC0-1.0"}], "keywords": []}, "errorMessage": ""})  # fmt: skip
        if not shown.entered:
            return _refused(403, RULES)
        if call == "list":
            return _page(shown, "datasetFiles" if is_dataset else "files", values)
        if not shown.verified:
            return _refused(403, "Forbidden")
        return self._redirect(request, shown, name, str(values.get("fileName") or ""))

    def _redirect(self, request: Request, shown: Shown, name: str, file: str) -> Answer:
        """To a signed link of the storage, which is another origin."""
        if file and file not in shown.files:
            return _refused(404, "Not found")
        content = shown.files[file] if file else shown.bundle
        place = file or "archive.zip"
        if file in shown.wrapped:
            content, place = Content.of(zipped({file.rpartition("/")[2]: content.whole()})), f"{file}.zip"
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        address = (
            f"{elsewhere(request)}/kaggle/storage/{quote(name)}/{quote(place)}"
            f"?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date={date}&X-Goog-Expires={max(1, round(self.life))}"
            f"&X-Goog-Signature={self.sign((content, shown.composed))}"
        )
        return Answer(302, {"Location": address})

    # -- the storage ---------------------------------------------------------------------------------------------

    def _stored(self, request: Request) -> Answer:
        signed = self.signed(request.query.get("X-Goog-Signature", ""))
        if signed is None:
            body = "<Error><Code>ExpiredToken</Code><Message>Invalid argument.</Message></Error>"
            return text(body, 400, "application/xml")
        content, composed = signed
        digest = bytes.fromhex(_md5(content))
        told = f"crc32c={base64.b64encode(_crc32c(content)).decode()}"
        told += "" if composed else f",md5={base64.b64encode(digest).decode()}"
        return messages.file(content, f'"{digest.hex()}"').with_headers({"x-goog-hash": told})


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of these, always the same for the same."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


# Of large contents digests take seconds, and ranges of them are asked for again and again.
@cache
def _md5(content: Content) -> str:
    return content.md5()


@cache
def _crc32c(content: Content) -> bytes:
    value = 0
    for piece in content.read(0, content.size):
        value = google_crc32c.extend(value, bytes(piece))
    return value.to_bytes(4, "big")


def _known(header: str | None) -> bool | None:
    """Whether a log-in is right; None where there is none."""
    if not header:
        return None
    pair = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
    return header in (f"Bearer {TOKEN}", f"Basic {pair}")


def _asked(request: Request, raw: str) -> tuple[str, str, Mapping[str, Any]] | None:
    """What a GET of an address is for, of what, with which values."""
    match [unquote(part) for part in raw.split("/")]:
        case ["datasets", ("list" | "view" | "metadata" | "download") as call, owner, slug, *file] if len(file) < 2:
            return call, f"{owner}/{slug}", {**request.query, "fileName": "".join(file)}
        case ["competitions", "get", name]:
            return "view", name, {}
        case ["competitions", "data", ("list" | "download-all") as call, name]:
            return call.partition("-")[0], name, request.query
        case ["competitions", "data", "download", name, file]:
            return "download", name, {"fileName": file}
    return None


def _posted(request: Request, raw: str) -> tuple[str, str, Mapping[str, Any]] | None:
    """The same of a call of the official clients."""
    values = json.loads(request.body or b"{}")
    call = CALLS.get(raw.rpartition("/")[2])
    name = values.get("competitionName") or f"{values.get('ownerSlug')}/{values.get('datasetSlug')}"
    return (call, name, values) if call else None


def _page(shown: Shown, field: str, values: Mapping[str, Any]) -> Answer:
    start, size = int(values.get("pageToken") or 0), int(values.get("pageSize") or PAGE)
    names = list(shown.files)[start : start + size]
    files = [
        {"ref": name, "name": name, "creationDate": DATE, "totalBytes": shown.files[name].size, "columns": []}
        for name in names
    ]
    more = start + size < len(shown.files)
    return as_json({field: files, "nextPageToken": str(start + size) if more else "", "errorMessage": ""})


def _refused(status: int, message: str) -> Answer:
    return replace(as_json({"code": status, "message": message}), status=status)
