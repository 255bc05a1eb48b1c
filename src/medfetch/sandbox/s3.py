"""What Amazon S3 and Google's storage answer to readers: listings (version 2), HEAD and GET, errors in XML; and gates.

It must not know sockets. Protocol: Amazon S3 API reference, ListObjectsV2 and GetObject; Google's XML API is its twin.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from urllib.parse import quote
from xml.sax.saxutils import escape

from medfetch.sandbox import messages
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.content import Content
from medfetch.sandbox.dicom import Instance, etag
from medfetch.sandbox.messages import Answer, Request, text
from medfetch.sandbox.sigv4 import Account, Wrong, signer
from medfetch.sandbox.web import Shelf

AMAZON = {name: name for name in ("idc-open-data", "idc-open-data-cr", "idc-open-data-two")}
GOOGLE = {"idc-open-data": "idc-open-data", "idc-open-cr": "idc-open-data-cr", "idc-open-idc1": "idc-open-data-two"}
"""Buckets of the Imaging Data Commons, and the names that the index knows them by."""
PAGE = 1000
"""Keys on a page unless fewer are asked for, and at most."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may read a bucket."""

    accounts: dict[str, Account]
    """By access key id: those that AWS knows."""
    allowed: frozenset[str]
    """… and, of them, those that the bucket's owner lets in."""
    requester_pays: bool
    region: str
    kms: bool
    """Its objects are encrypted by keys of the owner's: their ETags are no MD5s."""


@dataclass(frozen=True, slots=True)
class Item:
    key: str
    size: int = 0
    etag: str = ""
    folder: bool = False
    """A common prefix, not an object."""


class Store:
    """Buckets: those of the Imaging Data Commons, at Amazon or at Google, and all that hold something on the shelf."""

    def __init__(self, archive: Archive, shelf: Shelf, *, google: bool) -> None:
        self._archive = archive
        self._shelf = shelf
        self._google = google
        self._buckets = GOOGLE if google else AMAZON
        self._gates: dict[str, Gate] = {}

    def close(
        self, bucket: str, *accounts: Account, strangers: tuple[Account, ...] = (), requester_pays: bool = False,
        region: str = "us-east-1", kms: bool = False,
    ) -> None:  # fmt: skip
        """From now on only these accounts may read a bucket; AWS knows ``strangers``, too, but its owner does not."""
        known = {account.id: account for account in (*accounts, *strangers)}
        self._gates[bucket] = Gate(known, frozenset(account.id for account in accounts), requester_pays, region, kms)

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``bucket`` or ``bucket/key``."""
        bucket, _, key = path.partition("/")
        if request.method not in ("GET", "HEAD"):
            return _error("MethodNotAllowed", 405)
        if bucket not in self._buckets and not self._shelf.under(f"s3://{bucket}/"):
            return _error("NoSuchBucket", 404)
        if refused := self._refused(request, self._gates.get(bucket)):
            return refused
        if key:
            version = request.query.get("versionId")
            return self._object(bucket, f"{key}?versionId={version}" if version else key)
        if request.method == "HEAD":
            return Answer(200, {"x-amz-bucket-region": "us-east-1"})
        if request.query.get("list-type") != "2":
            return _error("NotImplemented", 501)
        return self._page(bucket, request.query)

    def _refused(self, request: Request, gate: Gate | None) -> Answer | None:
        if gate is None:
            return None
        who = signer(request, gate.accounts, gate.region)
        if isinstance(who, Wrong):
            return _error(who.code, who.status, who.message)
        if who is None and gate.requester_pays:
            said = "Anonymous users cannot invoke requests against Requester Pays buckets. Please authenticate."
            return _error("AccessDenied", 403, said)
        pays = request.header("x-amz-request-payer") == "requester"
        if who is None or who.id not in gate.allowed or (gate.requester_pays and not pays):
            return _error("AccessDenied", 403, "Access Denied")
        return None

    def _object(self, bucket: str, key: str) -> Answer:
        shelved = self._shelf.get(f"s3://{bucket}/{key}")
        if shelved is not None:
            gate = self._gates.get(bucket)
            encryption = {"x-amz-server-side-encryption": "aws:kms" if gate.kms else "AES256"} if gate else {}
            return messages.file(shelved, self._etag(bucket, shelved)).with_headers(encryption)
        folder, _, name = key.partition("/")
        found = self._instances(bucket, folder).get(name)
        if found is None:
            return _error("NoSuchKey", 404)
        tag = etag(found)
        answer = messages.file(found.content(), tag, "application/dicom")
        if self._google and "-" not in tag:
            digest = base64.b64encode(bytes.fromhex(tag.strip('"'))).decode()
            return answer.with_headers({"x-goog-hash": f"md5={digest}"})
        return answer

    def _etag(self, bucket: str, content: Content) -> str:
        gate = self._gates.get(bucket)
        digest = content.md5()
        return f'"{digest[::-1] if gate and gate.kms else digest}"'

    def _instances(self, bucket: str, uuid: str) -> dict[str, Instance]:
        """The files of a series by name, in the order of S3; none if it is not in this bucket."""
        series = self._archive.find(uuid) if len(uuid) == 36 and "-" in uuid else None
        if series is None or series.bucket != self._buckets.get(bucket):
            return {}
        return {f"{name}.dcm": file for name, file in self._archive.by_uuid(series).items()}

    def _page(self, bucket: str, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        size = min(int(query.get("max-keys", PAGE)), PAGE)
        token = query.get("continuation-token", "")
        after = base64.urlsafe_b64decode(token).decode() if token else query.get("start-after", "")
        items = list(islice(self._items(bucket, prefix, delimiter, after), size + 1))
        shown, more = items[:size], len(items) > size
        encoded = query.get("encoding-type") == "url"
        written = (lambda key: quote(key, safe="/")) if encoded else escape
        fields = {
            "Name": bucket,
            "Prefix": written(prefix),
            "Delimiter": written(delimiter),
            "MaxKeys": str(size),
            "KeyCount": str(len(shown)),
            "EncodingType": "url" if encoded else "",
            "IsTruncated": str(more).lower(),
            "ContinuationToken": token,
            "NextContinuationToken": base64.urlsafe_b64encode(shown[-1].key.encode()).decode()
            if more and shown
            else "",
        }
        always = {"Name", "Prefix", "MaxKeys", "KeyCount", "IsTruncated"}
        head = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items() if value or name in always)
        body = "".join(_entry(item, written(item.key)) for item in shown)
        return text(
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{head}{body}</ListBucketResult>',
            kind="application/xml",
        )

    def _items(self, bucket: str, prefix: str, delimiter: str, after: str) -> Iterator[Item]:
        """Objects and common prefixes behind ``after``, in the order of their keys."""
        last = after
        for item in self._objects(bucket, prefix, delimiter, after):
            tail = item.key[len(prefix) :]
            if delimiter and delimiter in tail:
                item = Item(prefix + tail[: tail.index(delimiter) + len(delimiter)], folder=True)
            if item.key > last:
                last = item.key
                yield item

    def _objects(self, bucket: str, prefix: str, delimiter: str, after: str) -> Iterator[Item]:
        """All objects behind ``after``, in the order of their keys; a folder may stand for all in it."""
        shelved = (
            Item(address.split("/", 3)[3], content.size, self._etag(bucket, content))
            for address, content in self._shelf.under(f"s3://{bucket}/{prefix}")
            if "?versionId=" not in address  # lists have the current versions
        )
        return merge(shelved, self._indexed(bucket, prefix, delimiter, after), key=lambda item: item.key)

    def _indexed(self, bucket: str, prefix: str, delimiter: str, after: str) -> Iterator[Item]:
        if bucket not in self._buckets:
            return
        folder, slash, name = prefix.partition("/")
        uuids = [folder] if slash else self._archive.uuids(self._buckets[bucket], folder, after.partition("/")[0])
        for uuid in uuids:
            if delimiter == "/" and not slash:
                yield Item(f"{uuid}/")
                continue
            for file, found in self._instances(bucket, uuid).items():
                key = f"{uuid}/{file}"
                if file.startswith(name) and key > after:
                    yield Item(key, found.size, etag(found))


def _entry(item: Item, key: str) -> str:
    if item.folder:
        return f"<CommonPrefixes><Prefix>{key}</Prefix></CommonPrefixes>"
    return (
        f"<Contents><Key>{key}</Key><LastModified>2023-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>{escape(item.etag, {chr(34): '&quot;'})}</ETag><Size>{item.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _error(code: str, status: int, message: str = "") -> Answer:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    body = f"{head}\n<Error><Code>{code}</Code><Message>{escape(message or code)}</Message></Error>"
    return text(body, status, "application/xml")
