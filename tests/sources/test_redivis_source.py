"""The redivis source against the sandbox's Redivis, and the whole way with medfetch itself."""

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

from medfetch.errors import AccessRequired, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.redivis import NARROW, TOKEN
from medfetch.sources.redivis import Redivis
from medfetch.types import Checksum, Door, RemoteFile, Selection

IMAGES = {"train/p2/view 1.png": b"b" * 3_000_000, "train/p1/ä+view.png": b"a" * 900, "zero.png": b""}
LABELS = {"findings.json": b'{"a": 1}\n'}
TABLES = {"PNG train": IMAGES, "readings": None, "CheXpert Labels": LABELS}
FILES = {f"PNG train/{path}": data for path, data in IMAGES.items()} | {
    f"CheXpert Labels/{path}": data for path, data in LABELS.items()
}
TOKENS = "https://redivis.com/workspace/settings/tokens"
PAGE = "https://redivis.com/datasets/{}-sandbox"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.redivis.dataset("aimi.scans:abcd:v1_0", {"old": {"old.png": b"old"}})
        box.redivis.dataset("aimi.scans:abcd:v1_1", TABLES)
        box.redivis.dataset("aimi.pending:bcde:v1_0", TABLES, level="overview")
        box.redivis.dataset("aimi.open:cdef:v1_0", TABLES, public="data")
        box.redivis.dataset("aimi.hidden:defg:v1_0", TABLES, level="none", public="none")
        box.redivis.dataset("aimi.rows:efgh:v1_0", {"readings": None})
        yield box


@pytest.fixture
def stranger(box: Sandbox) -> PlainNet:
    """Without a token."""
    return PlainNet(Redivis.traits, redivis=box.endpoints["redivis"])


@pytest.fixture
def net(stranger: PlainNet) -> PlainNet:
    stranger.secrets["redivis"] = f"Bearer {TOKEN}"
    return stranger


def resolved(net: PlainNet, dataset: str = "aimi.scans:abcd", **locator: Any) -> list[RemoteFile]:
    return list(Redivis().resolve({"dataset": dataset, **locator}, net, Selection()))


# -- what is there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "locator"),
    [
        ("aimi.scans", {"dataset": "aimi.scans"}),
        ("aimi.scans:v1_0", {"dataset": "aimi.scans", "version": "v1_0"}),
        ("aimi.scans:abcd:v1_0", {"dataset": "aimi.scans:abcd", "version": "v1_0"}),
        ("aimi.scans:abcd.png_train", {"dataset": "aimi.scans:abcd", "table": "png_train"}),
        (
            "aimi.chexpert_plus:5yyj:v1_0.png_train:s6cj",
            {"dataset": "aimi.chexpert_plus:5yyj", "version": "v1_0", "table": "png_train:s6cj"},
        ),
    ],
)
def test_names(text: str, locator: dict[str, Any]) -> None:
    assert Redivis().locate(text) == locator


@pytest.mark.parametrize(
    "text", ["scans", "aimi.", "aimi.a.b.c", "https://redivis.com/datasets/abcd-1", "a.b:v1", "a.b/c"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageProblem):
        Redivis().locate(text)


@pytest.mark.parametrize(
    "locator",
    [
        {"dataset": "scans"}, {"dataset": "aimi.scans:v1_0"}, {"version": "1"}, {"version": "current"}, {"table": []},
        {"path": [1]}, {"revision": "v1_0"},
    ],
)  # fmt: skip
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


def test_each_table_of_files_is_a_folder(net: PlainNet) -> None:
    files = resolved(net)
    assert {file.path: file.size for file in files} == {path: len(data) for path, data in FILES.items()}
    expected = {path: (Checksum("md5", hashlib.md5(data).hexdigest()),) for path, data in FILES.items()}
    assert {file.path: file.checksums for file in files} == expected
    by_name = sorted(FILES)
    assert [file.path for file in files] == [*by_name[1:], by_name[0]]  # tables as Redivis lists them, files by name


@pytest.mark.parametrize("table", ["CheXpert Labels", "chexpert_labels", ["PNG train", "CheXpert Labels"]])
def test_some_tables(net: PlainNet, table: str | list[str]) -> None:
    files = resolved(net, table=table)
    assert {file.path for file in files} == {path for path in FILES if isinstance(table, list) or "Labels" in path}
    assert not any("maxResults" in url for url in net.asked)


@pytest.mark.parametrize("version", ["v1_0", "1.0"])
def test_a_version(net: PlainNet, version: str) -> None:
    assert [file.path for file in resolved(net, version=version)] == ["old/old.png"]


def test_what_is_released_meanwhile_is_not_mixed_in(box: Sandbox, net: PlainNet) -> None:
    entries = Redivis().resolve({"dataset": "aimi.scans"}, net, Selection())
    first = next(entries)
    box.redivis.dataset("aimi.scans:abcd:v2_0", {"new": {"new.png": b"new"}})
    assert {file.path for file in (first, *entries)} == set(FILES)
    assert [file.path for file in resolved(net)] == ["new/new.png"]


def test_tables_have_pages(box: Sandbox, net: PlainNet) -> None:
    box.redivis.page = 2
    many = {f"table {number}": {"a.png": b"%d" % number} for number in range(5)}
    box.redivis.dataset("aimi.many:fghi:v1_0", many)
    assert [file.path for file in resolved(net, "aimi.many")] == [f"{name}/a.png" for name in many]
    assert sum("pageToken" in url for url in net.asked) == 2


@pytest.mark.parametrize(("patterns", "count"), [(["PNG train/train/p1"], 1), (["*.png"], 3), (["*.zip"], 0)])
def test_only_what_is_wanted(net: PlainNet, patterns: list[str], count: int) -> None:
    assert len(resolved(net, path=patterns)) == count


@pytest.mark.parametrize("locator", [{"table": "readings"}, {"dataset": "aimi.rows"}])
def test_tables_of_rows_have_no_files(net: PlainNet, locator: dict[str, str]) -> None:
    with pytest.raises(UsageProblem, match="rows"):
        resolved(net, **locator)
    verdict = Redivis().preflight({"dataset": "aimi.scans", **locator}, net)
    assert verdict.door is Door.ABSENT and "own client" in verdict.said


@pytest.mark.parametrize(
    ("match", "body"),
    [
        ("/datasets/[^/]*$", "<html>"),
        ("/datasets/[^/]*$", "[]"),
        ("/tables[?]", "{}"),
        ("/tables[?]", '{"results": [1]}'),
        ("/rows", "<html>"),
        ("/rows", '{"file_id": "1"}'),
        ("/rows", '{"file_id": 1, "file_name": "a"}'),
        ("/rows", '{"file_id": "1", "file_name": "a", "size": "many"}'),
        ("/rows", "[1]"),
        ("/rows", json.dumps({"file_id": "1", "file_name": "a", "size": 3, "md5_hash": None})),
        ("/rows", ""),
    ],
)
def test_what_is_no_list_or_not_all_of_it(box: Sandbox, net: PlainNet, match: str, body: str) -> None:
    box.add(Fault(match=match, status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net)


def test_the_same_page_again_and_again_ends(box: Sandbox, net: PlainNet) -> None:
    box.add(Fault(match="/tables[?]", status=200, body='{"results": [], "nextPageToken": "x"}', times=None))
    with pytest.raises(Retryable, match="again and again"):
        resolved(net)


@pytest.mark.parametrize("md5", [None, "", "no base64!", "0" * 32, 7])
def test_what_is_no_checksum_is_not_taken_for_one(box: Sandbox, net: PlainNet, md5: Any) -> None:
    row = {"file_id": "k/1", "file_name": "a b.png", "size": "3", "md5_hash": md5}
    box.add(Fault(match="/rows", status=200, body=json.dumps(row)))
    [file] = resolved(net, table="CheXpert Labels")
    assert (file.path, file.size, file.checksums) == ("CheXpert Labels/a b.png", 3, ())
    assert file.urls == (f"{box.endpoints['redivis']}/rawFiles/k%2F1",)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a//b", "a\\b"])
def test_names_that_lead_elsewhere_are_refused(box: Sandbox, net: PlainNet, name: str) -> None:
    box.add(Fault(match="/rows", status=200, body=json.dumps({"file_id": "1", "file_name": name})))
    with pytest.raises(RecipeError):
        resolved(net, table="CheXpert Labels")


# -- who may have it -----------------------------------------------------------------------------------------------

GATES = [
    ("aimi.scans", f"Bearer {TOKEN}", Door.OPEN, PAGE.format("abcd"), "gives you the files"),
    ("aimi.open", None, Door.OPEN, PAGE.format("cdef"), "gives you the files"),
    ("aimi.scans", None, Door.NO_LOGIN, TOKENS, "medfetch login redivis"),
    ("aimi.hidden", None, Door.NO_LOGIN, TOKENS, "medfetch login redivis"),
    ("aimi.scans", "Bearer wrong", Door.WRONG_LOGIN, TOKENS, "wrong, was deleted or has expired"),
    ("aimi.scans", f"Bearer {NARROW}", Door.WRONG_LOGIN, TOKENS, "data.data"),
    ("aimi.pending", f"Bearer {TOKEN}", Door.NOT_APPROVED, PAGE.format("bcde"), '"overview"'),
    ("aimi.nowhere", f"Bearer {TOKEN}", Door.ABSENT, None, "has no aimi.nowhere"),
    ("aimi.hidden", f"Bearer {TOKEN}", Door.ABSENT, None, "none that you may see"),
]


@pytest.mark.parametrize(("dataset", "secret", "door", "at", "words"), GATES)
def test_the_host_is_asked_beforehand(
    stranger: PlainNet, dataset: str, secret: str | None, door: Door, at: str | None, words: str
) -> None:
    stranger.secrets = {"redivis": secret} if secret else {}
    verdict = Redivis().preflight({"dataset": dataset}, stranger)
    assert (verdict.door, verdict.at) == (door, at)
    assert words in verdict.said


@pytest.mark.parametrize(("dataset", "secret", "door", "at", "words"), GATES[2:])
def test_what_is_shut_is_told_with_the_step_to_take(
    stranger: PlainNet, dataset: str, secret: str | None, door: Door, at: str | None, words: str
) -> None:
    stranger.secrets = {"redivis": secret} if secret else {}
    with pytest.raises(UsageProblem if door is Door.ABSENT else AccessRequired) as caught:
        resolved(stranger, dataset)
    assert words in str(vars(caught.value))


@pytest.mark.parametrize("table", ["nowhere", "old"])
def test_no_such_table(net: PlainNet, table: str) -> None:
    assert Redivis().preflight({"dataset": "aimi.scans", "table": table}, net).door is Door.ABSENT


def test_a_403_is_told_in_the_words_of_the_host(box: Sandbox, net: PlainNet) -> None:
    body = json.dumps({"error": "not_authorized", "error_description": "Complete the study requirement"})
    box.add(Fault(match="/rows", status=403, body=body))
    verdict = Redivis().preflight({"dataset": "aimi.scans"}, net)
    assert (verdict.door, verdict.at) == (Door.NOT_APPROVED, PAGE.format("abcd"))
    assert "Complete the study requirement" in verdict.said and "lapsed" in verdict.said


def test_other_refusals_are_not_taken_for_a_gate(box: Sandbox, net: PlainNet) -> None:
    box.add(Fault(match="/datasets/", status=400, body="{}"))
    with pytest.raises(Refused):
        Redivis().preflight({"dataset": "aimi.scans"}, net)


# -- the whole way -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direct", [False, True])
def test_all_of_it(box: Sandbox, run: Run, direct: bool) -> None:
    """Links are good once, and the first breaks: what was there is kept."""
    box.redivis.direct = direct
    box.redivis.uses = 1
    [large] = [file for file in resolved_with_token(box) if file.size == 3_000_000]
    box.add(
        Fault(match="/rawFiles/" + large.urls[0].rpartition("/")[2] if direct else "/storage/.*view%201", cut=2_000_000)
    )
    receipt = run("get", "redivis:aimi.scans:abcd:v1_1", "--json", REDIVIS_API_TOKEN=TOKEN).last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}
    assert any(entry.header("range") == "bytes=2000000-" and entry.status == 206 for entry in box.log)
    stored = [entry for entry in box.log if "/storage/" in entry.target]
    assert bool(stored) != direct
    assert not any(entry.header("authorization") for entry in stored)


def resolved_with_token(box: Sandbox) -> list[RemoteFile]:
    net = PlainNet(Redivis.traits, redivis=box.endpoints["redivis"])
    net.secrets["redivis"] = f"Bearer {TOKEN}"
    return resolved(net)


def test_a_link_that_is_over_is_asked_for_anew(box: Sandbox, run: Run) -> None:
    box.add(Fault(match="/storage/findings", status=400, body="<Error><Code>ExpiredToken</Code></Error>"))
    receipt = run("get", "redivis:aimi.scans.chexpert_labels", "--json", REDIVIS_API_TOKEN=TOKEN).last
    assert receipt["assurance"] == {"published": 1}
    assert len([entry for entry in box.log if "/storage/findings" in entry.target]) == 2
    assert len([entry for entry in box.log if "/rawFiles/" in entry.target]) == 2


def test_access_that_has_lapsed_ends_before_a_byte_and_what_is_here_stays(box: Sandbox, run: Run, cache: Path) -> None:
    run("get", "redivis:aimi.scans.chexpert_labels", REDIVIS_API_TOKEN=TOKEN)
    box.redivis.dataset("aimi.scans:abcd:v1_1", TABLES, level="metadata")
    before = box.stats.data_bytes
    ran = run("get", "redivis:aimi.scans", code=3, REDIVIS_API_TOKEN=TOKEN)
    assert "lapsed" in " ".join(ran.err.split()) and PAGE.format("abcd") in ran.err
    assert box.stats.data_bytes == before
    # What is complete needs nothing.
    run("get", "redivis:aimi.scans.chexpert_labels", REDIVIS_API_TOKEN="wrong")


@pytest.mark.parametrize(
    ("dataset", "token"), [("aimi.pending", TOKEN), ("aimi.scans", "s3cret-wrong"), ("aimi.scans", "")]
)
def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run, dataset: str, token: str) -> None:
    ran = run("get", f"redivis:{dataset}", "-vv", code=3, REDIVIS_API_TOKEN=token)
    assert (PAGE.format("bcde") if dataset == "aimi.pending" else TOKENS) in ran.err
    assert not token or token not in ran.out + ran.err
    assert box.stats.data_bytes == 0


def test_a_recipe_of_stanford_aimi(box: Sandbox, run: Run) -> None:
    labels, valid = {"findings_fixed.json": b"{}"}, {"patient64541/study1/view1_frontal.png": b"png"}
    tables = {"df_chexpert_plus_240401:bavj": None, "CheXpert Labels:pmec": labels, "PNG_valid:41v9": valid}
    box.redivis.dataset("aimi.chexpert_plus:5yyj:v1_0", tables)
    assert "Ask for membership" in run("get", "chexpert", code=3, REDIVIS_API_TOKEN=TOKEN).err
    # That the host lets one in says that one is a member.
    run("agree", "chexpert", "--agreed-on", "2026-11-02", "--as", "Ada Lovelace")
    receipt = run("get", "chexpert", "--json", REDIVIS_API_TOKEN=TOKEN).last
    assert set(tree(Path(receipt["path"]))) == {
        "CheXpert Labels/findings_fixed.json", "PNG_valid/patient64541/study1/view1_frontal.png",
    }  # fmt: skip
    run("agree", "chexpert", "--step", "stanford-aimi-membership", "--agreed-on", "2026-11-02", "--as", "Ada Lovelace")
    ran = run("get", "chexpert", "--part", "table", code=3, REDIVIS_API_TOKEN=TOKEN)
    assert "table cannot be fetched by program" in ran.err


def test_its_own_variable_for_its_address(box: Sandbox, run: Run) -> None:
    address = {"MEDFETCH_ENDPOINT_REDIVIS": "", "REDIVIS_API_ENDPOINT": box.endpoints["redivis"]}
    run("get", "redivis:aimi.open.chexpert_labels", **address)
    assert any("/rawFiles/" in entry.target for entry in box.log)
