"""A real Slurm of four nodes on this machine, and a sandbox that its jobs reach."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from medfetch import presence
from medfetch.cache import Home
from medfetch.presence import Run

SLURM_UP = Path(__file__).with_name("slurm_up")
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol")
INSTANCE = 60_000
"""The stand-in makes no image larger than this."""
FINE_SHARDS = "import medfetch.planning as planning\nplanning.SHARD_FILES, planning.SMALLEST = 6, 1\n"
PATIENCE = 150


@dataclass(frozen=True)
class Slurm:
    """A cluster that runs, and what is asked of it."""

    environment: dict[str, str]

    def __call__(self, *command: str, give: str | None = None) -> str:
        done = subprocess.run(command, env=self.environment, input=give, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def queue(self) -> dict[str, str]:
        """Jobs that wait or run, with the nodes of the latter; tasks of arrays each by itself."""
        lines = self("squeue", "-h", "-r", "-o", "%i %N").splitlines()
        return {job: node for job, _, node in (line.partition(" ") for line in lines)}

    @property
    def ends(self) -> str:
        """What became of the jobs, a line each."""
        return Path(self.environment["SLURM_LAB"], "jobcomp.txt").read_text()


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


def until(met: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(0.5)


def at_work(home: Home) -> dict[str, Run]:
    """Tasks and workers in a home that live, by what the scheduler calls their jobs."""
    return {str(run.said["job"]): run for run in presence.tasks(home) if run.said["job"]}
