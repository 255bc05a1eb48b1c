"""Each fault does on the wire what it says, seen through raw sockets so that no client's kindness hides it."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import time
from dataclasses import dataclass

import pytest
from asking import ask

from medfetch.sandbox import Fault, Sandbox

URL = "/http/host/file"
SIZE = 200_000


@dataclass(frozen=True)
class Wire:
    """What came over a connection until it ended or nothing more was expected."""

    head: str
    body: bytes
    end: str
    """closed, reset, or open."""

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def header(self, name: str) -> str | None:
        lines = dict(line.split(": ", 1) for line in self.head.split("\r\n")[1:])
        return lines.get(name)


def raw(box: Sandbox, *headers: str, target: str = URL, expect: int | None = None, wait: float = 20.0) -> Wire:
    """One GET; reads to the connection's end, or until ``expect`` bytes of body are there, or for ``wait`` seconds."""
    end = "open"
    data = b""
    deadline = time.monotonic() + wait
    with socket.create_connection(("127.0.0.1", box.port)) as connection:
        connection.sendall("\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
        try:
            while expect is None or len(data.partition(b"\r\n\r\n")[2]) < expect:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                piece = connection.recv(1 << 16)
                if not piece:
                    end = "closed"
                    break
                data += piece
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            pass
    head, _, body = data.partition(b"\r\n\r\n")
    return Wire(head.decode("latin-1"), body, end)


@pytest.fixture
def data(box: Sandbox) -> bytes:
    return box.put("https://host/file", size=SIZE)


def test_without_faults_connections_stay_open(box: Sandbox, data: bytes) -> None:
    wire = raw(box, expect=SIZE)
    assert (wire.status, wire.body, wire.end, wire.header("Content-Length")) == (200, data, "open", str(SIZE))


def test_another_answer(box: Sandbox, data: bytes) -> None:
    box.add(
        Fault(status=429, headers={"Retry-After": "7"}),
        Fault(status=200, headers={"Content-Type": "text/html"}, body="<html>log in</html>"),
        Fault(status=202, body=""),
        Fault(redirect="http://other{target}"),
        Fault(moved="http://other{target}"),
        Fault(challenge=True),
    )
    later = ask(box, URL)
    assert (later.status, later.headers["Retry-After"], later.body) == (429, "7", b"")
    page = ask(box, URL, Range="bytes=10-")
    assert (page.status, page.headers["Content-Type"], page.body) == (200, "text/html", b"<html>log in</html>")
    empty = ask(box, URL)
    assert (empty.status, empty.headers["Content-Length"]) == (202, "0")
    moved = ask(box, URL + "?a=b")
    assert (moved.status, moved.headers["Location"]) == (302, f"http://other{URL}?a=b")
    moved = ask(box, URL + "?a=b")
    assert (moved.status, moved.headers["Location"]) == (301, f"http://other{URL}?a=b")
    robots = ask(box, URL)
    assert (robots.status, robots.headers["x-amzn-waf-action"], robots.body) == (202, "challenge", b"")
    assert ask(box, URL).body == data


def test_when_a_fault_is_due(box: Sandbox, data: bytes) -> None:
    box.add(Fault(match="/file$", after=1, times=2, status=503))
    assert [ask(box, URL).status for _ in range(5)] == [200, 503, 503, 200, 200]
    box.add(Fault(match="/other$", status=503), Fault(method="HEAD", status=403))
    assert (ask(box, URL).status, ask(box, URL, "HEAD").status, ask(box, URL, "HEAD").status) == (200, 403, 200)
    box.add(Fault(times=None, status=500))
    assert [ask(box, URL).status for _ in range(3)] == [500] * 3
    box.clear()
    assert ask(box, URL).status == 200
    box.add(Fault(times=None, chance=0.5, seed=1, status=503))
    drawn = [ask(box, URL).status for _ in range(30)]
    assert {*drawn} == {200, 503}
    box.clear()
    box.add(Fault(times=None, chance=0.5, seed=1, status=503))
    assert [ask(box, URL).status for _ in range(30)] == drawn


@pytest.mark.parametrize("cut", [0, 1, 70_000])
def test_a_cut_body_ends_early(box: Sandbox, data: bytes, cut: int) -> None:
    box.add(Fault(cut=cut))
    wire = raw(box)
    assert (wire.status, wire.header("Content-Length"), wire.body, wire.end) == (200, str(SIZE), data[:cut], "closed")
    assert box.log[-1].sent == cut


def test_a_reset_is_a_reset(box: Sandbox, data: bytes) -> None:
    box.add(Fault(cut=1000, reset=True))
    wire = raw(box)
    assert (wire.body, wire.end) == (data[:1000], "reset")


def test_bodies_without_a_length(box: Sandbox, data: bytes) -> None:
    box.add(Fault(drop=("Content-Length",)), Fault(drop=("Content-Length",), cut=500))
    for expected in (data, data[:500]):
        wire = raw(box)
        assert (wire.header("Content-Length"), wire.header("Transfer-Encoding")) == (None, None)
        assert (wire.body, wire.end) == (expected, "closed")


def test_chunks(box: Sandbox, data: bytes) -> None:
    box.add(Fault(chunked=True), Fault(chunked=True, cut=500))
    whole = ask(box, URL)
    assert (whole.headers["Transfer-Encoding"], whole.headers["Content-Length"], whole.body) == ("chunked", None, data)
    wire = raw(box)
    assert wire.body == b"1f4\r\n" + data[:500] + b"\r\n"
    assert wire.end == "closed"


def test_http_1_0(box: Sandbox, data: bytes) -> None:
    box.add(Fault(http10=True))
    wire = raw(box)
    assert wire.head.startswith("HTTP/1.0 200 OK\r\n")
    assert (wire.body, wire.end) == (data, "closed")


def test_refused_connections_are_reset_before_anything_is_said(box: Sandbox, data: bytes) -> None:
    box.add(Fault(refuse=True, times=2))
    for _ in range(2):
        with pytest.raises(OSError):
            ask(box, URL)
    assert ask(box, URL).body == data
    assert (box.stats.refused, box.stats.requests) == (2, 1)


def test_ranges_go_wrong(box: Sandbox, data: bytes) -> None:
    box.add(
        Fault(asked=""),
        Fault(asked="bytes=0-"),
        Fault(asked="bytes=0-99"),
        Fault(content_range="bytes 0-99/100"),
        Fault(rotate=1),
    )
    asked = "bytes=1000-1999"
    ignored = ask(box, URL, Range=asked)
    assert (ignored.status, ignored.body) == (200, data)
    again = ask(box, URL, Range=asked)
    assert (again.status, again.headers["Content-Range"], again.body) == (206, f"bytes 0-{SIZE - 1}/{SIZE}", data)
    unasked = ask(box, URL)
    assert (unasked.status, unasked.body) == (206, data[:100])
    lying = ask(box, URL, Range=asked)
    assert (lying.status, lying.headers["Content-Range"], lying.body) == (206, "bytes 0-99/100", data[1000:2000])
    wrong = ask(box, URL, Range=asked)
    assert (wrong.headers["Content-Range"], wrong.body) == (f"bytes 1000-1999/{SIZE}", data[1001:2001])


def test_objects_change(box: Sandbox, data: bytes) -> None:
    before = ask(box, URL)
    box.add(Fault(times=2, changed=True), Fault(weak=True), Fault(etag='"x"'), Fault(drop=("ETag", "Last-Modified")))
    after = ask(box, URL, Range="bytes=5-", If_Range=before.headers["ETag"])
    assert after.status == 200
    assert len(after.body) == SIZE
    assert all(old != new for old, new in zip(data, after.body, strict=True))
    assert after.headers["ETag"] == f'"{hashlib.md5(after.body).hexdigest()}"' != before.headers["ETag"]
    assert after.headers["Last-Modified"] != before.headers["Last-Modified"]
    assert ask(box, URL, Range="bytes=5-", If_Range=before.headers["Last-Modified"]).status == 200
    weak = ask(box, URL, Range="bytes=5-", If_Range=before.headers["ETag"])
    assert (weak.status, weak.headers["ETag"]) == (200, "W/" + before.headers["ETag"])
    assert ask(box, URL).headers["ETag"] == '"x"'
    silent = ask(box, URL, Range="bytes=5-")
    assert (silent.status, silent.headers["ETag"], silent.headers["Last-Modified"]) == (206, None, None)


def test_bytes_go_wrong_in_transit(box: Sandbox, data: bytes) -> None:
    box.add(Fault(corrupt=1500), Fault(extra=10), Fault(gzip=True))
    flipped = ask(box, URL, Range="bytes=1000-1999")
    assert [n for n in range(1000) if flipped.body[n] != data[1000 + n]] == [500]
    assert flipped.headers["ETag"] == ask(box, URL, "HEAD").headers["ETag"]
    longer = ask(box, URL)
    assert (longer.headers["Content-Length"], longer.body[:SIZE], len(longer.body)) == (str(SIZE + 10), data, SIZE + 10)
    packed = ask(box, URL)
    assert (packed.headers["Content-Encoding"], gzip.decompress(packed.body)) == ("gzip", data)


def test_bodies_that_go_on(box: Sandbox, data: bytes) -> None:
    box.add(Fault(overrun=10), Fault(endless=True))
    wire = raw(box, expect=SIZE + 10)
    assert (wire.header("Content-Length"), wire.body[:SIZE], len(wire.body)) == (str(SIZE), data, SIZE + 10)
    wire = raw(box, expect=3_000_000)
    assert (wire.header("Transfer-Encoding"), wire.header("Content-Length"), wire.end) == ("chunked", None, "open")
    assert len(wire.body) >= 3_000_000


def test_silence(box: Sandbox, data: bytes) -> None:
    box.add(Fault(stall=30), Fault(pause=30), Fault(pause=30, pause_at=10))
    for expected in (b"", data[: SIZE // 2], data[:10]):
        wire = raw(box, expect=SIZE, wait=0.2)
        assert (wire.body, wire.end) == (expected, "open")


def test_rates_hold_bytes_back(data: bytes) -> None:
    # Each piece is followed by its share of the time, so n bytes cannot come much faster than n / rate seconds.
    with Sandbox(rate=20_000) as slow:
        slow.put("https://host/file", data)
        began = time.monotonic()
        assert raw(slow, expect=4_000).body[:4_000] == data[:4_000]
        assert time.monotonic() - began > 0.1
    with Sandbox(faults=[Fault(rate=20_000)]) as box:
        box.put("https://host/file", data)
        began = time.monotonic()
        raw(box, expect=4_000)
        assert time.monotonic() - began > 0.1
        assert raw(box, expect=SIZE).body == data


def test_archives_made_on_the_fly_can_go_wrong_too(box: Sandbox) -> None:
    target = (
        "/nbia/nbia-api/services/v4/getImage?SeriesInstanceUID="
        "1.3.6.1.4.1.14519.5.2.1.6279.6001.141365756818074696859567662357"
    )
    good = ask(box, target).body
    box.add(Fault(corrupt=5000), Fault(cut=5000))
    bad = ask(box, target)
    assert (bad.headers["Transfer-Encoding"], [n for n in range(len(good)) if good[n] != bad.body[n]]) == (
        "chunked",
        [5000],
    )
    assert raw(box, target=target).end == "closed"
    assert box.log[-1].sent == 5000


def test_another_process_can_ask_for_faults_and_for_the_record(box: Sandbox, data: bytes) -> None:
    rows = [{"match": "/file", "status": 503, "headers": {"Retry-After": "1"}}, {"method": "", "status": 500}]
    assert ask(box, "/__faults", "POST", json.dumps(rows).encode()).status == 200
    assert [ask(box, URL).status, ask(box, URL, "HEAD").status, ask(box, URL, Range="bytes=5-9").status] == [
        503,
        500,
        206,
    ]
    assert ask(box, "/__faults", "POST", b'{"status": 500, "times": null}').status == 200
    assert ask(box, "/__faults", "DELETE").status == 200
    assert ask(box, URL).status == 200
    log = json.loads(ask(box, "/__log").body)
    assert [(row["method"], row["target"], row["status"], row["sent"]) for row in log] == [
        ("GET", URL, 503, 0),
        ("HEAD", URL, 500, 0),
        ("GET", URL, 206, 5),
        ("GET", URL, 200, SIZE),
    ]
    assert ["Range", "bytes=5-9"] in log[2]["headers"]
    stats = json.loads(ask(box, "/__stats").body)
    assert (stats["requests"], stats["bytes"], stats["data_bytes"]) == (4, SIZE + 5, SIZE + 5)
    for nonsense in (b"{", b'{"stauts": 500}', b'{"match": "("}', b"[1]"):
        assert ask(box, "/__faults", "POST", nonsense).status == 400
    assert ask(box, "/__nonsense").status == 404
