"""The onedrive source against the sandbox's OneDrive, and the whole way with medfetch itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import NoNet, PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, UsageProblem
from medfetch.sandbox import Sandbox
from medfetch.sources.onedrive import OneDrive
from medfetch.types import RemoteFile, Selection

FOLDER = "https://1drv.ms/f/c/0dbf39bbc36d89aa/EoFPuyWfkg1OpYw?e=XPQJqh"
FILE = "https://1drv.ms/u/s!AkCh-QtrC8VfZl1kzfziYZfreiM"
SHAREPOINT = "https://bupteducn-my.sharepoint.com/:f:/g/personal/t_bupt_edu_cn/EoFP?e=XPQJqh"
FILES = {"a.nii": b"a" * 700, "sub/ä+b.nii": b"b" * 5000, "sub/c": b"", "sub/deep/d": b"d"}


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    box.onedrive.share(FOLDER, "Shared", FILES)
    box.onedrive.share(FILE, "one.nii", b"1" * 170)
    return PlainNet(OneDrive.traits, **{name: box.endpoints[name] for name in OneDrive.traits.endpoints})


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(OneDrive().resolve(locator, net, Selection()))


@pytest.mark.parametrize("text", ["", "https://1drv.ms/", "https://1drv.ms.example/f/a", "http://1drv.ms/f/a"])
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(UsageProblem):
        OneDrive().locate(text)


@pytest.mark.parametrize("locator", [{}, {"link": "https://example.org/a"}, {"link": FILE, "id": "a"}])
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(NoNet(OneDrive.traits), **locator)


@pytest.mark.parametrize("page", [1, 200])
def test_a_folder_and_what_is_below(net: PlainNet, box: Sandbox, page: int) -> None:
    box.onedrive.page = page
    files = resolved(net, link=FOLDER)
    assert {file.path: file.size for file in files} == {path: len(data) for path, data in FILES.items()}
    assert {check.algorithm for file in files for check in file.checksums} == {"quickxor"}
    assert sum("/token" in url for url in net.asked) == 1


def test_a_file_and_its_digests(net: PlainNet, box: Sandbox) -> None:
    box.onedrive.hashes = ("sha1Hash", "quickXorHash", "sha256Hash")
    (file,) = resolved(net, link=FILE)
    assert (file.path, file.size) == ("one.nii", 170)
    assert [check.algorithm for check in file.checksums] == ["sha256", "sha1", "quickxor"]
    assert file.checksums[0].hex == sha256(b"1" * 170)
    assert resolved(net, link=FILE, files=[{"path": "ct/1.nii"}])[0].path == "ct/1.nii"


def test_a_share_that_is_gone(net: PlainNet) -> None:
    with pytest.raises(UsageProblem, match="not shared any more"):
        resolved(net, link="https://1drv.ms/f/c/1/gone")


def test_what_a_company_shares_is_for_a_person() -> None:
    with pytest.raises(AccessRequired) as caught:
        resolved(NoNet(OneDrive.traits), link=SHAREPOINT)
    assert caught.value.steps[0]["at"] == SHAREPOINT


def test_a_folder_is_fetched(net: PlainNet, run: Run) -> None:
    receipt = run("get", f"onedrive:{FOLDER}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}


def test_a_file_is_fetched(net: PlainNet, run: Run) -> None:
    receipt = run("get", f"onedrive:{FILE}", "--json").last
    assert tree(Path(receipt["path"])) == {"one.nii": sha256(b"1" * 170)}
