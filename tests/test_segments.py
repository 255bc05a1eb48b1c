"""Large files in several ranges at once: the table of misbehaviour of ``test_transfer.py`` again, midway and with help.

Sizes are small here: a piece has 50,000 bytes, and from a million on a file is large. ``test_segments_cli.py`` has real
ones.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from servers import Asked, Pause, Reset, Script, Server, Step, chunked, cut, redirect, reply, serve, wait_until
from test_transfer import (
    BODY,
    ETAG,
    HALF,
    KINDS,
    LATER,
    MD5,
    MODIFIED,
    NEW_ETAG,
    OTHER,
    PAGE,
    SIZE,
    WEAK,
    WHOLE,
    Bench,
    bare,
    known,
    page,
    ranges,
    sized,
    told,
)

from medfetch import machine, partial, pieces, segments, span, storage
from medfetch.errors import CacheError, DiskFull, IntegrityError, Refused, Retryable
from medfetch.fetching import Fetching
from medfetch.net.http import Answer, Receiver
from medfetch.net.layers import Getter
from medfetch.partial import Room
from medfetch.pool import Pool
from medfetch.transfer import download, fetch_file
from medfetch.transfer.download import Fetched, Terms
from medfetch.types import Assurance, RemoteFile, Request

PIECE = 50_000
COUNT = SIZE // PIECE
MOST = 8
"""Pieces of one request."""
LARGE = 1_000_000
HELPERS = 3
RANGES = "Accept-Ranges: bytes"
GOOD = serve(BODY, RANGES, etag=ETAG)
ALONE = [0, 8, 16, 23, 26, 28, 29, 30]
"""The pieces with which a thread's requests begin when nobody helps, and the end."""
IN_TURN = [f"bytes={first * PIECE}-{end * PIECE - 1}" for first, end in pairwise(ALONE)]


class Ranged(Bench):
    """A bench whose files are large; ``helpers`` threads have nothing else to do."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.helpers = 0
        self.paced = 0
        self.servers: list[Server] = []

    @property
    def pieces(self) -> Path:
        return self.partial.with_suffix(".pieces")

    def fetch(self, file: RemoteFile, *, ranges: bool = True, getter: Getter | None = None) -> Fetched:
        pool: Pool[Any, Any] = Pool(lambda task: task, max(1, self.helpers))
        terms = Terms(
            tries=self.settings.tries, backoff=self.settings.backoff, room=Room(self.partial.parent, 0), ranges=ranges,
            stop=self.clock, received=self._count, pace=self._pace, said=self._say,
            help=pool.help if self.helpers else lambda call: None, crowded=pool.crowded,
        )  # fmt: skip
        try:
            return fetch_file(file, self.partial, getter or self.getter(), self.hosts, terms)
        finally:
            pool.end(None)
            self.settle()

    def settle(self) -> None:
        """A server counts what it sent when that was taken from it: then the client may be done already."""
        wait_until(lambda: not any(server._open for server in self.servers))

    def _pace(self, count: int) -> None:
        self.paced += count

    def leave_pieces(
        self, url: str, validator: str | None, here: dict[int, bytes], body: bytes = BODY, **more: Any
    ) -> None:
        """A partial as a killed process left it: bytes by the piece that they begin."""
        with open(self.partial, "wb") as file:
            for number, content in here.items():
                file.seek(number * PIECE)
                file.write(content)
        boot = storage.BOOT.read_text().strip()
        head = {"url": url, "validator": validator, "size": len(body), "piece": PIECE, "boot": boot, **more}
        numbers = array("I", [len(here.get(number, b"")) for number in range(COUNT)])
        self.pieces.write_bytes(json.dumps(head).encode().ljust(pieces.HEAD) + numbers.tobytes() + bytes(4 * COUNT))

    def here(self) -> list[int]:
        """How many bytes of each piece are noted."""
        return list(array("I", self.pieces.read_bytes()[pieces.HEAD :]))[:COUNT]

    def check_here(self, body: bytes = BODY) -> int:
        """Fails unless the bytes that are noted are those of ``body``; how many there are."""
        content = self.partial.read_bytes()
        for number, count in enumerate(self.here()):
            at = number * PIECE
            assert content[at : at + count] == body[at : at + count]
        return sum(self.here())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ranged]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for module in (pieces, segments, span):
        monkeypatch.setattr(module, "PIECE", PIECE)
    monkeypatch.setattr(segments, "HELP_AGAIN", 0.0)
    # However slow this machine is, it asks as on a fast line, and from the beginning.
    for most in ("FIRST_PIECES", "MOST_PIECES"):
        monkeypatch.setattr(segments, most, MOST)
    monkeypatch.setattr(segments, "SPAN", 3600.0)
    monkeypatch.setattr(download, "SEGMENTS_FROM", LARGE)
    bench = Ranged(tmp_path)
    yield bench
    bench.hosts.close()


@pytest.fixture(autouse=True)
def nothing_stays(bench: Ranged) -> Iterator[None]:
    """No descriptor of the partial and its notes stays open, and no thread goes on."""
    yield
    links = (Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    still_open = {path.readlink() for path in links if path.is_symlink()}
    assert not {path for path in still_open if path.is_relative_to(bench.partial.parent) and "hosts" not in path.parts}
    assert not [thread for thread in threading.enumerate() if "_run" in thread.name]


@pytest.fixture
def server(bench: Ranged) -> Iterator[Server]:
    with Server() as server:
        bench.servers.append(server)
        yield server


@pytest.fixture
def other(bench: Ranged) -> Iterator[Server]:
    with Server() as server:
        bench.servers.append(server)
        yield server


def start_of(asked: Asked) -> int:
    return int(asked.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


def midway(*bad: Script, good: Script = GOOD, start: int = HALF) -> Script:
    """Good, but for the first requests beyond ``start``, which meet one bad script each."""
    left = list(bad)

    def script(asked: Asked) -> Iterator[Step]:
        beyond = start_of(asked) >= start
        yield from (left.pop(0) if left and beyond else good)(asked)

    return script


def together(number: int, server: Server, script: Script = GOOD) -> Script:
    """Answers to all but the first request wait until there have been so many."""

    def wait(asked: Asked) -> Iterator[Step]:
        wait_until(lambda: not start_of(asked) or len(server.asked) >= number)
        yield from script(asked)

    return wait


def listed(url: str, etag: str) -> RemoteFile:
    """Nothing but the size and the version is known from a listing."""
    return replace(sized(url), etag=etag)


# -- no misbehaviour ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [known, sized])
def test_pieces_in_order_are_hashed_as_they_come(bench: Ranged, server: Server, monkeypatch, kind) -> None:
    read = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: read.append(len(buffers[0])) or preadv(fd, buffers, at))
    url = server.script("/f", GOOD)
    fetched = bench.fetch(kind(url))
    bench.check_whole(fetched, KINDS[kind])
    assert ranges(server.asked) == list(zip(IN_TURN, [None] + 6 * [ETAG], strict=True))
    assert server.sent("/f") == bench.paced == SIZE
    assert read == []
    assert (bench.said, bench.clock.waits) == ([], [])


@pytest.mark.parametrize(("seconds", "first", "second"), [(0.0, 1, 1), (3600.0, 1, MOST)])
def test_requests_are_as_long_as_the_line_is_fast(
    bench: Ranged, server: Server, monkeypatch, seconds: float, first: int, second: int
) -> None:
    monkeypatch.setattr(segments, "FIRST_PIECES", 1)
    monkeypatch.setattr(segments, "SPAN", seconds)
    url = server.script("/f", GOOD)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    asked = [each.partition("=")[2].split("-") for each, _ in ranges(server.asked)]
    lengths = [(int(end) - int(start) + 1) / PIECE for start, end in asked]
    assert lengths[:2] == [first, second]
    assert server.sent("/f") == SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_others_help(bench: Ranged, server: Server, monkeypatch, kind) -> None:
    read = []
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: read.append(len(buffers[0])) or preadv(fd, buffers, at))
    bench.helpers = HELPERS
    first = 1 + (kind is bare)
    url = server.script("/f", together(first + HELPERS, server))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    asked = [each for each in server.asked if "range" in each.headers]
    assert [each.headers.get("if-range") for each in asked] == [None] + (len(asked) - 1) * [ETAG]
    assert sum(each.sent for each in asked) == bench.paced == SIZE
    assert len({each.headers["range"] for each in asked}) == len(asked) >= 1 + HELPERS
    assert sum(read) < SIZE  # each byte at most once, and those at the front not at all
    assert bench.said == []


def test_a_file_that_is_not_large_comes_in_one(bench: Ranged, server: Server, monkeypatch) -> None:
    monkeypatch.setattr(download, "SEGMENTS_FROM", SIZE + 1)
    bench.helpers = HELPERS
    url = server.script("/f", GOOD)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [WHOLE]


def test_two_large_files_at_once_in_one_pool(bench: Ranged, tmp_path: Path, server: Server) -> None:
    bodies = {"/f": BODY, "/g": OTHER}
    together_until = together(8, server)
    received = dict.fromkeys(bodies, 0)

    def work(path: str) -> Fetched:
        body = bodies[path]
        url = server.script(path, lambda asked: (yield from serve_both(body, asked)))

        def count(number: int) -> None:
            received[path] += number

        file = replace(known(url), checksums=(replace(MD5, hex=hashlib.md5(body).hexdigest()),))
        terms = Terms(
            tries=3, backoff=0.01, room=Room(tmp_path, 0), ranges=True, stop=bench.clock, received=count,
            pace=lambda count: None, said=bench._say, help=pool.help, crowded=pool.crowded,
        )  # fmt: skip
        return fetch_file(file, tmp_path / f"{path[1:]}.part", bench.getter(), bench.hosts, terms)

    def serve_both(body: bytes, asked: Asked) -> Iterator[Step]:
        yield from together_until(asked) if body is BODY else serve(body, etag=ETAG)(asked)

    pool: Pool[str, Fetched] = Pool(work, 6)
    pool.put(bodies)
    results: list[Fetched] = []
    while len(results) < 2:
        results += pool.take(0.1)
    pool.end(None)
    bench.settle()
    for fetched in results:
        assert fetched.path.read_bytes() == bodies[f"/{fetched.path.stem}"]
    assert server.sent("/f") == server.sent("/g") == SIZE
    assert set(received.values()) == {SIZE}
    assert bench._others() == {"f.part", "g.part"}


# -- sizes that nobody told ---------------------------------------------------------------------------------------


def test_a_size_that_the_host_tells(bench: Ranged, server: Server) -> None:
    url = server.script("/f", GOOD)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [WHOLE, *zip(IN_TURN, [None] + 6 * [ETAG], strict=True)]


@pytest.mark.parametrize("script", [serve(BODY, etag=ETAG), chunked(BODY, RANGES)], ids=["no ranges", "no length"])
def test_a_size_that_is_of_no_use(bench: Ranged, server: Server, script: Script) -> None:
    url = server.script("/f", script)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert ranges(server.asked) == [WHOLE]


def test_a_size_that_changes(bench: Ranged, server: Server) -> None:
    new = serve(BODY, RANGES, etag=NEW_ETAG)
    url = server.script("/f", serve(OTHER + b"more", RANGES, etag=ETAG), serve(OTHER + b"more", RANGES, etag=ETAG), new)
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    assert len(server.asked) > 8


def test_a_size_that_was_learned_before_is_gone_on_with(bench: Ranged, server: Server) -> None:
    url = server.script("/f", midway(*4 * [cut(GOOD, 0)]))
    with pytest.raises(Retryable):
        bench.fetch(bare(url))
    assert bench.received == 0
    bench.check_here()
    before = server.sent("/f")
    bench.check_whole(bench.fetch(bare(url)), Assurance.FIRST_SEEN)
    first_answer = server.asked[0].sent  # of a GET that was ended at its head
    assert server.sent("/f") - first_answer == SIZE
    assert server.sent("/f") - before < SIZE / 2


# -- hosts without ranges, or without versions --------------------------------------------------------------------


@pytest.mark.parametrize("kind", [known, sized])
def test_a_host_that_ignores_ranges(bench: Ranged, server: Server, kind) -> None:
    bench.helpers = HELPERS
    url = server.script("/f", serve(BODY, etag=ETAG, ranges=False))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked) == [(IN_TURN[0], None), WHOLE]


@pytest.mark.parametrize("kind", [known, sized])
@pytest.mark.parametrize("validators", [{}, {"etag": WEAK}], ids=["none", "weak"])
def test_without_versions_only_a_digest_allows_several_ranges(
    bench: Ranged, server: Server, kind, validators: dict[str, str]
) -> None:
    bench.helpers = HELPERS
    url = server.script("/f", serve(BODY, **validators))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    if kind is known:
        assert {each.headers.get("if-range") for each in server.asked} == {None}
        assert server.sent("/f") == SIZE
    else:
        assert ranges(server.asked) == [(IN_TURN[0], None), WHOLE]


@pytest.mark.parametrize("etag", ["", WEAK])
def test_the_date_is_a_version_too(bench: Ranged, server: Server, etag: str) -> None:
    url = server.script("/f", serve(BODY, etag=etag, modified=MODIFIED))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert [if_range for _, if_range in ranges(server.asked)] == [None] + 6 * [MODIFIED]


def test_a_version_that_is_not_repeated_is_still_asked_for(bench: Ranged, server: Server) -> None:
    # RFC 9110, 15.3.7: in answer to If-Range a host need not send Last-Modified again.
    def once(asked: Asked) -> Iterator[Step]:
        yield from serve(BODY, modified=MODIFIED if "if-range" not in asked.headers else "", if_range=False)(asked)

    url = server.script("/f", midway(*4 * [cut(once, 0)], good=once))
    with pytest.raises(Retryable):
        bench.fetch(sized(url))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert [if_range for _, if_range in ranges(server.asked)] == [None] + (len(server.asked) - 1) * [MODIFIED]
    assert server.sent("/f") == SIZE


@pytest.mark.parametrize("etag", [ETAG, '"older"', WEAK])
def test_a_listing_s_version_is_not_asked_for_where_nothing_is_here(bench: Ranged, server: Server, etag: str) -> None:
    url = server.script("/f", GOOD)
    bench.check_whole(bench.fetch(listed(url, etag)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == list(zip(IN_TURN, [None] + 6 * [ETAG], strict=True))


# -- ranges, wrongly answered -------------------------------------------------------------------------------------


def moved(by: int, *, more: int = 0, total: int | None = SIZE, headers: tuple[str, ...] = ()) -> Script:
    """Another range than was asked for."""

    def script(asked: Asked) -> Iterator[Step]:
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        start, end = int(first) + by, int(last) + 1 + by + more
        told = f"Content-Range: bytes {start}-{end - 1}/{total or '*'}"
        yield from reply("206 Partial Content", BODY[start:end], told, f"ETag: {ETAG}", *headers)(asked)

    return script


WRONG = {
    "earlier": moved(-100),
    "later": moved(100),
    "longer": moved(0, more=100),
    "from the start": reply("206 Partial Content", BODY, f"Content-Range: bytes 0-{SIZE - 1}/{SIZE}", f"ETag: {ETAG}"),
    "garbage": reply("206 Partial Content", BODY[HALF:], "Content-Range: bytes half"),
    "none": reply("206 Partial Content", BODY[HALF:]),
    "several parts": reply("206 Partial Content", BODY[HALF:], "Content-Type: multipart/byteranges; boundary=x"),
    "compressed": moved(0, headers=("Content-Encoding: gzip",)),
    "ignored": serve(BODY, etag=ETAG, ranges=False),
    "tiny": moved(0, more=9 - 7 * PIECE),
}


@pytest.mark.parametrize("helpers", [0, HELPERS])
@pytest.mark.parametrize("kind", [known, sized])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_range_midway_leaves_the_front(bench: Ranged, server: Server, wrong: str, kind, helpers: int) -> None:
    bench.helpers = helpers
    url = server.script("/f", midway(WRONG[wrong]))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    span, if_range = ranges(server.asked)[-1]
    # The rest comes in one.
    assert span.endswith("-")
    assert if_range == ETAG
    if not helpers:
        assert span == f"bytes={16 * PIECE}-"
        assert sum(each.sent for each in server.asked if each.headers["range"] != IN_TURN[2]) == SIZE


def test_a_body_longer_than_its_range(bench: Ranged, server: Server) -> None:
    def longer(asked: Asked) -> Iterator[Step]:
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        told = f"Content-Range: bytes {first}-{last}/{SIZE}"
        yield from reply("206 Partial Content", BODY[int(first) : int(last) + 9], told, f"ETag: {ETAG}")(asked)

    url = server.script("/f", midway(longer))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked)[-1][0].endswith("-")


@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_a_host_that_sends_less_than_asked(bench: Ranged, server: Server, helpers: int) -> None:
    def at_most(asked: Asked) -> Iterator[Step]:
        first, _, last = asked.headers["range"].removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1, int(first) + 70_000)
        told = f"Content-Range: bytes {start}-{end - 1}/*"
        yield from reply("206 Partial Content", BODY[start:end], told, f"ETag: {ETAG}")(asked)

    bench.helpers = helpers
    url = server.script("/f", at_most)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert server.sent("/f") == SIZE
    assert bench.said == []


# -- what breaks midway -------------------------------------------------------------------------------------------

BREAKS: dict[str, Script] = {
    "cut": cut(GOOD, 60_000),
    "cut at once": cut(GOOD, 0),
    "reset": cut(GOOD, 60_000, Reset()),
    "chunked and cut": lambda asked: chunked(
        BODY[start_of(asked) :][:60_000], f"ETag: {ETAG}", f"Content-Range: bytes {start_of(asked)}-{SIZE - 1}/{SIZE}",
        end=False, status="206 Partial Content",
    )(asked) if start_of(asked) >= 29 * PIECE else cut(GOOD, 60_000)(asked),
    "503": reply("503 Service Unavailable", b"busy"),
    "429": reply("429 Too Many Requests"),
    "page": page(True),
    "page without length": page(False),
    "no HTTP": lambda asked: iter([b"hello\r\n\r\n"]),
}  # fmt: skip


@pytest.mark.parametrize("helpers", [0, HELPERS])
@pytest.mark.parametrize("kind", [sized, bare])
@pytest.mark.parametrize("way", BREAKS)
def test_a_range_that_fails_costs_nothing_that_is_here(
    bench: Ranged, server: Server, way: str, kind, helpers: int
) -> None:
    bench.helpers = helpers
    url = server.script("/f", midway(BREAKS[way], BREAKS[way]))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    asked = [each for each in server.asked if "range" in each.headers]
    assert [each.headers.get("if-range") for each in asked] == [None] + (len(asked) - 1) * [ETAG]
    right = sum(each.sent for each in asked)
    wasted = 2 * len(PAGE) + 100 if "page" in way else 200
    # A reset takes back what was on its way.
    assert SIZE <= right <= SIZE + wasted or way == "reset"
    assert bench.paced == SIZE


def test_a_stalled_range_is_taken_up_again(bench: Ranged, server: Server) -> None:
    bench.settings = replace(bench.settings, patience=1)
    bench.helpers = HELPERS
    url = server.script("/f", midway(cut(GOOD, 1000, Pause(30))))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert server.sent("/f") == SIZE


@pytest.mark.parametrize("helpers", [0, HELPERS])
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_retry_after_midway_is_for_the_host(bench: Ranged, server: Server, status: str, helpers: int) -> None:
    bench.helpers = helpers
    url = server.script("/f", midway(reply(status, b"", "Retry-After: 7")))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert bench.hosts.pauses == [(url, 7.0)]
    assert server.sent("/f") == SIZE
    if not helpers:
        assert [int(wait) for wait in bench.clock.waits] == [7]


def test_what_always_fails_ends_and_keeps_what_is_there(bench: Ranged, server: Server) -> None:
    url = server.script("/f", midway(*9 * [reply("503 Service Unavailable")]))
    with pytest.raises(Retryable):
        bench.fetch(sized(url))
    assert bench.received == 0
    assert bench.check_here() == 16 * PIECE
    assert len(server.asked) == 2 + 1 + 3
    server.script("/f", GOOD)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert server.sent("/f") == SIZE


def test_a_permanent_no_midway(bench: Ranged, server: Server) -> None:
    bench.helpers = HELPERS
    url = server.script("/f", midway(*99 * [reply("404 Not Found")]))
    with pytest.raises(Refused):
        bench.fetch(sized(url))
    assert bench.received == 0
    assert 0 < bench.check_here() <= 23 * PIECE


@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_an_expired_link_midway(bench: Ranged, server: Server, helpers: int) -> None:
    """Each time that something came in between the link is asked for anew, and helpers use up nobody's tries."""
    bench.helpers = helpers
    lock = threading.Lock()
    seen: dict[int, int] = {}

    def expired(asked: Asked) -> Iterator[Step]:
        with lock:
            seen[start_of(asked)] = seen.get(start_of(asked), 0) + 1
        yield from (GOOD if seen[start_of(asked)] > 1 else reply("403 Forbidden", b"expired"))(asked)

    server.script("/signed", expired)
    url = server.script("/f", redirect("/signed"))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert len(seen) >= 7


def test_a_link_that_is_no_good_is_a_no(bench: Ranged, server: Server) -> None:
    server.script("/signed", midway(*99 * [reply("403 Forbidden")]))
    url = server.script("/f", redirect("/signed"))
    with pytest.raises(Refused):
        bench.fetch(sized(url))
    assert len(server.of("/signed")) == 2 + 3
    assert bench.check_here() == 16 * PIECE


# -- those that help, and the one that leads ----------------------------------------------------------------------


class Failing:
    """A getter that fails for some threads."""

    def __init__(self, getter: Getter, fails: Callable[[threading.Thread], bool]) -> None:
        self.getter, self.fails = getter, fails
        self.failed = 0

    def get(self, request: Request, receiver: Receiver) -> Answer:
        if self.fails(threading.current_thread()):
            self.failed += 1
            raise Retryable("one connection too many")
        return self.getter.get(request, receiver)


def test_helpers_that_fail_leave_the_one_that_leads_alone(bench: Ranged, server: Server) -> None:
    bench.helpers = HELPERS
    getter = Failing(bench.getter(), lambda thread: thread is not threading.main_thread())
    url = server.script("/f", GOOD)
    bench.check_whole(bench.fetch(sized(url), getter=getter), Assurance.SIZE_ONLY)
    assert getter.failed
    assert bench.said == []
    assert server.sent("/f") == SIZE


def test_helpers_go_on_while_the_one_that_leads_fails(bench: Ranged, server: Server) -> None:
    bench.helpers = HELPERS
    bench.settings = replace(bench.settings, tries=90)
    started = threading.Event()

    def fails(thread: threading.Thread) -> bool:
        if thread is not threading.main_thread():
            return False
        before, _ = started.is_set(), started.set()
        return before

    getter = Failing(bench.getter(), fails)
    url = server.script("/f", together(1 + HELPERS, server))
    # A helper is asked for when the one that leads has its first answer, and finishes without it.
    bench.at_said = lambda: wait_until(lambda: "bytes=1450000-1499999" in [span for span, _ in ranges(server.asked)])
    bench.check_whole(bench.fetch(sized(url), getter=getter), Assurance.SIZE_ONLY)
    assert server.sent("/f") == SIZE


def test_more_connections_than_a_host_bears(bench: Ranged, server: Server) -> None:
    lock = threading.Lock()
    at_once = refused = 0

    def bears_two(asked: Asked) -> Iterator[Step]:
        nonlocal at_once, refused
        with lock:
            at_once += 1
            too_many = at_once > 2
            refused += too_many
        try:
            if not too_many:
                threading.Event().wait(0.01)
            yield from (reply("503 Service Unavailable", b"too many") if too_many else GOOD)(asked)
        finally:
            with lock:
                at_once -= 1

    bench.helpers = 6
    bench.settings = replace(bench.settings, tries=90)
    bench.at_said = lambda: threading.Event().wait(0.01)
    url = server.script("/f", bears_two)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert sum(each.sent for each in server.asked) == SIZE + refused * len(b"too many")


def test_helpers_are_gone_before_the_descriptor_is(bench: Ranged, server: Server, monkeypatch) -> None:
    """Else what they still read or write would go to another file that was given the same number."""
    at_work = 0

    class Hashes:
        def __init__(self, published: Any) -> None:
            self.length = 0

        def update(self, blocks: list[bytes], count: int) -> None:
            nonlocal at_work
            at_work += 1
            threading.Event().wait(0.002)
            self.length += count
            at_work -= 1

    closed_while = []
    close = pieces.Pieces.close
    monkeypatch.setattr(segments, "Hasher", Hashes)
    monkeypatch.setattr(pieces.Pieces, "close", lambda self: (closed_while.append(at_work), close(self)))
    bench.helpers = HELPERS
    url = server.script("/f", midway(*99 * [reply("404 Not Found")], start=23 * PIECE))
    with pytest.raises(Refused):
        bench.fetch(sized(url))
    assert len(closed_while) >= 2
    assert set(closed_while) == {0}


# -- objects that change ------------------------------------------------------------------------------------------

CHANGES = {
    "200": serve(BODY, etag=NEW_ETAG),
    "206 of another version": serve(BODY, etag=NEW_ETAG, if_range=False),
    "dates": serve(BODY, modified=LATER),
    "dates, 206": serve(BODY, modified=LATER, if_range=False),
}


@pytest.mark.parametrize("helpers", [0, HELPERS])
@pytest.mark.parametrize("kind", [known, sized])
@pytest.mark.parametrize("way", CHANGES)
def test_an_object_that_changes_midway(bench: Ranged, server: Server, way: str, kind, helpers: int) -> None:
    changed = threading.Event()
    before = serve(OTHER, modified=MODIFIED) if "dates" in way else serve(OTHER, etag=ETAG)

    def script(asked: Asked) -> Iterator[Step]:
        if start_of(asked) >= HALF:
            changed.set()
        yield from (CHANGES[way] if changed.is_set() else before)(asked)

    bench.helpers = helpers
    url = server.script("/f", script)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert any("another version" in reason for reason in bench.said)
    assert ranges(server.asked)[-1][0]  # again in several ranges


@pytest.mark.parametrize("kind", [known, sized])
@pytest.mark.parametrize("if_range", [True, False])
def test_a_host_of_which_each_connection_has_its_own_version(
    bench: Ranged, server: Server, kind, if_range: bool
) -> None:
    def script(asked: Asked) -> Iterator[Step]:
        yield from serve(BODY, etag=f'"{len(server.asked)}"', if_range=if_range)(asked)

    url = server.script("/f", script)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert ranges(server.asked)[-1] == WHOLE
    assert len(server.asked) == 5


@pytest.mark.parametrize("size", [SIZE - 1000, SIZE + 1000, 10_000])
@pytest.mark.parametrize("has_ranges", [True, False])
def test_an_object_of_another_size_than_published(bench: Ranged, server: Server, size: int, has_ranges: bool) -> None:
    url = server.script("/f", serve((BODY + BODY)[:size], etag=ETAG, ranges=has_ranges))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(sized(url))
    assert str(size) in caught.value.message
    bench.check_nothing()
    assert len(server.asked) == 3


def test_416_midway_starts_again(bench: Ranged, server: Server) -> None:
    url = server.script("/f", midway(reply("416 Range Not Satisfiable", b"", "Content-Range: bytes */1000")))
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked)[3] == (IN_TURN[0], None)


# -- wrong bytes --------------------------------------------------------------------------------------------------

FLIPPED = BODY[:HALF] + bytes([BODY[HALF] ^ 1]) + BODY[HALF + 1 :]


@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_a_flipped_bit_once(bench: Ranged, server: Server, helpers: int) -> None:
    met: list[Asked] = []

    def once(asked: Asked) -> Iterator[Step]:
        covers = start_of(asked) <= HALF <= int(asked.headers["range"].rpartition("-")[2])
        met.extend([asked] * covers)
        yield from serve(FLIPPED if covers and len(met) == 1 else BODY, etag=ETAG)(asked)

    bench.helpers = helpers
    url = server.script("/f", once)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert len(bench.said) == 1
    assert server.sent("/f") == 2 * SIZE


def test_a_flipped_bit_always(bench: Ranged, server: Server) -> None:
    bench.helpers = HELPERS
    url = server.script("/f", serve(FLIPPED, etag=ETAG))
    with pytest.raises(IntegrityError) as caught:
        bench.fetch(known(url))
    assert MD5.hex in caught.value.message
    bench.check_nothing()
    assert server.sent("/f") == 3 * SIZE


def test_compressed_although_not_asked_for(bench: Ranged, server: Server) -> None:
    packed = gzip.compress(BODY, 1)
    url = server.script("/f", reply("200 OK", packed, "Content-Encoding: gzip", f"ETag: {ETAG}"))
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert ranges(server.asked) == [(IN_TURN[0], None), WHOLE]


# -- the disk, and a stop -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_a_disk_that_is_full_midway(bench: Ranged, server: Server, monkeypatch, helpers: int) -> None:
    pwritev = os.pwritev

    def full(descriptor: int, blocks: list[bytes], at: int) -> int:
        if at + sum(map(len, blocks)) > HALF:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwritev(descriptor, blocks, at)

    bench.helpers = helpers
    url = server.script("/f", GOOD)
    with monkeypatch.context() as patch, pytest.raises(DiskFull) as caught:
        patch.setattr(os, "pwritev", full)
        bench.fetch(sized(url))
    assert caught.value.exit_code == 5
    assert bench.received == 0
    had = bench.check_here()
    assert 0 < had <= HALF
    before = len(server.asked)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert sum(each.sent for each in server.asked[before:]) == SIZE - had


def test_no_room_from_the_beginning(bench: Ranged, server: Server, monkeypatch) -> None:
    monkeypatch.setattr(partial, "free_bytes", lambda path: SIZE - 1)
    url = server.script("/f", GOOD)
    with pytest.raises(DiskFull):
        bench.fetch(sized(url))
    assert server.asked == []
    assert bench.received == 0


@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_a_stop_keeps_what_is_here(bench: Ranged, server: Server, helpers: int) -> None:
    def stop_then_stall(asked: Asked) -> Iterator[Step]:
        yield from cut(GOOD, 60_000)(asked)
        while not any(bench.here()[number] for number in (15, 16)):
            yield Pause(0.01)
        bench.clock.set()
        yield Pause(30)

    bench.helpers = helpers
    url = server.script("/f", midway(*9 * [stop_then_stall]))
    with pytest.raises(InterruptedError):
        bench.fetch(sized(url))
    assert bench.received == 0
    had = bench.check_here()
    assert had > 0 if helpers else had >= 16 * PIECE
    bench.clock.clear()
    server.script("/f", GOOD)
    before = len(server.asked)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert sum(each.sent for each in server.asked[before:]) == SIZE - had


def test_a_rate_that_is_kept_to_can_be_stopped(bench: Ranged, server: Server, monkeypatch) -> None:
    def pace(self: Ranged, count: int) -> None:
        raise InterruptedError

    monkeypatch.setattr(Ranged, "_pace", pace)
    bench.helpers = HELPERS
    url = server.script("/f", GOOD)
    with pytest.raises(InterruptedError):
        bench.fetch(sized(url))
    assert bench.received == 0
    assert bench.check_here() > 0


# -- partials of a former process ---------------------------------------------------------------------------------

LEFT = {0: BODY[:PIECE], 3: BODY[3 * PIECE : 3 * PIECE + 1234], 29: BODY[29 * PIECE :]}
HAD = PIECE + 1234 + PIECE


@pytest.mark.parametrize("helpers", [0, HELPERS])
def test_pieces_are_gone_on_with(bench: Ranged, server: Server, helpers: int) -> None:
    bench.helpers = helpers
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, LEFT)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert server.sent("/f") == SIZE - HAD
    assert {if_range for _, if_range in ranges(server.asked)} == {ETAG}
    assert bench.paced == SIZE - HAD


def test_pieces_that_are_all_here_ask_nothing(bench: Ranged, server: Server) -> None:
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, {number: BODY[number * PIECE :][:PIECE] for number in range(COUNT)})
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert server.asked == []


def test_pieces_of_a_version_that_is_gone(bench: Ranged, server: Server) -> None:
    url = server.script("/f", serve(BODY, etag=NEW_ETAG))
    bench.leave_pieces(url, ETAG, {0: OTHER[:PIECE], 29: OTHER[29 * PIECE :]})
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked)[:2] == [(f"bytes={PIECE}-{9 * PIECE - 1}", ETAG), (IN_TURN[0], None)]


@pytest.mark.parametrize("kind", [known, sized])
def test_pieces_of_another_address(bench: Ranged, server: Server, kind) -> None:
    url = server.script("/f", GOOD)
    bench.leave_pieces("http://other.example/f", '"other"', LEFT)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert server.sent("/f") == SIZE - HAD * (kind is known)


def test_pieces_of_another_address_that_do_not_fit(bench: Ranged, server: Server) -> None:
    url = server.script("/f", GOOD)
    bench.leave_pieces("http://other.example/f", '"other"', {0: OTHER[:PIECE]})
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert server.sent("/f") == 2 * SIZE - PIECE


def broken(content: bytes) -> dict[str, bytes]:
    head, numbers = content[: pieces.HEAD], content[pieces.HEAD :]
    told = json.loads(head)

    def other(**changed: Any) -> bytes:
        return json.dumps({**told, **changed}).encode().ljust(pieces.HEAD) + numbers

    return {
        "empty": b"",
        "cut in its head": content[:100],
        "cut in its numbers": content[: pieces.HEAD + 10],
        "cut at a number": content[: pieces.HEAD + 8],
        "longer": content + bytes(4),
        "garbage": b"\xff" * len(content),
        "no object": b"[]".ljust(pieces.HEAD) + numbers,
        "another size": other(size=SIZE - 1),
        "another size of pieces": other(piece=PIECE // 2),
        "too large numbers": head + b"\xff" * len(numbers),
        "kilobytes of an address": b'{"size": 0}'.ljust(pieces.HEAD) + numbers,
    }


@pytest.mark.parametrize("kind", [known, sized])
@pytest.mark.parametrize("way", broken(json.dumps({}).encode().ljust(pieces.HEAD) + bytes(8 * COUNT)))
def test_broken_notes_on_pieces_count_for_nothing(bench: Ranged, server: Server, way: str, kind) -> None:
    """The partial is full of holes that nobody knows: its length must not be taken for what is here."""
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, {29: b"x" * PIECE})
    bench.pieces.write_bytes(broken(bench.pieces.read_bytes())[way])
    bench.note.write_text(json.dumps({"url": url, "validator": ETAG}))
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert bench.said == []
    assert server.sent("/f") == SIZE


class AtOnce(threading.Thread):
    """One that is waited for."""

    def start(self) -> None:
        self.run()


@pytest.mark.parametrize("machine", ["same", "other", "unknown"])
def test_on_another_machine_only_what_was_synced_counts(
    bench: Ranged, server: Server, tmp_path: Path, monkeypatch, machine: str
) -> None:
    monkeypatch.setattr(pieces, "SYNC_EVERY", 0.0)
    monkeypatch.setattr(pieces, "Thread", AtOnce)
    url = server.script("/f", midway(*4 * [cut(GOOD, 0)]))
    with pytest.raises(Retryable):
        bench.fetch(sized(url))
    content = bench.pieces.read_bytes()
    assert content[pieces.HEAD : -4 * COUNT] == content[-4 * COUNT :]
    # The bytes that came after the last sync are noted, but never reached the disk.
    bench.pieces.write_bytes(content[: -4 * COUNT] + array("I", 10 * [PIECE] + 20 * [0]).tobytes())
    with open(bench.partial, "r+b") as file:
        file.truncate(10 * PIECE if machine != "same" else 16 * PIECE)
        file.truncate(16 * PIECE)
    boot = tmp_path / "hosts" / "boot"
    if machine == "other":
        boot.write_text("another\n")
    if machine != "same":
        monkeypatch.setattr(storage, "BOOT", boot)
    before = len(server.asked)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    again = 0 if machine == "same" else 6 * PIECE
    assert sum(each.sent for each in server.asked[before:]) == SIZE - 16 * PIECE + again


def test_nobody_waits_for_the_disk(bench: Ranged, server: Server, monkeypatch) -> None:
    slow, began = threading.Event(), []
    monkeypatch.setattr(pieces, "SYNC_EVERY", 0.0)
    monkeypatch.setattr(machine, "sync_file", lambda path: (began.append(path), slow.wait(60)))
    url = server.script("/f", GOOD)
    bench.check_whole(bench.fetch(known(url)), Assurance.PUBLISHED)
    assert began == [bench.partial], "one at a time"
    # What was synced of a file that is no longer open is noted nowhere.
    bench.pieces.write_bytes(b"another's")
    slow.set()
    for thread in [each for each in threading.enumerate() if each.name == "pieces"]:
        thread.join()
    assert bench.pieces.read_bytes() == b"another's"


def test_a_disk_that_does_not_take_it_ends_the_run(bench: Ranged, server: Server, monkeypatch) -> None:
    def fails(path: Path) -> None:
        raise OSError(errno.EIO, "no more", str(path))

    monkeypatch.setattr(pieces, "SYNC_EVERY", 0.0)
    monkeypatch.setattr(pieces, "Thread", AtOnce)
    monkeypatch.setattr(machine, "sync_file", fails)
    with pytest.raises(CacheError, match="no more"):
        bench.fetch(known(server.script("/f", GOOD)))


def test_what_is_noted_as_synced_was_synced_before(bench: Ranged, server: Server, monkeypatch) -> None:
    """Bytes that a killed process left are on this machine, but not on its disk: a power cut may follow."""
    synced: list[bytes] = []
    monkeypatch.setattr(pieces, "SYNC_EVERY", 0.0)
    monkeypatch.setattr(pieces, "Thread", AtOnce)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(bench.pieces.read_bytes()))
    monkeypatch.setattr(machine, "sync_file", lambda path: synced.append(bench.pieces.read_bytes()))
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, LEFT)
    left = bench.pieces.read_bytes()
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert synced[0] == left
    for before, after in pairwise(synced[1:]):
        # What counts as synced is what was noted when that began.
        assert after[-4 * COUNT :] == before[pieces.HEAD : -4 * COUNT]
    assert len(synced) > COUNT / MOST


@pytest.mark.parametrize("kind", [known, sized])
def test_a_partial_that_was_cut_counts_as_far_as_it_goes(bench: Ranged, server: Server, kind) -> None:
    """As when a process was killed while it copied an orphan: the notes went first."""
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, {number: BODY[number * PIECE :][:PIECE] for number in range(20)})
    os.truncate(bench.partial, HALF)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert server.sent("/f") == SIZE - HALF


def test_a_partial_that_is_cut_meanwhile_is_fetched_again(bench: Ranged, server: Server, monkeypatch) -> None:
    def count(self: Ranged, number: int) -> None:
        self.received += number
        if self.received == SIZE and not self.said:
            os.truncate(self.partial, 29 * PIECE)

    monkeypatch.setattr(Ranged, "_count", count)
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, LEFT)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert bench.said == ["the partial of scan.bin was cut from outside"]


@pytest.mark.parametrize("kind", [known, sized])
def test_a_partial_from_one_end_is_gone_on_with_in_pieces(bench: Ranged, server: Server, kind) -> None:
    bench.helpers = HELPERS
    url = server.script("/f", GOOD)
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert server.sent("/f") == SIZE - HALF
    assert {if_range for _, if_range in ranges(server.asked)} == {ETAG}


@pytest.mark.parametrize(("etag", "sent"), [(ETAG, SIZE - HALF), (WEAK, SIZE)])
def test_a_listing_vouches_for_a_partial_from_one_end(bench: Ranged, server: Server, etag: str, sent: int) -> None:
    url = server.script("/f", GOOD)
    bench.leave(BODY[:HALF])
    bench.check_whole(bench.fetch(listed(url, etag)), Assurance.SIZE_ONLY)
    assert server.sent("/f") == sent


@pytest.mark.parametrize(("kind", "sent"), [(known, SIZE - HALF), (sized, SIZE)])
def test_a_partial_of_another_address_from_one_end(bench: Ranged, server: Server, kind, sent: int) -> None:
    url = server.script("/f", GOOD)
    bench.leave(BODY[:HALF], "http://other.example/f", ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])
    assert server.sent("/f") == sent


@pytest.mark.parametrize("kind", [known, sized])
def test_a_partial_that_is_too_long(bench: Ranged, server: Server, kind) -> None:
    url = server.script("/f", GOOD)
    bench.leave(OTHER + b"more", "http://other.example/f", ETAG)
    bench.check_whole(bench.fetch(kind(url)), KINDS[kind])


def test_a_front_that_was_left_is_kept_where_the_first_range_is_wrong(bench: Ranged, server: Server) -> None:
    url = server.script("/f", moved(100), GOOD)
    bench.leave(BODY[:HALF], url, ETAG)
    bench.check_whole(bench.fetch(sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked)[1:] == [(f"bytes={HALF}-", ETAG)]


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_of_no_use_where_there_are_no_ranges(bench: Ranged, server: Server, kind) -> None:
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, {29: b"x" * PIECE})
    bench.check_whole(bench.fetch(kind(url), ranges=False), KINDS[kind])
    assert ranges(server.asked) == [WHOLE]


@pytest.mark.parametrize("listed_too", [True, False])
def test_pieces_of_what_is_no_longer_large(bench: Ranged, server: Server, monkeypatch, listed_too: bool) -> None:
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, {29: b"x" * PIECE})
    bench.note.write_text(json.dumps({"url": url, "validator": ETAG}))
    monkeypatch.setattr(download, "SEGMENTS_FROM", SIZE + 1)
    bench.check_whole(bench.fetch(listed(url, ETAG) if listed_too else sized(url)), Assurance.SIZE_ONLY)
    assert ranges(server.asked) == [WHOLE]


# -- another address ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("helpers", [0, HELPERS])
@pytest.mark.parametrize("kind", [known, sized])
def test_a_mirror_steps_in(bench: Ranged, server: Server, other: Server, kind, helpers: int) -> None:
    """What came from elsewhere counts only where a digest will tell whether it fits."""
    bench.helpers = helpers
    first = server.script("/f", midway(*99 * [reply("404 Not Found")]))
    second = other.script("/f", serve(BODY, etag=NEW_ETAG))
    fetched = bench.fetch(kind(first, second))
    bench.check_whole(fetched, KINDS[kind])
    assert fetched.host == f"127.0.0.1:{other.port}"
    had = sum(each.sent for each in server.asked if start_of(each) < HALF)
    # What helpers are just receiving when an address is given up is lost.
    assert other.sent("/f") == SIZE - had * (kind is known) or (kind is known and helpers and other.sent("/f") < SIZE)
    assert {if_range for _, if_range in ranges(other.asked)} == {None, NEW_ETAG}
    assert ranges(other.asked)[0][1] is None


def test_a_mirror_without_ranges_steps_in(bench: Ranged, server: Server, other: Server) -> None:
    first = server.script("/f", midway(*99 * [reply("404 Not Found")]))
    second = other.script("/f", serve(BODY, ranges=False))
    bench.check_whole(bench.fetch(known(first, second)), Assurance.PUBLISHED)


def test_a_mirror_of_something_else_is_recovered_by_the_digest(bench: Ranged, server: Server, other: Server) -> None:
    first = server.script("/f", midway(*99 * [reply("404 Not Found")], good=serve(OTHER, etag=ETAG)))
    second = other.script("/f", serve(BODY, etag=NEW_ETAG))
    bench.check_whole(bench.fetch(known(first, second)), Assurance.PUBLISHED)


# -- kills --------------------------------------------------------------------------------------------------------

LIVES = f"""
import os, sys, threading
from pathlib import Path
from medfetch import pieces, segments, span, transfer
from medfetch.config import Settings
from medfetch.hosts import Hosts
from medfetch.net.stack import bytes_getter
from medfetch.partial import Room
from medfetch.pool import Pool
from medfetch.transfer import download
from medfetch.types import RemoteFile, Traits

def live(folder, url, size):
    stop = threading.Event()
    hosts = Hosts(folder / "hosts", stop.is_set)
    pool = Pool(lambda task: task, 3)
    terms = download.Terms(
        tries=3, backoff=0.01, room=Room(folder, 0), ranges=True, stop=stop, received=lambda count: None,
        pace=lambda count: None, said=lambda reason: None, help=pool.help, crowded=pool.crowded,
    )
    file = RemoteFile(path="scan.bin", key=url, urls=(url,), size=size)
    getter = bytes_getter(Settings(cache=folder, netrc=folder / "netrc"), Traits(), hosts, stop)
    transfer.fetch_file(file, folder / "file.part", getter, hosts, terms)

pieces.PIECE = segments.PIECE = span.PIECE = {PIECE}
download.SEGMENTS_FROM = {LARGE}
for line in sys.stdin:
    child = os.fork()
    if not child:
        live(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""A process that starts another one for each line that it reads: that one fetches the file."""
LONG = 8 * BODY
RATE = 1_000_000
"""Bytes a second of each connection."""


def slowly(asked: Asked) -> Iterator[Step]:
    for step in serve(LONG, etag=ETAG)(asked):
        for at in range(0, len(step), 15_000):
            yield step[at : at + 15_000]
            threading.Event().wait(15_000 / RATE)


def test_ten_kills_cost_nothing(bench: Ranged, server: Server) -> None:
    url = server.script("/f", slowly)
    arguments = [sys.executable, "-c", LIVES, str(bench.partial.parent), url, str(len(LONG))]
    noted, twice = 0, []
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as mother:
        for kill in range(11):
            asked, before = len(server.asked), noted
            if kill == 10:
                server.script("/f", serve(LONG, etag=ETAG))
            mother.stdin.write("live\n")
            child = int(mother.stdout.readline())
            if kill < 10:
                wait_until(partial_sum(server, asked, (kill + 1) * len(LONG) // 12 - before))
                os.kill(child, 9)
            assert int(mother.stdout.readline()) == (-9 if kill < 10 else 0)
            wait_until(lambda: not server._open)
            if kill < 10:
                numbers = array("I", bench.pieces.read_bytes()[pieces.HEAD :])
                noted = sum(numbers[: len(numbers) // 2])
            else:
                noted = len(LONG)
            twice.append(sum(each.sent for each in server.asked[asked:]) - (noted - before))
        mother.stdin.close()
    assert bench.partial.read_bytes() == LONG
    assert not bench.pieces.exists()
    assert twice[-1] == 0
    print(f"sent twice, in percent: {[round(100 * each / len(LONG), 2) for each in twice]}")
    # On the average: on a busy machine what was sent may lie a while before it is taken.
    assert sum(twice) < 10 * 0.01 * len(LONG)


def partial_sum(server: Server, since: int, goal: int) -> Callable[[], bool]:
    return lambda: sum(each.sent for each in server.asked[since:]) > goal


@pytest.mark.parametrize("found", [0, -1])
@pytest.mark.parametrize("owner", ["me", "else"])
@pytest.mark.parametrize("step", range(4))
def test_a_take_over_that_is_interrupted(
    bench: Ranged, server: Server, monkeypatch, owner: str, step: int, found: int
) -> None:
    """Whatever the moment, and whichever partial the next owner finds: it agrees with its notes."""

    class Killed(BaseException):
        pass

    left = step

    def at_last(call: Callable[..., Any]) -> Callable[..., Any]:
        def killed(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if not left:
                raise Killed
            left -= 1
            return call(*arguments, **more)

        return killed

    folder = bench.partial.parent
    url = server.script("/f", GOOD)
    bench.leave_pieces(url, ETAG, LEFT)
    for suffix in (".part", ".pieces"):
        (folder / f"file{suffix}").rename(folder / f"00001-unit.{owner}-1-1{suffix}")
    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(shutil, "copyfile", at_last(shutil.copyfile))
        patch.setattr(Path, "rename", at_last(Path.rename))
        patch.setattr(Path, "unlink", at_last(Path.unlink))
        take_over(folder, "me-2-2")
    bench.partial = take_over(folder, "me-3-3", found)
    bench.fetch(sized(url))
    assert bench.partial.read_bytes() == BODY
    assert server.sent("/f") == SIZE - HAD


def take_over(folder: Path, token: str, found: int = 0) -> Path:
    fetching = object.__new__(Fetching)
    fetching.token = token
    mine = folder / f"00001-unit.{token}.part"
    fetching._take_over(sorted(folder.glob("*.part"))[found], mine)
    return mine


def test_a_digest_that_comes_with_the_first_range_counts_for_all(bench: Ranged, server: Server) -> None:
    bench.helpers = HELPERS
    url = server.script("/f", serve(BODY, RANGES, told(), etag=ETAG))
    fetched = bench.fetch(sized(url))
    bench.check_whole(fetched, Assurance.PUBLISHED)
    assert fetched.checked == str(MD5)


def test_a_digest_that_comes_with_the_first_range_finds_wrong_bytes(bench: Ranged, server: Server) -> None:
    url = server.script("/f", *len(IN_TURN) * [serve(OTHER, RANGES, told(), etag=ETAG)], serve(BODY, told()))
    bench.check_whole(bench.fetch(sized(url)), Assurance.PUBLISHED)
