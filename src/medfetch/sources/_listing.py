"""What an S3 bucket holds: reads the pages of ListObjectsV2, and writes the addresses of buckets and objects.

It must not know what the objects are, nor who may list them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from medfetch.errors import Refused, Retryable
from medfetch.sources import Net
from medfetch.types import Checksum


@dataclass(frozen=True, slots=True)
class Object:
    key: str
    size: int
    """Bytes."""
    etag: str
    """With its quotes, as a GET answers it."""


@dataclass(frozen=True, slots=True)
class Page:
    objects: tuple[Object, ...]
    next_token: str | None
    """To ask for the next page with; None on the last."""


class WrongRegion(Refused):
    """The bucket is in another region than the one asked; ``region`` says which."""

    def __init__(self, bucket: str, region: str) -> None:
        super().__init__(f"{bucket} is in the region {region}", status=301, hint=f"put `region: {region}` in the route")
        self.region = region


def bucket_address(endpoint: str, bucket: str) -> str:
    """Where a bucket is: ``{bucket}`` in the endpoint is replaced, else the bucket follows as a folder."""
    return endpoint.replace("{bucket}", bucket) if "{bucket}" in endpoint else f"{endpoint}/{bucket}"


def object_address(bucket_address: str, key: str) -> str:
    """Where an object is. All but letters, digits and ``-._~/`` is percent-encoded: a bare ``+`` means a space."""
    return f"{bucket_address}/{quote(key, safe='/')}"


def narrowed(prefix: str, folder: str, patterns: Iterable[str]) -> str:
    """A longer prefix, where every path that is asked for begins in the same way."""
    literals = [re.split(r"[*?[]", pattern, maxsplit=1)[0] for pattern in patterns]
    begins = folder + os.path.commonprefix(literals)  # noqa: RUF071 - keys are strings, and so are their prefixes
    return begins if begins.startswith(prefix) else prefix


def list_objects(net: Net, address: str, prefix: str, credential: str | None = None) -> Iterator[Object]:
    """All objects of a bucket whose keys begin with a prefix, in the order of their keys (UTF-8 bytes), page by page.

    Folder placeholders, whose keys end in ``/``, are left out.

    Raises:
        WrongRegion: S3 answered 301 with the region instead of a list.
        Retryable: what came is no listing, or its pages do not end.
    """
    parameters = {"list-type": "2", "prefix": prefix, "encoding-type": "url"}
    while True:
        answer = net.get(address, params=parameters, credential=credential)
        region = answer.headers.get("x-amz-bucket-region")
        if answer.status_code == 301 and region:
            raise WrongRegion(address, region)
        page = parse_page(answer.content, address)
        yield from (each for each in page.objects if not each.key.endswith("/"))
        if page.next_token is None:
            return
        if page.next_token == parameters.get("continuation-token"):
            raise Retryable(f"{address} answers the same page of its listing again and again")
        parameters["continuation-token"] = page.next_token


def parse_page(xml: bytes, address: str) -> Page:
    """One answer to ``?list-type=2``.

    Raises:
        Retryable: it is something else, such as a login page, or cut short.
    """
    try:
        root = ElementTree.fromstring(xml)
        if _tag(root) != "ListBucketResult":
            raise ValueError(f"its root is <{_tag(root)}>")
        fields = {_tag(child): child.text or "" for child in root}
        # Keys may hold characters that XML cannot; asked for, S3 sends them as a form would ("+" is a space).
        encoded = fields.get("EncodingType") == "url"
        objects = tuple(_object(child, encoded) for child in root if _tag(child) == "Contents")
        truncated = fields.get("IsTruncated", "false").strip() == "true"
        return Page(objects, fields["NextContinuationToken"] if truncated else None)
    except (ElementTree.ParseError, ValueError, KeyError) as error:
        raise Retryable(f"{address} did not answer with the list of a bucket: {error!r}") from error


def published_md5(etag: str) -> tuple[Checksum, ...]:
    """The MD5 that an ETag states, if it does.

    "Objects created by the PUT Object, POST Object, or Copy operation … and are encrypted by SSE-S3 or plaintext, have
    ETags that are an MD5 digest of their object data" (S3 API reference, type Object). Objects encrypted otherwise
    cannot be read anonymously; multipart uploads have ``-<parts>`` behind the digits. Google's XML API does likewise.
    """
    digits = etag.strip('"').lower()
    return (Checksum("md5", digits),) if re.fullmatch(r"[0-9a-f]{32}", digits) else ()


def _object(element: ElementTree.Element, encoded: bool) -> Object:
    fields = {_tag(child): child.text or "" for child in element}
    key = unquote_plus(fields["Key"]) if encoded else fields["Key"]
    return Object(key, int(fields["Size"]), fields["ETag"])


def _tag(element: ElementTree.Element) -> str:
    """Without the namespace, which Google and old S3 clones write differently."""
    return element.tag.rpartition("}")[2]
