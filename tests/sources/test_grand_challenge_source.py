"""The grand-challenge source against the sandbox's, and the whole way with medfetch itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree
from dicom_samples import instance
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.grand_challenge import TOKEN, Image
from medfetch.sources import grand_challenge
from medfetch.sources.grand_challenge import GrandChallenge
from medfetch.types import Door, Entry, Group, RemoteFile, Selection

UIDS = [f"1.2.826.0.1.3680043.8.498.7.{number}" for number in range(5)]
SET = {uid: instance(uid) for uid in UIDS}
SCAN, MASK, REPORT = b"scan" * 750_000, b"mask" * 100, b'{"a": 1}'
ITEMS: list[dict[str, Any]] = [
    {
        "images/ct": Image({"mha": SCAN}),
        "images/mask": Image({"tif": MASK, "dzi": b"<dzi>"}),
        "report.json": b'{"a": 1}',
    },
    {"images/mr": Image(instances=SET), "grade.json": 4, "unread.json": None},
]
REQUEST = "https://grand-challenge.org/archives/{}/permission-requests/create/"
TOKENS = "https://grand-challenge.org/settings/api-tokens/"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.grand_challenge.archive("scans", ITEMS)
        box.grand_challenge.archive("listed", ITEMS, granted=False)
        box.grand_challenge.archive("secret", ITEMS, listed=False, granted=False)
        box.grand_challenge.archive("empty", [])
        yield box


@pytest.fixture
def keys(box: Sandbox) -> list[str]:
    """Of the items of the archive scans, which is the same again."""
    return box.grand_challenge.archive("scans", ITEMS)


@pytest.fixture
def stranger(box: Sandbox) -> PlainNet:
    """Without a token."""
    return PlainNet(GrandChallenge.traits, grand_challenge=box.endpoints["grand_challenge"])


@pytest.fixture
def net(stranger: PlainNet) -> PlainNet:
    stranger.secrets["grand-challenge"] = f"Bearer {TOKEN}"
    return stranger


def resolved(net: PlainNet, **locator: Any) -> list[Entry]:
    return list(GrandChallenge().resolve(locator, net, Selection()))


def shapes(entries: list[Entry], item: str) -> list[str]:
    """What is under an item, without the keys that images are named by."""
    own = [entry.path.removeprefix(item) for entry in entries if entry.path.startswith(item)]
    return [path.rpartition("/")[0] + "/*." + path.rpartition(".")[2] if "-" in path else path for path in own]


# -- what people type, and recipes --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["scans", "archives/scans", "https://grand-challenge.org/archives/scans/"])
def test_names(text: str) -> None:
    assert GrandChallenge().locate(text) == {"archive": "scans"}


@pytest.mark.parametrize("text", ["a/b", "/", "https://elsewhere.example/archives/scans", "..", "a b"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageProblem):
        GrandChallenge().locate(text)


@pytest.mark.parametrize("locator", [{}, {"archive": "a b"}, {"archive": ["a", "b"]}, {"archive": "scans", "path": []}])
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)
    assert net.asked == []


# -- lists --------------------------------------------------------------------------------------------------------


def test_an_item_is_a_folder(net: PlainNet, keys: list[str]) -> None:
    entries = resolved(net, archive="scans")
    assert shapes(entries, keys[0]) == ["/images/ct/*.mha", "/images/mask/*.tif", "/images/mask/*.dzi", "/report.json"]
    assert shapes(entries, keys[1]) == ["/images/mr", ".json"]
    assert len(net.asked) == 3


def test_a_dicom_set_is_a_group_of_its_instances(net: PlainNet, keys: list[str]) -> None:
    source = GrandChallenge()
    (group,) = (entry for entry in resolved(net, archive="scans") if isinstance(entry, Group))
    members = list(source.members(group, net))
    asked = len(net.asked)
    assert [member.urls[0].rpartition("#")[2] for member in members] == UIDS
    assert {member.path for member in members} == {f"{keys[1]}/images/mr"}
    assert all(source.link(member.urls[0], net).headers for member in members)
    assert len(net.asked) == asked


def test_a_link_to_an_instance_is_used_once(net: PlainNet) -> None:
    source = GrandChallenge()
    (group,) = (entry for entry in resolved(net, archive="scans") if isinstance(entry, Group))
    first = next(source.members(group, net)).urls[0]
    links = {source.link(first, net).url for _ in range(3)}
    assert len(links) == 3


def test_an_instance_that_is_gone(net: PlainNet) -> None:
    source = GrandChallenge()
    (group,) = (entry for entry in resolved(net, archive="scans") if isinstance(entry, Group))
    with pytest.raises(Refused, match=r"1\.2\.9"):
        source.link(next(source.members(group, net)).urls[0].rpartition("#")[0] + "#1.2.9", net)


def test_lists_have_pages(box: Sandbox, net: PlainNet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grand_challenge, "PAGE", 7)
    items = [{"images/ct": Image({"mha": b"%d" % number})} for number in range(20)]
    keys = box.grand_challenge.archive("long", items)
    assert [entry.path[:36] for entry in resolved(net, archive="long")] == keys
    assert len(net.asked) == 1 + 3 + 3


def test_images_that_the_list_has_not_are_asked_for_singly(box: Sandbox, net: PlainNet) -> None:
    expected = resolved(net, archive="scans")
    net.asked.clear()
    box.add(Fault(match="cases/images/.archive", status=200, body=json.dumps({"next": None, "results": []})))
    assert resolved(net, archive="scans") == expected
    assert len(net.asked) == 3 + 3


@pytest.mark.parametrize(
    ("patterns", "count"),
    [(["*/images/ct/*"], 1), (["*.tif", "*.json"], 3), (["*.dcm"], 1), (["*/images/mr"], 1), (["*.nii"], 0)],
)
def test_only_what_is_wanted(net: PlainNet, patterns: list[str], count: int) -> None:
    assert len(resolved(net, archive="scans", path=patterns)) == count


@pytest.mark.parametrize("body", ["<html>log in</html>", "[]", '{"results": 3}', '{"results": [{"pk": "x"}]}'])
def test_what_is_no_list(box: Sandbox, net: PlainNet, body: str) -> None:
    box.add(Fault(match="archives/items", status=200, body=body))
    with pytest.raises(Retryable):
        resolved(net, archive="scans")


@pytest.mark.parametrize("path", ["../../x", "/etc/x", "a/../b", ""])
def test_a_path_that_leaves_the_item(box: Sandbox, net: PlainNet, path: str) -> None:
    box.grand_challenge.archive("evil", [{path: b"x"}])
    if path:
        with pytest.raises(RecipeError):
            resolved(net, archive="evil")
    else:
        assert len(resolved(net, archive="evil")) == 1


# -- gates --------------------------------------------------------------------------------------------------------

GATES = [
    ("scans", f"Bearer {TOKEN}", Door.OPEN, None, "scans"),
    ("scans", "", Door.NO_LOGIN, TOKENS, "token"),
    ("scans", "Bearer wrong", Door.WRONG_LOGIN, TOKENS, "expired"),
    ("secret", f"Bearer {TOKEN}", Door.UNCLEAR, REQUEST.format("secret"), "or there is no such archive"),
    ("nowhere", f"Bearer {TOKEN}", Door.UNCLEAR, REQUEST.format("nowhere"), "or there is no such archive"),
    ("listed", f"Bearer {TOKEN}", Door.UNCLEAR, REQUEST.format("listed"), "or it is empty"),
    ("empty", f"Bearer {TOKEN}", Door.UNCLEAR, REQUEST.format("empty"), "or it is empty"),
]


@pytest.mark.parametrize(("slug", "secret", "door", "at", "words"), GATES)
def test_the_host_is_asked_beforehand(
    stranger: PlainNet, slug: str, secret: str, door: Door, at: str | None, words: str
) -> None:
    stranger.secrets |= {"grand-challenge": secret} if secret else {}
    verdict = GrandChallenge().preflight({"archive": slug}, stranger)
    assert (verdict.door, verdict.at) == (door, at)
    assert words in verdict.said
    assert door is not Door.UNCLEAR or "Request access" in verdict.said


@pytest.mark.parametrize(("slug", "secret", "door", "at", "words"), GATES[1:])
def test_what_is_shut_is_told_with_the_step_to_take(
    stranger: PlainNet, slug: str, secret: str, door: Door, at: str, words: str
) -> None:
    stranger.secrets |= {"grand-challenge": secret} if secret else {}
    with pytest.raises(AccessRequired) as caught:
        resolved(stranger, archive=slug)
    (step,) = caught.value.steps
    assert step["at"] == at
    assert words in step["do"]


@pytest.mark.parametrize(("status", "door"), [(404, Door.UNCLEAR), (403, Door.UNCLEAR)])
def test_a_404_means_what_an_empty_list_does(box: Sandbox, net: PlainNet, status: int, door: Door) -> None:
    box.add(Fault(match="archives/.slug", status=status, body='{"detail": "Not found."}'))
    verdict = GrandChallenge().preflight({"archive": "scans"}, net)
    assert verdict.door is door
    assert ("no such archive" in verdict.said) is (status == 404)


def test_what_is_not_its_refusal_stays_what_it_is(net: PlainNet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refused("grand-challenge.org: its certificate is not valid")

    monkeypatch.setattr(net, "get", refuse)
    with pytest.raises(Refused, match="certificate"):
        GrandChallenge().preflight({"archive": "scans"}, net)


# -- links --------------------------------------------------------------------------------------------------------


def test_a_link_tells_until_when_it_is_good(box: Sandbox, net: PlainNet) -> None:
    file = resolved(net, archive="scans")[0]
    assert isinstance(file, RemoteFile)
    link = GrandChallenge().link(file.urls[0], net)
    assert link.url.startswith(f"http://localhost:{box.port}/grand-challenge/storage/")
    assert link.credential is None
    assert link.expires is not None and not link.expired
    box.grand_challenge.life = 20
    assert GrandChallenge().link(file.urls[0], net).expired


def test_a_file_that_one_has_no_right_to(box: Sandbox, net: PlainNet) -> None:
    file = resolved(net, archive="scans")[0]
    assert isinstance(file, RemoteFile)
    box.grand_challenge.archive("scans", ITEMS, granted=False)
    with pytest.raises(Refused, match="no right") as caught:
        GrandChallenge().link(file.urls[0], net)
    assert caught.value.status == 404


# -- the whole way ------------------------------------------------------------------------------------------------


def got(run: Run, name: str = "scans", **more: str) -> dict[str, Any]:
    environment = {"GRAND_CHALLENGE_AUTHORIZATION": TOKEN, **more}
    return run("get", f"grand-challenge:{name}", "--json", **environment).last


def check(receipt: dict[str, Any], keys: list[str]) -> None:
    found = tree(Path(receipt["path"]))
    values = json.loads((Path(receipt["path"]) / f"{keys[1]}.json").read_bytes())["values"]
    assert {value["interface"]["relative_path"]: value["value"] for value in values}["grade.json"] == 4
    dicom = {f"{keys[1]}/images/mr/{uid}.dcm": sha256(data) for uid, data in SET.items()}
    assert {path: digest for path, digest in found.items() if path.endswith(".dcm")} == dicom
    own = [SCAN, MASK, b"<dzi>", ITEMS[0]["report.json"]]
    assert sorted(digest for path, digest in found.items() if path.startswith(f"{keys[0]}/")) == sorted(
        map(sha256, own)
    )
    assert len(found) == len(own) + len(SET) + 1


def test_all_of_it(box: Sandbox, run: Run, keys: list[str]) -> None:
    check(got(run), keys)
    sent = [entry for entry in box.log if entry.header("authorization")]
    assert sent
    assert not any("/storage/" in entry.target for entry in sent)
    assert any("/storage/" in entry.target for entry in box.log)


def test_links_that_were_good_once(box: Sandbox, run: Run, keys: list[str]) -> None:
    """Bytes break off, and the link that they came by is over: what was there is kept."""
    box.grand_challenge.uses = 1
    box.add(Fault(match="/storage/.*mha", cut=2_000_000), Fault(match="/storage/.*dcm", cut=1000, times=3))
    check(got(run), keys)
    assert sum(entry.status == 403 for entry in box.log) > 0
    assert any(entry.header("range") == "bytes=2000000-" and entry.status == 206 for entry in box.log)


@pytest.mark.parametrize(
    ("name", "token", "words"),
    [
        ("secret", TOKEN, REQUEST.format("secret")),
        ("nowhere", TOKEN, "no such archive"),
        ("listed", TOKEN, REQUEST.format("listed")),
        ("scans", "s3cret-wrong", TOKENS),
        ("scans", "", TOKENS),
    ],
)
def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run, name: str, token: str, words: str) -> None:
    more = {"GRAND_CHALLENGE_AUTHORIZATION": f"BEARER {token}"} if token else {}
    ran = run("get", f"grand-challenge:{name}", "-vv", code=3, **more)
    assert words in "".join(ran.err.split("\n"))
    assert not token or token not in ran.out + ran.err
    assert box.stats.data_bytes == 0


def test_signatures_are_in_no_text(box: Sandbox, run: Run, cache: Path) -> None:
    ran = run("get", "grand-challenge:scans", "-vv", GRAND_CHALLENGE_AUTHORIZATION=TOKEN)
    signatures = {entry.target.partition("Signature=")[2] for entry in box.log if "Signature=" in entry.target}
    assert signatures
    texts = ran.out + ran.err + "".join(path.read_text("latin-1") for path in cache.rglob("*") if path.is_file())
    assert not any(secret in texts for secret in [TOKEN, *signatures])
