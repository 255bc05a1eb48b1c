"""Amazon's Signature Version 4 as S3 checks it. It must not know buckets or objects.

S3 API reference, "Authenticating Requests: Using the Authorization Header". What S3 says in its errors: "Error
responses" there; the words about regions are quoted in github.com/jsoma/flatware issue 10.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from calendar import timegm
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from medfetch.sandbox.messages import Request

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[^/,]+)/(?P<scope>(?P<date>\d{8})/(?P<region>[^/,]+)/s3/aws4_request), *"
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), *Signature=(?P<signature>[0-9a-f]{64})"
)
SKEW = 900
"""Seconds by which a client's clock may be wrong."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whoever may sign; ``session`` is the token that has to come along, if it is a session's."""

    id: str
    secret: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a signature does not hold, in S3's words."""

    code: str
    status: int = 403
    message: str = ""


def signer(request: Request, accounts: dict[str, Account], region: str) -> Account | Wrong | None:
    """Who signed a request; None where nobody did."""
    header = request.header("authorization")
    if header is None:
        return None
    found = AUTHORIZATION.fullmatch(header)
    names = found["names"].split(";") if found else []
    amazons = {name.lower() for name, _ in request.headers if name.lower().startswith("x-amz-")}
    if found is None or not {"host", *amazons} <= set(names):
        return Wrong("AccessDenied", message="There were headers present in the request which were not signed")
    if found["region"] != region:
        said = f"the region '{found['region']}' is wrong; expecting '{region}'"
        return Wrong("AuthorizationHeaderMalformed", 400, f"The authorization header is malformed; {said}")
    account = accounts.get(found["id"])
    if account is None:
        return Wrong("InvalidAccessKeyId")
    moment = request.header("x-amz-date") or ""
    if not moment.startswith(found["date"]) or abs(time.time() - _seconds(moment)) > SKEW:
        return Wrong("RequestTimeTooSkewed")
    if request.header("x-amz-security-token") != account.session:
        return Wrong("InvalidToken", 400)
    text = "\n".join(["AWS4-HMAC-SHA256", moment, found["scope"], _hashed(_canonical(request, names))])
    right = hmac.new(_key(account.secret, found["date"], region), text.encode(), "sha256").hexdigest()
    return account if hmac.compare_digest(right, found["signature"]) else Wrong("SignatureDoesNotMatch")


def _canonical(request: Request, names: list[str]) -> str:
    """The request as both sides write it, whichever of its spellings was sent."""
    sent = urlsplit(request.target)
    pairs = (pair.partition("=")[::2] for pair in sent.query.split("&") if pair)
    query = "&".join(sorted(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs))
    headers = "".join(f"{name}:{' '.join((request.header(name) or '').split())}\n" for name in names)
    payload = request.header("x-amz-content-sha256") or ""
    path = quote(unquote(sent.path), safe="/-_.~")
    return "\n".join([request.method, path, query, headers, ";".join(names), payload])


def _encoded(text: str) -> str:
    return quote(unquote(text), safe="-_.~")


def _key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _seconds(moment: str) -> float:
    try:
        return timegm(time.strptime(moment, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return 0.0
