"""One rate over threads and processes: never exceeded but for a moment's worth, and reached whoever does the work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import Clock
from datasets import http, tree, write_recipe
from running import Run
from servers import Server, serve

from medfetch import pace
from medfetch.pace import Pace, shared_file

TAKING = """
import sys, threading
from medfetch.pace import Pace
descriptor, rate, threads, block, takes = map(int, sys.argv[1:])
pace = Pace(rate, threading.Event(), descriptor)
def work():
    for _ in range(takes):
        pace.take(block)
all = [threading.Thread(target=work) for _ in range(threads)]
for each in all:
    each.start()
for each in all:
    each.join()
"""


class Machine:
    """A clock that moves only when somebody waits, in place of the module's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(pace, "time", machine)
    return machine


@pytest.mark.parametrize("rate", [20_000, 100_000, 10**7, 5 * 10**8])
@pytest.mark.parametrize("block", [1000, 16_384, 262_144])
def test_a_rate_is_kept_and_reached(machine: Machine, rate: int, block: int) -> None:
    took = Pace(rate, machine)  # type: ignore[arg-type]
    begun, taken = machine.now, 0
    while taken < max(rate, 20 * block):
        taken += block
        took.take(block)
    assert machine.now - begun == pytest.approx(taken / rate, rel=0.01, abs=2 * pace.SHORTEST)


def test_who_share_a_file_share_a_rate_however_unevenly_they_take(machine: Machine) -> None:
    with shared_file() as file:
        much, little = (Pace(10**6, machine, file.fileno()) for _ in range(2))  # type: ignore[arg-type]
        begun = machine.now
        for number in range(400):
            much.take(10_000)
            if number % 100 == 0:
                little.take(10_000)
        assert machine.now - begun == pytest.approx(4.04, rel=0.01)


def test_a_silence_is_not_made_up_for(machine: Machine) -> None:
    took = Pace(10**6, machine)  # type: ignore[arg-type]
    took.take(10_000)
    machine.now += 1000
    begun = machine.now
    for _ in range(100):
        took.take(10_000)
    assert 1 - pace.SAVED - 2 * pace.PORTION <= machine.now - begun <= 1


def test_without_a_rate_nobody_waits() -> None:
    clock = Clock()
    Pace(None, clock).take(10**12)
    assert clock.waits == []


def test_a_stop_ends_the_wait() -> None:
    stop = threading.Event()
    waiting = threading.Thread(target=Pace(1, stop).take, args=(10**6,))
    waiting.start()
    stop.set()
    waiting.join(60)
    assert not waiting.is_alive()


def test_processes_keep_one_rate() -> None:
    """By a machine that is busy they may be slower, never faster."""
    rate, block = 4_000_000, 10_000
    takes = [(1, 50), (4, 50), (8, 10), (16, 5)]
    code = [sys.executable, "-c", TAKING]
    with shared_file() as file:
        begun = time.monotonic()
        processes = [
            subprocess.Popen([*code, *map(str, (file.fileno(), rate, threads, block, each))], pass_fds=[file.fileno()])
            for threads, each in takes
        ]
        assert [process.wait() for process in processes] == [0] * len(takes)
        seconds = time.monotonic() - begun
    taken = block * sum(threads * each for threads, each in takes)
    assert taken / rate - pace.SAVED <= seconds


def test_who_dies_with_the_lock_holds_nobody_up() -> None:
    held = "import fcntl, os, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX); os.kill(os.getpid(), 9)"
    with shared_file() as file:
        command = [sys.executable, "-c", held, str(file.fileno())]
        subprocess.run(command, pass_fds=[file.fileno()], check=False)
        clock = Clock()
        Pace(10**6, clock, file.fileno()).take(10**6)
        assert clock.waits == [pytest.approx(1, abs=pace.SAVED + 0.1)]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_limit_rate_is_for_all_workers_together(run: Run, home: Path, server: Server) -> None:
    """Of two workers one is soon done: the other then has the whole rate."""
    (home / "sitecustomize.py").write_text("import medfetch.planning as p\np.SHARD_FILES, p.FIRST_SHARDS = 16, 1\n")
    bodies = [os.urandom(200_000) for _ in range(20)]
    files = [
        {"url": server.script(f"/{number}", serve(body, keep=True)), "path": f"{number}.bin"}
        for number, body in enumerate(bodies)
    ]
    name = write_recipe(home, "limited", parts={"all": {"routes": http(*files)}})
    begun = time.monotonic()
    ran = run("get", name, "--limit-rate", "1M", "--json", MEDFETCH_ENDPOINT_HTTP="", PYTHONPATH=str(home))
    seconds = time.monotonic() - begun
    receipt = ran.last
    assert len(list((Path(receipt["path"]) / ".medfetch/plans").glob("*/*.sqlite"))) > 1
    assert len(tree(Path(receipt["path"]))) == len(bodies)
    paced = sum(map(len, bodies)) / 10**6
    print(f"{paced / seconds:.1%} of the rate, start and end included")
    assert seconds >= paced - pace.SAVED
