"""From a name to a receipt: what ``get`` fetches, leaves, says and does not ask for twice; and what is done with it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import yaml
from datasets import COLLECTION, http, of_subject, sha256, tarred, tree, write_recipe, zipped
from running import CAP, Run

from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.archive import opened

SUBJECT = "LIDC-IDRI-0003"


@pytest.fixture
def of_five(box: Sandbox) -> str:
    """A selection of one series of five radiographs, 100 kB."""
    series = next(each for each in opened(CAP).select({"PatientID": SUBJECT, "Modality": "DX"}))
    return f"series={series.uid}"


# -- once, and once more -----------------------------------------------------------------------------------------


def test_get_leaves_what_the_host_has_and_a_receipt_of_it(run: Run, box: Sandbox, cache: Path) -> None:
    events = run("get", COLLECTION, "--select", f"subject={SUBJECT}", "--json").lines
    wanted = of_subject(SUBJECT)
    home = cache / COLLECTION / "current"
    assert tree(home) == wanted
    assert len(wanted) == 145
    assert [event["event"] for event in events if event["event"] != "progress"] == ["plan", "start", "receipt"]

    receipt = events[-1]
    lines = [f"{digest} {(home / name).stat().st_size} {name}\n" for name, digest in sorted(wanted.items())]
    size = sum((home / name).stat().st_size for name in wanted)
    assert receipt["tree"] == f"sha256:{sha256(''.join(lines).encode())}"
    assert (receipt["files"], receipt["bytes"], receipt["path"]) == (145, size, str(home))
    assert receipt["assurance"] == {"published": 145}
    assert receipt["from"] == [{"source": "idc", "host": f"127.0.0.1:{box.port}", "files": 145, "bytes": size}]
    assert (receipt["failovers"], receipt["parts"], receipt["select"]) == ([], ["images"], {"subject": [SUBJECT]})
    assert json.loads((home / ".medfetch" / "receipt.json").read_text()) == {
        key: value for key, value in receipt.items() if key != "event"
    }
    # Each byte once, and one listing a series.
    assert box.stats.data_bytes == size
    assert sum("list-type" in entry.target for entry in box.log) == 2


def test_a_second_get_asks_the_network_nothing(run: Run, box: Sandbox, of_five: str) -> None:
    first = run("get", COLLECTION, "-s", of_five, "--json")
    asked = (box.stats.requests, box.stats.connections)
    second = run("get", COLLECTION, "-s", of_five, "--json")
    assert second.last == first.last
    assert [event["event"] for event in second.lines] == ["plan", "receipt"]
    assert run("get", COLLECTION, "-s", of_five, "--offline", "--json").last == first.last
    assert (box.stats.requests, box.stats.connections) == asked


def test_people_get_the_path_on_standard_output_and_the_talk_on_the_other(run: Run, cache: Path, of_five: str) -> None:
    ran = run("get", COLLECTION, "-s", of_five)
    assert ran.out == f"{cache / COLLECTION / 'current'}\n"
    assert "complete, 5 files" in ran.err
    assert "not fetched: nodules" in ran.err
    assert run("get", COLLECTION, "-s", of_five, "-q").err == ""


def test_path_status_list_and_info(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    home = str(cache / COLLECTION / "current")
    assert run("path", COLLECTION, code=1).out == f"{home}\n"
    assert run("status", "--json").out == ""
    assert run("status", COLLECTION, "--json").last == {"dataset": COLLECTION, "state": "absent"}
    run("plan", COLLECTION, "-s", of_five)
    assert run("status", COLLECTION, "--json").last["state"] == "planned"
    run("get", COLLECTION, "-s", of_five)
    assert run("path", COLLECTION).out == f"{home}\n"
    status = run("status", "--json").last
    assert [status[key] for key in ("dataset", "state", "files", "bytes")] == [COLLECTION, "complete", 5, 100_000]
    assert [(plan["state"], plan["missing"], plan["stale"]) for plan in status["plans"]] == [("complete", 0, None)]
    assert "complete, 5 files, 100.0 kB" in run("status", COLLECTION).out

    # What is asked for and not there makes it incomplete again.
    run("plan", COLLECTION, "-s", f"subject={SUBJECT}")
    assert run("path", COLLECTION, "--json", code=1).last == {"path": home, "complete": False}
    assert run("status", COLLECTION, "--json").last["state"] == "partial"

    listed = run("list", "nodules outlined", "--json").lines
    assert [each["id"] for each in listed] == [COLLECTION]
    assert run("list", "--source", "tcia", "--max-size", "1kB", "--json").out == ""
    told = run("info", COLLECTION, "--json").last
    assert [part["name"] for part in told["parts"]] == ["images", "nodules", "qin-lungct-seg", "annotations"]
    assert "package idc-index-data" in run("info", COLLECTION).out


# -- choosing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        (["-s", "subject=LIDC-IDRI-0001,LIDC-IDRI-0002"], (4, 397)),
        (["-s", "subject=LIDC-IDRI-0001", "-s", "subject=LIDC-IDRI-0002", "-s", "modality=DX"], (2, 3)),
        (["-s", "subject=LIDC-IDRI-000[12]", "-s", "modality=[CD]?"], (4, 397)),
        (["-s", "subject=LIDC-IDRI-000?", "--limit", "3"], (3, 136)),
        (["-s", "path=LIDC-IDRI-0001"], (2, 135)),
        (["-s", "path=LIDC-IDRI-0001/*/*.141365756818074696859567662357/*.dcm"], (1, 2)),
        (["--part", "qin-lungct-seg", "--part", "images", "-s", "subject=LIDC-IDRI-0001"], (2, 135)),
        (["--route", "tcia", "-s", "subject=LIDC-IDRI-0001"], (2, 135)),
    ],
)
def test_what_is_planned_can_be_narrowed(run: Run, arguments: list[str], counts: tuple[int, int]) -> None:
    planned = run("plan", COLLECTION, "--json", *arguments).last
    assert (planned["series"], planned["instances"]) == counts


def test_a_list_of_datasets_in_a_text_and_in_yaml(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    box.put("https://host/one.bin", size=1000)
    box.put("https://host/two.bin", size=2000)
    write_recipe(home, "one", routes=http({"path": "one.bin", "url": "https://host/one.bin"}))
    (home / "wanted.txt").write_text("one  # the first\n\n# and\nhttps://host/two.bin\n")
    receipts = [event for event in run("get", "-r", "wanted.txt", "--json").lines if event["event"] == "receipt"]
    assert [receipt["bytes"] for receipt in receipts] == [1000, 2000]

    selection = {"subject": ["LIDC-IDRI-0001"], "modality": "DX"}
    wanted = ["one", {"name": COLLECTION, "select": selection, "part": "images", "limit": 5}]
    (home / "wanted.yaml").write_text(yaml.safe_dump(wanted))
    receipts = [event for event in run("get", "-r", "wanted.yaml", "--json").lines if event["event"] == "receipt"]
    assert [(receipt["dataset"], receipt["files"]) for receipt in receipts] == [("one", 1), (COLLECTION, 2)]
    assert receipts[1]["select"] == {"subject": ["LIDC-IDRI-0001"], "modality": ["DX"]}


def test_keep_going_fetches_what_can_be_had(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    box.put("https://host/here", size=10)
    write_recipe(home, "here", routes=http({"path": "here", "url": "https://host/here"}))
    write_recipe(home, "gone", routes=http({"path": "gone", "url": "https://host/gone"}))
    names = ("gone", "neuromorphometrics", "here")
    # All are planned before the first byte: a requirement that is not met stops the others, too.
    ran = run("get", *names, "--json", code=3)
    assert ran.last["error"] == "AccessRequired"
    assert box.stats.requests == 0
    ran = run("get", *names, "--keep-going", "--json", code=1)
    assert (cache / "here" / "current" / "here").stat().st_size == 10
    assert [event["dataset"] for event in ran.lines if event["event"] == "receipt"] == ["here"]
    assert ran.last["event"] == "failed"
    assert "neuromorphometrics" in ran.err
    assert "gone: 1 of 1 could not be had" in ran.err
    assert "404" in ran.err


# -- names without a recipe --------------------------------------------------------------------------------------


def test_an_address_with_its_digest(run: Run, box: Sandbox) -> None:
    data = box.put("https://host/a b/file.bin", size=5000)
    address = "https://host/a%20b/file.bin"
    receipt = run("get", address, "--json").last
    assert receipt["assurance"] == {"first-seen": 1}
    assert tree(Path(receipt["path"])) == {"file.bin": sha256(data)}
    assert run("get", address, "--sha256", sha256(data), "--json").last["assurance"] == {"published": 1}
    ran = run("get", address, "--sha256", "0" * 64, "--json", code=4)
    assert "0000" in ran.last["failures"][0]["reason"]
    assert tree(Path(receipt["path"])) == {"file.bin": sha256(data)}


def test_sources_by_name(run: Run, box: Sandbox) -> None:
    for key in ("set/a/1.txt", "set/b é&.txt", "other"):
        box.put(f"s3://bucket-1/{key}", key.encode())
    receipt = run("get", "s3:bucket-1/set", "--json").last
    names = {"set/a/1.txt", "set/b é&.txt"}
    assert tree(Path(receipt["path"])) == {name: sha256(name.encode()) for name in names}
    assert receipt["assurance"] == {"published": 2}
    small = ("-s", "subject=LIDC-IDRI-0001", "-s", "modality=DX", "--json")
    by_idc, by_tcia = (run("get", name, *small).last for name in ("idc:lidc_idri", "tcia:LIDC-IDRI"))
    assert by_idc["path"] != by_tcia["path"]
    assert by_idc["tree"] == by_tcia["tree"]


def test_manifests_and_carts(run: Run, home: Path, box: Sandbox) -> None:
    archive = opened(CAP)
    series = archive.select({"PatientID": "LIDC-IDRI-0001", "Modality": "DX"}) + archive.select(
        {"PatientID": "LIDC-IDRI-0002", "Modality": "DX"}
    )
    uids = [each.uid for each in series]
    (home / "cart.tcia").write_text(
        "downloadServerUrl=https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet\n"
        "includeAnnotation=true\nListOfSeriesToDownload=\n" + "\n".join(uids) + "\n"
    )
    (home / "uids.csv").write_text("Series UID,Note\n" + "".join(f"{uid},x\n" for uid in uids))
    (home / "idc.s5cmd").write_text("".join(f"cp s3://{s.bucket}/{s.uuid}/* .\n" for s in series))
    box.share("cart-1", uids)
    write_recipe(home, "cart", routes=[{"source": "tcia", "cart": "cart-1"}])
    trees = {run("get", name, "--json").last["tree"] for name in ("./cart.tcia", "uids.csv", "./idc.s5cmd", "cart")}
    assert len(trees) == 1


def test_an_old_manifest_gives_the_version_that_it_names(run: Run, home: Path, box: Sandbox) -> None:
    prior = "865d8361-5242-42b9-a7d3-a53178a868a8"
    (home / "old.s5cmd").write_text(f"cp s3://idc-open-data-two/{prior}/* .\n")
    receipt = run("get", "old.s5cmd", "--json").last
    assert receipt["files"] == 55
    assert {entry.target.split("/")[3] for entry in box.log if entry.target.endswith(".dcm")} == {prior}


# -- archives ----------------------------------------------------------------------------------------------------


@pytest.fixture
def archives(box: Sandbox, home: Path) -> str:
    """A recipe of a zip, a tar.gz in a folder, a file in pieces, and a zip in two pieces."""
    big = zipped(**{"big/x.bin": box.put("https://host/noise", size=50_000)})
    for name, data in {
        "a.zip": zipped(**{"a/1.txt": b"one", "a/2.txt": b"two"}),
        "t.tgz": tarred(**{"t.txt": b"tar"}),
        "p.1": b"first ",
        "p.2": b"second",
        "big.1": big[:20_000],
        "big.2": big[20_000:],
    }.items():
        box.put(f"https://host/{name}", data)
    whole = b"first second"
    return write_recipe(
        home,
        "archives",
        routes=http(
            {"path": "a.zip", "url": "https://host/a.zip", "unpack": True},
            {"path": "t.tgz", "url": "https://host/t.tgz", "unpack": {"into": "under"}},
            {
                "path": "p.bin",
                "sha256": sha256(whole),
                "pieces": [{"url": "https://host/p.1", "size": 6}, {"url": "https://host/p.2"}],
            },
            {
                "path": "big.zip",
                "unpack": True,
                "pieces": [{"url": "https://host/big.1"}, {"url": "https://host/big.2"}],
            },
        ),
    )


UNPACKED = {"a/1.txt", "a/2.txt", "under/t.txt", "big/x.bin", "p.bin"}


def test_archives_are_unpacked(run: Run, archives: str, cache: Path, box: Sandbox) -> None:
    receipt = run("get", archives, "--json").last
    found = tree(Path(receipt["path"]))
    assert set(found) == UNPACKED
    assert found["a/2.txt"] == sha256(b"two")
    assert found["p.bin"] == sha256(b"first second")
    assert receipt["files"] == 5
    assert list((cache / archives / "current" / ".medfetch" / "partial").iterdir()) == []
    asked = box.stats.requests
    run("get", archives)
    assert box.stats.requests == asked


def test_archives_can_be_kept_and_left_as_they_are(run: Run, archives: str, cache: Path, box: Sandbox) -> None:
    run("get", archives)
    # Asked for in another way, what is missing for that is fetched.
    kept = run("get", archives, "--keep-archives", "--json").last
    assert set(tree(Path(kept["path"]))) == UNPACKED | {"a.zip", "t.tgz", "big.zip.001", "big.zip.002"}
    with zipfile.ZipFile(cache / archives / "current" / "a.zip") as archive:
        assert archive.testzip() is None
    run("rm", archives)
    as_is = run("get", archives, "--no-unpack", "--json").last
    assert set(tree(Path(as_is["path"]))) == {"a.zip", "t.tgz", "p.bin", "big.zip.001", "big.zip.002"}
    asked = box.stats.requests
    assert run("get", archives, "--no-unpack", "--json").last["tree"] == as_is["tree"]
    assert box.stats.requests == asked


# -- verify, repair, remove --------------------------------------------------------------------------------------


def test_verify_finds_and_repair_mends_exactly_what_is_wrong(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    run("get", COLLECTION, "-s", of_five)
    home = cache / COLLECTION / "current"
    before = tree(home)
    names = [home / name for name in before]
    assert run("verify", COLLECTION, "--content", "--json").last["bad"] == 0
    data = bytearray(names[0].read_bytes())
    data[-1] ^= 1
    names[0].write_bytes(data)
    names[1].unlink()
    names[2].write_bytes(names[2].read_bytes()[:1000])
    ran = run("verify", COLLECTION, "--json", code=4)
    problems = {each["path"]: each["problem"] for each in ran.lines if each["event"] == "file"}
    assert list(problems) == list(before)[:3]
    flipped, gone, cut = problems.values()
    assert flipped.startswith("sha256 ")
    assert (gone, cut) == ("missing", "1000 bytes, expected 20000")

    seen = len(box.log)
    run("verify", COLLECTION, "--repair", "--json")
    assert tree(home) == before
    fetched = [entry for entry in box.log[seen:] if entry.target.endswith(".dcm")]
    assert sum(entry.sent for entry in fetched) == 60_000
    assert run("verify", COLLECTION, "--content", "--json").last["bad"] == 0
    seen = len(box.log)
    assert run("path", COLLECTION).code == 0
    run("get", COLLECTION, "-s", of_five)
    assert len(box.log) == seen


def test_repair_goes_the_way_that_the_dataset_came(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    run("get", COLLECTION, "-s", of_five, "--route", "tcia", "--limit", 1)
    home = cache / COLLECTION / "current"
    before = tree(home)
    (home / next(iter(before))).write_bytes(b"")
    seen = len(box.log)
    run("verify", COLLECTION, "--repair")
    assert tree(home) == before
    assert {entry.target.split("/")[1] for entry in box.log[seen:]} == {"nbia"}
    assert len(run("status", COLLECTION, "--json").last["plans"]) == 1


def test_a_file_lost_is_noticed_and_fetched_by_get_too(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    run("get", COLLECTION, "-s", of_five)
    home = cache / COLLECTION / "current"
    before = tree(home)
    sent = box.stats.data_bytes
    (home / next(iter(before))).unlink()
    run("get", COLLECTION, "-s", of_five)
    assert tree(home) == before
    assert box.stats.data_bytes == sent + 20_000


def test_a_copy_without_its_empty_folders_is_a_cache_too(run: Run, cache: Path, of_five: str) -> None:
    run("get", COLLECTION, "-s", of_five)
    (cache / COLLECTION / "current" / ".medfetch" / "partial").rmdir()
    assert run("verify", COLLECTION, "--json").code == 0
    assert run("gc", "--json").last["files"] == 0
    assert run("get", COLLECTION, "-s", of_five).code == 0


def test_rm_and_gc(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    run("get", COLLECTION, "-s", of_five)
    inner = cache / COLLECTION / "current" / ".medfetch"
    (inner / "partial" / "00000-0123.gone-1-2.part").write_bytes(bytes(500))
    run("plan", COLLECTION, "-s", "modality=CT", "--limit", 2)
    assert len(list((inner / "plans").iterdir())) == 2
    assert run("gc", "--json").last == {"event": "gc", "files": 1, "bytes": 500}
    assert len(list((inner / "plans").iterdir())) == 1
    assert run("path", COLLECTION).code == 0
    assert run("rm", COLLECTION, "--json").last["event"] == "removed"
    assert not (cache / COLLECTION).exists()
    assert "not in the cache" in run("rm", COLLECTION, code=2).err


def test_to_places_links_elsewhere(run: Run, cache: Path, tmp_path: Path, of_five: str) -> None:
    target = tmp_path / "elsewhere"
    for _ in range(2):
        run("get", COLLECTION, "-s", of_five, "--to", target)
        home = cache / COLLECTION / "current"
        assert tree(target) == tree(home)
        assert [path.stat().st_nlink for path in target.rglob("*.dcm")] == [2] * 5


def test_to_overwrites_nothing_of_the_users(run: Run, tmp_path: Path, home: Path, box: Sandbox) -> None:
    box.put("https://host/one", b"theirs")
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "one").write_bytes(b"mine!!")
    ran = run("get", "https://host/one", "--to", target, code=1)
    assert (target / "one").read_bytes() == b"mine!!"
    assert str(target / "one") in ran.err
    assert "hint:" in ran.err
    (target / "one").unlink()
    run("get", "https://host/one", "--to", target)
    assert tree(target) == {"one": sha256(b"theirs")}


# -- two of the same ---------------------------------------------------------------------------------------------


def test_one_dataset_by_two_routes_belongs_to_both(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    by_idc = run("get", COLLECTION, "-s", of_five, "--json").last
    by_tcia = run("get", COLLECTION, "-s", of_five, "--route", "tcia", "--json").last
    assert by_idc["tree"] == by_tcia["tree"]
    asked = box.stats.requests
    assert run("get", COLLECTION, "-s", of_five, "--json").last["files"] == 5
    assert run("get", COLLECTION, "-s", of_five, "--route", "tcia", "--json").last["files"] == 5
    assert box.stats.requests == asked
    assert run("verify", COLLECTION, "--content", "--json").last["files"] == 5
    # A wider selection counts what came before by another way.
    assert run("get", COLLECTION, "-s", f"subject={SUBJECT}", "--json").last["files"] == 145


def test_refresh_plans_anew_and_fetches_nothing_twice(run: Run, cache: Path, box: Sandbox, of_five: str) -> None:
    arguments = ("get", COLLECTION, "--route", "tcia", "-s", of_five)
    run(*arguments)
    sent = box.stats.data_bytes
    box.add(Fault(match="getSeries", status=404, times=None))
    run(*arguments, "--refresh", code=1)
    box.clear()
    asked = box.stats.requests
    run(*arguments)  # a failed refresh leaves the former plan
    assert box.stats.requests == asked
    run(*arguments, "--refresh")
    assert "getSeries" in box.log[-1].target
    assert box.stats.data_bytes == sent
    assert len(run("status", COLLECTION, "--json").last["plans"]) == 1


def test_two_archives_with_one_member_name_are_refused(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    for name, text in (("a", b"one"), ("b", b"two")):
        box.put(f"https://host/{name}.zip", zipped(**{"same.txt": text}))
    files = [
        {
            "path": f"{name}.zip",
            "url": f"https://host/{name}.zip",
            "unpack": True,
            "sha256": sha256(zipped(**{"same.txt": text})),
        }
        for name, text in (("a", b"one"), ("b", b"two"))
    ]
    write_recipe(home, "clash", routes=http(*files))
    ran = run("get", "clash", "--json", MEDFETCH_JOBS="1", code=1)
    assert "two files of the dataset want this name" in ran.last["message"]
    assert (cache / "clash" / "current" / "same.txt").read_bytes() in (b"one", b"two")


def test_two_gets_at_once_share_the_work(run: Run, box: Sandbox, cache: Path) -> None:
    box.add(Fault(match=r"\.dcm$", rate=60_000, times=None))  # long enough for both to be at it
    arguments = ("get", COLLECTION, "-s", "subject=LIDC-IDRI-0001", "--json")
    both = [run.start(*arguments) for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    receipts = [json.loads(out.splitlines()[-1]) for out, _ in outputs]
    assert receipts[0] == receipts[1]
    assert receipts[0]["files"] == 135
    assert box.stats.data_bytes == 135 * CAP
    assert any("waiting for another medfetch" in out for out, _ in outputs)
