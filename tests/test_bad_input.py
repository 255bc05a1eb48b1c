"""What people get wrong, and machines: each time the right exit code, a message that names it, a hint, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from datasets import COLLECTION, http, of_subject, sha256, tree, write_recipe, zipped
from running import Ran, Run

from medfetch.sandbox import Sandbox

DX = "1.3.6.1.4.1.14519.5.2.1.6279.6001.141365756818074696859567662357"
SMALL = ("get", COLLECTION, "-s", f"series={DX}")
TCIA_HEAD = "downloadServerUrl=https://nbia.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet\n"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def says(ran: Ran, *texts: str) -> None:
    """The message is for a person: it names these, and says what to do."""
    for text in texts:
        assert text in ran.err, ran.err
    assert ran.err.startswith("medfetch: ") or "\nmedfetch: " in ran.err


# -- recipes and manifests ---------------------------------------------------------------------------------------

OPEN = "name: X\nsummary: X.\naccess: {level: open}\n"
ONE_FILE = "routes: [{source: http, files: [{path: a, url: 'https://host/a'}]}]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: broken\nname: [\n", "broken.yaml:3:1"),
        (f"id: broken\n{OPEN}colour: red\n{ONE_FILE}", "broken.yaml:5:1: colour"),
        (f"id: broken\n{OPEN}subjects: many\n{ONE_FILE}", "broken.yaml:5:11: subjects"),
        (f"id: broken\n{OPEN}routes: [{{source: carrier-pigeon, host: x}}]\n", "broken.yaml:5:19: routes[0].source"),
        (f"id: broken\n{OPEN}routes: [{{source: idc, colection: x}}]\n", "broken.yaml:5:24: routes[0].colection"),
        ("id: broken\nname: X\nsummary: X.\naccess: {level: open, requires: [nothing-such]}\n", "broken.yaml:4:34"),
        (f"id: other\n{OPEN}{ONE_FILE}", "broken.yaml:1:5: id"),
        ("- a\n- list\n", "broken.yaml:1:1"),
        ("", "broken.yaml:1:1"),
    ],
)
def test_broken_recipes(run: Run, home: Path, text: str, said: str) -> None:
    (home / "broken.yaml").write_text(text)
    says(run("get", "broken", code=2), said)
    assert said in run("recipe", "check", "broken.yaml", code=2).out


def test_requirements_that_wait_for_each_other(run: Run, home: Path) -> None:
    step = {"kind": "account", "do": "ask"}
    (home / "requirements.yaml").write_text(
        yaml.safe_dump({"a": {**step, "after": ["b"]}, "b": {**step, "after": ["a"]}})
    )
    write_recipe(home, "cyclic", access={"level": "account", "requires": ["a"]})
    ran = run("recipe", "check", ".", code=2)
    assert "requirements.yaml" in ran.out
    says(run("get", "cyclic", code=2), "requirements.yaml:")


def test_two_files_with_one_path(run: Run, home: Path, box: Sandbox) -> None:
    files = [{"path": "a", "url": f"https://host/{name}"} for name in "12"]
    write_recipe(home, "twice", routes=http(*files))
    says(run("get", "twice", code=2), "'a'")
    assert box.stats.requests == 0


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("half.tcia", TCIA_HEAD + "includeAnnotation=tr", "half.tcia:2: the manifest ends before"),
        (
            "half.tcia",
            TCIA_HEAD + "ListOfSeriesToDownload=\n1.2.840.1\n1.2.",
            "half.tcia:4: expected a SeriesInstanceUID",
        ),
        ("page.tcia", "<!DOCTYPE html>\n<html><body>Log in</body></html>", "page.tcia:1: a web page"),
        ("bytes.tcia", "\0\1\2\0", "bytes.tcia:1"),
        ("no.csv", "Name,Size\na,1\n", "no.csv:1: expected one column SeriesInstanceUID"),
        ("short.s5cmd", "cp s3://idc-open-data/0123/* .\n", "short.s5cmd:1"),
    ],
)
def test_broken_manifests(run: Run, home: Path, box: Sandbox, name: str, text: str, said: str) -> None:
    (home / name).write_text(text)
    says(run("get", name, code=2), said)
    assert box.stats.requests == 0


def test_a_manifest_cut_within_a_uid_names_the_series(run: Run, home: Path) -> None:
    (home / "cut.tcia").write_text(f"{TCIA_HEAD}ListOfSeriesToDownload=\n{DX}\n{DX[:-5]}\n")
    says(run("get", "cut.tcia", code=2), "cut.tcia", DX[:-5], "hint:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- name: [x]\n", "item 1"),
        ("- lidc-idri\n- {name: lidc-idri, colour: red}\n", "item 2"),
        ("- {name: lidc-idri, limit: many}\n", "item 1"),
        ("name: lidc-idri\n", "expected a list"),
        ("- [\n", "wanted.yaml"),
    ],
)
def test_broken_lists(run: Run, home: Path, text: str, said: str) -> None:
    (home / "wanted.yaml").write_text(text)
    says(run("get", "-r", "wanted.yaml", code=2), "wanted.yaml", said)


# -- the command line, settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get"], ["no dataset was named", "hint:"]),
        (["get", "lidc-idr"], ["'lidc-idr'", "lidc-idri"]),
        (["get", "nosource:x"], ["nosource"]),
        (["get", "lidc-idri@9"], ["'9'"]),
        (["get", "-r", "missing.txt"], ["missing.txt"]),
        (["get", "missing.tcia"], ["missing.tcia"]),
        (["plan", COLLECTION, "--select", "nonsense"], ["'nonsense'", "hint:"]),
        (["plan", COLLECTION, "--select", "colour=red"], ["'colour'", "subject, study"]),
        (["plan", COLLECTION, "--select", "subject=LIDC-IDRI-9999"], ["nothing matches subject=LIDC-IDRI-9999"]),
        (["plan", COLLECTION, "--part", "slides"], ["'slides'", "images, nodules"]),
        (["plan", COLLECTION, "--route", "kaggle"], ["kaggle", "idc, tcia"]),
        (["plan", "idc:lidc_idry", "--offline"], ["lidc_idri"]),
        (["get", COLLECTION, "--jobs", "0"], ["jobs", "'0'"]),
        (["get", COLLECTION, "--limit-rate", "fast"], ["'fast'", "20M"]),
        (["get", "https://host/file", "--sha256", "xyz"], ["xyz"]),
        (["get", COLLECTION, "--sha256", "0" * 64], [COLLECTION]),
        (["get", "https://me:secret@host/file"], ["netrc"]),
    ],
)
def test_wrong_command_lines(run: Run, box: Sandbox, arguments: list[str], said: list[str]) -> None:
    says(run(*arguments, code=2), *said)
    assert box.stats.requests == 0


def test_wrong_options_are_the_command_lines_too(run: Run) -> None:
    assert "--limit" in run("plan", COLLECTION, "--limit", "0", code=2).err
    assert "--colour" in run("get", COLLECTION, "--colour", code=2).err


@pytest.mark.parametrize(
    ("text", "said"),
    [("jobs: [", "not valid YAML"), ("colour: red\n", "'colour'"), ("jobs: many\n", "jobs"), ("- a\n", "a mapping")],
)
def test_broken_settings(run: Run, home: Path, text: str, said: str) -> None:
    (home / "my.yaml").write_text(text)
    says(run("list", code=2, MEDFETCH_CONFIG=str(home / "my.yaml")), "my.yaml", said)


def test_unknown_and_wrong_variables(run: Run) -> None:
    says(run("list", code=2, MEDFETCH_COLOUR="red"), "colour", "hint:")
    says(run("list", code=2, MEDFETCH_TRIES="-1"), "tries", "'-1'")


def test_errors_are_json_too(run: Run) -> None:
    ran = run("plan", COLLECTION, "--part", "slides", "--json", code=2)
    assert ran.lines == [
        {
            "event": "failed",
            "error": "UsageProblem",
            "kind": "usage",
            "message": "lidc-idri has no part 'slides'",
            "hint": "its parts: images, nodules, qin-lungct-seg, annotations",
            "exit": 2,
        }
    ]


# -- names -------------------------------------------------------------------------------------------------------


def test_odd_names_arrive_as_they_are(run: Run, home: Path, box: Sandbox) -> None:
    names = ["a b/c.txt", "100%/x.txt", "%20.txt", "é/日本.txt", "it's;$(x).txt", "-r.txt", "a..b/…", "x" * 255]
    for name in names:
        box.put(f"s3://bucket/{name}", name.encode())
    receipt = run("get", "s3:bucket", "--json").last
    assert tree(Path(receipt["path"])) == {name: sha256(name.encode()) for name in names}
    assert run("verify", "s3:bucket", "--json").last == {
        "event": "verify",
        "dataset": receipt["dataset"],
        "files": len(names),
        "bad": 0,
        "repaired": False,
    }
    write_recipe(home, "odd", routes=http({"path": "sub dir/ü %41.txt", "url": "https://host/ü"}))
    box.put("https://host/ü", b"odd")
    assert set(tree(Path(run("get", "odd", "--json").last["path"]))) == {"sub dir/ü %41.txt"}


@pytest.mark.parametrize(
    "path", ["../a", "/etc/passwd", "a/../../b", ".medfetch/ledger.sqlite", f"{'n' * 300}/a", "a//b"]
)
def test_paths_that_leave_the_dataset_or_cannot_be(run: Run, home: Path, box: Sandbox, path: str) -> None:
    box.put("https://host/a", b"evil")
    write_recipe(home, "evil", routes=http({"path": path, "url": "https://host/a"}))
    says(run("get", "evil", code=2), path[:40])
    assert box.stats.requests == 0


@pytest.mark.parametrize("key", ["a/../../../evil.txt", f"{'n' * 300}.txt"])
def test_hosts_with_such_names_are_not_followed(run: Run, box: Sandbox, tmp_path: Path, key: str) -> None:
    box.put(f"s3://bucket/{key}", b"evil")
    run("get", "s3:bucket", code=None)
    assert not [path for path in tmp_path.rglob("*evil.txt") if "current" not in path.parts]


def test_archives_that_reach_out_of_their_folder(
    run: Run, home: Path, box: Sandbox, cache: Path, tmp_path: Path
) -> None:
    box.put("https://host/evil.zip", zipped(**{"good.txt": b"good", "../../../../evil.txt": b"evil"}))
    write_recipe(home, "evil", routes=http({"path": "evil.zip", "url": "https://host/evil.zip", "unpack": True}))
    says(run("get", "evil", code=4), "evil.txt")
    assert not list(tmp_path.rglob("evil.txt"))
    assert tree(cache / "evil" / "current") == {}


# -- what is in the way ------------------------------------------------------------------------------------------


def test_a_file_of_the_users_is_never_overwritten(run: Run, home: Path, box: Sandbox, cache: Path) -> None:
    data = box.put("https://host/a", size=1000)
    box.put("https://host/b", size=1000)
    write_recipe(
        home,
        "pair",
        routes=http(
            {"path": "a", "url": "https://host/a", "size": 1000, "sha256": sha256(data)},
            {"path": "sub/b", "url": "https://host/b"},
        ),
    )
    folder = cache / "pair" / "current"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"mine")
    ran = run("get", "pair", code=1)
    says(ran, f"{folder / 'a'} is in the way", "1 of 2")
    assert tree(folder) == {"a": sha256(b"mine"), "sub/b": tree(folder)["sub/b"]}
    (folder / "a").unlink()
    sent = box.stats.data_bytes
    run("get", "pair")
    assert tree(folder)["a"] == sha256(data)
    assert box.stats.data_bytes == sent  # what had arrived was kept


def test_a_folder_in_the_way_of_a_file_and_a_file_in_the_way_of_a_folder(
    run: Run, home: Path, box: Sandbox, cache: Path
) -> None:
    for name in "abc":
        box.put(f"https://host/{name}", size=10)
    files = [{"path": path, "url": f"https://host/{path[0]}"} for path in ("a", "b/b", "c")]
    write_recipe(home, "three", routes=http(*files))
    folder = cache / "three" / "current"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "mine").write_bytes(b"mine")
    (folder / "b").write_bytes(b"mine")
    ran = run("get", "three", code=1)
    says(ran, f"{folder / 'a'} is in the way", str(folder / "b"), "2 of 3")
    assert set(tree(folder)) == {"a/mine", "b", "c"}
    shutil.rmtree(folder / "a")
    (folder / "b").unlink()
    run("get", "three")
    assert set(tree(folder)) == {"a", "b/b", "c"}
    # … and afterwards, where files were.
    shutil.rmtree(folder / "b")
    (folder / "b").write_bytes(b"mine")
    (folder / "a").unlink()
    (folder / "a").mkdir()
    says(run("get", "three", code=1), str(folder / "b"))
    assert run("verify", "three", "--json", code=4).lines[-2]["bad"] == 2


def test_a_file_in_a_series_way_is_no_reason_to_ask_another_host(run: Run, box: Sandbox, cache: Path) -> None:
    name = next(name for name in of_subject("LIDC-IDRI-0001") if DX in name)
    final = cache / COLLECTION / "current" / name
    final.parent.mkdir(parents=True)
    final.write_bytes(b"mine")
    says(run(*SMALL, code=1), f"{final} is in the way")
    assert final.read_bytes() == b"mine"
    assert not [entry for entry in box.log if entry.target.startswith("/nbia")]


# -- disks -------------------------------------------------------------------------------------------------------


@contextmanager
def _mounted(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", folder], capture_output=True, text=True
    )
    if mount.returncode:
        folder.rmdir()
        pytest.skip(f"a small disk cannot be mounted (needs root): {mount.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def large_files(home: Path, box: Sandbox) -> dict[str, str]:
    """Six files of 400 kB whose sizes are not known beforehand, as recipe ``large``; their digests."""
    data = {f"f{number}": box.put(f"https://host/f{number}", size=400_000) for number in range(6)}
    write_recipe(home, "large", routes=http(*({"path": name, "url": f"https://host/{name}"} for name in data)))
    return {name: sha256(content) for name, content in data.items()}


@pytest.mark.parametrize("size", ["32k", "160k", "400k", "1M", "2M"])
def test_a_full_disk_loses_nothing(run: Run, tmp_path: Path, large_files: dict[str, str], size: str) -> None:
    with _mounted(tmp_path / "small", size) as disk:
        ran = run("get", "large", "--cache", disk, code=5)
        assert "hint: make room" in ran.err
        there = tree(disk / "large" / "current")
        assert there.items() <= large_files.items()
        subprocess.run(["mount", "-o", "remount,size=20M", disk], check=True)
        run("get", "large", "--cache", disk)
        assert tree(disk / "large" / "current") == large_files


def test_too_little_room_is_said_before_the_first_byte(run: Run, box: Sandbox, tmp_path: Path) -> None:
    with _mounted(tmp_path / "small", "10M") as disk:
        ran = run("get", COLLECTION, "-s", "subject=LIDC-IDRI-0001", "--cache", disk, code=5)
        says(ran, "lidc-idri needs 86.4 MB", str(disk), "hint:")
        assert box.stats.requests == 0


def test_to_another_disk_makes_copies(run: Run, tmp_path: Path, cache: Path) -> None:
    with _mounted(tmp_path / "other", "40M") as disk:
        for _ in range(2):
            run(*SMALL, "--to", disk / "here")
            assert tree(disk / "here") == tree(cache / COLLECTION / "current")
            assert {path.stat().st_nlink for path in (disk / "here").rglob("*.dcm")} == {1}
        run(*SMALL, "--cache", disk / "cache")
        assert tree(disk / "cache" / COLLECTION / "current") == tree(disk / "here")


def test_a_cache_where_a_file_is(run: Run, tmp_path: Path, box: Sandbox) -> None:
    (tmp_path / "file").write_bytes(b"")
    says(run(*SMALL, "--cache", tmp_path / "file", code=1), str(tmp_path / "file"), "hint: choose another")
    says(run(*SMALL, "--cache", tmp_path / "file" / "x", code=1), str(tmp_path / "file"), "hint: choose another")
    assert box.stats.requests == 0


@pytest.fixture
def as_nobody() -> tuple[str, ...]:
    """The command that makes a process somebody else's, for whom file modes count; nothing where they count anyway."""
    if os.geteuid():
        return ()
    if subprocess.run([*NOBODY, sys.executable, "-c", "import medfetch"], capture_output=True).returncode:
        pytest.skip("nobody cannot run medfetch here (setpriv): run the tests as somebody else than root")
    return NOBODY


def test_a_cache_that_may_only_be_read(run: Run, box: Sandbox, as_nobody: tuple[str, ...]) -> None:
    # Not below pytest's own folders: nobody else may enter those.
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        cache = Path(above, "cache")
        cache.mkdir(mode=0o555)
        elsewhere = {"MEDFETCH_CACHE": str(cache), "MEDFETCH_RECIPES": above, "HOME": above}
        ran = run(*SMALL, code=1, wrap=as_nobody, **elsewhere)
        says(ran, f"you may not use {cache}", "hint: ask them, or choose another")
        assert box.stats.requests == 0
        cache.chmod(0o755)
        run(*SMALL, **elsewhere)
        for path in (cache, *cache.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            for verb in ("path", "status", "verify"):
                run(verb, COLLECTION, wrap=as_nobody, **elsewhere)
            asked = box.stats.requests
            assert run(*SMALL, "--json", wrap=as_nobody, **elsewhere).last["files"] == 2
            assert box.stats.requests == asked
            ran = run("get", COLLECTION, "-s", "modality=CT", "--limit", 1, code=1, wrap=as_nobody, **elsewhere)
            says(ran, str(cache), "hint:")
        finally:
            for path in (cache, *cache.rglob("*")):
                path.chmod(0o755)


def test_a_damaged_ledger_is_named(run: Run, cache: Path) -> None:
    run(*SMALL)
    ledger = cache / COLLECTION / "current" / ".medfetch" / "ledger.sqlite"
    ledger.write_bytes(b"no database at all" * 100)
    says(run(*SMALL, code=1), str(ledger), "hint:")
    ledger.unlink()
    run(*SMALL)
    assert run("verify", COLLECTION, "--json").last["files"] == 2


def test_a_damaged_plan_is_named(run: Run, cache: Path) -> None:
    run(*SMALL)
    plan = next((cache / COLLECTION / "current" / ".medfetch" / "plans").glob("*/plan.json"))
    plan.write_text("{")
    says(run(*SMALL, code=1), str(plan), "hint:")
