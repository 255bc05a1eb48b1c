"""A group's cache, by real users: what one began another goes on with, whatever their umasks; and who is kept out.

Users and groups are numbers without names in the system's lists, which is all that file systems know of them; only the
group of an agreement has to have a name. Processes change to them before they start, for which one has to be root.
"""

from __future__ import annotations

import grp
import os
import shutil
import signal
import stat
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe, zipped
from running import Ran, Run

import medfetch
from medfetch.sandbox import Fault, Sandbox

ADA, BOB, EVE = 54101, 54102, 54103
LAB = 54200
COVERED = grp.getgrgid(100) if 100 in {each.gr_gid for each in grp.getgrall()} else grp.getgrall()[-1]
"""The group of those whom an agreement covers."""
UMASKS = {ADA: "077", BOB: "022", EVE: "002"}
CONTENT = {f"{number:02d}": f"content {number}".encode() * 5000 for number in range(12)}


def _reachable(path: Path) -> bool:
    return path.exists() and all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def _interpreter() -> Path | None:
    """A Python of this version that other users may run, too: root's own may lie in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return next((each for each in (Path(sys.executable), Path("/usr/bin", version)) if _reachable(each)), None)


PYTHON = _interpreter()
IMPORTED = [Path(medfetch.__file__).resolve().parents[1], Path(sysconfig.get_paths()["purelib"])]

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="becomes other users: needs root"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="becomes other users: needs setpriv (util-linux)"),
    pytest.mark.skipif(PYTHON is None, reason="becomes other users, who may not run this Python"),
    pytest.mark.skipif(
        not all(map(_reachable, IMPORTED)), reason="becomes other users, who may not read this checkout"
    ),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that all users can reach, unlike those of the tests."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def cache(place: Path) -> Path:
    """Of the group LAB."""
    cache = place / "cache"
    cache.mkdir()
    os.chown(cache, ADA, LAB)
    cache.chmod(0o2775)
    return cache


@pytest.fixture
def home(place: Path) -> Path:
    home = place / "recipes"
    home.mkdir(mode=0o755)
    return home


@pytest.fixture
def who(run: Run, place: Path) -> Any:
    """``who(ADA, "get", …)``: a run of that user, in the group LAB and, but for Eve, the one that is covered."""
    for user in UMASKS:
        (place / str(user)).mkdir()
        os.chown(place / str(user), user, user)

    def wrap(user: int) -> tuple[str, ...]:
        groups = {ADA: f"{LAB},{COVERED.gr_gid}", BOB: f"{LAB},{COVERED.gr_gid}", EVE: str(LAB)}[user]
        become = ("setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={groups}", "--")
        return (*become, "sh", "-c", f'umask {UMASKS[user]}; shift; exec {PYTHON} "$@"', "sh")

    def own(user: int) -> dict[str, str]:
        return {"HOME": str(place / str(user)), "PYTHONPATH": ":".join(map(str, IMPORTED))}

    class Who:
        def __call__(self, user: int, *arguments: object, **more: Any) -> Ran:
            return run(*arguments, wrap=wrap(user), **own(user), **more)

        def start(self, user: int, *arguments: object, **more: Any) -> Any:
            return run.start(*arguments, wrap=wrap(user), **own(user), **more)

    return Who()


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    return dataset(home, box, "shared", "open")


def dataset(home: Path, box: Sandbox, name: str, level: str) -> str:
    files: list[dict[str, Any]] = []
    for path, content in CONTENT.items():
        box.put(f"https://host/{path}", content)
        files.append({"path": f"in/{path}", "url": f"https://host/{path}", "sha256": sha256(content)})
    box.put("https://host/more.zip", zipped(side=b"side"))
    files.append({"path": "more.zip", "url": "https://host/more.zip", "unpack": {"into": "more"}})
    write_recipe(home, name, access={"level": level}, routes=http(*files))
    (home / f"{name}.yaml").chmod(0o644)
    return name


WANTED = {**{f"in/{path}": sha256(content) for path, content in CONTENT.items()}, "more/side": sha256(b"side")}


def modes(folder: Path) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """(mode, group) of folders and of files."""
    paths = [folder, *folder.rglob("*")]
    found = {path: (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) for path in paths}
    return {found[path] for path in paths if path.is_dir()}, {found[path] for path in paths if path.is_file()}


def killed_half_way(who: Any, user: int, name: str, home: Path, box: Sandbox) -> int:
    """A run that dies with some files in place and others on their way; the number in place."""
    box.add(Fault(match="/(0[6-9]|1.)$", rate=5000, times=None))
    process = who.start(user, "get", name, MEDFETCH_JOBS="4")
    deadline = time.monotonic() + 60
    while len(tree(home) if home.exists() else ()) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    box.clear()
    return len(tree(home))


def test_one_goes_on_with_what_another_began_and_the_next_removes_it(
    who: Any, name: str, cache: Path, box: Sandbox
) -> None:
    home = cache / name / "current"
    killed_half_way(who, ADA, name, home, box)
    sent = box.stats.data_bytes
    assert (home / ".medfetch" / "get.lease").exists()
    who(BOB, "get", name)
    assert tree(home) == WANTED
    # What was in place, or on its way, is not fetched again.
    assert box.stats.data_bytes - sent < sum(map(len, CONTENT.values()))
    assert {(home / path).stat().st_uid for path in WANTED} == {ADA, BOB}
    assert modes(cache) == ({(0o2775, LAB)}, {(0o664, LAB)} | {(0o644, LAB)} & modes(cache)[1])
    # Every member can verify, repair, look, and have nothing to do.
    (home / "in" / "01").write_bytes(b"broken")
    assert "1 bad and fetched again" in who(EVE, "verify", name, "--repair").out
    assert tree(home) == WANTED
    who(ADA, "get", name)
    assert who(BOB, "status", name, "--json").last["state"] == "complete"
    who(EVE, "gc")
    who(BOB, "rm", name, "--yes")
    assert not home.exists()
    # Nor do the limits of hosts, which are in the cache too, belong to anybody.
    box.add(Fault(match="/00$", status=429, headers={"Retry-After": "1"}))
    who(EVE, "get", name)
    assert tree(home) == WANTED


def test_data_under_an_agreement_are_for_those_whom_it_covers(who: Any, home: Path, cache: Path, box: Sandbox) -> None:
    name = dataset(home, box, "covered", "credentialed")
    there = cache / name / "current"
    groups = {"MEDFETCH_GROUPS": f"{name}={COVERED.gr_name}"}
    who(ADA, "get", name, **groups)
    assert modes(cache / name) == (
        {(0o2770, COVERED.gr_gid)},
        {(0o660, COVERED.gr_gid)} | {(0o640, COVERED.gr_gid)} & modes(cache / name)[1],
    )
    # Bob is covered, and his own settings need not say so.
    (there / "in" / "01").unlink()
    assert "12 files" in who(BOB, "get", name).err
    assert tree(there) == WANTED
    assert modes(cache / name)[1] <= {(0o660, COVERED.gr_gid), (0o640, COVERED.gr_gid)}
    # Eve shares the cache and is not.
    for command in (["get", name], ["path", name], ["verify", name], ["rm", name, "--yes"], ["status", name]):
        said = who(EVE, *command, code=1).err
        assert f"for the group {COVERED.gr_name}" in said, said
    assert who(EVE, "status", "--json").out == ""
    assert tree(there) == WANTED
    who(BOB, "rm", name, "--yes")
    assert not there.exists()


def test_without_a_group_data_under_an_agreement_are_for_who_fetched_them(
    who: Any, home: Path, cache: Path, box: Sandbox
) -> None:
    name = dataset(home, box, "alone", "credentialed")
    who(ADA, "get", name)
    assert {mode for mode, _ in modes(cache / name)[0]} == {0o700}
    assert f"it is {ADA}'s alone" in who(BOB, "get", name, code=1).err
    # Whoever owns it may open it later.
    who(ADA, "get", name, MEDFETCH_GROUPS=f"http={COVERED.gr_name}")
    who(BOB, "verify", name)
    who(BOB, "get", name)


def test_a_layer_shows_each_what_they_may_read(who: Any, home: Path, cache: Path, place: Path, box: Sandbox) -> None:
    name = dataset(home, box, "layered", "credentialed")
    who(ADA, "get", name, MEDFETCH_GROUPS=f"{name}={COVERED.gr_name}")
    asked = box.stats.requests
    layers = {"MEDFETCH_CACHE_LAYERS": str(cache)}
    for user in (BOB, EVE):
        layers["MEDFETCH_CACHE"] = str(place / str(user) / "own")
        path = who(user, "get", name, **layers).out.strip()
        expected = cache if user == BOB else Path(layers["MEDFETCH_CACHE"])
        assert path == str(expected / name / "current")
        assert (box.stats.requests > asked) == (user == EVE)


def test_a_cache_that_was_one_persons_becomes_the_groups(who: Any, name: str, cache: Path, box: Sandbox) -> None:
    cache.chmod(0o755)
    home = cache / name / "current"
    who(ADA, "get", name)
    cache.chmod(0o2775)
    # What is there, whose it is can give to the group.
    who(ADA, "get", name)
    assert modes(home)[0] == {(0o2775, LAB)}
    (home / "in" / "01").unlink()
    who(BOB, "get", name)
    assert tree(home) == WANTED
