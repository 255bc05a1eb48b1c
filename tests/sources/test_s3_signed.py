"""Buckets that are not for all: signed requests, refusals told apart, charges that nobody meets unknowingly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree, write_recipe
from running import Ran, Run

from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.sigv4 import Account
from medfetch.segments import SEGMENTS_FROM

ME = Account("AKIAS3CRETSANDBOX123", "s3cret/of+the=account")
GUEST = Account("ASIAS3CRETSANDBOX456", "s3cret/of+the=session", "s3cret//session+token==")
STRANGER = Account("AKIASTRANGER", "stranger-secret")
KEYS = {"AWS_ACCESS_KEY_ID": ME.id, "AWS_SECRET_ACCESS_KEY": ME.secret}
ODD = {"a+b.nii": b"1" * 500, "case 1/100% é山.nii": b"2" * 700, "q?x=1&y#z;'~(1)=.bin": b"3" * 900}
AMAZONS = {"x-amz-security-token", "x-amz-date", "x-amz-request-payer"}
HIDDEN = [ME.secret, str(GUEST.session), GUEST.secret]


def in_bucket(box: Sandbox, bucket: str, files: dict[str, bytes] = ODD) -> dict[str, str]:
    for name, data in files.items():
        box.put(f"s3://{bucket}/data set/{name}", data)
    return {name: sha256(data) for name, data in files.items()}


def environment(account: Account) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": account.id, "AWS_SECRET_ACCESS_KEY": account.secret}
    return keys | ({"AWS_SESSION_TOKEN": account.session} if account.session else {})


def paying(home: Path, **more: Any) -> str:
    route = {"source": "s3", "bucket": "paid", "prefix": "data set/", "requester_pays": True, **more}
    return write_recipe(home, "paid", parts={"all": {"routes": [route]}})


def kept(ran: Ran, *folders: Path) -> None:
    """Fails where a secret was said or written."""
    said = ran.out + ran.err
    said += "".join(path.read_bytes().decode("latin-1") for folder in folders for path in folder.rglob("*.json"))
    assert [word for word in HIDDEN if word in said] == []


# -- private buckets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", [ME, GUEST], ids=["keys", "session"])
def test_a_private_bucket_is_had_by_signature(
    box: Sandbox, run: Run, home: Path, cache: Path, account: Account
) -> None:
    files = in_bucket(box, "closed")
    box.s3.close("closed", account)
    ran = run("get", "s3:closed/data set/", "--json", "-vv", **environment(account))
    assert tree(Path(ran.last["path"])) == files
    assert ran.last["assurance"] == {"published": len(files)}
    assert Path(ran.last["path"]).stat().st_mode & 0o077 == 0
    kept(ran, cache)
    # Nobody was said to pay.
    assert {entry.header("x-amz-request-payer") for entry in box.log} == {None}
    assert {entry.header("x-amz-security-token") for entry in box.log} == {None, account.session}


def test_of_what_is_encrypted_by_its_owner_the_etag_is_no_checksum(box: Sandbox, run: Run) -> None:
    files = in_bucket(box, "closed")
    box.s3.close("closed", ME, kms=True)
    receipt = run("get", "s3:closed/data set/", "--json", **KEYS).last
    assert tree(Path(receipt["path"])) == files
    assert receipt["assurance"] == {"size-only": len(files)}


def test_a_wrong_byte_of_a_private_bucket_is_found(box: Sandbox, run: Run) -> None:
    data = box.put("s3://closed/data set/scan.bin", size=100_000)
    box.s3.close("closed", ME)
    box.add(Fault(match=r"scan\.bin$", corrupt=99_991))
    receipt = run("get", "s3:closed/data set/", "--json", **KEYS).last
    assert tree(Path(receipt["path"])) == {"scan.bin": sha256(data)}
    assert receipt["assurance"] == {"published": 1}


def test_a_public_bucket_is_asked_as_anybody(box: Sandbox, run: Run) -> None:
    """Keys that are wrong do no harm there."""
    files = in_bucket(box, "open")
    receipt = run("get", "s3:open/data set/", "--json", AWS_ACCESS_KEY_ID="no", AWS_SECRET_ACCESS_KEY="no").last
    assert tree(Path(receipt["path"])) == files
    assert {entry.header("authorization") for entry in box.log} == {None}


def test_a_large_file_in_several_ranges_that_breaks(box: Sandbox, run: Run) -> None:
    data = box.put("s3://closed/data set/large.bin", size=SEGMENTS_FROM + 9)
    box.s3.close("closed", ME)
    box.add(Fault(match=r"large\.bin$", cut=3_000_000), Fault(match=r"large\.bin$", status=503))
    receipt = run("get", "s3:closed/data set/", "--json", **KEYS).last
    assert tree(Path(receipt["path"])) == {"large.bin": sha256(data)}


@pytest.mark.parametrize(
    ("account", "says"),
    [
        (None, "no AWS keys here"),
        (Account("AKIANOBODY", ME.secret), "does not know the access key id"),
        (Account(ME.id, "wrong"), "does not belong to its id"),
        (Account(GUEST.id, GUEST.secret, "s3cret-other"), "session token is wrong"),
        (STRANGER, "has not given it leave, or wants whoever downloads to pay"),
    ],
)
def test_refusals_are_told_apart(box: Sandbox, run: Run, cache: Path, account: Account | None, says: str) -> None:
    in_bucket(box, "closed")
    box.s3.close("closed", ME, GUEST, strangers=(STRANGER,))
    ran = run("get", "s3:closed/data set/", "-vv", code=3, **(environment(account) if account else {}))
    assert says in " ".join(ran.err.split())
    kept(ran, cache)
    assert box.stats.data_bytes == 0


def test_a_clock_that_is_wrong_is_named(box: Sandbox, run: Run) -> None:
    in_bucket(box, "closed")
    box.s3.close("closed", ME)
    skewed = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>"
    box.add(Fault(match="list-type=2", after=1, status=403, body=skewed, times=None))
    assert "clock of this machine" in " ".join(run("get", "s3:closed/", code=3, **KEYS).err.split())


def test_the_region_is_told_where_it_cannot_be_found_out(box: Sandbox, run: Run) -> None:
    """At Amazon the request goes to the region's host then; behind another endpoint there is but one."""
    in_bucket(box, "far")
    box.s3.close("far", ME, region="eu-west-1")
    assert "expecting 'eu-west-1'" in run("get", "s3:far/", code=3, **KEYS).err


def test_a_redirect_takes_no_signature_along(box: Sandbox, run: Run, home: Path) -> None:
    in_bucket(box, "closed")
    box.s3.close("closed", GUEST)
    with Sandbox() as other:
        there = f"{other.endpoints['http']}/elsewhere.example/x"
        # Listings first, then files; what nobody signs may go there.
        for match in ("list-type=2", r"\.(nii|bin)"):
            box.clear()
            box.add(Fault(match=match, after=1 if "list" in match else 0, redirect=there, times=None))
            ran = run("get", "s3:closed/data set/", "-vv", code=None, **{**environment(GUEST), "MEDFETCH_TRIES": "1"})
            assert ran.code
            kept(ran)
        assert {name.lower() for entry in other.log for name, _ in entry.headers} & {"authorization", *AMAZONS} == set()
    assert any(entry.status == 302 and entry.header("authorization") for entry in box.log)


# -- requester pays -----------------------------------------------------------------------------------------------


def test_nobody_pays_unknowingly(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    files = in_bucket(box, "paid")
    box.s3.close("paid", ME, requester_pays=True)
    paying(home)
    # What it takes is said before any request; a question that is charged is not asked either.
    shown = run("access", "paid", "--check", **KEYS).out
    assert "paid-charges" in shown and "charges your AWS account" in " ".join(shown.split())
    for verb in ("plan", "get"):
        refused = run(verb, "paid", code=3, **KEYS)
        assert "medfetch agree paid --step paid-charges" in refused.err
    assert box.log == []
    run("agree", "paid", "--step", "paid-charges", "--agreed-on", "2026-11-20", "--as", "Ada Lovelace")
    assert "aws configure" in run("get", "paid", code=3).err
    planned = run("plan", "paid", **KEYS)
    assert "your account pays" in planned.out
    ran = run("get", "paid", "-vv", **KEYS)
    assert "your account pays" in ran.err
    assert tree(cache / "paid" / "current") == files
    assert {entry.header("x-amz-request-payer") for entry in box.log} == {"requester"}
    assert all(entry.header("authorization") for entry in box.log)
    kept(ran, cache, home / ".local")
    agreed = json.loads((cache / "paid" / "current" / ".medfetch" / "receipt.json").read_text())["agreements"]
    assert [each["step"] for each in agreed] == ["paid-charges"]


def test_a_bucket_that_wants_to_be_paid_is_named_where_the_route_says_nothing(box: Sandbox, run: Run) -> None:
    in_bucket(box, "paid")
    box.s3.close("paid", ME, requester_pays=True)
    for keys, says in (({}, "a route says so by `requester_pays: true`"), (KEYS, "or wants whoever downloads to pay")):
        assert says in " ".join(run("get", "s3:paid/", code=3, **keys).err.split())
    assert {entry.header("x-amz-request-payer") for entry in box.log} == {None}


@pytest.mark.parametrize(
    ("account", "says"),
    [
        (Account("AKIANOBODY", ME.secret), "does not know the access key id"),
        (Account(ME.id, "wrong"), "does not belong to its id"),
        (STRANGER, "has not given your AWS account leave, also where it pays"),
    ],
)
def test_who_pays_may_be_refused_all_the_same(box: Sandbox, run: Run, home: Path, account: Account, says: str) -> None:
    in_bucket(box, "paid")
    box.s3.close("paid", ME, strangers=(STRANGER,), requester_pays=True)
    paying(home)
    run("agree", "paid", "--step", "paid-charges", "--agreed-on", "2026-11-20", "--as", "Ada Lovelace")
    assert says in " ".join(run("get", "paid", code=3, **environment(account)).err.split())


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_route_that_costs_is_taken_only_when_asked_for(box: Sandbox, run: Run, home: Path, where: str) -> None:
    """Wherever it stands, whatever was agreed to, and though the other fails."""
    files = in_bucket(box, "paid")
    box.s3.close("paid", ME, requester_pays=True)
    routes: list[dict[str, Any]] = [
        {"source": "http", "files": [{"path": "a+b.nii", "url": "https://host.example/a"}]},
        {"source": "s3", "bucket": "paid", "prefix": "data set/", "requester_pays": True},
    ]
    write_recipe(home, "both", parts={"all": {"routes": routes if where == "last" else routes[::-1]}})
    assert run("get", "both", "--route", "s3", code=3, **KEYS).out == ""
    run("agree", "both", "--step", "both-charges", "--agreed-on", "2026-11-20", "--as", "Ada Lovelace")
    run("get", "both", code=1, **KEYS)
    assert [entry for entry in box.log if "/paid" in entry.target] == []
    receipt = run("get", "both", "--route", "s3", "--json", **KEYS).last
    assert tree(Path(receipt["path"])) == files
    assert [each["step"] for each in receipt["agreements"]] == ["both-charges"]
