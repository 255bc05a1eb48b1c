"""Google Drive by gdown and by medfetch: the same trees, and the same pages recognised."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import tree, write_recipe
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.gdrive import State

TREE = {"a & b.nii": b"a" * 900, "sub": {"ä+b.nii.gz": b"b" * 3_000_000, "zero": b""}, "README.md": b"read me"}

# Its addresses are fixed: nothing is replaced but the hosts in them.
GDOWN = """
import sys
import requests
import gdown
drive, into, *what = sys.argv[1:]
real = requests.Session.request
def request(self, method, url, **options):
    for host in ("https://drive.google.com", "https://drive.usercontent.google.com", "https://docs.google.com"):
        url = url.replace(host, drive)
    return real(self, method, url, **options)
requests.Session.request = request
if what[0] == "folder":
    gdown.download_folder(id=what[1], output=into, quiet=True, use_cookies=False)
else:
    gdown.download(id=what[1], output=into, quiet=True, use_cookies=False)
"""


def gdown(box: Sandbox, into: Path, *what: str) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_GDOWN", sys.executable)
    if subprocess.run([python, "-c", "import gdown"], capture_output=True, check=False).returncode:
        pytest.skip(
            "gdown is not installed: make an environment with `pip install gdown==6.5.1` "
            "and name its python in PEER_GDOWN"
        )
    return subprocess.run(
        [python, "-c", GDOWN, box.endpoints["gdrive"], str(into), *what],
        env={"PATH": os.environ["PATH"], "HOME": str(into.parent)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_same_folder(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.drive.strict = True
    folder = box.drive.folder(TREE)
    box.drive.add(folder, "large.zip", b"z" * 5_000_000, "scan")
    done = gdown(box, tmp_path / "theirs", "folder", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    receipt = run("get", f"gdrive:folders/{folder}", "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["files"] == 5


@pytest.mark.parametrize(("state", "says"), [("quota", "quota is used up"), ("private", "wants a log-in")])
def test_where_it_has_no_file_medfetch_has_none_and_says_why(
    box: Sandbox, run: Run, home: Path, tmp_path: Path, state: State, says: str
) -> None:
    key = box.drive.file("a.nii", b"a", state)
    done = gdown(box, tmp_path / "a.nii", "file", key)
    assert done.returncode != 0
    assert "FileURLRetrievalError" in done.stderr
    name = write_recipe(home, "shared", routes=[{"source": "gdrive", "files": [{"path": "a.nii", "id": key}]}])
    assert says in " ".join(run("get", name, code=1).err.split())
