"""What a person has fetched by hand: recognised, verified, placed as though it had been fetched; the rest is told."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import COLLECTION, http, sha256, tarred, tree, write_recipe, zipped
from running import CAP, Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import opened

IMAGES = zipped(**{"a/one.bin": bytes(range(200)), "two.txt": b"two"})
LABELS = tarred(**{"one.txt": b"label one", "deep/two.txt": b"label two"})
TABLE = b"id,age\n1,60\n2,61\n"
PAGE = "https://example.org/download"


def file(path: str, data: bytes | None = None, **more: Any) -> dict[str, Any]:
    return {"path": path, "url": f"https://host/{path}", **({"size": len(data)} if data is not None else {}), **more}


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "Downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def three(home: Path, box: Sandbox) -> str:
    """Two archives to unpack and a table, with a digest, with a size, and with neither."""
    for name, data in (("images.zip", IMAGES), ("labels.tar.gz", LABELS), ("table.csv", TABLE)):
        box.put(f"https://host/{name}", data)
    files = [
        file("images.zip", IMAGES, sha256=sha256(IMAGES), unpack={"into": "images"}),
        file("labels.tar.gz", LABELS, unpack=True),
        file("table.csv"),
    ]
    return write_recipe(home, "three", routes=http(*files))


def facts(folder: Path) -> dict[str, tuple[bytes, int, int, int]]:
    """What must not change about a person's files: bytes, mode, time, inode."""
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        there = path.stat()
        found[str(path)] = path.read_bytes(), there.st_mode, there.st_mtime_ns, there.st_ino
    return found


def problems(lines: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    return {
        (each["event"], each["file"]): each["reason"] for each in lines if each["event"] in ("bad", "half", "surplus")
    }


# -- the same as by get ------------------------------------------------------------------------------------------


def test_it_leaves_what_get_would_have_left(
    run: Run, three: str, box: Sandbox, tmp_path: Path, downloads: Path
) -> None:
    other = tmp_path / "by get"
    fetched = run("get", three, "--json", MEDFETCH_CACHE=str(other)).last
    (downloads / "images.zip").write_bytes(IMAGES)
    (downloads / "labels.tar.gz").write_bytes(LABELS)
    (downloads / "table.csv").write_bytes(TABLE)
    before, asked = facts(downloads), box.stats.requests
    brought = run("import", three, downloads, "--json").last
    assert box.stats.requests == asked
    assert facts(downloads) == before
    same = ("dataset", "files", "bytes", "assurance", "tree", "select", "parts", "recipe", "plan")
    assert {key: brought[key] for key in same} == {key: fetched[key] for key in same}
    assert brought["from"] == [{"source": "import", "file": "Downloads", "files": 5, "bytes": fetched["bytes"]}]
    assert tree(Path(brought["path"])) == tree(Path(fetched["path"]))
    assert list((Path(brought["path"]) / ".medfetch/partial").iterdir()) == []
    # And get, status, verify and path take it for what it is.
    assert run("get", three, "--json").last == {**brought, "event": "receipt"}
    assert box.stats.requests == asked
    assert run("verify", three, "--content", "--json").last["bad"] == 0
    assert run("status", three, "--json").last["state"] == "complete"
    assert run("path", three).out.strip() == brought["path"]


@pytest.mark.parametrize("option", ["--no-unpack", "--keep-archives"])
def test_archives_are_kept_where_that_is_asked_for(
    run: Run, three: str, tmp_path: Path, downloads: Path, option: str
) -> None:
    fetched = run("get", three, option, "--json", MEDFETCH_CACHE=str(tmp_path / "by get")).last
    for name, data in (("images.zip", IMAGES), ("labels.tar.gz", LABELS), ("table.csv", TABLE)):
        (downloads / name).write_bytes(data)
    brought = run("import", three, downloads, option, "--json").last
    assert tree(Path(brought["path"])) == tree(Path(fetched["path"]))


def test_what_was_brought_is_linked_where_nothing_about_it_has_to_change(
    run: Run, three: str, cache: Path, downloads: Path
) -> None:
    (downloads / "table.csv").write_bytes(TABLE)
    for name, data in (("images.zip", IMAGES), ("labels.tar.gz", LABELS)):
        (downloads / name).write_bytes(data)
    run("import", three, downloads)
    placed = cache / "three/current/table.csv"
    assert placed.stat().st_nlink in (1, 2)  # a clone, or a link
    assert stat.S_IMODE(placed.stat().st_mode) == stat.S_IMODE((downloads / "table.csv").stat().st_mode)


def test_names_matter_only_where_nothing_better_is_known(run: Run, three: str, downloads: Path) -> None:
    (downloads / "download (3).bin").write_bytes(IMAGES)  # by its digest
    (downloads / "whatever.tar.gz").unlink(missing_ok=True)
    (downloads / "whatever.gz").write_bytes(LABELS)  # by its length: the only one
    (downloads / "Table(1).CSV").write_bytes(TABLE)  # by its name, as a browser makes it of that
    assert run("import", three, *downloads.iterdir(), "--json").last["files"] == 5


# -- what is not right -------------------------------------------------------------------------------------------


def test_what_is_missing_is_listed_and_get_fetches_only_that(
    run: Run, three: str, box: Sandbox, cache: Path, downloads: Path
) -> None:
    (downloads / "images.zip").write_bytes(IMAGES)
    ran = run("import", three, downloads / "images.zip", "--json", code=1)
    assert [each["path"] for each in ran.last["failures"]] == ["labels.tar.gz", "table.csv"]
    assert "medfetch get three" in ran.last["hint"]
    assert set(tree(cache / "three/current")) == {"images/a/one.bin", "images/two.txt"}
    receipt = run("get", three, "--json").last
    assert box.stats.data_bytes == len(LABELS) + len(TABLE)
    assert sorted(each["source"] for each in receipt["from"]) == ["http", "import"]


def test_bad_half_and_surplus_files_are_named_and_left(run: Run, three: str, cache: Path, downloads: Path) -> None:
    (downloads / "images.zip").write_bytes(bytes([1]) + IMAGES[1:])
    (downloads / "labels.tar.gz").write_bytes(LABELS[:-7])
    (downloads / "table.csv").write_bytes(b"<!DOCTYPE html><html><body>Log in</body></html>")
    (downloads / "holiday.jpg").write_bytes(b"\xff\xd8")
    (downloads / "images.zip.crdownload").write_bytes(IMAGES[:50])
    (downloads / ".DS_Store").write_bytes(b"\0")
    before = facts(downloads)
    ran = run("import", three, downloads, "--json", code=4)
    told = problems(ran.lines)
    assert set(told) == {
        ("bad", "Downloads/images.zip"), ("half", "Downloads/labels.tar.gz"), ("bad", "Downloads/table.csv"),
        ("surplus", "Downloads/holiday.jpg"), ("half", "Downloads/images.zip.crdownload"),
    }  # fmt: skip
    assert sha256(IMAGES) in told["bad", "Downloads/images.zip"]
    assert f"of {len(LABELS):,} bytes" in told["half", "Downloads/labels.tar.gz"]
    assert "HTML page" in told["bad", "Downloads/table.csv"]
    assert facts(downloads) == before
    assert tree(cache / "three/current") == {}
    person = run("import", three, downloads, code=4).err
    assert "bad: Downloads/images.zip" in person and "half: Downloads/labels.tar.gz" in person
    # Half a file alone is one that is missing, and a good copy beside it is enough.
    (downloads / "images.zip").write_bytes(IMAGES)
    (downloads / "table.csv").write_bytes(TABLE)
    run("import", three, downloads, code=1)
    (downloads / "labels (1).tar.gz").write_bytes(LABELS)
    run("import", three, downloads)


def test_a_broken_archive_of_which_nothing_is_known_is_bad(run: Run, home: Path, cache: Path, downloads: Path) -> None:
    write_recipe(home, "loose", routes=http(file("scans.zip", unpack=True)))
    (downloads / "scans.zip").write_bytes(IMAGES[: len(IMAGES) // 2])
    told = problems(run("import", "loose", downloads, "--json", code=4).lines)
    assert "broken archive" in told["bad", "Downloads/scans.zip"]
    assert tree(cache / "loose/current") == {}
    assert list((cache / "loose/current/.medfetch/partial").iterdir()) == []


def test_files_of_one_name_are_told_apart_by_their_folders(run: Run, home: Path, cache: Path, downloads: Path) -> None:
    cases = {f"train/case{number}/image.raw": bytes([number]) * 64 for number in (1, 2, 3)}
    write_recipe(home, "cases", routes=http(*(file(path, data) for path, data in cases.items())))
    for path, data in cases.items():
        target = downloads / "mine" / path.removeprefix("train/")
        target.parent.mkdir(parents=True)
        target.write_bytes(data)
    (downloads / "image.raw").write_bytes(bytes(64))  # of which case?
    ran = run("import", "cases", downloads / "mine", downloads / "image.raw", "--json")
    assert tree(cache / "cases/current") == {path: sha256(data) for path, data in cases.items()}
    assert set(problems(ran.lines)) == {("surplus", "image.raw")}


def test_a_path_that_is_not_there_is_a_wrong_command_line(run: Run, three: str, downloads: Path) -> None:
    assert "nothing.zip" in run("import", three, downloads / "nothing.zip", code=2).err


# -- structure ---------------------------------------------------------------------------------------------------


def test_pieces_are_taken_together_or_already_joined(
    run: Run, home: Path, tmp_path: Path, cache: Path, downloads: Path
) -> None:
    halves = [IMAGES[:100], IMAGES[100:]]
    pieces = [
        {"url": f"https://host/part{at}", "size": len(half), "sha256": sha256(half)} for at, half in enumerate(halves)
    ]
    write_recipe(
        home, "split", routes=http({"path": "all.zip", "pieces": pieces, "sha256": sha256(IMAGES), "unpack": True})
    )
    (downloads / "part0").write_bytes(halves[0])
    told = run("import", "split", downloads, "--json", code=1).lines
    assert "one of 2 pieces" in problems(told)["half", "Downloads/part0"]
    (downloads / "second").write_bytes(halves[1])
    wanted = {"a/one.bin": sha256(bytes(range(200))), "two.txt": sha256(b"two")}
    run("import", "split", downloads)
    assert tree(cache / "split/current") == wanted
    (tmp_path / "joined.zip").write_bytes(IMAGES)
    run("import", "split", tmp_path / "joined.zip", MEDFETCH_CACHE=str(tmp_path / "other"))
    assert tree(tmp_path / "other/split/current") == wanted


def test_an_archive_of_the_datasets_files_is_looked_into(run: Run, home: Path, cache: Path, downloads: Path) -> None:
    write_recipe(
        home, "plain", routes=http(file("a/one.bin", b"1111", sha256=sha256(b"1111")), file("two.txt", b"two"))
    )
    (downloads / "all of it.zip").write_bytes(
        zipped(**{"root/a/one.bin": b"1111", "root/two.txt": b"two", "root/x": b"x"})
    )
    (downloads / "other.zip").write_bytes(zipped(**{"y": b"y"}))
    before = facts(downloads)
    ran = run("import", "plain", downloads, "--json")
    assert facts(downloads) == before
    assert tree(cache / "plain/current") == {"a/one.bin": sha256(b"1111"), "two.txt": sha256(b"two")}
    assert set(problems(ran.lines)) == {
        ("surplus", "Downloads/all of it.zip/root/x"),
        ("surplus", "Downloads/other.zip"),
    }
    assert list((cache / "plain/current/.medfetch/partial").iterdir()) == []


SUBJECT = "LIDC-IDRI-0003"


@pytest.fixture
def series(run: Run, tmp_path: Path, box: Sandbox) -> tuple[str, Path, dict[str, str]]:
    """A selection of five radiographs, where they are under other names, and what has to be there in the end."""
    uid = next(each for each in opened(CAP).select({"PatientID": SUBJECT, "Modality": "DX"})).uid
    by_get = Path(
        run("get", COLLECTION, "-s", f"series={uid}", "--json", MEDFETCH_CACHE=str(tmp_path / "get")).last["path"]
    )
    folder = tmp_path / "retriever"
    for number, path in enumerate(sorted(by_get.rglob("*.dcm"))):
        (folder / "LIDC" / SUBJECT).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "LIDC" / SUBJECT / f"1-{number:03d}.dcm")
    return f"series={uid}", folder, tree(by_get)


def test_a_series_is_known_by_its_headers_and_verified_by_what_its_source_lists(
    run: Run, cache: Path, box: Sandbox, series: tuple[str, Path, dict[str, str]]
) -> None:
    selection, folder, wanted = series
    sent = box.stats.data_bytes
    one = sorted(folder.rglob("*.dcm"))[0]
    data = bytearray(one.read_bytes())
    data[-1] ^= 1
    one.write_bytes(data)
    ran = run("import", COLLECTION, folder, "-s", selection, "--json", code=4)
    assert [key[0] for key in problems(ran.lines)] == ["bad"]
    assert len(tree(cache / COLLECTION / "current")) == 4
    receipt = run("get", COLLECTION, "-s", selection, "--json").last
    assert tree(cache / COLLECTION / "current") == wanted
    assert box.stats.data_bytes == sent + CAP
    assert receipt["assurance"] == {"published": 5}
    assert {each["source"]: each["files"] for each in receipt["from"]} == {"import": 4, "idc": 1}


def test_offline_a_series_is_as_sure_as_its_own_headers(
    run: Run, cache: Path, box: Sandbox, series: tuple[str, Path, dict[str, str]], tmp_path: Path
) -> None:
    selection, folder, wanted = series
    asked = box.stats.requests
    archive = shutil.make_archive(str(tmp_path / "series"), "zip", folder)
    receipt = run("import", COLLECTION, archive, "-s", selection, "--offline", "--json").last
    assert tree(cache / COLLECTION / "current") == wanted
    assert receipt["assurance"] == {"first-seen": 5}
    assert run("get", COLLECTION, "-s", selection, "--json").last["files"] == 5
    assert box.stats.requests == asked


def test_offline_a_series_that_is_not_all_there_stays_open(run: Run, series: tuple[str, Path, dict[str, str]]) -> None:
    selection, folder, _ = series
    first, second, *_ = sorted(folder.rglob("*.dcm"))
    first.unlink()
    second.write_bytes(second.read_bytes()[:-100])
    told = problems(run("import", COLLECTION, folder, "-s", selection, "--offline", "--json", code=4).lines)
    assert [("bad", "cut" in reason) for (kind, _), reason in told.items() if kind == "bad"] == [("bad", True)]
    run("get", COLLECTION, "-s", selection)


def test_what_has_to_be_asked_cannot_be_planned_offline(run: Run, downloads: Path) -> None:
    (downloads / "a").write_bytes(b"a")
    assert "--offline" in run("import", "hf:sandbox/open", downloads, "--offline", code=6).err


# -- by hand only ------------------------------------------------------------------------------------------------


def manual(*files: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"source": "manual", "at": PAGE, **({"files": list(files)} if files else {}), **more}]


@pytest.fixture
def by_hand(home: Path) -> str:
    known = {
        "path": "scans.zip",
        "size": len(IMAGES),
        "md5": hashlib.md5(IMAGES).hexdigest(),
        "unpack": True,
    }
    return write_recipe(home, "by-hand", routes=manual(known, {"path": "notes.txt"}))


def test_get_says_the_next_step_for_a_person(run: Run, by_hand: str, cache: Path, box: Sandbox) -> None:
    for more in ((), ("--sandbox",), ("--offline",)):
        ran = run("get", by_hand, "--json", *more, code=3)
        assert ran.last["error"] == "AccessRequired"
        step = ran.last["steps"][-1]
        assert (step["kind"], step["at"]) == ("download", PAGE)
        assert "scans.zip (" in step["do"] and "medfetch import by-hand" in step["do"]
        assert PAGE in ran.err
    assert box.stats.requests == 0
    assert tree(cache / by_hand / "current") == {}
    plan = run("plan", by_hand, "--json").last
    assert (plan["files"], plan["bytes"], plan["parts"]["all"]["routes"]) == (2, len(IMAGES), ["manual"])
    info = run("info", by_hand).out
    assert "manual" in info and PAGE in info
    access = run("access", by_hand).out
    assert "by-hand-download" in access and PAGE in access
    assert "planned" in run("status", by_hand).out


def test_what_is_brought_makes_it_complete(run: Run, by_hand: str, cache: Path, downloads: Path) -> None:
    (downloads / "scans.zip").write_bytes(IMAGES)
    ran = run("import", by_hand, downloads, "--json", code=1)
    assert [each["path"] for each in ran.last["failures"]] == ["notes.txt"]
    assert "bring the rest" in ran.last["hint"]
    assert "notes.txt" in run("get", by_hand, code=3).err
    (downloads / "notes.txt").write_bytes(b"notes")
    receipt = run("import", by_hand, downloads / "notes.txt", "--json").last
    assert receipt["assurance"] == {"published": 2, "first-seen": 1}
    assert run("get", by_hand, "--json").last["files"] == 3
    assert "present" in run("access", by_hand).out
    (cache / by_hand / "current/notes.txt").write_bytes(b"other")
    assert "no program fetches notes.txt" in run("verify", by_hand, "--repair", code=3).err
    assert "bytes are not those first seen" in run("import", by_hand, _with(downloads, b"third"), "--json", code=4).out
    run("import", by_hand, _with(downloads, b"notes"))
    assert run("verify", by_hand, "--json").last["bad"] == 0


def _with(downloads: Path, notes: bytes) -> Path:
    (downloads / "notes.txt").unlink()
    (downloads / "notes.txt").write_bytes(notes)
    return downloads / "notes.txt"


def test_parts_by_hand_and_by_program_go_together(
    run: Run, home: Path, box: Sandbox, cache: Path, downloads: Path
) -> None:
    box.put("https://host/table.csv", TABLE)
    parts = {
        "scans": {"routes": manual({"path": "scans.bin", "size": 4})},
        "table": {"routes": http(file("table.csv"))},
    }
    write_recipe(home, "mixed", parts=parts)
    ran = run("get", "mixed", "--json", code=3)
    assert [step["name"] for step in ran.last["steps"]] == ["mixed-scans-download"]
    assert box.stats.requests == 0
    (downloads / "scans.bin").write_bytes(b"scan")
    run("import", "mixed", downloads, code=1)
    assert run("get", "mixed", "--json").last["files"] == 2
    assert set(tree(cache / "mixed/current")) == {"scans.bin", "table.csv"}


def test_a_route_by_hand_never_takes_over_but_is_told(run: Run, home: Path, box: Sandbox, downloads: Path) -> None:
    routes = [*manual({"path": "a.bin", "size": 4}), *http(file("a.bin", b"aaaa"))]
    write_recipe(home, "either", routes=routes)
    ran = run("get", "either", code=1)
    assert PAGE in ran.err and "medfetch import either" in ran.err
    assert all("download" not in entry.target for entry in box.log)
    (downloads / "a.bin").write_bytes(b"aaaa")
    assert run("import", "either", downloads, "--json").last["assurance"] == {"size-only": 1}
    run("get", "either")


@pytest.mark.parametrize("routes", [{"routes": manual()}, {}, {"homepage": "https://example.org/"}])
def test_of_what_nobody_knows_all_is_taken(
    run: Run, home: Path, cache: Path, downloads: Path, routes: dict[str, Any]
) -> None:
    write_recipe(home, "unheard", **routes)
    assert "medfetch import unheard" in run("get", "unheard", code=3).err
    assert not (cache / "unheard").exists()
    (downloads / "scans").mkdir()
    (downloads / "scans/one.zip").write_bytes(IMAGES)
    receipt = run("import", "unheard", downloads / "scans", "--json").last
    assert receipt["assurance"] == {"first-seen": 1}
    assert set(tree(cache / "unheard/current")) == {"scans/one.zip"}
    (downloads / "readme.txt").write_bytes(b"more")
    assert run("import", "unheard", downloads / "readme.txt", "--json").last["files"] == 2
    assert run("get", "unheard", "--json").last["files"] == 2
    assert run("path", "unheard").code == 0
    assert run("status", "unheard", "--json").last["plans"][0]["state"] == "complete"


def test_which_part_it_is_has_to_be_said_where_nothing_tells(run: Run, home: Path, downloads: Path) -> None:
    write_recipe(home, "parts", parts={"a": {"routes": manual()}, "b": {"routes": manual()}})
    (downloads / "x").write_bytes(b"x")
    assert "--part NAME, one of a, b" in run("import", "parts", downloads, code=2).err
    run("import", "parts", downloads, "--part", "a")
    assert "parts: b cannot be fetched by program" in run("get", "parts", code=3).err
    run("import", "parts", downloads, "--part", "b")


def test_aspera_says_what_to_run(run: Run, home: Path, downloads: Path) -> None:
    package = "https://faspex.example.org/aspera/faspex/public/package?context=abc"
    write_recipe(
        home, "fast", routes=[{"source": "aspera", "package": package, "files": [{"path": "a.svs", "size": 4}]}]
    )
    ran = run("get", "fast", "--json", code=3)
    (step,) = ran.last["steps"]
    assert f"ascli faspex5 packages receive --url='{package}'" in step["do"]
    assert "medfetch import fast" in step["do"] and step["at"] == package
    assert "gem install aspera-cli" in step["said"]
    (downloads / "a.svs").write_bytes(b"scan")
    run("import", "fast", downloads)
    run("get", "fast")


# -- access ------------------------------------------------------------------------------------------------------


def test_terms_are_asked_for_and_what_comes_under_them_is_private(
    run: Run, home: Path, cache: Path, downloads: Path
) -> None:
    write_recipe(
        home, "secret", access={"level": "terms"}, routes=manual({"path": "a.txt"}, {"path": "b.zip", "unpack": True})
    )
    (downloads / "a.txt").write_bytes(b"a")
    (downloads / "b.zip").write_bytes(IMAGES)
    (downloads / "a.txt").chmod(0o644)
    before = facts(downloads)
    assert "medfetch agree secret" in run("import", "secret", downloads, code=3).err
    assert not (cache / "secret").exists()
    run("agree", "secret", "--agreed-on", "2026-11-02", "--as", "Ada Lovelace")
    receipt = run("import", "secret", downloads, "--json").last
    assert facts(downloads) == before
    assert [each["person"] for each in receipt["agreements"]] == ["Ada Lovelace"]
    for path in [cache / "secret", *(cache / "secret").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert (cache / "secret/current/a.txt").stat().st_ino != (downloads / "a.txt").stat().st_ino


# -- whatever happens --------------------------------------------------------------------------------------------


@pytest.fixture
def many(home: Path, downloads: Path) -> dict[str, str]:
    """Four hundred files; an archive of as many more; what has to be there in the end."""
    data = {f"{number:03d}.bin": number.to_bytes(2, "big") * 40_000 for number in range(400)}
    inside = {f"in/{number:03d}.bin": number.to_bytes(2, "little") * 4_000 for number in range(400)}
    archive = zipped(**inside)
    for name, content in data.items():
        (downloads / name).write_bytes(content)
        (downloads / name).chmod(0o640)  # so that it is copied
    (downloads / "more.zip").write_bytes(archive)
    files = [file(name, content, sha256=sha256(content)) for name, content in data.items()]
    write_recipe(home, "many", routes=http(*files, file("more.zip", archive, sha256=sha256(archive), unpack=True)))
    return {name: sha256(content) for name, content in {**data, **inside}.items()}


def test_killed_at_any_moment_nothing_is_half_placed(
    run: Run, cache: Path, downloads: Path, many: dict[str, str]
) -> None:
    before = facts(downloads)
    for number in range(12):
        process = run.start("import", "many", downloads)
        time.sleep(0.4 + 0.15 * number)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        there = tree(cache / "many/current")
        assert {name: digest for name, digest in there.items() if many.get(name) != digest} == {}
    run("import", "many", downloads)
    assert tree(cache / "many/current") == many
    assert list((cache / "many/current/.medfetch/partial").iterdir()) == []
    assert facts(downloads) == before


def test_two_at_once_take_it_in_once(run: Run, cache: Path, downloads: Path, many: dict[str, str]) -> None:
    both = [run.start("import", "many", downloads, "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert tree(cache / "many/current") == many
    receipts = [json.loads(out.splitlines()[-1]) for out, _ in outputs]
    assert receipts[0]["tree"] == receipts[1]["tree"]


def test_a_signal_ends_it_in_order(run: Run, cache: Path, downloads: Path, many: dict[str, str]) -> None:
    process = run.anew().start("import", "many", downloads, "--json")
    assert any('"event": "start"' in line for line in iter(process.stdout.readline, ""))  # type: ignore[union-attr]
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode in (0, 143), err
    run("import", "many", downloads)
    assert tree(cache / "many/current") == many
