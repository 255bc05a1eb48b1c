"""Records of Zenodo by zenodo_get and by medfetch: the same trees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Sandbox

FILES = {f"{number:02d} scan ä.nii": b"%d" % number * 700 for number in range(20)} | {
    "owner/repo-v1.zip": b"z" * 90_000
}

# Its hosts are fixed in its code: requests for them are led here.
OFFICIAL = """
import sys
import httpx
base, record, into = sys.argv[1:]
real = httpx.HTTPTransport.handle_request

def here(self, request):
    request.url = httpx.URL(str(request.url).replace("https://zenodo.org", base))
    request.headers["Host"] = request.url.netloc.decode()
    return real(self, request)

httpx.HTTPTransport.handle_request = here
from zenodo_get import download
download(record, output_dir=into, verbosity=0)
"""


def official(box: Sandbox, record: int, into: Path) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_ZENODO_GET", sys.executable)
    if subprocess.run([python, "-c", "import zenodo_get"], capture_output=True, check=False).returncode:
        pytest.skip(
            "zenodo_get is not installed: make an environment with `pip install zenodo_get==3.0.0` "
            "and name its python in PEER_ZENODO_GET"
        )
    return subprocess.run(
        [python, "-c", OFFICIAL, box.endpoints["zenodo"], str(record), str(into)],
        env={"PATH": os.environ["PATH"], "HOME": str(into.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("bare", [False, True])
def test_the_same_tree(box: Sandbox, run: Run, tmp_path: Path, bare: bool) -> None:
    box.zenodo.bare = bare
    box.zenodo.publish(12, FILES)
    done = official(box, 12, tmp_path / "theirs")
    assert done.returncode == 0, done.stderr[-3000:]
    receipt = run("get", "zenodo:12", "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["assurance"] == {"published": len(FILES)}


def test_where_it_fails_medfetch_says_why(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.zenodo.publish(12, FILES, concept=11, access="restricted")
    done = official(box, 11, tmp_path / "theirs")
    assert done.returncode != 0 and "404" in done.stderr
    assert "the newest version is zenodo:12" in run("get", "zenodo:11", code=2).err
    done = official(box, 12, tmp_path / "theirs")
    assert "No files found" in done.stderr
    assert "ask for access on its page" in " ".join(run("get", "zenodo:12", code=3).err.split())
