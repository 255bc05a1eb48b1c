"""A project of XNAT by pyxnat and by medfetch: the same files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.xnat import PASSWORD, USER

HOST = "central.example"
FILES = {
    "s1/s1_mr/1/DICOM/1.dcm": b"one" * 900, "s1/s1_mr/1/DICOM/2.dcm": b"two" * 800,
    "s1/s1_mr/2/NIFTI/x.nii.gz": b"n" * 99,
    "s2/s2_mr/1/DICOM/1.dcm": b"three" * 700,
}  # fmt: skip
OFFICIAL = """
import os, sys
from pyxnat import Interface
server, into, user, password = sys.argv[1:]
xnat = Interface(server=server, user=user, password=password)
for subject in xnat._get_json("/data/projects/P/subjects?format=json"):
    for session in xnat._get_json(f"/data/projects/P/subjects/{subject['ID']}/experiments?format=json"):
        for row in xnat._get_json(f"/data/experiments/{session['ID']}/scans/ALL/files?format=json"):
            scan = row["URI"].split("/")[5]
            path = os.path.join(into, subject["label"], session["label"], "scans", scan, row["collection"], row["Name"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "wb").write(xnat.get(row["URI"]).content)
"""


def test_the_same_tree(box: Sandbox, run: Run, home: Path, tmp_path: Path) -> None:
    python = os.environ.get("PEER_XNAT")
    if python is None:
        pytest.skip(
            "pyxnat is not installed: make an environment with `pip install pyxnat==1.6.4 nibabel pandas` and name its "
            "python in PEER_XNAT"
        )
    box.xnat.publish(HOST, "P", FILES, private=True)
    done = subprocess.run(
        [python, "-c", OFFICIAL, f"{box.endpoints['xnat']}/{HOST}", str(tmp_path / "theirs"), USER, PASSWORD],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (home / ".netrc").write_text(f"machine {HOST} login {USER} password {PASSWORD}\n")
    (home / ".netrc").chmod(0o600)
    receipt = run("get", f"xnat:{HOST}/P", "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["files"] == len(FILES)
