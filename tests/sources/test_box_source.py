"""The box source against the sandbox's Box, and the whole way with medfetch itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import NoNet, PlainNet
from running import Run

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sandbox import Sandbox
from medfetch.sources.box import Box
from medfetch.types import RemoteFile, Selection

FOLDER = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
FILE = "https://app.box.com/s/fkqisnv4wxanikf1"
STATIC = "https://nihcc.box.com/shared/static/vfk49d74nhbxq3nq.gz"
FILES = {
    **{f"images/{number:03d}.png": b"%d" % number * 40 for number in range(45)},
    "README ä.txt": b"read me",
    "images/deep/er/x": b"x",
}


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    box.box.share(FOLDER, "ChestXray", FILES)
    box.box.share(FILE, "cds+2025.pdf", b"%PDF" + b"p" * 996)
    box.box.static(STATIC, "images_001.tar.gz", b"\x1f\x8b" + b"z" * 998)
    return PlainNet(Box.traits, box=box.endpoints["box"])


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(Box().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    "text", [FOLDER, FILE, STATIC, f"{FOLDER}/folder/36938765345", f"{FILE}/file/510727257538?a=b"]
)
def test_links(text: str) -> None:
    assert Box().locate(text) == {"link": text}


@pytest.mark.parametrize(
    "text",
    ["", "https://app.box.com/folder/1", "https://box.com.example/s/a", "http://app.box.com/s/a", "https://x.box/s/a"],
)
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(UsageProblem):
        Box().locate(text)


@pytest.mark.parametrize("locator", [{}, {"link": "x"}, {"link": FILE, "files": []}, {"link": FILE, "file": "a"}])
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(NoNet(Box.traits), **locator)


def test_a_folder_of_several_pages_and_what_is_below(net: PlainNet) -> None:
    assert {file.path: file.size for file in resolved(net, link=FOLDER)} == {
        path: len(data) for path, data in FILES.items()
    }
    assert [file.path for file in resolved(net, link=FOLDER, path="images/deep")] == ["images/deep/er/x"]


def test_a_folder_within_a_share(net: PlainNet) -> None:
    resolved(net, link=FOLDER)
    key = next(url for url in net.asked if "/folder/" in url).rpartition("/folder/")[2].partition("?")[0]
    assert "000.png" in {file.path for file in resolved(net, link=f"{FOLDER}/folder/{key}")}


def test_another_folder_than_the_one_that_was_asked_for(net: PlainNet, box: Sandbox) -> None:
    box.box.wrong_folder = True
    with pytest.raises(Retryable, match="another folder"):
        resolved(net, link=FOLDER)


def test_files_by_their_links(net: PlainNet) -> None:
    files = resolved(net, link=[FILE, STATIC])
    assert [(file.path, file.size) for file in files] == [("cds+2025.pdf", 1000), ("images_001.tar.gz", 1000)]
    (file,) = resolved(net, link=STATIC, files=[{"path": "images_01.tar.gz", "md5": "0" * 32, "unpack": True}])
    assert (file.path, len(file.checksums), file.unpack and file.unpack.kind) == ("images_01.tar.gz", 1, "tar")


def test_what_the_recipe_knows_must_be_there(net: PlainNet) -> None:
    files = resolved(net, link=FOLDER, files=[{"path": "images/007.png", "md5": "0" * 32}])
    assert [file.path for file in files if file.checksums] == ["images/007.png"]
    with pytest.raises(UsageProblem, match=r"images/900\.png"):
        resolved(net, link=FOLDER, files=[{"path": "images/900.png"}])


def test_a_share_that_is_gone(net: PlainNet) -> None:
    with pytest.raises(UsageProblem, match="not shared any more"):
        resolved(net, link="https://app.box.com/s/gone")


def test_a_file_that_leads_nowhere(net: PlainNet) -> None:
    (file,) = resolved(net, link=FILE)
    with pytest.raises(Refused):
        Box().link(file.urls[0].replace("shared_name=fkqi", "shared_name=none"), net)


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_folder_is_fetched_through_links_that_end(net: PlainNet, box: Sandbox, run: Run) -> None:
    large = {"large.bin": bytes(range(256)) * 200_000}
    box.box.share("https://c.app.box.com/s/large", "L", {**FILES, **large})
    box.box.uses = 1
    receipt = run("get", "box:https://c.app.box.com/s/large", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in {**FILES, **large}.items()}
    assert receipt["assurance"] == {"size-only": len(FILES) + 1}
