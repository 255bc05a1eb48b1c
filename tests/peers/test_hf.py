"""Datasets of the Hugging Face Hub by its own client and by medfetch: the same trees, the same refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import sha256, tree
from running import Run

from medfetch.sandbox import Fault, Sandbox

FILES: dict[str, bytes | int] = {
    "README.md": b"# d\n", ".gitattributes": b"*.bin filter=lfs\n", "data/a b.bin": 200_000, "data/c+\u00e4.txt": b"",
    "z.bin": 6000,
}  # fmt: skip
TOKEN = "hf_sandbox0token"

OFFICIAL = """
import sys
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
try:
    snapshot_download("o/d", repo_type="dataset", local_dir=sys.argv[1])
except HfHubHTTPError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def published(box: Sandbox) -> dict[str, str]:
    box.hub.users = {TOKEN: "ann", "hf_other": "bob"}
    _, content = box.hub.publish("o/d", FILES, gated="manual", approved=["ann"], pending=["bob"])
    return {path: sha256(data) for path, data in content.items()}


def official(box: Sandbox, tmp_path: Path, token: str | None = TOKEN, **more: str) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_HUGGINGFACE_HUB", sys.executable)
    if subprocess.run([python, "-c", "import huggingface_hub"], capture_output=True, check=False).returncode:
        pytest.skip(
            "huggingface_hub is not installed: make an environment with `pip install huggingface_hub==1.33.0` "
            "and name its python in PEER_HUGGINGFACE_HUB"
        )
    environment = {
        "PATH": os.environ["PATH"], "HF_ENDPOINT": box.endpoints["hf"], "HF_HOME": str(tmp_path / "hf-home"),
        "HF_HUB_DISABLE_TELEMETRY": "1", **({"HF_TOKEN": token} if token else {}), **more,
    }  # fmt: skip
    command = [python, "-c", OFFICIAL, str(tmp_path / "theirs")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def theirs(tmp_path: Path) -> dict[str, str]:
    return {path: digest for path, digest in tree(tmp_path / "theirs").items() if not path.startswith(".cache/")}


def test_the_same_tree_and_the_token_stays_at_the_hub(
    box: Sandbox, run: Run, tmp_path: Path, published: dict[str, str]
) -> None:
    done = official(box, tmp_path)
    assert done.returncode == 0, done.stderr
    ran = run("get", "hf:o/d", "--json", HF_TOKEN=TOKEN)
    assert tree(Path(ran.last["path"])) == theirs(tmp_path) == published
    sent = {entry.header("authorization") for entry in box.log if "/storage/" in entry.target}
    assert sent == {None}


def test_what_is_offered_in_chunks_too(box: Sandbox, run: Run, tmp_path: Path, published: dict[str, str]) -> None:
    """The chunks themselves are not in the sandbox; the client can be told to do without them."""
    box.hub.xet = True
    done = official(box, tmp_path, HF_HUB_DISABLE_XET="1")
    assert done.returncode == 0, done.stderr
    ran = run("get", "hf:o/d", "--json", HF_TOKEN=TOKEN)
    assert tree(Path(ran.last["path"])) == theirs(tmp_path) == published


def test_a_wrong_byte_that_its_own_client_does_not_see(
    box: Sandbox, run: Run, tmp_path: Path, published: dict[str, str]
) -> None:
    box.add(Fault(match="/storage/|README", corrupt=1, times=None))
    ran = run("get", "hf:o/d", "--json", HF_TOKEN=TOKEN, code=4)
    assert {failure["path"] for failure in ran.last["failures"]} == {"README.md", "data/a b.bin", "z.bin"}
    assert official(box, tmp_path).returncode == 0
    assert theirs(tmp_path) != published


@pytest.mark.parametrize(
    ("token", "their_error", "says"),
    [(None, "GatedRepoError", "ask for access"), ("hf_other", "GatedRepoError", "not decided"),
     ("hf_wrong", "Invalid username or password", "does not accept this token")],
)  # fmt: skip
def test_where_it_is_refused_medfetch_is_and_says_why(
    box: Sandbox, run: Run, tmp_path: Path, published: dict[str, str], token: str | None, their_error: str, says: str
) -> None:
    ran = run("get", "hf:o/d", "--json", code=3, **({"HF_TOKEN": token} if token else {}))
    assert says in ran.err
    done = official(box, tmp_path, token)
    assert done.returncode != 0
    assert their_error in done.stderr
