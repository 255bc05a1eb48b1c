"""A dataset in few archives is the same dataset: complete, verified, mended, and killed at any instant without loss."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import stat
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from datasets import COLLECTION, http, of_subject, sha256, tarred, tree, write_recipe, zipped
from running import Run

from medfetch import cache as cache_module
from medfetch import durability, packs, piles, sealing, stored
from medfetch.cache import Home
from medfetch.errors import IntegrityError
from medfetch.ledger import Ledger
from medfetch.packs import Packs
from medfetch.placing import Staged
from medfetch.sandbox import Fault, Sandbox
from medfetch.types import Assurance

SUBJECTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0002")
ONE = ("get", COLLECTION, "-s", f"subject={SUBJECTS[0]}")
KILLS = 30
BOTH = ("get", COLLECTION, "-s", f"subject={','.join(SUBJECTS)}")


def home_of(cache: Path) -> Home:
    return Home(cache / COLLECTION / "current")


def archives(home: Home) -> dict[str, str]:
    """SHA-256 of what lies at final names."""
    return tree(home.root)


def inside(home: Home) -> dict[str, str]:
    """SHA-256 of the files in all archives, as any program sees them."""
    found = {}
    for path in home.root.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            found |= {name: sha256(archive.read(name)) for name in archive.namelist()}
    for path in home.root.glob("*.tar"):
        with tarfile.open(path) as archive:
            found |= {info.name: sha256(archive.extractfile(info).read()) for info in archive}
    return found


def seen(home: Home) -> dict[str, str]:
    """SHA-256 of all files that the ledger has, as medfetch reads them."""
    with closing(Ledger(home.ledger, watching=True)) as ledger:
        paths = [file.path for file in ledger.files()]
    found = {}
    for path in paths:
        with stored.open_file(home, path) as file:
            found[path] = sha256(file.read())
    return found


def count(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*"))


# -- the same dataset --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["zip", pytest.param("tar", marks=pytest.mark.long)])
def test_a_packed_dataset_is_the_loose_one_in_few_files(run: Run, cache: Path, tmp_path: Path, format_: str) -> None:
    loose = run(*ONE, "--json", "--cache", tmp_path / "loose").last
    packed = run(*ONE, "--json", f"--pack={format_}").last
    wanted = of_subject(SUBJECTS[0])
    home = home_of(cache)
    assert inside(home) == seen(home) == wanted
    assert {name.rpartition(".")[2] for name in archives(home)} == {format_}
    assert packed["tree"] == loose["tree"]
    assert (packed["files"], packed["bytes"], packed["assurance"]) == (
        loose["files"],
        loose["bytes"],
        loose["assurance"],
    )
    assert not list(home.piles.iterdir())
    assert not list(home.partial.iterdir())
    assert count(home.root) < 30 < len(wanted) < count(home_of(tmp_path / "loose").root)


def test_the_same_again_asks_nothing_and_changes_nothing(run: Run, box: Sandbox, cache: Path) -> None:
    run(*ONE, "--pack")
    home = home_of(cache)
    before = {path: path.stat().st_mtime_ns for path in home.root.glob("*.zip")}
    asked = box.stats.requests
    run(*ONE, "--pack")
    run(*ONE)
    assert box.stats.requests == asked
    assert {path: path.stat().st_mtime_ns for path in home.root.glob("*.zip")} == before
    assert run("path", COLLECTION).out.strip() == str(home.root)
    status = run("status", COLLECTION, "--json").last
    assert (status["state"], status["packed"], status["files"]) == ("complete", "zip", 135)
    assert "in zip archives" in run("status", COLLECTION).out
    assert run("gc", "--json").last["files"] == 0
    assert {path: path.stat().st_mtime_ns for path in home.root.glob("*.zip")} == before
    run("rm", COLLECTION)
    assert not home.root.exists()


@pytest.mark.long
def test_archives_do_not_depend_on_what_came_first(run: Run, cache: Path, tmp_path: Path) -> None:
    run(*BOTH, "--pack")
    elsewhere = {"MEDFETCH_CACHE": str(tmp_path / "other")}
    run(*ONE, "-s", "modality=SEG,SR", "--pack", code=None, **elsewhere)
    run(*ONE, "--limit", "1", "--pack", **elsewhere)
    run(*BOTH, **elsewhere)
    assert archives(home_of(cache)) == archives(home_of(tmp_path / "other"))


@pytest.mark.long
def test_loose_files_are_packed_and_packed_anew(run: Run, box: Sandbox, cache: Path) -> None:
    run(*ONE)
    home, asked = home_of(cache), box.stats.requests
    wanted = tree(home.root)
    for format_ in ("zip", "tar", "zip"):
        run(*ONE, f"--pack={format_}")
        assert inside(home) == seen(home) == wanted
        assert sorted(path.name for path in home.root.iterdir()) == [".medfetch", f"{SUBJECTS[0]}.{format_}"]
        assert not list(home.piles.iterdir())
    assert box.stats.requests == asked


def test_what_is_unpacked_goes_into_archives_too(run: Run, box: Sandbox, home: Path, cache: Path) -> None:
    members = {f"scans/{number:03}.row": os.urandom(number) for number in range(50)}
    big = {"deep/one": b"1" * 300_000, "deep/two": b""}
    files = {"a.zip": zipped(**members), "b.tgz": tarred(**big), "plain.txt": b"plain"}
    for name, content in files.items():
        box.put(f"https://host/{name}", content)
    listed = [{"path": name, "url": f"https://host/{name}", "sha256": sha256(files[name])} for name in files]
    listed[0]["unpack"] = {"into": "a"}
    listed[1]["unpack"] = {"into": "a.zip"}
    name = write_recipe(home, "mixed", routes=http(*listed))
    run("get", name, "--pack")
    there = Home(cache / name / "current")
    wanted = {f"a/{path}": sha256(content) for path, content in members.items()}
    wanted |= {f"a.zip/{path}": sha256(content) for path, content in big.items()} | {"plain.txt": sha256(b"plain")}
    assert inside(there) == seen(there) == wanted
    # A folder of the dataset is called as the archive of another would be.
    assert set(archives(there)) == {"a~.zip", "a.zip.zip", "files.zip"}
    assert run("verify", name, "--content", "--json").last["bad"] == 0
    target = there.root.parents[2] / "target"
    run("get", name, "--to", target)
    assert tree(target) == wanted


@pytest.mark.long
def test_a_series_that_its_host_zips_is_packed(run: Run, cache: Path) -> None:
    run(*ONE, "--route", "tcia", "--pack")
    assert inside(home_of(cache)) == of_subject(SUBJECTS[0])


def test_private_archives_are_private(run: Run, box: Sandbox, home: Path, cache: Path) -> None:
    box.put("https://host/a/secret.bin", b"secret")
    file = {"path": "a/secret.bin", "url": "https://host/a/secret.bin"}
    access = {"level": "terms"}
    name = write_recipe(home, "private", access=access, routes=http(file))
    run("agree", name, "--as", "A Person", "--agreed-on", "2026-01-01")
    run("get", name, "--pack")
    there = Home(cache / name / "current")
    assert inside(there) == {"a/secret.bin": sha256(b"secret")}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [there.root, *there.root.rglob("*")]} == {0}


# -- verified, mended, taken elsewhere ---------------------------------------------------------------------------------


HARM = ("the directory", "cut", "gone")


def _flip(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 255]))


@pytest.mark.parametrize("harm", ["a member", *(pytest.param(harm, marks=pytest.mark.long) for harm in HARM)])
def test_harm_is_found_and_mended(run: Run, box: Sandbox, cache: Path, harm: str) -> None:
    run(*ONE, "--pack")
    home = home_of(cache)
    (archive,) = home.root.glob("*.zip")
    before, asked = archives(home), len(box.log)
    if harm == "a member":
        _flip(archive, 1_000_000)
    elif harm == "the directory":
        _flip(archive, archive.stat().st_size - 100)
    elif harm == "cut":
        os.truncate(archive, 1_000_000)
    else:
        archive.unlink()
    found = run("verify", COLLECTION, "--json", code=4).lines
    bad = [line for line in found if line["event"] in ("file", "archive")]
    assert len(bad) >= 1
    assert run("verify", COLLECTION, "--repair", "--json").last["repaired"]
    assert archives(home) == before
    assert seen(home) == of_subject(SUBJECTS[0])
    assert run("verify", COLLECTION, "--json").last["bad"] == 0
    fetched = [entry for entry in box.log[asked:] if entry.target.endswith(".dcm")]
    assert len(fetched) == {"a member": 1, "the directory": 0}.get(harm, len(fetched))


@pytest.mark.long
def test_a_lost_archive_is_fetched_again_by_get(run: Run, cache: Path) -> None:
    run(*BOTH, "--pack")
    home = home_of(cache)
    before = archives(home)
    (home.root / f"{SUBJECTS[1]}.zip").unlink()
    assert run("status", COLLECTION, "--json").code == 0
    run(*BOTH)
    assert archives(home) == before


@pytest.mark.long
def test_an_export_is_loose_and_is_packed_on_the_other_side(
    run: Run, box: Sandbox, cache: Path, tmp_path: Path
) -> None:
    receipt = run(*ONE, "--pack", "--json").last
    asked = box.stats.requests
    usb, there = tmp_path / "usb", tmp_path / "there"
    assert run("export", COLLECTION, usb, "--json").last["tree"] == receipt["tree"]
    exported = Home(usb / COLLECTION / "current")
    assert tree(exported.root) == of_subject(SUBJECTS[0])
    sums = exported.inner / "SHA256SUMS"
    subprocess.run(["sha256sum", "--check", "--quiet", sums], cwd=exported.root, check=True)
    taken = run("get", COLLECTION, "--from", usb, "--pack=tar", "--json", "--cache", there).last
    assert taken["tree"] == receipt["tree"]
    assert inside(home_of(there)) == of_subject(SUBJECTS[0])
    assert box.stats.requests == asked


@pytest.mark.long
def test_a_packed_layer_is_used_and_taken_from(run: Run, box: Sandbox, cache: Path, tmp_path: Path) -> None:
    run(*ONE, "--pack")
    asked = [len(box.log)]
    own = {"MEDFETCH_CACHE": str(tmp_path / "own"), "MEDFETCH_CACHE_LAYERS": str(cache)}
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    assert run(*ONE, "--json", **own).last["layer"] == str(cache)
    run(*BOTH, **own)
    assert tree(home_of(tmp_path / "own").root).keys() >= of_subject(SUBJECTS[0]).keys()
    fetched = [entry.target for entry in box.log[asked[0] :] if entry.target.endswith(".dcm")]
    assert len(fetched) == len(of_subject(SUBJECTS[1]))
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


@pytest.mark.long
def test_what_a_person_brings_is_packed(run: Run, home: Path, cache: Path, tmp_path: Path) -> None:
    content = {f"x/{number}.bin": os.urandom(1000) for number in range(5)}
    files = [{"path": path, "url": f"https://host/{path}", "sha256": sha256(data)} for path, data in content.items()]
    name = write_recipe(home, "brought", routes=http(*files))
    there = Home(cache / name / "current")
    run("get", name, "--pack", code=None, MEDFETCH_TRIES="1")
    (tmp_path / "x").mkdir()
    for path, data in content.items():
        (tmp_path / path).write_bytes(data)
    run("import", name, tmp_path / "x")
    assert inside(there) == {path: sha256(data) for path, data in content.items()}
    assert {path: path.read_bytes() for path in (tmp_path / "x").iterdir()} == {
        tmp_path / path: data for path, data in content.items()
    }


@pytest.mark.long
def test_tasks_side_by_side_make_the_same_archives(run: Run, cache: Path, tmp_path: Path) -> None:
    run(*BOTH, "--pack", "--cache", tmp_path / "alone")
    tasks = [run.start(*BOTH, "--pack", "--shard", f"{number}/2", MEDFETCH_PROCESSES="1") for number in range(2)]
    for task in tasks:
        _, err = task.communicate(timeout=120)
        assert task.returncode == 0, err
    assert archives(home_of(cache)) == archives(home_of(tmp_path / "alone"))
    assert not list(home_of(cache).piles.iterdir())


@pytest.mark.long
def test_bad_use_is_told(run: Run, cache: Path) -> None:
    assert "zip" in run(*ONE, "--pack=rar", code=2).err
    # Its value needs the equals sign, so that a name may follow.
    run("get", "--pack", COLLECTION, "-s", f"subject={SUBJECTS[0]}", "--limit", "1")
    assert list(home_of(cache).root.glob("*.zip"))
    (home_of(cache).root / f"{SUBJECTS[1]}.zip").write_text("somebody else's")
    failed = run(*BOTH, code=1)
    assert "is in the way" in failed.err
    (home_of(cache).root / f"{SUBJECTS[1]}.zip").unlink()
    run(*BOTH)


# -- killed ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_box() -> Iterator[Sandbox]:
    slow = Fault(match=r"\.dcm$", rate=400_000, times=None)
    with Sandbox(max_instance_bytes=50_000, faults=[slow]) as box:
        yield box


@pytest.mark.long
def test_killed_at_many_moments_nothing_is_lost(run: Run, slow_box: Sandbox, cache: Path, tmp_path: Path) -> None:
    wanted = {name: digest for subject in SUBJECTS for name, digest in of_subject(subject, 50_000).items()}
    arguments = (*BOTH, "--pack", "--json")
    run(*arguments, "--cache", tmp_path / "alone", **slow_box.environment, MEDFETCH_JOBS="32")
    home, moments, most, found = home_of(cache), random.Random(7), 0, [0]
    size = sum(path.stat().st_size for path in home_of(tmp_path / "alone").root.glob("*.zip"))
    sent = slow_box.stats.data_bytes
    for _ in range(KILLS):
        process = run.start(*arguments, **slow_box.environment, MEDFETCH_JOBS="4")
        until = time.monotonic() + moments.uniform(0.5, 2.5)
        while time.monotonic() < until and process.poll() is None:
            most = max(most, count(home.root) if home.root.exists() else 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if process.returncode == 0:
            break
        status = run("status", COLLECTION, "--json", **slow_box.environment).last
        found.append(sum(plan["files_here"] for plan in status.get("plans", ())))
        assert found[-1] >= found[-2]
        if home.ledger.exists():
            here = seen(home)
            assert {name: wanted[name] for name in here} == here
    slow_box.clear()
    run("gc", **slow_box.environment)
    run(*arguments, **slow_box.environment)
    assert archives(home) == archives(home_of(tmp_path / "alone"))
    assert inside(home) == wanted
    assert not [*home.piles.iterdir(), *home.partial.iterdir()]
    # Those under way and those that have just come; of 397 files.
    assert most < 120
    assert slow_box.stats.data_bytes - sent < 1.1 * size


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it: power cuts are not what is tried out."""
    monkeypatch.setattr(durability, "sync", lambda home: None)


class _Died(BaseException):
    pass


def _made(folder: Path, files: dict[str, bytes], piled: list[list[str]]) -> Home:
    """A packed home with these files in piles, as runs leave it that came that far."""
    home = cache_module.home(folder, "made", None)
    cache_module.prepare(home)
    packs.begin(home, "zip")
    _pile(home, files, piled)
    return home


def _pile(home: Home, files: dict[str, bytes], piled: list[list[str]]) -> None:
    with closing(Ledger(home.ledger)) as ledger, closing(Packs(home)) as index:
        for paths in piled:
            name = f"{packs.PILES}{hashlib.sha256(repr(paths).encode()).hexdigest()}"
            at, content = {}, b""
            for path in paths:
                at[path], content = len(content), content + files[path]
            (home.root / name).write_bytes(content)
            with index._db:
                container = index._db.execute("INSERT INTO container (name) VALUES (?)", (name,)).lastrowid
                for path in paths:
                    row = (path, 1, None, len(files[path]), sha256(files[path]), "size-only", None, "http", "h", 0)
                    index._db.execute("INSERT OR REPLACE INTO member VALUES (?, ?, ?)", (path, container, at[path]))
                    index._db.execute("INSERT OR IGNORE INTO unit VALUES (1, 'u', 'u', 1)")
                    index._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
                index._db.execute("UPDATE packing SET sealed = 0")
        assert ledger.totals()["files"] >= 0


def _seal(home: Home) -> None:
    sealing.seal(home, 0, lambda archives, size: None)


FILES = {f"{folder}/{number}": os.urandom(1000 + number) for folder in ("a", "b", "c") for number in range(6)}
FILES |= {"readme": b"read me", "empty": b""}
STEPS = [
    (os, "rename"),
    (os, "replace"),
    (Packs, "add"),
    (Packs, "rename"),
    (Packs, "drop"),
    (Packs, "swept"),
    (Packs, "seal"),
    (Path, "unlink"),
    (sealing, "frame"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.usefixtures("no_disk")
def test_a_seal_may_end_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """It ends before, or after, each thing that changes anything."""
    names = list(FILES)
    whole = _made(tmp_path / "whole", FILES, [names])
    _seal(whole)
    wanted = archives(whole)
    assert len(wanted) == 4
    before = _made(tmp_path / "before", {**FILES, "b/0": b"an older one"}, [names[:9], names[9:]])
    for path in ("c/0", "c/1"):  # two that are still at their own names
        with closing(Packs(before)) as index, index._db:
            index._db.execute("DELETE FROM member WHERE path = ?", (path,))
        (before.root / "c").mkdir(exist_ok=True)
        (before.root / path).write_bytes(FILES[path])
    _seal(before)
    # Another version of a file, as of an update: its archive is made anew.
    _pile(before, FILES, [["b/0"]])
    left = [0]

    def dying(real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and not after:
                raise _Died
            result = real(*arguments, **more)
            if left[0] == 0:
                raise _Died
            return result

        return call

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))
    for step in range(1, 100):
        left[0] = -1
        home = Home(tmp_path / "cache" / "made" / str(step))
        shutil.copytree(before.root, home.root)
        if step % 2:  # all archives are made of others
            packs.begin(home, "tar")
            packs.begin(home, "zip")
            with closing(Packs(home)) as index:
                for archive in index.containers():
                    packs.set_aside(index, archive)
        left[0] = step
        with suppress(_Died):
            _seal(home)
        died, left[0] = left[0] <= 0, -1
        assert seen(home) == {name: sha256(content) for name, content in FILES.items()}
        _seal(home)
        assert archives(home) == wanted
        assert not list(home.piles.iterdir())
        if not died and step % 2:
            break
    assert step > 12


def test_whoever_reads_meanwhile_reads_what_is_right(tmp_path: Path) -> None:
    home = _made(tmp_path / "cache", FILES, [list(FILES)])
    over, wrong, reads = threading.Event(), [], [0]

    def read() -> None:
        while not over.is_set():
            for path, content in FILES.items():
                with stored.open_file(home, path, len(content)) as file:
                    reads[0] += 1
                    if file.read() != content:
                        wrong.append(path)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(10):
            _seal(home)
            packs.begin(home, packs.FORMATS[number % 2 - 1])
            _pile(home, FILES, [["a/1", "b/2"], ["readme"]])
        _seal(home)
    finally:
        over.set()
        reader.join()
    assert reads[0] > len(FILES)
    assert wrong == []


def test_a_file_that_went_bad_in_its_pile_is_not_sealed(tmp_path: Path) -> None:
    home = _made(tmp_path / "cache", FILES, [list(FILES)])
    (pile,) = home.piles.iterdir()
    _flip(pile, 100)
    with pytest.raises(IntegrityError, match="a/0 is not what it was"):
        _seal(home)
    with closing(Ledger(home.ledger)) as ledger:
        assert ledger.totals()["files"] == len(FILES) - 1


# -- piles and bundles -------------------------------------------------------------------------------------------------


def _staged(path: Path, name: str, at: int | None = None, size: int | None = None) -> Staged:
    size = path.stat().st_size if size is None else size
    return Staged(str(path), name, None, size, "", Assurance.SIZE_ONLY, None, "http", "h", at)


def test_large_files_and_unpacked_ones_become_piles_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piles, "ALONE", 1000)
    monkeypatch.setattr(piles, "LARGEST", 1500)
    home = _made(tmp_path / "cache", {}, [])
    contents = {"s1": b"1" * 600, "s2": b"2" * 700, "s3": b"3" * 500, "large": b"4" * 2000}
    for name, content in contents.items():
        (home.partial / name).write_bytes(content)
    (home.partial / "x.d").mkdir()
    (home.partial / "x.d" / "members").write_bytes(b"abcdef")
    mine = piles.Piles(home, "00000.token")
    written = {name: mine.take(_staged(home.partial / name, name)) for name in contents}
    members = home.partial / "x.d" / "members"
    written |= {name: mine.take(_staged(members, name, at, 3)) for name, at in (("m1", 0), ("m2", 3))}
    contents |= {"m1": b"abc", "m2": b"def"}
    assert (home.partial / "s1").exists(), "nothing goes before it is written down"
    mine.settle()
    mine.close()
    assert not [path for path in home.partial.rglob("*") if path.is_file()]
    for name, content in contents.items():
        pile = packs.pile_of(written[name])
        at = int(written[name].split(":")[1])
        assert (home.piles / pile).read_bytes()[at : at + len(content)] == content
    assert len(list(home.piles.iterdir())) == 4
    # A run that was killed after it was written down.
    (home.partial / "late").write_bytes(b"late")
    piles.finish(home, "late")
    assert (home.piles / "late").read_bytes() == b"late"


def test_folders_are_cut_and_named_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MOST", 3)
    monkeypatch.setattr(sealing, "LARGEST", 1000)
    files = {f"A/{number}": b"x" for number in range(7)}
    files |= {"a/1": b"x" * 700, "a/2": b"x" * 700, "b": b"", "b.zip": b"a file", "b.zip.zip/1": b"", "b/1": b"1"}
    files |= {"ü" * 120 + "/1": b"long"}
    home = _made(tmp_path / "cache", files, [list(files)])
    _seal(home)
    assert inside(home) == seen(home) == {name: sha256(content) for name, content in files.items()}
    names = {"A.0001.zip", "A.0002.zip", "A.0003.zip", "a.0001~.zip", "a.0002~.zip", "b~.zip", "b.zip.zip.zip"}
    assert set(archives(home)) == names | {"files.zip", "ü" * 100 + ".zip"}


@pytest.mark.parametrize("format_", packs.FORMATS)
def test_archives_are_the_same_bytes_everywhere(tmp_path: Path, format_: str) -> None:
    files = {"a/1": b"one", "a/" + "long" * 40 + "/ümlaut": b"two" * 1000, "a/3": b""}
    home = _made(tmp_path / "cache", files, [sorted(files, reverse=True)])
    packs.begin(home, format_)
    os.umask(before := os.umask(0o077))
    _seal(home)
    os.umask(before)
    known = {
        "zip": "4e3ad5bfe2596dd8df268c0391efee67fb046badbf2352007c91e3502dd14827",
        "tar": "d6a65878e646e549c8ddea858e4394057a1ce6c4378ec809016e36b90225f0d8",
    }
    assert sha256((home.root / f"a.{format_}").read_bytes()) == known[format_]


@pytest.mark.long
def test_a_file_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    home = _made(tmp_path / "cache", {"a/small": b"small"}, [["a/small"]])
    size, digest = (1 << 32) + 5, hashlib.sha256()
    (home.piles / "large").touch()
    os.truncate(home.piles / "large", size)
    for _ in range(1 << 6):
        digest.update(bytes(1 << 26))
    digest.update(bytes(5))
    with closing(Packs(home)) as index, index._db:
        container = index._db.execute(f"INSERT INTO container (name) VALUES ('{packs.PILES}large')").lastrowid
        row = ("a/large", 1, None, size, digest.hexdigest(), "size-only", None, "http", "h", 0)
        index._db.execute("INSERT INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        index._db.execute("INSERT INTO member VALUES ('a/large', ?, 0)", (container,))
    _seal(home)
    with zipfile.ZipFile(home.root / "a.0001.zip") as archive:
        assert archive.getinfo("a/large").file_size == size
        with archive.open("a/large") as file:
            assert file.read(10) == bytes(10)
    with stored.open_file(home, "a/large") as file:
        file.seek(size - 3)
        assert file.read() == bytes(3)
