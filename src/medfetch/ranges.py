"""What a response's head says of the range, the version and the digest of what it holds.

It must not know files or retries.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from medfetch.types import Checksum

CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/(?:([0-9]+)|\*)")
"""RFC 9110, 14.4; the total may be unknown."""


GOOGLE_HASHES = {
    "md5": re.compile(r"\bmd5=([A-Za-z0-9+/]{22}==)"),
    "crc32c": re.compile(r"\bcrc32c=([A-Za-z0-9+/]{6}==)"),
}
"""In ``x-goog-hash`` (Cloud Storage, "HTTP headers and common query string parameters for XML"), the better first."""

AMAZON_MD5 = re.compile(r'"([0-9a-f]{32})"')
"""An ETag of S3's that is one, of an object that is encrypted by S3's own keys (API reference, type Object)."""


def number(text: str) -> int | None:
    """A header's number of bytes; None where it is none that a file could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None, int | None]:
    """First byte, last byte and length of the whole, as far as they are told."""
    found = CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    first, last, total = [number(group or "") for group in found.groups()] if found else [None, None, None]
    return first, last, total


def validator(headers: Mapping[str, str]) -> str | None:
    """What If-Range can name the version by: a strong entity tag, else the date (RFC 9110, 13.1.5)."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else headers.get("last-modified")


def is_version(headers: Mapping[str, str], wanted: str) -> bool:
    """Whether a 206 is of the version that If-Range named: some hosts ignore it, others do not repeat the header."""
    return headers.get("etag" if wanted.startswith('"') else "last-modified", wanted) == wanted


def told_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum of the whole object where Google's or Amazon's storage tells one of the bytes that it sends.

    At Google that is its MD5, or its CRC32C where it has no MD5: of objects that were composed of others. At Amazon it
    is the ETag, unless that is of parts, or of an object that is encrypted by other keys than S3's own. Of an object
    that is stored compressed it is that of the stored bytes.
    """
    encodings = headers.get("content-encoding", "identity"), headers.get("x-goog-stored-content-encoding", "identity")
    if set(encodings) != {"identity"}:
        return None
    for algorithm, pattern in GOOGLE_HASHES.items():
        if found := pattern.search(headers.get("x-goog-hash", "")):
            return Checksum(algorithm, base64.b64decode(found[1]).hex())
    if headers.get("x-amz-server-side-encryption") == "AES256":
        found = AMAZON_MD5.fullmatch(headers.get("etag", ""))
        return Checksum("md5", found[1]) if found else None
    return None
