"""Datasets of a Dataverse by pyDataverse and by medfetch: the same trees, refused alike."""

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

HOST, DOI = "data.example.org", "10.1234/FK2/ABC"
FILES = {f"scans/{number % 3}/{number:02d}.nii": b"%d" % number * 700 for number in range(20)} | {
    "people.tab": b"age\n1\n", "secret.nii": b"secret",
}  # fmt: skip
TABLES = {"people.tab": ("people.dta", b"stata" * 100)}

OFFICIAL = """
import sys
from pathlib import Path
from pyDataverse.api import DataAccessApi, NativeApi
from pyDataverse.auth import ApiTokenAuth
base, doi, into, token = sys.argv[1:]
auth = ApiTokenAuth(token) if token else None
answer = NativeApi(base, auth=auth).get_datafiles_metadata(f"doi:{doi}", version="1.0")
answer.raise_for_status()
for row in answer.json()["data"]:
    told = row["dataFile"]
    original = "original" if told["tabularData"] else None
    content = DataAccessApi(base, auth=auth).get_datafile(told["id"], data_format=original, is_pid=False)
    content.raise_for_status()
    path = Path(into, row.get("directoryLabel", ""), told.get("originalFileName", row["label"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.content)
"""


def official(box: Sandbox, into: Path, token: str = "") -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_PYDATAVERSE", sys.executable)
    if subprocess.run([python, "-c", "import pyDataverse"], capture_output=True, check=False).returncode:
        pytest.skip(
            "pyDataverse is not installed: make an environment with `pip install pyDataverse==0.3.5` "
            "and name its python in PEER_PYDATAVERSE"
        )
    return subprocess.run(
        [python, "-W", "ignore", "-c", OFFICIAL, f"{box.endpoints['dataverse']}/{HOST}", DOI, str(into), token],
        env={"PATH": os.environ["PATH"], "HOME": str(into.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("token", ["", TOKEN])
def test_the_same_tree(box: Sandbox, run: Run, tmp_path: Path, token: str) -> None:
    box.dataverse.publish(HOST, DOI, FILES, tables=TABLES, restricted={"secret.nii": True} if token else None)
    done = official(box, tmp_path / "theirs", token)
    assert done.returncode == 0, done.stderr[-3000:]
    key = {"DATAVERSE_KEY": token, "DATAVERSE_SERVER": HOST} if token else {}
    receipt = run("get", f"dataverse:{HOST}/{DOI}@1.0", "--json", **key).last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["assurance"] == {"published": len(FILES) - 1, "size-only": 1}


def test_where_it_is_refused_medfetch_is_and_says_why(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.dataverse.publish(HOST, DOI, FILES, restricted={"secret.nii": True})
    done = official(box, tmp_path / "theirs")
    assert done.returncode == 1 and "403" in done.stderr
    assert f"medfetch login dataverse:{HOST}" in " ".join(run("get", f"dataverse:{HOST}/{DOI}", code=3).err.split())
    assert box.stats.data_bytes > 0  # theirs: it had begun
