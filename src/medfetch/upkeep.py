"""What is done with datasets that are in the cache: status, verify, path, copies elsewhere, rm, gc."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from medfetch import (
    durability,
    entries,
    leases,
    packs,
    permissions,
    piles,
    placing,
    planning,
    presence,
    receipt,
    storage,
    stored,
    verify,
)
from medfetch.cache import Home
from medfetch.checksum import BLOCK, hash_file, hash_stream
from medfetch.errors import CacheError, UsageProblem
from medfetch.ledger import Ledger, Placed
from medfetch.packs import Packs
from medfetch.permissions import Readers
from medfetch.planning import Plan
from medfetch.runner import index_version
from medfetch.state import Shard
from medfetch.types import Recipe

UID = re.compile(r"[0-9]+(\.[0-9]+)+")
AT_ONCE = 4
"""Files verified at the same time: hashing leaves Python's lock free."""
BATCH_FILES, BATCH_BYTES = 256, 32 * 10**6
"""What one thread verifies before it hands over what it found."""
BEING_MADE = 24 * 3600.0
"""Seconds after which a half-made plan is a leftover."""


def status(home: Home, recipe: Recipe | None) -> dict[str, Any]:
    """What is in a home: ``complete``, ``partial``, ``planned``; and ``stale`` where the recipe or index moved on."""
    settle(home)
    return look(home, recipe)


def look(home: Home, recipe: Recipe | None) -> dict[str, Any]:
    """As ``status``, without entering anything."""
    plans = []
    for made in planning.all_of(home):
        tally = planning.tally(made)
        there = receipt.of_plan(made) is not None and tally["done"] == tally["entries"]
        complete = there and not durability.in_doubt(home)
        tally["files_here"] = _files_here(home, made) + sum(map(_waiting, made.shards))
        word = "complete" if complete else "partial" if tally["files_here"] else "planned"
        plans.append(
            {
                "plan": made.id, "state": word, "select": made.header["select"], "parts": sorted(made.header["parts"]),
                **tally, "missing": tally["entries"] - tally["done"], "stale": _stale(made, recipe),
                "failures": _failures(made),
            }
        )  # fmt: skip
    totals = {"files": 0, "bytes": 0}
    if home.ledger.exists():
        with closing(Ledger(home.ledger, watching=True)) as ledger:
            totals = ledger.totals()
    states = {each["state"] for each in plans}
    overall = "complete" if states == {"complete"} else "partial" if states & {"partial", "complete"} else "planned"
    runs = [run.summary() for run in presence.runs(home)]
    packed = packs.format_of(home)
    return {"path": str(home.root), "state": overall, **totals, "packed": packed, "plans": plans, "runs": runs}


def settle(home: Home) -> None:
    """Enters into the ledger what a killed run had placed but not handed over yet; not while one is at work."""
    # A cache that may only be read is looked at as it is.
    with suppress(CacheError, OSError), presence.alone_now(home) as alone:
        if alone:
            enter(home)


def enter(home: Home) -> None:
    with closing(Ledger(home.ledger)) as ledger:
        for made in planning.all_of(home):
            placing.hand_over(home, made.shards, ledger)


def _files_here(home: Home, made: Plan) -> int:
    if not home.ledger.exists():
        return 0
    with closing(Ledger(home.ledger, watching=True)) as ledger:
        return ledger.count(made.token, made.shards)


def _waiting(shard: Path) -> int:
    with closing(Shard(shard, watching=True)) as opened:
        return opened.waiting()


def _failures(made: Plan, most: int = 5) -> list[str]:
    found: list[str] = []
    for path in made.shards:
        if len(found) < most:
            with closing(Shard(path, watching=True)) as shard:
                found += [f"{entry}: {reason}" for entry, reason, _ in shard.failures(most - len(found))]
    return found


def _stale(made: Plan, recipe: Recipe | None) -> str | None:
    """Why a plan may not be what would be planned today, None where nothing speaks for that, or a lock pins it."""
    if made.header.get("lock"):
        return None
    if recipe is not None and recipe.digest != made.header["recipe"]:
        return "the recipe has changed"
    uses_index = any(way["source"] == "idc" for ways in made.header["routes"].values() for way in ways)
    if uses_index and made.header["index"] != index_version():
        return f"planned from index {made.header['index']}, now {index_version()}"
    return None


def complete(home: Home) -> bool:
    """Whether everything that was asked for is there."""
    return (
        home.receipt.exists()
        and not durability.in_doubt(home)
        and all(tally["done"] == tally["entries"] for tally in map(planning.tally, planning.all_of(home)))
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not as the ledger says."""

    path: str
    problem: str


def check(home: Home, *, content: bool) -> Iterator[tuple[Placed, Finding | None]]:
    """Reads every byte again: each file with what is wrong with it.

    Raises: CacheError where the home has no ledger.
    """
    if not home.ledger.exists():
        raise CacheError(f"nothing was downloaded to {home.root}", hint="medfetch get")
    with closing(Ledger(home.ledger, watching=True)) as ledger, ThreadPoolExecutor(AT_ONCE) as pool:
        pending: deque[Future[list[tuple[Placed, Finding | None]]]] = deque()
        for batch in _batches(ledger.files()):
            pending.append(pool.submit(_look_at, home, batch, content))
            if len(pending) > 2 * AT_ONCE:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _batches(files: Iterator[Placed]) -> Iterator[list[Placed]]:
    """Small files by the hundred: to hand over one of them takes longer than to read it."""
    batch: list[Placed] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _look_at(home: Home, files: list[Placed], content: bool) -> list[tuple[Placed, Finding | None]]:
    problems = ((file, _problem(home, file, content)) for file in files)
    return [(file, Finding(file.path, problem) if problem else None) for file, problem in problems]


def _problem(home: Home, file: Placed, content: bool) -> str | None:
    try:
        with stored.open_file(home, file.path, file.size) as opened:
            hasher = hash_stream(opened)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if hasher.length != file.size:
        return f"{hasher.length} bytes, expected {file.size}"
    if hasher.sha256 != file.sha256:
        return f"sha256 {hasher.sha256}, expected {file.sha256}"
    if content:
        path = PurePosixPath(file.path)
        # Instances that medfetch named lie under their own UID in a folder that is named by their series.
        named = UID.fullmatch(path.stem) and UID.fullmatch(path.parent.name)
        with stored.open_file(home, file.path, file.size) as opened:
            return verify.check_content(opened, file.path, series=path.parent.name if named else None)
    return None


def damaged_archives(home: Home) -> Iterator[Finding]:
    """Archives of a packed home of which something is damaged that is no file's: headers, or the directory."""
    if packs.format_of(home) is None:
        return
    from medfetch.sealing import frame

    with closing(Packs(home, watching=True)) as index:
        for archive in [each for each in index.containers() if each.is_archive]:
            spots = [(at, size) for _, at, size in index.members(archive.id)]
            with suppress(FileNotFoundError):  # its files have been missed already
                # Of one from which a file was lost, what was the file's counts as the archive's.
                if len(spots) == archive.files and frame(home.root / archive.name, spots) != archive.frame:
                    yield Finding(archive.name, "the archive's directory is damaged")


def fulfilled(home: Home) -> list[Plan]:
    """The plans of a home that were complete once; what was only planned, or is on its way, is no loss."""
    return [made for made in planning.all_of(home) if receipt.of_plan(made)]


def missing_instances(home: Home) -> Iterator[Finding]:
    """Series with fewer files than planned, across the fulfilled plans of a home."""
    with closing(Ledger(home.ledger, watching=True)) as ledger:
        for made in fulfilled(home):
            for _, entry in made.entries():
                wanted = getattr(entry, "files", None)
                have = len(ledger.files_of(entries.unit(entry), entry.path)) if wanted else 0
                if wanted and have < wanted:
                    yield Finding(entry.path, f"{have} of {wanted} instances")


def forget(home: Home, findings: list[Finding]) -> None:
    """Removes bad files, so that the next ``get`` fetches them again."""
    if packs.format_of(home):
        _set_aside(home, findings)
    with closing(Ledger(home.ledger)) as ledger:
        ledger.lose(finding.path for finding in findings)
    for finding in findings:
        path = home.root / finding.path
        if path.is_file():
            path.unlink()


def _set_aside(home: Home, findings: list[Finding]) -> None:
    """The archives of bad files, and those that are damaged themselves, are made anew when all is there again."""
    packs.lose(home, (finding.path for finding in findings))
    damaged = {finding.path for finding in findings}
    with closing(Packs(home)) as index:
        for archive in index.containers():
            if archive.name in damaged:
                packs.set_aside(index, archive)


def copy_to(made: Plan, target: Path, readers: Readers = permissions.EVERYBODY) -> int:
    """Places a complete plan's files in another folder, by hard link where that works; returns their number.

    There, too, they are for ``readers`` only; a folder that is there already stays as open as it is.

    Raises: CacheError, also where another file is in the way; DiskFull.
    """
    count = 0
    kept = readers if readers.private else permissions.EVERYBODY
    with storage.disk_errors(target), kept.only(), closing(Ledger(made.home.ledger, watching=True)) as ledger:
        for file in ledger.files_of_plan(made.shards):
            _copy(made.home, target / file.path, file, readers)
            count += 1
    return count


def _copy(home: Home, final: Path, file: Placed, readers: Readers) -> None:
    source = home.root / file.path
    if final.exists():
        same = source.exists() and final.samefile(source)
        if not same and (final.is_dir() or hash_file(final).sha256 != file.sha256):
            raise CacheError(f"{final} is in the way", hint="move it away, or give another folder with --to")
        return
    _make_folder(final.parent, readers)
    temporary = final.with_name(f".{file.sha256}.medfetch")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        with stored.open_file(home, file.path, file.size) as opened, open(temporary, "wb") as copy:
            shutil.copyfileobj(opened, copy, BLOCK)
        if readers.private:
            readers.admit(temporary)
    temporary.replace(final)


def _make_folder(folder: Path, readers: Readers) -> None:
    if not folder.exists():
        _make_folder(folder.parent, readers)
        folder.mkdir(exist_ok=True)
        if readers.private:
            readers.admit(folder)


def remove(home: Home) -> None:
    """Removes a dataset from the cache.

    Raises: UsageProblem while a ``get`` is at work there.
    """
    with presence.alone_now(home) as alone:
        if not alone:
            raise UsageProblem(f"another medfetch is at work in {home.root}", hint="wait for it, or stop it")
        while home.root.exists():
            # A sync of a run before may take its mark away meanwhile (``durability``).
            with suppress(FileNotFoundError):
                shutil.rmtree(home.root)
    with suppress(OSError):
        home.root.parent.rmdir()


def collect(home: Home) -> dict[str, int]:
    """Removes what interrupted work left: partial bytes, plans never begun, dead leases; files and bytes freed.

    Where a ``get`` is at work nothing is touched.
    """
    with presence.alone_now(home) as alone:
        return _collect(home) if alone else {"files": 0, "bytes": 0}


def _collect(home: Home) -> dict[str, int]:
    freed = {"files": 0, "bytes": 0}
    enter(home)
    for path in home.partial.glob("*"):
        for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
            freed["files"] += 1
            freed["bytes"] += file.stat().st_size
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if packs.format_of(home):
        _clear_piles(home, freed)
    with closing(Ledger(home.ledger)) as ledger:
        for folder in home.plans.glob("*/"):
            if not _in_use(home, folder, ledger):
                shutil.rmtree(folder)
    for path in home.plans.glob("*/*.ended"):
        path.unlink()
    for path in home.plans.glob("*/*.lease"):
        if path.exists() and leases.is_dead(path):
            path.unlink()
    return freed


def _clear_piles(home: Home, freed: dict[str, int]) -> None:
    with closing(Packs(home)) as index:
        packs.set_right(index)
        files, size = piles.clear(home, {container.name for container in index.containers()})
    freed["files"] += files
    freed["bytes"] += size


def _in_use(home: Home, folder: Path, ledger: Ledger) -> bool:
    """Whether a plan has brought files, or is perhaps being made this moment."""
    if folder.name.startswith("."):
        return time.time() - folder.stat().st_mtime < BEING_MADE
    made = planning.load(home, folder.name)
    return made is not None and ledger.count(made.token, made.shards) > 0
