"""A job array on a real Slurm of four nodes: tasks killed, requeued, started twice, and a node that goes down."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from datasets import tree
from running import Medfetch

SLURM_UP = Path(__file__).with_name("slurm_up")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
SERIES, INSTANCE = 400, 60_000
"""Radiographs of MIDRC-RICORD-1C, one instance each, nearly all; the stand-in makes them no larger than this."""
FIRST_RATE, RATE = 3_000, 30_000
"""Bytes a second for each connection: until all tasks are there, however slow this machine is; and from then on."""
CAP = 64
"""Connections that the Imaging Data Commons is given at the most; the tasks together would like more."""
TASKS, JOBS = 8, 10
SCRIPT = """#!/bin/bash
#SBATCH --array=0-{last} --requeue --open-mode=append --signal=B:USR1@120 --time=10 --output={folder}/%a.log
exec {python} -m medfetch get {name} --limit {series} --shard {share} --json
"""
PATIENCE = 150


@dataclass(frozen=True)
class Slurm:
    """A cluster that runs, and what is asked of it."""

    environment: dict[str, str]

    def __call__(self, *command: str, give: str | None = None) -> str:
        done = subprocess.run(command, env=self.environment, input=give, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


def free_ports() -> int:
    """The first of twenty ports that nobody uses."""
    for first in random.Random(os.getpid()).sample(range(20_000, 32_000, 20), 50):
        try:
            for port in (first, *range(first + 10, first + 14)):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    if missing or os.geteuid():
        pytest.skip(f"needs root and Slurm ({', '.join(missing)}): apt-get install slurmctld slurmd slurm-client munge")
    # Not pytest's folder: the path of a socket may have 108 bytes.
    lab = Path(tempfile.mkdtemp(prefix="slurm-"))
    environment = {"PATH": path, "SLURM_LAB": str(lab), "SLURM_PORT": str(free_ports())}
    slurm = Slurm({**environment, "SLURM_CONF": str(lab / "slurm.conf")})
    try:
        slurm("bash", str(SLURM_UP), "start")
        yield slurm
    finally:
        slurm("bash", str(SLURM_UP), "stop")
        shutil.rmtree(lab, ignore_errors=True)


@dataclass(frozen=True)
class Box:
    """A sandbox in a process of its own."""

    connection: HTTPConnection
    """One for all questions, for it counts, too."""
    environment: dict[str, str]

    def ask(self, method: str, path: str, content: object = None) -> Any:
        self.connection.request(method, f"/{path}", json.dumps(content) if content is not None else None)
        text = self.connection.getresponse().read()
        return json.loads(text) if text else None

    @property
    def sent(self) -> int:
        return int(self.ask("GET", "__stats")["data_bytes"])

    @property
    def most_connections(self) -> int:
        """At once, without that for questions."""
        return int(self.ask("GET", "__stats")["most_connections"]) - 1


@pytest.fixture
def box() -> Iterator[Box]:
    command = [sys.executable, "-m", "medfetch.sandbox", "--max-instance-bytes", str(INSTANCE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        told = json.loads(process.stdout.readline())
        endpoints = {f"MEDFETCH_ENDPOINT_{name.upper()}": address for name, address in told["endpoints"].items()}
        box = Box(HTTPConnection("127.0.0.1", told["port"], timeout=30), endpoints)
        # From the beginning, so that it is always among those that are open.
        box.ask("GET", "__stats")
        yield box
        process.stdin.close()


def until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.5)


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

    def queue() -> list[str]:
        return on_cluster("squeue", "-h", "-r", "-o", "%F_%K %t %N").splitlines()

    # On the login node.
    assert medfetch("plan", name, *wish, "--write").last["shards"] > TASKS
    slow = {"match": r"\.dcm$", "times": None}
    box.ask("POST", "__faults", {**slow, "rate": FIRST_RATE})
    job = on_cluster("sbatch", "--parsable", give=script("auto"))
    until(lambda: len(at_work()) == TASKS, "all tasks at work")
    box.ask("DELETE", "__faults")
    box.ask("POST", "__faults", {**slow, "rate": RATE})
    tasks = at_work()
    nodes = {line.split()[0]: line.split()[2] for line in queue()}
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
    until(lambda: not queue(), "the array is through")

    logs = {path.name: path.read_text() for path in sorted(tmp_path.glob("*.log"))}
    ends = Path(slurm.environment["SLURM_LAB"], "jobcomp.txt").read_text()
    (status,) = medfetch("status", "--json").lines
    assert status["state"] == "complete", f"{status}\n{ends}\n{logs}"
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
    assert all(f"JobId={number} " in ends for number in (job, again)), ends
