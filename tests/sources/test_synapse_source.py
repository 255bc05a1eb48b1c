"""The synapse source against the sandbox's Synapse, and the whole way with medfetch itself."""

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
from medfetch.sandbox.synapse import PAGE, TOKEN
from medfetch.sources.synapse import Synapse
from medfetch.types import Checksum, Door, RemoteFile, Selection

FILES = {"b.nii": b"b" * 3_000_000, "sub one/a+ä.nii": b"a" * 900, "sub one/deep/c.csv": b"1,2\n", "z": b""}
CONDITIONS = ["BraTS 2021 terms", "Certified users"]
PAGE_OF = "https://www.synapse.org/Synapse:{}"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.synapse.folder("syn1", FILES)
        box.synapse.folder("syn2", FILES, unmet=CONDITIONS, met=["A quiz"])
        yield box


@pytest.fixture
def stranger(box: Sandbox) -> PlainNet:
    """Without a token."""
    return PlainNet(Synapse.traits, synapse=box.endpoints["synapse"], synapse_files=box.endpoints["synapse_files"])


@pytest.fixture
def net(stranger: PlainNet) -> PlainNet:
    stranger.secrets["synapse"] = f"Bearer {TOKEN}"
    return stranger


def resolved(net: PlainNet, **locator: Any) -> list[RemoteFile]:
    return list(Synapse().resolve(locator, net, Selection()))


@pytest.mark.parametrize(
    ("text", "locator"),
    [
        ("syn1", {"id": "syn1"}),
        ("syn1.4", {"id": "syn1", "version": 4}),
        ("https://www.synapse.org/Synapse:syn1", {"id": "syn1"}),
    ],
)
def test_names(text: str, locator: dict[str, Any]) -> None:
    assert Synapse().locate(text) == locator


@pytest.mark.parametrize("text", ["1", "syn", "syn1/2", "https://elsewhere.example/Synapse:syn1"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageProblem):
        Synapse().locate(text)


@pytest.mark.parametrize("locator", [{}, {"id": "1"}, {"id": "syn1", "version": "2"}, {"id": "syn1", "version": 0}])
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


def test_a_folder(net: PlainNet) -> None:
    files = resolved(net, id="syn1")
    assert {file.path: file.size for file in files} == {path: len(data) for path, data in FILES.items()}
    expected = {path: (Checksum("md5", hashlib.md5(data).hexdigest()),) for path, data in FILES.items()}
    assert {file.path: file.checksums for file in files} == expected


def test_a_file(box: Sandbox, net: PlainNet) -> None:
    key = box.synapse.folder("syn5", {"x/y.nii": b"y"})["x/y.nii"]
    (file,) = resolved(net, id=key, version=1)
    assert (file.path, file.key) == ("y.nii", f"synapse:{key}.1")


def test_folders_have_pages(box: Sandbox, net: PlainNet) -> None:
    many = {f"{number:03d}.nii": b"x" for number in range(2 * PAGE + 7)}
    box.synapse.folder("syn5", many)
    assert [file.path for file in resolved(net, id="syn5")] == list(many)


@pytest.mark.parametrize(("patterns", "count"), [(["sub one"], 2), (["*.nii"], 2), (["*.zip"], 0)])
def test_only_what_is_wanted(net: PlainNet, patterns: list[str], count: int) -> None:
    assert len(resolved(net, id="syn1", path=patterns)) == count


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"page": [{"id": "syn1"}]}'])
def test_what_is_no_list(box: Sandbox, net: PlainNet, body: str) -> None:
    box.add(Fault(match="/children", method="POST", status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net, id="syn1")


GATES = [
    ("syn1", f"Bearer {TOKEN}", Door.OPEN, PAGE_OF.format("syn1"), "shows"),
    ("syn1", "Bearer wrong", Door.WRONG_LOGIN, "https://www.synapse.org/PersonalAccessTokens", "wrong"),
    ("syn2", f"Bearer {TOKEN}", Door.NOT_APPROVED, PAGE_OF.format("syn2"), ", ".join(CONDITIONS)),
    ("syn9", f"Bearer {TOKEN}", Door.ABSENT, PAGE_OF.format("syn9"), "no syn9"),
]


@pytest.mark.parametrize(("key", "secret", "door", "at", "words"), GATES)
def test_the_host_is_asked_beforehand(
    stranger: PlainNet, key: str, secret: str, door: Door, at: str, words: str
) -> None:
    stranger.secrets["synapse"] = secret
    verdict = Synapse().preflight({"id": key}, stranger)
    assert (verdict.door, verdict.at) == (door, at)
    assert words in verdict.said and "A quiz" not in verdict.said


def test_without_a_token(stranger: PlainNet) -> None:
    assert Synapse().preflight({"id": "syn1"}, stranger).door is Door.NO_LOGIN


@pytest.mark.parametrize(("key", "secret", "door", "at", "words"), GATES[1:])
def test_what_is_shut_is_told_with_the_step_to_take(
    stranger: PlainNet, key: str, secret: str, door: Door, at: str, words: str
) -> None:
    stranger.secrets["synapse"] = secret
    with pytest.raises(UsageProblem if door is Door.ABSENT else AccessRequired) as caught:
        resolved(stranger, id=key)
    assert words in str(vars(caught.value))


def test_a_403_is_what_was_not_shared(box: Sandbox, net: PlainNet) -> None:
    box.add(Fault(match="/bundle2", method="POST", status=403, body='{"reason": "You lack READ access"}'))
    assert Synapse().preflight({"id": "syn1"}, net).door is Door.NOT_APPROVED


@pytest.mark.parametrize(("code", "status"), [("UNAUTHORIZED", 403), ("NOT_FOUND", 404)])
def test_codes_of_failure(box: Sandbox, net: PlainNet, code: str, status: int) -> None:
    box.synapse.folder("syn5", {"a": b"a"}, failures={"a": code})
    (file,) = resolved(net, id="syn5")
    with pytest.raises(Refused) as caught:
        Synapse().link(file.urls[0], net)
    assert caught.value.status == status


def test_a_file_with_a_condition_of_its_own_names_it(box: Sandbox, net: PlainNet) -> None:
    (key,) = box.synapse.folder("syn5", {"a": b"a"}, unmet=CONDITIONS[:1], met=["A quiz"]).values()
    batch = f"{net.endpoint('synapse_files')}/file/v1/fileHandle/batch"
    with pytest.raises(Refused, match=CONDITIONS[0]) as caught:
        Synapse().link(f"{batch}?fileHandleId=9{key[3:]}&associateObjectId={key}", net)
    assert "A quiz" not in caught.value.message
    assert caught.value.hint == PAGE_OF.format(key)


def test_what_lies_outside_synapse_and_where(box: Sandbox, net: PlainNet) -> None:
    there = {"a": "https://archive.example/a.nii", "b": "sftp://lab.example/b.nii"}
    box.synapse.folder("syn5", dict.fromkeys(there, b"x"), external=there)
    here, nowhere = resolved(net, id="syn5")
    assert (here.size, here.checksums) == (None, ())
    assert Synapse().link(here.urls[0], net).url == there["a"]
    with pytest.raises(Refused, match=r"outside Synapse.*sftp://lab\.example"):
        Synapse().link(nowhere.urls[0], net)


def test_what_is_neither_a_file_nor_a_folder(box: Sandbox, net: PlainNet) -> None:
    body = '{"entity": {"id": "syn1", "concreteType": "org.sagebionetworks.repo.model.table.TableEntity"}}'
    box.add(Fault(match="/syn1/bundle2", method="POST", status=200, body=body))
    with pytest.raises(UsageProblem, match="is a TableEntity"):
        resolved(net, id="syn1")


def test_a_link_tells_until_when_it_is_good(box: Sandbox, net: PlainNet) -> None:
    file = resolved(net, id="syn1")[0]
    link = Synapse().link(file.urls[0], net)
    assert link.url.startswith(f"http://localhost:{box.port}/synapse/storage/")
    assert link.credential is None
    assert link.expires is not None and not link.expired
    box.synapse.life = 20
    assert Synapse().link(file.urls[0], net).expired


# -- the whole way ------------------------------------------------------------------------------------------------


def test_all_of_it(box: Sandbox, run: Run) -> None:
    """Links are good once, and the first breaks: what was there is kept."""
    box.synapse.uses = 1
    box.add(Fault(match="/storage/b.nii", cut=2_000_000))
    receipt = run("get", "synapse:syn1", "--json", SYNAPSE_AUTH_TOKEN=TOKEN).last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}
    assert any(entry.header("range") == "bytes=2000000-" and entry.status == 206 for entry in box.log)
    assert not any("/storage/" in entry.target for entry in box.log if entry.header("authorization"))


def test_one_file_that_is_not_to_be_had(box: Sandbox, run: Run) -> None:
    box.synapse.folder("syn5", FILES, failures={"z": "UNAUTHORIZED"})
    ran = run("get", "synapse:syn5", "--json", code=None, SYNAPSE_AUTH_TOKEN=TOKEN)
    assert ran.code != 0
    (failure,) = ran.last["failures"]
    assert failure["path"] == "z"
    assert "UNAUTHORIZED" in str(failure)


@pytest.mark.parametrize("token", [TOKEN, "s3cret-wrong"])
def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run, token: str) -> None:
    ran = run("get", "synapse:syn2", "-vv", code=3, SYNAPSE_AUTH_TOKEN=token)
    assert (CONDITIONS[0] if token == TOKEN else "PersonalAccessTokens") in ran.err
    assert token not in ran.out + ran.err
    assert box.stats.data_bytes == 0
