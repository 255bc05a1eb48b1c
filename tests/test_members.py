"""Part of an archive: what is asked of the host, what lies on disk afterwards, and what is said where it cannot be."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tarred, tree, write_recipe
from inflate64 import Deflater
from running import Run
from servers import wait_until

from medfetch import entries, members
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.content import Content
from medfetch.sandbox.kaggle import zipped
from medfetch.segments import SEGMENTS_FROM
from medfetch.types import Excerpt, Packed, RemoteFile, Unpack

URL = "https://h.example/scans.zip"
NOISE = random.Random(3).randbytes(600_000)
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
FILES = {f"Task0{task}/{kind}/{n:02d}.nii": NOISE[n * 1000 : n * 1000 + 60_000] + b"%d" % task
         for task in (1, 2, 3) for kind in ("images", "labels") for n in range(4)}  # fmt: skip
WANTED = {f"data/{name}": data for name, data in FILES.items() if name.startswith("Task02/labels/")}


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(data) for name, data in files.items()}


def recipe(home: Path, **more: Any) -> str:
    return write_recipe(
        home, "scans", routes=http({"path": "scans.zip", "url": URL, "unpack": {"into": "data"}} | more)
    )


@cache
def amid_noise(method: int) -> bytes:
    """FILES, and larger ones before and behind them, in a zip."""
    before, behind = ({f"Task{task}/{n}.raw": NOISE for n in range(5)} for task in (1, 3))
    return packed({**before, **FILES, **behind}, method)


def sent(box: Sandbox) -> int:
    return sum(entry.sent for entry in box.log)


SELECT = ("--select", "path=data/Task02/labels/*")


# -- what is had ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [True, False])
def test_only_the_members_and_the_directory_are_sent(
    box: Sandbox, run: Run, home: Path, method: int, size: bool
) -> None:
    data = box.put(URL, amid_noise(method))
    recipe(home, **({"size": len(data)} if size else {}))
    *listed, plan = sorted(run("plan", "scans", *SELECT, "--files", "--json").lines, key=lambda each: each["event"])
    assert {each["path"]: each["unpacked"] for each in listed} == {name: len(data) for name, data in WANTED.items()}
    assert all(each["archive"] == "scans.zip" for each in listed)
    assert (plan["files"], plan["members"]) == (len(WANTED), len(WANTED))
    # Beside the members there are their headers.
    assert 0 <= plan["bytes"] - sum(each["bytes"] for each in listed) < 100 * len(WANTED)
    directory = sent(box)
    assert directory <= members.TAIL + 1
    receipt = run("get", "scans", *SELECT, "--json").last
    assert sent(box) == directory + plan["bytes"] < len(data) / 4
    assert len(box.log) == (2 if size else 3)
    assert tree(Path(receipt["path"])) == digests(WANTED)
    assert receipt["assurance"] == {"archive-crc": len(WANTED)}
    assert all(entry.status == 206 for entry in box.log)


def test_afterwards_nothing_is_asked(box: Sandbox, run: Run, home: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    run("get", "scans", *SELECT)
    asked = len(box.log)
    receipt = run("get", "scans", *SELECT, "--offline", "--json").last
    home_of = Path(run("path", "scans").out.strip())
    assert (str(home_of), tree(home_of)) == (receipt["path"], digests(WANTED))
    assert "complete" in run("status", "scans").out
    assert "0 bad" in run("verify", "scans").out
    assert len(box.log) == asked
    assert "leave out --offline" in run("plan", "scans", "--select", "path=data/Task01/*", "--offline", code=6).err


def test_what_was_damaged_is_fetched_again(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    run("get", "scans", *SELECT)
    (cache / "scans/current" / next(iter(WANTED))).write_bytes(b"damaged")
    run("verify", "scans", code=4)
    run("verify", "scans", "--repair")
    assert tree(cache / "scans/current") == digests(WANTED)
    run("rm", "scans", "--yes")
    assert not (cache / "scans/current").exists()


def test_the_rest_comes_with_the_whole(box: Sandbox, run: Run, home: Path) -> None:
    """The whole archive is fetched then, with what is here: it is the archive that has a checksum, if anything has."""
    data = box.put(URL, packed(FILES))
    recipe(home, sha256=sha256(data))
    run("get", "scans", *SELECT)
    receipt = run("get", "scans", "--json").last
    assert tree(Path(receipt["path"])) == digests({f"data/{name}": data for name, data in FILES.items()})
    assert receipt["assurance"] == {"published": len(FILES)}
    assert run("get", "scans", *SELECT, "--json").last["assurance"] == {"archive-crc": len(WANTED)}


@pytest.mark.parametrize("select", ["data", "data/*", "da*", "*.nii", "scans.zip", "*"])
def test_all_of_it_is_the_archive(box: Sandbox, run: Run, home: Path, select: str) -> None:
    data = box.put(URL, packed(FILES))
    recipe(home, sha256=sha256(data))
    receipt = run("get", "scans", "--select", f"path={select}", "--json").last
    assert (receipt["files"], receipt["assurance"]) == (len(FILES), {"published": len(FILES)})
    asked = len(box.log)
    run("get", "scans")
    assert len(box.log) == asked


def test_a_limit_counts_members(box: Sandbox, run: Run, home: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    receipt = run("get", "scans", *SELECT, "--limit", "2", "--json").last
    assert tree(Path(receipt["path"])) == digests(dict(list(WANTED.items())[:2]))


def test_archives_that_stay_as_they_are_are_not_looked_into(box: Sandbox, run: Run, home: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    for option in ("--no-unpack", "--keep-archives"):
        assert "nothing matches" in run("get", "scans", *SELECT, option, code=2).err
    assert not box.log


def test_what_is_found_beside_archives_needs_no_look_into_them(box: Sandbox, run: Run, home: Path) -> None:
    box.put(URL, packed(FILES))
    box.put("https://h.example/table.csv", b"a,b")
    files = [
        {"path": "scans.zip", "url": URL, "unpack": True},
        {"path": "table.csv", "url": "https://h.example/table.csv"},
        {"path": "x/other.zip", "url": "https://h.example/other.zip", "unpack": True},
    ]
    write_recipe(home, "scans", routes=http(*files))
    assert run("plan", "scans", "--select", "path=table.csv", "--json").last["files"] == 1
    assert not box.log
    # Nor into those that are unpacked elsewhere.
    assert run("plan", "scans", "--select", "path=table.csv,Task01/labels", "--json").last["files"] == 5
    assert {entry.target for entry in box.log} == {"/http/h.example/scans.zip"}


def test_members_far_apart_are_asked_for_singly_and_small_ones_together(box: Sandbox, run: Run, home: Path) -> None:
    wide = {f"{n}.txt" if n % 2 else f"{n}.raw": b"x" if n % 2 else NOISE for n in range(6)}
    close = {f"s{n:04d}.txt": b"%d" % n for n in range(2500)}
    data = box.put(URL, packed(wide | close, zipfile.ZIP_STORED))
    recipe(home, size=len(data))
    receipt = run("get", "scans", "--select", "path=*.txt", "--json").last
    assert receipt["files"] == 3 + len(close)
    # The end, the rest of the directory, two that lie apart, and the others by the thousand.
    assert len(box.log) <= 2 + 2 + 3


def test_links_bring_what_they_lead_to(box: Sandbox, run: Run, home: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("real/scan.nii", NOISE)
        for name, target in {"links/a.nii": "b.nii", "links/b.nii": "../real/scan.nii"}.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, target)
    box.put(URL, out.getvalue())
    recipe(home)
    receipt = run("get", "scans", "--select", "path=data/links/a*", "--json").last
    assert tree(Path(receipt["path"])) == digests({"data/links/a.nii": NOISE})
    whole = run("get", "scans", "--json").last
    assert tree(Path(whole["path"])) == dict.fromkeys(["data/real/scan.nii", "data/links/a.nii", "data/links/b.nii"],
                                                      sha256(NOISE))  # fmt: skip


def test_names_are_those_of_the_whole(box: Sandbox, run: Run, home: Path) -> None:
    names = ["./dot/a.txt", "dot//b.txt", "ü/ß.txt", "sub/é b+%41.txt"]
    box.put(URL, packed({name: name.encode() for name in (*names, "other.txt")}))
    recipe(home)
    patterns = "path=data/dot,data/ü,data/sub/*"
    part = tree(Path(run("get", "scans", "--select", patterns, "--json").last["path"]))
    run("rm", "scans", "--yes")
    whole = tree(Path(run("get", "scans", "--json").last["path"]))
    assert len(part) == len(names) and part == {name: digest for name, digest in whole.items() if name in part}


@pytest.mark.parametrize("name", ["../out.txt", "/abs.txt", "C:/x.txt", ".medfetch/x.txt"])
def test_a_dangerous_name_is_refused(box: Sandbox, run: Run, home: Path, name: str) -> None:
    box.put(URL, packed({name: b"1", "fine.txt": b"2"}))
    write_recipe(home, "scans", routes=http({"path": "scans.zip", "url": URL, "unpack": True}))
    ran = run("get", "scans", "--select", f"path={name.rpartition('/')[0]}*.txt,*x.txt", code=4)
    assert "scans.zip: member" in ran.err
    assert run("get", "scans", "--select", "path=fine.txt", "--json").last["files"] == 1


# -- zips of all kinds ---------------------------------------------------------------------------------------------


def deflate64(data: bytes, name: str) -> bytes:
    """A zip with a member that Windows would have packed so."""
    deflater = Deflater()
    body = deflater.deflate(data) + deflater.flush()
    crc, raw = zipfile.crc32(data), name.encode()  # type: ignore[attr-defined]
    common = struct.pack("<HHHHHIIIHH", 21, 0, 9, 0, 33, crc, len(body), len(data), len(raw), 0)
    local = b"PK\3\4" + common + raw + body
    central = b"PK\1\2" + struct.pack("<H", 21) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + raw
    return local + central + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)


def test_deflate64(box: Sandbox, run: Run, home: Path) -> None:
    data = b"slice " * 50_000 + NOISE
    box.put(URL, deflate64(data, "a.raw"))
    recipe(home)
    # In part, and as a whole.
    for select in (["--select", "path=data/a.raw", "--limit", "1"], []):
        receipt = run("get", "scans", *select, "--json").last
        assert tree(Path(receipt["path"])) == digests({"data/a.raw": data})


def zip64(files: Mapping[str, bytes]) -> bytes:
    """A zip whose sizes, offsets and end are all in the records for large ones."""
    local = central = b""
    for name, data in files.items():
        raw, crc = name.encode(), zlib.crc32(data)
        common = struct.pack("<HHHHHIII", 45, 0, 0, 0, 33, crc, 0xFFFFFFFF, 0xFFFFFFFF)
        extra = struct.pack("<HHQQ", 1, 16, len(data), len(data))
        central_extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), len(local))
        central += b"PK\1\2" + struct.pack("<H", 45) + common
        central += struct.pack("<HHHHHII", len(raw), len(central_extra), 0, 0, 0, 0, 0xFFFFFFFF) + raw + central_extra
        local += b"PK\3\4" + common + struct.pack("<HH", len(raw), len(extra)) + raw + extra + data
    count = len(files)
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(central), len(local))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(central), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + central + end64 + locator + end


@pytest.mark.parametrize("comment", [b"", b"c" * 65535])
def test_prefix_and_comment(box: Sandbox, run: Run, home: Path, comment: bytes) -> None:
    box.put(URL, b"#!/bin/sh\n" * 99 + packed(FILES, comment=comment))
    recipe(home)
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


def test_zip64(box: Sandbox, run: Run, home: Path) -> None:
    box.put(URL, zip64(FILES))
    recipe(home)
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


def split(folder: Path, files: Mapping[str, bytes], volume: str) -> list[bytes]:
    if not shutil.which("zip"):
        pytest.skip("zip is not installed: apt-get install zip")
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    subprocess.run(["zip", "-q", "-r", "-s", volume, "all.zip", *files], cwd=folder, check=True)
    return [path.read_bytes() for path in [*sorted(folder.glob("all.z0*")), folder / "all.zip"]]


SPLIT = {f"Task0{n}/{name}.raw": NOISE[n * 999 : n * 999 + 150_000] for n in (1, 2, 3) for name in "ab"}
SPLIT_WANTED = {f"data/{name}": data for name, data in SPLIT.items() if name.startswith("Task02")}


def test_a_split_zip(box: Sandbox, run: Run, home: Path, tmp_path: Path) -> None:
    volumes = split(tmp_path / "split", SPLIT, "200k")
    assert len(volumes) > 3
    urls = [f"https://h.example/all.{f'z{n:02d}' if n < len(volumes) else 'zip'}" for n in range(1, len(volumes) + 1)]
    for url, data in zip(urls, volumes, strict=True):
        box.put(url, data)
    pieces = [{"url": url} for url in urls]
    write_recipe(home, "scans", routes=http({"path": "scans.zip", "pieces": pieces, "unpack": {"into": "data"}}))
    receipt = run("get", "scans", "--select", "path=data/Task02/*", "--json").last
    assert tree(Path(receipt["path"])) == digests(SPLIT_WANTED)
    assert receipt["assurance"] == {"archive-crc": 2}
    assert sent(box) < 320_000 + len(volumes) + members.TAIL
    whole = run("get", "scans", "--json").last
    assert tree(Path(whole["path"])) == digests({f"data/{name}": data for name, data in SPLIT.items()})


def test_a_split_zip_whose_last_volume_was_given_another_name(
    box: Sandbox, run: Run, home: Path, tmp_path: Path
) -> None:
    """As Kaggle has ImageCHD."""
    *volumes, last = split(tmp_path / "split", SPLIT, "200k")
    box.kaggle.dataset(
        "o/chd", {f"d.z{n:02d}": data for n, data in enumerate(volumes, 1)} | {"d.change2zip": last, "read.me": b"1"}
    )
    unpack = [{"path": "d.change2zip", "volumes": "d.z*", "into": "data"}]
    write_recipe(home, "chd", routes=[{"source": "kaggle", "dataset": "o/chd", "version": 1, "unpack": unpack}])
    receipt = run("get", "chd", "--select", "path=data/Task02/*", "--json").last
    assert tree(Path(receipt["path"])) == digests(SPLIT_WANTED)
    everything = digests({f"data/{name}": data for name, data in SPLIT.items()} | {"read.me": b"1"})
    assert tree(Path(run("get", "chd", "--json").last["path"])) == everything
    run("rm", "chd", "--yes")
    as_is = tree(Path(run("get", "chd", "--no-unpack", "--json").last["path"]))
    assert set(as_is) == {"read.me", "d.change2zip", *(f"d.z{n:02d}" for n in range(1, len(volumes) + 1))}


def test_encrypted_ones_are_refused(box: Sandbox, run: Run, home: Path) -> None:
    data = bytearray(packed(FILES))
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    box.put(URL, bytes(data))
    recipe(home)
    assert "is encrypted" in run("plan", "scans", *SELECT, code=4).err


def test_an_unknown_method_is_said(box: Sandbox, run: Run, home: Path) -> None:
    data = bytearray(packed({"a.raw": b"1", "b.raw": b"2"}))
    struct.pack_into("<H", data, data.index(b"PK\1\2") + 10, 98)
    box.put(URL, bytes(data))
    recipe(home)
    ran = run("plan", "scans", "--select", "path=data/a*", code=1)
    assert "packed by method 98" in ran.err and "--no-unpack" in ran.err
    assert run("get", "scans", "--select", "path=data/b*", "--json").last["files"] == 1


# -- other sources -------------------------------------------------------------------------------------------------


def routes(box: Sandbox, data: bytes) -> dict[str, list[dict[str, Any]]]:
    box.put(URL, data)
    box.put("s3://bucket/set/scans.zip", data)
    box.put("gs://bucket/set/scans.zip", data)
    box.hub.publish("o/d", {"scans.zip": data})
    box.physionet.publish("scans", "1.0", {"scans.zip": data}, mirrored=True)
    box.zenodo.publish(12, {"scans.zip": data, "read.me": b"1"})
    unpack = [{"path": "*.zip", "into": "data"}]
    return {
        "zenodo": [{"source": "zenodo", "record": 12, "unpack": unpack}],
        "s3": [{"source": "s3", "bucket": "bucket", "prefix": "set/", "unpack": unpack}],
        "gcs": [{"source": "gcs", "bucket": "bucket", "prefix": "set/", "unpack": unpack}],
        "hf": [{"source": "hf", "dataset": "o/d", "unpack": unpack}],
        "physionet": [{"source": "physionet", "project": "scans", "version": "1.0", "unpack": unpack}],
    }


@pytest.mark.parametrize("source", ["zenodo", "s3", "gcs", "hf", "physionet"])
def test_it_is_the_same_with_every_source(box: Sandbox, run: Run, home: Path, source: str) -> None:
    big = {f"Big/{n}.raw": NOISE for n in range(3)}
    data = packed(FILES | big, zipfile.ZIP_STORED)
    write_recipe(home, "scans", routes=routes(box, data)[source])
    receipt = run("get", "scans", *SELECT, "--json").last
    assert tree(Path(receipt["path"])) == digests(WANTED)
    assert sent(box) < len(data) / 4


def test_a_routes_folder_stands_before_the_members(box: Sandbox, run: Run, home: Path) -> None:
    unpack = [{"path": "*.zip", "into": "data"}]
    box.hub.publish("o/d", {"scans.zip": packed(FILES), "read.me": b"1"})
    write_recipe(home, "scans", routes=[{"source": "hf", "dataset": "o/d", "unpack": unpack, "into": "set"}])
    receipt = run("get", "scans", "--select", "path=set/data/Task02/labels", "--json").last
    assert tree(Path(receipt["path"])) == digests({f"set/{name}": data for name, data in WANTED.items()})
    assert "nothing matches" in run("plan", "scans", *SELECT, code=2).err


def test_ftp_has_no_parts(box: Sandbox, run: Run, home: Path) -> None:
    files = [{"path": "scans.zip", "url": "ftp://127.0.0.1:1/scans.zip", "unpack": True, "size": 1234567}]
    write_recipe(home, "scans", routes=[{"source": "ftp", "files": files}])
    ran = run("plan", "scans", "--select", "path=a", code=1, MEDFETCH_ENDPOINT_FTP="")
    assert "sends no part of scans.zip, only all of it (1.2 MB)" in ran.err


def test_a_bundle_of_kaggles(box: Sandbox, run: Run) -> None:
    """Behind a link that expires while it is asked for."""
    files = {f"train/{n:03d}.raw": NOISE[n * 100 : n * 100 + 50_000] for n in range(200)}
    bundle = zipped(files)
    box.kaggle.dataset("owner/many", files)
    box.kaggle.uses = 1
    receipt = run("get", "kaggle:owner/many", "--select", "path=train/00*,train/05*,train/1*", "--json").last
    assert receipt["files"] == 120
    assert receipt["assurance"] == {"archive-crc": 120}
    assert sum(entry.sent for entry in box.log if "/storage/" in entry.target) < len(bundle) * 0.75
    assert any(entry.status == 400 for entry in box.log)


def test_a_bundle_without_ranges_comes_whole(box: Sandbox, run: Run) -> None:
    files = {f"train/{n:03d}.raw": NOISE[n * 100 : n * 100 + 5_000] for n in range(200)}
    box.kaggle.dataset("owner/many", files)
    box.add(Fault(match="/storage/", asked="", times=None))
    receipt = run("get", "kaggle:owner/many", "--select", "path=train/0*", "--json").last
    assert (receipt["files"], receipt["assurance"]) == (100, {"published": 100})


def test_another_route_takes_over(box: Sandbox, run: Run, home: Path) -> None:
    """Whose archive is another file, with the same members elsewhere in it."""
    box.put("https://first.example/a.zip", packed(FILES))
    box.put("https://second.example/a.zip", b"prefix" + packed(dict(reversed(FILES.items())), zipfile.ZIP_STORED))
    ways = [
        http({"path": "a.zip", "url": f"https://{name}.example/a.zip", "unpack": {"into": "data"}})[0]
        for name in ("first", "second")
    ]
    write_recipe(home, "scans", routes=ways)
    run("plan", "scans", *SELECT)
    box.add(Fault(match="first", status=404, times=None))
    receipt = run("get", "scans", *SELECT, "--json").last
    assert tree(Path(receipt["path"])) == digests(WANTED)
    assert receipt["failovers_total"] > 0


def test_a_mirror_takes_over(box: Sandbox, run: Run, home: Path) -> None:
    data = packed(FILES)
    for name in ("first", "second"):
        box.put(f"https://{name}.example/a.zip", data)
    urls = [f"https://{name}.example/a.zip" for name in ("first", "second")]
    write_recipe(home, "scans", routes=http({"path": "a.zip", "url": urls, "unpack": {"into": "data"}}))
    run("plan", "scans", *SELECT)
    box.add(Fault(match="first", status=404, times=None), Fault(match="second", etag='"another"', times=None))
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_without_ranges_the_whole_is_needed(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    data = box.put(URL, packed(FILES))
    box.add(Fault(asked="", times=None))
    recipe(home)
    ran = run("get", "scans", *SELECT, code=1)
    assert f"sends no part of scans.zip, only all of it ({len(data) / 1e6:.1f} MB): leave out --select path" in ran.err
    assert not (cache / "scans").exists()
    assert sent(box) < 10 * len(data)
    assert run("get", "scans", "--json").last["files"] == len(FILES)


def test_ranges_that_end_before_the_members_come(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    run("plan", "scans", *SELECT)
    box.add(Fault(asked="", times=None))
    assert "sends no part of scans.zip, only all of it" in run("get", "scans", *SELECT, code=1).err
    assert tree(cache / "scans/current") == {}


def test_another_version_is_not_mixed_in(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    run("plan", "scans", *SELECT)
    newer = {name: data[::-1] for name, data in FILES.items()}
    box.put(URL, packed(newer))
    ran = run("get", "scans", *SELECT, code=1)
    assert "has another version of scans.zip than the one that was planned; --refresh plans anew" in ran.err
    assert tree(cache / "scans/current") == {}
    receipt = run("get", "scans", *SELECT, "--refresh", "--json").last
    assert tree(Path(receipt["path"])) == digests({name: data[::-1] for name, data in WANTED.items()})


def test_another_version_between_the_end_and_the_directory(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    many = {f"Task0{n % 3}/{n:05d}.txt": b"%d" % n for n in range(4000)}
    data = box.put(URL, packed(many))
    recipe(home, size=len(data))
    box.add(Fault(after=1, changed=True, times=None))
    assert "has another version of scans.zip" in run("get", "scans", "--select", "path=data/Task01", code=1).err
    assert not (cache / "scans").exists()


def test_a_host_that_ignores_if_range(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    run("plan", "scans", *SELECT)
    box.add(Fault(etag='"newer"', times=None))
    assert "has another version of scans.zip" in run("get", "scans", *SELECT, code=1).err
    assert tree(cache / "scans/current") == {}


def test_a_host_without_validators_is_judged_by_the_members(box: Sandbox, run: Run, home: Path) -> None:
    box.put(URL, packed(FILES))
    box.add(Fault(drop=("etag", "last-modified"), times=None))
    recipe(home)
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


def test_a_page_in_place_of_the_archive(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    box.put(URL, packed(FILES))
    recipe(home)
    page = {"status": 200, "body": "<!DOCTYPE html><html>log in</html>", "headers": {"Content-Type": "text/html"}}
    box.add(Fault(times=None, asked="", **page))
    assert "sent a web page in place of scans.zip" in run("get", "scans", *SELECT, code=1).err
    box.clear()
    run("plan", "scans", *SELECT)
    box.add(Fault(times=None, asked="", **page))
    assert "sent a web page in place of scans.zip" in run("get", "scans", *SELECT, code=1).err
    box.clear()
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


@pytest.mark.parametrize("fault", [{"cut": 1000}, {"cut": 100_000, "reset": True}, {"status": 503}, {"stall": 0.1}])
def test_what_passes_is_tried_again(box: Sandbox, run: Run, home: Path, fault: dict[str, Any]) -> None:
    data = box.put(URL, packed(FILES))
    recipe(home, size=len(data))
    for after in (0, 1):
        box.add(Fault(after=after, **fault))
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


def test_a_wrong_byte_once_is_fetched_again(box: Sandbox, run: Run, home: Path) -> None:
    data = box.put(URL, packed(FILES, zipfile.ZIP_STORED))
    recipe(home)
    run("plan", "scans", *SELECT)
    box.add(Fault(corrupt=data.index(b"Task02/labels/01.nii") + 5000))
    ran = run("get", "scans", *SELECT)
    assert "was published with it" in ran.err
    assert tree(Path(ran.out.strip())) == digests(WANTED)


@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_byte_for_ever_is_an_error(box: Sandbox, run: Run, home: Path, cache: Path, method: int) -> None:
    data = box.put(URL, packed(FILES, method))
    recipe(home)
    run("plan", "scans", *SELECT)
    box.add(Fault(corrupt=data.index(b"Task02/labels/01.nii") + 5000, times=None))
    run("get", "scans", *SELECT, code=4)
    assert tree(cache / "scans/current") == {}
    assert not list((cache / "scans/current/.medfetch/partial").iterdir())
    box.clear()
    assert tree(Path(run("get", "scans", *SELECT, "--json").last["path"])) == digests(WANTED)


@pytest.mark.parametrize("damage", ["no end", "no directory", "shifted"])
def test_a_broken_archive(box: Sandbox, run: Run, home: Path, cache: Path, damage: str) -> None:
    data = bytearray(packed(FILES))
    if damage == "no end":
        data = data[:-40]
    elif damage == "no directory":
        data[data.index(b"PK\1\2") : data.index(b"PK\1\2") + 4] = b"XXXX"
    else:
        struct.pack_into("<I", data, data.index(b"PK\1\2") + 42, len(data) - 60)
    box.put(URL, bytes(data))
    recipe(home)
    assert "scans.zip: broken archive" in run("plan", "scans", "--select", "path=data/Task01/*", code=4).err
    assert not (cache / "scans").exists()


def test_a_killed_run_goes_on_where_it_was(box: Sandbox, run: Run, home: Path, cache: Path) -> None:
    large = random.Random(5).randbytes(4_000_000)
    data = box.put(URL, packed({"a.raw": large, "b.raw": NOISE}, zipfile.ZIP_STORED))
    recipe(home, size=len(data))
    run("plan", "scans", "--select", "path=data/a*")
    box.add(Fault(rate=1_500_000))
    process = run.start("get", "scans", "--select", "path=data/a*")
    partials = cache / "scans/current/.medfetch/partial"
    wait_until(lambda: sum(path.stat().st_size for path in partials.glob("*.part")) > 2_000_000)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = sum(path.stat().st_size for path in partials.glob("*.part"))
    box.clear()
    asked = len(box.log)
    receipt = run("get", "scans", "--select", "path=data/a*", "--json").last
    assert tree(Path(receipt["path"])) == digests({"data/a.raw": large})
    (last,) = box.log[asked:]
    end = data.rindex(b"PK\3\4")
    assert last.header("range") == f"bytes={kept}-{end - 1}"
    assert last.header("if-range") and last.sent == end - kept


def test_a_large_member_comes_in_several_ranges(box: Sandbox, run: Run, home: Path) -> None:
    large = Content.noise(SEGMENTS_FROM + 5, "large").whole()
    box.put(URL, packed({"a.raw": NOISE, "b.raw": large, "c.raw": NOISE}, zipfile.ZIP_STORED))
    recipe(home)
    plan = run("plan", "scans", "--select", "path=data/b*", "--json").last
    asked = len(box.log)
    receipt = run("get", "scans", "--select", "path=data/b*", "--json").last
    assert tree(Path(receipt["path"])) == digests({"data/b.raw": large})
    parts = box.log[asked:]
    assert len(parts) > 1 and {entry.status for entry in parts} == {206}
    assert len({entry.header("if-range") for entry in parts} - {None}) == 1
    assert sum(entry.sent for entry in parts) == plan["bytes"]


def test_a_tar_says_that_it_has_to_be_had_whole(box: Sandbox, run: Run, home: Path) -> None:
    url = "https://h.example/scans.tar.gz"
    box.put(url, tarred(a=b"1"))
    write_recipe(home, "scans", routes=http({"path": "scans.tar.gz", "url": url, "unpack": True, "size": 1234567}))
    ran = run("plan", "scans", "--select", "path=a", code=2)
    assert "scans.tar.gz (1.2 MB) can only be had as a whole: --select path=scans.tar.gz" in ran.err
    assert not box.log


# -- in the plan ---------------------------------------------------------------------------------------------------


def test_members_keep_their_form_in_a_plan() -> None:
    member = Packed("a/b", 3, 4, 5, 6, 8)
    file = RemoteFile(
        "a.zip", "k", ("u",), 9, unpack=Unpack("zip", "x", members=(member,)), excerpt=Excerpt(1, 20, '"v"'),
    )  # fmt: skip
    whole = RemoteFile("a.zip", "k", size=18, unpack=Unpack("zip", "x", members=(member, member)), pieces=(file, file))
    assert [entries.load(entries.dump(each)) for each in (file, whole)] == [file, whole]
    assert [entries.files(each) for each in (file, whole)] == [1, 2]
