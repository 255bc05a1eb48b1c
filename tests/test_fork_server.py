"""What is forked for a test is, to the system and to whoever runs it, what a start of Python would have been."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import http, sha256, write_recipe
from fork_server import Forked
from running import Medfetch
from test_kill import runs, until

from medfetch.sandbox import Fault, Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
DATA = b"scan" * 50_000
SEEN = ("PPid", "Umask", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs")


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    box.put("https://host/a.bin", DATA)
    file = {"path": "a.bin", "url": "https://host/a.bin", "size": len(DATA), "sha256": sha256(DATA)}
    return write_recipe(home, "scans", routes=http(file))


@pytest.mark.parametrize(
    "command",
    [
        "--version", "list lung --json", "fetch", "info no-such-dataset", "plan scans --files", "get scans",
        "get scans --limit-rate fast", "get scans --json -vv --select path=b.bin", "status scans",
    ],
)  # fmt: skip
def test_it_says_and_ends_as_what_is_started(run: Medfetch, name: str, tmp_path: Path, command: str) -> None:
    run("list", "lung")  # with recipes that are compiled
    forked = run(*command.split(), code=None)
    started = run.anew()(*command.split(), code=None, MEDFETCH_CACHE=str(tmp_path / "other"))
    assert forked.code == started.code
    assert said(forked.out) == said(started.out.replace(str(tmp_path / "other"), run.environment["MEDFETCH_CACHE"]))
    assert said(forked.err) == said(started.err.replace(str(tmp_path / "other"), run.environment["MEDFETCH_CACHE"]))
    assert forked.out or forked.err


def said(text: str) -> str:
    """Without what changes from one moment to the next, whoever says it."""
    return re.sub(r"[\d.]+ .?B free", "… free", text)


def seen(process: subprocess.Popen[str]) -> dict[str, object]:
    folder = Path(f"/proc/{process.pid}")
    status = dict(re.findall(r"(\w+):\s+(.*)", (folder / "status").read_text()))
    streams = [re.sub(r"\d+", "", os.readlink(folder / "fd" / number)) for number in "012"]
    leads = (os.getsid(process.pid) == process.pid, os.getpgid(process.pid) == process.pid)
    return {name: status[name] for name in SEEN} | {"": (streams, leads, os.readlink(folder / "cwd"))}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_system_sees_no_difference(run: Medfetch, name: str, box: Sandbox, number: int) -> None:
    found = []
    for each in (run, run.anew()):
        box.add(Fault(match="a.bin", stall=5))
        asked = box.stats.connections
        process = each.start("get", name)
        assert isinstance(process, Forked) == (each is run)
        until(lambda asked=asked: box.stats.connections > asked, "a request")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert children and {os.getsid(int(pid)) for pid in children} == {process.pid}
        found.append(seen(process))
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == (143 if number == signal.SIGTERM else -number)
        until(lambda left=children: not any(runs(int(pid)) for pid in left), "its children end with it")
    assert found[0] == found[1]
    assert found[0]["PPid"] == str(os.getpid())
