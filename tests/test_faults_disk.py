"""What the disk does to a run, through the command line: it fills up, it is made room, something is in the way."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe, zipped
from running import Medfetch, Run
from servers import Asked, Server, Step, chunked, serve

SIZE, COUNT, JOBS = 100_000, 60, 4
NAMES = [f"{number:02d}.bin" for number in range(COUNT)]
NAME = "scans"
DISK = 16 << 20


def content(name: str, size: int = SIZE) -> bytes:
    """Bytes of its own for each file."""
    return random.Random(name).randbytes(size)


WANTED = {name: sha256(content(name)) for name in NAMES}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},nr_inodes=2000", "small", str(folder)],
            check=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here: run as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def medfetch(home: Path, cache: Path) -> Run:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    settings = {"CACHE": cache, "RECIPES": home, "TRIES": 2, "BACKOFF": 0.01, "RESERVE": 0, "JOBS": JOBS}
    return Medfetch(home, environment | {f"MEDFETCH_{name}": str(value) for name, value in settings.items()})


def known(path: str, url: str) -> dict[str, Any]:
    return {"path": path, "url": url, "size": SIZE, "sha256": sha256(content(path))}


def dataset(home: Path, *files: dict[str, Any]) -> str:
    return write_recipe(home, NAME, parts={"all": {"routes": http(*files)}})


def in_place(cache: Path) -> dict[str, str]:
    return tree(cache / NAME / "current")


def free(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def fill(disk: Path, leave: int) -> None:
    """Writes somebody else's file, which leaves so many bytes free."""
    with (disk / "other").open("wb", buffering=0) as file, suppress(OSError):
        while (more := free(disk) - leave) > 0:
            file.write(bytes(min(more, 1 << 20)))


def filling(server: Server, disk: Path, name: str, data: bytes, leave: int = 0) -> None:
    """Has somebody else fill the disk while a file is under way."""

    def script(asked: Asked) -> Iterable[Step]:
        steps = serve(data, etag=f'"{name}"', keep=True)(asked)
        yield next(iter(steps))
        fill(disk, leave)
        yield from steps

    server.script(f"/{name}", script, serve(data, etag=f'"{name}"', keep=True))


# -- a disk that fills up -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [0, 150_000])
def test_the_disk_fills_up_and_is_made_room(medfetch: Run, home: Path, disk: Path, server: Server, leave: int) -> None:
    for name in NAMES:
        server.script(f"/{name}", serve(content(name), etag=f'"{name}"', keep=True))
    filling(server, disk, NAMES[COUNT // 2], content(NAMES[COUNT // 2]), leave)
    name = dataset(home, *(known(name, server.url(f"/{name}")) for name in NAMES))
    cache = disk / "cache"
    ran = medfetch("get", name, "--json", code=5, MEDFETCH_CACHE=str(cache))
    assert (ran.last["event"], ran.last["error"], ran.last["exit"]) == ("failed", "DiskFull", 5)
    assert str(disk) in ran.err or "no room" in ran.err
    assert "make room and run" in ran.err
    here = in_place(cache)
    assert here.items() < WANTED.items()
    before = len(server.asked)
    # While nothing is better it says so again, and asks nobody; it may name what had come and was written down.
    medfetch("get", name, "--json", code=5, MEDFETCH_CACHE=str(cache))
    assert here.items() <= in_place(cache).items() < WANTED.items()
    assert len(server.asked) == before
    (disk / "other").unlink()
    medfetch("get", name, "--json", MEDFETCH_CACHE=str(cache))
    assert in_place(cache) == WANTED
    again = len(server.asked) - COUNT
    assert again <= 2 * JOBS
    assert not list((cache / NAME / "current" / ".medfetch" / "partial").iterdir())


def test_the_disk_fills_up_while_an_archive_is_unpacked(medfetch: Run, home: Path, disk: Path, server: Server) -> None:
    members = {f"m{number}": content(f"m{number}", 1_000_000) for number in range(6)}
    archive = zipped(**members)
    filling(server, disk, "a.zip", archive, leave=len(archive) + 2_500_000)
    file = {"path": "a.zip", "url": server.url("/a.zip"), "size": len(archive), "unpack": True}
    name = dataset(home, {**file, "sha256": sha256(archive)})
    cache = disk / "cache"
    ran = medfetch("get", name, "--json", code=5, MEDFETCH_CACHE=str(cache))
    assert ran.last["error"] == "DiskFull"
    assert in_place(cache) == {}
    (disk / "other").unlink()
    medfetch("get", name, MEDFETCH_CACHE=str(cache))
    assert in_place(cache) == {name: sha256(data) for name, data in members.items()}
    # The archive itself was there already.
    assert server.sent("/a.zip") == len(archive)


def test_a_large_file_goes_on_when_there_is_room(medfetch: Run, home: Path, disk: Path, server: Server) -> None:
    # Nobody says beforehand how large it is.
    data = content("large.bin", 8_000_000)
    chunks = chunked(data, 'ETag: "v1"')
    half = len(data) // 2

    def script(asked: Asked) -> Iterable[Step]:
        fill(disk, half)
        yield from chunks(asked)

    name = dataset(home, {"path": "large.bin", "url": server.script("/large.bin", script, serve(data, etag='"v1"'))})
    cache = disk / "cache"
    ran = medfetch("get", name, "--json", code=5, MEDFETCH_CACHE=str(cache))
    assert ran.last["error"] == "DiskFull"
    assert in_place(cache) == {}
    (disk / "other").unlink()
    medfetch("get", name, MEDFETCH_CACHE=str(cache))
    assert in_place(cache) == {"large.bin": sha256(data)}
    start = int(server.asked[1].headers["range"].removeprefix("bytes=").partition("-")[0])
    assert start > half - 1_000_000


@pytest.mark.parametrize("leave", [0, 20_000])
def test_a_full_disk_at_the_beginning(medfetch: Run, home: Path, disk: Path, server: Server, leave: int) -> None:
    fill(disk, leave)
    name = dataset(home, known("a.bin", server.script("/a.bin", serve(content("a.bin")))))
    ran = medfetch("get", name, "--json", code=5, MEDFETCH_CACHE=str(disk / "cache"))
    assert ran.last["error"] == "DiskFull"
    assert server.asked == []
    (disk / "other").unlink()
    medfetch("get", name, MEDFETCH_CACHE=str(disk / "cache"))
    assert in_place(disk / "cache") == {"a.bin": sha256(content("a.bin"))}


def test_no_room_for_one_more_name(medfetch: Run, home: Path, disk: Path, server: Server) -> None:
    """A disk can have bytes left and no inodes."""
    name = dataset(home, known("a.bin", server.script("/a.bin", serve(content("a.bin")))))
    (disk / "others").mkdir()
    with suppress(OSError):
        for number in range(2000):
            (disk / "others" / str(number)).touch()
    ran = medfetch("get", name, "--json", code=5, MEDFETCH_CACHE=str(disk / "cache"))
    assert ran.last["error"] == "DiskFull"
    shutil.rmtree(disk / "others")
    medfetch("get", name, MEDFETCH_CACHE=str(disk / "cache"))
    assert in_place(disk / "cache") == {"a.bin": sha256(content("a.bin"))}


# -- what is in the way -------------------------------------------------------------------------------------------


@pytest.fixture
def two(home: Path, server: Server) -> str:
    """A dataset of two files, a.bin and sub/b.bin."""
    files = [known(path, server.script(f"/{path}", serve(content(path)))) for path in ("a.bin", "sub/b.bin")]
    return dataset(home, *files)


ALL = {path: sha256(content(path)) for path in ("a.bin", "sub/b.bin")}


def a_file(there: Path) -> None:
    there.write_bytes(b"mine")
    there.chmod(0o444)


def a_folder(there: Path) -> None:
    there.mkdir()
    (there / "mine").write_bytes(b"mine")


def a_link(there: Path) -> None:
    there.symlink_to("/nonexistent")


def looks(path: Path) -> tuple[object, ...]:
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize(
    ("path", "obstacle"),
    [("a.bin", a_file), ("a.bin", a_folder), ("a.bin", a_link), ("sub", a_file), ("sub", a_folder)],
)
def test_what_is_in_the_way_is_named_and_left_alone(
    medfetch: Run, cache: Path, two: str, path: str, obstacle: Callable[[Path], None]
) -> None:
    root = cache / NAME / "current"
    root.mkdir(parents=True)
    there = root / path
    obstacle(there)
    if path == "sub" and there.is_dir():
        there = there / "b.bin"
        obstacle(there)
    before = looks(there)
    ran = medfetch("get", two, "--json", code=1)
    assert f"{there} is in the way" in ran.err
    assert looks(there) == before
    # The other one is had all the same.
    good = "sub/b.bin" if path == "a.bin" else "a.bin"
    assert in_place(cache)[good] == ALL[good]
    shutil.rmtree(there) if there.is_dir() and not there.is_symlink() else there.unlink()
    medfetch("get", two)
    assert ALL.items() <= in_place(cache).items()


def test_a_link_to_nowhere_where_a_folder_must_be(medfetch: Run, cache: Path, two: str) -> None:
    there = cache / NAME / "current" / "sub"
    there.parent.mkdir(parents=True)
    a_link(there)
    ran = medfetch("get", two, "--json", code=1)
    assert str(there) in ran.last["message"]
    assert there.is_symlink()
    there.unlink()
    medfetch("get", two)
    assert in_place(cache) == ALL


def test_a_file_of_ours_that_was_made_read_only_is_replaced_when_it_is_broken(
    medfetch: Run, cache: Path, two: str
) -> None:
    medfetch("get", two)
    there = cache / NAME / "current" / "a.bin"
    there.write_bytes(b"cut")
    there.chmod(0o444)
    medfetch("get", two)
    assert in_place(cache) == ALL


@pytest.fixture
def immutable(cache: Path) -> Iterator[Callable[[Path], None]]:
    """Makes a file or folder one that not even root can change."""
    made: list[Path] = []

    def make(path: Path) -> None:
        try:
            subprocess.run(["chattr", "+i", str(path)], check=True, stderr=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("nothing can be made immutable here: run as root on ext4, apt-get install e2fsprogs")
        made.append(path)

    yield make
    for path in made:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def test_a_folder_that_nobody_may_change(
    medfetch: Run, cache: Path, two: str, immutable: Callable[[Path], None]
) -> None:
    medfetch("get", two)
    folder = cache / NAME / "current" / "sub"
    (folder / "b.bin").unlink()
    immutable(folder)
    ran = medfetch("get", two, "--json", code=1)
    assert ran.last["error"] == "CacheError"
    assert str(folder) in ran.err
    subprocess.run(["chattr", "-i", str(folder)], check=True)
    medfetch("get", two)
    assert in_place(cache) == ALL


def test_a_cache_that_nobody_may_change(
    medfetch: Run, cache: Path, two: str, server: Server, immutable: Callable[[Path], None]
) -> None:
    cache.mkdir()
    immutable(cache)
    ran = medfetch("get", two, "--json", code=1)
    assert f"the cache at {cache} cannot be used" in ran.last["message"]
    assert server.asked == []
