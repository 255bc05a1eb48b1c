"""One file from one address: resume, retry, receive, hash. It must not know the file's other addresses.

A partial is never trusted more than what is known of it: its validator belongs to one address, and after a change
of address it is kept only where a published digest will tell whether it fitted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from medfetch import ranges, verify
from medfetch.errors import IntegrityError, MedfetchError, Refused, Retryable
from medfetch.hosts import Hosts, host_of
from medfetch.net.ftp import is_ftp
from medfetch.net.http import Answer
from medfetch.net.layers import Getter, refusal, retried
from medfetch.partial import HEAD, Partial, Room
from medfetch.pieces import learned_size
from medfetch.segments import SEGMENTS_FROM, Segments
from medfetch.span import Changed, NoRanges
from medfetch.types import Assurance, RemoteFile, Request

NOTE_FROM = 1 << 20
"""Bytes from which a validator is noted beside the partial: smaller files are fetched anew after a kill."""
BAD_TRIES = 3
"""Times that bytes may arrive wrong from one address before it is given up."""
LINK_TRIES = 2
"""Times that a redirect's target may answer 400, 401 or 403 before it counts as a no: signed links expire."""
GZIP = b"\x1f\x8b"
"""How a gzip file begins (RFC 1952)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a transfer has to keep to."""

    tries: int
    backoff: float
    room: Room
    ranges: bool
    stop: threading.Event
    received: Callable[[int], None]
    """Told of bytes that are here, resumed ones too; a negative number takes them back."""
    pace: Callable[[int], None]
    """Told of bytes off the wire; waits, to keep to a rate."""
    said: Callable[[str], None]
    """Told why something is tried again."""
    help: Callable[[Callable[[], bool]], None] = lambda call: None
    """Asks idle threads to run a call; each until it returns True, for then nothing is left of it."""
    answered: Callable[[float], None] = lambda seconds: None
    """Told how long the first byte of an answer took."""
    crowded: Callable[[], bool] = lambda: False
    """Whether a thread that helps is needed elsewhere, or one too many."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file under its temporary name."""

    name: str
    size: int
    sha256: str
    assurance: Assurance
    checked: str | None
    host: str
    noted: bool = False
    """Whether a note lies beside it, to be removed with it."""

    @property
    def path(self) -> Path:
        return Path(self.name)


class _Large(Exception):
    """A file of unknown size is so large that several ranges are better."""

    def __init__(self, size: int) -> None:
        self.size = size


class Download:
    """One file from one address; also the receiver of each response."""

    def __init__(
        self, file: RemoteFile, url: str, first: bool, partial: str, getter: Getter, hosts: Hosts, terms: Terms
    ) -> None:
        self.file, self.url, self.getter, self.terms = file, url, getter, terms
        self.wanted = file
        """What ``file`` is as well, unless it comes wrapped in a zip."""
        self.partial = Partial(partial, file, terms.room, terms.received)
        self.hosts = hosts
        self.known_etag = ranges.validator({"etag": file.etag or ""}) if first else None
        self.size = file.size
        """Bytes; where none are published, those that a former attempt learned."""
        self.bad = self.renewed = self.refused_at = self.versions = 0
        self.asked_from = 0
        self.if_range = ""
        self.expected: int | None = None
        self.replacing = self.encoded = self.verified = False
        self.refused_text = b""
        self.answer: Answer | None = None
        self.failure: Exception | None = None
        """Of an attempt that was made elsewhere, and counts."""
        self.whole = False
        """A former attempt left all of it."""
        self.segments: Segments | None = None
        self.streaming = is_ftp(url)
        """The host turned out to have no ranges, or no single version. Of FTP it is known that it has no last byte."""

    def run(self, failure: Exception | None = None) -> Fetched:
        """``failure``: what the first attempt ended with, if there was one already."""
        self.failure = failure
        try:
            if failure is None:
                self._take_up()
            return retried(
                self._attempt,
                tries=1 if self.hosts.is_down(self.url) else self.terms.tries,
                backoff=self.terms.backoff,
                stop=self.terms.stop,
                progress=self._here,
                said=self.terms.said,
            )
        except Retryable as error:
            # No attempt is left: what was only hoped to pass is the verdict.
            if isinstance(error.__cause__, MedfetchError):
                raise error.__cause__ from None
            raise
        finally:
            if self.segments:
                self.segments.leave()
            elif not self.verified:
                self.terms.received(-self.partial.length)

    def _take_up(self) -> None:
        """Goes on from what a former attempt left, unless it is for several ranges."""
        if not self.partial.was_left():
            return
        if not self.terms.ranges and self.partial.is_whole():
            self.whole = True
            return
        in_pieces = self.partial.pieces.exists()
        if in_pieces and self.size is None:
            self.size = learned_size(self.partial.pieces)
        if self._is_large(self.size):
            return
        if self._validator()[1] and not in_pieces:
            self.partial.take_up()
        else:
            self.partial.drop()

    def _here(self) -> int:
        """Bytes; none before the attempt that was made elsewhere, so that what it brought counts as its."""
        if self.failure is not None:
            return 0
        return self.segments.pieces.total if self.segments else self.partial.length

    def _attempt(self) -> Fetched:
        try:
            if self.segments is None and self._is_large(self.size):
                self._begin_segments(self.size or 0)
            if self.segments is None:
                try:
                    if not self.whole:
                        self._stream()
                except _Large as large:
                    self._begin_segments(large.size)
            if self.segments:
                self._fill(self.segments)
            return self._verified()
        except IntegrityError as error:
            self.whole = False
            self.bad += 1
            if self.bad >= BAD_TRIES:
                raise
            raise Retryable(error.message) from error
        finally:
            self.partial.close()

    def _stream(self) -> None:
        """Receives all, or the rest, in one response."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        request = self.request()
        if self.file.size is None or self.asked_from < self.file.size or not self.asked_from:
            self.getter.get(request, self)
            self._complete()

    def received(self) -> Fetched:
        """The file, when its only response is over. Raises: as ``fetch_file``; Retryable."""
        self._complete()
        return self._verified()

    # -- in several ranges ---------------------------------------------------------------------------------------

    def _is_large(self, size: int | None) -> bool:
        return self.terms.ranges and not self.streaming and size is not None and size >= SEGMENTS_FROM

    def _begin_segments(self, size: int) -> None:
        self.partial.was_left()
        self.segments = Segments(
            self.file, size, self.url, self.known_etag, self.partial, self.getter, self.terms, self._refusal
        )
        self.segments.start()

    def _fill(self, segments: Segments) -> None:
        try:
            segments.lead()
        except NoRanges:
            segments.keep_front()
            self.segments, self.streaming = None, True
            self._stream()
        except Changed as changed:
            segments.drop()
            self.segments, self.size = None, self.file.size
            # Hosts that stand behind one name and do not agree are asked for all at once.
            self.versions += 1
            self.streaming = self.versions > 1
            raise Retryable(str(changed)) from None
        else:
            segments.end()
            segments.pieces.remove()
            self.segments = None

    # -- asking --------------------------------------------------------------------------------------------------

    def request(self) -> Request:
        headers = {"Accept-Encoding": "identity"}
        validator, trusted = self._validator() if self.partial.length else (None, True)
        if self.encoded or not trusted:
            self.partial.drop()
        self.asked_from, self.if_range = self.partial.length, ""
        if self.asked_from and not (self.file.size is not None and self.asked_from >= self.file.size):
            headers["Range"] = f"bytes={self.asked_from}-"
            self.if_range = validator or ""
            if validator:
                headers["If-Range"] = validator
        return Request(self.url, headers, self.file.credential)

    def _validator(self) -> tuple[str | None, bool]:
        """The validator for If-Range, and whether the partial may be gone on from at all."""
        if not self.terms.ranges:
            return None, False
        provable = bool(self.file.checksums) and self.file.size is not None
        noted = self.partial.noted()
        if noted is None:
            return self.known_etag, provable or self.known_etag is not None
        url, validator = noted
        return (validator, True) if validator and url == self.url else (None, provable)

    # -- receiving -----------------------------------------------------------------------------------------------

    def begin(self, answer: Answer) -> None:
        """Decides by the head what becomes of the body; anything but 200 and 206 leaves the partial alone."""
        status, headers = answer.status, answer.headers
        self.answer, self.refused_text, self.expected, self.replacing = answer, b"", None, False
        self.terms.answered(answer.waited)
        if status in (200, 206):
            self._see_wrapping(answer)
        if status == 206:
            start, total = self._checked_range(headers)
        elif status == 200:
            start, total = 0, ranges.number(headers.get("content-length", ""))
        elif 200 <= status < 300 and status != 204:
            raise Refused(
                f"{host_of(answer.url)} answered {status} without the data (a check for robots?)", status=status
            )
        else:
            return
        # Some hosts compress although they were asked not to. Others call a .gz file's own bytes encoded: those
        # have the published size.
        coding = headers.get("content-encoding", "identity").lower()
        self.encoded = coding not in ("identity", "") and (total is None or total != self.file.size)
        if self.encoded and start:
            raise Retryable(f"{host_of(self.url)} sent the rest of {self.file.path} as {coding}")
        if total is not None and not self.encoded:
            has_ranges = headers.get("accept-ranges", "").lower() == "bytes"
            if has_ranges and not start and self.file.size is None and not self._here() and self._is_large(total):
                raise _Large(total)
            self.expected = total
            self._announced(total)
        self.replacing = start == 0 and self.partial.length > 0
        if not self.replacing:
            self._open(start)

    def _see_wrapping(self, answer: Answer) -> None:
        """Kaggle's storage has some files as the only member of a zip that is called as they are, and .zip."""
        if ".zip" not in answer.url:
            self.file = self.partial.file = self.wanted
            return
        name = self.wanted.path.rpartition("/")[2]
        asked, sent = (unquote(urlsplit(url).path).rpartition("/")[2] for url in (self.url, answer.url))
        wrapped = asked == name and sent == f"{name}.zip"
        self.file = replace(self.wanted, size=None) if wrapped else self.wanted
        self.partial.file = self.file

    def _open(self, start: int) -> None:
        self._write_note()
        assert self.answer is not None
        told = None if self.file.checksums else ranges.told_checksum(self.answer.headers)
        if told or not start:
            self.partial.expect((told,) if told else self.file.checksums)
        self.partial.open(start)

    def _checked_range(self, headers: Mapping[str, str]) -> tuple[int, int | None]:
        """The start of a 206, and the length of the whole as far as it is told. It may end before the whole does.

        Raises: Retryable, with the partial dropped, unless it goes on exactly where asked, in the same version.
        """
        first, last, total = ranges.content_range(headers)
        whole = first == 0 and last is not None and last + 1 == total
        if first is None or first != self.asked_from or not (self.asked_from or whole):
            asked = f"bytes from {self.asked_from}" if self.asked_from else "no range"
            problem = f"sent {headers.get('content-range') or 'a part without saying which'!r}, asked: {asked}"
        elif self.if_range and not ranges.is_version(headers, self.if_range):
            problem = "has another version now"
        elif total is not None and self.file.size is not None and total != self.file.size:
            problem = f"has {total} bytes now, expected {self.file.size}"
        else:
            return first, total
        self.partial.drop()
        raise Retryable(f"{host_of(self.url)} {problem}")

    def _announced(self, length: int) -> None:
        if self.file.size is not None and length != self.file.size:
            # Perhaps a log-in page: what was received before stays.
            raise IntegrityError(f"{self.file.path}: {host_of(self.url)} has {length} bytes, expected {self.file.size}")
        self.terms.room.take(length - self.partial.length, self.file.path)

    def _write_note(self) -> None:
        """Notes which version the partial is of.

        Without a note it would count as one of the version that a listing told: where it is none, a note says so.
        """
        assert self.answer is not None
        validator = None if self.encoded else ranges.validator(self.answer.headers)
        small = self.expected is not None and self.expected < NOTE_FROM
        useful = validator and not small and validator != self.known_etag
        if useful or (self.file.etag and (self.encoded or not self.known_etag)):
            self.partial.note(self.url, validator)
        elif not self.partial.length:
            self.partial.forget_note()

    def data(self, blocks: list[bytes]) -> None:
        if self.replacing:
            self._replace(blocks[0])
        if not self.partial.is_open:
            self.refused_text = (self.refused_text + b"".join(blocks))[:2000]
            return
        count = sum(map(len, blocks))
        if not self.encoded:
            self.partial.check_length(count)
        self.partial.write(blocks, count)
        self.terms.pace(count)

    def _replace(self, block: bytes) -> None:
        """The partial goes only when data comes in its place.

        Raises: IntegrityError where a log-in page or the like comes.
        """
        if instead := verify.looks_like(block[:HEAD], self.file.path):
            raise IntegrityError(f"{self.file.path}: {instead} came instead of the data")
        self.replacing = False
        self.partial.drop()
        self._open(0)

    # -- at the end ----------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        """Raises unless the whole body was received."""
        assert self.answer is not None
        status = self.answer.status
        if self.replacing:
            raise Retryable(f"{host_of(self.url)} sent an empty body")
        if self.partial.is_open:
            if self.expected is not None and self.partial.length < self.expected:
                raise Retryable(f"{host_of(self.url)} sent {self.partial.length} of {self.expected} bytes")
            return
        if status == 416 and self.asked_from:
            total = self.answer.headers.get("content-range", "").rpartition("/")[2]
            if total == str(self.asked_from):
                return
            self.partial.drop()
            raise Retryable(f"{host_of(self.url)} has no bytes from {self.asked_from} on")
        raise self._refusal(self.answer, self.refused_text)

    def _refusal(self, answer: Answer, text: bytes) -> MedfetchError:
        """The error for an answer that is not the data."""
        error = refusal(answer.status, answer.headers, answer.url, text.decode("utf-8", "replace"))
        elsewhere = answer.redirected or answer.url != self.url
        if isinstance(error, Refused) and answer.status in (400, 401, 403) and elsewhere:
            if self._here() > self.refused_at:
                self.renewed = 0
            self.refused_at = self._here()
            self.renewed += 1
            if self.renewed <= LINK_TRIES:
                again = Retryable(f"{error.message}; asking for a new link")
                again.__cause__ = error
                return again
        return error

    def _verified(self) -> Fetched:
        partial = self.partial
        if self.file is not self.wanted and not partial.hasher.mismatch():
            self.file = partial.file = self.wanted
            partial.unzip()
        problem = self._problem()
        if self._is_packed(problem):
            partial.gunzip()
            problem = self._problem()
        if problem:
            partial.drop()
            raise IntegrityError(problem)
        published = partial.hasher.published
        if published or self.terms.ranges or partial.length < NOTE_FROM:
            partial.forget_note()
        else:
            partial.note_whole()
        self.verified = True
        if published:
            assurance = Assurance.PUBLISHED
        else:
            assurance = Assurance.FIRST_SEEN if self.file.size is None else Assurance.SIZE_ONLY
        checked = str(published[0]) if published else None
        host, noted = host_of(self.url), partial.has_note
        return Fetched(partial.name, partial.length, partial.hasher.sha256, assurance, checked, host, noted)

    def _problem(self) -> str | None:
        """What is wrong with the bytes, as far as anything is known of them."""
        file, length = self.file, self.partial.length
        instead = verify.looks_like(self.partial.head, file.path)
        said = f" ({instead} came instead)" if instead else ""
        if file.size is not None and length != file.size:
            if not instead and length < file.size and not self.encoded:
                raise Retryable(f"{host_of(self.url)} sent {length} of {file.size} bytes of {file.path}")
            return f"{file.path}: {length} bytes, expected {file.size}{said}"
        if wrong := self.partial.hasher.mismatch():
            return f"{file.path} has {wrong[1]}, expected {wrong[0].hex}{said}"
        if instead and not file.checksums:
            return f"{file.path}: {instead} came instead of the data"
        return None

    def _is_packed(self, problem: str | None) -> bool:
        """Whether the bytes are a gzip of the file that was asked for, and not that file itself."""
        if not self.encoded or self.file.checksums or self.file.size is not None:
            return self.encoded and problem is not None
        # Nothing is known: a .gz file is one already unless there is another in it.
        return not self.file.path.lower().endswith((".gz", ".tgz")) or self.partial.inner() == GZIP
