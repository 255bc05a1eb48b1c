"""The zenodo source against the sandbox's Zenodo, and the whole way with medfetch itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, Refused, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.common import TOKEN
from medfetch.sources.zenodo import Zenodo
from medfetch.types import Checksum, Door, RemoteFile, Selection

FILES = {"owner/repo-v1 ä.zip": b"z" * 3_000_000, "b.csv": b"1,2\n"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.zenodo.publish(11, {"old.csv": b"old"}, concept=10)
        box.zenodo.publish(12, FILES, concept=10)
        box.zenodo.publish(20, FILES, access="restricted", shared=True)
        box.zenodo.publish(22, FILES, access="restricted")
        box.zenodo.publish(24, FILES, access="embargoed")
        box.zenodo.publish(26, {})
        yield box


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    return PlainNet(Zenodo.traits, zenodo=box.endpoints["zenodo"])


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(Zenodo().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "https://zenodo.org/records/12",
        "https://zenodo.org/record/12/",
        "10.5281/zenodo.12",
        "doi:10.5281/ZENODO.12",
    ],
)
def test_names(text: str) -> None:
    assert Zenodo().locate(text) == {"record": 12}


@pytest.mark.parametrize("bare", [False, True])
def test_a_record(box: Sandbox, net: PlainNet, bare: bool) -> None:
    """Its checksums come with the name of their algorithm, and came without it for a while."""
    box.zenodo.bare = bare
    files = resolved(net, record=12)
    assert {file.path: file.size for file in files} == {path: len(data) for path, data in FILES.items()}
    expected = {path: (Checksum("md5", hashlib.md5(data).hexdigest()),) for path, data in FILES.items()}
    assert {file.path: file.checksums for file in files} == expected
    assert [file.path for file in resolved(net, record=12, path="*.csv")] == ["b.csv"]


@pytest.mark.parametrize("moved", [False, True])
def test_the_number_for_all_versions_is_refused_with_the_newest(box: Sandbox, net: PlainNet, moved: bool) -> None:
    box.zenodo.moved = moved
    with pytest.raises(UsageProblem, match="all versions") as caught:
        resolved(net, record=10)
    assert "zenodo:12;" in str(caught.value.hint)


GATES = [
    (12, None, Door.OPEN, "open to all"),
    (20, f"Bearer {TOKEN}", Door.OPEN, "open to this token"),
    (20, None, Door.NO_LOGIN, "medfetch login zenodo"),
    (22, f"Bearer {TOKEN}", Door.NOT_APPROVED, "ask for access"),
    (24, None, Door.NOT_APPROVED, "embargoed until 2099-01-01"),
    (12, "Bearer wrong", Door.WRONG_LOGIN, "wrong or was deleted"),
    (26, None, Door.ABSENT, "has no files"),
    (99, None, Door.ABSENT, "no record 99"),
]


@pytest.mark.parametrize(("record", "secret", "door", "words"), GATES)
def test_doors(net: PlainNet, record: int, secret: str | None, door: Door, words: str) -> None:
    net.secrets |= {"zenodo": secret} if secret else {}
    verdict = Zenodo().preflight({"record": record}, net)
    assert verdict.door is door and words in verdict.said
    if door is not Door.OPEN:
        with pytest.raises(UsageProblem if door is Door.ABSENT else AccessRequired):
            resolved(net, record=record)


def test_a_program_that_is_not_let_in(box: Sandbox, net: PlainNet) -> None:
    box.zenodo.blocks = True
    verdict = Zenodo().preflight({"record": 12}, net)
    assert verdict.door is Door.AGENT and "user_agent" in verdict.said


@pytest.mark.parametrize(("status", "door"), [(403, Door.NO_LOGIN), (410, Door.ABSENT)])
def test_other_refusals(box: Sandbox, net: PlainNet, status: int, door: Door) -> None:
    box.add(Fault(match="/records/12", status=status, body='{"message": "Permission denied."}'))
    assert Zenodo().preflight({"record": 12}, net).door is door


def test_what_is_no_refusal_of_zenodos(box: Sandbox, net: PlainNet) -> None:
    box.add(Fault(match="/records/12", status=418, body="tea"))
    with pytest.raises(Refused):
        resolved(net, record=12)
    box.add(Fault(match="/records/12", status=200, body="<html>"))
    with pytest.raises(Retryable):
        resolved(net, record=12)


# -- the whole way ------------------------------------------------------------------------------------------------


def test_all_of_it(box: Sandbox, run: Run) -> None:
    """With the token, which storage elsewhere would not get; the first file breaks, and is gone on with."""
    box.add(Fault(match="repo-v1", cut=2_000_000))
    receipt = run("get", "zenodo:20", "--json", "-vv", ZENODO_TOKEN=TOKEN).last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": 2}
    assert {entry.header("authorization") for entry in box.log} == {f"Bearer {TOKEN}"}
    assert any(entry.header("range") == "bytes=2000000-" and entry.status == 206 for entry in box.log)


def test_no_more_connections_than_it_bears(box: Sandbox, run: Run) -> None:
    many = {f"{number}.bin": b"%d" % number * 5000 for number in range(12)}
    box.zenodo.publish(30, many)
    assert run("get", "zenodo:30", "--json", "--jobs", "9").last["files"] == len(many)
    assert box.stats.most_connections <= 2


def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run) -> None:
    ran = run("get", "zenodo:22", code=3, ZENODO_TOKEN=TOKEN)
    assert "https://zenodo.org/records/22" in ran.err and TOKEN not in ran.out + ran.err
    assert box.stats.data_bytes == 0
    assert "zenodo:12" in run("get", "zenodo:10", code=2).err
