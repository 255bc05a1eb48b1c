"""The figshare source against the sandbox's figshare, and the whole way with medfetch itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources.figshare import PAGE, Figshare
from medfetch.types import Checksum, RemoteFile, Selection

FILES = {"a b.zip": b"z" * 3_000_000, "c.csv": b"1,2\n"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.figshare.publish(7, {"old.csv": b"old"})
        box.figshare.publish(7, FILES)
        yield box


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    names = ("figshare", "figshare_files")
    return PlainNet(Figshare.traits, **{name: box.endpoints[name] for name in names})


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(Figshare().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    ("text", "locator"),
    [
        ("7", {"article": 7}),
        ("7/2", {"article": 7, "version": 2}),
        ("7.v2", {"article": 7, "version": 2}),
        ("10.6084/m9.figshare.7.v2", {"article": 7, "version": 2}),
        ("https://figshare.com/articles/dataset/REAL_Colon/7", {"article": 7}),
        ("https://janelia.figshare.com/articles/dataset/Some_2_scans/7/2", {"article": 7, "version": 2}),
    ],
)
def test_names(text: str, locator: dict[str, Any]) -> None:
    assert Figshare().locate(text) == locator


@pytest.mark.parametrize("locator", [{}, {"article": "7"}, {"article": 7, "version": 0}, {"article": True}])
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


def test_an_article(net: PlainNet) -> None:
    assert [file.path for file in resolved(net, article=7, version=1)] == ["old.csv"]
    newest = resolved(net, article=7)
    assert newest == resolved(net, article=7, version=2)
    assert {file.path: file.size for file in newest} == {path: len(data) for path, data in FILES.items()}
    expected = {path: (Checksum("md5", hashlib.md5(data).hexdigest()),) for path, data in FILES.items()}
    assert {file.path: file.checksums for file in newest} == expected
    assert [file.path for file in resolved(net, article=7, path=["*.csv"])] == ["c.csv"]


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, 2 * PAGE + 3])
def test_files_have_pages(box: Sandbox, net: PlainNet, count: int) -> None:
    box.figshare.publish(8, {f"{number:03d}.nii": b"x" for number in range(count)})
    assert [file.path for file in resolved(net, article=8)] == [f"{number:03d}.nii" for number in range(count)]


def test_names_that_several_have(box: Sandbox, net: PlainNet) -> None:
    row = {"name": "same", "size": 1, "is_link_only": False, "computed_md5": ""}
    box.add(Fault(match="/versions/1/files", status=200, body=json.dumps([row | {"id": 1}, row | {"id": 2}])))
    files = resolved(net, article=7, version=1)
    assert [(file.path, file.checksums) for file in files] == [("same", ()), ("2-same", ())]


def test_what_it_only_links_to(box: Sandbox, net: PlainNet) -> None:
    box.figshare.publish(9, {"there.zip": "https://h.example/there.zip", "by ftp.zip": "ftp://h.example/x"})
    there = next(Figshare().resolve({"article": 9}, net, Selection()))
    assert (there.urls, there.size, there.checksums) == (("https://h.example/there.zip",), None, ())
    with pytest.raises(UsageProblem, match="cannot be followed: ftp://"):
        resolved(net, article=9)


def test_what_is_not_there(net: PlainNet) -> None:
    for locator, words in (({"article": 99}, "no article 99"), ({"article": 7, "version": 9}, "version 9")):
        with pytest.raises(UsageProblem, match=words):
            resolved(net, **locator)


@pytest.mark.parametrize("body", ["<html>", "{}", "[1]", '[{"name": "a"}]'])
def test_what_is_no_list(box: Sandbox, net: PlainNet, body: str) -> None:
    box.add(Fault(match="/files", status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net, article=7, version=1)


# -- the whole way ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [False, True])
def test_all_of_it(box: Sandbox, run: Run, blocks: bool) -> None:
    """By whichever address answers a program: a 202 without a body is no file."""
    box.figshare.blocks = blocks
    receipt = run("get", "figshare:7/2", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": 2}
    assert any("/v2/file/download/" in entry.target for entry in box.log) == blocks


def test_where_a_browser_is_wanted_it_is_said(box: Sandbox, run: Run) -> None:
    waf = {"x-amzn-waf-action": "challenge"}
    box.add(Fault(match="/v2/articles/", status=202, body="", headers=waf, times=None))
    assert "wants a browser: it answered 202 with a check for robots" in run("get", "figshare:7/2", code=1).err
    box.clear()
    box.add(Fault(match="/files/|/file/", status=202, body="", headers=waf, times=None))
    ran = run("get", "figshare:7/2", code=1)
    assert "a check for robots" in ran.err
