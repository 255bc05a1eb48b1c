"""Buckets of Google's storage: every object under a prefix becomes a file, pinned to its generation, with its checksum.

Public ones are asked as anybody, others with the token of the person's Google account. It must not know the token, nor
which project is charged.

The JSON API, as google-cloud-storage 3.17.1 speaks it (read 2026-11-29): ``/storage/v1/b/BUCKET/o`` lists, with
``prefix``, ``pageToken`` and ``fields`` (client.py, ``list_blobs``); ``/download/storage/v1/b/BUCKET/o/OBJECT`` with
``alt=media`` and ``generation`` gives bytes (blob.py, ``_DOWNLOAD_URL_TEMPLATE``, ``_get_download_url``), with all but
letters, digits and ``-._~`` of the name percent-encoded (``_quote``). ``md5Hash`` and ``crc32c`` are base64, the latter
of the big-endian number (blob.py, ``crc32c``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar
from urllib.parse import quote

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net
from medfetch.sources._doors import closed
from medfetch.sources._listing import narrowed
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.types import Checksum, Door, RemoteFile, Selection, Traits, Verdict

BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
"""Cloud Storage documentation, "Bucket naming requirements"."""
ACCOUNT, PAYER = "gcp", "gcp-payer"
"""The secrets that open buckets: with the second a project of the person's is charged for what it is given."""
FIELDS = "items(name,size,md5Hash,crc32c,generation),nextPageToken"
LOGIN = "https://cloud.google.com/docs/authentication/provide-credentials-adc"
PAYING = "https://cloud.google.com/storage/docs/requester-pays"


class Gcs:
    """Locator: ``bucket``; ``prefix``, the beginning of names (end it with ``/`` for a folder); ``path``, patterns of
    files or folders in that folder, without which all is taken; ``requester_pays: true``, where the bucket's owner
    wants whoever downloads to be charged."""

    name: ClassVar[str] = "gcs"
    traits: ClassVar[Traits] = Traits(
        endpoints={"gcs": "https://storage.googleapis.com"}, connections=32, logins=("gcp", "gcp-payer")
    )

    def locate(self, text: str) -> dict[str, Any]:
        bucket, _, prefix = text.removeprefix("//").partition("/")
        if not BUCKET.fullmatch(bucket):
            raise UsageProblem(f"{bucket!r} cannot be the name of a bucket; expected gcs:bucket/prefix")
        return {"bucket": bucket, "prefix": prefix} if prefix else {"bucket": bucket}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        way, prefix = _way(locator)
        folder = prefix[: prefix.rfind("/") + 1]
        patterns = strings(locator, "path", "gcs")
        narrow = narrowed(narrowed(prefix, folder, patterns), folder, selection.facets.get("path", ()))
        begun = _begun(way, net, narrow)
        if isinstance(begun, Verdict):
            raise closed(begun, f"gcs-{way.bucket}")
        way, objects = begun
        empty = True
        for each in objects:
            if patterns and not fits(each.name.removeprefix(folder), patterns):
                continue
            empty = False
            yield RemoteFile(
                path=_path(each.name, folder, way.bucket),
                key=f"gs://{way.bucket}/{each.name}#{each.generation}",
                urls=(_address(net, way.bucket, each),),
                size=each.size,
                checksums=each.checksums,
                credential=way.credential,
            )
        if empty and not selection.facets:
            of = " and fits the route's path" if patterns else ""
            raise UsageProblem(f"no object's name begins with gs://{way.bucket}/{prefix}{of}")

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        way, prefix = _way(locator)
        begun = _begun(way, net, prefix)
        if isinstance(begun, Verdict):
            return begun
        who = {None: "all", ACCOUNT: "your Google account", PAYER: "your Google account, whose project pays"}
        return Verdict(Door.OPEN, f"gs://{way.bucket} is open to {who[begun[0].credential]}")


# -- how a bucket is asked ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    bucket: str
    credential: str | None
    """The secret that goes along; None: nobody's."""


@dataclass(frozen=True, slots=True)
class _Object:
    name: str
    size: int
    """Bytes."""
    generation: str
    checksums: tuple[Checksum, ...]


def _way(locator: Mapping[str, Any]) -> tuple[_Way, str]:
    """How a bucket is asked first, and the prefix. Raises: RecipeError for a bad locator."""
    only(locator, {"bucket", "prefix", "path", "requester_pays"}, "gcs")
    bucket = text(locator, "bucket", "gcs")
    if not bucket or not BUCKET.fullmatch(bucket):
        raise RecipeError(f"{bucket!r} cannot be the name of a bucket", at="gcs.bucket")
    pays = locator.get("requester_pays", False)
    if not isinstance(pays, bool):
        raise RecipeError(f"expected true or false, not {pays!r}", at="gcs.requester_pays")
    return _Way(bucket, PAYER if pays else None), text(locator, "prefix", "gcs") or ""


def _begun(way: _Way, net: Net, prefix: str) -> tuple[_Way, Iterator[_Object]] | Verdict:
    """The objects, the first of which has been asked for, and how the rest is had; or why the bucket is closed.

    Only where a bucket refuses everybody it is asked with a token, as with S3: one that is wrong shall do no harm to
    what is public.
    """
    if way.credential and not net.has(way.credential):
        return _verdict(None, way)
    objects = _listed(net, way, prefix)
    try:
        first = next(objects, None)
    except Refused as error:
        if error.status in (401, 403) and way.credential is None and net.has(ACCOUNT):
            return _begun(replace(way, credential=ACCOUNT), net, prefix)
        return _verdict(error, way)
    return way, iter(()) if first is None else chain([first], objects)


def _verdict(error: Refused | None, way: _Way) -> Verdict:
    """What a refusal means; None: there is no log-in to ask with.

    Raises: the error itself where it is not the storage's (a certificate, a proxy, a token that was not given).
    """
    what = f"gs://{way.bucket}"
    login = "there is no log-in at Google here: gcloud auth application-default login"
    if error is None:
        return Verdict(Door.NO_LOGIN, f"{what} wants whoever downloads to pay, and {login}", LOGIN)
    if error.status == 404:
        return Verdict(Door.ABSENT, f"there is no bucket {way.bucket}")
    if error.status == 400 and "requester pays" in error.message:
        said = f"{what} wants whoever downloads to pay: a route says so by `requester_pays: true`"
        return Verdict(Door.NOT_APPROVED, said, PAYING)
    if error.status == 401 and way.credential:
        return Verdict(Door.WRONG_LOGIN, f"{what}: Google's storage did not take your log-in", LOGIN)
    if error.status not in (401, 403):
        raise error
    if way.credential is None:
        return Verdict(Door.NO_LOGIN, f"{what} is not public, and {login}", LOGIN)
    if "serviceusage.services.use" in error.message:
        return Verdict(Door.NOT_APPROVED, f"{what}: your Google account may not charge that project", PAYING)
    also = ", also where it pays" if way.credential == PAYER else ""
    return Verdict(Door.NOT_APPROVED, f"the owner of {what} has not given your Google account leave{also}")


# -- lists, names and paths -----------------------------------------------------------------------------------------


def _listed(net: Net, way: _Way, prefix: str) -> Iterator[_Object]:
    """All objects whose names begin so, page by page, without folder placeholders, whose names end in ``/``.

    Raises: Retryable where what came is no list, or its pages do not end.
    """
    address = f"{net.endpoint('gcs')}/storage/v1/b/{way.bucket}/o"
    parameters = {"prefix": prefix, "fields": FIELDS}
    while True:
        try:
            page = net.get(address, params=parameters, credential=way.credential).json()
            objects = [_object(item) for item in page.get("items", ())]
            token = page.get("nextPageToken")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Retryable(f"{address} did not answer with the list of a bucket: {error!r}") from error
        yield from (each for each in objects if not each.name.endswith("/"))
        if not token:
            return
        if token == parameters.get("pageToken"):
            raise Retryable(f"{address} answers the same page of its listing again and again")
        parameters["pageToken"] = token


def _object(item: Mapping[str, Any]) -> _Object:
    """MD5 where there is one; objects that were composed of others have only CRC32C."""
    checksums: tuple[Checksum, ...] = ()
    for field, algorithm in (("md5Hash", "md5"), ("crc32c", "crc32c")):
        if field in item:
            checksums = (Checksum(algorithm, base64.b64decode(item[field], validate=True).hex()),)
            break
    return _Object(item["name"], int(item["size"]), str(item["generation"]), checksums)


def _address(net: Net, bucket: str, found: _Object) -> str:
    path = f"/download/storage/v1/b/{bucket}/o/{quote(found.name, safe='~')}"
    return f"{net.endpoint('gcs')}{path}?alt=media&generation={quote(found.generation)}"


def _path(name: str, folder: str, bucket: str) -> str:
    try:
        return relative(name.removeprefix(folder))
    except RecipeError as error:
        raise RecipeError(f"gs://{bucket} has an object that cannot be a file here: {error.message}") from None
