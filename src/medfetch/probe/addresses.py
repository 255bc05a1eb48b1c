"""What is at an address: a page that still answers, or the file that the recipe means.

It must not know recipes or sources.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from medfetch.errors import UsageProblem
from medfetch.hosts import host_of
from medfetch.net.stack import Glimpse
from medfetch.probe.asking import Challenged, Watched, challenge, without_query
from medfetch.probe.findings import Outcome, Verdict, worst
from medfetch.types import Checksum, RemoteFile

MOST_REDIRECTS = 10
PERMANENT = (301, 308)
LOOPBACK = ("127.0.0.1", "localhost")
"""Where the stand-in is, which plays several origins."""
PASSWORD = re.compile(rb"type\s*=\s*[\"']?password", re.IGNORECASE)
TOTAL = re.compile(r"bytes\s+(?:[0-9]+-[0-9]+|\*)/([0-9]+)")
MD5 = re.compile(r"[0-9a-f]{32}")
SHA256 = re.compile(r"[0-9a-f]{64}")
WEB_PAGES = (".html", ".htm", ".xhtml")


def page(url: str, net: Watched, *, gated: bool = False) -> Verdict:
    """Whether a page for people answers; ``gated``: a log-in is no surprise there. Raises: what ``Watched`` raises."""
    followed = _Followed(readdressed(url, net), net, {}, None)
    status = followed.last.status
    if 300 <= status < 400:
        return Outcome.CHANGED, f"{without_query(url)} redirects without an end, or to nowhere"
    if status in (404, 410):
        return Outcome.GONE, f"{followed.place} answers {status}"
    if status in (401, 403):
        if gated or status == 401:
            return (Outcome.OK, "wants a log-in") if gated else (Outcome.GATED, f"{followed.place} wants a log-in")
        return Outcome.CHALLENGE, f"{followed.place} answers 403: it lets no programs in, or nobody"
    if status >= 400:
        return Outcome.UNREACHABLE, f"{followed.place} answers {status}"
    return followed.moved or (Outcome.OK, "answers")


def file(
    file: RemoteFile, url: str, net: Watched, *, gated: bool = False, headers: Mapping[str, str] | None = None,
    credential: str | None = None,
) -> Verdict:  # fmt: skip
    """Whether an address still leads to a file with the size and digest that are known of it.

    Raises: what ``Watched`` raises.
    """
    followed = _Followed(url, net, headers or {}, credential)
    last, place = followed.last, followed.place
    if last.status in (404, 410):
        return Outcome.GONE, f"{place} answers {last.status}"
    if last.status in (401, 403):
        if gated:
            return Outcome.OK, f"gated, as the recipe says ({host_of(url)} answers {last.status})"
        return Outcome.GATED, f"{place} answers {last.status}: it wants a log-in or a permission"
    if last.status == 429 or last.status >= 500:
        return Outcome.UNREACHABLE, f"{place} answers {last.status}"
    if last.status not in (200, 206, 416):
        return Outcome.CHANGED, f"{place} answers {last.status}"
    if url.startswith("https:") and followed.url.startswith("http:"):
        return Outcome.CHANGED, f"{without_query(url)} leads to http, where files are not fetched from: {place}"
    if "html" in last.headers.get("content-type", "") and not file.path.lower().endswith(WEB_PAGES):
        if PASSWORD.search(last.start):
            return (
                (Outcome.OK, "gated, as the recipe says (a page for logging in)")
                if gated
                else (Outcome.GATED, f"{place} answers with a page for logging in")
            )
        return Outcome.CHANGED, f"{place} answers with a web page in place of the file"
    return worst([*_compared(file, followed), followed.moved or (Outcome.OK, "answers")])


def described(file: RemoteFile, url: str, net: Watched) -> tuple[int | None, dict[str, str]]:
    """Bytes and digests of a file as its host tells them. Raises: UsageProblem where there is none."""
    followed = _Followed(url, net, {}, None)
    if followed.last.status not in (200, 206, 416):
        raise UsageProblem(f"{followed.place} answers {followed.last.status}")
    return _size(followed), _digests(followed)


class _Followed:
    """An address, and where it leads to. ``moved`` is told if a permanent redirect is the first."""

    def __init__(self, url: str, net: Watched, headers: Mapping[str, str], credential: str | None) -> None:
        self.url, self.moved = url, None  # type: str, Verdict | None
        self.linked: Mapping[str, str] = {}
        """Headers of a redirect that speak of the file behind it."""
        permanent, mirrored = True, net.replaced("http") and host_of(url) == host_of(net.endpoint("http"))
        for _ in range(MOST_REDIRECTS + 1):
            self.last: Glimpse = net.glimpse(self.url, headers, credential=credential)
            if found := challenge(self.last.status, self.last.headers, self.last.start):
                raise Challenged(f"{self.place} answers {found}")
            location = self.last.headers.get("location")
            if not (300 <= self.last.status < 400 and location):
                break
            permanent = permanent and self.last.status in PERMANENT
            self.linked = {**self.linked, **{k: v for k, v in self.last.headers.items() if k.startswith("x-linked-")}}
            there = urljoin(self.url, _encoded(location))
            if permanent:
                self.moved = Outcome.MOVED, f"{without_query(url)} has moved for good to {without_query(there)}"
            if host_of(there) != host_of(self.url):
                headers, credential = {}, None
            self.url = readdressed(there, net) if mirrored else there
        if self.url == url:
            self.moved = None

    @property
    def place(self) -> str:
        return without_query(self.url)


def readdressed(url: str, net: Watched) -> str:
    """The address, on the mirror (or the sandbox) that stands for all hosts."""
    url = _encoded(url.partition("#")[0])
    if not net.replaced("http") or urlsplit(url).hostname in (*LOOPBACK, urlsplit(net.endpoint("http")).hostname):
        return url
    return f"{net.endpoint('http')}/{url.partition('://')[2]}"


def _encoded(url: str) -> str:
    return quote(url, safe="!$%&'()*+,/:;=?@[]~#")


def _compared(file: RemoteFile, followed: _Followed) -> list[Verdict]:
    """Size and digests as the host tells them, beside those that are known."""
    found: list[Verdict] = []
    size = _size(followed)
    if file.size is not None and size is not None and size != file.size:
        found.append((Outcome.CHANGED, f"{file.path} has {size:,} bytes now, not {file.size:,}"))
    told = _digests(followed)
    for known in file.checksums:
        if known.algorithm in told and told[known.algorithm] != known.hex:
            said = f"{file.path} has the {known.algorithm} {told[known.algorithm]} now, not {known.hex}"
            found.append((Outcome.CHANGED, said))
    return found


def _size(followed: _Followed) -> int | None:
    headers = followed.last.headers
    if total := TOTAL.fullmatch(headers.get("content-range", "").strip()):
        return int(total[1])
    if followed.last.status == 200 and "content-encoding" not in headers:
        length = headers.get("content-length", "")
        return int(length) if length.isdecimal() else None
    return None


def _digests(followed: _Followed) -> dict[str, str]:
    """What hosts tell of a whole file in the head of an answer.

    ``ETag`` of S3 is the MD5 of what was uploaded in one piece and not encrypted by a key of its owner's (S3 API
    reference, Object); ``X-Linked-ETag`` of the Hugging Face Hub the SHA-256 of a large file; ``x-goog-hash`` what
    Google's storage knows.
    """
    headers, told = followed.last.headers, {}
    etag = headers.get("etag", "").strip('"').lower()
    if "amazonaws.com" in host_of(followed.url) and MD5.fullmatch(etag) and not _own_key(headers):
        told["md5"] = etag
    linked = followed.linked.get("x-linked-etag", "").strip('"').lower()
    if SHA256.fullmatch(linked):
        told["sha256"] = linked
    for part in headers.get("x-goog-hash", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "md5":
            told["md5"] = base64.b64decode(value).hex()
    return told


def _own_key(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-server-side-encryption", "").startswith("aws:") or any(
        name.startswith("x-amz-server-side-encryption-customer") for name in headers
    )


def of_checksums(path: str, known: tuple[Checksum, ...], now: tuple[Checksum, ...]) -> list[Verdict]:
    """What a host lists of a file beside what the recipe says, as far as both use the same algorithm."""
    told = {each.algorithm: each.hex for each in now}
    return [
        (Outcome.CHANGED, f"{path} has the {each.algorithm} {told[each.algorithm]} now, not {each.hex}")
        for each in known
        if each.algorithm in told and told[each.algorithm] != each.hex
    ]


def of_size(what: str, known: int | None, now: int | None) -> list[Verdict]:
    """Bytes as a host tells them, beside a recipe's, which is as precise as it is written: 12.5 GB is one of two
    thousand sizes."""
    if known is None or now is None:
        return []
    zeros = len(str(known)) - len(str(known).rstrip("0"))
    if abs(now - known) <= (10**zeros if zeros >= 3 else 0):
        return []
    return [(Outcome.CHANGED, f"{what} has {now:,} bytes now; the recipe says {known:,}")]
