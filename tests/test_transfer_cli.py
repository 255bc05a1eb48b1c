"""Server misbehaviour as a script sees it: exit code, the last line of JSON, and what is in the dataset."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import http, tree, write_recipe
from running import Medfetch, Ran, Run
from servers import (
    Asked,
    Pause,
    Reset,
    Script,
    Server,
    chunked,
    cut,
    endless,
    raw,
    redirect,
    reply,
    serve,
    until_closed,
)

SIZE, HALF = 1_300_000, 600_000
PAGE = reply("200 OK", b"<!DOCTYPE html><html>Please log in</html>", "Content-Type: text/html")
ETAG = '"v1"'
WHOLE, REST = None, f"bytes={HALF}-"
NAME = "scans"


def content(name: str) -> bytes:
    """Bytes of its own for each file."""
    return random.Random(name).randbytes(SIZE)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


BODY = content("scan.bin")
SHA256 = sha256(BODY)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def medfetch(tmp_path: Path, home: Path, cache: Path) -> Run:
    """The real command, with no endpoint replaced."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    settings = {"CACHE": cache, "RECIPES": home, "TRIES": 3, "BACKOFF": 0.01, "PATIENCE": 3, "RESERVE": 0}
    return Medfetch(home, environment | {f"MEDFETCH_{name}": str(value) for name, value in settings.items()})


def get(medfetch: Run, home: Path, *files: dict[str, Any], code: int, **more: str) -> Ran:
    """Fetches a dataset of such files."""
    parts = {"all": {"routes": http(*files)}}
    return medfetch("get", write_recipe(home, NAME, parts=parts), "--json", code=code, **more)


def known(path: str, *urls: str) -> dict[str, Any]:
    return {"path": path, "url": list(urls), "size": SIZE, "sha256": sha256(content(path))}


def in_place(cache: Path) -> dict[str, str]:
    return tree(cache / NAME / "current")


def ranges(asked: list[Asked]) -> list[str | None]:
    return [each.headers.get("range") for each in asked]


def flipped(body: bytes) -> bytes:
    return body[:9] + bytes([body[9] ^ 1]) + body[10:]


def recovered(body: bytes) -> dict[str, tuple[list[Script], list[str | None]]]:
    """Answers in turn, and the ranges that must be asked for."""
    good = serve(body, etag=ETAG)
    return {
        "cut-reset-stalled": (
            [cut(good, HALF), cut(good, 0, Reset()), raw(Pause(30)), good],
            [WHOLE, REST, REST, REST],
        ),
        "chunked-500-page": (
            [chunked(body[:HALF], end=False), reply("500 Internal Server Error"), PAGE, serve(body)],
            [WHOLE, REST, REST, REST],
        ),
        "flipped-once": ([serve(flipped(body)), serve(body)], [WHOLE, WHOLE]),
        "http10-ignores-range": ([until_closed(body[:HALF]), serve(body, ranges=False)], [WHOLE, REST]),
        "compressed": ([reply("200 OK", gzip.compress(body, 1), "Content-Encoding: gzip")], [WHOLE]),
    }


def test_what_can_be_recovered_is(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    files, expected = [], {}
    for name in recovered(BODY):
        scripts, expected[name] = recovered(content(name))[name]
        files.append(known(name, server.script(f"/{name}", *scripts)))
    ran = get(medfetch, home, *files, code=0)
    assert in_place(cache) == {name: sha256(content(name)) for name in expected}
    assert ran.last["event"] == "receipt"
    assert (ran.last["bytes"], ran.last["assurance"]) == (SIZE * len(files), {"published": len(files)})
    assert {name: ranges(server.of(f"/{name}")) for name in expected} == expected
    assert {asked.method for asked in server.asked} == {"GET"}
    assert not list((cache / NAME / "current" / ".medfetch" / "partial").iterdir())
    assert {line["path"] for line in ran.lines if line["event"] == "retry"} == set(expected) - {"compressed"}


def test_429_is_waited_for(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    busy = reply("429 Too Many Requests", b"", "Retry-After: 1")
    ran = get(medfetch, home, known("scan.bin", server.script("/scan.bin", busy, serve(BODY))), code=0)
    assert in_place(cache) == {"scan.bin": SHA256}
    assert len(server.asked) == 2
    assert any("answered 429; again in 1 s" in line.get("reason", "") for line in ran.lines)


REFUSED: dict[int, dict[str, tuple[Script, int]]] = {
    4: {
        "flipped-always": (serve(flipped(content("flipped-always"))), 3),
        "page-always": (PAGE, 3),
        "extra-bytes": (chunked(content("extra-bytes") + b"x"), 3),
        "endless": (endless("200 OK"), 3),
    },
    1: {
        "not-found": (reply("404 Not Found"), 1),
        "202-and-nothing": (reply("202 Accepted"), 1),
        "503-always": (reply("503 Service Unavailable"), 3),
        "to-file": (redirect("file:///etc/passwd"), 1),
    },
}
"""By exit code: what the host always does, and how often it is asked."""


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_is_refused(medfetch: Run, home: Path, cache: Path, server: Server, code: int) -> None:
    cases = REFUSED[code]
    # A good file beside them is had all the same.
    files = [known("good", server.script("/good", serve(content("good"))))]
    files += [known(name, server.script(f"/{name}", script)) for name, (script, _) in cases.items()]
    ran = get(medfetch, home, *files, code=code)
    assert in_place(cache) == {"good": sha256(content("good"))}
    assert (ran.last["event"], ran.last["exit"]) == ("failed", code)
    assert {failure["path"] for failure in ran.last["failures"]} == set(cases)
    assert {name: len(server.of(f"/{name}")) for name in cases} == {name: times for name, (_, times) in cases.items()}
    # When the host has come to its senses, only what is missing is fetched.
    for name in cases:
        server.script(f"/{name}", serve(content(name)))
    get(medfetch, home, *files, code=0)
    assert in_place(cache) == {name: sha256(content(name)) for name in ("good", *cases)}
    assert len(server.of("/good")) == 1


def test_two_files_of_the_same_content(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    files = [{**known("scan.bin", server.script(f"/{name}", serve(BODY))), "path": name} for name in ("a", "b")]
    get(medfetch, home, *files, code=0)
    assert in_place(cache) == {"a": SHA256, "b": SHA256}


def test_a_second_run_goes_on_where_the_first_was_given_up(
    medfetch: Run, home: Path, cache: Path, server: Server
) -> None:
    half, nothing = cut(serve(BODY, etag=ETAG), HALF), cut(serve(BODY, etag=ETAG), 0)
    file = known("scan.bin", server.script("/scan.bin", half, nothing, nothing, nothing, serve(BODY, etag=ETAG)))
    get(medfetch, home, file, code=1)
    assert in_place(cache) == {}
    get(medfetch, home, file, code=0)
    assert in_place(cache) == {"scan.bin": SHA256}
    assert ranges(server.asked) == [WHOLE, REST, REST, REST, REST]
    assert server.sent("/scan.bin") == SIZE


def test_no_host_is_there(medfetch: Run, home: Path, cache: Path) -> None:
    with Server(listening=False) as one, Server(listening=False) as two:
        ran = get(medfetch, home, known("scan.bin", one.url("/scan.bin?token=secret"), two.url("/scan.bin")), code=6)
    assert in_place(cache) == {}
    assert (ran.last["event"], ran.last["exit"]) == ("failed", 6)
    assert "secret" not in ran.out + ran.err


def test_a_mirror_steps_in_and_the_receipt_says_so(
    medfetch: Run, home: Path, cache: Path, server: Server, other: Server
) -> None:
    first = server.script("/scan.bin", cut(serve(BODY, etag=ETAG), HALF), reply("410 Gone"))
    second = other.script("/mirror.bin", serve(BODY, etag=ETAG))
    ran = get(medfetch, home, known("scan.bin", first, second), code=0)
    assert in_place(cache) == {"scan.bin": SHA256}
    assert ranges(other.asked) == [REST]
    assert ran.last["from"] == [{"source": "http", "host": f"127.0.0.1:{other.port}", "files": 1, "bytes": SIZE}]


def test_a_password_goes_to_its_host_only(
    medfetch: Run, home: Path, cache: Path, server: Server, other: Server
) -> None:
    (home / ".netrc").write_text("machine 127.0.0.1 login user password hunter2\n")
    (home / ".netrc").chmod(0o600)
    other.script("/data", serve(BODY))
    url = server.script("/scan.bin", redirect(other.url("/data?signature=secret", host="localhost")))
    ran = get(medfetch, home, {**known("scan.bin", url), "auth": "basic"}, code=0)
    assert in_place(cache) == {"scan.bin": SHA256}
    assert "authorization" in server.asked[0].headers
    assert "authorization" not in other.asked[0].headers
    kept = "".join(
        path.read_bytes().decode("latin-1")
        for path in (cache / NAME).rglob("*")
        if path.is_file() and path.name != "scan.bin"
    )
    assert not [word for word in ("hunter2", "signature=secret", "aHVudGVyMg") if word in ran.out + ran.err + kept]


def test_an_address_without_a_recipe(medfetch: Run, cache: Path, server: Server) -> None:
    url = server.script("/scan.bin", PAGE)
    ran = medfetch("get", url, "--sha256", SHA256, "--json", code=4)
    assert ran.last["exit"] == 4
    assert "HTML" in ran.last["message"]
    server.script("/scan.bin", serve(BODY))
    ran = medfetch("get", url, "--sha256", SHA256, "--json")
    assert tree(Path(ran.last["path"])) == {"scan.bin": SHA256}
