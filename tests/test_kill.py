"""Whatever ends a run, and whenever: nothing wrong at its final name, nothing complete lost, little fetched twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from datasets import COLLECTION, of_subject, sha256, tree
from running import Medfetch, Run

from medfetch.sandbox import Fault, Sandbox

CAP = 100_000
KILLS = 20
SUBJECTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0003")
SLOW = Fault(match=r"\.dcm$", rate=400_000, times=None)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """One host for all lives of a run; slow, so that they do not end by themselves."""
    with Sandbox(max_instance_bytes=CAP, faults=[SLOW]) as box:
        yield box


@pytest.fixture
def run(run: Medfetch) -> Run:
    return run.anew()


def until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline, f"{what}: not within a minute"
        time.sleep(0.02)


def children(process: subprocess.Popen[str]) -> list[int]:
    """Its workers; not what brings data to the disk now and then (``durability.sync``)."""
    found = []
    with suppress(OSError):
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in found if b"medfetch" in _command_line(pid)]


def _command_line(pid: str) -> bytes:
    with suppress(OSError):  # it has just ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def runs(pid: int) -> bool:
    """Whether a process is alive; a zombie that nobody has waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def only_right(folder: Path, wanted: dict[str, str]) -> int:
    """Fails for a file at its final name that is not exactly right; the number of right ones."""
    there = tree(folder)
    wrong = {name for name, digest in there.items() if wanted.get(name) != digest}
    assert not wrong
    return len(there)


def total(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.dcm"))


def test_killed_at_many_moments_it_is_as_though_nothing_had_been(run: Run, box: Sandbox, cache: Path) -> None:
    wanted = {name: digest for subject in SUBJECTS for name, digest in of_subject(subject, CAP).items()}
    arguments = ("get", COLLECTION, "-s", f"subject={','.join(SUBJECTS)}", "--json")
    folder = cache / COLLECTION / "current"
    moments = random.Random(20_261_120)
    orphans: list[int] = []
    found = [0]
    for number in range(KILLS):
        process = run.start(*arguments, MEDFETCH_JOBS="4")
        # A third of the time anywhere in its life, a third from when it starts to fetch, a third while bytes arrive.
        if number % 3 == 1:
            assert any('"event": "start"' in line for line in iter(process.stdout.readline, "")), "it fetches nothing"
        if number % 3 == 2:
            sent = box.stats.data_bytes
            until(lambda sent=sent: box.stats.data_bytes > sent, "bytes")
        time.sleep(moments.uniform(0, 1))
        orphans += children(process)
        # Half of the time the coordinator alone: its workers must end by themselves.
        process.kill() if number % 2 else os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, f"it ended by itself, after {number} kills: {out}{err}"
        found.append(only_right(folder, wanted))
        assert found[-1] >= found[-2]
    until(lambda: not any(map(runs, orphans)), "workers end with their parent")
    assert orphans
    assert 0 < found[-1] < len(wanted)
    before = box.stats.data_bytes
    box.clear()
    receipt = run(*arguments).last
    assert tree(folder) == wanted
    assert receipt["files"] == len(wanted)
    assert list((folder / ".medfetch" / "partial").iterdir()) == []
    twice = box.stats.data_bytes - total(folder)
    print(f"{before / total(folder):.0%} was sent before the last life; sent twice: {twice / total(folder):.2%}")
    assert twice < 0.03 * total(folder)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 75)])
def test_a_signal_saves_and_says_how_to_go_on(run: Run, box: Sandbox, cache: Path, number: int, code: int) -> None:
    arguments = ("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json")
    # What many connections have not read yet when they end is lost.
    process = run.start(*arguments, MEDFETCH_JOBS="4")
    until(lambda: box.stats.data_bytes > 1_500_000, "some bytes")
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    failed = json.loads(out.splitlines()[-1])
    assert (failed["event"], failed["error"], failed["exit"]) == ("failed", "Stopped", code)
    assert signal.Signals(number).name in err
    assert "the same command goes on from there" in err
    folder = cache / COLLECTION / "current"
    wanted = of_subject(SUBJECTS[0], CAP)
    only_right(folder, wanted)
    kept = total(folder) + sum(path.stat().st_size for path in (folder / ".medfetch/partial").glob("*.part"))
    assert kept > 1_000_000
    assert not (folder / ".medfetch" / "get.lease").exists()
    box.clear()
    run(*arguments)
    assert tree(folder) == wanted
    assert box.stats.data_bytes - total(folder) < 0.03 * total(folder)


def test_a_signal_does_not_wait_for_a_silent_host(run: Run, box: Sandbox) -> None:
    box.clear()
    box.add(Fault(match="list-type", stall=100, times=None))
    process = run.start("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}")
    until(lambda: any("list-type" in entry.target for entry in box.log), "a listing")
    process.terminate()
    _, err = process.communicate(timeout=50)
    assert process.returncode == 143, err


def test_a_killed_worker_is_replaced(run: Run, box: Sandbox, cache: Path) -> None:
    alone = {"MEDFETCH_PROCESSES": "1", "MEDFETCH_JOBS": "4"}
    process = run.start("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json", **alone)
    until(lambda: box.stats.data_bytes > 1_000_000, "some bytes")
    (worker,) = children(process)
    os.kill(worker, signal.SIGKILL)
    box.clear()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["reason"] for event in events if event["event"] == "note"] == [
        f"worker {worker} died; its work is taken over"
    ]
    folder = cache / COLLECTION / "current"
    assert tree(folder) == of_subject(SUBJECTS[0], CAP)
    # A file that is under way on each of four connections, and one that has just come.
    assert box.stats.data_bytes - total(folder) <= 2 * 4 * CAP


def test_a_large_file_goes_on_where_it_was_cut(run: Run, box: Sandbox, cache: Path) -> None:
    data = box.put("https://host/large.bin", size=8_000_000)
    box.add(Fault(match="large", rate=4_000_000))
    process = run.start("get", "https://host/large.bin")
    until(lambda: box.stats.data_bytes > 2_000_000, "some bytes")
    process.kill()
    process.communicate()
    receipt = run("get", "https://host/large.bin", "--json").last
    assert tree(Path(receipt["path"])) == {"large.bin": sha256(data)}
    assert box.stats.data_bytes < 8_500_000
    assert box.log[-1].header("range")


def test_gc_after_a_kill_keeps_what_is_complete(run: Run, box: Sandbox, cache: Path) -> None:
    arguments = ("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json")
    process = run.start(*arguments)
    folder = cache / COLLECTION / "current"
    until(lambda: len(list(folder.glob("LIDC*/*/*/*.dcm"))) > 20, "files in place")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    complete = set(tree(folder))
    box.clear()
    run("gc")
    seen = len(box.log)
    run(*arguments)
    assert tree(folder) == of_subject(SUBJECTS[0], CAP)
    fetched = [entry for entry in box.log[seen:] if entry.target.endswith(".dcm")]
    assert len(fetched) <= 135 - len(complete)
