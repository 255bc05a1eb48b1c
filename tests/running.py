"""``medfetch`` itself as a process, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fork_server import Forked, may_fork

CAP = 20_000
PATIENCE = 120
"""Seconds after which a run has hung; no test waits so long unless something is broken."""


@dataclass(frozen=True)
class Ran:
    """A run that is over."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output of a run with --json: every line must be an object."""
        found = [json.loads(line) for line in self.out.splitlines()]
        assert all(isinstance(each, dict) for each in found), self.out
        return found

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


class Run(Protocol):
    """``run("get", name, code=1, MEDFETCH_JOBS="3")``: arguments, the expected exit code, further environment."""

    def __call__(self, *arguments: object, code: int | None = 0, wrap: tuple[str, ...] = (), **more: str) -> Ran: ...

    def start(self, *arguments: object, wrap: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]: ...


class Medfetch:
    """``forks``: what starts without peculiarities is forked (``fork_server``), and not imported once more."""

    def __init__(self, folder: Path, environment: dict[str, str], *, forks: bool = True) -> None:
        self.folder, self.environment, self.forks = folder, environment, forks

    def anew(self) -> Medfetch:
        """The same by real starts only, for tests that look at its processes from outside."""
        return Medfetch(self.folder, self.environment, forks=False)

    def start(self, *arguments: object, wrap: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        """A run of its own process group, not waited for."""
        environment = {**self.environment, **more}
        started = Forked if self.forks and not wrap and may_fork(environment) else subprocess.Popen
        return started(
            [*wrap, sys.executable, "-m", "medfetch", *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, *arguments: object, code: int | None = 0, wrap: tuple[str, ...] = (), **more: str) -> Ran:
        with self.start(*arguments, wrap=wrap, **more) as process:
            try:
                ran = Ran(*reversed((*reversed(process.communicate(timeout=PATIENCE)), process.returncode)))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                raise
        assert "Traceback" not in ran.out + ran.err, ran.err
        assert code in (None, ran.code), f"exit {ran.code}, expected {code}\n{ran.out[-2000:]}\n{ran.err[-4000:]}"
        return ran
