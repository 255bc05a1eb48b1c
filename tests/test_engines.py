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

from medfetch.sandbox import Sandbox

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
        FEW_DEATHS + "import os, sys\nif 'medfetch.engines.worker' in sys.orig_argv:\n    os.kill(os.getpid(), 9)\n"
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
