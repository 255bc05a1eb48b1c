"""Locks: what they say, what comes by them, and what does not."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from datasets import COLLECTION, http, sha256, tree, write_recipe, zipped
from hypothesis import strategies as st
from in_process import Command
from running import CAP, Medfetch, Run

import medfetch
from medfetch import locks
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.locks import Lock, Locked, lists
from medfetch.locks.addresses import Addresses
from medfetch.locks.lists import File, Planned
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.archive import opened
from medfetch.types import Checksum, Group, RemoteFile

SUBJECT = "LIDC-IDRI-0001"
FILES = {"a/one": b"one" * 5_000, "a/two": b"two", "b/three": b"three"}
ZIP = zipped(scan=b"inside", other=b"other")
WANTED = {**{path: sha256(data) for path, data in FILES.items()}, "more/scan": sha256(b"inside"),
          "more/other": sha256(b"other")}  # fmt: skip


@pytest.fixture
def run(run: Medfetch, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Command(run, monkeypatch)


@pytest.fixture
def processes(run: Medfetch) -> Run:
    """For what only other processes than this one can do."""
    return Medfetch(run.folder, run.environment)


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    """Three files, of which the recipe, a third party and nobody tells the digest, and a zip."""
    for path, data in FILES.items():
        box.put(f"https://host/{path}", data)
    box.put("https://host/more.zip", ZIP)
    files: list[dict[str, Any]] = [{"path": path, "url": f"https://host/{path}"} for path in FILES]
    files[0] |= {"sha256": sha256(FILES["a/one"])}
    files[1] |= {"sha256": sha256(FILES["a/two"]), "size": 3, "checksums_by": "a colleague"}
    files[2] |= {"size": 5}
    files.append({"path": "more.zip", "url": "https://host/more.zip", "unpack": {"into": "more"}})
    licence = {"id": "CC-BY-4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}
    return write_recipe(home, "mixed", routes=http(*files), licence=licence)


def told(home: Path, name: str = "medfetch.lock", number: int = 0) -> dict[str, Any]:
    content = yaml.safe_load((home / name).read_text())
    return dict(content["datasets"][number])


def lines(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in row["entries"].splitlines()]


def test_what_a_lock_says(run: Run, home: Path, name: str) -> None:
    run("lock", name)
    row = told(home)
    assert row["digests"] == {"nothing": 1, "recipe": 1, "size only": 1, "third party: a colleague": 1}
    assert "tree" not in row and row["licence"]["id"] == "CC-BY-4.0" and row["access"] == "open"
    run("get", name)
    first = (home / "medfetch.lock").read_bytes()
    ran = run("lock", name, "--json").last
    assert ran["digests"] == {"medfetch": 3, "recipe": 1, "third party: a colleague": 1}
    row = told(home)
    files = {line["file"]: line for line in lines(row) if "file" in line}
    assert {path: line["sha256"] for path, line in files.items()} == WANTED
    assert {path: line["by"] for path, line in files.items()} == {
        "a/one": "recipe", "a/two": "third party: a colleague", "b/three": "medfetch", "more/scan": "medfetch",
        "more/other": "medfetch",
    }  # fmt: skip
    assert row["tree"] == run("get", name, "--json").last["tree"]
    # Nothing of this machine is in it, and the same again is the same.
    again = (home / "medfetch.lock").read_bytes()
    run("lock", name)
    assert (home / "medfetch.lock").read_bytes() == again != first
    assert str(home).encode() not in again and b"127.0.0.1" not in again


def test_what_is_locked_is_fetched_again_without_its_recipe(
    processes: Run, home: Path, cache: Path, name: str, box: Sandbox, tmp_path: Path
) -> None:
    run = processes
    before = run("get", name, "--json").last
    run("lock", name)
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    (home / f"{name}.yaml").unlink()
    for path in FILES:
        box.put(f"https://new-host/{path}", b"new")
    after = run("get", "--locked", "medfetch.lock", "--to", tmp_path / "to", "--json").last
    assert after["tree"] == before["tree"] and after["lock"] == told(home)["list"].removeprefix("sha256:")
    assert after["assurance"] == {"published": 2, "locked": 3}
    assert tree(cache / name / "current") == tree(tmp_path / "to") == WANTED
    asked = box.stats.requests
    assert run("get", "--locked", "medfetch.lock", name, "--offline", "--json").last["completed"] == after["completed"]
    assert box.stats.requests == asked


def test_what_is_locked_can_be_kept_in_archives(run: Run, home: Path, cache: Path, name: str, box: Sandbox) -> None:
    before = run("get", name, "--json").last
    run("lock", name)
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    after = run("get", "--locked", "medfetch.lock", "--pack=zip", "--json").last
    assert (after["tree"], after["files"]) == (before["tree"], before["files"])
    assert not set(tree(cache / name / "current")) & set(WANTED), "no file is loose"
    run("verify", name)
    box.put("https://host/b/three", b"eerht")
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    assert "b/three" in run("get", "--locked", "medfetch.lock", "--pack=zip", code=4).err


def test_before_anything_is_fetched_a_lock_pins_what_is_known(run: Run, home: Path, cache: Path, name: str) -> None:
    run("lock", name)
    receipt = run("get", "--locked", "medfetch.lock", "--json").last
    assert receipt["assurance"] == {"published": 2, "size-only": 1, "first-seen": 2}
    assert tree(cache / name / "current") == WANTED


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("a/one", b"another", "a/one"),
        ("b/three", b"eerht", f"expected {sha256(b'three')}"),
        ("b/three", b"longer than before", "b/three"),
        ("more.zip", zipped(scan=b"changed", other=b"other"), f"more/scan: locked sha256 {sha256(b'inside')}"),
        ("more.zip", zipped(scan=b"inside"), "more/other: it is in the lock, and did not come with the others"),
        ("more.zip", zipped(scan=b"inside", other=b"other", new=b""), "more/new: it is not in the lock"),
    ],
    ids=["published", "by-medfetch", "longer", "member", "member-gone", "member-more"],
)
def test_what_differs_is_named_and_gets_no_name(
    run: Run, home: Path, cache: Path, name: str, box: Sandbox, path: str, content: bytes, said: str
) -> None:
    run("get", name)
    run("lock", name)
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    before = {"more.zip": ZIP, **FILES}[path]
    box.put(f"https://host/{path}", content)
    ran = run("get", "--locked", "medfetch.lock", "--json", code=4)
    assert said in ran.err
    there = tree(cache / name / "current")
    assert there.items() <= WANTED.items()
    assert {each for each in WANTED if not each.startswith(path.removesuffix(".zip"))} <= there.keys()
    run("path", name, code=1)
    # What the host puts right, the same command fetches.
    box.put(f"https://host/{path}", before)
    run("get", "--locked", "medfetch.lock")
    assert tree(cache / name / "current") == WANTED


def test_where_one_address_has_another_file_the_next_is_asked(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    for host in ("one", "two"):
        box.put(f"https://{host}/scan", b"good")
    name = write_recipe(
        home, "mirrored", routes=http({"path": "scan", "url": ["https://one/scan", "https://two/scan"]})
    )
    run("get", name)
    run("lock", name)
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    box.put("https://one/scan", b"evil")
    assert run("get", "--locked", "medfetch.lock", "--json").last["assurance"] == {"locked": 1}
    assert tree(cache / name / "current") == {"scan": sha256(b"good")}


def test_what_is_here_and_differs_is_named_and_left(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    files = [{"path": path, "url": f"https://host/{path}"} for path in ("same", "other")]
    for each in files:
        box.put(each["url"], b"1")
    name = write_recipe(home, "unpinned", routes=http(*files))
    run("get", name)
    run("lock", name)
    run("rm", name, "--yes")
    box.put("https://host/other", b"2")
    run("get", name)
    ran = run("get", "--locked", "medfetch.lock", "--json", code=4)
    assert [failure["path"] for failure in ran.last["failures"]] == ["other"]
    one, two = sha256(b"1"), sha256(b"2")
    assert f"locked sha256 {one} (1 bytes), here sha256 {two} (1 bytes)" in ran.err
    assert tree(cache / name / "current")["other"] == two
    # In a cache of its own the lock wants what is not to be had any more.
    assert f"expected {one}" in run("get", "--locked", "medfetch.lock", "--cache", home / "x", code=4).err


def test_from_python(
    run: Run, home: Path, cache: Path, name: str, box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("get", name)
    run("lock", name)
    options = {"progress": False, "reserve": 0, "cache": home / "other", "endpoints": box.endpoints}
    monkeypatch.setenv("MEDFETCH_CONFIG", str(home / "none.yaml"))
    path = medfetch.get(name, locked=home / "medfetch.lock", **options)
    assert tree(path) == WANTED
    with pytest.raises(UsageProblem, match="the lock says"):
        medfetch.get(name, locked=home / "medfetch.lock", part="all", **options)


def test_everybody_has_their_own_addresses() -> None:
    own = {"idc": "http://mirror/s3", "idc_gcs": "http://mirror/{bucket}/gcs", "http": "http://mirror/web",
           "zenodo": "http://mirror/z", "ftp": "http://mirror/ftp"}  # fmt: skip
    settings = Settings(cache=Path("/"), endpoints=own)
    for source, url, usual in (
        ("idc", "http://mirror/s3/b/k/é", "https://b.s3.amazonaws.com/k/é"),
        ("idc", "http://mirror/b/gcs/k", "https://storage.googleapis.com/b/k"),
        ("http", "http://mirror/web/host/a?b=c", "https://host/a?b=c"),
        ("zenodo", "http://mirror/z/api/records/1", "https://zenodo.org/api/records/1"),
        ("ftp", "http://mirror/ftp/host/a", "ftp://host/a"),
    ):
        piece = RemoteFile("p", "k", (url,))
        there = Addresses(source, settings).public(replace(piece, pieces=(piece,)))
        assert isinstance(there, RemoteFile) and there.urls == there.pieces[0].urls == (usual,)
        assert Addresses(source, settings).own(there) == replace(piece, pieces=(piece,))
        group = Group("p", "k", archive=piece)
        assert Addresses(source, settings).own(Addresses(source, settings).public(group)) == group
        assert Addresses(source, Settings(cache=Path("/"))).public(piece) == piece
    other = RemoteFile("p", "k", ("https://elsewhere/x",))
    assert Addresses("zenodo", settings).public(other) == Addresses("zenodo", settings).own(other) == other


def test_tasks_and_layers_are_held_to_a_lock_too(
    run: Run, home: Path, cache: Path, name: str, box: Sandbox, tmp_path: Path
) -> None:
    run("get", name)
    run("lock", name)
    cache.rename(tmp_path / "layer")
    site = {"MEDFETCH_CACHE_LAYERS": str(tmp_path / "layer")}
    asked = box.stats.requests
    assert run("get", "--locked", "medfetch.lock", "--json", **site).last["through"] == [str(tmp_path / "layer")]
    assert tree(cache / name / "current") == WANTED and box.stats.requests == asked
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    box.put("https://host/more.zip", zipped(scan=b"changed", other=b"other"))
    run("get", "--locked", "medfetch.lock", "--shard", "0/2", code=4)
    box.put("https://host/more.zip", ZIP)
    run("get", "--locked", "medfetch.lock", "--shard", "1/2")
    assert tree(cache / name / "current") == WANTED


def test_lists_that_are_long_lie_beside_the_lock(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    content = {f"{number:04d}": b"%d" % number for number in range(200)}
    for path, data in content.items():
        box.put(f"https://host/{path}", data)
    files = [{"path": path, "url": f"https://host/{path}", "size": len(data)} for path, data in content.items()]
    name = write_recipe(home, "many", routes=http(*files))
    run("lock", name)
    run("get", name)
    run("lock", name)
    row = told(home)
    # The one of before is gone.
    [path] = (home / "medfetch.lock.files").iterdir()
    assert path.name == f"{row['list'].removeprefix('sha256:')}.jsonl.gz" and "entries" not in row
    text = gzip.decompress(path.read_bytes())
    assert f"sha256:{sha256(text)}" == row["list"]
    packed, stamp = path.read_bytes(), os.stat(home / "medfetch.lock").st_mtime_ns
    run("lock", name)
    assert path.read_bytes() == packed and os.stat(home / "medfetch.lock").st_mtime_ns != stamp
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    assert run("get", "--locked", "medfetch.lock", "--json").last["tree"] == row["tree"]
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    path.write_bytes(gzip.compress(text.replace(b'"size":1', b'"size":2')))
    assert "it was changed" in run("get", "--locked", "medfetch.lock", code=1).err
    assert not cache.exists() or not (cache / name).exists()
    path.unlink()
    assert "keep both" in run("get", "--locked", "medfetch.lock", code=2).err


def test_upgrade_renews_one_and_tells_what_changed(run: Run, home: Path, name: str, box: Sandbox) -> None:
    box.put("https://host/x", b"x")
    write_recipe(home, "other", routes=http({"path": "x", "url": "https://host/x", "size": 1}))
    (home / "list.yaml").write_text(f"- other\n- {{name: {name}, select: {{path: [a]}}}}\n")
    run("lock", "-r", "list.yaml")
    shutil.copy(home / "medfetch.lock", home / "old.lock")
    before = told(home), told(home, number=1)
    assert before[1]["asked"] == {"select": {"path": ["a"]}} and before[1]["files"] == 2
    for each in ("other", name):
        recipe = yaml.safe_load((home / f"{each}.yaml").read_text())
        recipe["routes"][0]["files"][0] |= {"size": 7}
        recipe["licence"] = {"id": "CC0-1.0"}
        (home / f"{each}.yaml").write_text(yaml.safe_dump(recipe))
    out = run("lock", "--upgrade", name).out
    assert told(home) == before[0] and told(home, number=1)["asked"] == before[1]["asked"]
    assert "~ mixed: licence:" in out and "~ mixed: a/one: size unknown" in out and "other" not in out
    changes = run("lock", "--diff", "old.lock", "medfetch.lock", "--json").lines
    assert {(each["dataset"], each["what"], each["path"]) for each in changes} == {
        (name, "licence", None), (name, "recipe", None), (name, "routes", None), (name, "file", "a/one"),
    }  # fmt: skip
    assert run("lock", "--diff", "old.lock", "old.lock").out == ""
    (home / "list.yaml").write_text("- other\n")
    run("lock", "-r", "list.yaml", "-o", "one.lock")
    assert f"- {name}" in run("lock", "--diff", "old.lock", "one.lock").out
    assert "in there: other" in run("lock", "--upgrade", name, "-o", "one.lock", code=2).err


def test_what_differs_between_lists(tmp_path: Path) -> None:
    def locked(*items: Planned | File) -> Locked:
        saved = lists.save(['{"recipe":0,"plan":0}', *map(lists.line, items)], tmp_path)
        return Locked("d", {"name": "d", **saved}, tmp_path)

    from medfetch.locks import differences

    series = Planned("all", "size only", Group("s", "uuid-1", 2, 10))
    newer = Planned("all", "size only", Group("s", "uuid-2", 2, 10))
    one, other = File("s/1", 5, "1" * 64, "medfetch"), File("s/1", 5, "2" * 64, "medfetch")
    plain = Planned("all", "host", RemoteFile("p", "k", ("https://h/p",), 3, (Checksum("md5", "3" * 32),)))

    def told(before: Locked, after: Locked) -> list[str]:
        return [str(change) for change in differences.of_dataset(before, after)]

    assert told(locked(series, plain), locked(newer, plain)) == ["~ d: s: 10 bytes, uuid-1 → 10 bytes, uuid-2"]
    [changed] = told(locked(series, one), locked(newer, other))
    assert changed.startswith("~ d: s/1: 5 bytes, sha256:111") and "sha256:222" in changed
    assert told(locked(series), locked(series, one)) == [
        "~ d: digests: 0 files that have none now → 1 that had none"
    ]  # fmt: skip
    assert told(locked(plain), locked(plain, File("p", 3, "4" * 64, "medfetch"))) == [
        "~ d: digests: 0 files that have none now → 1 that had none"
    ]
    assert told(locked(series), locked(series, plain)) == [f"+ d: p: 3 bytes, md5:{'3' * 32}"]
    assert told(locked(series, one, plain), locked(plain)) == [f"- d: s/1: 5 bytes, sha256:{'1' * 64}"]


@pytest.mark.long
def test_a_lock_outlives_the_series_that_it_pins(
    processes: Run, home: Path, cache: Path, box: Sandbox, tmp_path: Path
) -> None:
    run = processes
    series = opened(CAP).select({"PatientID": SUBJECT, "Collection": COLLECTION}, "analysis_result_id IS NULL")
    select = ("-s", f"subject={SUBJECT}", "--limit", "1")
    before = run("get", COLLECTION, *select, "--json").last
    run("lock", COLLECTION, *select)
    run("lock", COLLECTION, *select, "-o", "old.lock")
    there = tree(cache / COLLECTION / "current")
    replaced = next(each.uid for each in series if each.uid in next(iter(there)))
    with Sandbox(max_instance_bytes=CAP, replaced=[replaced]) as later:
        later.publish_index(tmp_path / "release")
        now = {**later.environment, "PYTHONPATH": str(tmp_path / "release")}
        # Whoever asks today gets another version …
        assert run("plan", COLLECTION, *select, "--json", "--refresh", "--cache", tmp_path / "other", **now).last[
            "index"
        ] == "99.0.0"  # fmt: skip
        today = run("get", COLLECTION, *select, "--cache", tmp_path / "other", "--json", **now).last
        assert today["tree"] != before["tree"]
        # … and by the lock the one of then, also where the newer one is in the cache.
        for folder in (tmp_path / "new", tmp_path / "other"):
            again = run("get", "--locked", "medfetch.lock", "--cache", folder, "--json", **now).last
            assert again["tree"] == before["tree"]
            assert tree(folder / COLLECTION / "current") == there
        assert "~ lidc-idri: index: " in (out := run("lock", "--upgrade", COLLECTION, **now).out)
        assert f"/{replaced}: " in out
        renewed = run("get", "--locked", "medfetch.lock", "--cache", tmp_path / "renewed", "--json", **now).last
        assert renewed["tree"] == today["tree"]


def test_a_replaced_instance_is_not_taken_for_the_locked_one(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    select = ("-s", f"subject={SUBJECT}", "--limit", "1", "--route", "tcia")
    run("get", COLLECTION, *select)
    run("lock", COLLECTION, *select)
    [uid] = {Path(path).parent.name for path in tree(cache / COLLECTION / "current")}
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    with Sandbox(max_instance_bytes=CAP, replaced=[uid]) as later:
        ran = run("get", "--locked", "medfetch.lock", code=4, **later.environment)
        assert "locked sha256" in ran.err and "here sha256" in ran.err
        assert tree(cache / COLLECTION / "current") == {}


def test_terms_hold_for_whoever_has_a_lock(run: Run, home: Path, cache: Path, box: Sandbox, tmp_path: Path) -> None:
    box.put("https://host/x", b"x")
    terms = {"level": "terms", "terms": "https://host/terms"}
    name = write_recipe(home, "agreed", access=terms, routes=http({"path": "x", "url": "https://host/x"}))
    assert run("lock", name, "--json", code=3).last["steps"]
    run("agree", name, "--agreed-on", "2026-01-02", "--as", "Ada")
    run("lock", name)
    assert told(home)["agreements"] == [{"step": "agreed-terms", "at": "https://host/terms"}]
    somebody = {"HOME": str(tmp_path), "MEDFETCH_RECIPES": ""}
    run("get", "--locked", "medfetch.lock", code=3, **somebody)
    # A lock of a time when nothing was asked for opens nothing today.
    write_recipe(home, name, routes=http({"path": "x", "url": "https://host/x"}))
    run("lock", name)
    write_recipe(home, name, access=terms, routes=http({"path": "x", "url": "https://host/x"}))
    run("get", "--locked", "medfetch.lock", code=3, HOME=str(tmp_path))
    assert not (cache / name / "current" / "x").exists()
    run("get", "--locked", "medfetch.lock")


@pytest.mark.parametrize(
    ("before", "after"),
    [('"into":"more"', '"into":"../../../x"'), ('"id":"mixed"', '"id":"../x"'), ('{"path":"b/', '{"path":"../b/'),
     ('"entry":{"path":"a/one"', '"entry":{"path":".medfetch/one"')],
)  # fmt: skip
def test_a_lock_leads_out_of_no_home(run: Run, home: Path, cache: Path, name: str, before: str, after: str) -> None:
    run("lock", name)
    content = yaml.safe_load((home / "medfetch.lock").read_text())
    [row] = content["datasets"]
    row["entries"] = row["entries"].replace(before, after)
    row["list"] = f"sha256:{sha256(row['entries'].encode())}"
    (home / "medfetch.lock").write_text(yaml.safe_dump(content))
    (home / f"{name}.yaml").unlink()
    assert after in row["entries"]
    assert run("get", "--locked", "medfetch.lock", code=None).code in (1, 2)
    assert [path for path in home.parent.rglob("*") if path.name in ("x", "one", "three")] == []


def test_what_is_no_lock_says_so(run: Run, home: Path, name: str, box: Sandbox) -> None:
    assert "cannot be read" in run("get", "--locked", "none.lock", code=2).err
    for text, said in {
        "- a": "is no lock", "lock: 1\ndatasets: 3": "expected a list", "lock: 9\ntool: medfetch 7": "medfetch 7",
        "lock: 1\ndatasets: [{name: a, list: x}]": "dataset 1: list is 'x'", "a: [": "not valid YAML",
    }.items():  # fmt: skip
        (home / "bad.lock").write_text(text)
        assert said in run("get", "--locked", "bad.lock", code=2).err
    run("lock", name)
    assert "add --sandbox" not in run("get", "--locked", "medfetch.lock", "--limit", "1", code=2).err
    run("lock", "--diff", "medfetch.lock", "medfetch.lock", name, code=2)
    run("lock", code=2)
    box.put("https://host/signed", b"x")
    assert "may be a secret" in run("lock", "https://host/signed?key=secret", code=2).err


TEXT = st.text("a/ \"'\\\n\r\t\x85\u2028\ufeff:#{ü\U0001f600", min_size=1, max_size=8)


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(
    st.lists(st.tuples(TEXT, TEXT, st.integers(0), st.sampled_from(["host", "third party: ü\u2028"])), max_size=5)
)
def test_any_list_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    folder = tmp_path_factory.mktemp("lock")
    items: list[Planned | File] = []
    for path, key, size, by in rows:
        items.append(Planned("all", by, RemoteFile(path, key, (f"https://h/{key}",), size)))
        items.append(File(path, size, "0" * 64, by))
    saved = lists.save(['{"recipe":0,"plan":0}', *map(lists.line, items)], folder)
    locks.write(Lock(folder / "a.lock", (Locked("d", {"name": "d", **saved}, folder),)))
    [read] = locks.read(folder / "a.lock").datasets
    assert list(lists.items(read)) == items


def test_a_lock_goes_with_faults(run: Run, home: Path, cache: Path, name: str, box: Sandbox) -> None:
    run("get", name)
    run("lock", name)
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    box.add(Fault(match="/http/host/b/three", cut=2), Fault(match="/http/host/more.zip", status=503))
    run("get", "--locked", "medfetch.lock")
    assert tree(cache / name / "current") == WANTED
