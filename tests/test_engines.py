"""The coordinator of a run and its workers: who dies is replaced while work gets done, who hangs holds nobody up."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import COLLECTION, of_subject, tree
from running import Medfetch, Run
from test_kill import CAP, SLOW, SUBJECTS, children, runs, total, until

from medfetch.sandbox import Fault, Sandbox

FEW_DEATHS = "import medfetch.engines.local as local\nlocal.DEATHS = 2\n"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=CAP, faults=[SLOW]) as box:
        yield box


@pytest.fixture
def run(run: Medfetch) -> Run:
    return run.anew()


def test_workers_may_die_often_as_long_as_work_gets_done(run: Run, home: Path, box: Sandbox, cache: Path) -> None:
    (home / "sitecustomize.py").write_text(FEW_DEATHS)
    folder = cache / COLLECTION / "current"
    # Few connections: what they are at is lost with each death.
    alone = {"MEDFETCH_PROCESSES": "1", "MEDFETCH_JOBS": "4", "PYTHONPATH": str(home)}
    process = run.start("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json", **alone)
    killed: list[int] = []
    for number in range(4):
        files = len(list(folder.glob("LIDC*/*/*/*.dcm")))
        until(lambda files=files: len(list(folder.glob("LIDC*/*/*/*.dcm"))) > files, f"more files, {number} deaths")
        (worker,) = children(process)
        assert worker not in killed
        killed.append(worker)
        os.kill(worker, signal.SIGKILL)
    box.clear()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert tree(folder) == of_subject(SUBJECTS[0], CAP)
    assert box.stats.data_bytes - total(folder) < len(killed) * 0.03 * total(folder)


def test_workers_that_only_die_end_the_run(run: Run, home: Path) -> None:
    (home / "sitecustomize.py").write_text(
        f"{FEW_DEATHS}import os, sys, medfetch.engines.worker as worker\n"
        "worker.main = lambda *_: os.kill(os.getpid(), 9)\n"
        "if 'medfetch.engines.worker' in sys.orig_argv:\n    worker.main()\n"
    )
    ran = run("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json", code=1, PYTHONPATH=str(home))
    assert "3 worker processes died, the last with -9" in ran.err


def test_a_worker_that_hangs_does_not_hold_up_the_end(run: Run, box: Sandbox) -> None:
    process = run.anew().start("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json", MEDFETCH_PROCESSES="1")
    until(lambda: box.stats.data_bytes > 500_000, "some bytes")
    (worker,) = children(process)
    os.kill(worker, signal.SIGSTOP)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert json.loads(out.splitlines()[-1])["error"] == "Stopped"
    assert not runs(worker)
    box.clear()
    run("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}")


def test_the_first_workers_are_forked_and_in_nobodys_way(run: Run, box: Sandbox, cache: Path) -> None:
    process = run.start("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json", MEDFETCH_PROCESSES="2")
    until(lambda: box.stats.data_bytes > 500_000, "some bytes")
    workers = children(process)
    assert workers and not [pid for pid in workers if b"engines.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    # A scheduler warns all processes of a job; only the coordinator takes it as said to it.
    for pid in workers:
        os.kill(pid, signal.SIGUSR1)
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert "died" not in out
    assert not any(map(runs, workers))
    box.clear()
    run("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}")
    assert tree(cache / COLLECTION / "current") == of_subject(SUBJECTS[0], CAP)


def test_workers_that_somebody_killed_while_they_waited_are_replaced(run: Run, box: Sandbox, cache: Path) -> None:
    box.clear()
    box.add(Fault(stall=3))  # whatever is asked first, for the plan
    process = run.start("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--json", MEDFETCH_PROCESSES="2")
    until(lambda: len(children(process)) == 2, "two workers")
    waiting = children(process)
    for pid in waiting:
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "died" not in out
    assert tree(cache / COLLECTION / "current") == of_subject(SUBJECTS[0], CAP)
