"""S3 buckets: every object under a prefix becomes a file, with the MD5 that its ETag states.

Public ones are asked as anybody, others by requests that are signed for the person's AWS account. It must not know the
account's keys, nor how requests are signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, ClassVar

from medfetch.errors import RecipeError, Refused, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net
from medfetch.sources._doors import closed
from medfetch.sources._listing import (
    Object,
    WrongRegion,
    bucket_address,
    list_objects,
    narrowed,
    object_address,
    published_md5,
)
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.types import Door, RemoteFile, Selection, Traits, Verdict

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""S3 user guide, "General purpose bucket naming rules"."""
ACCOUNT, PAYER = "aws", "aws-payer"
"""The secrets that sign: of the second the account is charged for what it is given."""
EXPECTED_REGION = re.compile(r"AuthorizationHeaderMalformed.*expecting '([a-z0-9-]+)'")
"""What S3 says, with 400, where a signature is for another region than the bucket's."""
CODE = re.compile(r"<Code>(\w+)</Code>")
WRONG_KEYS = {
    "InvalidAccessKeyId": "AWS does not know the access key id",
    "SignatureDoesNotMatch": "the secret access key does not belong to its id",
    "InvalidToken": "the session token is wrong",
    "ExpiredToken": "the session is over: log in again as AWS's own tools want it",
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than a quarter of an hour",
}
"""S3 API reference, "Error responses"."""
CONFIGURE = "https://docs.aws.amazon.com/cli/latest/userguide/cli-chap-configure.html"
PAYING = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html"


class S3:
    """Locator: ``bucket``; ``prefix``, as S3 means it: the beginning of keys (end it with ``/`` for a folder);
    ``path``, patterns of files or folders in that folder, without which all is taken; ``region``, for buckets outside
    us-east-1 (asked for by a message if it matters); ``requester_pays: true``, where the bucket's owner wants whoever
    downloads to be charged."""

    name: ClassVar[str] = "s3"
    traits: ClassVar[Traits] = Traits(
        endpoints={"s3": "https://{bucket}.s3.amazonaws.com"}, connections=32, logins=("aws", "aws-payer")
    )

    def locate(self, text: str) -> dict[str, Any]:
        bucket, _, prefix = text.removeprefix("//").partition("/")
        if not BUCKET.fullmatch(bucket):
            raise UsageProblem(f"{bucket!r} cannot be the name of a bucket; expected s3:bucket/prefix")
        return {"bucket": bucket, "prefix": prefix} if prefix else {"bucket": bucket}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        way, prefix = _way(locator, net)
        folder = prefix[: prefix.rfind("/") + 1]
        patterns = strings(locator, "path", "s3")
        narrow = narrowed(narrowed(prefix, folder, patterns), folder, selection.facets.get("path", ()))
        begun = _begun(way, net, narrow)
        if isinstance(begun, Verdict):
            raise closed(begun, f"s3-{way.bucket}")
        way, objects = begun
        empty = True
        for each in objects:
            if patterns and not fits(each.key.removeprefix(folder), patterns):
                continue
            empty = False
            yield RemoteFile(
                path=_path(each.key, folder, way.bucket),
                key=f"s3://{way.bucket}/{each.key}@{each.etag}",
                urls=(object_address(way.address, each.key),),
                size=each.size,
                # What is signed for may be encrypted by its owner's keys; then its ETag is no MD5. The answer tells.
                checksums=() if way.credential else published_md5(each.etag),
                etag=each.etag,
                credential=way.credential,
            )
        if empty and not selection.facets:
            of = " and fits the route's path" if patterns else ""
            raise UsageProblem(f"no object's key begins with s3://{way.bucket}/{prefix}{of}")

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        way, prefix = _way(locator, net)
        begun = _begun(way, net, prefix)
        if isinstance(begun, Verdict):
            return begun
        who = {None: "all", ACCOUNT: "your AWS account", PAYER: "your AWS account, which pays"}[begun[0].credential]
        return Verdict(Door.OPEN, f"s3://{way.bucket} is open to {who}")


# -- how a bucket is asked ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    bucket: str
    region: str | None
    address: str
    credential: str | None
    """The secret that signs; None: nobody does."""


def _way(locator: Mapping[str, Any], net: Net) -> tuple[_Way, str]:
    """How a bucket is asked first, and the prefix. Raises: RecipeError for a bad locator."""
    only(locator, {"bucket", "prefix", "path", "region", "requester_pays"}, "s3")
    bucket, region = text(locator, "bucket", "s3"), text(locator, "region", "s3")
    if not bucket or not BUCKET.fullmatch(bucket):
        raise RecipeError(f"{bucket!r} cannot be the name of a bucket", at="s3.bucket")
    pays = locator.get("requester_pays", False)
    if not isinstance(pays, bool):
        raise RecipeError(f"expected true or false, not {pays!r}", at="s3.requester_pays")
    way = _Way(bucket, region, _address(net, bucket, region), PAYER if pays else None)
    return way, text(locator, "prefix", "s3") or ""


def _begun(way: _Way, net: Net, prefix: str) -> tuple[_Way, Iterator[Object]] | Verdict:
    """The objects, the first of which has been asked for, and how the rest is had; or why the bucket is closed.

    Only where a bucket refuses everybody it is asked with a signature: keys that are wrong shall do no harm to what is
    public. A bucket whose requesters pay refuses whoever is not signed.
    """
    if way.credential and not net.has(way.credential):
        return _verdict(None, way)
    objects = list_objects(net, way.address, prefix, way.credential)
    try:
        first = next(objects, None)
    except WrongRegion as elsewhere:
        if way.region:
            raise
        return _begun(_moved(way, elsewhere.region, net), net, prefix)
    except Refused as error:
        if (expected := EXPECTED_REGION.search(error.message)) and not way.region:
            return _begun(_moved(way, expected[1], net), net, prefix)
        if error.status == 403 and way.credential is None and net.has(ACCOUNT):
            return _begun(replace(way, credential=ACCOUNT), net, prefix)
        return _verdict(error, way)
    return way, iter(()) if first is None else chain([first], objects)


def _moved(way: _Way, region: str, net: Net) -> _Way:
    return replace(way, region=region, address=_address(net, way.bucket, region))


def _verdict(error: Refused | None, way: _Way) -> Verdict:
    """What a refusal means; None: there are no keys to ask with.

    Raises: the error itself where it is not S3's (a certificate, a proxy).
    """
    what = f"s3://{way.bucket}"
    if error is None:
        said = f"{what} wants whoever downloads to pay, and there are no AWS keys here: aws configure"
        return Verdict(Door.NO_LOGIN, said, CONFIGURE)
    if error.status not in (400, 403, 404):
        raise error
    found = CODE.search(error.message)
    code = found[1] if found else ""
    if code == "NoSuchBucket":
        return Verdict(Door.ABSENT, f"there is no bucket {way.bucket}")
    if code in WRONG_KEYS:
        return Verdict(Door.WRONG_LOGIN, f"{what}: {WRONG_KEYS[code]}", CONFIGURE)
    if error.status != 403:
        raise error
    if "Requester Pays" in error.message:
        said = f"{what} wants whoever downloads to pay: a route says so by `requester_pays: true`"
        return Verdict(Door.NOT_APPROVED, said, PAYING)
    if way.credential is None:
        return Verdict(Door.NO_LOGIN, f"{what} is not public, and there are no AWS keys here: aws configure", CONFIGURE)
    if way.credential == PAYER:
        said = f"the owner of {what} has not given your AWS account leave, also where it pays"
        return Verdict(Door.NOT_APPROVED, said)
    said = f"your AWS account may not list {what}: its owner has not given it leave, or wants whoever downloads to pay"
    return Verdict(Door.UNCLEAR, f"{said} (in a route, `requester_pays: true`); S3 says the same for both", PAYING)


def _address(net: Net, bucket: str, region: str | None) -> str:
    if net.replaced("s3") or (region is None and "." not in bucket):
        return bucket_address(net.endpoint("s3"), bucket)
    host = f"s3.{region}.amazonaws.com" if region else "s3.amazonaws.com"
    # The certificate of *.s3.amazonaws.com does not cover names with more dots.
    return f"https://{host}/{bucket}" if "." in bucket else f"https://{bucket}.{host}"


# -- keys and paths -------------------------------------------------------------------------------------------------


def _path(key: str, folder: str, bucket: str) -> str:
    try:
        return relative(key.removeprefix(folder))
    except RecipeError as error:
        raise RecipeError(f"s3://{bucket} has an object that cannot be a file here: {error.message}") from None
