"""The source ``gen3`` against the sandbox: what objects are there, whom a commons lets have them, links that expire."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from plain_net import PlainNet
from running import Run

from medfetch.errors import RecipeError, Refused, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources.gen3 import Gen3
from medfetch.types import Door, RemoteFile, Selection

HOST = "commons.example.org"
SCAN, OTHER = bytes(range(256)) * 9000, b"other" * 300
ROWS = [
    {"object_id": f"drs://{HOST}/dg.1/a", "file_name": "case/scan.nii.gz", "file_size": len(SCAN),
     "md5sum": hashlib.md5(SCAN).hexdigest(), "commons_url": f"https://{HOST}/", "project_id": "P"},
    {"object_id": "dg.1/b", "file_name": "scan.nii.gz"},
]  # fmt: skip


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.gen3.put(HOST, "dg.1/a", SCAN, name="case/scan.nii.gz")
        box.gen3.put(HOST, "dg.1/b", OTHER)
        box.gen3.put(HOST, "dg.1/closed", OTHER, approved=False)
        yield box


@pytest.fixture
def stranger(box: Sandbox) -> PlainNet:
    """Without a key."""
    return PlainNet(Gen3.traits, gen3=box.endpoints["gen3"])


@pytest.fixture
def net(stranger: PlainNet, box: Sandbox) -> PlainNet:
    stranger.secrets[f"gen3:{HOST}"] = f"Bearer {box.gen3.access_token(HOST)}"
    return stranger


def resolved(net: PlainNet, **locator: object) -> list[RemoteFile]:
    return list(Gen3().resolve({"host": HOST, **locator}, net, Selection()))


# -- what is there -------------------------------------------------------------------------------------------------


def test_objects_are_what_their_commons_says(net: PlainNet, box: Sandbox) -> None:
    first, second = resolved(net, objects=["dg.1/a", "dg.1/b", f"drs://{HOST}/dg.1/a"])
    assert (first.path, first.size, second.path) == ("scan.nii.gz", len(SCAN), "data")
    assert [str(each) for each in first.checksums] == [f"md5:{ROWS[0]['md5sum']}"]
    assert first.key == f"drs://{HOST}/dg.1/a"
    assert first.urls == (f"{box.endpoints['gen3']}/{HOST}/ga4gh/drs/v1/objects/dg.1/a/access/s3",)


def test_an_object_without_access_ids_is_asked_for_as_a_manifests_is(net: PlainNet, box: Sandbox) -> None:
    box.gen3.clouds = ()
    [file] = resolved(net, objects=["dg.1/a"])
    assert file.urls == (f"{box.endpoints['gen3']}/{HOST}/user/data/download/dg.1/a",)


def test_a_manifest_is_believed_and_names_stay_apart(net: PlainNet) -> None:
    first, second = resolved(net, manifest=ROWS)
    assert net.asked == []
    assert (first.path, first.size) == ("scan.nii.gz", len(SCAN))
    assert (second.path, second.size, second.checksums) == ("dg.1%2Fb/scan.nii.gz", None, ())


def test_without_a_replacement_the_commons_itself_is_asked() -> None:
    [file] = resolved(PlainNet(Gen3.traits), manifest=ROWS[:1])
    assert file.urls == (f"https://{HOST}/user/data/download/dg.1/a",)


@pytest.mark.parametrize("text", [f"{HOST}/dg.1/a", f"drs://{HOST}/dg.1/a"])
def test_what_people_type(text: str) -> None:
    assert Gen3().locate(text) == {"host": HOST, "objects": ["dg.1/a"]}
    for wrong in ("dg.1", HOST, f"{HOST}/", "https://x.example/a b"):
        with pytest.raises(UsageProblem):
            Gen3().locate(wrong)


@pytest.mark.parametrize("text", ["dg.4DFC:f/1", "drs://dg.4dfc/f/1", "drs://dg.4DFC:dg.4DFC/f/1"])
def test_ids_that_name_no_host(text: str) -> None:
    assert Gen3().locate(text) == {"host": "nci-crdc.datacommons.io", "objects": ["dg.4DFC/f/1"]}


def test_an_id_of_a_commons_that_is_not_known() -> None:
    with pytest.raises(UsageProblem, match=r"begin with dg\.0000") as caught:
        Gen3().locate("drs://dg.0000:f")
    assert caught.value.hint is not None and "gen3:HOST/dg.0000/f" in caught.value.hint


@pytest.mark.parametrize(
    "locator",
    [
        {},
        {"objects": ["a"], "manifest": ROWS},
        {"objects": ["../a"]},
        {"manifest": {"object_id": "a"}},
        {"manifest": [{"file_name": "a"}]},
        {"manifest": [{"object_id": "drs://elsewhere.example/a"}]},
        {"manifest": [{"object_id": "a", "file_name": "a", "file_size": "3"}]},
        {"manifest": [{"object_id": "a", "file_name": "a", "md5sum": "x"}]},
        {"manifest": [{"object_id": "a", "file_name": "a", "commons_url": "https://elsewhere.example/"}]},
        {"host": "h/x", "objects": ["a"]},
    ],
)
def test_what_is_wrong_with_a_locator_is_told(locator: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        resolved(PlainNet(Gen3.traits), **locator)


# -- who may have it -----------------------------------------------------------------------------------------------


def test_a_refusal_names_all_that_it_may_mean(net: PlainNet, box: Sandbox) -> None:
    assert Gen3().preflight({"host": HOST, "objects": "dg.1/a"}, net).door is Door.OPEN
    closed = Gen3().preflight({"host": HOST, "objects": "dg.1/closed"}, net)
    assert (closed.door, closed.at) == (Door.UNCLEAR, f"https://{HOST}/")
    for reason in ("key is wrong", "expired", "no approval"):
        assert reason in closed.said
    assert Gen3().preflight({"host": HOST, "objects": "dg.1/no"}, net).door is Door.ABSENT
    with pytest.raises(Refused, match="no approval"):
        Gen3().link(f"{box.endpoints['gen3']}/{HOST}/user/data/download/dg.1/closed", net)
    with pytest.raises(UsageProblem, match=r"has no object dg\.1/no"):
        resolved(net, objects=["dg.1/no"])


def test_without_a_key_one_is_told_where_it_is_made(stranger: PlainNet) -> None:
    verdict = Gen3().preflight({"host": HOST, "objects": "dg.1/a"}, stranger)
    assert verdict.door is Door.NO_LOGIN
    assert f"medfetch login gen3:{HOST}" in verdict.said


# -- the whole way -------------------------------------------------------------------------------------------------


def keep_key(home: Path, box: Sandbox) -> None:
    (home / ".gen3").mkdir()
    (home / ".gen3" / "credentials.json").write_text(json.dumps(box.gen3.key(HOST)))
    (home / ".gen3" / "credentials.json").chmod(0o600)


def test_links_that_are_over_are_asked_for_anew(run: Run, box: Sandbox, home: Path, cache: Path) -> None:
    keep_key(home, box)
    box.gen3.uses = 1
    box.add(Fault(match=r"/storage/.*scan\.nii", cut=1_500_000))
    write_recipe(home, "commons", parts={"all": {"routes": [{"source": "gen3", "host": HOST, "manifest": ROWS}]}})
    receipt = run("get", "commons", "--json").last
    assert receipt["assurance"] == {"published": 1, "first-seen": 1}
    assert tree(cache / "commons" / "current") == {
        "scan.nii.gz": sha256(SCAN), "dg.1%2Fb/scan.nii.gz": sha256(OTHER),
    }  # fmt: skip
    # The key went to the commons, and the token for it not on to storage.
    stored = [entry for entry in box.log if "/storage/" in entry.target]
    assert len({entry.target for entry in stored if "scan.nii" in entry.target}) == 2
    assert not any(entry.header("authorization") for entry in stored)
    assert sum(entry.sent for entry in stored if entry.status in (200, 206)) < len(SCAN) + len(OTHER) + 500_000


def test_an_id_as_it_stands_in_papers_is_a_name(run: Run, box: Sandbox, home: Path) -> None:
    keep_key(home, box)
    receipt = run("get", f"drs://{HOST}/dg.1/a", "--json").last
    assert tree(Path(receipt["path"])) == {"scan.nii.gz": sha256(SCAN)}
    assert run("path", f"gen3:{HOST}/dg.1/a").out.strip() == receipt["path"]


def test_what_one_cloud_has_not_comes_from_the_other(run: Run, box: Sandbox, home: Path) -> None:
    keep_key(home, box)
    box.gen3.clouds = ("gs", "s3")
    box.add(Fault(match="/access/gs", status=404, times=None))
    receipt = run("get", f"gen3:{HOST}/dg.1/a", "--json").last
    assert tree(Path(receipt["path"])) == {"scan.nii.gz": sha256(SCAN)}


def test_a_key_that_has_lapsed_is_told_before_a_byte(run: Run, box: Sandbox, home: Path, cache: Path) -> None:
    keep_key(home, box)
    box.gen3.lapsed = {HOST}
    failed = run("get", f"gen3:{HOST}/dg.1/a", "--json", code=3)
    assert "expired" in failed.last["message"] and box.gen3.key(HOST)["api_key"] not in failed.out + failed.err
    assert not any("/storage/" in entry.target for entry in box.log)


def test_where_no_token_is_given_one_layer_tries_again(run: Run, box: Sandbox, home: Path) -> None:
    keep_key(home, box)
    write_recipe(home, "commons", parts={"all": {"routes": [{"source": "gen3", "host": HOST, "manifest": ROWS[:1]}]}})
    # The first is for the question whether the commons is open, in another process than the download.
    box.add(Fault(match="/access_token", method="POST", status=503, times=None, after=1))
    run("get", "commons", code=1, MEDFETCH_TRIES="3", MEDFETCH_BACKOFF="0.01")
    assert sum("/access_token" in entry.target for entry in box.log) == 1 + 3


@pytest.mark.parametrize("name", ["cohort.json", "cohort.csv"])
def test_the_manifest_of_a_portal_is_named_as_a_file(run: Run, box: Sandbox, home: Path, name: str) -> None:
    keep_key(home, box)
    rows = [{**row, "commons_url": HOST} for row in ROWS]
    if name.endswith(".json"):
        (home / name).write_text(json.dumps(rows))
    else:
        titles = ("object_id", "file_name", "file_size", "md5sum", "commons_url")
        lines = [titles, *([str(row.get(title, "")) for title in titles] for row in rows)]
        (home / name).write_text("".join(f"{','.join(line)}\n" for line in lines))
    receipt = run("get", f"./{name}", "--json").last
    assert tree(Path(receipt["path"])) == {"scan.nii.gz": sha256(SCAN), "dg.1%2Fb/scan.nii.gz": sha256(OTHER)}
    assert receipt["assurance"] == {"published": 1, "first-seen": 1}
    # Moved, it is the same.
    (home / name).rename(home / f"moved-{name}")
    assert run("plan", f"./moved-{name}", "--json").last["files"] == 2


def test_a_manifest_without_a_commons_says_what_to_add(run: Run, home: Path) -> None:
    (home / "cohort.json").write_text('[{"object_id": "dg.1/a"}]')
    assert '"commons_url": "data.midrc.org"' in run("get", "cohort.json", code=2).err
