"""One dataset, two hosts: the same files by either, and by both where the first one fails on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import COLLECTION, http, of_subject, sha256, tree, write_recipe
from running import Run

from medfetch.sandbox import Fault, Sandbox

SUBJECT = "LIDC-IDRI-0001"
CT = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
DX = "1.3.6.1.4.1.14519.5.2.1.6279.6001.141365756818074696859567662357"


def origins(receipt: dict[str, Any]) -> dict[str, int]:
    return {each["source"]: each["files"] for each in receipt["from"]}


def test_both_routes_leave_the_same_tree(run: Run, tmp_path: Path, box: Sandbox) -> None:
    receipts = {
        route: run(
            "get", COLLECTION, "-s", f"subject={SUBJECT}", "--route", route, "--cache", tmp_path / route, "--json"
        ).last
        for route in ("idc", "tcia")
    }
    assert receipts["idc"]["tree"] == receipts["tcia"]["tree"]
    assert tree(Path(receipts["idc"]["path"])) == tree(Path(receipts["tcia"]["path"])) == of_subject(SUBJECT)
    assert [origins(receipt) for receipt in receipts.values()] == [{"idc": 135}, {"tcia": 135}]
    assert receipts["tcia"]["assurance"] == {"published": 135}


def test_killing_the_first_host_mid_run_fails_over_to_the_second(run: Run, box: Sandbox) -> None:
    box.add(Fault(match="^/(s3|gcs)/", method="", after=40, times=None, status=503))
    receipt = run("get", COLLECTION, "-s", f"subject={SUBJECT}", "--json", MEDFETCH_TRIES="2").last
    assert tree(Path(receipt["path"])) == of_subject(SUBJECT)
    assert set(origins(receipt)) == {"idc", "tcia"}
    assert sum(origins(receipt).values()) == 135
    assert receipt["failovers_total"] == len(receipt["failovers"]) > 0
    for failover in receipt["failovers"]:
        assert failover["from"] == "idc"
        assert failover["path"].endswith((CT, DX))
        assert "going on with tcia" in failover["why"]
    assert run("verify", COLLECTION, "--content", "--json").last["bad"] == 0


def test_a_host_that_is_gone_is_left_for_the_second(run: Run, box: Sandbox) -> None:
    # Port 9 (discard) is closed: connections are refused.
    gone = {f"MEDFETCH_ENDPOINT_{name}": "http://127.0.0.1:9/x" for name in ("IDC", "IDC_GCS")}
    receipt = run("get", COLLECTION, "-s", f"subject={SUBJECT}", "--json", MEDFETCH_TRIES="2", **gone).last
    assert tree(Path(receipt["path"])) == of_subject(SUBJECT)
    assert origins(receipt) == {"tcia": 135}
    assert receipt["failovers_total"] == 2


def test_where_no_host_of_any_route_answers_it_says_so(run: Run, cache: Path) -> None:
    gone = {f"MEDFETCH_ENDPOINT_{name}": "http://127.0.0.1:9/x" for name in ("IDC", "IDC_GCS", "TCIA")}
    ran = run("get", COLLECTION, "-s", f"subject={SUBJECT}", "--json", code=6, MEDFETCH_TRIES="2", **gone)
    assert ran.last["event"] == "failed"
    assert "127.0.0.1:9" in ran.last["message"]
    assert tree(cache / COLLECTION / "current") == {}


def test_amazon_fails_over_to_google(run: Run, box: Sandbox) -> None:
    box.add(Fault(match="^/s3/.*dcm", times=None, status=403))
    receipt = run("get", COLLECTION, "-s", f"series={DX}", "--json").last
    assert origins(receipt) == {"idc": 2}
    assert {entry.target.split("/")[1] for entry in box.log if entry.target.endswith(".dcm")} == {"s3", "gcs"}


def test_a_zip_that_is_always_cut_is_completed_by_single_instances(run: Run, box: Sandbox) -> None:
    box.add(Fault(match="getImageWithMD5Hash.*" + CT, cut=1_000_000, times=None))
    ran = run("get", COLLECTION, "-s", f"subject={SUBJECT}", "--route", "tcia", "--json", MEDFETCH_TRIES="2")
    assert tree(Path(ran.last["path"])) == of_subject(SUBJECT)
    singly = [entry for entry in box.log if "getSingleImage" in entry.target]
    assert len(singly) == 133
    assert any("instance by instance" in event.get("reason", "") for event in ran.lines)


def test_of_a_zip_with_one_bad_member_only_that_one_is_fetched_again(run: Run, box: Sandbox) -> None:
    box.add(Fault(match="getImageWithMD5Hash.*" + CT, corrupt=1_000_000, times=None))
    receipt = run("get", COLLECTION, "-s", f"subject={SUBJECT}", "--route", "tcia", "--json").last
    assert tree(Path(receipt["path"])) == of_subject(SUBJECT)
    assert len([entry for entry in box.log if "getSingleImage" in entry.target]) == 1
    # For a single instance NBIA publishes no digest.
    assert receipt["assurance"] == {"published": 134, "first-seen": 1}


def test_a_login_page_in_place_of_an_archive_is_no_series(run: Run, box: Sandbox, cache: Path) -> None:
    page = "<!DOCTYPE html><html><body>Please log in</body></html>"
    box.add(Fault(match="/getImage|/getSingleImage", body=page, times=None))
    run("get", COLLECTION, "-s", f"series={DX}", "--route", "tcia", "--json", code=4, MEDFETCH_TRIES="2")
    assert tree(cache / COLLECTION / "current") == {}


def test_mirrors_of_a_file_are_tried_in_their_order(run: Run, home: Path, box: Sandbox) -> None:
    data = box.put("https://second/file", size=3000)
    box.put("https://first/file", b"wrong")
    urls = ["https://first/file", "https://second/file"]
    write_recipe(home, "mirrored", routes=http({"path": "file", "url": urls, "sha256": sha256(data)}))
    receipt = run("get", "mirrored", "--json").last
    assert tree(Path(receipt["path"])) == {"file": sha256(data)}
    assert [entry.target for entry in box.log][-1] == "/http/second/file"
