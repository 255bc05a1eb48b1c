"""The osf source against the sandbox's OSF, and the whole way with medfetch itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.common import TOKEN
from medfetch.sources.osf import Osf
from medfetch.types import Checksum, Door, RemoteFile, Selection

FILES = {"scans/a/1 ä.nii": b"1" * 3_000_000, "scans/b/2.nii": b"2", "scans/readme.txt": b"read", "top.csv": b"1,2\n"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.osf.publish("abcde", FILES)
        box.osf.publish("regis", FILES, kind="registrations")
        box.osf.publish("cloud", FILES, storage="dropbox")
        box.osf.publish("afile", {}, kind="files")
        box.osf.publish("mine1", FILES, public=False)
        box.osf.publish("other", FILES, public=False, shared=False)
        yield box


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    return PlainNet(Osf.traits, osf=box.endpoints["osf"], osf_files=box.endpoints["osf_files"])


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(Osf().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    ("text", "storage"),
    [
        ("abcde", {}),
        ("abcde/dropbox", {"storage": "dropbox"}),
        ("https://osf.io/abcde/", {}),
        ("10.17605/OSF.IO/ABCDE", {}),
    ],
)
def test_names(text: str, storage: dict[str, str]) -> None:
    assert Osf().locate(text) == {"project": "abcde", **storage}


@pytest.mark.parametrize("locator", [{}, {"project": "abcdef"}, {"project": "abcde", "storage": "../x"}])
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


@pytest.mark.parametrize(
    "locator", [{"project": "abcde"}, {"project": "regis"}, {"project": "cloud", "storage": "dropbox"}]
)
def test_folders(net: PlainNet, locator: dict[str, Any]) -> None:
    files = resolved(net, **locator)
    assert {file.path: file.size for file in files} == {path: len(data) for path, data in FILES.items()}
    assert {file.path: file.checksums for file in files} == {
        path: (Checksum("sha256", sha256(data)), Checksum("md5", hashlib.md5(data).hexdigest()))
        for path, data in FILES.items()
    }
    # Its own storage keeps versions of a file, and one is meant.
    assert all(file.urls[0].endswith("?version=1") == ("storage" not in locator) for file in files)
    assert len(resolved(net, **locator, path="scans/b")) == 1


def test_folders_have_pages_as_long_as_they_may_be(box: Sandbox, net: PlainNet) -> None:
    many = [f"{number:03d}.nii" for number in range(237)]
    box.osf.publish("pages", dict.fromkeys(many, b"x"))
    assert [file.path for file in resolved(net, project="pages")] == many
    assert len(net.asked) == 1 + 3


GATES = [
    ("abcde", None, Door.OPEN, "shows"),
    ("mine1", f"Bearer {TOKEN}", Door.OPEN, "to you"),
    ("mine1", None, Door.NO_LOGIN, "medfetch login osf"),
    ("other", f"Bearer {TOKEN}", Door.NOT_APPROVED, "was not shared with you"),
    ("abcde", "Bearer wrong", Door.WRONG_LOGIN, "wrong or was deleted"),
    ("zzzzz", None, Door.ABSENT, "has no zzzzz"),
]


@pytest.mark.parametrize(("project", "secret", "door", "words"), GATES)
def test_doors(net: PlainNet, project: str, secret: str | None, door: Door, words: str) -> None:
    net.secrets |= {"osf": secret} if secret else {}
    verdict = Osf().preflight({"project": project}, net)
    assert verdict.door is door and words in verdict.said
    if door is not Door.OPEN:
        with pytest.raises(UsageProblem if door is Door.ABSENT else AccessRequired):
            resolved(net, project=project)


def test_what_is_no_project(net: PlainNet) -> None:
    with pytest.raises(UsageProblem, match="one of its files"):
        resolved(net, project="afile")
    with pytest.raises(UsageProblem, match="no abcde with a storage 'github'"):
        resolved(net, project="abcde", storage="github")


@pytest.mark.parametrize("body", ["<html>", "{}", '{"data": [{}]}', '{"data": [{"attributes": {"name": "a"}}]}'])
def test_what_is_no_list(box: Sandbox, net: PlainNet, body: str) -> None:
    box.add(Fault(match="/files/osfstorage", status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net, project="abcde")


def test_pages_that_do_not_end(box: Sandbox, net: PlainNet) -> None:
    body = '{"data": [], "links": {"next": "https://api.osf.io/v2/x?page=2"}}'
    box.add(Fault(match="/files/osfstorage", status=200, body=body, times=None))
    with pytest.raises(Retryable, match="again and again"):
        resolved(net, project="abcde")


# -- the whole way ------------------------------------------------------------------------------------------------


def test_all_of_it(box: Sandbox, run: Run) -> None:
    """What is private, with a limit of requests that is reached on the way; the token stays away from the storage."""
    box.osf.limit = 3
    receipt = run("get", "osf:mine1", "--json", OSF_TOKEN=TOKEN).last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}
    assert {entry.header("authorization") for entry in box.log if "/osf/storage/" in entry.target} == {None}
    assert any(entry.status == 429 for entry in box.log)


def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run) -> None:
    ran = run("get", "osf:other", code=3, OSF_TOKEN=TOKEN)
    assert "https://osf.io/other/" in ran.err and TOKEN not in ran.out + ran.err
    assert box.stats.data_bytes == 0
