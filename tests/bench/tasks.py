"""``python -m bench.tasks``: one dataset by 1, 2 and 4 tasks, and by Dask, from a host that throttles connections.

The host is the sandbox; what is measured is whether tasks side by side are as many times as fast. Processors have
little to do at this rate, so it may be run on a busy machine. It must not know how tasks share the work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from bench import tools
from medfetch.sandbox import Fault, Sandbox

NAME = "scans"
SIZE = 250_000
RATE = 250_000
"""Bytes per second that the host gives to a connection."""
EACH = 4
"""Connections of a task."""
TASKS = (1, 2, 4)
BEGIN, END = "<!-- tasks: begin -->", "<!-- tasks: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.tasks", description="One dataset by 1, 2 and 4 tasks, and by Dask.")
    parser.add_argument("--files", type=int, default=480, help=f"of {SIZE:,} bytes each")
    parser.add_argument("--json", type=Path, default=Path("build/tasks.json"), help="the file for all numbers")
    parser.add_argument("--document", type=Path, help="put the table between the markers of this page")
    chosen = parser.parse_args()
    ways = [(f"{count} × get --shard", count) for count in TASKS] + [(f"get --dask local --workers {TASKS[-1]}", 0)]
    rows = []
    for what, count in ways:
        rows.append({"what": what, "tasks": count or TASKS[-1], **measure(chosen.files, count)})
        print(f"{what}: {rows[-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
    made = {"machine": tools.machine(), "files": chosen.files, "rows": rows}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(made, indent=1))
    print(text(made))
    if chosen.document:
        before, begin, rest = chosen.document.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            sys.exit(f"{chosen.document}: expected the lines {BEGIN} and {END}")
        chosen.document.write_text(f"{before}{BEGIN}\n\n{text(made)}\n\n{END}{after}")


def measure(files: int, tasks: int) -> dict[str, Any]:
    """So many tasks at once, or none but one run with Dask's workers, until the last has ended; planned before."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-tasks-") as name,
        Sandbox(faults=[Fault(match=r"\.bin$", rate=RATE, times=None)]) as box,
    ):
        folder = Path(name)
        listed = []
        for number in range(files):
            url = f"https://host.example/{number:04d}.bin"
            box.put(url, size=SIZE)
            listed.append({"path": f"{number:04d}.bin", "url": url, "size": SIZE})
        route = {"source": "http", "connections": EACH * TASKS[-1], "files": listed}
        about = {"id": NAME, "name": NAME, "summary": "A benchmark's.", "access": {"level": "open"}}
        (folder / f"{NAME}.yaml").write_text(yaml.safe_dump({**about, "parts": {"all": {"routes": [route]}}}))
        own = {"CACHE": folder / "cache", "RECIPES": folder, "RESERVE": 0, "PROCESSES": 1, "JOBS": EACH}
        environment = {
            "PATH": os.environ["PATH"], "HOME": name, "LC_ALL": "C.UTF-8", **box.environment,
            **{f"MEDFETCH_{key}": str(value) for key, value in own.items()},
        }  # fmt: skip

        def start(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "medfetch", *arguments, "--quiet"]
            return subprocess.Popen(command, cwd=folder, env={**environment, **more}, stdout=subprocess.DEVNULL)

        assert start("plan", NAME).wait() == 0
        began = time.monotonic()
        if tasks:
            runs = [start("get", NAME, "--shard", f"{number}/{tasks}") for number in range(tasks)]
        else:
            workers = str(TASKS[-1])
            runs = [start("get", NAME, "--dask", "local", "--workers", workers, MEDFETCH_JOBS=str(EACH * TASKS[-1]))]
        codes = [run.wait() for run in runs]
        seconds = time.monotonic() - began
        assert not any(codes), codes
        # All of it is there, which asks the host nothing.
        asked = box.stats.requests
        assert start("get", NAME, "--offline").wait() == 0
        assert box.stats.requests == asked
        return {"seconds": seconds, "sent": box.stats.data_bytes, "connections": box.stats.most_connections}


def text(made: dict[str, Any]) -> str:
    first, size = made["rows"][0]["seconds"], made["files"] * SIZE
    lines = [
        f"{made['files']:,} files, {size / 1e6:,.0f} MB; {RATE // 1000} kB/s and {EACH} connections for each task"
        f" ({made['machine']['processor']}).",
        "",
        "| | wall s | floor s | speed-up | sent | connections at most |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in made["rows"]:
        floor = size / (RATE * EACH * row["tasks"])
        lines.append(
            f"| `{row['what']}` | {row['seconds']:.1f} | {floor:.1f} | {first / row['seconds']:.2f} × |"
            f" {row['sent'] / size:.3f} | {row['connections']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
