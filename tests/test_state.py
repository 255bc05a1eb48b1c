"""Plans, shards, the ledger, placing and upkeep by themselves: what is written down, and who owns what."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import sha256
from hypothesis import given
from hypothesis import strategies as some

from medfetch import cache, entries, placing, planning, storage, upkeep
from medfetch.cache import Home
from medfetch.errors import CacheError, DiskFull, IntegrityError, RecipeError, UsageProblem
from medfetch.ledger import Ledger, Placed
from medfetch.placing import Staged, accept, move
from medfetch.planning import Plan
from medfetch.state import Shard
from medfetch.types import Assurance, Checksum, Entry, Group, RemoteFile, Selection, Unpack


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = cache.home(tmp_path / "cache", "set", None)
    cache.prepare(home)
    return home


def group(name: str, files: int = 2, size: int | None = 100, **facets: str) -> Group:
    return Group(f"p/s/{name}", f"key-{name}", files, size, facets)


ONE = entries.unit(group("1"))
OTHER = replace(group("1"), key="other")
"""The same place under another key, as another route or another version has it."""


def build(
    home: Home, *planned: Entry, plan: str = "plan", selection: Selection | None = None, part: str = "all"
) -> Plan:
    pairs = ((part, entry) for entry in planned)
    return planning.build(home, plan, pairs, selection or Selection(), lambda: {"made": "now"}, lambda: None)


def placed(path: str, unit: str, content: bytes = b"x", **more: Any) -> Placed:
    fields = {"key": None, "assurance": Assurance.PUBLISHED, "checked": "md5:0", "source": "http", "host": "h"} | more
    return Placed(path, unit, size=len(content), sha256=sha256(content), **fields)


def finish(made: Plan, ledger: Ledger, *files: Placed, done: tuple[int, ...] = ()) -> None:
    """What a worker and then the coordinator write down."""
    with closing(Shard(made.shards[0])) as shard:
        shard.record([(file, "renamed") for file in files], done, ())
        shard.move_to(ledger.path)


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    with closing(Ledger(home.ledger)) as ledger:
        yield ledger


# -- entries and plans -------------------------------------------------------------------------------------------

words = some.text(min_size=1, max_size=8)
numbers = some.none() | some.integers(0, 10**13)
mappings = some.dictionaries(words, words, max_size=2)
digests = some.builds(Checksum, some.sampled_from(["md5", "sha256"]), some.text("0123456789abcdef", min_size=1))


def remote(pieces: some.SearchStrategy[tuple[RemoteFile, ...]]) -> some.SearchStrategy[RemoteFile]:
    return some.builds(
        RemoteFile,
        path=words,
        key=words,
        urls=some.lists(words, max_size=2).map(tuple),
        size=numbers,
        checksums=some.lists(digests, max_size=2).map(tuple),
        etag=some.none() | words,
        facets=mappings,
        unpack=some.none() | some.builds(Unpack, words, some.just("") | words),
        dicom=some.booleans(),
        credential=some.none() | words,
        pieces=pieces,
    )


files = remote(some.lists(remote(some.just(())), max_size=2).map(tuple))
groups = some.builds(
    Group, words, words, numbers, numbers, mappings, archive=some.none() | remote(some.just(())), context=mappings
)


@given(files | groups)
def test_entries_are_the_same_after_writing_and_reading(entry: Entry) -> None:
    assert entries.load(entries.dump(entry)) == entry


def test_a_plan_streams_back_in_its_order_and_is_cut_into_shards(home: Home) -> None:
    many = [group(str(number), files=1000, size=10) for number in range(200)]
    made = build(home, *many)
    assert [entry for _, entry in made.entries()] == many
    # Four shards each of at most 39 files, 78, 156, … and 10,000, then of 20,000: six times 1, then 2, 5, 10 series.
    assert made.header["shards"] == 9 * 4 + math.ceil((200 - 4 * (6 * 1 + 2 + 5 + 10)) / 20)
    assert made.totals == {
        "series": 200, "files": 200_000, "bytes": 2000, "unknown_sizes": 0, "archive_bytes": 0, "entries": 200,
        "members": 0,
    }  # fmt: skip
    by_bytes = build(home, *(group(str(number), size=2 * 10**9) for number in range(10)), plan="by-bytes")
    assert by_bytes.header["shards"] == 10


def test_entries_are_taken_as_they_come_and_no_more_than_wanted(home: Home) -> None:
    def endless() -> Iterator[tuple[str, Entry]]:
        for number in range(1000):
            assert number < 4, "taken ahead"
            yield "all", group(str(number), modality="CT" if number else "MR")

    wanted = Selection({"modality": ("C?",)}, limit=3)
    made = planning.build(home, "few", endless(), wanted, lambda: {}, lambda: None)
    assert [entry.key for _, entry in made.entries()] == ["key-1", "key-2", "key-3"]


@pytest.mark.parametrize(
    ("facets", "fits"),
    [
        ({}, True),
        ({"modality": ("CT",)}, True),
        ({"modality": ("MR", "C*")}, True),
        ({"modality": ("ct",)}, False),
        ({"modality": ("CT",), "subject": ("b",)}, False),
        ({"study": ("*",)}, True),
        ({"study": ("?*",)}, False),
        ({"path": ("p/s/x",)}, True),
        ({"path": ("p",)}, True),
        ({"path": ("p/",)}, True),
        ({"path": ("p/s/x/*.dcm",)}, True),
        ({"path": ("*/x",)}, True),
        ({"path": ("p/s/y/*.dcm",)}, False),
        ({"path": ("s",)}, False),
    ],
)
def test_selections_fit_by_facet_and_pattern(facets: dict[str, tuple[str, ...]], fits: bool) -> None:
    assert planning.matches(group("x", modality="CT", subject="a"), Selection(facets)) is fits


def test_an_interrupted_plan_is_none(home: Home) -> None:
    def broken() -> Iterator[tuple[str, Entry]]:
        yield "all", group("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        planning.build(home, "broken", broken(), Selection(), lambda: {}, lambda: None)
    assert planning.load(home, "broken") is None
    assert list(home.plans.iterdir()) == []


def test_nothing_that_matches_leaves_nothing(home: Home) -> None:
    with pytest.raises(UsageProblem, match="nothing matches subject=x,y"):
        build(home, group("1"), selection=Selection({"subject": ("x", "y")}))
    assert list(home.plans.iterdir()) == []


def test_of_two_that_make_the_same_plan_the_first_wins(home: Home) -> None:
    met = threading.Barrier(2)

    def slowly() -> Iterator[tuple[str, Entry]]:
        yield "all", group("1")
        met.wait(10)

    made: list[Plan] = []
    headers = iter("ab")

    def make() -> None:
        header = {"by": next(headers)}
        made.append(planning.build(home, "same", slowly(), Selection(), lambda: header, lambda: None))

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1] == planning.load(home, "same")
    assert [path.name for path in home.plans.iterdir()] == ["same"]


@pytest.mark.parametrize("path", ["", "/a", "a/../b", "..", "a//b", "./a", ".medfetch/x", "a\0b", "é" * 128])
def test_paths_that_no_dataset_may_have(home: Home, path: str) -> None:
    with pytest.raises(RecipeError):
        build(home, RemoteFile(path, "k", ("https://h/a",)))


# -- the ledger --------------------------------------------------------------------------------------------------


def test_what_is_done_and_failed_is_remembered(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"), group("2", files=3), group("3"))
    with closing(Shard(made.shards[0])) as shard:
        shard.record([(placed("p/s/1/a", ONE), "x")], [1], [(2, "gone", 1)])
        assert planning.tally(made) == {
            "entries": 3, "done": 1, "failed": 1, "files": 7, "files_done": 2, "bytes": 300, "bytes_done": 100,
        }  # fmt: skip
        assert shard.failures(5) == [("p/s/2", "gone", 1)]
        assert [row for row, *_ in shard.todo(0, 10)] == [2, 3]
        for _ in range(2):  # interrupted, it may be done again
            shard.move_to(ledger.path)
        shard.reopen(ledger)
        assert (planning.tally(made)["done"], planning.tally(made)["failed"]) == (1, 0)
        assert list(shard.placed()) == []
    assert [file.path for file in ledger.files()] == ["p/s/1/a"]
    assert ledger.totals() == {"files": 1, "bytes": 1}


def test_what_is_lost_is_to_be_done_again_until_it_is_back(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"))
    finish(made, ledger, placed("p/s/1/a", ONE), placed("p/s/1/b", ONE), done=(1,))
    ledger.lose(["p/s/1/a"])
    with closing(Shard(made.shards[0])) as shard:
        shard.move_to(ledger.path)  # what was handed over once is not handed over again
        shard.reopen(ledger)
        assert planning.tally(made)["done"] == 0
    assert [path for path, _, _ in ledger.files_of(ONE, "p/s/1")] == ["p/s/1/b"]
    assert ledger.find("p/s/1/a", ONE) is not None  # its digest is kept
    finish(made, ledger, placed("p/s/1/a", ONE), done=(1,))
    assert len(ledger.files_of(ONE, "p/s/1")) == 2
    assert ledger.totals()["files"] == 2


def test_a_file_may_belong_to_two_entries(home: Home, ledger: Ledger) -> None:
    one, two = build(home, group("1"), plan="one"), build(home, OTHER, plan="two")
    finish(one, ledger, placed("p/s/1/a", ONE), done=(1,))
    finish(two, ledger, placed("p/s/1/a", entries.unit(OTHER), source="tcia"), done=(1,))
    for made in (one, two):
        assert [file.path for file in ledger.files_of_plan(made.shards)] == ["p/s/1/a"]
        assert ledger.count(made.token, made.shards) == 1
    assert [file.path for file in ledger.files()] == ["p/s/1/a"]
    assert ledger.totals() == {"files": 1, "bytes": 1}
    ledger.lose(["p/s/1/a"])
    for made in (one, two):
        with closing(Shard(made.shards[0])) as shard:
            shard.reopen(ledger)
            assert planning.tally(made)["done"] == 0


def test_other_bytes_under_a_name_take_it_from_its_former_entry(home: Home, ledger: Ledger) -> None:
    old, new = build(home, group("1"), plan="old"), build(home, OTHER, plan="new")
    finish(old, ledger, placed("p/s/1/a", ONE), placed("p/s/1/b", ONE), done=(1,))
    finish(new, ledger, placed("p/s/1/a", entries.unit(OTHER), b"changed"), done=(1,))
    assert [file.path for file in ledger.files_of_plan(old.shards)] == ["p/s/1/b"]
    with closing(Shard(old.shards[0])) as shard:
        shard.reopen(ledger)
        assert planning.tally(old)["done"] == 0
    found = ledger.find("p/s/1/a", ONE)
    assert found is not None
    assert found.sha256 == sha256(b"changed")


def test_sums_are_noted_until_a_file_comes_or_goes(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"), group("2"))
    two = entries.unit(group("2"))

    def sums() -> tuple[int, dict[str, int]]:
        with closing(Ledger(home.ledger)) as other:  # noted on disk, not in memory
            return other.count(made.token, made.shards), other.totals()

    assert sums() == sums() == (0, {"files": 0, "bytes": 0})
    finish(made, ledger, placed("p/s/1/a", ONE, b"four"), placed("p/s/2/a", two))
    assert sums() == sums() == (2, {"files": 2, "bytes": 5})
    ledger.lose([])
    ledger.lose(["p/s/2/a"])
    assert sums() == sums() == (1, {"files": 1, "bytes": 4})
    finish(made, ledger, placed("p/s/2/a", two))
    assert sums() == (2, {"files": 2, "bytes": 5})


def test_a_plan_made_again_is_counted_again(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"), group("2"))
    finish(made, ledger, placed("p/s/1/a", ONE), placed("p/s/2/a", entries.unit(group("2"))))
    assert ledger.count(made.token, made.shards) == 2
    shutil.rmtree(made.folder)
    again = build(home, group("1"))
    assert again.id == made.id
    assert ledger.count(again.token, again.shards) == 1


def test_a_sum_is_not_noted_when_another_process_wrote_meanwhile(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"))

    class Slow(list[Path]):
        """Shards, while whose entries are counted a file comes."""

        def __iter__(self) -> Iterator[Path]:
            yield from super().__iter__()
            finish(made, ledger, placed("p/s/1/a", ONE), done=(1,))

    with closing(Ledger(home.ledger)) as other:
        other.count(made.token, Slow(made.shards))
    assert ledger.count(made.token, made.shards) == 1


def test_a_new_ledger_has_nothing_of_what_the_old_one_had(home: Home) -> None:
    made = build(home, group("1"))
    for _ in range(2):
        with closing(Ledger(home.ledger)) as ledger, closing(Shard(made.shards[0])) as shard:
            shard.reopen(ledger)
            assert planning.tally(made)["done"] == 0
            finish(made, ledger, placed("p/s/1/a", ONE), done=(1,))
            shard.reopen(ledger)
            assert planning.tally(made)["done"] == 1
        for path in home.inner.glob("ledger.sqlite*"):
            path.unlink()


@pytest.mark.parametrize("others", [0, 100])
def test_a_plan_has_its_own_files_be_it_most_of_the_home_or_little(home: Home, ledger: Ledger, others: int) -> None:
    mine = build(home, group("1"), group("2"), plan="mine")
    two = entries.unit(group("2"))
    finish(mine, ledger, placed("p/s/2/b", two), placed("p/s/1/z", ONE, b"long"), placed("p/s/1/a", ONE))
    if others:
        rest = [group(f"x{number}") for number in range(others)]
        finish(build(home, *rest, plan="rest"), ledger, *(placed(f"{e.path}/a", entries.unit(e)) for e in rest))
    assert [file.path for file in ledger.files_of_plan(mine.shards)] == ["p/s/1/a", "p/s/1/z", "p/s/2/b"]
    assert {file.unit for file in ledger.files_of_plan(mine.shards)} == {ONE, two}
    assert sorted(ledger.sizes(mine.shards, 2)) == [("p/s/1/a", 1), ("p/s/1/z", 4), ("p/s/2/b", 1)]
    assert ledger.count(mine.token, mine.shards) == 3


def test_what_waits_is_handed_over_with_its_unit_complete_or_not(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"), group("2"))
    finish(made, ledger, placed("p/s/1/a", ONE))
    assert planning.tally(made)["done"] == 0
    assert [path for path, _, _ in ledger.files_of(ONE, "p/s/1")] == ["p/s/1/a"]
    finish(made, ledger, placed("p/s/1/b", ONE), done=(1,))
    finish(made, ledger, placed("p/s/1/c", ONE))  # more of it later makes it no less complete
    with closing(Shard(made.shards[0])) as shard:
        shard.reopen(ledger)
    assert planning.tally(made)["done"] == 1
    assert len(ledger.files_of(ONE, "p/s/1")) == 3


def test_a_shard_is_as_small_afterwards_as_it_was_before(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1"))
    before = made.shards[0].stat().st_size
    finish(made, ledger, *(placed(f"p/s/1/{number:04}", ONE) for number in range(1000)), done=(1,))
    assert ledger.count(made.token, made.shards) == 1000
    assert made.shards[0].stat().st_size == before


def test_databases_of_another_time_or_none_at_all(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    with closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(CacheError, match="a newer medfetch"):
        Ledger(newer)
    older = tmp_path / "older.sqlite"
    with closing(sqlite3.connect(older)) as database:
        database.execute("PRAGMA user_version = 1")
    with pytest.raises(CacheError, match="an older medfetch"):
        Ledger(older)
    (tmp_path / "none.sqlite").write_bytes(b"nothing of the kind " * 100)
    with pytest.raises(CacheError, match=r"none\.sqlite is damaged"):
        Ledger(tmp_path / "none.sqlite")
    with pytest.raises(CacheError, match="missing"):
        Ledger(tmp_path / "missing" / "ledger.sqlite")


# -- placing -----------------------------------------------------------------------------------------------------


def staged(home: Home, content: bytes, path: str = "a/b", assurance: Assurance = Assurance.PUBLISHED) -> Staged:
    partial = home.partial / "x.part"
    partial.write_bytes(content)
    checked = "md5:0" if assurance is Assurance.PUBLISHED else None
    return Staged(str(partial), path, None, len(content), sha256(content), assurance, checked, "http", "h")


def never(unit: str) -> bool:
    return False


def place(home: Home, before: Placed | None, unit: str, file: Staged, planned: Callable[[str], bool]) -> Placed:
    """What a shard does, but for writing it down."""
    row = accept(home, before, unit, file, planned)
    move(file.staged, str(home.root / row.path))
    return row


def test_what_was_written_down_before_a_kill_gets_its_name_after_it(home: Home, ledger: Ledger) -> None:
    made = build(home, group("1", files=1))
    file = staged(home, b"data", "p/s/1/a")
    with closing(Shard(made.shards[0])) as shard:
        shard.record([(accept(home, None, ONE, file, never), "x.part")], [1], ())
        for _ in range(2):
            placing.finish(home, shard, placing.left_in(home))
            assert (home.root / "p/s/1/a").read_bytes() == b"data"
            assert list(home.partial.iterdir()) == []


def test_a_file_gets_its_name_and_a_line_in_the_ledger(home: Home) -> None:
    row = place(home, None, "unit", staged(home, b"data"), never)
    assert (home.root / "a/b").read_bytes() == b"data"
    assert list(home.partial.iterdir()) == []
    assert (row.path, row.unit, row.size, row.sha256) == ("a/b", "unit", 4, sha256(b"data"))


def test_a_file_placed_just_before_a_kill_is_the_same(home: Home) -> None:
    for _ in range(2):
        place(home, None, "unit", staged(home, b"data"), never)
    with pytest.raises(CacheError, match="in the way"):
        place(home, None, "unit", staged(home, b"other"), never)
    assert (home.root / "a/b").read_bytes() == b"data"


@pytest.mark.parametrize("assurance", [Assurance.FIRST_SEEN, Assurance.SIZE_ONLY])
def test_without_a_checksum_the_first_bytes_are_the_ones(home: Home, assurance: Assurance) -> None:
    before = place(home, None, "unit", staged(home, b"data", assurance=assurance), never)
    place(home, before, "unit", staged(home, b"data", assurance=assurance), never)
    with pytest.raises(IntegrityError, match="not those first seen"):
        place(home, before, "unit", staged(home, b"othr", assurance=assurance), never)
    # A published checksum decides.
    place(home, before, "unit", staged(home, b"othr"), never)
    assert (home.root / "a/b").read_bytes() == b"othr"


def test_two_files_of_one_plan_are_rivals_and_two_versions_are_not(home: Home) -> None:
    before = place(home, None, "unit-1", staged(home, b"one"), never)
    with pytest.raises(CacheError, match="two files of the dataset want this name"):
        place(home, before, "unit-2", staged(home, b"two"), lambda unit: unit == "unit-1")
    assert (home.root / "a/b").read_bytes() == b"one"
    place(home, before, "unit-2", staged(home, b"two"), never)
    assert (home.root / "a/b").read_bytes() == b"two"


# -- upkeep and the cache ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV, errno.EMLINK])
def test_without_hard_links_copies_are_made(
    home: Home, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    made = build(home, group("1", files=1))
    finish(made, ledger, place(home, None, ONE, staged(home, b"data", "p/s/1/a"), never), done=(1,))

    def refuse(*paths: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    for _ in range(2):
        assert upkeep.copy_to(made, tmp_path / "to") == 1
        copy = tmp_path / "to" / "p/s/1/a"
        assert (copy.read_bytes(), copy.stat().st_nlink) == (b"data", 1)
        assert [path.name for path in copy.parent.iterdir()] == ["a"]
    copy.write_bytes(b"mine")
    with pytest.raises(CacheError, match="in the way"):
        upkeep.copy_to(made, tmp_path / "to")


def test_gc_takes_leftovers_only(home: Home, ledger: Ledger) -> None:
    kept, idle = build(home, group("1"), plan="kept"), build(home, group("2"), plan="idle")
    with closing(Shard(kept.shards[0])) as shard:
        shard.record([(placed("p/s/1/a", ONE), "x")], (), ())  # as a killed run left it
    (home.partial / "00000-1.gone-2-3.d").mkdir()
    (home.partial / "00000-1.gone-2-3.d" / "half").write_bytes(bytes(10))
    (home.partial / "00000-1.gone-2-3.part").write_bytes(bytes(20))
    making = home.plans / ".new.1234"
    making.mkdir()
    assert upkeep.collect(home) == {"files": 2, "bytes": 30}
    assert list(home.partial.iterdir()) == []
    assert kept.folder.exists()
    assert not idle.folder.exists()
    assert making.exists()  # perhaps somebody is at it
    os.utime(making, (0, 0))
    upkeep.collect(home)
    assert not making.exists()
    assert [path for path, _, _ in ledger.files_of(ONE, "p/s/1")] == ["p/s/1/a"]


def test_nothing_is_removed_while_somebody_works_there(home: Home) -> None:
    home.lease.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "token": "t"}))
    (home.partial / "00000-1.gone-2-3.part").write_bytes(bytes(20))
    assert upkeep.collect(home) == {"files": 0, "bytes": 0}
    with pytest.raises(UsageProblem, match="at work"):
        upkeep.remove(home)
    assert home.root.exists()


def test_errors_of_the_disk_are_told_apart(tmp_path: Path) -> None:
    for code in (errno.ENOSPC, errno.EDQUOT):
        with pytest.raises(DiskFull), storage.disk_errors(tmp_path):
            raise OSError(code, os.strerror(code))
    with pytest.raises(CacheError, match="Read-only file system"), storage.disk_errors(tmp_path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    with pytest.raises(InterruptedError), storage.disk_errors(tmp_path):
        raise InterruptedError


def test_json_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    storage.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        storage.write_json(path, {"a": object()})
    assert storage.read_json(path) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
    assert storage.read_json(tmp_path / "none.json") is None
    path.write_text("{")
    with pytest.raises(CacheError, match=r"x\.json"):
        storage.read_json(path)


def test_odd_versions_are_folders_that_can_be_told_apart(tmp_path: Path) -> None:
    names = {cache.home(tmp_path, "set", version).root.name for version in (None, "1.0", "../x", "a/b", "a%2Fb")}
    assert len(names) == 5
    assert all("/" not in name for name in names)
    assert list(cache.homes(tmp_path)) == []


def test_the_folders_of_a_home_stay_as_long_as_it_has_a_plan(home: Home) -> None:
    (home.plans / "plan").mkdir()
    cache.remove_if_empty(home)
    assert home.partial.is_dir()
    (home.plans / "plan").rmdir()
    cache.remove_if_empty(home)
    assert not home.root.exists()
