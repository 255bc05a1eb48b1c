"""Snapshots of OpenNeuro by openneuro-py and by medfetch: the same trees, and who notices a wrong byte."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from datasets import sha256, tree
from running import Run

from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.openneuro import KEY

ID = "ds002236"
FILES: dict[str, bytes | int | str] = {
    "README": b"read me\n", "dataset_description.json": b"{}", "sub-01/anat/sub-01_T1w.nii.gz": 400_000,
    "sub-01/func/sub-01_task-rest_bold.nii.gz": 600_000, "sub-02/anat/sub-02_T1w.nii.gz": 300_000,
}  # fmt: skip
OFFICIAL = """
import json, os, sys
from openneuro import _config, _download
base, into, key, options = sys.argv[1:]
_download.gql_url = base + "/crn/graphql"
_download._openneuro_host = "127.0.0.1"
if key:
    _config.CONFIG_PATH.write_text(json.dumps({"endpoint": base, "apikey": key}))
_download.download(dataset="ds002236", target_dir=into, max_retries=0, verify_hash=True, **json.loads(options))
"""


def official(box: Sandbox, folder: Path, key: str = "", options: str = "{}") -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_OPENNEURO")
    if python is None:
        pytest.skip(
            "openneuro-py is not installed: make an environment with `pip install openneuro-py==2026.9.1`, which "
            "replaces urllib3 in it, and name its python in PEER_OPENNEURO"
        )
    box.openneuro.storage = box.endpoints["s3"]
    try:
        return subprocess.run(
            [python, "-c", OFFICIAL, box.endpoints["openneuro"], str(folder / "theirs"), key, options],
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    finally:
        box.openneuro.storage = "https://s3.amazonaws.com"


@pytest.mark.parametrize("version", ["1.0.0", None])
def test_the_same_tree(box: Sandbox, run: Run, tmp_path: Path, version: str | None) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    box.openneuro.publish(ID, "1.1.0", {**FILES, "README": b"new\n", "sub-03/anat/sub-03_T1w.nii.gz": 1000})
    done = official(box, tmp_path, options=f'{{"tag": "{version}"}}' if version else "{}")
    assert done.returncode == 0, done.stdout + done.stderr
    receipt = run("get", f"openneuro:{ID}{f'@{version}' if version else ''}", "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["files"] == len(FILES) + (version is None)


def test_a_private_dataset(box: Sandbox, run: Run, tmp_path: Path) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES, private=True)
    (tmp_path / ".config" / "openneuro-py").mkdir(parents=True)
    done = official(box, tmp_path, KEY)
    assert done.returncode == 0, done.stdout + done.stderr
    receipt = run("get", f"openneuro:{ID}", "--json", OPENNEURO_API_KEY=KEY).last
    expected = {path: sha256(data) for path, data in content.items()}
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs") == expected


def test_where_it_is_refused_medfetch_is_and_says_why(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES, private=True)
    assert official(box, tmp_path).returncode != 0
    assert "medfetch login openneuro" in run("get", f"openneuro:{ID}", code=3).err


def test_a_wrong_byte_is_noticed_by_both(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    box.add(Fault(match="sub-02_T1w", method="GET", corrupt=1, times=None))
    box.add(Fault(match="/objects/", corrupt=1, times=None))
    ran = run("get", f"openneuro:{ID}", "--json", code=4)
    assert [failure["path"] for failure in ran.last["failures"]] == ["sub-02/anat/sub-02_T1w.nii.gz"]
    assert official(box, tmp_path).returncode != 0
