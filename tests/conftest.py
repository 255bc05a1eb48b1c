"""What the tests of the whole share: a cache, a sandbox, and ``medfetch`` itself as a process with a home of its own.

Its presence also puts this folder on the import path, so that helpers beside it can be imported by all tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from medfetch.sandbox import Sandbox

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


class _Run:
    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment

    def start(self, *arguments: object, wrap: tuple[str, ...] = (), **more: str) -> subprocess.Popen[str]:
        """A run of its own process group, not waited for."""
        return subprocess.Popen(
            [*wrap, sys.executable, "-m", "medfetch", *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **more},
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


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where runs keep their datasets; not made yet."""
    return tmp_path / "cache"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=CAP) as box:
        yield box


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the person who runs medfetch, and the folder where they stand."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def run(tmp_path: Path, home: Path, cache: Path, box: Sandbox) -> Run:
    """The real ``medfetch``, with nothing of this machine's environment but the path, against the sandbox."""
    return _Run(
        home,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "MEDFETCH_CACHE": str(cache),
            "MEDFETCH_BACKOFF": "0.01",
            "MEDFETCH_PROCESSES": "2",
            "MEDFETCH_RESERVE": "0",
            "MEDFETCH_RECIPES": str(home),
            **box.environment,
        },
    )
