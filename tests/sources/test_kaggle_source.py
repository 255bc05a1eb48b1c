"""The kaggle source against the sandbox's Kaggle, and the whole way with medfetch itself."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plain_net import PlainNet
from running import Run

from medfetch.checksum import hash_file
from medfetch.errors import AccessRequired, RecipeError, Refused, Retryable, UsageProblem
from medfetch.planning import matches
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.content import Content
from medfetch.sandbox.kaggle import KEY, REFRESH, RULES, TOKEN, USER
from medfetch.segments import SEGMENTS_FROM
from medfetch.sources._kaggle import Place, verdict
from medfetch.sources.kaggle import EACH, SINGLY, Kaggle
from medfetch.types import Door, RemoteFile, Selection, Unpack

FEW = {"a.csv": b"a,b\n1,2\n", "train/x 1.nii": b"x" * 900, "train/y+2%.nii": b"y" * 901}
MANY = {f"train/{number:04d}.nii": f"slice {number}".encode() for number in range(230)}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.kaggle.dataset("owner/few", FEW, version=3)
        box.kaggle.dataset("owner/many", MANY, version=2)
        box.kaggle.dataset("owner/hidden", FEW, private=True)
        box.kaggle.competition("scans", FEW)
        box.kaggle.competition("ruled", FEW, entered=False)
        box.kaggle.competition("phone-verified", FEW)
        box.kaggle.competition("phone", FEW, verified=False)
        yield box


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    return PlainNet(Kaggle.traits, kaggle=box.endpoints["kaggle"])


@pytest.fixture
def member(net: PlainNet) -> PlainNet:
    """With a token."""
    net.secrets["kaggle"] = f"Bearer {TOKEN}"
    return net


def resolved(net: PlainNet, selection: Selection = Selection(), **locator: Any) -> list[RemoteFile]:  # noqa: B008
    return list(Kaggle().resolve(locator, net, selection))


# -- what people type ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "locator"),
    [
        ("owner/few", {"dataset": "owner/few"}),
        ("owner/few/versions/3", {"dataset": "owner/few", "version": 3}),
        ("owner/few@3", {"dataset": "owner/few", "version": 3}),
        ("https://www.kaggle.com/datasets/owner/few", {"dataset": "owner/few"}),
        ("https://www.kaggle.com/datasets/owner/few/data", {"dataset": "owner/few"}),
        ("https://www.kaggle.com/competitions/scans/rules", {"competition": "scans"}),
        ("competitions/scans", {"competition": "scans"}),
        ("https://www.kaggle.com/c/scans/", {"competition": "scans"}),
    ],
)
def test_names(text: str, locator: dict[str, Any]) -> None:
    assert Kaggle().locate(text) == locator


@pytest.mark.parametrize("text", ["owner", "owner/", "owner/few/more/5", "owner/..", "a b/c", "competitions/"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageProblem):
        Kaggle().locate(text)


@pytest.mark.parametrize(
    "locator",
    [
        {"dataset": "few"},
        {"dataset": "owner/few", "version": "3"},
        {"dataset": "owner/few", "version": 0},
        {"competition": "scans", "version": 1},
        {"competition": "owner/scans"},
        {"dataset": "owner/few", "path": []},
    ],
)
def test_bad_locators(net: PlainNet, locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(net, **locator)


# -- lists --------------------------------------------------------------------------------------------------------


def test_a_few_files_are_fetched_singly(net: PlainNet) -> None:
    files = resolved(net, dataset="owner/few")
    assert [(file.path, file.size) for file in files] == [(name, len(data)) for name, data in FEW.items()]
    assert files[1].urls == (
        f"{net.endpoint('kaggle')}/api/v1/datasets/download/owner/few/train%2Fx%201.nii?datasetVersionNumber=3",
    )
    assert files[1].key == "kaggle:owner/few@3/train/x 1.nii"


def test_many_files_come_in_one_zip(net: PlainNet) -> None:
    (file,) = resolved(net, dataset="owner/many", version=2)
    assert (file.path, file.size, file.unpack) == ("many.zip", None, Unpack("zip"))
    assert file.urls == (f"{net.endpoint('kaggle')}/api/v1/datasets/download/owner/many?datasetVersionNumber=2",)
    assert len(net.asked) == 1


@pytest.mark.parametrize(("count", "zipped"), [(SINGLY, False), (SINGLY + 1, True)])
def test_where_the_line_is(box: Sandbox, net: PlainNet, count: int, zipped: bool) -> None:
    box.kaggle.dataset("owner/line", dict(list(MANY.items())[:count]))
    assert (resolved(net, dataset="owner/line")[0].unpack is not None) is zipped


def test_some_of_many_are_fetched_singly_page_by_page(net: PlainNet) -> None:
    selection = Selection({"path": ("train/022*",)})
    files = [file for file in resolved(net, selection, dataset="owner/many") if matches(file, selection)]
    assert [file.path for file in files] == [f"train/{number:04d}.nii" for number in range(220, 230)]
    assert len(net.asked) == 3
    assert "pageToken=200" in net.asked[2]


@pytest.mark.parametrize(
    ("path", "count"), [("train/00[01]?.nii", 20), ("train/000?.nii", 10), (["train/0001.nii"], 1)]
)
def test_a_recipe_may_want_only_some(net: PlainNet, path: Any, count: int) -> None:
    assert len(resolved(net, dataset="owner/many", path=path)) == count


def test_many_of_more_come_in_the_zip_of_all_unless_that_is_dearer(box: Sandbox, net: PlainNet) -> None:
    locator = {"dataset": "owner/many", "path": "train/0[01]*"}
    selection = Selection({"path": ("train/00*", "train/01*")})
    (file,) = resolved(net, selection, **locator)
    assert file.unpack == Unpack("zip", only=(("train/0[01]*",), ("train/00*", "train/01*")))
    assert matches(file, selection)
    assert file.key != resolved(net, dataset="owner/many")[0].key
    # Files beside it are so large that those wanted cost less one by one.
    rows = [{"name": name, "totalBytes": 10} for name in MANY] + [{"name": "rest", "totalBytes": 10 + 200 * EACH}]
    for token in ("pageSize=200$", "pageToken=200"):
        page, rows = rows[:200], rows[200:]
        body = json.dumps({"datasetFiles": page, "nextPageToken": "200" if rows else ""})
        box.add(Fault(match=f"/list/owner/many.*{token}", body=body))
    assert len(resolved(net, selection, **locator)) == 200


def test_the_first_of_many_are_fetched_singly(net: PlainNet) -> None:
    files = resolved(net, Selection(limit=30), dataset="owner/many")
    assert files[0].path == "train/0000.nii" and not any(file.unpack for file in files)


def test_what_is_not_there_is_an_error_unless_a_selection_asked_for_it(net: PlainNet) -> None:
    with pytest.raises(UsageProblem, match="of these names"):
        resolved(net, dataset="owner/many", path="test/*")
    assert resolved(net, Selection({"path": ("test/*",)}), dataset="owner/many", path="test/*") == []


def test_a_competition(member: PlainNet) -> None:
    files = resolved(member, competition="scans")
    assert [file.path for file in files] == list(FEW)
    base = f"{member.endpoint('kaggle')}/api/v1/competitions/data/download/scans"
    assert [file.urls[0] for file in files[:2]] == [f"{base}/a.csv", f"{base}/train%2Fx%201.nii"]


@pytest.mark.parametrize(
    "answer",
    [
        '{"datasetFiles": [{"name": "x"}]}',
        "[]",
        "<html>",
        '{"datasetFiles": [{"name": "x", "totalBytes": 1}], "nextPageToken": "7"}',
    ],
)
def test_a_list_that_is_none_is_asked_for_again(box: Sandbox, net: PlainNet, answer: str) -> None:
    box.add(Fault(match="/list/", body=answer, times=None))
    with pytest.raises(Retryable):
        resolved(net, dataset="owner/few", version=3)


def test_a_list_that_breaks_off_is_not_taken_for_all(box: Sandbox, net: PlainNet) -> None:
    box.add(Fault(match="pageToken=200", body='{"datasetFiles": [], "nextPageToken": ""}'))
    with pytest.raises(Refused, match="breaks off"):
        resolved(net, dataset="owner/many", path="train")


def test_a_refusal_that_comes_with_200(box: Sandbox, member: PlainNet) -> None:
    box.add(Fault(match="/list/", body=json.dumps({"code": 403, "message": RULES})))
    with pytest.raises(AccessRequired) as caught:
        resolved(member, competition="scans")
    assert caught.value.steps[0]["at"] == "https://www.kaggle.com/competitions/scans/rules"


# -- gates --------------------------------------------------------------------------------------------------------

GATES = [
    ({"dataset": "owner/few"}, "", Door.OPEN),
    ({"dataset": "owner/few"}, "Bearer wrong", Door.WRONG_LOGIN),
    ({"dataset": "owner/hidden"}, "", Door.NO_LOGIN),
    ({"dataset": "owner/hidden"}, f"Bearer {TOKEN}", Door.OPEN),
    ({"dataset": "owner/nothing"}, "", Door.ABSENT),
    ({"competition": "scans"}, "", Door.NO_LOGIN),
    ({"competition": "scans"}, "Bearer wrong", Door.WRONG_LOGIN),
    ({"competition": "scans"}, f"Bearer {TOKEN}", Door.OPEN),
    ({"competition": "ruled"}, f"Bearer {TOKEN}", Door.RULES),
    ({"competition": "nothing"}, f"Bearer {TOKEN}", Door.UNCLEAR),
]


@pytest.mark.parametrize(("locator", "secret", "door"), GATES)
def test_the_host_is_asked_beforehand(net: PlainNet, locator: dict[str, Any], secret: str, door: Door) -> None:
    net.secrets |= {"kaggle": secret} if secret else {}
    verdict = Kaggle().preflight(locator, net)
    assert verdict.door is door
    assert (verdict.at == "https://www.kaggle.com/competitions/ruled/rules") is (door is Door.RULES)


@pytest.mark.parametrize(("locator", "secret", "door"), [gate for gate in GATES if gate[2] is not Door.OPEN])
def test_what_is_shut_is_told_with_the_step_to_take(
    net: PlainNet, locator: dict[str, Any], secret: str, door: Door
) -> None:
    net.secrets |= {"kaggle": secret} if secret else {}
    with pytest.raises(UsageProblem if door is Door.ABSENT else AccessRequired) as caught:
        resolved(net, **locator)
    if isinstance(caught.value, AccessRequired):
        assert caught.value.steps[0]["at"].startswith("https://www.kaggle.com/")
    assert "wrong" not in str(vars(caught.value)) or "it is wrong" in str(vars(caught.value))


@pytest.mark.parametrize(
    ("text", "door"),
    [
        (RULES, Door.RULES),
        ("You must verify your phone number first", Door.NOT_APPROVED),
        ("Required permission 'competitions.get' was not satisfied", Door.UNCLEAR),
        ("Forbidden", Door.UNCLEAR),
    ],
)
def test_what_kaggle_says(text: str, door: Door) -> None:
    told = verdict(Refused(f"www.kaggle.com answered 403: {text}", status=403), Place(False, "scans"), True)
    assert told.door is door
    assert told.at


def test_a_refusal_without_a_reason_names_all_that_it_may_be(box: Sandbox, member: PlainNet) -> None:
    file = resolved(member, competition="phone-verified")[0]
    box.kaggle.competition("phone-verified", FEW, verified=False)
    with pytest.raises(AccessRequired) as before:
        resolved(member, competition="phone-verified")
    with pytest.raises(Refused) as caught:
        Kaggle().link(file.urls[0], member)
    for said in (before.value.steps[0]["do"], caught.value.message):
        assert "rules" in said and "phone number of your account is not verified" in said and "gives no reason" in said
    assert caught.value.hint == before.value.steps[0]["at"] == "https://www.kaggle.com/competitions/phone-verified"


def test_what_is_not_kaggles_refusal_stays_what_it_is() -> None:
    with pytest.raises(Refused, match="certificate"):
        verdict(Refused("www.kaggle.com: its certificate is not valid"), Place(True, "owner/few"), True)


# -- links --------------------------------------------------------------------------------------------------------


def test_a_link_tells_until_when_it_is_good(box: Sandbox, net: PlainNet) -> None:
    file = resolved(net, dataset="owner/few")[0]
    link = Kaggle().link(file.urls[0], net)
    assert link.url.startswith(f"http://localhost:{box.port}/kaggle/storage/")
    assert link.credential is None
    assert link.expires is not None and not link.expired
    box.kaggle.life = 20
    assert Kaggle().link(file.urls[0], net).expired


def test_a_host_that_hands_the_file_out_itself(box: Sandbox, member: PlainNet) -> None:
    box.add(Fault(match="/download/", status=200, body="data"))
    url = resolved(member, dataset="owner/few")[0].urls[0]
    link = Kaggle().link(url, member)
    assert (link.url, link.credential) == (url, "kaggle")


# -- the whole way ------------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".medfetch" not in path.parts
    }


def secrets_seen(box: Sandbox) -> set[str]:
    """The hosts that a log-in was sent to, and whether it was the storage."""
    return {entry.target.split("/")[2] for entry in box.log if entry.header("authorization")}


@pytest.mark.parametrize("name", ["owner/few", "owner/many", "owner/hidden", "competitions/scans"])
@pytest.mark.parametrize("environment", [{"KAGGLE_API_TOKEN": TOKEN}, {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}])
def test_all_of_it(box: Sandbox, run: Run, name: str, environment: dict[str, str]) -> None:
    receipt = run("get", f"kaggle:{name}", "--json", **environment).last
    assert tree(Path(receipt["path"])) == (MANY if name == "owner/many" else FEW)
    assert secrets_seen(box) == {"api"}
    assert any("/storage/" in entry.target for entry in box.log)


def test_of_a_bundle_only_what_is_wanted_is_fetched(box: Sandbox, run: Run) -> None:
    """And another selection, or all of it later, is another thing to have."""
    chosen = {name: data for name, data in MANY.items() if name < "train/0100"}
    arguments = ("get", "kaggle:owner/many", "--json")
    receipt = run(*arguments, "--select", "path=train/00*").last
    assert tree(Path(receipt["path"])) == chosen
    assert receipt["files"] == len(chosen)
    assert {entry.status for entry in box.log if "/storage/" in entry.target} == {206}
    assert receipt["assurance"] == {"archive-crc": len(chosen)}
    assert "0 bad" in run("verify", "kaggle:owner/many").out
    receipt = run(*arguments).last
    assert tree(Path(receipt["path"])) == MANY


def test_public_datasets_need_no_token(box: Sandbox, run: Run) -> None:
    receipt = run("get", "kaggle:owner/few", "--json").last
    assert tree(Path(receipt["path"])) == FEW
    assert receipt["assurance"] == {"published": len(FEW)}


def test_files_that_storage_has_zipped_are_taken_out(box: Sandbox, run: Run) -> None:
    files = FEW | {"ünïcode/ä+b %41 (1).csv": b"1,2\n" * 999}
    box.kaggle.dataset(
        "owner/wrapped", files, wrapped=frozenset({"a.csv", "train/x 1.nii", *files.keys() - FEW.keys()})
    )
    receipt = run("get", "kaggle:owner/wrapped", "--json").last
    assert tree(Path(receipt["path"])) == files


def logged_in(home: Path, refresh: str = REFRESH) -> bytes:
    """What ``kaggle auth login`` leaves, hours after its token was over."""
    content = {
        "refresh_token": refresh, "access_token": "over", "access_token_expiration": "2026-01-01T00:00:00+00:00",
        "username": USER, "scopes": ["resources.admin:*"],
    }  # fmt: skip
    path = home / ".kaggle" / "credentials.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path.read_bytes()


def test_a_log_in_gives_a_new_token_when_its_own_is_over(box: Sandbox, run: Run, home: Path) -> None:
    before = logged_in(home)
    ran = run("get", "kaggle:owner/hidden", "--json", "-vv")
    assert tree(Path(ran.last["path"])) == FEW
    asked = [entry for entry in box.log if "access-tokens/generate" in entry.target]
    assert [(entry.method, entry.header("authorization")) for entry in asked] == [("POST", None)] * len(asked)
    others = [entry for entry in box.log if entry not in asked]
    # One is used for many requests.
    assert 1 <= len(asked) <= sum(entry.header("authorization") is not None for entry in others)
    assert {entry.header("authorization") for entry in others} == {f"Bearer {TOKEN}", None}
    assert REFRESH not in f"{[entry.target for entry in box.log]} {[entry.headers for entry in box.log]}"
    # The file is the official client's, and stays as it is; what was had for it is written nowhere.
    assert (home / ".kaggle" / "credentials.json").read_bytes() == before
    assert REFRESH not in ran.out + ran.err and TOKEN not in ran.out + ran.err


def test_a_log_in_that_was_revoked_says_how_to_renew_it(box: Sandbox, run: Run, home: Path) -> None:
    before = logged_in(home, "revoked-refresh-token")
    ran = run("get", "kaggle:owner/hidden", code=3)
    assert "kaggle auth login --force" in ran.err
    assert "revoked-refresh-token" not in ran.out + ran.err
    assert (home / ".kaggle" / "credentials.json").read_bytes() == before
    assert box.stats.data_bytes == 0


@pytest.mark.parametrize(
    ("name", "token", "words"),
    [
        ("competitions/ruled", TOKEN, "https://www.kaggle.com/competitions/ruled/rules"),
        ("competitions/phone", TOKEN, "https://www.kaggle.com/settings"),
        ("competitions/scans", "", "https://www.kaggle.com/settings"),
        ("competitions/scans", "a-wrong-token", "https://www.kaggle.com/settings"),
        ("owner/hidden", "", "https://www.kaggle.com/settings"),
    ],
)
def test_what_is_shut_ends_before_a_byte(box: Sandbox, run: Run, name: str, token: str, words: str) -> None:
    ran = run("get", f"kaggle:{name}", "-vv", code=3, **({"KAGGLE_API_TOKEN": token} if token else {}))
    assert words in ran.err
    assert not token or token not in ran.out + ran.err
    assert box.stats.data_bytes == 0


def test_kaggle_is_left_alone_for_a_minute_where_its_429_does_not_say_for_how_long() -> None:
    assert Kaggle.traits.pause == 60


def test_429_is_waited_for_and_not_answered_with_more(box: Sandbox, run: Run) -> None:
    box.add(Fault(match="/download/", status=429, headers={"Retry-After": "0"}, times=2))
    receipt = run("get", "kaggle:owner/few", "--json").last
    assert tree(Path(receipt["path"])) == FEW
    assert sum(entry.status == 429 for entry in box.log) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_where_no_link_is_given_one_layer_tries_again(box: Sandbox, run: Run, status: int) -> None:
    """As many requests as ``tries`` says, not as many for each of as many attempts at the file."""
    box.add(Fault(match="/download/", status=status, times=None))
    run("get", "kaggle:owner/few", "--select", "path=a.csv", code=1, MEDFETCH_TRIES="3", MEDFETCH_BACKOFF="0.01")
    assert sum("/download/" in entry.target for entry in box.log) == 3


@pytest.mark.parametrize("uses", [None, 1])
def test_a_bundle_whose_link_expires_twice_arrives_whole(box: Sandbox, run: Run, uses: int | None) -> None:
    """What was there before is kept: each link is good for one request, and two of these break."""
    data = random.Random(1).randbytes(6_000_000)
    box.kaggle.dataset("owner/big", MANY, bundle=Content.of(data))
    box.kaggle.uses = uses
    refused = [Fault(match="/storage/")] if uses else []
    box.add(Fault(match="/storage/", cut=2_000_000), *refused, Fault(match="/storage/", cut=2_500_000))
    receipt = run("get", "kaggle:owner/big", "--no-unpack", "--json").last
    assert tree(Path(receipt["path"])) == {"big.zip": data}
    sent = [entry for entry in box.log if "/storage/" in entry.target]
    assert [entry.sent for entry in sent if entry.status in (200, 206)] == [2_000_000, 2_500_000, 1_500_000]
    # Each refusal of an old link led to a new one.
    assert [entry.status for entry in sent if entry.status >= 400] == ([400, 400] if uses else [])
    assert sum("/download/" in entry.target for entry in box.log) == (3 if uses else 1)


def test_a_bundle_in_several_ranges_whose_link_expires_twice_arrives_whole(box: Sandbox, run: Run) -> None:
    size = 300_000_000
    bundle = Content.noise(size, "bundle")
    box.kaggle.dataset("owner/big", MANY, bundle=bundle)
    box.kaggle.uses = 4
    receipt = run("get", "kaggle:owner/big", "--no-unpack", "--json").last
    (got,) = Path(receipt["path"]).glob("*.zip")
    assert hash_file(got).sha256 == hash_of(bundle)
    got.unlink()
    sent = [entry for entry in box.log if "/storage/" in entry.target]
    assert sum("/download/" in entry.target for entry in box.log) > 2
    assert sum(entry.status >= 400 for entry in sent) > 1
    # What was there before a link was over was not sent again.
    assert sum(entry.sent for entry in sent if entry.status < 400) < 1.1 * size


def hash_of(content: Content) -> str:
    digest = hashlib.sha256()
    for piece in content.read(0, content.size):
        digest.update(piece)
    return digest.hexdigest()


def test_a_wrong_byte_is_found_by_the_digest_that_storage_tells(box: Sandbox, run: Run) -> None:
    box.add(Fault(match="/storage/.*a.csv", corrupt=3))
    receipt = run("get", "kaggle:owner/few", "--json").last
    assert tree(Path(receipt["path"])) == FEW
    assert sum("a.csv" in entry.target and "/storage/" in entry.target for entry in box.log) == 2


@pytest.mark.parametrize("size", [3_000_000, pytest.param(SEGMENTS_FROM + 5, marks=pytest.mark.long)])
@pytest.mark.parametrize("wrong", [False, True])
def test_of_what_storage_composed_the_crc32c_is_compared(box: Sandbox, run: Run, size: int, wrong: bool) -> None:
    """In one stream, and in several ranges."""
    data = Content.noise(size, "composed")
    box.kaggle.dataset("owner/big", MANY, bundle=data, composed=True)
    # Of a bundle neither size nor digest is known beforehand: the first answer tells both.
    box.add(*[Fault(match="/storage/", corrupt=size // 2, times=1 if size < SEGMENTS_FROM else 400)] * wrong)
    ran = run("get", "kaggle:owner/big", "--no-unpack", "--json", code=4 if wrong and size > SEGMENTS_FROM else 0)
    if ran.code:
        assert re.search(r"big\.zip has crc32c:[0-9a-f]{8}, expected [0-9a-f]{8}", ran.err)
        return
    assert tree(Path(ran.last["path"])) == {"big.zip": data.whole()}
    assert ran.last["assurance"] == {"published": 1}
    assert sum("/storage/" in entry.target for entry in box.log) > wrong


def test_another_run_goes_on_with_another_link(box: Sandbox, run: Run) -> None:
    data = random.Random(2).randbytes(5_000_000)
    box.kaggle.dataset("owner/big", MANY, bundle=Content.of(data))
    box.kaggle.uses = 1
    box.add(Fault(match="/storage/", cut=2_000_000))
    arguments = ("get", "kaggle:owner/big", "--no-unpack", "--json")
    first = run(*arguments, "-vv", code=1, MEDFETCH_TRIES="1")
    receipt = run(*arguments).last
    assert tree(Path(receipt["path"])) == {"big.zip": data}
    assert receipt["assurance"] == {"published": 1}
    sent = [entry for entry in box.log if "/storage/" in entry.target]
    assert [entry.sent for entry in sent if entry.status < 400] == [2_000_000, 3_000_000]
    # A signed link is a secret.
    assert "/storage/" in first.err
    assert "X-Goog-Signature" not in first.out + first.err
