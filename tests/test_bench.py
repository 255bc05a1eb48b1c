"""The benchmark measures what it says, on a scale at which it takes seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import check, data, tools

TESTS = Path(__file__).parent
FOR_ALL = {"nginx": "nginx-light", "gcc": "gcc libc6-dev", "curl": "curl"}
SCALE = 0.001


def bench(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Runs it without installing anything, and returns what it wrote."""
    for program, package in FOR_ALL.items():
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            pytest.skip(f"{program} is not installed: apt-get install {package}")
    if not tools.HEADERS.exists():
        pytest.skip("the headers of OpenSSL are not installed: apt-get install libssl-dev")
    written = tmp_path / "bench.json"
    folders = ["--no-install", "--data", tmp_path, "--disk", tmp_path, "--json", written]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments, "--rounds", "1", "--scale", str(SCALE), *folders],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS), "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return json.loads(written.read_text())


def test_all_is_fetched_and_measured(tmp_path: Path) -> None:
    small = bench(tmp_path, "small", "--contenders", "medfetch", "medfetch-yaml", "limit", "curl")["workloads"]["small"]
    rows = {row["contender"]: row for row in small["rows"]}
    assert small["files"] == 20 and small["bytes"] > 20 * 60 * 1024
    assert {"medfetch", "medfetch-yaml", "limit", "curl", "curl + sha256sum"} <= set(rows)
    for row in rows.values():
        assert row["problem"] is None and row["sent"] == 1 and row["requests"] == 20
        assert row["wall"] > 0 and row["cpu"] > 0 and row["connections"] >= 1
    assert rows["curl + sha256sum"]["wall"] > rows["curl"]["wall"]
    assert rows["medfetch"]["before"] > 0 and rows["medfetch"]["memory"] > 10_000_000
    assert [goal["against"] for goal in small["goals"]] == ["limit"]


def test_the_link_delays_and_limits(tmp_path: Path) -> None:
    done = bench(tmp_path, "tls-far", "throttled", "--contenders", "limit", "medfetch")["workloads"]
    assert not [run["problem"] for each in done.values() for run in each["runs"] if run["problem"]]
    assert {row["contender"] for row in done["tls-far"]["rows"]} == {"limit", "medfetch"}
    # A connection, TLS and an answer are three round trips of 50 ms, whatever the machine.
    assert min(run["wall"] for run in done["tls-far"]["runs"]) > 0.15


def test_wrong_bytes_are_told(tmp_path: Path) -> None:
    made = data.make(data.Shape(3, 1000, 2000), tmp_path / "data")
    assert check.problem(made, made.folder) is None
    path = made.folder / made.files[1].path
    path.write_bytes(bytes(made.files[1].size))
    assert check.problem(made, made.folder) == f"{made.files[1].path}: wrong bytes"
    path.unlink()
    assert check.problem(made, made.folder) == "2 files instead of 3"
