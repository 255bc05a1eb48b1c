"""Archives that a source lists, and which of them a route has unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tarred, tree, write_recipe, zipped
from running import Run

from medfetch import archives
from medfetch.errors import RecipeError
from medfetch.sandbox import Fault, Sandbox
from medfetch.types import Group, RemoteFile, Unpack

FILES = {"a/scans.zip": zipped(scan=b"1" * 900), "b.tar.gz": tarred(mask=b"2"), "readme.txt": b"read me"}


def unpacked(paths: list[str], value: Any) -> dict[str, Unpack | None]:
    files = [RemoteFile(path, path) for path in paths]
    return {file.path: file.unpack for file in archives.unpacking(files, archives.read(value))}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("A.ZIP", "zip"), ("a.tar.gz", "tar"), ("a.7z", "7z"), ("a.7z.001", None), ("a.z01", None), ("a.nii.gz", None)],
)
def test_what_is_an_archive(path: str, kind: str | None) -> None:
    assert archives.kind(path) == kind


def test_all_archives_each_where_it_is() -> None:
    found = unpacked(["x/a.zip", "b.tgz", "c.nii.gz", "d.7z.001"], True)
    assert found == {"x/a.zip": Unpack("zip", "x"), "b.tgz": Unpack("tar", ""), "c.nii.gz": None, "d.7z.001": None}


def test_the_first_pattern_that_fits() -> None:
    found = unpacked(["x/a.zip", "x/b.zip", "c.zip", "d.tar"], [
        {"path": "x/a.zip", "into": "."}, {"path": "x"}, {"path": "*.zip", "into": "y"},
    ])  # fmt: skip
    assert found == {
        "x/a.zip": Unpack("zip", ""), "x/b.zip": Unpack("zip", "x"), "c.zip": Unpack("zip", "y"), "d.tar": None,
    }  # fmt: skip


def entries(paths: list[str], value: Any) -> dict[str, RemoteFile]:
    files = [RemoteFile(path, path, size=len(path)) for path in paths]
    return {file.path: file for file in archives.unpacking(files, archives.read(value)) if isinstance(file, RemoteFile)}


@pytest.mark.parametrize(
    "paths",
    [["x/a.zip", "x/a.z01", "b.zip", "x/a.z02"], ["x/a.z02", "b.zip", "x/a.zip", "x/a.z01"], ["x/A.Z01", "x/a.zip"]],
)
def test_the_volumes_of_a_split_zip_are_one_archive(paths: list[str]) -> None:
    found = entries(paths, True)
    whole = found.pop("x/a.zip")
    volumes = sorted(path for path in paths if path.lower().startswith("x/a.z0"))
    assert [piece.path for piece in whole.pieces] == [*volumes, "x/a.zip"]
    assert (whole.unpack, whole.size) == (Unpack("split-zip", "x"), sum(map(len, [*volumes, "x/a.zip"])))
    assert list(found) == [path for path in paths if path == "b.zip"]


def test_volumes_whose_last_one_was_given_another_name() -> None:
    paths = ["d.change2zip", *(f"d.z{number:02d}" for number in range(1, 101)), "other.z01"]
    found = entries(paths, [{"path": "d.change2zip", "into": ".", "volumes": "d.z*"}])
    pieces = [piece.path for piece in found["d.change2zip"].pieces]
    assert pieces == [*paths[1:-1], "d.change2zip"]
    assert found["d.change2zip"].unpack == Unpack("split-zip", "")
    assert list(found) == ["d.change2zip", "other.z01"]


def test_volumes_that_are_not_wanted_stay_files() -> None:
    found = entries(["a.z01", "a.zip", "b.tar"], [{"path": "*.tar"}])
    assert {path: (file.unpack, file.pieces) for path, file in found.items()} == {
        "b.tar": (Unpack("tar", ""), ()), "a.zip": (None, ()), "a.z01": (None, ()),
    }  # fmt: skip


def test_a_missing_volume_is_named() -> None:
    with pytest.raises(RecipeError, match=r"of the volumes of a\.zip, \.z02 is not among the files"):
        entries(["a.zip", "a.z01", "a.z03"], True)


def test_without_it_nothing_changes() -> None:
    entries = [RemoteFile("a.zip", "a"), Group("s", "s"), RemoteFile("b", "b")]
    assert list(archives.unpacking(entries, archives.read(False))) == entries


def test_what_a_source_decided_stays() -> None:
    file = RemoteFile("a.zip", "a", unpack=Unpack("zip", "there"))
    assert list(archives.unpacking([file], archives.read(True))) == [file]


# -- the whole way ------------------------------------------------------------------------------------------------


def test_a_route_has_them_unpacked(box: Sandbox, run: Run, home: Path) -> None:
    box.hub.publish("o/d", FILES)
    write_recipe(home, "all", routes=[{"source": "hf", "dataset": "o/d", "unpack": True}])
    write_recipe(home, "one", routes=[{"source": "hf", "dataset": "o/d", "unpack": [{"path": "a", "into": "scans"}]}])
    write_recipe(home, "none", routes=[{"source": "hf", "dataset": "o/d"}])
    there = {path: sha256(data) for path, data in FILES.items()}
    scan, mask, readme = sha256(b"1" * 900), sha256(b"2"), there["readme.txt"]
    expected = {
        "all": {"a/scan": scan, "mask": mask, "readme.txt": readme},
        "one": {"scans/scan": scan, "b.tar.gz": there["b.tar.gz"], "readme.txt": readme},
        "none": there,
    }
    for name, files in expected.items():
        receipt = run("get", name, "--json").last
        assert tree(Path(receipt["path"])) == files
    assert tree(Path(run("get", "all", "--no-unpack", "--json").last["path"])) == expected["all"] | there


def test_what_another_route_takes_over_is_unpacked_too(box: Sandbox, run: Run, home: Path) -> None:
    for name in ("o/first", "o/second"):
        box.hub.publish(name, FILES)
    routes = [{"source": "hf", "dataset": name, "unpack": True} for name in ("o/first", "o/second")]
    write_recipe(home, "two", routes=routes)
    box.add(*[Fault(match="/o/first/resolve/", status=404)] * 3)
    receipt = run("get", "two", "--json").last
    assert set(tree(Path(receipt["path"]))) == {"a/scan", "mask", "readme.txt"}
    assert any("/o/second/resolve/" in entry.target for entry in box.log)


def test_a_folder_outside_is_refused(run: Run, home: Path) -> None:
    write_recipe(home, "bad", routes=[{"source": "hf", "dataset": "o/d", "unpack": [{"path": "*", "into": "../x"}]}])
    ran = run("plan", "bad", code=2)
    assert "routes[0].unpack[0].into" in ran.err and "leaves the dataset's folder" in ran.err


def test_who_computed_the_checksums(run: Run, home: Path) -> None:
    file = {"path": "a.zip", "url": "https://h.example/a.zip", "sha256": "0" * 64, "checksums_by": "torch-em"}
    write_recipe(home, "theirs", routes=[{"source": "http", "files": [file]}])
    assert "Checksums by torch-em" in run("info", "theirs").out
    assert run("plan", "theirs", "--json").code == 0
