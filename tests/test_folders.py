"""The folder that a route gives what comes by it; and two files that want one path."""

from __future__ import annotations

from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tarred, tree, write_recipe, zipped
from running import Run

from medfetch import folders, places
from medfetch.errors import RecipeError
from medfetch.patterns import fits, within
from medfetch.places import Places
from medfetch.sandbox import Fault, Sandbox
from medfetch.types import Entry, Group, RemoteFile, Selection, Unpack

FILES = {"a/scans.zip": zipped(scan=b"1" * 900), "b.tar.gz": tarred(mask=b"2"), "readme.txt": b"read me"}


def hub(name: str, **more: Any) -> list[dict[str, Any]]:
    return [{"source": "hf", "dataset": name, **more}]


@pytest.mark.parametrize(
    ("pattern", "inside"),
    [
        ("raw/sub-01/*", {"sub-01/*", "sub-01/*/*"}),
        ("raw", {"*"}),
        ("raw/", {"*"}),
        ("r?w/x", {"x", "x/*"}),
        ("r[!b]w/x", {"x", "x/*"}),
        ("r[b]w/x", set()),
        ("other/x", set()),
        ("raw2/x", set()),
    ],
)
def test_patterns_in_a_folder(pattern: str, inside: set[str]) -> None:
    assert set(within("raw", [pattern])) == inside


def test_patterns_in_a_folder_fit_what_the_whole_ones_fit() -> None:
    pieces = ("", "*", "a", "?", "/", "[ab]", "b*", "**")
    patterns = {"".join(each) for each in product(pieces, repeat=4)} - {""}
    paths = ["".join(each) for number in (1, 2, 3) for each in product("ab/", repeat=number)]
    for pattern in patterns:
        inside = within("a/b", [pattern])
        for path in paths:
            assert fits(path, inside) == fits(f"a/b/{path}", [pattern]), (pattern, path, inside)


def test_many_stars_take_no_longer() -> None:
    assert any(fnmatchcase("x", each) for each in within("folder/" * 8 + "a", ["*" * 200 + "x"]))


def test_a_selection_that_wants_nothing_of_a_folder() -> None:
    assert folders.inside(Selection({"path": ("other/*",)}), "raw") is None
    assert folders.inside(Selection({"subject": ("1",)}), "raw") == Selection({"subject": ("1",)})
    assert folders.inside(Selection({"path": ("x",)}), "") == Selection({"path": ("x",)})


def test_all_that_comes_is_in_the_folder() -> None:
    piece = RemoteFile("a.z01", "p")
    series = RemoteFile("s/1.zip", "z", unpack=Unpack("dicom-zip", "s/1"))
    entries = [
        RemoteFile("a.zip", "k", unpack=Unpack("split-zip", ""), pieces=(piece,)),
        Group("s/1", "g", archive=series),
        Group("s/2", "g2"),
    ]
    first, second, third = folders.put(entries, "f")
    assert isinstance(first, RemoteFile) and isinstance(second, Group) and second.archive
    assert (first.path, first.unpack, first.pieces[0].path) == ("f/a.zip", Unpack("split-zip", "f"), "f/a.z01")
    assert (second.path, second.archive.path, second.archive.unpack) == (
        "f/s/1", "f/s/1.zip", Unpack("dicom-zip", "f/s/1"),
    )  # fmt: skip
    assert third == Group("f/s/2", "g2")
    assert list(folders.put(entries, "")) == entries


def of(path: str, key: str, **more: Any) -> RemoteFile:
    return RemoteFile(path, key, **more)


def checked(*entries: tuple[str, Entry]) -> None:
    seen = Places()
    assert list(seen.noted(entries)) == list(entries)
    seen.check(entries)


def test_one_path_for_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"the parts 'a' and 'b' both have a file with the path 'x'"):
        checked(("a", of("x", "1")), ("a", of("y", "2")), ("b", of("x", "3")))
    with pytest.raises(RecipeError, match=r"the part 'a' has two files with the path 'x'"):
        checked(("a", of("x", "1")), ("a", of("x", "3")))
    checked(("a", of("x", "1")), ("b", of("x", "1")))
    checked(("a", of("s", "1", dicom=True)), ("a", of("s", "2", dicom=True)))
    some = Unpack("zip", only=(("p",),))
    checked(("a", of("all.zip", "1", unpack=some)), ("b", of("all.zip", "2", unpack=some)))
    # Where only the hashes are the same, nothing is wrong.
    monkeypatch.setattr(places, "hash", lambda _: 7, raising=False)
    checked(("a", of("x", "1")), ("b", of("y", "2")))


# -- the whole way ------------------------------------------------------------------------------------------------


def test_parts_that_name_files_alike_are_kept_apart(box: Sandbox, run: Run, home: Path) -> None:
    box.hub.publish("o/first", FILES)
    box.hub.publish("o/second", {**FILES, "readme.txt": b"read me, too"})
    parts = {
        "first": {"routes": hub("o/first", into="raw/one", unpack=[{"path": "a"}, {"path": "b.tar.gz", "into": "."}])},
        "second": {"routes": hub("o/second", into="raw/two")},
    }
    write_recipe(home, "two", parts=parts)
    expected = {
        "raw/one/a/scan": sha256(b"1" * 900), "raw/one/mask": sha256(b"2"), "raw/one/readme.txt": sha256(b"read me"),
        "raw/two/readme.txt": sha256(b"read me, too"),
        **{f"raw/two/{path}": sha256(FILES[path]) for path in ("a/scans.zip", "b.tar.gz")},
    }  # fmt: skip
    receipt = run("get", "two", "--json").last
    assert tree(Path(receipt["path"])) == expected
    # All is here already, also by what a part or a path alone asks for.
    asked = box.stats.data_bytes
    assert run("get", "two", "--select", "path=raw/two/*.txt", "--json").last["files"] == 1
    assert run("get", "two", "--select", "path=raw/one/b.tar.gz,raw/two/b.tar.gz", "--json").last["files"] == 2
    assert box.stats.data_bytes == asked
    assert "nothing matches" in run("plan", "two", "--select", "path=readme.txt", code=2).err


def test_a_folder_of_series(run: Run, home: Path) -> None:
    routes = [{"source": "idc", "collection": "lidc_idri", "into": "dicom"}]
    write_recipe(home, "scans", routes=routes)
    planned = run("plan", "scans", "--select", "path=dicom/LIDC-IDRI-0001", "--offline", "--files", "--json").lines
    paths = [line["path"] for line in planned if line["event"] == "entry"]
    assert paths and all(path.startswith("dicom/LIDC-IDRI-0001/") for path in paths)
    receipt = run("get", "scans", "--select", "subject=LIDC-IDRI-0001", "--json").last
    assert {path.partition("/")[0] for path in tree(Path(receipt["path"]))} == {"dicom"}


def test_what_another_route_takes_over_is_in_the_folder(box: Sandbox, run: Run, home: Path) -> None:
    for name in ("o/first", "o/second"):
        box.hub.publish(name, FILES)
    write_recipe(home, "two", routes=[*hub("o/first", into="x", unpack=True), *hub("o/second", into="x", unpack=True)])
    box.add(*[Fault(match="/o/first/resolve/", status=404)] * 3)
    receipt = run("get", "two", "--json").last
    assert set(tree(Path(receipt["path"]))) == {"x/a/scan", "x/mask", "x/readme.txt"}
    assert any("/o/second/resolve/" in entry.target for entry in box.log)


def test_two_parts_with_one_path_are_told_before_a_byte(box: Sandbox, run: Run, home: Path) -> None:
    box.hub.publish("o/first", FILES)
    box.hub.publish("o/second", {"readme.txt": b"another"})
    write_recipe(home, "two", parts={"one": {"routes": hub("o/first")}, "other": {"routes": hub("o/second")}})
    ran = run("get", "two", code=2)
    said = " ".join(ran.err.split())
    assert "the parts 'one' and 'other' both have a file with the path 'readme.txt'" in said
    assert "`into: folder`" in said and "two.yaml" in said
    assert not any("/resolve/" in entry.target for entry in box.log)
    assert run("get", "two", "--part", "other", "--json").last["files"] == 1


def test_the_check_knows_the_folder(run: Run, home: Path) -> None:
    one, other = ({"routes": http({"path": "x", "url": f"https://h/{n}"})} for n in (1, 2))
    write_recipe(home, "alike", parts={"one": one, "other": other})
    assert "also used by the part 'one'" in run("recipe", "check", "alike.yaml", code=2).out
    other["routes"][0]["into"] = "there"
    write_recipe(home, "alike", parts={"one": one, "other": other})
    run("recipe", "check", "alike.yaml")
    other["routes"][0]["into"] = "../there"
    write_recipe(home, "alike", parts={"one": one, "other": other})
    assert "leaves the dataset's folder" in run("recipe", "check", "alike.yaml", code=2).out
