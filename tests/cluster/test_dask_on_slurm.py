"""Dask's workers as jobs of a real Slurm, killed and added on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from datasets import tree
from lab import Box, Slurm, at_work, until
from running import Medfetch

from medfetch import cache

pytestmark = pytest.mark.long

NAME = "idc:midrc_ricord_1c"
WISH = ("--limit", "60")
RATE = 40_000
"""Bytes a second for each connection."""


def test_workers_are_killed_and_added_on_the_way(slurm: Slurm, box: Box, medfetch: Medfetch, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue", reason='pip install "medfetch[dask]"')
    single = Path(medfetch("get", NAME, *WISH, "--cache", tmp_path / "single", "--json").last["path"])
    on_cluster, needed = Slurm(medfetch.environment), box.sent
    home = cache.Home(tmp_path / "cache" / single.relative_to(tmp_path / "single"))
    box.ask("POST", "__faults", {"match": r"\.dcm$", "rate": RATE, "times": None})
    told = {"DASK_JOBQUEUE__SLURM__INTERFACE": "lo", "DASK_JOBQUEUE__SLURM__MEMORY": "500 MB"}
    # Workers that are lost are replaced at once, not after some time in which they might come back.
    told["DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT"] = "1s"
    process = medfetch.start("get", NAME, *WISH, "--dask", "slurm", "--workers", "1-3", "--json", **told)
    try:
        until(lambda: len(at_work(home)) == 3, "three workers, for there is work for them")
        before = at_work(home)
        killed, cancelled, _ = before
        os.kill(before[killed].said["pid"], signal.SIGKILL)
        on_cluster("scancel", cancelled)
        until(lambda: set(at_work(home)) - set(before), "a worker in another's place")
        box.ask("DELETE", "__faults")
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, f"{out[-2000:]}{err}"
    assert "Traceback" not in err
    assert tree(Path(medfetch("path", NAME).out.strip())) == tree(single)
    repeated = (box.sent - 2 * needed) / needed
    print(f"{repeated:.2%} sent twice")
    assert repeated < 0.02
    until(lambda: not on_cluster.queue(), "the workers' jobs end with the run")
