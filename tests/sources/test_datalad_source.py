"""The source ``datalad`` against the sandbox: keys of git-annex, all the ways to content, links, subdatasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from plain_net import PlainNet
from running import Run

from medfetch.errors import RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources import _annex
from medfetch.sources.datalad import DataLad
from medfetch.types import RemoteFile, Selection

REPOSITORY = "https://github.com/o/ds"
WORKTREE = "https://data.example/labs/ds/.git"
BUCKET = "https://s3.amazonaws.com/openneuro.org"
UUID = "2675cd86-96a2-46c5-ab40-9b48e3ab3d51"
REMOTE = f"{UUID} autoenable=true bucket=openneuro.org encryption=none exporttree=yes fileprefix=ds/ name=s3-PUBLIC"
REMOTE += f" public=yes publicurl={BUCKET} type=S3 versioning=yes timestamp=1.5s\n"
FILES = {"README": b"read me\n", "code/a b.py": b"print()\n", ".datalad/config": b""}
ANNEXED = {"sub-01/anat/sub-01_T1w.nii.gz": b"one" * 9000, "sub-02/func/sub-02_task-rest_bold.nii.gz": b"two" * 7000}
SCAN, BOLD = ANNEXED


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


def net(box: Sandbox) -> PlainNet:
    return PlainNet(DataLad.traits, datalad=box.endpoints["datalad"])


def resolved(box: Sandbox, repository: str = REPOSITORY, **locator: object) -> dict[str, RemoteFile]:
    """By path, with addresses as they would be without the sandbox."""
    files = list(DataLad().resolve({"repository": repository, **locator}, net(box), Selection()))
    by_path = {file.path: file for file in files}
    assert len(by_path) == len(files)
    return by_path


def addresses(box: Sandbox, file: RemoteFile) -> list[str]:
    assert all(url.startswith(box.endpoints["datalad"]) for url in file.urls)
    return [url.replace(f"{box.endpoints['datalad']}/", "https://") for url in file.urls]


def digests(file: RemoteFile) -> list[str]:
    return [str(each) for each in file.checksums]


def test_keys_are_sizes_and_checksums(box: Sandbox) -> None:
    box.git.publish(REPOSITORY, FILES, ANNEXED)
    files = resolved(box)
    assert {path: file.size for path, file in files.items()} == {p: len(d) for p, d in {**FILES, **ANNEXED}.items()}
    assert digests(files[SCAN]) == [f"md5:{hashlib.md5(ANNEXED[SCAN]).hexdigest()}"]
    assert digests(files["README"]) == [
        f"git-sha1-8:{hashlib.sha1(b'blob 8' + bytes(1) + FILES['README']).hexdigest()}"
    ]
    assert files[BOLD].facets == {"subject": "sub-02", "modality": "func", "task": "rest"}


@pytest.mark.parametrize("backend", ["SHA256E", "SHA1", "MD5", "SHA512E", "WORM", "URL"])
def test_keys_of_other_kinds(box: Sandbox, backend: str) -> None:
    box.git.publish(REPOSITORY, FILES, ANNEXED, backend=backend)
    file = resolved(box)[SCAN]
    assert file.size == len(ANNEXED[SCAN])
    algorithm = backend.removesuffix("E").lower()
    known = [] if backend in ("WORM", "URL") else [f"{algorithm}:{hashlib.new(algorithm, ANNEXED[SCAN]).hexdigest()}"]
    assert digests(file) == known


def test_unlocked_files(box: Sandbox) -> None:
    box.git.publish(REPOSITORY, FILES, ANNEXED, unlocked=[SCAN])
    assert digests(resolved(box)[SCAN]) == [f"md5:{hashlib.md5(ANNEXED[SCAN]).hexdigest()}"]


def test_where_content_lies(box: Sandbox) -> None:
    web = {SCAN: "https://web.example/scan?x=1", BOLD: ":https://loris.example/bold"}
    key, blob = box.git.key(SCAN, ANNEXED[SCAN]), hashlib.sha1(b"blob 8\0" + FILES["README"]).hexdigest()
    exported = {
        f"{_annex.lower(each)}/{each}.log.rmet": f"1.5s {UUID}:V +v1#ds/{path} +v0#ds/elsewhere\n"
        for each, path in {key: SCAN, f"GIT--{blob}": "README"}.items()
    }
    git = "2f51364e-815a-4ad9-b380-617c682b1680 location=https://git.example/r/.git name=x type=git timestamp=1s\n"
    dead = "9" * 8 + UUID[8:] + " location=https://dead.example/.git name=y type=git timestamp=1s\n"
    logs = {"remote.log": REMOTE + git + dead, "trust.log": f"{dead.split()[0]} X timestamp=2s\n", **exported}
    commit = box.git.publish(REPOSITORY, FILES, ANNEXED, web=web, logs=logs)
    files = resolved(box)
    assert addresses(box, files[SCAN]) == [
        f"{BUCKET}/ds/{SCAN}?versionId=v1",
        f"{BUCKET}/ds/elsewhere?versionId=v0",
        "https://web.example/scan?x=1",
        f"{BUCKET}/ds/{SCAN}",
        f"https://git.example/r/.git/annex/objects/{_annex.mixed(key)}/{key}/{key}",
        f"https://git.example/r/.git/annex/objects/{_annex.lower(key)}/{key}/{key}",
    ]
    assert addresses(box, files[BOLD])[0] == "https://loris.example/bold"
    raw = f"https://raw.githubusercontent.com/o/ds/{commit}"
    assert addresses(box, files["README"]) == [
        f"{BUCKET}/ds/README?versionId=v1", f"{BUCKET}/ds/elsewhere?versionId=v0", f"{raw}/README",
    ]  # fmt: skip
    assert addresses(box, files["code/a b.py"]) == [f"{raw}/code/a%20b.py"]


def test_an_address_that_was_taken_back(box: Sandbox) -> None:
    key = box.git.key(SCAN, ANNEXED[SCAN])
    lines = "5s 1 https://a.example/\n7s 0 https://a.example/\n6s 1 https://b.example/\n3s 0 https://b.example/\n"
    box.git.publish(REPOSITORY, FILES, ANNEXED, logs={f"{_annex.lower(key)}/{key}.log.web": lines})
    assert addresses(box, resolved(box)[SCAN])[0] == "https://b.example/"


def test_a_server_of_folders_has_it_itself(box: Sandbox) -> None:
    box.git.publish(WORKTREE, FILES, ANNEXED)
    files = resolved(box, WORKTREE)
    key = box.git.key(SCAN, ANNEXED[SCAN])
    assert addresses(box, files[SCAN])[0] == f"{WORKTREE}/annex/objects/{_annex.mixed(key)}/{key}/{key}"
    assert addresses(box, files["code/a b.py"]) == ["https://data.example/labs/ds/code/a%20b.py"]


def test_links_lead_to_what_they_stand_for(box: Sandbox) -> None:
    links = {"first.nii.gz": SCAN, "chain": "first.nii.gz", "code/README": "../README", "subject": "sub-01",
             "nowhere": "not/there", "loop": "loop"}  # fmt: skip
    box.git.publish(REPOSITORY, FILES, ANNEXED, links=links)
    files = resolved(box)
    assert set(files) == {*FILES, *ANNEXED, "first.nii.gz", "chain", "code/README", "subject/anat/sub-01_T1w.nii.gz"}
    for path in ("first.nii.gz", "chain", "subject/anat/sub-01_T1w.nii.gz"):
        assert digests(files[path]) == digests(files[SCAN])
    assert digests(files["code/README"]) == digests(files["README"])


def test_subdatasets_are_there_if_wanted(box: Sandbox) -> None:
    deeper = box.git.publish(f"{REPOSITORY}/deeper", {"d": b"d"})
    inner = box.git.publish(
        "https://h.example/inner", {"i": b"i"}, submodules={"in/deep": (f"{REPOSITORY}/deeper", deeper)}
    )
    box.git.publish("https://h.example/inner", {"new": b"n"})
    commit = box.git.publish(REPOSITORY, FILES, submodules={"stimuli": ("https://h.example/inner", inner),
                                                            "other": ("../none", "0" * 40)})  # fmt: skip
    assert set(resolved(box)) == {*FILES, ".gitmodules"}
    assert set(resolved(box, subdatasets=["stimuli"])) == {*FILES, ".gitmodules", "stimuli/i", "stimuli/.gitmodules",
                                                           "stimuli/in/deep/d"}  # fmt: skip
    with pytest.raises(UsageProblem, match=r"github.com/o/none"):
        resolved(box, commit=commit, subdatasets="*")


def test_it_stays_with_the_commit_that_it_planned(box: Sandbox) -> None:
    commit = box.git.publish(REPOSITORY, FILES, ANNEXED)
    box.git.publish(REPOSITORY, {"new": b"new"}, ANNEXED)
    assert set(resolved(box)) == {"new", *ANNEXED}
    assert set(resolved(box, commit=commit)) == {*FILES, *ANNEXED}
    assert set(resolved(box, commit="main")) == {"new", *ANNEXED}


def test_only_what_the_locator_wants(box: Sandbox) -> None:
    box.git.publish(REPOSITORY, FILES, ANNEXED)
    assert set(resolved(box, path=["sub-01", "*.py"])) == {SCAN, "code/a b.py"}


def test_a_repository_without_git_annex(box: Sandbox) -> None:
    box.git.publish(REPOSITORY, FILES)
    assert set(resolved(box)) == set(FILES)


def test_names() -> None:
    locate = DataLad().locate
    assert locate(REPOSITORY) == {"repository": REPOSITORY}
    assert locate(f"{REPOSITORY}@1.0.0") == {"repository": REPOSITORY, "commit": "1.0.0"}
    assert locate("///openneuro/ds000001") == {"repository": "https://datasets.datalad.org/openneuro/ds000001/.git"}
    for wrong in ("", "o/ds", "/o/ds", "ssh://h/o", "https://u@h/x", f"{REPOSITORY}@"):
        with pytest.raises(UsageProblem):
            locate(wrong)
    for locator in (
        {"repository": "o"},
        {},
        {"repository": REPOSITORY, "path": []},
        {"repository": REPOSITORY, "x": "y"},
    ):
        with pytest.raises(RecipeError):
            list(DataLad().resolve(locator, PlainNet(DataLad.traits), Selection()))


def test_what_is_not_there(box: Sandbox) -> None:
    box.git.publish(REPOSITORY, FILES)
    with pytest.raises(UsageProblem, match="no git repository"):
        resolved(box, "https://github.com/o/none")
    with pytest.raises(UsageProblem, match="no branch, tag or commit"):
        resolved(box, commit="v9")
    with pytest.raises((UsageProblem, Retryable), match=r"github\.com/o/ds does not|github\.com/o/ds did not"):
        resolved(box, commit="a" * 40)


@pytest.mark.parametrize("match", ["/info/refs", "/git-upload-pack"])
def test_what_does_not_speak_git(box: Sandbox, match: str) -> None:
    box.git.publish(REPOSITORY, FILES)
    box.add(Fault(match=match, method="", times=None, body="<html>", status=200))
    with pytest.raises(Retryable, match=r"github\.com/o/ds"):
        resolved(box)


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_dataset_arrives_verified(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    web = {SCAN: "https://web.example/scan"}
    commit = box.git.publish(WORKTREE, FILES, ANNEXED, web=web)
    box.put("https://web.example/scan", ANNEXED[SCAN])
    box.git.store(WORKTREE, BOLD, ANNEXED[BOLD])
    for path, data in FILES.items():
        box.put(f"https://data.example/labs/ds/{path}", data)
    write_recipe(home, "ours", routes=[{"source": "datalad", "repository": WORKTREE, "commit": commit}])
    receipt = run("get", "ours", "--json").last
    assert tree(cache / "ours" / "current") == {p: sha256(d) for p, d in {**FILES, **ANNEXED}.items()}
    assert receipt["assurance"] == {"published": len(FILES) + len(ANNEXED)}


def test_what_no_host_has_is_named_and_the_rest_arrives(run: Run, box: Sandbox) -> None:
    box.git.publish(WORKTREE, {}, ANNEXED)
    box.git.store(WORKTREE, BOLD, ANNEXED[BOLD])
    ran = run("get", f"datalad:{WORKTREE}", "--json", code=1)
    assert [failure["path"] for failure in ran.last["failures"]] == [SCAN]


def test_one_subject(run: Run, box: Sandbox) -> None:
    box.git.publish(WORKTREE, FILES, ANNEXED)
    box.git.store(WORKTREE, BOLD, ANNEXED[BOLD])
    receipt = run("get", f"datalad:{WORKTREE}", "-s", "subject=sub-02", "--json").last
    assert set(tree(Path(receipt["path"]))) == {BOLD}
