"""A request, an answer, and what HTTP's ranges and conditions make of the two (RFC 9110, sections 13 and 14).

It must not know sockets, nor what is served.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from medfetch.sandbox.content import Content

LAST_MODIFIED = "Sun, 01 Jan 2023 00:00:00 GMT"
"""Of every object: nothing in the sandbox changes unless a fault says so."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """As sent: path and query, percent-encoded."""
    headers: tuple[tuple[str, str], ...]
    """With the names as sent."""
    body: bytes = b""
    version: str = "HTTP/1.1"

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Content = Content(b"", 0)  # noqa: RUF009 - immutable
    start: int = 0
    """Where in the content the body begins."""
    stop: int | None = None
    """Where it ends; None: at the content's end."""
    stream: Iterator[bytes] | None = None
    """In place of content, a body that is made while it is sent: its length is not known."""
    is_object: bool = False
    """A file: has ranges and conditions, and is counted as data."""

    @property
    def length(self) -> int | None:
        """Bytes of the body."""
        return None if self.stream else (self.content.size if self.stop is None else self.stop) - self.start

    def pieces(self) -> Iterator[bytes | memoryview]:
        if self.stream:
            return self.stream
        return self.content.read(self.start, self.content.size if self.stop is None else self.stop)

    def with_headers(self, headers: Mapping[str, str]) -> Answer:
        return replace(self, headers={**self.headers, **headers})


def text(body: str, status: int = 200, kind: str = "text/plain") -> Answer:
    return Answer(status, {"Content-Type": f"{kind}; charset=utf-8"}, Content.of(body.encode()))


def as_json(body: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, Content.of(json.dumps(body).encode()))


def file(content: Content, etag: str, kind: str = "application/octet-stream") -> Answer:
    """An object that has ranges and validators; ``etag`` with its quotes."""
    headers = {"Content-Type": kind, "ETag": etag, "Last-Modified": LAST_MODIFIED, "Accept-Ranges": "bytes"}
    return Answer(200, headers, content, is_object=True)


def disposition(name: str) -> str:
    """``Content-Disposition`` for a file to be saved under a name (RFC 6266), as the large hosts write it."""
    plain = name.encode("ascii", "replace").decode().replace("\\", "\\\\").replace('"', '\\"')
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def conditional(request: Request, answer: Answer, asked: str | None) -> Answer:
    """The part of an object that the request wants; ``asked`` is its Range, or what a fault makes of it."""
    etag, modified = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
    wanted = request.header("if-match")
    if wanted is not None and wanted not in ("*", etag):
        return replace(answer, status=412, content=Content(b"", 0))
    known = request.header("if-none-match")
    if known is not None and etag is not None and (known == "*" or etag.removeprefix("W/") in known):
        return replace(answer, status=304, content=Content(b"", 0))
    condition = request.header("if-range")
    # If-Range compares strongly: a weak validator never matches, and the whole object is sent.
    if condition is not None and (condition.startswith("W/") or condition not in (etag, modified)):
        asked = None
    window = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if not window or window.group() == "bytes=-":
        return answer
    size = answer.content.size
    first, last = window.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        body = Content.of(b"<Error><Code>InvalidRange</Code></Error>")
        headers = {"Content-Range": f"bytes */{size}", "Content-Type": "application/xml"}
        return Answer(416, headers, body)
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    return replace(answer, status=206, start=start, stop=stop).with_headers(headers)
