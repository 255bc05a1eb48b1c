"""The table of server misbehaviour: fetch_file with the real HTTP client against a server that misbehaves as told.

Each case says what the server was asked, what is on disk, and which error came. What nobody can see is written down
too (``test_cannot_be_seen_…``).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import random
import ssl
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import google_crc32c
import pytest
import trustme
from clock import Clock
from servers import (
    Asked,
    Keep,
    Pause,
    Reset,
    Script,
    Server,
    Step,
    chunked,
    cut,
    endless,
    head,
    raw,
    redirect,
    reply,
    serve,
    until_closed,
    wait_until,
)

from medfetch import partial
from medfetch.config import Settings
from medfetch.errors import DiskFull, IntegrityError, MedfetchError, Refused, Retryable, Unreachable
from medfetch.hosts import Hosts
from medfetch.net.layers import Getter
from medfetch.net.stack import bytes_getter
from medfetch.partial import Room
from medfetch.transfer import fetch_file
from medfetch.transfer.download import Fetched, Terms
from medfetch.types import Assurance, Checksum, RemoteFile, Traits

BODY = random.Random(1).randbytes(1_500_000)
"""Long enough for a validator to be noted beside its partial."""
SIZE = len(BODY)
OTHER = random.Random(2).randbytes(SIZE)
MD5 = Checksum("md5", hashlib.md5(BODY).hexdigest())
HALF = 700_001
ETAG, NEW_ETAG, WEAK = '"v1"', '"v2"', 'W/"v1"'
MODIFIED, LATER = "Mon, 02 Jan 2023 00:00:00 GMT", "Tue, 03 Jan 2023 00:00:00 GMT"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class NotedPauses(Hosts):
    """Notes the pauses that hosts asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, lambda: False)
        self.pauses: list[tuple[str, float]] = []

    def pause(self, url: str, seconds: float) -> None:
        self.pauses.append((url, seconds))


class Bench:
    """What a transfer needs, and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            cache=folder, tries=3, backoff=0.01, patience=30, reserve=0, netrc=folder / "netrc", user_agent="test/1"
        )
        self.hosts = NotedPauses(folder / "hosts")
        self.clock = Clock()
        self.partial = folder / "file.part"
        self.note = folder / "file.note"
        self.received = 0
        self.kill_at = 1 << 60
        """Bytes after which the process is as good as killed: nothing that it would still do counts."""
        self.said: list[str] = []
        self.at_said: Callable[[], None] = lambda: None

    def getter(self) -> Getter:
        return bytes_getter(self.settings, Traits(), self.hosts, self.clock)

    def fetch(self, file: RemoteFile, *, ranges: bool = True, getter: Getter | None = None) -> Fetched:
        terms = Terms(
            self.settings.tries, self.settings.backoff, Room(self.partial.parent, self.settings.reserve), ranges,
            self.clock, self._count, lambda count: None, self._say,
        )  # fmt: skip
        return fetch_file(file, self.partial, getter or self.getter(), self.hosts, terms)

    def _count(self, count: int) -> None:
        self.received += count
        if self.received >= self.kill_at:
            raise InterruptedError

    def _say(self, reason: str) -> None:
        self.said.append(reason)
        self.at_said()

    def leave(self, content: bytes, url: str | None = None, validator: str | None = None) -> None:
        """A partial as a former process left it; with a note if ``url``."""
        self.partial.write_bytes(content)
        if url:
            self.note.write_text(json.dumps({"url": url, "validator": validator}))

    def kept(self) -> bytes | None:
        return self.partial.read_bytes() if self.partial.exists() else None

    def check_whole(self, fetched: Fetched, assurance: Assurance, body: bytes = BODY) -> None:
        assert fetched.path == self.partial
        assert self.partial.read_bytes() == body
        assert (fetched.size, fetched.sha256) == (len(body), hashlib.sha256(body).hexdigest())
        assert fetched.assurance is assurance
        assert self.received == len(body)
        assert self._others() == {self.partial.name} | ({self.note.name} if fetched.noted else set())

    def check_nothing(self) -> None:
        assert self._others() == set()
        assert self.received == 0

    def _others(self) -> set[str]:
        return {path.name for path in self.partial.parent.iterdir()} - {"hosts", "netrc"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    bench = Bench(tmp_path)
    yield bench
    bench.hosts.close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as server:
        yield server


def known(*urls: str, path: str = "scan.bin") -> RemoteFile:
    """Size and digest are published."""
    return RemoteFile(path=path, key=urls[0], urls=urls, size=SIZE, checksums=(MD5,))


def sized(*urls: str, path: str = "scan.bin") -> RemoteFile:
    return replace(known(*urls, path=path), checksums=())


def bare(*urls: str, path: str = "scan.bin") -> RemoteFile:
    """Nothing is published."""
    return replace(sized(*urls, path=path), size=None)


KINDS = {known: Assurance.PUBLISHED, sized: Assurance.SIZE_ONLY, bare: Assurance.FIRST_SEEN}


def ranges(asked: list[Asked]) -> list[tuple[str | None, str | None]]:
    """Range and If-Range of each request."""
    return [(each.headers.get("range"), each.headers.get("if-range")) for each in asked]


WHOLE = (None, None)
REST = f"bytes={HALF}-"


# -- no misbehaviour ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_proper_answer(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    fetched = bench.fetch(kind(url))
    bench.check_whole(fetched, KINDS[kind])
    assert fetched.host == f"127.0.0.1:{server.port}"
    assert fetched.checked == (str(MD5) if kind is known else None)
    (asked,) = server.asked
    assert asked.method == "GET"  # never HEAD, which many hosts refuse
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["user-agent"] == "test/1"
    assert not {"range", "if-range", "authorization"} & asked.headers.keys()
    assert (bench.said, bench.clock.waits) == ([], [])


def test_an_empty_file(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(b""))
    fetched = bench.fetch(RemoteFile(path="empty.txt", key=url, urls=(url,), size=0))
    bench.check_whole(fetched, Assurance.SIZE_ONLY, b"")


# -- bodies that end early ----------------------------------------------------------------------------------------

CUTS = {
    "length": cut(serve(BODY, etag=ETAG), HALF),
    "chunked": chunked(BODY[:HALF], f"ETag: {ETAG}", end=False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", CUTS)
def test_a_cut_body_goes_on_where_it_ended(bench: Bench, server: Server, way: str, kind) -> None:
    url = server.script("/f", CUTS[way], serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    asked = server.asked
    assert ranges(asked) == [WHOLE, (REST, ETAG)]
    wait_until(lambda: asked[1].sent == SIZE - HALF)


def test_a_reset_goes_on_where_it_ended(bench: Bench, server: Server) -> None:
    def reset(asked: Asked) -> Iterator[Step]:
        yield from cut(serve(BODY, etag=ETAG), HALF)(asked)
        # A reset also takes back what the client has not read yet.
        while len(bench.kept() or b"") < HALF:
            yield Pause(0.01)
        yield Reset()

    url = server.script("/f", reset, serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [WHOLE, (REST, ETAG)]


@pytest.mark.parametrize("kind", [known, sized])
def test_a_body_without_length_is_cut_and_its_size_is_known(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", until_closed(BODY[:HALF], f"ETag: {ETAG}"), serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, (REST, ETAG)]
    assert server.sent("/f") == SIZE


def test_cannot_be_seen_a_cut_body_without_length_where_nothing_is_known(bench: Bench, server: Server) -> None:
    url = server.script("/f", until_closed(BODY[:HALF]))
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN, BODY[:HALF])


def test_cut_again_and_again_with_progress_is_not_given_up(bench: Bench, server: Server) -> None:
    step = 300_000
    url = server.script("/f", cut(serve(BODY, etag=ETAG), step))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE] + [(f"bytes={at}-", ETAG) for at in range(step, SIZE, step)]
    assert server.sent("/f") == SIZE


def test_cut_always_without_progress_ends_and_keeps_what_is_there(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(BODY, etag=ETAG), HALF), cut(serve(BODY, etag=ETAG), 0))
    with pytest.raises(Retryable) as caught:
        bench.fetch(known(url))
    assert caught.value.exit_code == 1
    assert bench.kept() == BODY[:HALF]
    assert json.loads(bench.note.read_text()) == {"url": url, "validator": ETAG}
    assert ranges(server.asked) == [WHOLE] + 3 * [(REST, ETAG)]
    assert bench.received == 0


def test_without_validator_only_a_digest_allows_to_go_on(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(BODY), HALF), serve(BODY))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE, (REST, None)]


@pytest.mark.parametrize("kind", [sized, bare])
def test_without_validator_and_digest_it_starts_again(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", cut(serve(BODY), HALF), serve(BODY))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, WHOLE]


def test_a_host_without_ranges_is_not_asked_for_one(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(BODY, etag=ETAG), HALF), serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(known(url), ranges=False), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE, WHOLE]


def test_what_came_whole_from_a_host_without_ranges_is_not_fetched_again(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY))
    first = bench.fetch(bare(url), ranges=False)
    assert first.noted, "nothing else would tell"
    bench.received = 0
    again = bench.fetch(bare(url), ranges=False)
    assert (again.sha256, again.assurance, bench.received) == (first.sha256, Assurance.FIRST_SEEN, SIZE)
    assert len(server.asked) == 1
    # Bytes that are not those any more are none at all.
    bench.partial.write_bytes(OTHER)
    bench.received = 0
    assert bench.fetch(bare(url), ranges=False).sha256 == first.sha256
    assert (len(server.asked), bench.received) == (2, SIZE)


# -- partials of a former process ---------------------------------------------------------------------------------


def test_a_note_tells_the_validator(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [(REST, ETAG)]
    assert server.sent("/f") == SIZE - HALF


def test_a_listing_tells_the_validator(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF])
    bench.check_whole(bench.fetch(replace(sized(url), etag=ETAG)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [(REST, ETAG)]


@pytest.mark.parametrize(("kind", "expected"), [(known, (REST, None)), (sized, WHOLE), (bare, WHOLE)])
def test_a_note_of_another_address_counts_for_nothing(bench: Bench, server: Server, kind, expected) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF], "http://other.example/f", ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [expected]


def test_a_listing_vouches_for_no_partial_of_another_address(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(OTHER[:HALF], "http://other.example/f", '"other"')
    bench.check_whole(bench.fetch(replace(sized(url), etag=ETAG)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [WHOLE]


def test_a_note_without_bytes_vouches_for_no_later_ones(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(OTHER), HALF), serve(BODY))
    bench.leave(b"", url, ETAG)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [WHOLE, WHOLE]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"url": 1}', "\udcff"])
def test_a_broken_note_counts_for_nothing(bench: Bench, server: Server, note: str) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF])
    bench.note.write_bytes(note.encode("utf-8", "surrogateescape"))
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [WHOLE]


def test_a_whole_partial_is_verified_without_the_network(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY))
    bench.leave(BODY)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert server.asked == []


@pytest.mark.parametrize("left", [OTHER, BODY + b"more"], ids=["wrong", "too long"])
def test_a_full_partial_that_is_wrong_is_fetched_again(bench: Bench, server: Server, left: bytes) -> None:
    url = server.script("/f", serve(BODY))
    bench.leave(left)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE]


def test_416_to_a_whole_partial_means_that_it_is_whole(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(BODY, url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [(f"bytes={SIZE}-", ETAG)]
    assert server.sent("/f") == 0


def test_416_to_a_partial_that_is_too_long_starts_again(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG))
    bench.leave(BODY + b"more", url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [(f"bytes={SIZE + 4}-", ETAG), WHOLE]


def test_416_without_a_size_starts_again(bench: Bench, server: Server) -> None:
    url = server.script("/f", reply("416 Range Not Satisfiable"), serve(BODY))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [(REST, ETAG), WHOLE]


# -- ranges, wrongly answered -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_ignored_starts_again(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", serve(BODY, etag=ETAG, ranges=False))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [(REST, ETAG)]


def partly(span: str, body: bytes, *headers: str) -> Script:
    return reply("206 Partial Content", body, f"Content-Range: {span}", *headers)


WRONG_RANGES = {
    "earlier": partly(f"bytes {HALF - 100}-{SIZE - 1}/{SIZE}", BODY[HALF - 100 :]),
    "later": partly(f"bytes {HALF + 100}-{SIZE - 1}/{SIZE}", BODY[HALF + 100 :]),
    "from the start": partly(f"bytes 0-{SIZE - 1}/{SIZE}", BODY),
    "garbage": partly("bytes half", BODY[HALF:]),
    "none": reply("206 Partial Content", BODY[HALF:]),
    "other unit": partly(f"rows {HALF}-{SIZE - 1}/{SIZE}", BODY[HALF:]),
    "several parts": reply("206 Partial Content", BODY[HALF:], "Content-Type: multipart/byteranges; boundary=x"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", WRONG_RANGES)
def test_a_wrong_content_range_starts_again(bench: Bench, server: Server, wrong: str, kind) -> None:
    url = server.script("/f", WRONG_RANGES[wrong], serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [(REST, ETAG), WHOLE]


def test_a_range_of_another_total_is_another_object(bench: Bench, server: Server) -> None:
    url = server.script("/f", partly(f"bytes {HALF}-{SIZE}/{SIZE + 1}", BODY[HALF:] + b"x"), serve(BODY))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [(REST, ETAG), WHOLE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_shorter_range_than_asked_goes_on_after_it(bench: Bench, server: Server, kind) -> None:
    # RFC 9110, 15.3.7: a server may send only a part of what was asked for.
    def at_most(asked: Asked) -> Iterable[Step]:
        start = int(asked.headers["range"].removeprefix("bytes=").rstrip("-"))
        end = min(start + 200_000, SIZE)
        return partly(f"bytes {start}-{end - 1}/{SIZE}", BODY[start:end], f"ETag: {ETAG}")(asked)

    url = server.script("/f", at_most)
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [(f"bytes={at}-", ETAG) for at in range(HALF, SIZE, 200_000)]
    assert server.sent("/f") == SIZE - HALF


def test_right_range_with_wrong_bytes_is_recovered_by_the_digest(bench: Bench, server: Server) -> None:
    url = server.script("/f", partly(f"bytes {HALF}-{SIZE - 1}/{SIZE}", OTHER[HALF:]), serve(BODY))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [(REST, ETAG), WHOLE]


def test_cannot_be_seen_right_range_with_wrong_bytes_where_no_digest_is_known(bench: Bench, server: Server) -> None:
    mixed = BODY[:HALF] + OTHER[HALF:]
    url = server.script("/f", serve(mixed, etag=ETAG))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY, mixed)


@pytest.mark.parametrize("kind", KINDS)
def test_206_not_asked_for_but_whole_is_taken(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", partly(f"bytes 0-{SIZE - 1}/{SIZE}", BODY))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE]


PARTS = [f"bytes 0-{HALF - 1}/{SIZE}", f"bytes 0-{HALF - 1}/*", f"bytes 100-{HALF + 99}/{SIZE}"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("span", PARTS)
def test_206_not_asked_for_is_never_the_file(bench: Bench, server: Server, span: str, kind) -> None:
    url = server.script("/f", partly(span, BODY[:HALF]), serve(BODY))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    url = server.script("/always", partly(span, BODY[:HALF]))
    bench.partial.unlink()
    bench.received = 0
    with pytest.raises(Retryable):
        bench.fetch(kind(url))
    bench.check_nothing()
    assert ranges(server.of("/always")) == 3 * [WHOLE]


# -- objects that change ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("validators", [{"etag": ETAG}, {"modified": MODIFIED}, {"etag": WEAK, "modified": MODIFIED}])
def test_an_object_changed_between_attempts(bench: Bench, server: Server, validators, kind) -> None:
    new = {"etag": NEW_ETAG, "modified": LATER}
    before = cut(serve(OTHER, **validators), HALF)
    url = server.script("/f", before, serve(BODY, **{name: new[name] for name in validators}))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    sent = ETAG if validators.get("etag") == ETAG else MODIFIED
    assert ranges(server.asked) == [WHOLE, (REST, sent)]
    wait_until(lambda: server.asked[1].sent == SIZE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("validators", [{"etag": ETAG}, {"modified": MODIFIED}])
def test_an_object_changed_and_if_range_is_ignored(bench: Bench, server: Server, validators, kind) -> None:
    new = {"etag": NEW_ETAG, "modified": LATER}
    before = cut(serve(OTHER, **validators), HALF)
    after = serve(BODY, **{name: new[name] for name in validators}, if_range=False)
    url = server.script("/f", before, after)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, (REST, next(iter(validators.values()))), WHOLE]


def test_an_object_changed_without_validators(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(OTHER), HALF), serve(BODY))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE, (REST, None), WHOLE]


def test_a_weak_etag_is_never_sent(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(BODY, etag=WEAK), HALF), serve(BODY, etag=WEAK))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [WHOLE, WHOLE]


def test_an_object_of_another_size_than_published(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY + b"x"))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(known(url))
    assert caught.value.exit_code == 4
    assert f"{SIZE + 1}" in caught.value.message
    bench.check_nothing()
    assert ranges(server.asked) == 3 * [WHOLE]


# -- statuses -----------------------------------------------------------------------------------------------------

LATER_STATUSES = ["408 Request Timeout", "425 Too Early", "429 Too Many Requests", "500 Internal Server Error",
                  "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"]  # fmt: skip


@pytest.mark.parametrize("status", LATER_STATUSES)
def test_later_once(bench: Bench, server: Server, status: str) -> None:
    url = server.script("/f", reply(status, b"busy"), serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == 2 * [(REST, ETAG)]
    assert len(bench.clock.waits) == 1
    assert bench.hosts.pauses == []
    assert bench.said == [f"127.0.0.1:{server.port} answered {status[:3]}: busy"]


@pytest.mark.parametrize("status", LATER_STATUSES)
def test_later_always(bench: Bench, server: Server, status: str) -> None:
    url = server.script("/f", reply(status, PAGE))
    bench.leave(BODY[:HALF], url, ETAG)
    with pytest.raises(Retryable) as caught:
        bench.fetch(bare(url))
    assert (caught.value.exit_code, caught.value.reached) == (1, True)
    assert bench.kept() == BODY[:HALF]
    assert bench.note.exists()
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
@pytest.mark.parametrize(
    "headers",
    [["Retry-After: 7"], ["Retry-After: Mon, 02 Jan 2023 00:00:07 GMT", "Date: Mon, 02 Jan 2023 00:00:00 GMT"]],
    ids=["seconds", "date"],
)
def test_retry_after_is_obeyed_for_the_host(bench: Bench, server: Server, status: str, headers: list[str]) -> None:
    url = server.script("/f", reply(status, b"", *headers), serve(BODY))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert len(server.asked) == 2
    assert bench.hosts.pauses == [(url, 7.0)]
    assert [int(wait) for wait in bench.clock.waits] == [7]
    assert bench.said == [f"127.0.0.1:{server.port} answered {status[:3]}; again in 7 s"]


PERMANENT = ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "405 Method Not Allowed",
             "410 Gone", "416 Range Not Satisfiable", "418 I'm a teapot", "451 Unavailable For Legal Reasons",
             "501 Not Implemented", "304 Not Modified", "302 Found"]  # fmt: skip


@pytest.mark.parametrize("status", PERMANENT)
def test_a_permanent_no_is_asked_once(bench: Bench, server: Server, status: str) -> None:
    url = server.script("/f", reply(status, b"" if status[0] == "3" else PAGE))
    with pytest.raises(Refused) as caught:
        bench.fetch(known(url))
    assert (caught.value.exit_code, caught.value.status) == (1, int(status[:3]))
    assert status[:3] in caught.value.message
    bench.check_nothing()
    assert len(server.asked) == 1


def test_a_permanent_no_leaves_the_partial_alone(bench: Bench, server: Server) -> None:
    url = server.script("/f", reply("403 Forbidden", PAGE))
    bench.leave(BODY[:HALF], url, ETAG)
    with pytest.raises(Refused):
        bench.fetch(bare(url))
    assert bench.kept() == BODY[:HALF]
    assert bench.note.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ["202 Accepted", "204 No Content", "203 Non-Authoritative Information"])
def test_other_successes_are_no_data(bench: Bench, server: Server, status: str, kind) -> None:
    url = server.script("/f", reply(status))
    bench.leave(BODY[:HALF], url, ETAG)
    with pytest.raises(Refused) as caught:
        bench.fetch(kind(url))
    assert caught.value.status == int(status[:3])
    assert bench.kept() == BODY[:HALF]
    assert len(server.asked) == 1


# -- slow and silent hosts ----------------------------------------------------------------------------------------


TRICKLE = [step for at in range(100) for step in (BODY[at : at + 1], Pause(0.1))]


@pytest.mark.parametrize(
    "slow",
    [
        raw(Pause(30)),
        cut(serve(BODY, etag=ETAG), 1000, Pause(30)),
        raw(head("200 OK", f"Content-Length: {SIZE}", f"ETag: {ETAG}"), *TRICKLE),
    ],
    ids=["before the head", "mid-body", "trickle"],
)
def test_a_stalled_transfer_is_taken_up_again(bench: Bench, server: Server, slow: Script) -> None:
    bench.settings = replace(bench.settings, patience=1)
    url = server.script("/f", slow, serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert len(server.asked) >= 2
    assert "stalled" in bench.said[0]


def test_a_stop_ends_a_stalled_transfer_and_keeps_the_partial(bench: Bench, server: Server) -> None:
    def stop_then_stall(asked: Asked) -> Iterator[Step]:
        yield from cut(serve(BODY, etag=ETAG), HALF)(asked)
        while len(bench.kept() or b"") < HALF:
            yield Pause(0.01)
        bench.clock.set()
        yield Pause(30)

    url = server.script("/f", stop_then_stall)
    with pytest.raises(InterruptedError):
        bench.fetch(known(url))
    assert bench.kept() == BODY[:HALF]
    assert len(server.asked) == 1
    assert bench.said == []


# -- wrong bytes --------------------------------------------------------------------------------------------------

FLIPPED = BODY[:1000] + bytes([BODY[1000] ^ 1]) + BODY[1001:]


def test_a_flipped_bit_once(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(FLIPPED, etag=ETAG), serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE, WHOLE]


@pytest.mark.parametrize("tries", [1, 2, 3, 5])
def test_a_flipped_bit_always(bench: Bench, server: Server, tries: int) -> None:
    bench.settings = replace(bench.settings, tries=tries)
    url = server.script("/f", serve(FLIPPED, etag=ETAG))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(known(url))
    assert caught.value.exit_code == 4
    assert MD5.hex in caught.value.message
    bench.check_nothing()
    assert ranges(server.asked) == min(tries, 3) * [WHOLE]


def test_a_flipped_bit_after_a_cut(bench: Bench, server: Server) -> None:
    url = server.script("/f", cut(serve(FLIPPED, etag=ETAG), HALF), serve(FLIPPED, etag=ETAG))
    with pytest.raises(IntegrityError):
        bench.fetch(known(url))
    bench.check_nothing()


def page(length: bool) -> Script:
    if length:
        return reply("200 OK", PAGE, "Content-Type: text/html")
    return chunked(PAGE, "Content-Type: text/html")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_login_page_once(bench: Bench, server: Server, kind, length: bool) -> None:
    url = server.script("/f", page(length), serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, WHOLE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_login_page_once_spares_the_partial(bench: Bench, server: Server, kind, length: bool) -> None:
    url = server.script("/f", page(length), serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == 2 * [(REST, ETAG)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_login_page_always(bench: Bench, server: Server, kind, length: bool) -> None:
    url = server.script("/f", page(length))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(kind(url))
    assert caught.value.exit_code == 4
    bench.check_nothing()
    assert ranges(server.asked) == 3 * [WHOLE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_a_login_page_always_spares_the_partial(bench: Bench, server: Server, kind, length: bool) -> None:
    url = server.script("/f", page(length))
    bench.leave(BODY[:HALF], url, ETAG)
    with pytest.raises(IntegrityError):
        bench.fetch(kind(url))
    assert bench.kept() == BODY[:HALF]
    assert bench.note.exists()
    assert ranges(server.asked) == 3 * [(REST, ETAG)]


def test_an_empty_200_while_resuming_spares_the_partial(bench: Bench, server: Server) -> None:
    url = server.script("/f", reply("200 OK"), serve(BODY, etag=ETAG))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == 2 * [(REST, ETAG)]


def test_a_page_that_was_wanted(bench: Bench, server: Server) -> None:
    url = server.script("/f", page(length=True))
    bench.check_whole(bench.fetch(bare(url, path="index.html")), Assurance.FIRST_SEEN, PAGE)


# -- too many bytes -----------------------------------------------------------------------------------------------


def test_an_endless_body_of_known_size_is_left(bench: Bench, server: Server) -> None:
    url = server.script("/f", endless("200 OK"), serve(BODY))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [WHOLE, WHOLE]


def test_an_endless_body_of_known_size_always(bench: Bench, server: Server) -> None:
    url = server.script("/f", endless("200 OK"))
    with pytest.raises(IntegrityError):
        bench.fetch(known(url))
    bench.check_nothing()
    assert len(server.asked) == 3


def test_an_endless_body_called_encoded(bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "LOOK_AT_DISK", 1 << 20)
    bench.settings = replace(bench.settings, reserve=1 << 60)
    url = server.script("/f", endless("200 OK", "Content-Encoding: gzip"))
    with pytest.raises(DiskFull):
        bench.fetch(known(url))
    assert len(server.asked) == 1


def test_an_endless_body_of_unknown_size_ends_at_the_disks_reserve(
    bench: Bench, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "LOOK_AT_DISK", 1 << 20)
    bench.settings = replace(bench.settings, reserve=1 << 60)
    url = server.script("/f", endless("200 OK"))
    with pytest.raises(DiskFull) as caught:
        bench.fetch(bare(url))
    assert caught.value.exit_code == 5
    assert len(server.asked) == 1
    assert len(bench.kept() or b"") <= 1 << 20


def test_a_body_that_cannot_fit_is_not_begun(bench: Bench, server: Server) -> None:
    bench.settings = replace(bench.settings, reserve=1 << 60)
    url = server.script("/f", serve(BODY))
    with pytest.raises(DiskFull):
        bench.fetch(bare(url))
    bench.check_nothing()


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_after_the_announced_end_are_not_read(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", raw(head("200 OK", f"Content-Length: {SIZE}"), BODY, b"surplus"))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])


def test_bytes_after_the_announced_end_are_no_answer_to_the_next_request(bench: Bench, server: Server) -> None:
    lines = [f"Content-Length: {SIZE}", "Connection: keep-alive"]
    getter = bench.getter()
    for path in ("/f", "/g"):
        url = server.script(path, raw(head("200 OK", *lines), BODY + PAGE, Keep()))
        bench.check_whole(bench.fetch(bare(url), getter=getter), Assurance.FIRST_SEEN)
        bench.received = 0
        bench.partial.unlink()


@pytest.mark.parametrize("kind", [known, sized])
@pytest.mark.parametrize("script", [chunked(BODY + b"x"), until_closed(BODY + b"x")], ids=["chunked", "until closed"])
def test_extra_bytes_are_wrong_bytes(bench: Bench, server: Server, script: Script, kind) -> None:
    url = server.script("/f", script)
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(kind(url))
    assert f"more than the expected {SIZE} bytes" in caught.value.message
    bench.check_nothing()


# -- content encodings that nobody asked for ----------------------------------------------------------------------

GZIPPED = gzip.compress(BODY, 1)
ENCODED = "Content-Encoding: gzip"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", [reply("200 OK", GZIPPED, ENCODED), chunked(GZIPPED, ENCODED)])
def test_a_file_compressed_on_the_way_is_unpacked(bench: Bench, server: Server, script: Script, kind) -> None:
    url = server.script("/f", script)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert len(server.asked) == 1


def gz(url: str, kind) -> RemoteFile:
    """A file that is a gzip itself."""
    checksums = (Checksum("sha256", hashlib.sha256(GZIPPED).hexdigest()),)
    return {
        known: RemoteFile(path="scan.nii.gz", key=url, urls=(url,), size=len(GZIPPED), checksums=checksums),
        sized: RemoteFile(path="scan.nii.gz", key=url, urls=(url,), size=len(GZIPPED)),
        bare: RemoteFile(path="scan.nii.gz", key=url, urls=(url,)),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
def test_a_gz_file_whose_own_bytes_are_called_encoded(bench: Bench, server: Server, coding: str, kind) -> None:
    url = server.script("/f", serve(GZIPPED, f"Content-Encoding: {coding}", etag=ETAG))
    bench.check_whole(bench.fetch(gz(url, kind)), KINDS[kind], GZIPPED)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gz_file_compressed_once_more_on_the_way(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", chunked(gzip.compress(GZIPPED, 1), ENCODED))
    bench.check_whole(bench.fetch(gz(url, kind)), KINDS[kind], GZIPPED)


@pytest.mark.parametrize("kind", [known, sized])
def test_a_gz_file_called_encoded_goes_on_where_it_was_cut(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", cut(serve(GZIPPED, ENCODED, etag=ETAG), HALF), serve(GZIPPED, ENCODED, etag=ETAG))
    bench.check_whole(bench.fetch(gz(url, kind)), KINDS[kind], GZIPPED)
    assert ranges(server.asked) == [WHOLE, (REST, ETAG)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("etag", ["", ETAG])
def test_a_cut_encoded_body_starts_again(bench: Bench, server: Server, etag: str, kind) -> None:
    encoded, plain = serve(GZIPPED, ENCODED, etag=etag), serve(BODY, etag=etag)
    url = server.script("/f", cut(encoded, HALF), plain)
    bench.check_whole(bench.fetch(replace(kind(url), etag=etag or None)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, WHOLE]


def test_a_killed_encoded_transfer_starts_again(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(GZIPPED, ENCODED, etag=ETAG), serve(BODY, etag=ETAG))
    bench.kill_at = 200_000
    with pytest.raises(InterruptedError):
        bench.fetch(replace(sized(url), etag=ETAG))
    bench.kill_at = 1 << 60
    bench.check_whole(bench.fetch(replace(sized(url), etag=ETAG)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == 2 * [WHOLE]


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoded_rest_is_not_appended(bench: Bench, server: Server, kind) -> None:
    rest = partly(f"bytes {HALF}-{len(GZIPPED) - 1}/{len(GZIPPED)}", GZIPPED[HALF:], ENCODED, f"ETag: {ETAG}")
    url = server.script("/f", rest, serve(BODY))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked)[-1] == WHOLE


def test_an_encoded_rest_of_a_gz_file_is_not_appended(bench: Bench, server: Server) -> None:
    rest = partly(f"bytes {HALF}-{SIZE - 1}/{SIZE}", OTHER[HALF:], ENCODED, f"ETag: {ETAG}")
    url = server.script("/f", rest, serve(GZIPPED))
    bench.leave(GZIPPED[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(gz(url, bare)), Assurance.FIRST_SEEN, GZIPPED)
    assert ranges(server.asked) == [(REST, ETAG), WHOLE]


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoded_body_that_ends_early(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", until_closed(GZIPPED[:HALF], ENCODED), serve(BODY))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, WHOLE]


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
def test_an_encoding_that_cannot_be_undone(bench: Bench, server: Server, coding: str) -> None:
    url = server.script("/f", reply("200 OK", OTHER[:HALF], f"Content-Encoding: {coding}"))
    with pytest.raises(IntegrityError):
        bench.fetch(known(url))
    bench.check_nothing()


def test_an_encoded_body_that_swells(bench: Bench, server: Server) -> None:
    url = server.script("/f", reply("200 OK", gzip.compress(bytes(50_000_000), 1), ENCODED))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(sized(url))
    assert f"more than the expected {SIZE} bytes" in caught.value.message
    bench.check_nothing()


# -- redirects ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["300 Choices", "301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "399 Odd"]
)
def test_a_redirect_is_followed_with_its_headers(bench: Bench, server: Server, status: str) -> None:
    server.script("/target", serve(BODY, etag=ETAG))
    url = server.script("/f", redirect("/target", status))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == 2 * [(REST, ETAG)]


def test_a_chain_of_redirects(bench: Bench, server: Server, other: Server) -> None:
    other.script("/data", serve(BODY))
    server.script("/c", redirect(other.url("/data?signature=abc")))
    server.script("/b", redirect("c"))
    fetched = bench.fetch(known(server.script("/a", redirect("/b"))))
    bench.check_whole(fetched, Assurance.PUBLISHED)
    assert [asked.path for asked in server.asked] == ["/a", "/b", "/c"]
    assert other.asked[0].query == "signature=abc"


def test_a_loop_of_redirects_is_refused(bench: Bench, server: Server) -> None:
    server.script("/b", redirect("/a"))
    with pytest.raises(Refused) as caught:
        bench.fetch(known(server.script("/a", redirect("/b"))))
    assert "redirects" in caught.value.message
    bench.check_nothing()
    assert len(server.asked) == 11


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/f", "gopher://127.0.0.1/f"])
def test_a_redirect_to_another_protocol_is_refused(bench: Bench, server: Server, location: str) -> None:
    url = server.script("/f", redirect(location))
    with pytest.raises(Refused) as caught:
        bench.fetch(bare(url))
    assert "a redirect to another protocol is not followed" in caught.value.message
    assert f"127.0.0.1:{server.port}" in caught.value.message
    bench.check_nothing()
    assert len(server.asked) == 1


@pytest.mark.parametrize("location", ["http://[bad/", "http://", "//", ""])
def test_a_redirect_to_nowhere_is_refused(bench: Bench, server: Server, location: str) -> None:
    url = server.script("/f", redirect(location))
    with pytest.raises(Refused) as caught:
        bench.fetch(known(url))
    assert f"127.0.0.1:{server.port}" in caught.value.message
    bench.check_nothing()
    assert len(server.asked) == 1


def test_a_redirect_to_a_host_that_is_not_there(bench: Bench, server: Server) -> None:
    with Server(listening=False) as dead:
        url = server.script("/f", redirect(dead.url("/f?token=secret")))
        with pytest.raises(Retryable) as caught:
            bench.fetch(known(url))
        assert f"127.0.0.1:{dead.port} (from 127.0.0.1:{server.port}) cannot be reached" in caught.value.message
    assert "secret" not in caught.value.message
    assert not bench.hosts.is_down(url)
    assert len(server.asked) == 3


def test_credentials_stay_with_their_host(bench: Bench, server: Server, other: Server) -> None:
    bench.settings.netrc.write_text("machine 127.0.0.1 login user password secret\n")
    bench.settings.netrc.chmod(0o600)
    other.script("/data", serve(BODY))
    server.script("/same", redirect(other.url("/data")))
    server.script("/name", redirect(server.url("/same", host="localhost")))
    url = server.script("/f", redirect("/again"))
    server.script("/again", redirect(server.url("/name")))
    bench.check_whole(bench.fetch(replace(known(url), credential="netrc:127.0.0.1")), Assurance.PUBLISHED)
    basic = "Basic dXNlcjpzZWNyZXQ="
    sent = {asked.path: asked.headers.get("authorization") for asked in server.asked}
    assert sent == {"/f": basic, "/again": basic, "/name": basic, "/same": None}
    assert "authorization" not in other.asked[0].headers


def test_credentials_do_not_come_back_with_the_next_file(bench: Bench, server: Server) -> None:
    bench.settings.netrc.write_text("machine 127.0.0.1 login user password secret\n")
    bench.settings.netrc.chmod(0o600)
    getter = bench.getter()
    for path, credential in (("/f", "netrc:127.0.0.1"), ("/g", None)):
        url = server.script(path, serve(BODY, keep=True))
        bench.fetch(replace(known(url), credential=credential), getter=getter)
        bench.partial.unlink()
    assert ["authorization" in asked.headers for asked in server.asked] == [True, False]


def test_credentials_that_are_missing(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY))
    with pytest.raises(Refused) as caught:
        bench.fetch(replace(known(url), credential="netrc:127.0.0.1"))
    assert "netrc:127.0.0.1" in caught.value.message
    assert server.asked == []


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "400 Bad Request"])
def test_an_expired_link_is_asked_for_again(bench: Bench, server: Server, other: Server, status: str) -> None:
    other.script("/old", reply(status, b"<Error><Code>ExpiredToken</Code></Error>"))
    other.script("/new", serve(BODY, etag=ETAG))
    stable = [redirect(other.url(path)) for path in ("/old?sig=1", "/new?sig=2")]
    url = server.script("/f", *stable)
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert len(server.asked) == 2
    assert ranges(other.asked) == 2 * [(REST, ETAG)]
    assert "sig" not in " ".join(bench.said)


def test_a_link_that_is_always_expired_is_refused(bench: Bench, server: Server, other: Server) -> None:
    for tries in (1, 2, 5):
        bench.settings = replace(bench.settings, tries=tries)
        other.script("/signed", reply("403 Forbidden", b"Request has expired"))
        url = server.script(f"/{tries}", redirect(other.url("/signed?sig=secret")))
        with pytest.raises(Refused) as caught:
            bench.fetch(known(url))
        assert caught.value.status == 403
        assert "secret" not in caught.value.message + " ".join(bench.said)
        assert len(server.of(f"/{tries}")) == min(tries, 3)


# -- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, bench: Bench, tmp_path: Path) -> Iterator[Server]:
    """A server whose certificate is trusted by the bench."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    bundle = tmp_path / "hosts" / "authority.pem"
    bundle.parent.mkdir(exist_ok=True)
    authority.cert_pem.write_to_path(str(bundle))
    bench.settings = replace(bench.settings, ca_bundle=str(bundle))
    with Server(tls=context) as server:
        yield server


def test_https(bench: Bench, secure: Server) -> None:
    url = secure.script("/f", cut(serve(BODY, etag=ETAG), HALF), serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(secure.asked) == [WHOLE, (REST, ETAG)]


def test_a_redirect_from_https_to_http_is_refused(bench: Bench, secure: Server, server: Server) -> None:
    server.script("/f", serve(BODY))
    url = secure.script("/f", redirect(server.url("/f")))
    with pytest.raises(Refused) as caught:
        bench.fetch(known(url))
    assert "https → http" in caught.value.message
    bench.check_nothing()
    assert (len(secure.asked), server.asked) == (1, [])


def test_a_redirect_from_http_to_https_and_back_is_refused(bench: Bench, secure: Server, server: Server) -> None:
    server.script("/data", serve(BODY))
    secure.script("/f", serve(BODY))
    bench.check_whole(bench.fetch(known(server.script("/f", redirect(secure.url("/f"))))), Assurance.PUBLISHED)


def test_a_certificate_that_is_not_trusted_is_refused(bench: Bench, secure: Server) -> None:
    bench.settings = replace(bench.settings, ca_bundle=Settings(cache=bench.settings.cache).ca_bundle)
    url = secure.script("/f", serve(BODY))
    with pytest.raises(Refused) as caught:
        bench.fetch(known(url))
    assert "certificate" in caught.value.message
    bench.check_nothing()
    assert secure.asked == []


def test_a_certificate_of_another_name_is_refused(bench: Bench, secure: Server) -> None:
    secure.script("/f", serve(BODY))
    with pytest.raises(Refused):
        bench.fetch(known(secure.url("/f", host="localhost")))
    assert secure.asked == []


def test_an_authority_file_that_is_missing_is_refused(bench: Bench, secure: Server) -> None:
    bench.settings = replace(bench.settings, ca_bundle="/nonexistent/authorities.pem")
    url = secure.script("/f", serve(BODY))
    with pytest.raises(Refused) as caught:
        bench.fetch(known(url))
    assert "/nonexistent/authorities.pem" in caught.value.message
    assert secure.asked == []


# -- HTTP as some speak it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_http_1_0(bench: Bench, server: Server, kind) -> None:
    url = server.script("/f", until_closed(BODY))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])


@pytest.mark.parametrize(
    "odd",
    [
        head("200", f"Content-Length: {SIZE}"),
        head("200 OK", f"content-LENGTH:{SIZE}", "ETAG:   W/x"),
        head("200 OK", f"Content-Length: {SIZE}", f"Content-Length: {SIZE}", "X-Twice: 1", "X-Twice: 2"),
        head("200 OK", f"Content-Length: {SIZE}", "X-Long: " + "x" * 60_000),
        head("200 OK", f"Content-Length: {SIZE}", "X-Latin: \xe9\xff", "X-Empty:"),
        head("200 OK", f"Content-Length: {SIZE}", "Retry-After: \xb2", "Content-Encoding: identity"),
        head("100 Continue") + head("103 Early Hints", "Link: </x>") + head("200 OK", f"Content-Length: {SIZE}"),
        f"HTTP/1.1 200 OK\nContent-Length: {SIZE}\n\n".encode(),
    ],
    ids=["no reason", "case", "twice", "long", "odd bytes", "odd digits", "interim", "bare line feeds"],
)
def test_odd_heads_are_understood(bench: Bench, server: Server, odd: bytes) -> None:
    url = server.script("/f", raw(odd, BODY))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert len(server.asked) == 1


NO_HTTP = {
    "garbage": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/0.9": BODY[:1000],
    "a page without head": PAGE,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a header without colon": head("200 OK", f"Content-Length: {SIZE}", "no colon here") + BODY,
    "no number": b"HTTP/1.1 abc OK\r\n\r\n" + BODY,
    "odd digits": "HTTP/1.1 ²²² OK\r\n\r\n".encode("latin-1"),
    "a head without end": head("200 OK", *(f"X-{number}: {'x' * 1000}" for number in range(400))),
    "two lengths": head("200 OK", "Content-Length: 5", f"Content-Length: {SIZE}") + BODY,
    "a negative length": head("200 OK", "Content-Length: -5") + BODY,
    "an unknown transfer coding": head("200 OK", "Transfer-Encoding: secret") + BODY,
    "chunks that are none": head("200 OK", "Transfer-Encoding: chunked") + b"zz\r\n" + BODY,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", NO_HTTP)
def test_what_is_no_http_is_asked_again(bench: Bench, server: Server, what: str, kind) -> None:
    url = server.script("/f", raw(NO_HTTP[what]), serve(BODY))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert len(server.asked) == 2


@pytest.mark.parametrize("what", NO_HTTP)
def test_what_is_no_http_spares_the_partial(bench: Bench, server: Server, what: str) -> None:
    url = server.script("/f", raw(NO_HTTP[what]))
    bench.leave(BODY[:HALF], url, ETAG)
    with pytest.raises(Retryable) as caught:
        bench.fetch(bare(url))
    assert caught.value.exit_code == 1
    assert bench.kept() == BODY[:HALF]


def test_odd_headers_of_a_range(bench: Bench, server: Server) -> None:
    url = server.script("/f", partly(f"bytes {HALF}-²/²", BODY[HALF:]), serve(BODY))
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)


# -- hosts that are not there, and mirrors ------------------------------------------------------------------------


def test_refused_at_first_then_up(bench: Bench) -> None:
    with Server(listening=False) as server:
        url = server.script("/f", serve(BODY))
        bench.at_said = server.listen
        bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
        assert len(bench.said) == 1
        assert "cannot be reached" in bench.said[0]


def test_a_host_that_is_not_there_is_unreachable(bench: Bench) -> None:
    with Server(listening=False) as server:
        url = server.url("/f")
        bench.leave(BODY[:HALF], url, ETAG)
        with pytest.raises(Unreachable) as caught:
            bench.fetch(known(url))
        assert caught.value.exit_code == 6
        assert bench.kept() == BODY[:HALF]
        assert len(bench.clock.waits) == 2
        # Known to be down, it is tried once for the next file.
        assert bench.hosts.is_down(url)
        with pytest.raises(Unreachable):
            bench.fetch(known(url))
        assert len(bench.clock.waits) == 2


FIRST = {
    "404": (reply("404 Not Found"), 1),
    "500": (reply("500 Internal Server Error"), 3),
    "cut": (cut(serve(OTHER, etag=ETAG), 0), 3),
    "wrong bytes": (serve(FLIPPED), 3),
    "wrong size": (serve(BODY + b"x"), 3),
    "202": (reply("202 Accepted"), 1),
    "login page": (page(length=False), 3),
}


@pytest.mark.parametrize("why", FIRST)
def test_the_next_address_is_asked(bench: Bench, server: Server, other: Server, why: str) -> None:
    first, times = FIRST[why]
    second = other.script("/f", serve(BODY))
    fetched = bench.fetch(known(server.script("/f", first), second))
    bench.check_whole(fetched, Assurance.PUBLISHED)
    assert fetched.host == f"127.0.0.1:{other.port}"
    assert (len(server.asked), ranges(other.asked)) == (times, [WHOLE])
    assert bench.said[-1].endswith(f"; trying 127.0.0.1:{other.port}")


def test_the_next_address_is_asked_where_the_first_is_not_there(bench: Bench, other: Server) -> None:
    with Server(listening=False) as server:
        fetched = bench.fetch(known(server.url("/f"), other.script("/f", serve(BODY))))
    bench.check_whole(fetched, Assurance.PUBLISHED)


@pytest.mark.parametrize(("kind", "expected"), [(known, (REST, None)), (sized, WHOLE), (bare, WHOLE)])
def test_a_partial_goes_to_the_next_address_only_with_a_digest(
    bench: Bench, server: Server, other: Server, kind, expected
) -> None:
    first = server.script("/f", cut(serve(BODY, etag=ETAG), HALF), reply("410 Gone"))
    second = other.script("/f", serve(BODY, etag=ETAG))
    bench.check_whole(bench.fetch(replace(kind(first, second), etag=ETAG)), KINDS[kind])
    assert ranges(server.asked) == [WHOLE, (REST, ETAG)]
    assert ranges(other.asked) == [expected]


@pytest.mark.parametrize("small", [True, False])
def test_a_partial_of_the_second_address_is_no_partial_of_the_first(
    bench: Bench, server: Server, other: Server, small: bool
) -> None:
    size = 500_000 if small else SIZE
    first = server.script("/f", reply("503 Service Unavailable"))
    second = other.script("/f", serve(OTHER[:size]))
    file = RemoteFile(path="scan.bin", key="k", urls=(first, second), size=size, etag=ETAG)
    bench.kill_at = 200_000
    with pytest.raises(InterruptedError):
        bench.fetch(file)
    assert len(bench.kept() or b"") >= 200_000
    bench.kill_at = 1 << 60
    server.script("/f", serve(BODY[:size], etag=ETAG))
    bench.check_whole(bench.fetch(file), Assurance.SIZE_ONLY, BODY[:size])
    assert ranges(server.asked) == 4 * [WHOLE]


def test_all_mirrors_dead_is_unreachable(bench: Bench) -> None:
    with Server(listening=False) as first, Server(listening=False) as second:
        with pytest.raises(Unreachable) as caught:
            bench.fetch(known(first.url("/f"), second.url("/f")))
        assert str(first.port) in caught.value.message
        assert str(second.port) in caught.value.message
    bench.check_nothing()


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (reply("404 Not Found"), Refused),
        (reply("503 Service Unavailable"), Retryable),
        (serve(FLIPPED), IntegrityError),
    ],
)
def test_the_gravest_error_is_told(bench: Bench, server: Server, second: Script, kind: type[MedfetchError]) -> None:
    with Server(listening=False) as dead, pytest.raises(kind):
        bench.fetch(known(dead.url("/f"), server.script("/f", second)))
    bench.check_nothing()


def test_a_file_without_address(bench: Bench) -> None:
    with pytest.raises(Retryable, match="no address"):
        bench.fetch(RemoteFile(path="scan.bin", key="k"))


# -- what Google's storage tells of the bytes ---------------------------------------------------------------------


def told(body: bytes = BODY) -> str:
    """The header in which Cloud Storage tells the digests of the object."""
    return f"X-Goog-Hash: md5={base64.b64encode(hashlib.md5(body).digest()).decode()}"


@pytest.mark.parametrize("kind", [sized, bare])
def test_a_digest_that_comes_with_the_bytes_counts_as_published(bench: Bench, server: Server, kind) -> None:
    crc = "X-Goog-Hash: crc32c=n03x6A=="
    url = server.script("/f", serve(BODY, *((crc, told()) if kind is sized else (told(), crc)), etag=ETAG))
    fetched = bench.fetch(kind(url))
    bench.check_whole(fetched, Assurance.PUBLISHED)
    assert fetched.checked == str(MD5)


def test_a_digest_that_comes_with_the_bytes_finds_wrong_ones(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(OTHER, told(), etag=ETAG), serve(BODY, told(), etag=ETAG))
    bench.check_whole(bench.fetch(sized(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE, WHOLE]


@pytest.mark.parametrize("left", [BODY[:HALF], OTHER[:HALF]], ids=["right", "wrong"])
def test_a_digest_that_comes_with_the_rest_counts_for_all(bench: Bench, server: Server, left: bytes) -> None:
    url = server.script("/f", serve(BODY, told(), etag=ETAG))
    bench.leave(left, url, ETAG)
    bench.check_whole(bench.fetch(bare(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [(REST, ETAG)] + [WHOLE] * (left != BODY[:HALF])


def test_a_new_versions_digest_takes_the_olds_place(bench: Bench, server: Server) -> None:
    old = cut(serve(OTHER, told(OTHER), etag=ETAG), HALF)
    url = server.script("/f", old, serve(BODY, told(), etag=NEW_ETAG))
    bench.check_whole(bench.fetch(bare(url)), Assurance.PUBLISHED)


def test_the_digest_of_a_version_that_was_replaced_is_forgotten(bench: Bench, server: Server) -> None:
    old = cut(serve(OTHER, told(OTHER), etag=ETAG), HALF)
    url = server.script("/f", old, serve(BODY, etag=NEW_ETAG))
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)


@pytest.mark.parametrize(
    "headers",
    [
        ("X-Goog-Hash: crc32c=short",),
        (told(OTHER), "X-Goog-Stored-Content-Encoding: gzip"),
        ("X-Goog-Hash: md5=short",),
    ],
)
def test_other_digests_that_come_with_the_bytes_say_nothing(bench: Bench, server: Server, headers) -> None:
    url = server.script("/f", serve(BODY, *headers, etag=ETAG))
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)


def crc32c(body: bytes) -> str:
    return f"X-Goog-Hash: crc32c={base64.b64encode(google_crc32c.value(body).to_bytes(4, 'big')).decode()}"


def test_where_no_md5_comes_with_the_bytes_their_crc32c_is_compared(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(OTHER, crc32c(BODY), etag=ETAG), serve(BODY, crc32c(BODY), etag=ETAG))
    fetched = bench.fetch(bare(url))
    bench.check_whole(fetched, Assurance.PUBLISHED)
    assert str(fetched.checked).startswith("crc32c:")
    # An MD5 says more.
    url = server.script("/g", serve(BODY, crc32c(OTHER), told(BODY), etag=ETAG))
    assert str(bench.fetch(bare(url)).checked) == str(MD5)


@pytest.mark.parametrize(
    ("etag", "encryption", "assurance"),
    [
        (f'"{MD5.hex}"', "AES256", Assurance.PUBLISHED),
        (f'"{MD5.hex}-2"', "AES256", Assurance.FIRST_SEEN),
        (f'"{MD5.hex[::-1]}"', "aws:kms", Assurance.FIRST_SEEN),
    ],
)
def test_amazons_etag_is_an_md5_where_amazon_says_how_it_encrypts(
    bench: Bench, server: Server, etag: str, encryption: str, assurance: Assurance
) -> None:
    url = server.script("/f", serve(BODY, f"x-amz-server-side-encryption: {encryption}", etag=etag))
    bench.check_whole(bench.fetch(bare(url)), assurance)


def test_a_published_digest_counts_more_than_one_that_comes_with_the_bytes(bench: Bench, server: Server) -> None:
    url = server.script("/f", serve(BODY, told(OTHER), etag=ETAG))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)


# -- files that come as the only member of a zip ------------------------------------------------------------------


def zipped(*members: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


WRAPPED = zipped(("scan.bin", BODY))


def wrapped(server: Server, *scripts: Script) -> str:
    """An address that leads to a zip called like the file, and .zip."""
    server.script("/store/scan.bin.zip", *scripts)
    return server.script("/api/owner/scan.bin", redirect("/store/scan.bin.zip?signature=abc"))


@pytest.mark.parametrize("kind", [sized, bare])
@pytest.mark.parametrize("headers", [(), (told(WRAPPED),)])
def test_a_file_that_comes_in_a_zip_is_taken_out(bench: Bench, server: Server, kind, headers) -> None:
    bench.check_whole(bench.fetch(kind(wrapped(server, serve(WRAPPED, *headers, etag=ETAG)))), KINDS[kind])
    assert len(server.asked) == 2


def test_a_file_that_comes_in_a_zip_goes_on_where_it_ended(bench: Bench, server: Server) -> None:
    good = serve(WRAPPED, told(WRAPPED), etag=ETAG)
    bench.check_whole(bench.fetch(sized(wrapped(server, cut(good, HALF), good))), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == 2 * [WHOLE] + 2 * [(REST, ETAG)]


def test_a_file_that_comes_in_a_zip_goes_on_in_another_process(bench: Bench, server: Server) -> None:
    url = wrapped(server, serve(WRAPPED, told(WRAPPED), etag=ETAG))
    bench.leave(WRAPPED[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == 2 * [(REST, ETAG)]


@pytest.mark.parametrize("name", ["scan.zip", "scan"])
def test_a_zip_is_left_as_it_is_if_it_was_asked_for(bench: Bench, server: Server, name: str) -> None:
    server.script("/store/scan.zip", serve(WRAPPED, etag=ETAG))
    url = server.script(f"/api/{name}", redirect("/store/scan.zip"))
    file = replace(bare(url), path="scan.zip")
    bench.check_whole(bench.fetch(file), Assurance.FIRST_SEEN, WRAPPED)


@pytest.mark.parametrize(
    "packed",
    [
        zipped(("scan.bin", BODY), ("more.bin", b"x")),
        zipped(("scan.bin", BODY + b"x")),
        zipped(("scan.bin", BODY[:-1])),
        b"no zip at all",
    ],
    ids=["two", "longer", "shorter", "none"],
)
def test_a_zip_that_does_not_hold_the_file_is_an_error(bench: Bench, server: Server, packed: bytes) -> None:
    with pytest.raises(IntegrityError):
        bench.fetch(sized(wrapped(server, serve(packed))))
    bench.check_nothing()
