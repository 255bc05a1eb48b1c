"""The gdrive source against the sandbox's Google Drive, and the whole way with medfetch itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree, write_recipe, zipped
from plain_net import NoNet, PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Refused, UsageProblem
from medfetch.sandbox import Sandbox
from medfetch.sandbox.gdrive import State
from medfetch.sources.gdrive import GoogleDrive
from medfetch.types import RemoteFile, Selection

ID = "1iVCnZc1GHwtx9scyAXdANqz2HdQArTHn"
TREE = {"b & a <1>.nii": b"b", "sub": {"ä+b.nii.gz": b"a" * 9}, "a.csv": b"x,y\n"}
PATHS = {"a.csv", "b & a <1>.nii", "sub/ä+b.nii.gz"}


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    return PlainNet(GoogleDrive.traits, gdrive=box.endpoints["gdrive"], gdrive_files=box.endpoints["gdrive_files"])


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(GoogleDrive().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    ("text", "locator"),
    [
        (f"https://drive.google.com/drive/folders/{ID}?usp=sharing", {"folder": ID}),
        (f"https://drive.google.com/drive/u/0/folders/{ID}", {"folder": ID}),
        (f"folders/{ID}", {"folder": ID}),
        *(
            (text, {"files": [{"id": ID}]})
            for text in (
                ID,
                f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
                f"https://drive.google.com/uc?export=download&id={ID}",
                f"https://drive.google.com/open?id={ID}",
                f"https://drive.usercontent.google.com/download?id={ID}&export=download&confirm=t",
            )
        ),
    ],
)
def test_names(text: str, locator: dict[str, Any]) -> None:
    assert GoogleDrive().locate(text) == locator


@pytest.mark.parametrize(
    "text", ["", "x", f"https://example.org/file/d/{ID}", "https://drive.google.com/drive/my-drive"]
)
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(UsageProblem):
        GoogleDrive().locate(text)


@pytest.mark.parametrize(
    "locator",
    [
        {"folder": ID, "files": [{"path": "a", "id": ID}]}, {"files": []}, {"files": [{"path": "a"}]},
        {"files": [{"path": "../a", "id": ID}]}, {"files": [{"path": "a", "id": "no id"}]},
        {"files": [{"path": "a", "id": ID}] * 2}, {"folder": ID, "path": []},
    ],
)  # fmt: skip
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(NoNet(GoogleDrive.traits), **locator)


def test_a_folder_and_what_is_below(box: Sandbox, net: PlainNet) -> None:
    folder = box.drive.folder(TREE, documents=("Read me",))
    assert {file.path for file in resolved(net, folder=folder)} == PATHS
    assert [file.path for file in resolved(net, folder=folder, path="sub")] == ["sub/ä+b.nii.gz"]


def test_files_of_one_name_are_told_apart(box: Sandbox, net: PlainNet) -> None:
    folder = box.drive.folder({"a.zip": b"1"})
    box.drive.add(folder, "a.zip", b"2")
    files = resolved(net, folder=folder)
    assert sorted(file.path for file in files) == sorted(f"{file.key.removeprefix('gdrive:')} a.zip" for file in files)
    assert len({file.path for file in files}) == 2


def test_what_a_recipe_knows_is_asked_of_nobody() -> None:
    item = {"path": "d/a.zip", "id": ID, "size": 3, "sha256": "0" * 64, "unpack": {"into": "there"}}
    (file,) = resolved(NoNet(GoogleDrive.traits), files=[item])
    assert (file.path, file.size, len(file.checksums), file.unpack and file.unpack.into) == ("d/a.zip", 3, 1, "there")


def test_a_file_by_its_link_alone(box: Sandbox, net: PlainNet) -> None:
    key = box.drive.file('scan "é".nii', b"123", "scan")
    (file,) = resolved(net, files=[{"id": key}])
    assert (file.path, file.size) == ('scan "é".nii', 3)


@pytest.mark.parametrize("strict", [False, True])
def test_the_warning_of_the_virus_scan_is_answered(box: Sandbox, net: PlainNet, strict: bool) -> None:
    box.drive.strict = strict
    (file,) = resolved(net, files=[{"path": "a", "id": box.drive.file("a", b"1", "scan")}])
    assert ("uuid=" in GoogleDrive().link(file.urls[0], net).url) == strict


@pytest.mark.parametrize(
    ("state", "says", "what_to_do"),
    [
        ("quota", "quota is used up", "24 hours"),
        ("private", "not shared with everybody", "ask its owner"),
        ("infected", "'Google Drive - Infected file'", "medfetch import"),
    ],
)
def test_a_page_is_no_file(box: Sandbox, net: PlainNet, state: State, says: str, what_to_do: str) -> None:
    (file,) = resolved(net, files=[{"path": "a", "id": box.drive.file("a", b"1", state)}])
    with pytest.raises(Refused) as caught:
        GoogleDrive().link(file.urls[0], net)
    assert says in caught.value.message
    assert what_to_do in caught.value.message


def test_a_folder_that_is_not_shared(net: PlainNet) -> None:
    with pytest.raises(AccessRequired) as caught:
        resolved(net, folder=ID)
    assert "ask its owner" in caught.value.steps[0]["do"]


def test_a_file_that_is_gone(net: PlainNet) -> None:
    with pytest.raises(UsageProblem, match=ID):
        resolved(net, files=[{"id": ID}])


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_folder_is_fetched(box: Sandbox, run: Run) -> None:
    box.drive.strict = True
    key = box.drive.folder(TREE)
    box.drive.add(key, "large.nii", b"n" * 3_000_000, "scan")
    receipt = run("get", f"gdrive:folders/{key}", "--json").last
    assert set(tree(Path(receipt["path"]))) == PATHS | {"large.nii"}
    assert tree(Path(receipt["path"]))["large.nii"] == sha256(b"n" * 3_000_000)


def test_a_recipe_with_an_archive(box: Sandbox, run: Run, home: Path) -> None:
    data = zipped(**{"a.nii": b"a"})
    files = [{"path": "a.zip", "id": box.drive.file("x.zip", data), "sha256": sha256(data), "unpack": True}]
    name = write_recipe(home, "shared", routes=[{"source": "gdrive", "files": files}])
    run("recipe", "check", home / f"{name}.yaml")
    receipt = run("get", name, "--json").last
    assert tree(Path(receipt["path"])) == {"a.nii": sha256(b"a")}
    assert receipt["assurance"] == {"published": 1}


def test_a_recipe_is_checked_file_by_file(run: Run, home: Path) -> None:
    files = [{"path": path, "id": ID} for path in ("../a", "b", "b")]
    name = write_recipe(home, "shared", routes=[{"source": "gdrive", "files": files}])
    said = run("recipe", "check", home / f"{name}.yaml", code=2)
    assert "'../a' leaves the dataset's folder" in said.out + said.err
    assert "'b' is used twice" in said.out + said.err


def test_a_page_is_never_kept_and_tomorrow_it_goes_on(box: Sandbox, run: Run, home: Path) -> None:
    keys = {name: box.drive.file(name, name.encode(), "quota" if name == "b" else "open") for name in "ab"}
    files = [{"path": name, "id": key} for name, key in keys.items()]
    name = write_recipe(home, "shared", routes=[{"source": "gdrive", "files": files}])
    ran = run("get", name, code=1)
    assert "quota is used up" in ran.err
    assert "24 hours" in ran.err
    path = Path(run("path", name, code=1).out.strip())
    assert tree(path) == {"a": sha256(b"a")}
    box.drive.file("b", b"b", "open", keys["b"])
    run("get", name)
    assert tree(path) == {"a": sha256(b"a"), "b": sha256(b"b")}
