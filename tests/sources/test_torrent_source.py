"""The source ``torrent``: what a .torrent file says, web seeds, and a real swarm on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from running import Run
from torrent_files import PIECE, torrent, tracker

from medfetch import torrents
from medfetch.checksum import Hasher
from medfetch.errors import IntegrityError
from medfetch.sandbox import Sandbox

pytestmark = pytest.mark.long

needs_aria2c = pytest.mark.skipif(shutil.which("aria2c") is None, reason="needs aria2c: apt-get install aria2")
FILES = {"a/one.bin": os.urandom(3 * PIECE), "two.bin": os.urandom(100_000), "three.txt": b"three"}
NO_ARIA2C = {"PATH": "/nonexistent"}


def recipe(home: Path, box: Sandbox, content: bytes, info_hash: str, **more: object) -> str:
    box.put("https://host/set.torrent", content)
    route = {"source": "torrent", "info_hash": info_hash, "torrent": "https://host/set.torrent", **more}
    return write_recipe(home, "swarm", routes=[route])


# -- what a .torrent file says -----------------------------------------------------------------------------------


def test_files_and_checksums_where_pieces_are_a_files_own() -> None:
    content, info_hash = torrent(FILES, announce="http://t/1", **{"announce-list": [["http://t/1"], ["http://t/2"]]})
    read = torrents.read(content, info_hash)
    assert [(file.index, file.path, file.size) for file in read.files] == [
        (number, path, len(data)) for number, (path, data) in enumerate(FILES.items(), 1)
    ]
    assert read.trackers == ("http://t/1", "http://t/2")
    first, second, third = (torrents.checksum(read, file) for file in read.files)
    assert first and (second, third) == (None, None)
    for data, good in ((FILES["a/one.bin"], True), (FILES["a/one.bin"][:-1] + b"\0", False)):
        hasher = Hasher([first])
        hasher.update([data[:7], data[7:50_000], data[50_000:]], len(data))
        assert (hasher.mismatch() is None) == good


def test_the_last_piece_may_be_short() -> None:
    read = torrents.read(*torrent({"x": b"x" * (PIECE + 5)}, "x"))
    checksum = torrents.checksum(read, read.files[0])
    assert checksum
    hasher = Hasher([checksum])
    hasher.update([b"x" * (PIECE + 5)], PIECE + 5)
    assert hasher.mismatch() is None


@pytest.mark.parametrize("content", [b"<html>", b"d4:infod4:name1:aee", torrent(FILES)[0]])
def test_another_file_is_not_taken_for_it(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        torrents.read(content, "0" * 40)


# -- web seeds ---------------------------------------------------------------------------------------------------


def test_a_web_seed_needs_no_client_and_is_verified_by_the_pieces(run: Run, home: Path, box: Sandbox) -> None:
    data = os.urandom(200_000)
    content, info_hash = torrent({"scans.zip": data}, "scans.zip", **{"url-list": ["https://seed/scans.zip"]})
    recipe(home, box, content, info_hash)
    box.put("https://seed/scans.zip", b"\0" + data[1:])
    ran = run("get", "swarm", code=1, **NO_ARIA2C)
    assert "apt-get install aria2" in ran.err
    box.put("https://seed/scans.zip", data)
    receipt = run("get", "swarm", "--json", **NO_ARIA2C).last
    assert tree(Path(receipt["path"])) == {"scans.zip": sha256(data)}
    assert receipt["assurance"] == {"published": 1}
    # What somebody has from elsewhere is verified by the same pieces.
    (home / "mine.zip").write_bytes(data)
    brought = run("import", "swarm", "mine.zip", "--json", MEDFETCH_CACHE=str(home / "other")).last
    assert brought["assurance"] == {"published": 1}


# -- a swarm -----------------------------------------------------------------------------------------------------


@contextmanager
def seeder(folder: Path, files: dict[str, bytes], content: bytes, *options: str) -> Iterator[None]:
    for path, data in files.items():
        (folder / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "set" / path).write_bytes(data)
    (folder / "seed.torrent").write_bytes(content)
    command = [
        "aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--seed-ratio=0", "--bt-seed-unverified=true",
        "--check-integrity=true", f"--dir={folder}", f"--stop-with-process={os.getpid()}", *options,
        str(folder / "seed.torrent"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


@needs_aria2c
def test_files_come_out_of_a_swarm(run: Run, home: Path, box: Sandbox, tmp_path: Path) -> None:
    with tracker() as announce:
        content, info_hash = torrent(FILES, announce=announce)
        recipe(home, box, content, info_hash)
        with seeder(tmp_path / "seed", FILES, content):
            one = run("get", "swarm", "-s", "path=a", "--json").last
            assert set(tree(Path(one["path"]))) == {"a/one.bin"}
            receipt = run("get", "swarm", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"published": 3}
    assert receipt["from"][0]["host"] == info_hash
    assert list((Path(receipt["path"]) / ".medfetch/partial").iterdir()) == []


@needs_aria2c
def test_killed_it_goes_on_from_the_pieces_that_are_here(
    run: Run, home: Path, cache: Path, box: Sandbox, tmp_path: Path
) -> None:
    data = {"big.bin": os.urandom(3_000_000), "other.bin": b"other"}
    with tracker() as announce:
        content, info_hash = torrent(data, announce=announce)
        recipe(home, box, content, info_hash, path="big.bin")
        with seeder(tmp_path / "seed", data, content, "--max-overall-upload-limit=400K"):
            process = run.start("get", "swarm")
            deadline = time.monotonic() + 60
            while not any(path.stat().st_blocks * 512 > 1_000_000 for path in cache.rglob("*.swarm/file")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
        (kept,) = cache.rglob("*.swarm/file")
        before = kept.read_bytes()
        assert tree(cache / "swarm/current") == {}
        # Nobody seeds any more: what is here stays, and that nobody sends is said.
        ran = run("get", "swarm", code=1, MEDFETCH_TRIES="1", MEDFETCH_PATIENCE="1")
        assert "nobody has sent anything" in ran.err
        (kept,) = cache.rglob("*.swarm/file")
        assert kept.read_bytes()[:PIECE] == before[:PIECE]
        with seeder(tmp_path / "seed", data, content):
            receipt = run("get", "swarm", "--json").last
    assert tree(Path(receipt["path"])) == {"big.bin": sha256(data["big.bin"])}


def test_without_a_client_it_says_what_to_install(run: Run, home: Path, box: Sandbox) -> None:
    recipe(home, box, *torrent(FILES))
    assert "apt-get install aria2" in run("get", "swarm", code=1, **NO_ARIA2C).err
    assert run("plan", "swarm", "--json", **NO_ARIA2C).last["files"] == 3


def test_the_sandbox_has_web_seeds_only(run: Run, home: Path, box: Sandbox) -> None:
    recipe(home, box, *torrent(FILES))
    assert "404" in run("get", "swarm", "--sandbox", code=1).err
