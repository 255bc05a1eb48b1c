"""Datasets for machines without a network: out of a cache into a folder, and out of that into another cache."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from datasets import COLLECTION, http, of_subject, sha256, tree, write_recipe, zipped
from running import Ran, Run
from shims import AS_FAT, built

import medfetch
from medfetch import volumes
from medfetch.sandbox import Sandbox

pytestmark = pytest.mark.long

SUBJECT = "LIDC-IDRI-0001"
FILES = {"a/one": b"one" * 50_000, "a/two": b"two", "b/three": b"three"}


@pytest.fixture
def usb(tmp_path: Path) -> Path:
    return tmp_path / "usb"


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    return dataset(home, box, "carried")


def dataset(home: Path, box: Sandbox, name: str, **more: Any) -> str:
    for path, content in FILES.items():
        box.put(f"https://host/{path}", content)
    box.put("https://host/more.zip", zipped(scan=b"inside"))
    files: list[dict[str, Any]] = [
        {"path": path, "url": f"https://host/{path}", "sha256": sha256(FILES[path])} for path in FILES
    ]
    files.append({"path": "more.zip", "url": "https://host/more.zip", "unpack": {"into": "more"}})
    return write_recipe(home, name, routes=http(*files), **more)


WANTED = {**{path: sha256(content) for path, content in FILES.items()}, "more/scan": sha256(b"inside")}


@pytest.fixture
def there(run: Run, tmp_path: Path, box: Sandbox) -> Any:
    """Another machine's medfetch: without these recipes, and with no host that would answer."""

    def there(*arguments: object, **more: Any) -> Ran:
        asked = box.stats.requests
        elsewhere = {
            "MEDFETCH_CACHE": str(tmp_path / "there"),
            "MEDFETCH_RECIPES": "",
            "HOME": str(tmp_path / "person"),
        }
        ran = run(*arguments, **{**elsewhere, **more})
        assert box.stats.requests == asked
        return ran

    return there


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_ctime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: needs root")
def test_what_was_exported_is_taken_in_without_any_network(run: Run, there: Any, usb: Path, tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-n", "true"]).returncode:
        pytest.skip("makes a network namespace: needs unshare (util-linux), and the right to")
    select = ("-s", f"subject={SUBJECT}")
    here = run("get", COLLECTION, *select, "--json").last
    exported = run("export", COLLECTION, usb, "--json").last
    taken = there("get", COLLECTION, "--from", usb, "--json", wrap=("unshare", "-n")).last
    assert taken["tree"] == exported["tree"] == here["tree"]
    assert taken["through"] == [str(usb)]
    home = tmp_path / "there" / COLLECTION / "current"
    assert tree(home) == of_subject(SUBJECT)
    same = ("dataset", "version", "files", "bytes", "assurance", "from", "select", "parts", "licence", "recipe", "plan")
    assert {key: taken[key] for key in same} == {key: here[key] for key in same}
    # It is as though it had been fetched there.
    assert there("get", COLLECTION, *select, "--json", wrap=("unshare", "-n")).last["tree"] == here["tree"]
    assert there("path", COLLECTION).out == f"{home}\n"
    assert "0 bad" in there("verify", COLLECTION, "--content").out


def test_the_other_machine_need_not_know_the_recipe(run: Run, there: Any, name: str, usb: Path, tmp_path: Path) -> None:
    receipt = run("get", name, "--json").last
    run("export", name, usb)
    before = times(usb)
    assert there("get", name, "--from", usb, "--json").last["tree"] == receipt["tree"]
    home = tmp_path / "there" / name / "current"
    assert tree(home) == WANTED
    assert times(usb) == before
    assert there("path", name).out == f"{home}\n"
    assert there("status", name, "--json").last["state"] == "complete"
    assert "4 files, 0 bad" in there("verify", name).out
    assert there("info", name, "--json").last["name"] == name
    assert json.loads(there("get", name, "--json").out.splitlines()[-1])["tree"] == receipt["tree"]
    there("rm", name, "--yes")
    # Without medfetch, too.
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", ".medfetch/SHA256SUMS"], cwd=usb / name / "current", capture_output=True
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4
    assert name in (usb / "MEDFETCH.txt").read_text()
    assert not (usb / "CACHEDIR.TAG").exists()


def test_a_second_export_copies_what_is_missing(run: Run, there: Any, name: str, usb: Path) -> None:
    run("get", name)
    run("export", name, usb)
    data = usb / name / "current"
    (data / "a" / "two").unlink()
    before = times(data / "a") | times(data / "b") | times(data / "more")
    run("export", name, usb)
    after = times(data / "a") | times(data / "b") | times(data / "more")
    assert {path for path in after if after[path] != before.get(path)} == {str(data / "a" / "two")}
    assert tree(data) == WANTED
    # What has changed its bytes and not its length, only reading it tells: the other side does, and so does this.
    (data / "a" / "two").write_bytes(b"twx")
    assert "1 bad" in run("verify", name, "--cache", usb, code=4).out
    assert "a/two has sha256" in there("get", name, "--from", usb, code=4).err


def test_an_export_that_was_killed_goes_on(run: Run, there: Any, home: Path, box: Sandbox, usb: Path) -> None:
    content = {f"{number:03d}": os.urandom(100_000) for number in range(300)}
    files = []
    for path, data in content.items():
        box.put(f"https://host/{path}", data)
        files.append({"path": path, "url": f"https://host/{path}", "sha256": sha256(data)})
    name = write_recipe(home, "many", routes=http(*files))
    run("get", name)
    kills = 0
    for wait in (0.0, 0.05, 0.1, 0.2):
        process = run.start("export", name, usb)
        deadline = time.monotonic() + 60
        while not any((usb / name / "current" / ".medfetch" / "partial").glob("*")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        wrong = {path for path, digest in tree(usb / name / "current").items() if digest != sha256(content[path])}
        assert not wrong
    assert kills
    run("export", name, usb)
    assert not any((usb / name / "current" / ".medfetch" / "partial").iterdir())
    there("get", name, "--from", usb)


@pytest.mark.parametrize(
    ("damage", "code", "said"),
    [
        (lambda path: path.write_bytes(b"twx"), 4, "a/two has sha256"),
        (lambda path: path.write_bytes(b"tw"), 4, "a/two has 2 bytes, expected 3"),
        (lambda path: path.unlink(), 1, "a/two is missing"),
    ],
    ids=["damaged", "cut", "missing"],
)
def test_what_is_damaged_or_missing_is_named_and_the_rest_is_there(
    run: Run, there: Any, name: str, usb: Path, tmp_path: Path, damage: Any, code: int, said: str
) -> None:
    run("get", name)
    run("export", name, usb)
    damage(usb / name / "current" / "a" / "two")
    ran = there("get", name, "--from", usb, "--json", code=code)
    assert said in ran.err
    assert [failure["path"] for failure in ran.last["failures"]] == ["a/two"]
    rest = {path: digest for path, digest in WANTED.items() if path != "a/two"}
    assert tree(tmp_path / "there" / name / "current") == rest
    there("path", name, code=1)
    run("export", name, usb)
    if code == 4 and said.endswith("sha256"):
        run("verify", name, "--cache", usb, code=4)
        return
    there("get", name, "--from", usb)
    assert tree(tmp_path / "there" / name / "current") == WANTED


def test_an_export_whose_ledger_is_damaged_says_so(run: Run, there: Any, name: str, usb: Path) -> None:
    run("get", name)
    run("export", name, usb)
    path = usb / name / "current" / ".medfetch" / "ledger.sqlite"
    path.write_bytes(b"nothing " * 2000)
    assert "export the dataset again" in there("get", name, "--from", usb, code=1).err


def test_parts_of_it_can_be_exported_and_taken_in(
    run: Run, there: Any, name: str, home: Path, box: Sandbox, usb: Path, tmp_path: Path
) -> None:
    run("get", name)
    run("export", name, usb, "-s", "path=a,b")
    assert sorted(tree(usb / name / "current")) == ["a/one", "a/two", "b/three"]
    there("get", name, "--from", usb, "-s", "path=b")
    assert sorted(tree(tmp_path / "there" / name / "current")) == ["b/three"]
    assert "does not have that of it" in there("get", name, "--from", usb, "-s", "path=more", code=2).err
    there("get", name, "--from", usb)
    assert sorted(tree(tmp_path / "there" / name / "current")) == ["a/one", "a/two", "b/three"]
    # Several at once, by a list; what has no recipe anywhere; and files that are placed elsewhere as well.
    box.put("https://host/plain.bin", b"plain")
    run("get", "https://host/plain.bin")
    run("export", "https://host/plain.bin", usb)
    (home / "list.txt").write_text(f"{name}\nhttps://host/plain.bin\n")
    ran = there("get", "-r", "list.txt", "--from", usb, "--to", tmp_path / "to", "--json")
    assert [event["files"] for event in ran.lines if event["event"] == "receipt"] == [3, 1]
    assert sorted(tree(tmp_path / "to")) == ["a/one", "a/two", "b/three", "plain.bin"]


def test_what_cannot_be_exported_or_taken_in_is_said(run: Run, there: Any, name: str, usb: Path, box: Sandbox) -> None:
    assert "is not complete in the cache" in run("export", name, usb, code=1).err
    assert not usb.exists()
    assert "is no folder" in there("get", name, "--from", usb, code=2).err
    run("get", name, "-s", "path=a")
    run("export", name, usb, "-s", "path=b", code=1)
    run("export", name, usb)
    assert f"in there: {name}" in there("get", "other", "--from", usb, code=2).err
    box.put("https://host/signed", b"x")
    run("get", "https://host/signed?key=secret")
    assert "may be a secret" in run("export", "https://host/signed?key=secret", usb, code=2).err


def test_agreements_are_asked_for_on_the_other_side(
    run: Run, there: Any, home: Path, box: Sandbox, usb: Path, tmp_path: Path
) -> None:
    account = {"name": "an-account", "kind": "account", "do": "Sign up.", "credential": "physionet"}
    course = {"name": "a-course", "kind": "training", "do": "Take the course.", "at": "https://host/course"}
    access = {"level": "credentialed", "terms": "https://host/terms", "requires": [
        account, course, {"name": "signed", "kind": "terms", "do": "Sign.", "at": "https://host/terms"}
    ]}  # fmt: skip
    name = dataset(home, box, "agreed", access=access)
    for arguments in ((), ("--step", "a-course")):
        run("agree", name, *arguments, "--agreed-on", "2026-01-02", "--as", "Ada")
    with_account = {"PHYSIONET_USERNAME": "ada", "PHYSIONET_PASSWORD": "x"}
    (home / ".netrc").write_text("machine physionet.org login ada password x\n")
    (home / ".netrc").chmod(0o600)
    run("get", name, **with_account)
    run("export", name, usb, **with_account)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (usb / name).rglob("*") if path.is_dir()} == {0o700}
    refused = there("get", name, "--from", usb, "--json", code=3)
    # What only a host wants, nobody need have here.
    assert [step["name"] for step in refused.last["steps"]] == ["a-course", "signed"]
    assert not (tmp_path / "there" / name).exists()
    there("agree", name, "--agreed-on", "2026-02-03", "--as", "Bob")
    there("agree", name, "--step", "a-course", "--agreed-on", "2026-02-03", "--as", "Bob")
    receipt = there("get", name, "--from", usb, "--json").last
    assert {each["person"] for each in receipt["agreements"]} == {"Bob"}
    home_there = tmp_path / "there" / name / "current"
    assert tree(home_there) == WANTED
    assert {stat.S_IMODE(path.stat().st_mode) for path in [home_there, *home_there.rglob("*")]} == {0o700, 0o600}


def test_a_usb_disk_with_fat(run: Run, there: Any, home: Path, box: Sandbox, usb: Path, tmp_path: Path) -> None:
    usb.mkdir()
    as_fat = {"LD_PRELOAD": built(AS_FAT, tmp_path), "FAT": str(usb)}
    box.put("https://host/odd", b"odd")
    name = dataset(home, box, "fat")
    run("get", name)
    run("export", name, usb, **as_fat)
    there("get", name, "--from", usb, **as_fat)
    assert tree(tmp_path / "there" / name / "current") == WANTED
    # A name that it cannot hold is told, and the rest is there.
    odd = [{"path": path, "url": "https://host/odd"} for path in ("good", "16:30/odd", "what?")]
    write_recipe(home, "odd", routes=http(*odd))
    run("get", "odd")
    ran = run("export", "odd", usb, "--json", code=1, **as_fat)
    assert {failure["path"] for failure in ran.last["failures"]} == {"16:30/odd", "what?"}
    assert "cannot hold the name '16:30'" in ran.err
    assert sorted(tree(usb / "odd" / "current")) == ["good"]
    # It keeps nobody from reading.
    closed = dataset(home, box, "closed", access={"level": "terms"})
    run("agree", closed, "--agreed-on", "2026-01-02", "--as", "Ada")
    run("get", closed)
    assert "cannot keep others from reading" in run("export", closed, usb, code=2, **as_fat).err
    assert not (usb / closed).exists()
    run("export", closed, usb, "--yes", **as_fat)
    assert tree(usb / closed / "current") == WANTED


def test_what_a_volume_refuses() -> None:
    fat = volumes.Volume(any_name=False, modes=False, largest=volumes.LARGEST_ON_FAT)
    assert fat.refuses("a/b c.nii.gz", 2**32 - 1) is None
    assert "more than the file system" in (fat.refuses("a/b", 2**32) or "")
    for path in ("a:b", "a/b?/c", "a ./b", "dot./b", "tab\t", "back\\slash"):
        assert "cannot hold the name" in (fat.refuses(path, 1) or ""), path
    assert volumes.Volume().refuses("a:b? ", 2**40) is None


def test_a_volume_is_tried_out(tmp_path: Path) -> None:
    assert volumes.of(tmp_path) == volumes.Volume()
    assert list(tmp_path.iterdir()) == []


def test_from_python(
    run: Run, name: str, home: Path, usb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_digest = run("get", name, "--json").last["tree"]
    monkeypatch.setenv("MEDFETCH_CONFIG", str(home / "none.yaml"))
    options = {"progress": False, "reserve": 0}
    (receipt,) = medfetch.export(name, usb, cache=tmp_path / "cache", recipes=[home], **options)
    assert receipt["tree"] == tree_digest
    path = medfetch.get(name, export=usb, cache=tmp_path / "there", **options)
    assert path == tmp_path / "there" / name / "current"
    assert tree(path) == WANTED
