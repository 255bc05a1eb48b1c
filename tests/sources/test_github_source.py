"""The source ``github`` against the sandbox: one commit, trees in pieces, Git LFS, releases, the limit for requests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from plain_net import PlainNet
from running import Run

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.github import TOKEN
from medfetch.sources import _lfs
from medfetch.sources.github import GitHub
from medfetch.types import RemoteFile, Selection

FILES: dict[str, bytes | int] = {
    "README.md": b"# r\n", ".gitattributes": b"*.nii.gz filter=lfs diff=lfs merge=lfs -text\n",
    "data/a b.csv": b"1,2\n", "data/c+ä.txt": b"", "data/deep/er/scan.nii.gz": 70_000, "data/plain.nii.gz": 500,
    "scan.nii.gz": 50_000,
}  # fmt: skip
LFS = ["data/deep/er/scan.nii.gz", "scan.nii.gz"]
NAMES = ("github", "github_raw", "github_lfs", "github_releases")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


def net(box: Sandbox, token: str | None = None) -> PlainNet:
    made = PlainNet(GitHub.traits, **{name: box.endpoints[name] for name in NAMES})
    if token:
        made.secrets["github"] = f"Bearer {token}"
    return made


def resolved(net: PlainNet, **locator: object) -> dict[str, RemoteFile]:
    files = list(GitHub().resolve({"repository": "o/r", **locator}, net, Selection()))
    by_path = {file.path: file for file in files}
    assert len(by_path) == len(files)
    return by_path


def test_files_of_one_commit_with_their_checksums(box: Sandbox) -> None:
    commit, content = box.github.publish("o/r", FILES, lfs=LFS)
    files = resolved(net(box))
    assert {path: file.size for path, file in files.items()} == {path: len(data) for path, data in content.items()}
    blob = hashlib.sha1(b"blob 4\0# r\n").hexdigest()
    assert [str(each) for each in files["README.md"].checksums] == [f"git-sha1-4:{blob}"]
    assert files["data/a b.csv"].urls == (f"{box.endpoints['github_raw']}/o/r/{commit}/data/a%20b.csv",)
    for path in LFS:
        assert [str(each) for each in files[path].checksums] == [f"sha256:{sha256(content[path])}"]
        assert files[path].urls == (f"{box.endpoints['github_lfs']}/o/r/{commit}/{path}",)
    assert str(files["data/plain.nii.gz"].checksums[0]).startswith("git-sha1-500:")


def test_only_what_may_be_a_pointer_is_asked_for(box: Sandbox) -> None:
    box.github.publish("o/r", FILES, lfs=LFS)
    resolved(net(box))
    assert sorted(entry.target.rpartition("/")[2] for entry in box.log if "/raw/" in entry.target) == [
        ".gitattributes", "plain.nii.gz", "scan.nii.gz", "scan.nii.gz",
    ]  # fmt: skip


def test_it_stays_with_the_commit_that_it_planned(box: Sandbox) -> None:
    commit, _ = box.github.publish("o/r", FILES)
    box.github.publish("o/r", {**FILES, "new": b"new"})
    assert "new" in resolved(net(box))
    assert "new" not in resolved(net(box), commit=commit)


@pytest.mark.parametrize("most", [0, 3, 8])
def test_trees_that_github_lists_in_part_only(box: Sandbox, most: int) -> None:
    content = {**FILES, "data/deep/.gitattributes": b"*.gz -filter\n"}
    box.github.publish("o/r", content, lfs=["scan.nii.gz"])
    whole = resolved(net(box))
    box.github.most = most
    assert resolved(net(box)) == whole
    assert set(whole) == set(content)


def test_only_what_the_locator_wants(box: Sandbox) -> None:
    box.github.publish("o/r", FILES, lfs=LFS)
    assert set(resolved(net(box), path=["data/deep", "*.md"])) == {"README.md", "data/deep/er/scan.nii.gz"}


def test_names() -> None:
    locate = GitHub().locate
    assert (
        locate("o/r")
        == locate("https://github.com/o/r")
        == locate("https://github.com/o/r.git")
        == {"repository": "o/r"}
    )
    commit = {"repository": "o/r.x", "commit": "b/x"}
    assert locate("o/r.x@b/x") == locate("https://github.com/o/r.x/tree/b/x") == commit
    assert locate("https://github.com/o/r/releases/tag/v1%2B2") == {"repository": "o/r", "release": "v1+2"}
    for wrong in ("", "r", "o/r@", "../r", "o/r/x", "https://example.org/o/r"):
        with pytest.raises(UsageProblem):
            locate(wrong)
    for locator in ({"repository": "o"}, {"commit": "x", "release": "y"}, {"path": []}, {"x": "y"}):
        with pytest.raises(RecipeError):
            resolved(PlainNet(GitHub.traits), **locator)


def test_what_is_not_there(box: Sandbox) -> None:
    box.github.publish("o/r", FILES)
    for locator in ({"repository": "o/none"}, {"commit": "a" * 40}, {"commit": "v9"}, {"release": "v1"}):
        with pytest.raises(UsageProblem, match="medfetch login github"):
            resolved(net(box), **locator)


def test_private_repositories(box: Sandbox) -> None:
    box.github.publish("o/r", FILES, private=True)
    with pytest.raises(UsageProblem):
        resolved(net(box))
    assert {file.credential for file in resolved(net(box, TOKEN)).values()} == {"github"}


def test_when_no_more_may_be_asked(box: Sandbox) -> None:
    box.github.publish("o/r", FILES)
    box.github.left = 1
    with pytest.raises(Refused, match="no more requests") as caught:
        resolved(net(box))
    assert "medfetch login github" in str(caught.value.hint)
    assert resolved(net(box, TOKEN))


@pytest.mark.parametrize("body", ["<html>", "{}", '{"tree": [{}]}'])
def test_what_is_no_tree(box: Sandbox, body: str) -> None:
    box.github.publish("o/r", FILES)
    box.add(Fault(match="/trees/", body=body, status=200))
    with pytest.raises(Retryable, match="GitHub"):
        resolved(net(box))


@pytest.mark.parametrize(
    ("text", "folder", "kept", "not_kept"),
    [
        ("*.gz filter=lfs\n# *.md filter=lfs\n", "", ["a.gz", "x/y.gz"], ["a.gz.md", "a.md"]),
        ("/a/*.gz filter=lfs", "", ["a/b.gz"], ["a/b/c.gz", "x/a/b.gz"]),
        ("a/**/*.gz filter=lfs", "", ["a/b.gz", "a/b/c.gz"], ["b.gz", "x/a/b.gz"]),
        ("**/a filter=lfs\nb/** filter=lfs", "", ["a", "x/a", "b/c", "b/c/d"], ["ab", "b", "a/x"]),
        ("[ab]?.gz filter=lfs\n[!x].txt filter=lfs", "", ["a1.gz", "y.txt"], ["c1.gz", "a.gz", "x.txt"]),
        ("*.gz filter=lfs\nx.gz -filter\ny.gz !filter\nz.gz text", "", ["a.gz", "z.gz"], ["x.gz", "y.gz"]),
        ("*.gz filter=lfs", "in/", ["in/a.gz", "in/b/c.gz"], ["a.gz", "din/a.gz"]),
        ('"a b.gz" filter=lfs\n[attr]lfs filter=lfs', "", ["a b.gz"], ["ab.gz", "lfs"]),
    ],
)
def test_what_git_lfs_keeps(text: str, folder: str, kept: list[str], not_kept: list[str]) -> None:
    rules = _lfs.rules(text, folder)
    assert [path for path in [*kept, *not_kept] if _lfs.keeps(rules, path)] == kept


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_repository_arrives_and_the_token_stays_at_github(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    commit, content = box.github.publish("o/r", FILES, lfs=LFS, links={"link.csv": "data/a b.csv"}, private=True)
    write_recipe(home, "mine", routes=[{"source": "github", "repository": "o/r", "commit": commit}])
    ran = run("get", "mine", "-vv", "--json", GITHUB_TOKEN=TOKEN)
    expected = {**content, "link.csv": content["data/a b.csv"]}
    assert tree(cache / "mine" / "current") == {path: sha256(data) for path, data in expected.items()}
    assert {entry.header("authorization") for entry in box.log} == {f"Bearer {TOKEN}"}
    assert TOKEN not in ran.out + ran.err
    assert ran.last["assurance"] == {"published": len(FILES), "first-seen": 1}


def test_a_release_arrives(run: Run, box: Sandbox) -> None:
    files = {"model v1+2.zip": b"PK" + b"x" * 3000, "notes.txt": b"notes\n"}
    box.github.release("o/r", "v1+2", files)
    ran = run("get", "github:https://github.com/o/r/releases/tag/v1%2B2", "--json")
    assert tree(Path(ran.last["path"])) == {path: sha256(data) for path, data in files.items()}
    assert ran.last["assurance"] == {"published": 2}
    box.add(Fault(match="/stored/", corrupt=1, times=None))
    box.github.release("o/r", "v2", files, digests=False)
    assert run("get", "github:https://github.com/o/r/releases/tag/v2", "--json").last["assurance"] == {"size-only": 2}


def test_a_wrong_byte_is_noticed(run: Run, box: Sandbox) -> None:
    box.github.publish("o/r", FILES, lfs=LFS)
    commit, _ = box.github.publish("o/r", {**FILES, "x": b"x"}, lfs=LFS)
    box.add(Fault(match="/github/(media/.*/scan|raw/.*/README)", corrupt=1, times=None))
    ran = run("get", f"github:o/r@{commit}", "--json", code=4)
    assert {failure["path"] for failure in ran.last["failures"]} == {"README.md", *LFS}
