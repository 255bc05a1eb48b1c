"""A job array on a real Slurm of four nodes: tasks killed, requeued, started twice, and a node that goes down."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import tree
from lab import SLURM_UP, Box, Slurm, until
from running import Medfetch

pytestmark = pytest.mark.long

SERIES = 400
"""Radiographs of MIDRC-RICORD-1C, one instance each, nearly all."""
FIRST_RATE, RATE = 3_000, 30_000
"""Bytes a second for each connection: until all tasks are there, however slow this machine is; and from then on."""
CAP = 64
"""Connections that the Imaging Data Commons is given at the most; the tasks together would like more."""
TASKS, JOBS = 8, 10
SCRIPT = """#!/bin/bash
#SBATCH --array=0-{last} --requeue --open-mode=append --signal=B:USR1@120 --time=10 --output={folder}/%a.log
exec {python} -m medfetch get {name} --limit {series} --shard {share} --json
"""


def test_an_array_survives_what_befalls_clusters(slurm: Slurm, box: Box, tmp_path: Path) -> None:
    name = "idc:midrc_ricord_1c"
    settings = {"CACHE": tmp_path / "cache", "PROCESSES": 1, "JOBS": JOBS, "RESERVE": 0, "BACKOFF": 0.1}
    own = {f"MEDFETCH_{key}": str(value) for key, value in settings.items()}
    environment = {**slurm.environment, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", **own, **box.environment}
    medfetch, on_cluster = Medfetch(tmp_path, environment), Slurm(environment)
    wish = ("--limit", SERIES, "--json")

    single = medfetch("get", name, *wish, "--cache", tmp_path / "single").last
    assert single["files"] >= SERIES
    needed = box.sent

    def script(share: str, first: int = 0, last: int = TASKS - 1) -> str:
        text = SCRIPT.format(
            last=last, folder=tmp_path, python=sys.executable, name=name, series=SERIES, share=share
        )  # fmt: skip
        return text.replace("--array=0-", f"--array={first}-")

    def sent() -> int:
        return box.sent - needed

    def at_work() -> dict[str, dict[str, Any]]:
        found = medfetch("status", "--json").lines
        return {run["job"]: run for each in found for run in each["runs"] if run["alive"]}

    # On the login node.
    assert medfetch("plan", name, *wish, "--write").last["shards"] > TASKS
    slow = {"match": r"\.dcm$", "times": None}
    box.ask("POST", "__faults", {**slow, "rate": FIRST_RATE})
    job = on_cluster("sbatch", "--parsable", give=script("auto"))
    until(lambda: len(at_work()) == TASKS, "all tasks at work")
    box.ask("DELETE", "__faults")
    box.ask("POST", "__faults", {**slow, "rate": RATE})
    tasks = at_work()
    nodes = on_cluster.queue()
    down = nodes[max(tasks)]
    others = [name for name in sorted(tasks) if nodes[name] != down]
    assert len(others) >= 4, nodes
    until(lambda: sent() > needed // 10, "bytes")
    # Two tasks are killed, and nobody starts them again …
    for killed in others[:2]:
        os.kill(tasks[killed]["pid"], signal.SIGKILL)
    until(lambda: sent() > needed // 4, "bytes")
    # … a node goes down with its tasks, which the scheduler notices …
    on_cluster("bash", str(SLURM_UP), "kill-node", down[1:])
    on_cluster("scontrol", "update", f"nodename={down}", "state=down", "reason=crashed")
    # … one is requeued, and one is started a second time, while the first is at work.
    on_cluster("scontrol", "requeue", others[2])
    twice = others[3].split("_")[1]
    again = on_cluster("sbatch", "--parsable", give=script(f"{twice}/{TASKS}", TASKS, TASKS))
    until(lambda: not on_cluster.queue(), "the array is through")

    logs = {path.name: path.read_text() for path in sorted(tmp_path.glob("*.log"))}
    (status,) = medfetch("status", "--json").lines
    assert status["state"] == "complete", f"{status}\n{slurm.ends}\n{logs}"
    assert status["runs"] == []
    receipt = medfetch("get", name, *wish).last
    assert (receipt["tree"], receipt["files"]) == (single["tree"], single["files"])
    assert tree(Path(receipt["path"])) == tree(Path(single["path"]))
    repeated = (box.sent - 2 * needed) / needed
    print(f"{repeated:.2%} of {needed / 1e6:.0f} MB sent twice; at most {box.most_connections} connections")
    assert repeated < 0.02
    assert box.most_connections <= CAP
    # Each of the requeued, those of the node among them, has written its beginning twice into one log.
    begun = {name: text.count('"event": "plan"') + text.count('"event": "receipt"') for name, text in logs.items()}
    assert sum(begun.values()) >= TASKS + 4, logs
    assert all(f"JobId={number} " in slurm.ends for number in (job, again)), slurm.ends
