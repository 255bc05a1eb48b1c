"""One file: resume, retry, fail over from address to address, hash. It must not know sources, plans or SQL.

A partial is never trusted more than what is known of it: its validator belongs to one address, and after a change
of address it is kept only where a published digest will tell whether it fitted.
"""

from __future__ import annotations

import json
import os
import re
import threading
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medfetch import verify
from medfetch.cache import disk_errors, free_bytes
from medfetch.checksum import Hasher, hash_file
from medfetch.errors import DiskFull, IntegrityError, MedfetchError, Refused, Retryable, Unreachable
from medfetch.hosts import Hosts, host_of
from medfetch.net.http import Answer
from medfetch.net.layers import Getter, refusal, retried
from medfetch.types import Assurance, RemoteFile, Request

NOTE_FROM = 1 << 20
"""Bytes from which a validator is noted beside the partial: smaller files are fetched anew after a kill."""
BAD_TRIES = 3
"""Times that bytes may arrive wrong from one address before it is given up."""
LINK_TRIES = 2
"""Times that a redirect's target may answer 400, 401 or 403 before it counts as a no: signed links expire."""
CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/(?:([0-9]+)|\*)")
"""RFC 9110, 14.4; the total may be unknown."""
LOOK_AT_DISK = 64 << 20
"""Bytes received between two looks at the free space."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a transfer has to keep to."""

    tries: int
    backoff: float
    reserve: int
    """Bytes of the disk to leave free."""
    ranges: bool
    stop: threading.Event
    received: Callable[[int], None]
    """Told of bytes that are here, resumed ones too; a negative number takes them back."""
    pace: Callable[[int], None]
    """Told of bytes off the wire; waits, to keep to a rate."""
    said: Callable[[str], None]
    """Told why something is tried again."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file under its temporary name."""

    path: Path
    size: int
    sha256: str
    assurance: Assurance
    checked: str | None
    host: str


def fetch_file(file: RemoteFile, partial: Path, getter: Getter, hosts: Hosts, terms: Terms) -> Fetched:
    """Fetches ``file`` into ``partial``, going on from what is there, from the first address that has it.

    Raises:
        IntegrityError: what arrived was wrong, even after retries; nothing of it is kept.
        Refused, Retryable, Unreachable: no address gave it; the partial is kept.
        DiskFull, InterruptedError: the partial is kept.
    """
    failures: list[MedfetchError] = []
    for number, url in enumerate(file.urls):
        try:
            return _Download(file, url, number == 0, partial, getter, hosts, terms).run()
        except (IntegrityError, Refused, Retryable) as error:
            failures.append(error)
            if isinstance(error, Retryable) and not error.reached:
                hosts.mark_down(url)
            if number + 1 < len(file.urls):
                terms.said(f"{error.message}; trying {host_of(file.urls[number + 1])}")
    raise _worst(failures, file.path)


def _worst(failures: list[MedfetchError], path: str) -> MedfetchError:
    """One error for several addresses' failures: wrong bytes weigh most, an unreachable host least."""
    nobody = all(isinstance(error, Retryable) and not error.reached for error in failures)
    if len(failures) == 1 and not nobody:
        return failures[0]
    text = "; ".join(dict.fromkeys(error.message for error in failures)) or f"{path} has no address"
    for kind in (IntegrityError, Refused):
        if any(isinstance(error, kind) for error in failures):
            return kind(text)
    return Unreachable(text) if failures and nobody else Retryable(text)


def _number(text: str) -> int | None:
    """A header's number of bytes; None where it is none that a file could have."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


class _Download:
    """One file from one address; also the receiver of each response."""

    def __init__(
        self, file: RemoteFile, url: str, first: bool, partial: Path, getter: Getter, hosts: Hosts, terms: Terms
    ) -> None:
        self.file, self.url, self.partial, self.getter, self.terms = file, url, partial, getter, terms
        self.tries = 1 if hosts.is_down(url) else terms.tries
        self.known_etag = file.etag if first else None
        self.note = partial.with_suffix(".note")
        self.hasher = Hasher(file.checksums)
        self.noted = False
        self.descriptor = -1
        self.bad = self.renewed = 0
        self.asked_from = 0
        self.if_range = ""
        self.head = b""
        self.expected: int | None = None
        self.replacing = self.encoded = self.verified = False
        self.refused_text = b""
        self.answer: Answer | None = None

    def run(self) -> Fetched:
        self._take_up()
        try:
            return retried(
                self._attempt,
                tries=self.tries,
                backoff=self.terms.backoff,
                stop=self.terms.stop,
                progress=lambda: self.hasher.length,
                said=self.terms.said,
            )
        except Retryable as error:
            # No attempt is left: what was only hoped to pass is the verdict.
            if isinstance(error.__cause__, MedfetchError):
                raise error.__cause__ from None
            raise
        finally:
            if not self.verified:
                self.terms.received(-self.hasher.length)

    def _attempt(self) -> Fetched:
        request = self._request()
        try:
            if self.file.size is None or self.asked_from < self.file.size or not self.asked_from:
                self.getter.get(request, self)
                self._complete()
            return self._verified()
        except IntegrityError as error:
            self.bad += 1
            if self.bad >= BAD_TRIES:
                raise
            raise Retryable(error.message) from error
        finally:
            if self.descriptor >= 0:
                os.close(self.descriptor)
                self.descriptor = -1

    # -- asking --------------------------------------------------------------------------------------------------

    def _request(self) -> Request:
        headers = {"Accept-Encoding": "identity"}
        validator, trusted = self._validator() if self.hasher.length else (None, True)
        if not trusted:
            self.drop()
        self.asked_from, self.if_range = self.hasher.length, ""
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
        try:
            note = self.note.read_bytes()
        except OSError:
            return self.known_etag, provable or self.known_etag is not None
        with suppress(ValueError, KeyError, TypeError):
            content = json.loads(note)
            if content["url"] == self.url and content["validator"]:
                return content["validator"], True
        return None, provable

    def _take_up(self) -> None:
        """Goes on from what was left here, where it may be trusted: the digest needs all of it."""
        if not self.partial.exists():
            return
        self.noted = True
        if not self._validator()[1]:
            self.drop()
            return
        with disk_errors(self.partial):
            self.hasher = hash_file(self.partial, self.file.checksums)
            with open(self.partial, "rb") as partial:
                self.head = partial.read(1024)
        self.terms.received(self.hasher.length)

    def drop(self) -> None:
        """Forgets what was received."""
        if self.hasher.length:
            self.terms.received(-self.hasher.length)
        self.hasher, self.head = Hasher(self.file.checksums), b""
        self.partial.unlink(missing_ok=True)
        self._forget_note()

    def _forget_note(self) -> None:
        if self.noted:
            self.note.unlink(missing_ok=True)
            self.noted = False

    # -- receiving -----------------------------------------------------------------------------------------------

    def begin(self, answer: Answer) -> None:
        """Decides by the head what becomes of the body; anything but 200 and 206 leaves the partial alone."""
        status, headers = answer.status, answer.headers
        self.answer, self.refused_text, self.expected, self.replacing = answer, b"", None, False
        self.encoded = headers.get("content-encoding", "identity").lower() not in ("identity", "")
        if status == 206:
            start, total = self._checked_range(headers)
        elif status == 200:
            start, total = 0, _number(headers.get("content-length", ""))
        elif 200 <= status < 300 and status != 204:
            raise Refused(
                f"{host_of(answer.url)} answered {status} without the data (a check for robots?)", status=status
            )
        else:
            return
        if total is not None and not self.encoded:
            self.expected = total
            self._announced(total)
        self.replacing = start == 0 and self.hasher.length > 0
        if not self.replacing:
            self._open(start)

    def _open(self, start: int) -> None:
        self._write_note()
        with disk_errors(self.partial):
            # Without O_TRUNC: ext4 flushes a truncated file when it is closed (auto_da_alloc).
            self.descriptor = os.open(self.partial, os.O_WRONLY | os.O_CREAT, 0o666)
            os.lseek(self.descriptor, start, os.SEEK_SET)

    def _checked_range(self, headers: Mapping[str, str]) -> tuple[int, int | None]:
        """The start of a 206, and the length of the whole as far as it is told. It may end before the whole does.

        Raises: Retryable, with the partial dropped, unless it goes on exactly where asked, in the same version.
        """
        told = headers.get("content-range", "")
        found = CONTENT_RANGE.fullmatch(told)
        first, last, total = [_number(group or "") for group in found.groups()] if found else [None, None, None]
        whole = first == 0 and last is not None and last + 1 == total
        version = headers.get("etag" if self.if_range.startswith('"') else "last-modified", self.if_range)
        if first is None or first != self.asked_from or not (self.asked_from or whole):
            asked = f"bytes from {self.asked_from}" if self.asked_from else "no range"
            problem = f"sent {told or 'a part without saying which'!r}, asked: {asked}"
        elif self.if_range and version != self.if_range:
            # Some ignore If-Range.
            problem = "has another version now"
        elif total is not None and self.file.size is not None and total != self.file.size:
            problem = f"has {total} bytes now, expected {self.file.size}"
        else:
            return first, total
        self.drop()
        raise Retryable(f"{host_of(self.url)} {problem}")

    def _announced(self, length: int) -> None:
        if self.file.size is not None and length != self.file.size:
            # Perhaps a log-in page: what was received before stays.
            raise IntegrityError(f"{self.file.path}: {host_of(self.url)} has {length} bytes, expected {self.file.size}")
        if length - self.hasher.length > free_bytes(self.partial.parent) - self.terms.reserve:
            raise DiskFull(f"no room for {self.file.path} ({length} bytes)", hint="make room and run it again")

    def _write_note(self) -> None:
        """Notes which version the partial is of.

        Without a note it would count as one of the version that a listing told: where it is none, a note says so.
        """
        assert self.answer is not None
        etag = self.answer.headers.get("etag", "")
        validator = etag if etag.startswith('"') else self.answer.headers.get("last-modified")
        small = self.expected is not None and self.expected < NOTE_FROM
        if self.encoded:
            validator = None
        useful = validator and not small and validator != self.known_etag
        if useful or (self.file.etag and (self.encoded or not self.known_etag)):
            self.noted = True
            with disk_errors(self.note):
                self.note.write_text(json.dumps({"url": self.url, "validator": validator}))
        elif not self.hasher.length:
            self._forget_note()

    def _replace(self, block: bytes) -> None:
        """The partial goes only when data comes in its place.

        Raises: IntegrityError where a log-in page or the like comes.
        """
        if instead := verify.looks_like(block[:1024], self.file.path):
            raise IntegrityError(f"{self.file.path}: {instead} came instead of the data")
        self.replacing = False
        self.drop()
        self._open(0)

    def data(self, block: bytes) -> None:
        if self.replacing:
            self._replace(block)
        if self.descriptor < 0:
            self.refused_text = (self.refused_text + block)[:2000]
            return
        before = self.hasher.length
        length = before + len(block)
        if self.file.size is not None and length > self.file.size and not self.encoded:
            self.drop()
            raise IntegrityError(f"{self.file.path}: more than the expected {self.file.size} bytes arrive")
        look = length // LOOK_AT_DISK != before // LOOK_AT_DISK
        if look and free_bytes(self.partial.parent) < self.terms.reserve:
            raise DiskFull(f"the disk of {self.partial.parent} is nearly full", hint="make room and run it again")
        with disk_errors(self.partial):
            view = memoryview(block)
            while view:
                view = view[os.write(self.descriptor, view) :]
        if before < 1024:
            self.head = (self.head + block)[:1024]
        self.hasher.update(block)
        self.terms.received(len(block))
        self.terms.pace(len(block))

    # -- at the end ----------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        """Raises unless the whole body was received."""
        assert self.answer is not None
        status = self.answer.status
        if self.replacing:
            raise Retryable(f"{host_of(self.url)} sent an empty body")
        if self.descriptor >= 0:
            if self.expected is not None and self.hasher.length < self.expected:
                raise Retryable(f"{host_of(self.url)} sent {self.hasher.length} of {self.expected} bytes")
            return
        if status == 416 and self.asked_from:
            total = self.answer.headers.get("content-range", "").rpartition("/")[2]
            if total == str(self.asked_from):
                return
            self.drop()
            raise Retryable(f"{host_of(self.url)} has no bytes from {self.asked_from} on")
        error = refusal(status, self.answer.headers, self.answer.url, self.refused_text.decode("utf-8", "replace"))
        if isinstance(error, Refused) and status in (400, 401, 403) and self.answer.redirected:
            self.renewed += 1
            if self.renewed <= LINK_TRIES:
                raise Retryable(f"{error.message}; asking for a new link") from error
        raise error

    def _verified(self) -> Fetched:
        file, hasher = self.file, self.hasher
        problem = self._problem(hasher)
        if self.encoded and (problem or not (file.checksums or file.size is not None)):
            # The host compressed although it was asked not to; some call a .gz file's own bytes "encoded".
            hasher = self._decoded()
            problem = self._problem(hasher)
        if problem:
            self.drop()
            raise IntegrityError(problem)
        self._forget_note()
        self.verified = True
        if file.checksums:
            assurance = Assurance.PUBLISHED
        else:
            assurance = Assurance.FIRST_SEEN if file.size is None else Assurance.SIZE_ONLY
        checked = str(file.checksums[0]) if file.checksums else None
        return Fetched(self.partial, hasher.length, hasher.sha256, assurance, checked, host_of(self.url))

    def _problem(self, hasher: Hasher) -> str | None:
        """What is wrong with the bytes, as far as anything is known of them."""
        file = self.file
        instead = verify.looks_like(self.head, file.path)
        said = f" ({instead} came instead)" if instead else ""
        if file.size is not None and hasher.length != file.size:
            if not instead and hasher.length < file.size and not self.encoded:
                raise Retryable(f"{host_of(self.url)} sent {hasher.length} of {file.size} bytes of {file.path}")
            return f"{file.path}: {hasher.length} bytes, expected {file.size}{said}"
        if wrong := hasher.mismatch():
            return f"{file.path} has {wrong[1]}, expected {wrong[0].hex}{said}"
        if instead and not file.checksums:
            return f"{file.path}: {instead} came instead of the data"
        return None

    def _decoded(self) -> Hasher:
        """Undoes gzip or deflate in place.

        Raises: IntegrityError where it is neither.
        """
        hasher = Hasher(self.file.checksums)
        decoded = self.partial.with_suffix(".decoded")
        inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self.head = b""
        with disk_errors(decoded), open(self.partial, "rb") as source, open(decoded, "wb") as target:
            try:
                while block := source.read(1 << 20):
                    out = inflate.decompress(block)
                    target.write(out)
                    hasher.update(out)
                    self.head = (self.head + out)[:1024]
            except zlib.error as error:
                raise IntegrityError(f"{self.file.path}: its content encoding cannot be undone: {error}") from error
        decoded.replace(self.partial)
        self.hasher = hasher
        return hasher
