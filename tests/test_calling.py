"""``medfetch.get`` in other people's programs: told how far it is, ended by them, called by several threads at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe

import medfetch
from medfetch.errors import Stopped
from medfetch.permissions import EVERYBODY, Readers, Turns
from medfetch.sandbox import Fault, Sandbox
from medfetch.storage import write_json

CONTENTS = {f"d/{number}.bin": os.urandom(40_000) for number in range(20)}


@pytest.fixture
def settings(home: Path, cache: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in {**box.environment, "HOME": str(home)}.items():
        monkeypatch.setenv(name, value)
    return {"cache": cache, "recipes": (home,), "processes": 1, "backoff": 0.01, "reserve": 0}


def dataset(home: Path, box: Sandbox, name: str, **more: Any) -> str:
    for path, content in CONTENTS.items():
        box.put(f"https://host/{name}/{path}", content)
    listed = [
        {"path": path, "url": f"https://host/{name}/{path}", "sha256": sha256(content), "size": len(content)}
        for path, content in CONTENTS.items()
    ]
    return write_recipe(home, name, routes=http(*listed), **more)


@pytest.fixture
def name(home: Path, box: Sandbox) -> Iterator[str]:
    yield dataset(home, box, "called")


WANTED = {path: sha256(content) for path, content in CONTENTS.items()}
SIZE = sum(map(len, CONTENTS.values()))


def test_a_function_is_told_how_far_it_is(name: str, settings: dict[str, Any]) -> None:
    events: list[dict[str, Any]] = []
    threads = set()

    def progress(event: dict[str, Any]) -> None:
        events.append(event)
        threads.add(threading.get_ident())

    root = medfetch.get(name, progress=progress, **settings)
    assert tree(root) == WANTED
    assert [event["event"] for event in events[:2]] == ["plan", "start"]
    assert events[1] == {"event": "start", "dataset": name, "files": len(CONTENTS), "bytes": SIZE}
    assert all(event["of"] == SIZE and event["bytes"] <= SIZE for event in events if event["event"] == "progress")
    assert threads == {threading.get_ident()}


class _Enough(Exception):
    pass


def test_what_the_function_raises_ends_the_run_in_order(
    name: str, settings: dict[str, Any], box: Sandbox, cache: Path
) -> None:
    box.add(Fault(match=r"\.bin$", rate=100_000, times=None))

    def progress(event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            raise _Enough

    with pytest.raises(_Enough):
        medfetch.get(name, progress=progress, **settings)
    root = cache / name / "current"
    assert not list((root / ".medfetch").rglob("*.lease"))
    kept = sum(path.stat().st_size for path in root.rglob("*") if path.suffix in (".bin", ".part"))
    assert kept > 0
    box.clear()
    assert tree(medfetch.get(name, progress=False, **settings)) == WANTED
    assert box.stats.data_bytes < SIZE + 8 * 40_000


@pytest.mark.parametrize("stalled", [False, True])
def test_another_thread_may_cancel_it(
    name: str, settings: dict[str, Any], box: Sandbox, cache: Path, stalled: bool
) -> None:
    fault = (
        Fault(match=r"\.bin$", stall=100, times=None) if stalled else Fault(match=r"\.bin$", rate=60_000, times=None)
    )
    box.add(fault)
    cancel, ended = threading.Event(), []

    def fetch() -> None:
        try:
            medfetch.get(name, progress=False, cancel=cancel, **settings)
        except Stopped as stopped:
            ended.append(stopped)

    thread = threading.Thread(target=fetch)
    thread.start()
    deadline = time.monotonic() + 60
    while not box.log and time.monotonic() < deadline:
        time.sleep(0.05)
    cancel.set()
    thread.join(60)
    assert not thread.is_alive()
    (stopped,) = ended
    assert (stopped.exit_code, stopped.hint) == (130, "the same call goes on from there")
    assert not list((cache / name / "current" / ".medfetch").rglob("*.lease"))
    box.clear()
    assert tree(medfetch.get(name, progress=False, cancel=threading.Event(), **settings)) == WANTED


def test_what_was_cancelled_before_asks_nobody(name: str, settings: dict[str, Any], box: Sandbox) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Stopped):
        medfetch.get(name, progress=False, cancel=cancel, **settings)
    assert not box.log


def test_threads_get_the_same_dataset_and_others(name: str, settings: dict[str, Any], home: Path, box: Sandbox) -> None:
    other = dataset(home, box, "other")
    closed = [dataset(home, box, each, access={"level": "credentialed"}) for each in ("closed1", "closed2")]
    umask = os.umask(0o022)
    try:
        with ThreadPoolExecutor(6) as pool:
            names = [name, other, name, *closed, other]
            roots = list(pool.map(lambda each: medfetch.get(each, progress=False, **settings), names))
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(umask)
    for each, root in zip(names, roots, strict=True):
        assert tree(root) == WANTED
        modes = {path.stat().st_mode & 0o077 for path in root.rglob("*.bin")}
        assert modes == ({0} if each in closed else {0o044})
    assert box.stats.data_bytes == 4 * SIZE


def test_whoever_changes_the_umask_is_alone() -> None:
    turns, inside, most = Turns(), [], []
    private = Readers(private=True)

    def work(readers: Readers) -> None:
        with turns.turn(readers), turns.turn(readers):
            inside.append(readers)
            most.append([each.private for each in inside])
            time.sleep(0.001)
            inside.remove(readers)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [EVERYBODY, EVERYBODY, private] * 20))
    assert all(len(each) == 1 or not any(each) for each in most)


def test_a_file_is_written_as_the_umask_says(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        write_json(tmp_path / "x.json", {"a": 1})
    finally:
        os.umask(umask)
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
