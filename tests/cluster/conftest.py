"""A Slurm and a sandbox for each test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from lab import FINE_SHARDS, INSTANCE, PROGRAMS, SLURM_UP, Box, Slurm, free_ports
from running import Medfetch


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


@pytest.fixture
def medfetch(slurm: Slurm, box: Box, tmp_path: Path) -> Medfetch:
    """``medfetch`` on the login node, with small shards; its jobs find it there, too."""
    (tmp_path / "sitecustomize.py").write_text(FINE_SHARDS)
    settings = {"CACHE": tmp_path / "cache", "PROCESSES": 1, "JOBS": 6, "RESERVE": 0, "BACKOFF": 0.1}
    own = {f"MEDFETCH_{key}": str(value) for key, value in settings.items()}
    python = {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    path = f"{Path(sys.executable).parent}:{slurm.environment['PATH']}"
    return Medfetch(tmp_path, {**slurm.environment, **python, **own, **box.environment, "PATH": path})
