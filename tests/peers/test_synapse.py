"""Folders of Synapse by its own client, synapseclient, and by medfetch: the same trees, refused alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.synapse import TOKEN

FILES = {f"case {number % 4}/{number:02d} scan.nii": b"%d" % number * 700 for number in range(60)} | {
    "readme.txt": b"read me",
    "case 0/deep/er/x.csv": b"1,2\n",
}

OFFICIAL = """
import sys
import synapseclient, synapseutils
token, base, key, into, cache = sys.argv[1:]
client = synapseclient.Synapse(
    repoEndpoint=base + "/repo/v1", authEndpoint=base + "/auth/v1", fileHandleEndpoint=base + "/file/v1",
    portalEndpoint=base, skip_checks=True, cache_root_dir=cache,
)
client.login(authToken=token)
synapseutils.syncFromSynapse(client, key, path=into, manifest="suppress")
"""


def official(box: Sandbox, key: str, folder: Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_SYNAPSE", sys.executable)
    if subprocess.run([python, "-c", "import synapseclient"], capture_output=True, check=False).returncode:
        pytest.skip(
            "synapseclient is not installed: make an environment with `pip install synapseclient==4.14.0` "
            "and name its python in PEER_SYNAPSE"
        )
    return subprocess.run(
        [python, "-c", OFFICIAL, token, box.endpoints["synapse"], key, str(folder / "theirs"), str(folder / "kept")],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_same_tree(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.synapse.folder("syn1", FILES)
    done = official(box, "syn1", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    receipt = run("get", "synapse:syn1", "--json", SYNAPSE_AUTH_TOKEN=TOKEN).last
    # Each folder's own list, which newer versions write whatever they are told.
    theirs = {path: digest for path, digest in tree(tmp_path / "theirs").items() if not path.endswith("manifest.csv")}
    assert tree(Path(receipt["path"])) == theirs
    assert receipt["files"] == len(FILES)


@pytest.mark.parametrize(
    ("unmet", "token", "error", "says"),
    [
        (["Terms of the sandbox"], TOKEN, "SynapseUnmetAccessRestrictions", "Terms of the sandbox"),
        ([], "wrong", "SynapseAuthenticationError", "does not know your token"),
    ],
)
def test_where_it_is_refused_medfetch_is_and_says_why(
    box: Sandbox, run: Run, tmp_path: Path, unmet: list[str], token: str, error: str, says: str
) -> None:
    (key,) = box.synapse.folder("syn1", {"a.nii": b"a"}, unmet=unmet).values()
    done = official(box, key, tmp_path, token)
    assert done.returncode == 1
    assert error in done.stderr
    ran = run("get", f"synapse:{key}", code=3, SYNAPSE_AUTH_TOKEN=token)
    assert says in ran.err
