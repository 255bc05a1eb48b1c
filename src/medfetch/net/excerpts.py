"""A part of what lies under an address, so that it looks like a file of its own, in one version throughout.

It must not know what the parts are for.
"""

from __future__ import annotations

from medfetch import ranges
from medfetch.errors import Refused
from medfetch.hosts import host_of
from medfetch.net.http import Answer, Receiver
from medfetch.net.layers import Getter
from medfetch.progress import human
from medfetch.types import Excerpt, RemoteFile, Request

KEPT = ("content-encoding", "etag", "last-modified")
"""Headers that are as true of a part as of the whole; a digest of the whole is not."""


class Excerpted:
    """Asks for the bytes of an excerpt where those of a file are asked for; for many threads."""

    def __init__(self, inner: Getter, file: RemoteFile) -> None:
        """``file`` has an ``excerpt`` and a ``size``."""
        assert file.excerpt is not None and file.size is not None
        self._inner, self._file, self._excerpt, self._size = inner, file, file.excerpt, file.size

    def get(self, request: Request, receiver: Receiver) -> Answer:
        """Raises: Refused where the host has no ranges, or another version; what the inner one raises."""
        first, last = self._asked(request.headers.get("Range", ""))
        version = self._excerpt.version if request.url == self._file.urls[0] else request.headers.get("If-Range")
        shift = self._excerpt.first
        headers = {**request.headers, "Range": f"bytes={shift + first}-{shift + last}"}
        if version:
            headers["If-Range"] = version
        shifted = _Shifted(receiver, self._file, shift + first, self._excerpt, self._size, version)
        self._inner.get(Request(request.url, headers, request.credential), shifted)
        return shifted.answer

    def _asked(self, span: str) -> tuple[int, int]:
        """First and last byte of what is asked for, as if the excerpt were all."""
        first, _, last = span.removeprefix("bytes=").partition("-")
        return int(first or 0), int(last or self._size - 1)


class _Shifted:
    """The receiver of a part, who hears of it as of a file of its own."""

    answer: Answer

    def __init__(
        self, receiver: Receiver, file: RemoteFile, first: int, excerpt: Excerpt, size: int, version: str | None
    ) -> None:
        self._receiver, self._file, self._first = receiver, file, first
        self._excerpt, self._size, self._version = excerpt, size, version

    def begin(self, answer: Answer) -> None:
        self.answer = answer
        if answer.status in (200, 206, 416):
            last = check(answer, self._file.path, self._first, self._excerpt.of, self._version)
            first, last = self._first - self._excerpt.first, last - self._excerpt.first
            kept = {name: value for name, value in answer.headers.items() if name in KEPT}
            told = {"content-range": f"bytes {first}-{last}/{self._size}", "content-length": str(last - first + 1)}
            self.answer = Answer(206, kept | told, answer.url, answer.redirected, answer.waited)
        self._receiver.begin(self.answer)

    def data(self, blocks: list[bytes]) -> None:
        self._receiver.data(blocks)


def check(answer: Answer, path: str, first: int, of: int | None, version: str | None) -> int:
    """The last byte of a part that a host sends: from ``first`` on, of so many bytes, in that version.

    Raises: Refused where it is anything else.
    """
    start, last, total = ranges.content_range(answer.headers)
    host, headers = host_of(answer.url), answer.headers
    if answer.status == 200 and headers.get("content-type", "").startswith("text/html"):
        raise Refused(f"{host} sent a web page in place of {path} (does it want a log-in?)")
    if answer.status == 200 and (version is None or ranges.validator(headers) == version):
        raise Refused(no_part(host, path, ranges.number(headers.get("content-length", "")) or of))
    changed = answer.status != 206 or (of is not None and total not in (of, None))
    if changed or (version and not ranges.is_version(headers, version)):
        raise Refused(f"{host} has another version of {path} than the one that was planned; --refresh plans anew")
    if start != first or last is None:
        raise Refused(f"{host} sent {headers.get('content-range')!r} of {path}, asked: from {first} on")
    return last


def no_part(host: str, path: str, size: int | None) -> str:
    """That only the whole can be had, and how."""
    whole = f"all of it ({human(size)})" if size is not None else "all of it"
    return f"{host} sends no part of {path}, only {whole}: leave out --select path, or select {path} itself"
