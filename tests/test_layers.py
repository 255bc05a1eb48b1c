"""Read-only caches below one's own: used before the network, never written to, and no trouble when they are broken."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from datasets import http, sha256, tree, write_recipe, zipped
from running import Run

import medfetch
from medfetch.sandbox import Sandbox

pytestmark = pytest.mark.long

FILES = {"a/one": b"one", "a/two": b"two" * 1000, "b/three": b"three"}
INSIDE = {"scan": b"inside", "mask": b"too"}


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Somebody else's cache, and a layer for the ``run`` of these tests."""
    return tmp_path / "mirror"


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    """A recipe of files with and without checksums, and of an archive in a part of its own."""
    for path, content in FILES.items():
        box.put(f"https://host/{path}", content)
    box.put("https://host/more.zip", zipped(**INSIDE))
    files = [{"path": path, "url": f"https://host/{path}", "sha256": sha256(FILES[path])} for path in FILES]
    del files[2]["sha256"]
    more = [{"path": "more.zip", "url": "https://host/more.zip", "unpack": {"into": "more"}}]
    return write_recipe(
        home, "mirrored", parts={"files": {"routes": http(*files)}, "more": {"routes": http(*more)}}
    )  # fmt: skip


WANTED = {
    **{path: sha256(content) for path, content in FILES.items()},
    **{f"more/{path}": sha256(content) for path, content in INSIDE.items()},
}


def state(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """All that a process could have changed in a folder."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        there = path.lstat()
        found[str(path)] = (there.st_mtime_ns, there.st_ctime_ns, there.st_size, there.st_mode)
    return found


@pytest.fixture
def with_mirror(run: Run, mirror: Path, box: Sandbox) -> dict[str, str]:
    return {"MEDFETCH_CACHE_LAYERS": str(mirror)}


def test_what_a_layer_has_all_of_is_used_where_it_is(
    run: Run, name: str, mirror: Path, cache: Path, box: Sandbox, with_mirror: dict[str, str]
) -> None:
    run("get", name, "--cache", mirror)
    there, before, asked = mirror / name / "current", state(mirror), box.stats.requests
    for wish in ([], ["--part", "files"], ["-s", "path=a"], ["-s", "path=more/scan"], ["--offline"]):
        receipt = run("get", name, "--json", *wish, **with_mirror).last
        assert (receipt["path"], receipt["layer"], receipt["files"]) == (str(there), str(mirror), 5)
    assert run("plan", name, "--json", **with_mirror).last["path"] == str(there)
    assert run("path", name, **with_mirror).out == f"{there}\n"
    (status,) = run("status", "--json", **with_mirror).lines
    assert (status["state"], status["layer"], status["path"]) == ("complete", str(mirror), str(there))
    assert f"{there} (a layer" in run("status", name, **with_mirror).out
    assert f"here: {there} (a layer" in run("info", name, **with_mirror).out
    assert "5 files, 0 bad in the layer" in run("verify", name, "--content", **with_mirror).out
    assert "medfetch changes nothing there" in run("rm", name, "--yes", code=2, **with_mirror).err
    assert "of your own" in run("verify", name, "--repair", code=2, **with_mirror).err
    assert "nothing matches" in run("get", name, "-s", "path=c", code=2, **with_mirror).err
    run("gc", **with_mirror)
    assert not cache.exists()
    assert state(mirror) == before
    assert box.stats.requests == asked
    # Without the layer it is nowhere.
    assert run("path", name, code=1).out == f"{cache / name / 'current'}\n"


def test_what_a_layer_has_some_of_is_copied_and_the_rest_is_fetched(
    run: Run, name: str, mirror: Path, cache: Path, box: Sandbox, with_mirror: dict[str, str]
) -> None:
    run("get", name, "--cache", mirror, "--part", "more")
    before, sent = state(mirror), box.stats.data_bytes
    ran = run("get", name, "--json", **with_mirror)
    assert tree(cache / name / "current") == WANTED
    assert state(mirror) == before
    assert box.stats.data_bytes - sent == sum(map(len, FILES.values()))
    assert ran.last["through"] == [str(mirror)]
    assert [event["files"] for event in ran.lines if event["event"] == "taken"] == [2]
    # A file of its own, not another name for that of the layer.
    inodes = {(each / name / "current" / "more" / "scan").stat().st_ino for each in (mirror, cache)}
    assert len(inodes) == 2
    (there,) = [each for each in run("status", "--json", **with_mirror).lines if each["layer"] is None]
    assert there["path"] == run("path", name, **with_mirror).out.strip() == str(cache / name / "current")
    run("rm", name, "--yes", **with_mirror)
    assert not (cache / name).exists()
    assert state(mirror) == before


def test_with_a_dataset_of_ones_own_everything_goes_there(
    run: Run, name: str, mirror: Path, cache: Path, box: Sandbox, with_mirror: dict[str, str]
) -> None:
    run("get", name, "--cache", mirror)
    run("get", name, "-s", "path=a/one", MEDFETCH_OFFLINE="")
    asked = box.stats.requests
    assert run("get", name, "--json", **with_mirror).last["path"] == str(cache / name / "current")
    assert box.stats.requests == asked
    assert tree(cache / name / "current") == WANTED
    # As it is where the files are wanted elsewhere, too: those that are wanted, and no others.
    run("rm", name, "--yes")
    to = cache.parent / "to"
    run("get", name, "-s", "path=a", "--to", to, **with_mirror)
    assert tree(to) == {path: digest for path, digest in WANTED.items() if path.startswith("a/")}
    assert box.stats.requests == asked


def test_a_damaged_file_of_a_layer_is_fetched(
    run: Run, name: str, mirror: Path, cache: Path, box: Sandbox, with_mirror: dict[str, str]
) -> None:
    run("get", name, "--cache", mirror)
    path = mirror / name / "current" / "a" / "two"
    path.write_bytes(b"twx" * 1000)
    assert "1 bad in the layer" in run("verify", name, code=4, **with_mirror).out
    sent = box.stats.data_bytes
    ran = run("get", name, "--refresh", **with_mirror)
    assert f"{path} has sha256" in ran.err
    assert tree(cache / name / "current") == WANTED
    assert box.stats.data_bytes - sent == 3000
    run("rm", name, "--yes")
    # Of those that are gone, or not whole, the layer makes no secret either.
    path.unlink()
    run("get", name, "--offline", code=6, **with_mirror)
    run("get", name, **with_mirror)
    assert tree(cache / name / "current") == WANTED


def _vanished(mirror: Path, name: str) -> None:
    shutil.rmtree(mirror)


def _garbage(mirror: Path, name: str) -> None:
    for path in mirror.rglob("*.sqlite"):
        path.write_bytes(b"no database " * 1000)


def _cut(mirror: Path, name: str) -> None:
    for path in mirror.rglob("*.sqlite"):
        os.truncate(path, path.stat().st_size // 2)


def _other_version(mirror: Path, name: str) -> None:
    import sqlite3

    for path in mirror.rglob("*.sqlite"):
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()


def _no_plan(mirror: Path, name: str) -> None:
    shutil.rmtree(mirror / name / "current" / ".medfetch" / "plans")


def _broken_plan(mirror: Path, name: str) -> None:
    for path in mirror.rglob("plan.json"):
        path.write_text('{"recipe": 5}')


@pytest.mark.parametrize("trouble", [_vanished, _garbage, _cut, _other_version, _no_plan, _broken_plan])
def test_a_layer_that_is_not_as_it_should_be_is_no_trouble(
    run: Run, name: str, mirror: Path, cache: Path, with_mirror: dict[str, str], trouble: object
) -> None:
    run("get", name, "--cache", mirror)
    trouble(mirror, name)  # type: ignore[operator]
    run("status", **with_mirror)
    run("status", name, **with_mirror)
    run("path", name, code=1, **with_mirror)
    run("get", name, **with_mirror)
    assert tree(cache / name / "current") == WANTED
    assert run("path", name, **with_mirror).out == f"{cache / name / 'current'}\n"


def test_files_of_another_version_of_the_plan_are_used(
    run: Run, name: str, home: Path, mirror: Path, cache: Path, box: Sandbox, with_mirror: dict[str, str]
) -> None:
    run("get", name, "--cache", mirror)
    box.put("https://host/four", b"four")
    files = [
        {"path": path, "url": f"https://host/{path}", "sha256": sha256(FILES[path])} for path in ("a/one", "a/two")
    ]
    write_recipe(home, name, routes=http(*files, {"path": "four", "url": "https://host/four"}))
    sent = box.stats.data_bytes
    run("get", name, **with_mirror)
    assert box.stats.data_bytes - sent == 4
    assert sorted(tree(cache / name / "current")) == ["a/one", "a/two", "four"]


def test_private_data_of_a_layer_want_the_agreement_and_stay_private(
    run: Run, home: Path, mirror: Path, cache: Path, box: Sandbox, with_mirror: dict[str, str]
) -> None:
    for path in ("one", "two"):
        box.put(f"https://host/{path}", path.encode())
    files = [{"path": path, "url": f"https://host/{path}", "sha256": sha256(path.encode())} for path in ("one", "two")]
    name = write_recipe(home, "agreed", access={"level": "terms"}, routes=http(*files))
    agreement = ("agree", name, "--agreed-on", "2026-01-02", "--as", "Ada")
    run(*agreement, MEDFETCH_DATA=str(home / "theirs"))
    run("get", name, "--cache", mirror, MEDFETCH_DATA=str(home / "theirs"))
    asked = box.stats.requests
    assert "agree" in run("get", name, code=3, **with_mirror).err
    run(*agreement)
    assert run("get", name, "--json", **with_mirror).last["layer"] == str(mirror)
    receipt = run("get", name, "--to", home / "to", "--json", **with_mirror).last
    assert [each["person"] for each in receipt["agreements"]] == ["Ada"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (cache / name).rglob("*")}
    assert modes == {0o700, 0o600}
    assert box.stats.requests == asked


def test_layers_are_named_in_the_configuration_and_from_python(
    run: Run, name: str, home: Path, mirror: Path, cache: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("get", name, "--cache", mirror)
    (home / "config.yaml").write_text(f"cache.layers: [{home / 'none'}, {mirror}]\n")
    there = mirror / name / "current"
    assert run("path", name, MEDFETCH_CONFIG=str(home / "config.yaml")).out == f"{there}\n"
    monkeypatch.setenv("MEDFETCH_CONFIG", str(home / "none.yaml"))
    path = medfetch.get(name, cache=cache, cache_layers=[mirror], recipes=[home], offline=True, progress=False)
    assert path == there
    assert not cache.exists()
