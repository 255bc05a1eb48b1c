"""What Google's storage answers to readers by its JSON API: lists, objects of a generation, refusals; and gives tokens.

It must not know sockets. Paths and fields: google-cloud-storage 3.17.1 (client.py, blob.py); the refusals' texts:
public issues of googleapis/google-cloud-python (4674) and others; the token's: google-auth 2.63.0
(oauth2/_client.py). Read 2026-11-29.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Any

import google_crc32c

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json
from medfetch.sandbox.web import Shelf

GENERATION = "1700000000000001"
"""Of every object: nothing in the sandbox changes."""
TOKEN, STRANGER = "ya29.s3cret-sandbox-token", "ya29.s3cret-stranger-token"
"""Of an account that the owners of closed buckets let in, and of one that they do not."""
PROJECT = "sandbox-project"
"""The only one that may be charged."""
PAGE = 1000
"""Objects on a page unless fewer are asked for, and at most."""


@dataclass(frozen=True, slots=True)
class Gate:
    requester_pays: bool
    public: bool


class Gcs:
    """Buckets: all that hold something on the shelf, at ``gs://bucket/name``."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._gates: dict[str, Gate] = {}
        self._composed: set[str] = set()
        self.page = PAGE
        self.gives = TOKEN
        """The token that a log-in brings."""

    def close(self, bucket: str, *, requester_pays: bool = False, public: bool = False) -> None:
        """From now on a bucket is for one account only, or (``public``) for whoever pays."""
        self._gates[bucket] = Gate(requester_pays, public)

    def compose(self, address: str) -> None:
        """The object was composed of others: it has no MD5."""
        self._composed.add(address)

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``token``, or ``[download/]storage/v1/b/BUCKET/o[/NAME]``."""
        if path == "token" and request.method == "POST":
            return as_json({"access_token": self.gives, "expires_in": 3600, "token_type": "Bearer"})
        before, _, rest = path.partition("storage/v1/b/")
        bucket, _, name = rest.partition("/o")
        if request.method != "GET" or before not in ("", "download/") or not bucket:
            return _error(404, "notFound", "Not Found")
        if not self._shelf.under(f"gs://{bucket}/"):
            return _error(404, "notFound", "The specified bucket does not exist.")
        if refused := self._refused(request, bucket):
            return refused
        return self._object(request, bucket, name[1:]) if name else self._list(request.query, bucket)

    def _refused(self, request: Request, bucket: str) -> Answer | None:
        said = request.header("authorization")
        if said not in (None, f"Bearer {TOKEN}", f"Bearer {STRANGER}"):
            return _error(401, "authError", "Invalid Credentials")
        if (gate := self._gates.get(bucket)) is None:
            return None
        project = request.query.get("userProject")
        if gate.requester_pays and not project:
            return _error(400, "required", "Bucket is a requester pays bucket but no user project provided.")
        may = "does not have storage.objects.list access to the Google Cloud Storage bucket."
        if said is None:
            return _error(401, "required", f"Anonymous caller {may}")
        if gate.requester_pays and project != PROJECT:
            permission = "serviceusage.services.use access to the Google Cloud project."
            return _error(403, "forbidden", f"somebody@example.org does not have {permission}")
        if not gate.public and said != f"Bearer {TOKEN}":
            return _error(403, "forbidden", f"somebody@example.org {may}")
        return None

    def _object(self, request: Request, bucket: str, name: str) -> Answer:
        content = self._shelf.get(f"gs://{bucket}/{name}")
        if content is None or request.query.get("generation", GENERATION) != GENERATION:
            return _error(404, "notFound", f"No such object: {bucket}/{name}")
        item = self._item(bucket, name, content)
        if request.query.get("alt") != "media":
            return as_json(item)
        hashes = [f"crc32c={item['crc32c']}", *([f"md5={item['md5Hash']}"] if "md5Hash" in item else [])]
        headers = {"x-goog-generation": GENERATION, "x-goog-hash": ",".join(hashes)}
        return messages.file(content, f'"{content.md5()[:12]}"').with_headers(headers)

    def _list(self, query: dict[str, str], bucket: str) -> Answer:
        size = min(int(query.get("maxResults", self.page)), self.page)
        after = base64.urlsafe_b64decode(query.get("pageToken", "")).decode()
        start = f"gs://{bucket}/"
        found = [
            (address.removeprefix(start), content)
            for address, content in self._shelf.under(start + query.get("prefix", ""))
            if address.removeprefix(start) > after
        ]
        answer: dict[str, Any] = {"kind": "storage#objects"}
        if found:
            answer["items"] = [self._item(bucket, name, content) for name, content in found[:size]]
        if len(found) > size:
            answer["nextPageToken"] = base64.urlsafe_b64encode(found[size - 1][0].encode()).decode()
        return as_json(answer)

    def _item(self, bucket: str, name: str, content: Content) -> dict[str, str]:
        value = 0
        for piece in content.read(0, content.size):
            value = google_crc32c.extend(value, bytes(piece))
        item = {
            "kind": "storage#object", "name": name, "bucket": bucket, "generation": GENERATION,
            "size": str(content.size), "crc32c": base64.b64encode(value.to_bytes(4, "big")).decode(),
        }  # fmt: skip
        if f"gs://{bucket}/{name}" not in self._composed:
            item["md5Hash"] = base64.b64encode(bytes.fromhex(content.md5())).decode()
        return item


def _error(code: int, reason: str, message: str) -> Answer:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return replace(as_json({"error": {"code": code, "message": message, "errors": errors}}), status=code)
