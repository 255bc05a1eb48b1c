"""What ``cluster script`` writes, submitted to a real Slurm; and Dask's workers as its jobs, killed on the way."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import of_subject, tree
from running import Medfetch
from test_slurm import INSTANCE, Box, Slurm, box, slurm, until

NAME = "idc:midrc_ricord_1c"
SERIES = 60
SUBJECTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0002")
WISH = ("--limit", str(SERIES))
RATE = 40_000
"""Bytes a second for each connection."""
FINE_SHARDS = "import medfetch.planning as planning\nplanning.SHARD_FILES, planning.SMALLEST = 6, 1\n"

__all__ = ["box", "slurm"]


@pytest.fixture
def medfetch(slurm: Slurm, box: Box, tmp_path: Path) -> Medfetch:
    """``medfetch`` on the login node; its jobs find it there, too."""
    (tmp_path / "sitecustomize.py").write_text(FINE_SHARDS)
    settings = {"CACHE": tmp_path / "cache", "PROCESSES": 1, "JOBS": 6, "RESERVE": 0, "BACKOFF": 0.1}
    own = {f"MEDFETCH_{key}": str(value) for key, value in settings.items()}
    python = {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    return Medfetch(tmp_path, {**slurm.environment, **python, **own, **box.environment})


@pytest.fixture
def single(medfetch: Medfetch, tmp_path: Path) -> dict[str, str]:
    """The same by one machine: SHA-256 by path."""
    return tree(Path(medfetch("get", NAME, *WISH, "--cache", tmp_path / "single", "--json").last["path"]))


def queue(on_cluster: Slurm) -> list[str]:
    return on_cluster("squeue", "-h", "-r", "-o", "%A %t %N").splitlines()


def test_the_page_on_slurm_as_written(slurm: Slurm, medfetch: Medfetch, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "slurm.md").read_text(encoding="utf-8")
    example = page.split("```")[1]
    environment = {**medfetch.environment, "PATH": f"{Path(sys.executable).parent}:{medfetch.environment['PATH']}"}
    on_cluster = Slurm(environment)
    on_cluster("bash", "-euc", f"cd {tmp_path}\n{example}")
    jobs = re.findall(r"<<'JOB'\n(.*?)^JOB$", (tmp_path / "fetch.sh").read_text(), re.DOTALL | re.MULTILINE)
    assert len(jobs) == 2
    for each in jobs:
        on_cluster("sbatch", "--test-only", give=each)
    until(lambda: not queue(on_cluster), "both jobs are through")
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert len(logs) == 5
    wanted = {name: digest for subject in SUBJECTS for name, digest in of_subject(subject, INSTANCE).items()}
    (verified,) = [text for name, text in logs.items() if "verify" in name]
    assert f"{len(wanted)} files, 0 bad" in verified, logs
    assert tree(Path(medfetch("path", "lidc-idri").out.strip())) == wanted


@pytest.mark.skipif("CLUSTER" not in os.environ, reason="takes half a minute: make cluster")
def test_workers_of_dask_are_killed_and_added_on_the_way(
    slurm: Slurm, box: Box, medfetch: Medfetch, single: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("dask_jobqueue", reason='pip install "medfetch[dask]"')
    on_cluster = Slurm(medfetch.environment)
    needed = box.sent
    box.ask("POST", "__faults", {"match": r"\.dcm$", "rate": RATE, "times": None})
    told = {"DASK_JOBQUEUE__SLURM__INTERFACE": "lo", "DASK_JOBQUEUE__SLURM__MEMORY": "500 MB"}
    # Workers that are lost are replaced at once, not after some time in which they might come back.
    told["DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT"] = "1s"
    process = medfetch.start("get", NAME, *WISH, "--dask", "slurm", "--workers", "1-3", "--json", **told)

    def at_work() -> dict[str, dict[str, Any]]:
        found = medfetch("status", "--json").lines
        return {run["job"]: run for each in found for run in each["runs"] if run["alive"] and run["job"]}

    try:
        until(lambda: len(at_work()) == 3, "three workers, for there is work for them")
        before = at_work()
        victim, cancelled, _ = before.values()
        os.kill(victim["pid"], signal.SIGKILL)
        on_cluster("scancel", cancelled["job"])
        until(lambda: set(at_work()) - set(before), "a worker in another's place")
        box.ask("DELETE", "__faults")
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, f"{out[-2000:]}{err}"
    assert "Traceback" not in err
    assert tree(Path(medfetch("path", NAME).out.strip())) == single
    repeated = (box.sent - 2 * needed) / needed
    print(f"{repeated:.2%} sent twice")
    assert repeated < 0.02
    until(lambda: not queue(on_cluster), "the workers' jobs end with the run")
