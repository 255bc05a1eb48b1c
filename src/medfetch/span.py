"""One request for a few pieces of a large file: what is asked, and what becomes of the answer.

It must not know threads, other requests, or what is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medfetch import ranges, verify
from medfetch.errors import IntegrityError, Retryable
from medfetch.hosts import host_of
from medfetch.net.http import Answer
from medfetch.net.layers import PROGRESS
from medfetch.partial import HEAD
from medfetch.pieces import PIECE
from medfetch.types import Request

if TYPE_CHECKING:
    from medfetch.segments import Segments


class NoRanges(Exception):
    """The host does not send the ranges that it is asked for, or does not say of which version they are."""


class Changed(Exception):
    """What the host has now is another version than what is here, or that is no longer what it was."""


class NoData(Exception):
    """The host answered with something else, such as an error."""

    def __init__(self, answer: Answer, text: bytes) -> None:
        self.answer, self.text = answer, text


class Span:
    """One request for a few pieces; the receiver of its response."""

    def __init__(self, segments: Segments, pieces: range) -> None:
        self.segments = segments
        self.at = self.start = segments.pieces.reached(pieces[0])
        self.end = pieces[-1] * PIECE + segments.pieces.length(pieces[-1])
        self.if_range = segments.validator
        self.text = b""
        self.good = self.whole = self.changed = False

    def request(self) -> Request:
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={self.start}-{self.end - 1}"}
        if self.if_range:
            headers["If-Range"] = self.if_range
        return Request(self.segments.url, headers, self.segments.file.credential)

    def begin(self, answer: Answer) -> None:
        """Decides by the head what becomes of the body.

        Raises: NoRanges, Changed; IntegrityError where it is another file, such as a log-in page.
        """
        segments, host, headers = self.segments, host_of(self.segments.url), answer.headers
        size = segments.pieces.size
        encoded = headers.get("content-encoding", "identity").lower() not in ("identity", "")
        segments.terms.answered(answer.waited)
        if answer.status == 200:
            length = ranges.number(headers.get("content-length", ""))
            if length not in (None, size) and not encoded and segments.file.size is not None:
                raise IntegrityError(f"{segments.file.path}: {host} has {length} bytes, expected {size}")
            self.whole = True
            self.changed = bool(self.if_range) and ranges.validator(headers) != self.if_range
        elif answer.status == 206:
            first, last, total = ranges.content_range(headers)
            if encoded or first != self.start or last is None or not first <= last < self.end:
                raise NoRanges
            if total not in (None, size) or (self.if_range and not ranges.is_version(headers, self.if_range)):
                raise Changed(f"{host} has another version now")
            if last + 1 < min(self.end, self.start + PROGRESS):
                raise NoRanges
            segments.identify(ranges.validator(headers) or self.if_range, ranges.told_checksum(headers))
            # A host may send less than it was asked for (RFC 9110, 15.3.7).
            self.good, self.end = True, last + 1
        elif answer.status == 416:
            raise Changed(f"{host} has no bytes from {self.start} on")

    def data(self, blocks: list[bytes]) -> None:
        segments = self.segments
        if self.whole:
            # In answer to If-Range the whole file is a new version. What is here goes only when it is one indeed.
            if instead := verify.looks_like(blocks[0][:HEAD], segments.file.path):
                raise IntegrityError(f"{segments.file.path}: {instead} came instead of the data")
            raise Changed(f"{host_of(segments.url)} has another version now") if self.changed else NoRanges
        if not self.good:
            self.text = (self.text + b"".join(blocks))[:2000]
            return
        count = sum(map(len, blocks))
        if self.at + count > self.end:
            raise NoRanges
        segments.write(self.at, blocks, count)
        self.at += count
        segments.terms.pace(count)

    def complete(self, answer: Answer) -> None:
        """Raises: NoData, Retryable unless the whole range was received."""
        if self.whole:
            raise Retryable(f"{host_of(self.segments.url)} sent an empty body")
        if not self.good:
            raise NoData(answer, self.text)
        if self.at < self.end:
            raise Retryable(
                f"{host_of(self.segments.url)} sent {self.at - self.start} of {self.end - self.start} bytes"
            )
