"""The source ``hf`` against the sandbox: one commit, checksums, pages, gates, and the token that stays at the Hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources.hf import HuggingFace
from medfetch.types import Door, RemoteFile, Selection

LOCATOR = {"dataset": "o/d"}
FILES: dict[str, bytes | int] = {"README.md": b"# d\n", "data/a b.bin": 20_000, "data/c+ä.txt": b"", "z.bin": 6000}
TOKEN = "hf_sandbox0token"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.hub.users = {TOKEN: "ann", "hf_other": "bob", "hf_third": "eve"}
        yield box


def net(box: Sandbox, token: str | None = None) -> PlainNet:
    made = PlainNet(HuggingFace.traits, hf=box.endpoints["hf"])
    if token:
        made.secrets["hf"] = f"Bearer {token}"
    return made


def resolved(net: PlainNet, **locator: object) -> list[RemoteFile]:
    return list(HuggingFace().resolve(locator or LOCATOR, net, Selection()))


def test_files_of_one_commit_with_their_checksums(box: Sandbox) -> None:
    commit, content = box.hub.publish("o/d", FILES)
    files = resolved(net(box))
    assert [file.path for file in files] == sorted(FILES)
    assert [file.size for file in files] == [len(content[file.path]) for file in files]
    small = hashlib.sha1(b"blob 4\0# d\n").hexdigest()
    assert [str(each) for each in files[0].checksums] == [f"git-sha1-4:{small}"]
    assert [str(each) for each in files[1].checksums] == [f"sha256:{sha256(content['data/a b.bin'])}"]
    assert files[1].urls == (f"{box.endpoints['hf']}/datasets/o/d/resolve/{commit}/data/a%20b.bin",)
    assert {file.credential for file in files} == {None}


def test_it_stays_with_the_commit_that_it_planned(box: Sandbox) -> None:
    commit, _ = box.hub.publish("o/d", FILES)
    (first, *_) = resolved(net(box), dataset="o/d", revision="main")
    assert commit in first.urls[0]
    (pinned, *_) = resolved(net(box), dataset="o/d", revision=commit)
    assert pinned == first


@pytest.mark.parametrize("page", [1, 2, 4, 5])
def test_a_tree_comes_in_pages(box: Sandbox, page: int) -> None:
    box.hub.publish("o/d", FILES)
    box.hub.page = page
    assert [file.path for file in resolved(net(box))] == sorted(FILES)
    assert sum("/tree/" in entry.target for entry in box.log) == -(-(len(FILES) + 1) // page)


def test_pages_are_asked_of_the_endpoint_wherever_they_are_said_to_be(box: Sandbox) -> None:
    commit, _ = box.hub.publish("o/d", FILES)
    box.hub.page = 3
    elsewhere = f"https://huggingface.co/api/datasets/o/d/tree/{commit}?recursive=true&expand=false&cursor=3"
    box.add(Fault(match="/tree/", headers={"Link": f'<{elsewhere}>; rel="next"'}))
    assert len(resolved(net(box))) == len(FILES)


@pytest.mark.parametrize("body", ["<html>", "{}", '[{"type": "file"}]'])
def test_what_is_no_tree(box: Sandbox, body: str) -> None:
    box.hub.publish("o/d", FILES)
    box.add(Fault(match="/tree/", body=body, status=200))
    with pytest.raises(Retryable, match="tree"):
        resolved(net(box))


def test_what_tells_no_commit(box: Sandbox) -> None:
    box.hub.publish("o/d", FILES)
    box.add(Fault(match="/revision/", body='{"sha": "main"}', status=200))
    with pytest.raises(Retryable, match="commit"):
        resolved(net(box))


def test_only_what_the_locator_wants(box: Sandbox) -> None:
    box.hub.publish("o/d", FILES)
    assert [file.path for file in resolved(net(box), **LOCATOR, path=["data", "*.md"])] == [
        "README.md", "data/a b.bin", "data/c+ä.txt",
    ]  # fmt: skip


def test_names() -> None:
    locate = HuggingFace().locate
    assert locate("andreped/LyNoS") == {"dataset": "andreped/LyNoS"}
    assert locate("https://huggingface.co/datasets/andreped/LyNoS") == {"dataset": "andreped/LyNoS"}
    assert locate("o/d@v1.0") == {"dataset": "o/d", "revision": "v1.0"}
    for wrong in ("", "d", "o/d@", "o/d/e", "../d"):
        with pytest.raises(UsageProblem):
            locate(wrong)
    for locator in ({"dataset": "o"}, {}, {"dataset": "o/d", "path": []}, {"dataset": "o/d", "x": "y"}):
        with pytest.raises(RecipeError):
            list(HuggingFace().resolve(locator, PlainNet(HuggingFace.traits), Selection()))


@pytest.mark.parametrize(
    ("token", "door", "said"),
    [
        (None, Door.NO_LOGIN, "medfetch login hf"),
        ("hf_wrong", Door.WRONG_LOGIN, "does not accept"),
        ("hf_other", Door.PENDING, "not decided"),
        ("hf_third", Door.NOT_APPROVED, "ask for access"),
        ("hf_fourth", Door.NOT_APPROVED, "rejected the request"),
        (TOKEN, Door.OPEN, "open to this token"),
    ],
)
def test_each_refusal_is_told_apart(box: Sandbox, token: str | None, door: Door, said: str) -> None:
    box.hub.users["hf_fourth"] = "dan"
    box.hub.publish("o/d", FILES, gated="manual", approved=["ann"], pending=["bob"], rejected=["dan"])
    verdict = HuggingFace().preflight(LOCATOR, net(box, token))
    assert verdict.door == door
    assert said in verdict.said
    assert verdict.at is not None and verdict.at.startswith("https://huggingface.co/")
    if door is Door.OPEN:
        assert {file.credential for file in resolved(net(box, token))} == {"hf"}
    else:
        with pytest.raises(AccessRequired):
            resolved(net(box, token))


def test_a_gate_that_opens_by_itself_is_told_from_one_that_people_open(box: Sandbox) -> None:
    box.hub.publish("o/d", FILES, gated="auto", approved=["ann"])
    verdict = HuggingFace().preflight(LOCATOR, net(box, "hf_third"))
    assert verdict.door is Door.RULES
    assert "opens it at once" in verdict.said


def test_what_the_hub_has_disabled(box: Sandbox) -> None:
    box.hub.publish("o/d", FILES)
    box.add(Fault(match="/revision/", status=403, body="Access to this resource is disabled."))
    verdict = HuggingFace().preflight(LOCATOR, net(box, TOKEN))
    assert verdict.door is Door.ABSENT
    assert "nobody can have it" in verdict.said


def test_what_is_not_there(box: Sandbox) -> None:
    box.hub.publish("o/d", FILES)
    preflight = HuggingFace().preflight
    assert preflight({"dataset": "o/none"}, net(box, TOKEN)).door == Door.ABSENT
    assert preflight({"dataset": "o/d", "revision": "v9"}, net(box)).door == Door.ABSENT
    private = preflight({"dataset": "o/none"}, net(box))
    assert private.door == Door.UNCLEAR
    assert "not there, or it is private" in private.said
    with pytest.raises(UsageProblem):
        resolved(net(box), dataset="o/d", revision="v9")


def test_other_refusals_stay_what_they_are(box: Sandbox) -> None:
    box.hub.publish("o/d", FILES)
    box.add(Fault(match="/revision/", status=410))
    with pytest.raises(Refused):
        resolved(net(box))


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_gated_dataset_arrives_and_the_token_stays_at_the_hub(
    run: Run, home: Path, cache: Path, box: Sandbox
) -> None:
    _, content = box.hub.publish("o/d", FILES, gated="auto", approved=["ann"])
    write_recipe(home, "gated", routes=[{"source": "hf", **LOCATOR}])
    ran = run("get", "gated", "-vv", "--json", HF_TOKEN=TOKEN)
    assert tree(cache / "gated" / "current") == {path: sha256(data) for path, data in content.items()}
    sent = {entry.target.split("/")[2]: entry.header("authorization") for entry in box.log}
    assert sent == {"api": f"Bearer {TOKEN}", "datasets": f"Bearer {TOKEN}", "storage": None}
    assert TOKEN not in ran.out + ran.err


def test_a_small_file_that_is_wrong_is_noticed(run: Run, box: Sandbox) -> None:
    box.hub.publish("o/d", FILES)
    box.add(Fault(match="/README.md", corrupt=1, times=None))
    ran = run("get", "hf:o/d", "--json", code=4)
    assert [failure["path"] for failure in ran.last["failures"]] == ["README.md"]


def test_hf_endpoint_replaces_the_hub(run: Run, box: Sandbox) -> None:
    _, content = box.hub.publish("o/d", FILES)
    ran = run("get", "hf:o/d", "--json", MEDFETCH_ENDPOINT_HF="", HF_ENDPOINT=box.endpoints["hf"])
    assert tree(Path(ran.last["path"])) == {path: sha256(data) for path, data in content.items()}


def test_what_the_hub_also_has_in_chunks_comes_whole_and_is_checked_likewise(run: Run, box: Sandbox) -> None:
    box.hub.xet = True
    _, content = box.hub.publish("o/d", FILES)
    receipt = run("get", "hf:o/d", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in content.items()}
    assert receipt["assurance"] == {"published": len(FILES)}


def test_a_link_that_has_expired_is_asked_for_again(run: Run, box: Sandbox) -> None:
    _, content = box.hub.publish("o/d", {"large.bin": 3_000_000})
    box.add(Fault(match="/storage/", cut=1_000_000), Fault(match="/storage/", status=403))
    ran = run("get", "hf:o/d", "--json", code=None)
    assert ran.code == 0, ran.err
    # The link, the one that goes on from the cut and is refused, and the new one.
    assert sum("/resolve/" in entry.target for entry in box.log) == 3
    assert tree(Path(ran.last["path"])) == {"large.bin": sha256(content["large.bin"])}
