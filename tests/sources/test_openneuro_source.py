"""The source ``openneuro`` against the sandbox: snapshots that stay what they were, digests, BIDS, private datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.openneuro import KEY
from medfetch.sources.openneuro import OpenNeuro
from medfetch.types import Door, RemoteFile, Selection

ID = "ds002236"
FILES: dict[str, bytes | int | str] = {
    "README": b"read me\n", "empty.tsv": b"", "dataset_description.json": b"{}",
    "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz": 40_000, "sub-01/func/sub-01_task-rest_bold.nii.gz": 60_000,
    "sub-02/anat/sub-02_T1w.nii.gz": 30_000, "sub-02/anat/sub-02 ä+:_T1w.json": b"{}\n",
}  # fmt: skip


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


def net(box: Sandbox, key: str | None = None) -> PlainNet:
    places = {name: box.endpoints[name] for name in ("openneuro", "openneuro_s3")}
    made = PlainNet(OpenNeuro.traits, **places)
    if key:
        made.secrets["openneuro"] = f"Bearer {key}"
    return made


def resolved(net: PlainNet, **locator: object) -> dict[str, RemoteFile]:
    files = list(OpenNeuro().resolve({"dataset": ID, **locator}, net, Selection()))
    by_path = {file.path: file for file in files}
    assert len(by_path) == len(files)
    return by_path


def test_files_with_the_digests_of_their_keys(box: Sandbox) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES)
    files = resolved(net(box))
    assert set(files) == set(FILES)
    assert {path: file.size for path, file in files.items()} == {path: len(data) for path, data in content.items()}
    scan = "sub-02/anat/sub-02_T1w.nii.gz"
    assert str(files[scan].checksums[0]) == f"md5:{hashlib.md5(content[scan]).hexdigest()}"
    blob = hashlib.sha1(b"blob 8\0read me\n").hexdigest()
    assert [str(each) for each in files["README"].checksums] == [f"git-sha1-8:{blob}"]
    assert files["README"].urls[0].startswith(f"{box.endpoints['s3']}/openneuro.org/{ID}/README?versionId=")
    assert {file.credential for file in files.values()} == {None}


def test_keys_of_another_kind(box: Sandbox) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES, backend="SHA256E")
    scan = "sub-02/anat/sub-02_T1w.nii.gz"
    assert str(resolved(net(box))[scan].checksums[0]) == f"sha256:{sha256(content[scan])}"


def test_the_real_bucket_is_asked_where_nothing_is_replaced(box: Sandbox) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    plain = PlainNet(OpenNeuro.traits, openneuro=box.endpoints["openneuro"])
    assert (
        resolved(plain)["README"].urls[0].startswith(f"https://s3.amazonaws.com/openneuro.org/{ID}/README?versionId=")
    )


def test_what_the_path_tells(box: Sandbox) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    files = resolved(net(box))
    assert files["sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"].facets == {
        "subject": "sub-01", "session": "ses-a", "modality": "anat",
    }  # fmt: skip
    assert files["sub-01/func/sub-01_task-rest_bold.nii.gz"].facets == {
        "subject": "sub-01", "modality": "func", "task": "rest",
    }  # fmt: skip
    assert files["README"].facets == {}


def test_an_old_snapshot_stays_what_it_was(box: Sandbox) -> None:
    old = box.openneuro.publish(ID, "1.0.0", FILES)
    new = box.openneuro.publish(ID, "1.1.0", {**FILES, "README": b"another\n"})
    asked = net(box)
    for version, content in (("1.0.0", old), ("1.1.0", new), (None, new)):
        file = resolved(asked, **({"version": version} if version else {}))["README"]
        assert asked.get(file.urls[0]).content == content["README"]


def test_level_by_level_where_the_whole_is_too_much(box: Sandbox) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    whole = resolved(net(box))
    box.openneuro.recursive = False
    assert resolved(net(box)) == whole
    files = OpenNeuro().resolve({"dataset": ID}, asked := net(box), Selection())
    next(files)
    assert len(asked.asked) == 3  # the newest, the refusal, the root


@pytest.mark.parametrize("recursive", [True, False])
def test_links_lead_to_what_they_stand_for(run: Run, box: Sandbox, recursive: bool) -> None:
    box.openneuro.recursive = recursive
    content = box.openneuro.publish(ID, "1.0.0", {**FILES, "code/README": "../README", "sub-02/T1.nii.gz":
                                                  "anat/sub-02_T1w.nii.gz"})  # fmt: skip
    ran = run("get", f"openneuro:{ID}", "--json")
    assert tree(Path(ran.last["path"])) == {path: sha256(data) for path, data in content.items()}


def test_only_what_the_locator_wants(box: Sandbox) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    assert set(resolved(net(box), path=["sub-01", "*.json"])) == {
        "dataset_description.json", "sub-02/anat/sub-02 ä+:_T1w.json", *(path for path in FILES if "sub-01" in path),
    }  # fmt: skip


def test_names() -> None:
    locate = OpenNeuro().locate
    assert locate(ID) == {"dataset": ID}
    for typed in (f"{ID}@1.1.0", f"https://openneuro.org/datasets/{ID}/versions/1.1.0"):
        assert locate(typed) == {"dataset": ID, "version": "1.1.0"}
    assert locate(f"https://openneuro.org/datasets/{ID}/versions/1.1.0/file-display/README")["version"] == "1.1.0"
    assert locate(f"https://openneuro.org/datasets/{ID}/") == {"dataset": ID}
    for wrong in ("", "ds1", f"{ID}@", "https://openneuro.org/", f"x{ID}"):
        with pytest.raises(UsageProblem):
            locate(wrong)
    for locator in ({"dataset": "d"}, {}, {"dataset": ID, "path": []}, {"dataset": ID, "x": "y"}):
        with pytest.raises(RecipeError):
            list(OpenNeuro().resolve(locator, PlainNet(OpenNeuro.traits), Selection()))


def test_what_is_not_there(box: Sandbox) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    for locator in ({"dataset": "ds999999"}, {"dataset": ID, "version": "9.9.9"}):
        with pytest.raises(UsageProblem, match="OpenNeuro"):
            resolved(net(box), **locator)
        assert OpenNeuro().preflight(locator, net(box)).door is Door.ABSENT


@pytest.mark.parametrize(("key", "door"), [(None, Door.NO_LOGIN), ("wrong", Door.NOT_APPROVED), (KEY, Door.OPEN)])
def test_private_datasets(box: Sandbox, key: str | None, door: Door) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES, private=True)
    assert OpenNeuro().preflight({"dataset": ID}, net(box, key)).door is door
    if door is Door.OPEN:
        assert {file.credential for file in resolved(net(box, key)).values()} == {"openneuro"}
    else:
        with pytest.raises(AccessRequired, match="openneuro"):
            resolved(net(box, key))


@pytest.mark.parametrize("body", ["<html>", '{"data": {"snapshot": {"files": [{}]}}}', '{"errors": [{}]}'])
def test_what_is_no_list(box: Sandbox, body: str) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    box.add(
        Fault(match="/graphql", method="POST", times=1, body='{"data": {"snapshot": {"tag": "1.0.0"}}}', status=200)
    )
    box.add(Fault(match="/graphql", method="POST", times=None, body=body, status=200))
    with pytest.raises(Retryable, match="OpenNeuro"):
        resolved(net(box), version="1.0.0")


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_snapshot_arrives_verified(run: Run, box: Sandbox) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES)
    receipt = run("get", f"openneuro:{ID}@1.0.0", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in content.items()}
    assert receipt["assurance"] == {"published": len(FILES)}


def test_one_subject(run: Run, box: Sandbox) -> None:
    box.openneuro.publish(ID, "1.0.0", FILES)
    receipt = run("get", f"openneuro:{ID}", "-s", "subject=sub-01", "-s", "modality=func,dwi", "--json").last
    assert set(tree(Path(receipt["path"]))) == {"sub-01/func/sub-01_task-rest_bold.nii.gz"}


def test_where_the_bucket_has_another_version_the_site_takes_over(run: Run, box: Sandbox) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES)
    box.add(Fault(match="/s3/.*(README|sub-02_T1w.nii.gz)", corrupt=1, times=None))
    receipt = run("get", f"openneuro:{ID}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in content.items()}


def test_a_wrong_size_of_the_interface_fails_no_file_of_git_annex(run: Run, box: Sandbox) -> None:
    scan = "sub-02/anat/sub-02_T1w.nii.gz"
    content = box.openneuro.publish(ID, "1.0.0", FILES, sizes={scan: 7})
    receipt = run("get", f"openneuro:{ID}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in content.items()}


def test_what_the_bucket_has_not_comes_from_the_site(run: Run, box: Sandbox) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES, exported=False)
    receipt = run("get", f"openneuro:{ID}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in content.items()}


def test_a_private_dataset_arrives_and_the_key_stays_at_the_site(
    run: Run, home: Path, cache: Path, box: Sandbox
) -> None:
    content = box.openneuro.publish(ID, "1.0.0", FILES, private=True)
    write_recipe(home, "private", routes=[{"source": "openneuro", "dataset": ID}])
    ran = run("get", "private", "-vv", "--json", OPENNEURO_API_KEY=KEY)
    assert tree(cache / "private" / "current") == {path: sha256(data) for path, data in content.items()}
    sent = {entry.target.split("/")[2].partition("?")[0]: entry.header("authorization") for entry in box.log}
    assert sent == {"crn": f"Bearer {KEY}", "storage": None}
    written = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert KEY.encode() not in written and b"Signature=" not in written
    assert KEY not in ran.out + ran.err and "Signature" not in ran.out + ran.err
