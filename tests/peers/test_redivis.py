"""Datasets of Redivis by its own client, redivis, and by medfetch: the same trees, refused alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.redivis import NARROW, TOKEN

IMAGES = {f"train/p{number % 4}/view {number:02d}.png": b"%d" % number * 700 for number in range(60)}
TABLES = {
    "PNG train": IMAGES | {"read+me ä.txt": b"read me", "large.zip": b"z" * 5_000_000},
    "CheXpert Labels": {"findings.json": b"{}\n"},
    "readings": None,
}
DATASET = "aimi.scans:abcd:v1_0"

OFFICIAL = """
import sys
import redivis
owner, name, into = sys.argv[1:]
dataset = redivis.organization(owner).dataset(name)
for table in dataset.list_tables():
    if table.properties["isFileIndex"]:
        table.to_directory().download(f"{into}/{table.name}", progress=False)
"""


def arrow(rows: list[dict[str, Any]]) -> bytes:
    """Lists of files as its client wants them."""
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    columns = pyarrow.Table.from_pylist(rows)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, columns.schema) as stream:
        stream.write_table(columns, max_chunksize=7)
    return bytes(sink.getvalue())


def official(
    box: Sandbox, folder: Path, token: str | None = TOKEN, name: str = DATASET
) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_REDIVIS", sys.executable)
    if subprocess.run([python, "-c", "import redivis"], capture_output=True, check=False).returncode:
        pytest.skip(
            "redivis is not installed: make an environment with `pip install redivis==0.21.1` "
            "and name its python in PEER_REDIVIS"
        )
    arrow([{}])  # skips where it cannot be written
    box.redivis.arrow = arrow
    owner, _, name = name.partition(".")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "REDIVIS_API_ENDPOINT": box.endpoints["redivis"]}
    return subprocess.run(
        [python, "-c", OFFICIAL, owner, name, str(folder / "theirs")],
        env=environment | ({"REDIVIS_API_TOKEN": token} if token else {}),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("direct", [False, True])
def test_the_same_tree(box: Sandbox, run: Run, tmp_path: Path, direct: bool) -> None:
    box.redivis.direct = direct
    box.redivis.page = 2
    box.redivis.dataset(DATASET, TABLES)
    box.redivis.dataset("aimi.scans:abcd:v1_1", {"later": {"later.png": b"later"}})
    done = official(box, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    receipt = run("get", f"redivis:{DATASET}", "--json", REDIVIS_API_TOKEN=TOKEN).last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["files"] == len(IMAGES) + 3
    assert receipt["assurance"] == {"published": len(IMAGES) + 3}


@pytest.mark.parametrize(
    ("level", "token", "error", "says"),
    [
        ("overview", TOKEN, "403", '"Apply for access" on its page'),
        ("metadata", TOKEN, "403", "or has lapsed"),
        ("none", TOKEN, "NotFoundError", "none that you may see"),
        ("data", "wrong", "401", "wrong, was deleted or has expired"),
        ("data", NARROW, "403", "the scope data.data"),
    ],
)
def test_where_it_is_refused_medfetch_is_and_says_why(
    box: Sandbox, run: Run, tmp_path: Path, level: str, token: str, error: str, says: str
) -> None:
    box.redivis.dataset(DATASET, TABLES, level=level)
    done = official(box, tmp_path, token)
    assert done.returncode == 1
    assert error in done.stderr
    ran = run("get", f"redivis:{DATASET}", code=2 if level == "none" else 3, REDIVIS_API_TOKEN=token)
    assert says in " ".join(ran.err.split())
    assert box.stats.data_bytes == 0


def test_what_everybody_may_have_needs_no_token(box: Sandbox, run: Run, tmp_path: Path) -> None:
    """Its client lists what is public without a token, but wants one for the files themselves."""
    box.redivis.dataset(DATASET, TABLES, public="data")
    assert official(box, tmp_path).returncode == 0
    receipt = run("get", f"redivis:{DATASET}", "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
