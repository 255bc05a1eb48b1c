"""The webdav source against the sandbox's clouds, and the whole way with medfetch itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import NoNet, PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources.webdav import WebDav
from medfetch.types import RemoteFile, Selection

HOST = "b2drop.example"
FILES = {
    "sha1sum.txt": b"sums",
    "images/sub 01/ä+b%20c.nii.gz": b"n" * 90_000,
    "images/sub 01/b#?.nii": b"b",
    "images/zero": b"",
}


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    return PlainNet(WebDav.traits, webdav=box.endpoints["webdav"])


@pytest.fixture
def share(box: Sandbox) -> str:
    return box.clouds.share(HOST, "BIMCV-COVID19-cIter_1_2_3", FILES)


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(WebDav().resolve(locator, net, Selection()))


@pytest.mark.parametrize("text", ["", "cloud.example/s/a", "ftp://h/s/a", "https://user:pw@h/s/a"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageProblem):
        WebDav().locate(text)


@pytest.mark.parametrize("locator", [{}, {"share": "x"}, {"share": "https://h/s/a", "path": []}, {"url": "https://h"}])
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(NoNet(WebDav.traits), **locator)


@pytest.mark.parametrize("version", [28, 31])
@pytest.mark.parametrize("form", ["{}", "{}/", "{}/download", "{}?path=%2F"])
def test_a_share_of_either_age(box: Sandbox, net: PlainNet, share: str, version: int, form: str) -> None:
    box.clouds.version = version
    files = resolved(net, share=form.format(share).replace("/s/", "/index.php/s/"))
    assert {file.path: file.size for file in files} == {path: len(data) for path, data in FILES.items()}
    for file in files:
        assert [each.algorithm for each in file.checksums] == ["sha1", "md5"]
        assert file.checksums[1].hex == hashlib.md5(FILES[file.path]).hexdigest()
        assert file.etag == f'"{file.checksums[1].hex}"'
    assert [file.path for file in resolved(net, share=share, path="*.txt")] == ["sha1sum.txt"]


def test_folders_are_asked_for_when_their_turn_comes(box: Sandbox, net: PlainNet) -> None:
    share = box.clouds.share(HOST, "many", {f"{number:03d}/a": b"a" for number in range(30)})
    files = WebDav().resolve({"share": share}, net, Selection())
    assert next(files).path == "000/a"
    assert len(net.asked) == 2


def test_a_share_of_one_file(box: Sandbox, net: PlainNet) -> None:
    (file,) = resolved(net, share=box.clouds.folder(HOST, "dav/scan.nii", {"": b"123"}))
    assert (file.path, file.size) == ("scan.nii", 3)


@pytest.mark.parametrize("answer", ["<html>", "<a/>", "{}"])
def test_what_is_no_answer(box: Sandbox, net: PlainNet, share: str, answer: str) -> None:
    box.add(Fault(match="/webdav/", method="PROPFIND", status=207, body=answer))
    with pytest.raises(Retryable, match="as WebDAV does"):
        resolved(net, share=share)


@pytest.mark.parametrize(
    "href", ["/webdav/b2drop.example/other/x", "/webdav/b2drop.example/public.php/dav/files/t/../../x", "/../x"]
)
def test_what_is_elsewhere_is_refused(box: Sandbox, net: PlainNet, href: str) -> None:
    share = box.clouds.share(HOST, "t", {"a": b"a"})
    own = "/webdav/b2drop.example/public.php/dav/files/t/"
    rows = "".join(f"<d:response><d:href>{each}</d:href></d:response>" for each in (own, href))
    body = f'<d:multistatus xmlns:d="DAV:">{rows}</d:multistatus>'
    box.add(Fault(match="/webdav/", method="PROPFIND", status=207, body=body))
    with pytest.raises((Retryable, RecipeError)):
        resolved(net, share=share)


def test_a_share_that_is_gone(net: PlainNet) -> None:
    with pytest.raises(AccessRequired) as caught:
        resolved(net, share=f"https://{HOST}/s/gone")
    assert "or was deleted" in caught.value.steps[0]["do"]


def test_where_there_is_no_webdav(net: PlainNet) -> None:
    with pytest.raises(UsageProblem, match="nothing at"):
        resolved(net, share=f"https://{HOST}/data/x")


# -- the whole way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [28, 31])
def test_a_share_is_fetched(box: Sandbox, run: Run, share: str, version: int) -> None:
    box.clouds.version = version
    receipt = run("get", f"webdav:{share}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}


def test_a_password_from_netrc(box: Sandbox, run: Run, home: Path) -> None:
    share = box.clouds.share(HOST, "locked", FILES, password="open sesame")
    ran = run("get", f"webdav:{share}", code=3)
    assert f"medfetch login netrc:{HOST}" in " ".join(ran.err.split())
    netrc = home / ".netrc"
    netrc.write_text(f'machine {HOST} login anonymous password "open sesame"\n')
    netrc.chmod(0o600)
    receipt = run("get", f"webdav:{share}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert "sesame" not in Path(receipt["path"], ".medfetch", "receipt.json").read_text()


def test_too_many_requests_are_a_pause_for_all(box: Sandbox, run: Run, share: str) -> None:
    box.add(*(Fault(match="/webdav/", status=429, headers={"Retry-After": "0"}, times=3),))
    receipt = run("get", f"webdav:{share}", "--json").last
    assert receipt["files"] == len(FILES)
    assert sum(entry.status == 429 for entry in box.log) == 3
