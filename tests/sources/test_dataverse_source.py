"""The dataverse source against the sandbox's installations of Dataverse, and the whole way with medfetch itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.common import TOKEN
from medfetch.sources.dataverse import Dataverse
from medfetch.types import Checksum, Door, RemoteFile, Selection

HOST, DOI = "data.example.org", "10.1234/FK2/ABC"
FILES = {"scans/a/1.nii": b"1" * 3_000_000, "readme.txt": b"read me", "people.tab": b"age\n1\n"}
ORIGINAL = {"people.tab": ("people.dta", b"stata" * 100)}
CAME = {"scans/a/1.nii": b"1" * 3_000_000, "readme.txt": b"read me", "people.dta": b"stata" * 100}
SHUT = "10.1234/FK2/SHUT"


class KeyNet(PlainNet):
    """With a key in Dataverse's own header."""

    def _headers(self, headers: Any, credential: str | None) -> dict[str, str]:
        return {"X-Dataverse-key": self.secrets[credential]} if credential else {}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.dataverse.publish(HOST, DOI, {"old.csv": b"old"}, version="1.0")
        box.dataverse.publish(HOST, DOI, FILES, version="2.1", tables=ORIGINAL)
        box.dataverse.publish(HOST, SHUT, FILES, restricted={"readme.txt": True, "scans/a/1.nii": False})
        box.dataverse.publish(HOST, f"{SHUT}/ALL", FILES, restricted=dict.fromkeys(FILES, True))
        yield box


@pytest.fixture
def net(box: Sandbox) -> KeyNet:
    return KeyNet(Dataverse.traits, dataverse=box.endpoints["dataverse"])


def resolved(net: PlainNet, selection: Selection | None = None, **locator: Any) -> list[RemoteFile]:
    return list(Dataverse().resolve({"host": HOST, "doi": DOI} | locator, net, selection or Selection()))


@pytest.mark.parametrize(
    ("text", "host", "version"),
    [
        (f"{HOST}/{DOI}", HOST, {}),
        (f"{HOST}/doi:{DOI}@2.1", HOST, {"version": "2.1"}),
        (f"https://{HOST}/dataset.xhtml?persistentId=doi:{DOI}&version=2.1", HOST, {"version": "2.1"}),
        (f"https://{HOST}/citation?persistentId=doi:{DOI}", HOST, {}),
    ],
)
def test_names(text: str, host: str, version: dict[str, str]) -> None:
    assert Dataverse().locate(text) == {"host": host, "doi": DOI, **version}


def test_harvards_dois_need_no_host() -> None:
    located = {"host": "dataverse.harvard.edu", "doi": "10.7910/DVN/ABCDEF"}
    assert Dataverse().locate("10.7910/DVN/ABCDEF") == located


@pytest.mark.parametrize("text", [HOST, DOI, f"https://{HOST}/file.xhtml?persistentId=doi:{DOI}", f"{HOST}/{DOI}@2"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageProblem):
        Dataverse().locate(text)


@pytest.mark.parametrize("locator", [{"host": "a/b"}, {"doi": "x"}, {"version": "2"}, {"version": 2.0}, {"path": []}])
def test_bad_locators(net: KeyNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


def test_a_dataset(net: KeyNet) -> None:
    files = {file.path: file for file in resolved(net)}
    assert {path: file.size for path, file in files.items()} == {path: len(data) for path, data in CAME.items()}
    # Of a table that was taken in, what is told is the checksum of something else.
    assert files["people.dta"].checksums == () and files["people.dta"].urls[0].endswith("?format=original")
    assert files["readme.txt"].checksums == (Checksum("md5", hashlib.md5(b"read me").hexdigest()),)
    assert [file.path for file in resolved(net, version="1.0")] == ["old.csv"]
    assert [file.path for file in resolved(net, path="scans")] == ["scans/a/1.nii"]


@pytest.mark.parametrize("kind", ["SHA-1", "SHA-256", "SHA-512"])
def test_other_checksums(box: Sandbox, net: KeyNet, kind: str) -> None:
    box.dataverse.checksum = kind
    (file,) = resolved(net, version="1.0")
    algorithm = kind.replace("-", "").lower()
    assert file.checksums == (Checksum(algorithm, hashlib.new(algorithm, b"old").hexdigest()),)


GATES = [
    (DOI, None, Door.OPEN, "shows"),
    (SHUT, None, Door.OPEN, "shows"),
    (f"{SHUT}/ALL", None, Door.NO_LOGIN, f"medfetch login dataverse:{HOST}"),
    (f"{SHUT}/ALL", TOKEN, Door.OPEN, "lets you have"),
    (DOI, "wrong", Door.WRONG_LOGIN, "does not know your API token"),
    ("10.1234/NONE", None, Door.ABSENT, "no published 10.1234/NONE"),
]


@pytest.mark.parametrize(("doi", "key", "door", "words"), GATES)
def test_doors(net: KeyNet, doi: str, key: str | None, door: Door, words: str) -> None:
    net.secrets |= {f"dataverse:{HOST}": key} if key else {}
    verdict = Dataverse().preflight({"host": HOST, "doi": doi}, net)
    assert verdict.door is door and words in verdict.said
    if door is not Door.OPEN:
        with pytest.raises(UsageProblem if door is Door.ABSENT else AccessRequired):
            resolved(net, doi=doi)


def test_some_restricted_files(net: KeyNet) -> None:
    """Without a key they stand in the way of those that are open only where they are wanted."""
    with pytest.raises(AccessRequired) as caught:
        resolved(net, doi=SHUT)
    assert "--select path=" in str(vars(caught.value))
    assert [file.path for file in resolved(net, doi=SHUT, path="*.tab")] == ["people.tab"]
    assert "people.tab" in [file.path for file in resolved(net, Selection({"path": ("*.tab",)}), doi=SHUT)]
    net.secrets[f"dataverse:{HOST}"] = TOKEN
    files = {file.path: file.urls[0] for file in resolved(net, doi=SHUT)}
    link = Dataverse().link(files["readme.txt"], net)
    assert link.url.startswith("http://localhost") and link.credential is None
    assert Dataverse().link(files["people.tab"], net).url == files["people.tab"]
    with pytest.raises(Refused, match="access is asked for"):
        Dataverse().link(files["scans/a/1.nii"], net)


@pytest.mark.parametrize("body", ["<html>", "{}", '{"data": {"files": [{"label": "a"}]}}'])
def test_what_is_no_dataset(box: Sandbox, net: KeyNet, body: str) -> None:
    box.add(Fault(match="/versions/", status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net)


# -- the whole way ------------------------------------------------------------------------------------------------


def test_all_of_it(box: Sandbox, run: Run) -> None:
    receipt = run("get", f"dataverse:{HOST}/{DOI}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in CAME.items()}
    assert receipt["assurance"] == {"published": 2, "size-only": 1}


@pytest.mark.parametrize("redirects", [True, False])
def test_the_key_reaches_the_installation_and_no_storage(box: Sandbox, run: Run, redirects: bool) -> None:
    box.dataverse.redirects = redirects
    environment = {"DATAVERSE_KEY": TOKEN, "DATAVERSE_SERVER": f"https://{HOST}"}
    ran = run("get", f"dataverse:{HOST}/{SHUT}/ALL", "--json", "-vv", **environment)
    assert TOKEN not in ran.out + ran.err
    receipt = ran.last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    storage = [entry for entry in box.log if "/dataverse/storage/" in entry.target]
    assert len(storage) >= len(FILES) * redirects
    assert {entry.header("x-dataverse-key") for entry in storage} <= {None}
    others = [entry for entry in box.log if "/access/datafile/" in entry.target]
    assert {entry.header("x-dataverse-key") for entry in others} == {TOKEN}
    assert not any(entry.header("authorization") for entry in box.log)


def test_a_redirect_does_not_take_the_key_along(box: Sandbox, run: Run) -> None:
    """Not even where an installation begins to redirect after it was asked where to."""
    box.dataverse.redirects = False
    elsewhere = f"http://localhost:{box.port}/http/evil.example/x"
    box.add(Fault(match="/access/datafile/", after=2, redirect=elsewhere, times=None))
    environment = {"DATAVERSE_KEY": TOKEN, "DATAVERSE_SERVER": HOST}
    ran = run("get", f"dataverse:{HOST}/{SHUT}/ALL", code=None, **environment)
    assert ran.code != 0 and TOKEN not in ran.out + ran.err
    assert not any(entry.header("x-dataverse-key") for entry in box.log if "evil.example" in entry.target)


def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run) -> None:
    ran = run("get", f"dataverse:{HOST}/{SHUT}/ALL", code=3)
    assert f"medfetch login dataverse:{HOST}" in " ".join(ran.err.split())
    assert box.stats.data_bytes == 0
