"""Leases: taken by one, void when their owner is dead, and never given to two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medfetch import leases


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lease"


def files(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


def test_one_takes_it_and_gives_it_back(path: Path) -> None:
    lease = leases.take(path)
    assert lease is not None
    assert leases.take(path) is None
    owner = leases.owner(path)
    assert owner is not None
    assert (owner["pid"], owner["token"]) == (os.getpid(), lease.token)
    assert not leases.is_dead(path)
    lease.release()
    assert leases.owner(path) is None
    assert not leases.is_dead(path)
    again = leases.take(path)
    assert again is not None
    assert again.token != lease.token
    again.release()
    assert files(path) == set()


@contextmanager
def taken_by_another(path: Path, then: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that took the lease, and then does something; killed in the end."""
    code = f"""
import os, signal, sys
from pathlib import Path
from medfetch import leases
assert leases.take(Path(sys.argv[1]))
print("taken", flush=True)
{then}
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_living_process_keeps_it(path: Path) -> None:
    with taken_by_another(path, "sys.stdin.read()") as process:
        assert leases.take(path) is None
        # Not even silence voids the lease of a process that is seen to live.
        os.utime(path, (0, 0))
        assert leases.take(path) is None
        process.kill()
    lease = leases.take(path)
    assert lease is not None
    assert files(path) == {"lease"}
    lease.release()


def test_a_killed_process_has_lost_it_even_before_its_parent_looks(path: Path) -> None:
    with taken_by_another(path, "os.kill(os.getpid(), signal.SIGKILL)") as process:
        # Ended, but not yet waited for: a zombie, as in containers whose first process waits for nobody.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        lease = leases.take(path)
        assert lease is not None
        lease.release()


def written(path: Path, **owner: object) -> None:
    path.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "started": None, "token": "theirs", **owner}))


def silent(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_process_number_that_was_given_again_is_another_owner(path: Path) -> None:
    lease = leases.take(path)
    assert lease is not None
    owner = leases.owner(path)
    assert owner is not None
    written(path, **{**owner, "started": "1"})
    assert leases.is_dead(path)
    assert leases.take(path) is not None


def test_another_machine_is_believed_until_it_falls_silent(path: Path) -> None:
    written(path)
    silent(path, leases.STALE / 2)
    assert leases.take(path) is None
    silent(path, leases.STALE * 2)
    lease = leases.take(path)
    assert lease is not None
    assert leases.owner(path) == {**leases.owner(path), "token": lease.token}  # type: ignore[dict-item]
    assert files(path) == {"lease"}


@pytest.mark.parametrize("content", ["", "{", "[]", "\0" * 100])
def test_a_lease_that_cannot_be_read_is_void_after_a_silence(path: Path, content: str) -> None:
    path.write_text(content)
    assert leases.owner(path) is None
    assert leases.take(path) is None
    silent(path, leases.MOMENT * 2)
    assert leases.take(path) is not None


def test_who_lost_it_does_not_take_it_from_the_new_owner(path: Path) -> None:
    lease = leases.take(path)
    assert lease is not None
    # As after a long sleep of this machine: another one found it silent.
    written(path)
    lease.release()
    assert (leases.owner(path) or {})["token"] == "theirs"


def test_a_lease_that_cannot_be_written_is_not_left_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(leases.json, "dump", full)
    with pytest.raises(OSError, match="No space"):
        leases.take(path)
    assert files(path) == set()


def test_the_heart_beats_for_held_leases_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT", 0.01)
    monkeypatch.setattr(leases._Heart, "_instance", None)
    lease = leases.take(path)
    assert lease is not None
    os.utime(path, (0, 0))
    deadline = time.monotonic() + 30
    while path.stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lease.release()
    assert leases.owner(path) is None


RACE = """
import os, sys, time
from pathlib import Path
from medfetch import leases
path, rounds = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    while (lease := leases.take(path)) is None:
        time.sleep(0)
    # Nobody else may be here now.
    inside = path.with_name("inside")
    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
    inside.unlink()
    # Dies in the eyes of the others: the process that it names is no more.
    text = path.read_text().replace(f'"pid": {os.getpid()}', '"pid": 4194305')
    aside = path.with_name(f"aside-{os.getpid()}")
    aside.write_text(text)
    aside.replace(path)
"""


def test_of_many_that_find_a_dead_owner_exactly_one_wins(path: Path) -> None:
    # 4194304 is the largest process number there can be.
    written(path, machine=leases._machine(), pid=4194305)
    command = [sys.executable, "-c", RACE, str(path), "40"]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"go\n")
        racer.stdin.flush()
    problems = [racer.communicate()[1].decode() for racer in racers]
    assert problems == [""] * len(racers)


def test_who_was_killed_while_clearing_holds_nobody_up_for_long(path: Path) -> None:
    written(path)
    silent(path, leases.STALE * 2)
    clearing = path.with_name("lease.clearing")
    clearing.touch()
    assert leases.take(path) is None  # somebody is at it
    silent(clearing, leases.MOMENT * 2)
    found = [leases.take(path) for _ in range(2)]
    assert found[-1] is not None
    assert files(path) == {"lease"}


HOUR = 3600.0


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_clock_that_jumps_kills_nobody_on_this_machine(
    path: Path, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken_by_another(path, "sys.stdin.read()") as process:
        now = time.time()
        monkeypatch.setattr(leases.time, "time", lambda: now + jump)
        assert leases.take(path) is None
        process.kill()
        process.wait()
        lease = leases.take(path)
        assert lease is not None
        lease.release()


@pytest.mark.parametrize(
    ("content", "patience"),
    [('{"machine": "elsewhere", "pid": 1, "token": "theirs"}', leases.STALE), ("", leases.MOMENT)],
    ids=["of another machine", "of nobody"],
)
def test_a_clock_that_was_set_back_keeps_nobody_alive(
    path: Path, content: str, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(content)
    silent(path, -HOUR)
    start = time.monotonic()
    assert leases.take(path) is None
    monkeypatch.setattr(leases.time, "monotonic", lambda: start + patience / 2)
    assert leases.take(path) is None
    silent(path, -HOUR - 1)  # a sign of life
    monkeypatch.setattr(leases.time, "monotonic", lambda: start + patience * 1.2)
    assert leases.take(path) is None
    monkeypatch.setattr(leases.time, "monotonic", lambda: start + patience * 2.4)
    lease = leases.take(path)
    assert lease is not None
    lease.release()


def test_who_is_stopped_for_long_keeps_it(path: Path) -> None:
    with taken_by_another(path, "sys.stdin.read()") as process:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        silent(path, leases.STALE * 100)
        assert leases.take(path) is None
        process.send_signal(signal.SIGCONT)
        assert leases.take(path) is None
        process.kill()


THREADED = "import threading; threading.Thread(target=sys.stdin.read).start(); ctypes.CDLL(None).pthread_exit(0)"


def test_a_process_whose_threads_still_run_is_not_dead(path: Path) -> None:
    """So a killed process looks for a moment: its first thread is gone, the others hold its connections."""
    with taken_by_another(path, f"import ctypes; {THREADED}") as process:
        stat = Path(f"/proc/{process.pid}/stat")
        deadline = time.monotonic() + 30
        while " Z " not in stat.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert leases.take(path) is None
        process.kill()
        process.wait()
        assert leases.take(path) is not None
