"""Two hosts on one cache whose locks are worth nothing, as on an NFS that is mounted so: whoever asks for one gets it.

The hosts are namespaces of their own, with names and process numbers of their own, so that neither can ask after the
other's processes. ``HOSTS_ROUNDS`` makes more of it (``make hosts``).
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe, zipped
from running import Ran, Run
from shims import LOCKS_ALWAYS_SUCCEED, built

from medfetch import leases
from medfetch.sandbox import Fault, Sandbox

ROUNDS = int(os.environ.get("HOSTS_ROUNDS", "4"))
MEMBERS = {f"m{number:02d}": f"member {number}".encode() * 300 for number in range(20)}
HOST = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces: needs root"),
]


def on(host: str) -> tuple[str, ...]:
    return (*HOST, f'hostname {host} && exec "$@"', "sh")


@pytest.fixture
def shim(tmp_path: Path) -> dict[str, str]:
    if shutil.which("unshare") is None or subprocess.run([*on("one"), "true"], capture_output=True).returncode:
        pytest.skip("makes namespaces: needs unshare (util-linux), and the right to")
    (tmp_path / "mounts").write_text(f"/dev/vda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw,nolock 0 0\n")
    return {"LD_PRELOAD": built(LOCKS_ALWAYS_SUCCEED, tmp_path), "MOUNTS": str(tmp_path / "mounts")}


@pytest.fixture
def wanted(home: Path, box: Sandbox) -> dict[str, str]:
    """Of a recipe ``both``: files with a checksum, without one, and an archive."""
    files: list[dict[str, Any]] = []
    content = {}
    for number in range(40):
        data = random.Random(number).randbytes(20_000)
        box.put(f"https://host/{number}", data)
        files.append({"path": f"in/{number}", "url": f"https://host/{number}"})
        if number % 3:
            files[-1]["sha256"] = sha256(data)
        content[f"in/{number}"] = sha256(data)
    box.put("https://host/more.zip", zipped(**MEMBERS))
    files.append({"path": "more.zip", "url": "https://host/more.zip", "unpack": {"into": "more"}})
    write_recipe(home, "both", routes=http(*files))
    return content | {f"more/{path}": sha256(data) for path, data in MEMBERS.items()}


def test_a_lock_is_everybodys(shim: dict[str, str], tmp_path: Path) -> None:
    """That the library does what it is for: else the other tests here would show nothing."""
    take = """
import fcntl, sys
files = [open(sys.argv[1], "w") for _ in range(2)]
for take, file in zip((fcntl.flock, fcntl.lockf), files):
    take(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("taken", flush=True)
sys.stdin.read()
"""
    command = ["python3", "-c", take, str(tmp_path / "lock")]
    for environment, expected in ((shim, 0), ({}, 1)):
        first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert first.stdout
        assert first.stdout.readline() == b"taken\n"
        second = subprocess.run(command, input=b"", capture_output=True, env={**os.environ, **environment})
        assert second.returncode == expected
        first.communicate()


def whole(cache: Path, wanted: dict[str, str]) -> None:
    """Fails where anything of the dataset, or of what is known of it, is not as it must be."""
    home = cache / "both" / "current"
    assert tree(home) == wanted
    databases = list(home.rglob("*.sqlite"))
    assert len(databases) > 1
    for path in databases:
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert list((home / ".medfetch" / "partial").iterdir()) == []
    assert list(home.rglob("*.lease")) == []


def test_both_get_the_same_dataset_at_once(
    run: Run, shim: dict[str, str], wanted: dict[str, str], cache: Path, box: Sandbox
) -> None:
    size = sum(len(data) for data in MEMBERS.values()) + 40 * 20_000
    for number in range(ROUNDS):
        sent = box.stats.data_bytes
        both = [run.start("get", "both", "--json", wrap=on(host), **shim) for host in ("one", "two")]
        ended = [_ended(process) for process in both]
        whole(cache, wanted)
        assert len({ran.last["tree"] for ran in ended}) == 1, f"round {number}"
        # Neither fetches what the other has.
        assert box.stats.data_bytes - sent < 1.2 * size
        run("rm", "both", "--yes", wrap=on("three"), **shim)


def test_one_dies_and_the_other_goes_on(
    run: Run, shim: dict[str, str], wanted: dict[str, str], cache: Path, box: Sandbox
) -> None:
    home = cache / "both" / "current"
    for number in range(max(1, ROUNDS // 3)):
        box.add(Fault(match="/[0-9]+$", rate=30_000, times=None))
        first = run.start("get", "both", wrap=on("one"), **shim)
        deadline = time.monotonic() + 60
        while not (home.exists() and len(tree(home)) > number % 10):
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        second = run.start("get", "both", "--json", wrap=on("two"), **shim)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        box.clear()
        # As after a silence that nobody wants to wait for: the other host cannot see that it is dead.
        for lease in [*home.rglob("*.lease"), *(cache / ".medfetch" / "hosts").rglob("slot-*")]:
            if "one" in str((leases.owner(lease) or {}).get("machine", "")):
                os.utime(lease, (0, 0))
        assert _ended(second).last["dataset"] == "both"
        # What the other host had on its way was copied, and stays: it might still write to it.
        run("gc", wrap=on("two"), **shim)
        whole(cache, wanted)
        run("rm", "both", "--yes", wrap=on("two"), **shim)


def _ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=120)
    ran = Ran(process.returncode, out, err)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    return ran
