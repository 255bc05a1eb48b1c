"""Projects of the OSF by osfclient and by medfetch: the same trees, refused alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.common import TOKEN

# It asks once in a second.
FILES = {"scans/a/1.nii": b"1" * 90_000, "scans/2.nii": b"2", "top.csv": b"1,2\n"}

OFFICIAL = """
import sys
from pathlib import Path
from osfclient import OSF
base, project, into, token = sys.argv[1:]
osf = OSF(token=token or None)
osf.session.base_url = base + "/"
for file in osf.project(project).storage().files:
    path = Path(into, file.path.strip("/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as out:
        file.write_to(out)
"""


def official(box: Sandbox, project: str, into: Path, token: str = "") -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_OSFCLIENT", sys.executable)
    if subprocess.run([python, "-c", "import osfclient"], capture_output=True, check=False).returncode:
        pytest.skip(
            "osfclient is not installed: make an environment with `pip install osfclient==0.0.5` "
            "and name its python in PEER_OSFCLIENT"
        )
    return subprocess.run(
        [python, "-c", OFFICIAL, box.endpoints["osf"], project, str(into), token],
        env={"PATH": os.environ["PATH"], "HOME": str(into.parent)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "public"), [("nodes", True), ("registrations", False)])
def test_the_same_tree(box: Sandbox, run: Run, tmp_path: Path, kind: str, public: bool) -> None:
    box.osf.publish("abcde", FILES, kind=kind, public=public)
    done = official(box, "abcde", tmp_path / "theirs", "" if public else TOKEN)
    assert done.returncode == 0, done.stderr[-3000:]
    receipt = run("get", "osf:abcde", "--json", **({} if public else {"OSF_TOKEN": TOKEN})).last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["assurance"] == {"published": len(FILES)}


def test_where_it_is_refused_medfetch_is_and_says_why(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.osf.publish("abcde", FILES, public=False)
    done = official(box, "abcde", tmp_path / "theirs")
    assert done.returncode == 1 and "UnauthorizedException" in done.stderr
    assert "medfetch login osf" in " ".join(run("get", "osf:abcde", code=3).err.split())
