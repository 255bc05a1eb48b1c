"""The mendeley source against the sandbox's Mendeley Data, and the whole way with medfetch itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources import mendeley
from medfetch.sources.mendeley import Mendeley
from medfetch.types import Checksum, RemoteFile, Selection

FILES = {"scans/a/1 ä.nii": b"1" * 3_000_000, "scans/b/2.nii": b"2", "scans/readme.txt": b"read", "top.csv": b"1,2\n"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.mendeley.publish("abcd1234ef", {"old.csv": b"old"})
        box.mendeley.publish("abcd1234ef", FILES)
        yield box


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    return PlainNet(Mendeley.traits, mendeley=box.endpoints["mendeley"])


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(Mendeley().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("abcd1234ef", {}),
        ("abcd1234ef/2", {"version": 2}),
        ("10.17632/ABCD1234EF.2", {"version": 2}),
        ("https://data.mendeley.com/datasets/abcd1234ef/2", {"version": 2}),
    ],
)
def test_names(text: str, version: dict[str, int]) -> None:
    assert Mendeley().locate(text) == {"dataset": "abcd1234ef", **version}


@pytest.mark.parametrize("locator", [{}, {"dataset": "../x"}, {"dataset": "abcd1234ef", "version": "2"}])
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


def test_folders(net: PlainNet) -> None:
    newest = resolved(net, dataset="abcd1234ef")
    assert newest == resolved(net, dataset="abcd1234ef", version=2)
    assert {file.path: file.size for file in newest} == {path: len(data) for path, data in FILES.items()}
    assert {file.path: file.checksums for file in newest} == {
        path: (Checksum("sha256", sha256(data)),) for path, data in FILES.items()
    }
    assert [file.path for file in resolved(net, dataset="abcd1234ef", version=1)] == ["old.csv"]
    assert len(resolved(net, dataset="abcd1234ef", path=["scans/a", "*.csv"])) == 2


def test_folders_have_pages(box: Sandbox, net: PlainNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mendeley, "PAGE", 10)
    box.mendeley.publish("manyfiles1", {f"{number:02d}.nii": b"%d" % number for number in range(33)})
    assert [file.path for file in resolved(net, dataset="manyfiles1")] == [f"{number:02d}.nii" for number in range(33)]


def test_what_is_not_there(net: PlainNet) -> None:
    for locator in ({"dataset": "nowhere123"}, {"dataset": "abcd1234ef", "version": 9}):
        with pytest.raises(UsageProblem, match="has no"):
            resolved(net, **locator)


@pytest.mark.parametrize(
    ("match", "body"),
    [
        ("/folders/", "<html>"),
        ("/folders/", '[{"name": "a"}]'),
        ("/folders/", '[{"id": "a", "name": "a", "parent_id": "b"}, {"id": "b", "name": "b", "parent_id": "a"}]'),
        ("/files", '[{"id": "a", "filename": "a"}]'),
        ("/files", "{}"),
    ],
)
def test_what_is_no_dataset(box: Sandbox, net: PlainNet, match: str, body: str) -> None:
    box.add(Fault(match=match, status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net, dataset="abcd1234ef", version=2)


def test_all_of_it(box: Sandbox, run: Run) -> None:
    receipt = run("get", "mendeley:abcd1234ef/2", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}
    assert "has no nowhere123" in run("get", "mendeley:nowhere123", code=2).err
