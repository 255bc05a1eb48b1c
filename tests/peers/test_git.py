"""Repositories at GitHub, by git and by medfetch: the same ids of trees, files, what Git LFS keeps."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from datasets import sha256, tree
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sources import _lfs

ATTRIBUTES = {
    ".gitattributes": b"*.gz filter=lfs\n/top.bin filter=lfs\n**/deep/*.txt filter=lfs\na/**/z filter=lfs\n"
    b'*.md filter=lfs\nREADME.md -filter\n"with space" filter=lfs\n[ab]?[!c].dat filter=lfs\nq* filter=lfs\n',
    "a/.gitattributes": b"*.gz !filter\nonly.csv filter=lfs\nin/*.x filter=lfs\n",
    "a/b/.gitattributes": b"keep.gz filter=lfs\n",
}
PATHS = [
    "x.gz", "a/x.gz", "a/b/keep.gz", "a/b/other.gz", "top.bin", "a/top.bin", "deep/n.txt", "a/deep/n.txt",
    "deep/m/n.txt",
    "a/z", "a/b/c/z", "b/z", "README.md", "a/README.md", "notes.md", "with space", "a1x.dat", "b2c.dat", "c1x.dat",
    "a/only.csv", "a/b/only.csv", "only.csv", "a/in/i.x", "a/b/in/i.x", "q", "a/quite", "aq", "ä ö.gz", "a.b/c-d.txt",
    "a-b", "a0",
]  # fmt: skip


def git(folder: Path, *arguments: str, text: str | None = None) -> str:
    if shutil.which("git") is None:
        pytest.skip("git is not installed: apt-get install git")
    command = ["git", "-c", "user.name=n", "-c", "user.email=e@x", "-c", "core.quotePath=false", *arguments]
    command[1:1] = ["-c", "filter.lfs.clean=cat", "-c", "filter.lfs.smudge=cat", "-c", "filter.lfs.required=false"]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}
    ran = subprocess.run(command, cwd=folder, env=environment, input=text, check=True, capture_output=True, text=True)
    return ran.stdout


@pytest.fixture
def worktree(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    files = {**ATTRIBUTES, **{path: path.encode() * 9 for path in PATHS}}
    folder = tmp_path / "worktree"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    git(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", "one")
    return folder, files


def test_the_same_ids_and_the_same_files(box: Sandbox, run: Run, worktree: tuple[Path, dict[str, bytes]]) -> None:
    folder, files = worktree
    commit, _ = box.github.publish("o/r", files)
    assert box.github.tree("o/r", commit) == git(folder, "rev-parse", "HEAD^{tree}").strip()
    receipt = run("get", f"github:o/r@{commit}", "--json").last
    ours = tree(Path(receipt["path"]))
    assert ours == {path: sha256(data) for path, data in files.items()}
    assert set(ours) == set(git(folder, "ls-tree", "-r", "--name-only", "HEAD").splitlines())
    assert receipt["assurance"] == {"published": len(files)}


def test_what_git_lfs_keeps(worktree: tuple[Path, dict[str, bytes]]) -> None:
    folder, _ = worktree
    said = git(folder, "check-attr", "-z", "--stdin", "filter", text="\0".join([*PATHS, ""])).split("\0")
    theirs = {path for path, _, value in zip(*[iter(said[:-1])] * 3, strict=True) if value == "lfs"}
    rules: list[_lfs.Rule] = []
    for path, data in ATTRIBUTES.items():
        rules += _lfs.rules(data.decode(), path.removesuffix(_lfs.ATTRIBUTES))
    assert {path for path in PATHS if _lfs.keeps(rules, path)} == theirs
    assert 8 < len(theirs) < len(PATHS) - 8
