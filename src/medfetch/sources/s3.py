"""Public S3 buckets: every object under a prefix becomes a file, with the MD5 that its ETag states.

It must not know who owns the bucket; buckets that want a signature or a payer are not for this source.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from medfetch.errors import RecipeError, UsageProblem
from medfetch.sources import Net
from medfetch.sources._listing import (
    Object,
    WrongRegion,
    bucket_address,
    list_objects,
    object_address,
    published_md5,
)
from medfetch.sources._locator import only, text
from medfetch.sources._paths import relative
from medfetch.types import RemoteFile, Selection, Traits

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""S3 user guide, "General purpose bucket naming rules"."""


class S3:
    """Locator: ``bucket``; ``prefix``, as S3 means it: the beginning of keys (end it with ``/`` for a folder);
    ``region``, for buckets outside us-east-1 (asked for by a message if it matters)."""

    name: ClassVar[str] = "s3"
    traits: ClassVar[Traits] = Traits(endpoints={"s3": "https://{bucket}.s3.amazonaws.com"}, connections=32)

    def locate(self, text: str) -> dict[str, Any]:
        bucket, _, prefix = text.removeprefix("//").partition("/")
        if not BUCKET.fullmatch(bucket):
            raise UsageProblem(f"{bucket!r} cannot be the name of a bucket; expected s3:bucket/prefix")
        return {"bucket": bucket, "prefix": prefix} if prefix else {"bucket": bucket}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"bucket", "prefix", "region"}, self.name)
        bucket = text(locator, "bucket", self.name)
        if not bucket or not BUCKET.fullmatch(bucket):
            raise RecipeError(f"{bucket!r} cannot be the name of a bucket", at="s3.bucket")
        prefix = text(locator, "prefix", self.name) or ""
        folder = prefix[: prefix.rfind("/") + 1]
        region = text(locator, "region", self.name)
        empty = True
        for each, address in _objects(net, bucket, region, _narrow(prefix, folder, selection)):
            empty = False
            yield RemoteFile(
                path=_path(each.key, folder, bucket),
                key=f"s3://{bucket}/{each.key}@{each.etag}",
                urls=(object_address(address, each.key),),
                size=each.size,
                checksums=published_md5(each.etag),
                etag=each.etag,
            )
        if empty and not selection.facets:
            raise UsageProblem(f"no object's key begins with s3://{bucket}/{prefix}")


def _objects(net: Net, bucket: str, region: str | None, prefix: str) -> Iterator[tuple[Object, str]]:
    """The objects, each with the address of its bucket, which is found out at the first page."""
    address = _address(net, bucket, region)
    try:
        for each in list_objects(net, address, prefix):
            yield each, address
    except WrongRegion as elsewhere:
        if region:
            raise
        yield from _objects(net, bucket, elsewhere.region, prefix)


def _address(net: Net, bucket: str, region: str | None) -> str:
    if net.replaced("s3") or (region is None and "." not in bucket):
        return bucket_address(net.endpoint("s3"), bucket)
    host = f"s3.{region}.amazonaws.com" if region else "s3.amazonaws.com"
    # The certificate of *.s3.amazonaws.com does not cover names with more dots.
    return f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"


def _narrow(prefix: str, folder: str, selection: Selection) -> str:
    """A longer prefix, where every path that is asked for begins in the same way."""
    patterns = selection.facets.get("path", ())
    literals = [re.split(r"[*?[]", pattern, maxsplit=1)[0] for pattern in patterns]
    begins = folder + os.path.commonprefix(literals)  # noqa: RUF071 - keys are strings, and so are their prefixes
    return begins if begins.startswith(prefix) else prefix


def _path(key: str, folder: str, bucket: str) -> str:
    try:
        return relative(key.removeprefix(folder))
    except RecipeError as error:
        raise RecipeError(f"s3://{bucket} has an object that cannot be a file here: {error.message}") from None
