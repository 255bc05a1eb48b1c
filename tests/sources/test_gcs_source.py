"""Buckets of Google's storage: public ones, those of an account, and those whose requesters pay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree, write_recipe
from google_account import account, private_key
from plain_net import PlainNet
from running import Ran, Run

from medfetch.errors import RecipeError, Refused, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.gcs import GENERATION, PROJECT, STRANGER, TOKEN
from medfetch.sources.gcs import Gcs
from medfetch.types import Selection

ODD = {"a+b.nii": b"1" * 500, "case 1/100% é山.nii": b"2" * 700, "q?x=1&y#z;'~(1)=.bin": b"3" * 900, "o/o/x": b"4"}
AGREED = ["--step", "paid-charges", "--agreed-on", "2026-11-20", "--as", "Ada Lovelace"]


def in_bucket(box: Sandbox, bucket: str) -> dict[str, str]:
    for name, data in ODD.items():
        box.put(f"gs://{bucket}/data set/{name}", data)
    return {name: sha256(data) for name, data in ODD.items()}


def paying(home: Path) -> None:
    route = {"source": "gcs", "bucket": "paid", "prefix": "data set/", "requester_pays": True}
    write_recipe(home, "paid", parts={"all": {"routes": [route]}})


def kept(ran: Ran, *folders: Path) -> None:
    """Fails where a secret was said or written."""
    said = ran.out + ran.err
    said += "".join(path.read_bytes().decode("latin-1") for folder in folders for path in folder.rglob("*.json"))
    hidden = [TOKEN, STRANGER, private_key().splitlines()[1]]
    assert [word for word in hidden if word in said] == []


def storage(box: Sandbox) -> list[Any]:
    return [entry for entry in box.log if "/storage/v1/" in entry.target]


def test_a_public_bucket_is_asked_as_anybody(box: Sandbox, run: Run, home: Path) -> None:
    """Page by page, each object as it was listed; a log-in is not even looked at."""
    files = in_bucket(box, "open")
    box.put("gs://open/data set/folder/", b"")
    box.gcs.page = 2
    receipt = run("get", "gcs:open/data set/", "--json", GOOGLE_APPLICATION_CREDENTIALS=str(home / "none.json")).last
    assert tree(Path(receipt["path"])) == files
    assert receipt["assurance"] == {"published": len(files)}
    assert {entry.header("authorization") for entry in box.log} == {None}
    assert len([entry for entry in box.log if "fields=" in entry.target]) >= 3
    bytes_of = [entry.target for entry in box.log if "alt=media" in entry.target]
    assert len(bytes_of) == len(files) and all(f"generation={GENERATION}" in target for target in bytes_of)


def test_of_a_composed_object_crc32c_is_the_checksum(box: Sandbox, run: Run) -> None:
    address = "gs://open/data set/composed.bin"
    data = box.put(address, size=90_000)
    box.gcs.compose(address)
    found = list(Gcs().resolve({"bucket": "open"}, PlainNet(Gcs.traits, gcs=box.endpoints["gcs"]), Selection()))
    assert [[sum_.algorithm for sum_ in each.checksums] for each in found] == [["crc32c"]]
    box.add(Fault(match="alt=media", corrupt=80_000, times=1))
    receipt = run("get", "gcs:open/data set/", "--json").last
    assert tree(Path(receipt["path"])) == {"composed.bin": sha256(data)}
    assert receipt["assurance"] == {"published": 1}
    assert len([entry for entry in box.log if "alt=media" in entry.target]) == 2


def test_another_generation_is_not_had(box: Sandbox) -> None:
    """What was replaced since it was listed is refused, not taken for the same."""
    in_bucket(box, "open")
    net = PlainNet(Gcs.traits, gcs=box.endpoints["gcs"])
    url = next(Gcs().resolve({"bucket": "open"}, net, Selection())).urls[0]
    assert net.get(url).content in ODD.values()
    with pytest.raises(Refused, match="404"):
        net.get(url.replace(GENERATION, "1"))


def test_a_private_bucket_is_had_by_the_persons_log_in(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    files = in_bucket(box, "closed")
    box.gcs.close("closed")
    ran = run("get", "gcs:closed/data set/", "--json", "-vv", **account(box, home))
    assert tree(Path(ran.last["path"])) == files
    assert Path(ran.last["path"]).stat().st_mode & 0o077 == 0
    kept(ran, cache)
    assert {entry.header("authorization") for entry in storage(box)} == {None, f"Bearer {TOKEN}"}
    assert [entry for entry in box.log if "userProject" in entry.target] == []


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (None, "is not public, and there is no log-in at Google here"),
        ("ya29.s3cret-wrong", "did not take your log-in"),
        (STRANGER, "has not given your Google account leave"),
    ],
)
def test_refusals_are_told_apart(box: Sandbox, run: Run, home: Path, cache: Path, token: str | None, says: str) -> None:
    in_bucket(box, "closed")
    box.gcs.close("closed")
    box.gcs.gives = token or ""
    ran = run("get", "gcs:closed/data set/", "-vv", code=3, **(account(box, home) if token else {}))
    assert says in " ".join(ran.err.split())
    assert "google.auth" not in ran.err
    kept(ran, cache)
    assert box.stats.data_bytes == 0


def test_a_route_of_some_paths(box: Sandbox) -> None:
    in_bucket(box, "open")
    net = PlainNet(Gcs.traits, gcs=box.endpoints["gcs"])

    def paths(*patterns: str) -> list[str]:
        locator = {"bucket": "open", "prefix": "data set/", "path": list(patterns)}
        return sorted(each.path for each in Gcs().resolve(locator, net, Selection()))

    assert paths("case 1", "*.bin") == ["case 1/100% é山.nii", "q?x=1&y#z;'~(1)=.bin"]
    assert paths("o/o/") == ["o/o/x"]
    assert "prefix=data%20set%2Fo%2Fo%2F" in box.log[-1].target.replace("+", "%20")
    with pytest.raises(UsageProblem, match="gs://open/data set/ and fits the route's path"):
        paths("*.dcm")


def test_a_bucket_that_is_not_there(box: Sandbox, run: Run) -> None:
    assert "there is no bucket nowhere" in run("get", "gcs:nowhere/x", code=2).err


def test_a_log_in_that_google_does_not_take(box: Sandbox, run: Run, home: Path) -> None:
    in_bucket(box, "closed")
    box.gcs.close("closed")
    box.add(Fault(match="/token", method="POST", status=401, body='{"error": "invalid_grant"}', times=None))
    ran = run("get", "gcs:closed/data set/", code=None, **account(box, home))
    assert ran.code and "application-default login" in " ".join(ran.err.split())
    kept(ran)


# -- requester pays -----------------------------------------------------------------------------------------------


def test_nobody_pays_unknowingly(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    files = in_bucket(box, "paid")
    box.gcs.close("paid", requester_pays=True)
    paying(home)
    keys = account(box, home)
    shown = run("access", "paid", "--check", **keys).out
    assert "paid-charges" in shown and "charges your project" in " ".join(shown.split())
    for verb in ("plan", "get"):
        assert "medfetch agree paid --step paid-charges" in run(verb, "paid", code=3, **keys).err
    assert storage(box) == []
    run("agree", "paid", *AGREED)
    assert "application-default login" in run("get", "paid", code=3).err
    # The project of the account itself is not taken for one that is to be charged.
    missing = run("get", "paid", code=2, **account(box, home, None))
    assert "set-quota-project" in " ".join(missing.err.split())
    assert storage(box) == []
    keys = account(box, home)
    assert "your account pays" in run("plan", "paid", **keys).out
    ran = run("get", "paid", "-vv", **keys)
    assert "your account pays" in ran.err
    assert tree(cache / "paid" / "current") == files
    assert all(f"userProject={PROJECT}" in entry.target for entry in storage(box))
    assert {entry.header("authorization") for entry in storage(box)} == {f"Bearer {TOKEN}"}
    kept(ran, cache, home / ".local")
    agreed = json.loads((cache / "paid" / "current" / ".medfetch" / "receipt.json").read_text())["agreements"]
    assert [each["step"] for each in agreed] == ["paid-charges"]


def test_the_variable_names_the_project_before_the_credentials_do(box: Sandbox, run: Run, home: Path) -> None:
    files = in_bucket(box, "paid")
    box.gcs.close("paid", requester_pays=True, public=True)
    box.gcs.gives = STRANGER
    paying(home)
    run("agree", "paid", *AGREED)
    keys = {**account(box, home, None), "GOOGLE_CLOUD_QUOTA_PROJECT": "somebody-elses"}
    assert "may not charge that project" in " ".join(run("get", "paid", code=3, **keys).err.split())
    receipt = run("get", "paid", "--json", GOOGLE_CLOUD_PROJECT=PROJECT, **keys).last
    assert tree(Path(receipt["path"])) == files


def test_who_pays_may_be_refused_all_the_same(box: Sandbox, run: Run, home: Path) -> None:
    in_bucket(box, "paid")
    box.gcs.close("paid", requester_pays=True)
    box.gcs.gives = STRANGER
    paying(home)
    run("agree", "paid", *AGREED)
    said = " ".join(run("get", "paid", code=3, **account(box, home)).err.split())
    assert "has not given your Google account leave, also where it pays" in said


def test_a_bucket_that_wants_to_be_paid_is_named_where_the_route_says_nothing(box: Sandbox, run: Run) -> None:
    in_bucket(box, "paid")
    box.gcs.close("paid", requester_pays=True)
    assert "a route says so by `requester_pays: true`" in " ".join(run("get", "gcs:paid/", code=3).err.split())


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_route_that_costs_is_taken_only_when_asked_for(box: Sandbox, run: Run, home: Path, where: str) -> None:
    files = in_bucket(box, "paid")
    box.gcs.close("paid", requester_pays=True)
    routes: list[dict[str, Any]] = [
        {"source": "http", "files": [{"path": "a+b.nii", "url": "https://host.example/a"}]},
        {"source": "gcs", "bucket": "paid", "prefix": "data set/", "requester_pays": True},
    ]
    write_recipe(home, "paid", parts={"all": {"routes": routes if where == "last" else routes[::-1]}})
    keys = account(box, home)
    assert run("get", "paid", "--route", "gcs", code=3, **keys).out == ""
    run("agree", "paid", *AGREED)
    run("get", "paid", code=1, **keys)
    assert storage(box) == []
    assert tree(Path(run("get", "paid", "--route", "gcs", "--json", **keys).last["path"])) == files


# -- locators -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "Bucket/x", "../x", "a"])
def test_what_cannot_be_a_bucket(typed: str) -> None:
    with pytest.raises(UsageProblem, match="gcs:bucket/prefix"):
        Gcs().locate(typed)


@pytest.mark.parametrize(
    ("locator", "says"),
    [
        ({"bucket": "B"}, "name of a bucket"),
        ({"bucket": "bucket", "requester_pays": "yes"}, "true or false"),
        ({"bucket": "bucket", "region": "x"}, "region"),
    ],
)
def test_bad_locators(locator: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        list(Gcs().resolve(locator, PlainNet(Gcs.traits), Selection()))
