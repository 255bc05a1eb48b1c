"""Power cuts: what may not have reached the disk is read again by the next run, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import http, tree, write_recipe
from running import Medfetch, Run
from servers import Server, serve

from medfetch import cache as cache_folder
from medfetch import durability, leases, machine, storage, upkeep
from medfetch.cache import Home

BODIES = {f"file-{number}": bytes([number]) * 50_000 for number in range(5)}
WHOLE = {name: hashlib.sha256(body).hexdigest() for name, body in BODIES.items()}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def run(home: Path, cache: Path) -> Run:
    """The real command, with no endpoint replaced."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    settings = {"CACHE": cache, "RECIPES": home, "BACKOFF": 0.01, "RESERVE": 0}
    return Medfetch(home, environment | {f"MEDFETCH_{name}": str(value) for name, value in settings.items()})


@pytest.fixture
def home_of_set(run: Run, home: Path, cache: Path, server: Server) -> Home:
    """A dataset that was fetched, and whose bytes have reached the disk."""
    files = [
        {"path": name, "url": server.script(f"/{name}", *[serve(body)] * 3), "size": len(body), "sha256": WHOLE[name]}
        for name, body in BODIES.items()
    ]
    run("get", write_recipe(home, "set", parts={"all": {"routes": http(*files)}}))
    run("get", "set")
    made = cache_folder.home(cache, "set", None)
    assert not marks(made)
    server.asked.clear()
    return made


def marks(home: Home) -> list[Path]:
    return list(home.inner.glob("unsynced*"))


def power_cut(home: Home, *spoilt: str, before: float = 5.0) -> None:
    """As after a run that began ``before`` seconds ago when the power went: of these files other bytes are there."""
    mark = home.inner / "unsynced.another-start.1"
    mark.touch()
    os.utime(mark, (time.time() - before,) * 2)
    for name in spoilt:
        (home.root / name).write_bytes(bytes(len(BODIES[name])))


def test_what_a_power_cut_spoilt_is_fetched_again(home_of_set: Home, run: Run, server: Server) -> None:
    power_cut(home_of_set, "file-2", before=60)
    assert run("path", "set", code=1).err
    assert run("status", "set", "--json").lines[0]["state"] == "partial"
    run("get", "set")
    assert tree(home_of_set.root) == WHOLE
    assert [asked.path for asked in server.asked] == ["/file-2"]
    run("path", "set")
    # Of that file nobody waited for the disk, but who comes next sees to it.
    run("get", "set")
    assert not marks(home_of_set)


def test_what_was_synced_before_is_not_read_again(
    home_of_set: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    time.sleep(0.05)
    power_cut(home_of_set, "file-3", before=-durability.SLACK)
    read: list[str] = []
    hash_stream = durability.hash_stream
    monkeypatch.setattr(
        durability, "hash_stream", lambda file: (read.append(Path(file.name).name), hash_stream(file))[1]
    )
    from medfetch.ledger import Ledger

    files = list(Ledger(home_of_set.ledger).files())
    assert list(durability.lost(home_of_set, files)) == ["file-3"]
    assert read == ["file-3"]


def test_a_mark_of_this_start_is_no_doubt(home_of_set: Home, run: Run, server: Server) -> None:
    """As a killed run leaves it: what it wrote is the system's."""
    (home_of_set.inner / f"unsynced.{storage.boot() or durability.UNKNOWN}.1").touch()
    run("path", "set", code=0 if storage.boot() else 1)
    run("get", "set")
    assert server.asked == []
    assert not marks(home_of_set)


def test_a_mark_keeps_its_time_until_something_is_synced(home_of_set: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    # A disk that takes longer than anybody waits for.
    monkeypatch.setattr(durability, "sync", lambda home: time.sleep(30))
    with durability.writing(home_of_set):
        (mark,) = marks(home_of_set)
        os.utime(mark, (1000, 1000))
    assert mark.stat().st_mtime == 1000


def test_a_run_takes_away_no_mark_but_its_own(home_of_set: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "SHARE", 1000.0)
    with durability.writing(home_of_set):
        before = marks(home_of_set)
        with durability.writing(home_of_set):
            assert len(marks(home_of_set)) == 2
            time.sleep(0.05)
        assert marks(home_of_set) == before
        time.sleep(0.05)
    assert marks(home_of_set) == []


def test_a_mark_of_another_machine_is_no_doubt_while_its_run_is_at_work(home_of_set: Home) -> None:
    (home_of_set.inner / "unsynced.its-start.1").touch()
    assert durability.in_doubt(home_of_set)
    run = home_of_set.tasks / "1.task"
    run.write_text(json.dumps({"machine": "elsewhere/its-start/pid:[1]", "pid": 1, "token": "theirs"}))
    assert not durability.in_doubt(home_of_set)
    os.utime(run, (time.time() - 2 * leases.STALE,) * 2)
    assert durability.in_doubt(home_of_set)


def test_a_disk_that_does_not_take_what_was_written_ends_the_run(
    home_of_set: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(home: Home) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(durability, "sync", fails)
    monkeypatch.setattr(durability, "SHARE", 1000.0)
    with pytest.raises(OSError, match="Input/output"), durability.writing(home_of_set):
        time.sleep(0.01)
    assert marks(home_of_set)


@pytest.mark.parametrize("spoilt", ["ledger.sqlite", "plans/*/00000.sqlite", "receipt.json", "plans/*/receipt.json"])
def test_what_a_power_cut_made_of_our_books_is_made_anew(
    home_of_set: Home, run: Run, server: Server, spoilt: str
) -> None:
    power_cut(home_of_set)
    (path,) = home_of_set.inner.glob(spoilt)
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 100))
    assert run("get", "set", "--json").last["files"] == len(BODIES)
    assert tree(home_of_set.root) == WHOLE
    # The ledger's facts are had by fetching again what is there; nothing else is.
    assert len(server.asked) == (len(BODIES) if spoilt == "ledger.sqlite" else 0)
    run("path", "set")


def test_a_folder_that_cannot_be_synced_says_why(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        durability.sync(Home(tmp_path / "nowhere"))


def test_a_sync_that_somebody_kills_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sync"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    synced = []
    monkeypatch.setattr(storage, "sync_folder", synced.append)
    durability.sync(Home(tmp_path))
    assert synced == [tmp_path]
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append("file"), fsync(descriptor)))
    machine.sync_file(program)
    assert synced == [tmp_path, "file"]


def test_a_mark_that_goes_while_its_home_is_removed(home_of_set: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    really, marks = shutil.rmtree, iter(["one"])

    def rmtree(path: Path) -> None:
        if next(marks, None):
            raise FileNotFoundError(home_of_set.inner / "unsynced.x.1")
        really(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    upkeep.remove(home_of_set)
    assert not home_of_set.root.exists()
