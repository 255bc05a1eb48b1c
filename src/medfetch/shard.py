"""One shard, from its open entries to files in place: list groups, fetch, unpack, check, rename, write down.

Every engine calls ``run_shard``. It knows sources (to list a group's members, and to ask the next route when one
fails) and the one transfer function; it must not know recipes, the command line, or other shards.

The main thread owns the database; worker threads do what waits for the network.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medfetch import entries
from medfetch.cache import Home, disk_errors, sync_folder
from medfetch.config import Settings
from medfetch.connections import Connections
from medfetch.errors import CacheError, DiskFull, IntegrityError, MedfetchError, Refused, Unreachable
from medfetch.fetching import Fetching, Files
from medfetch.ledger import Ledger, Placed
from medfetch.pace import Pace
from medfetch.placing import Staged, accept, finish, move
from medfetch.pool import Pool
from medfetch.progress import Event, Reporter
from medfetch.state import Shard
from medfetch.types import Entry, Group, RemoteFile

BATCH_FILES = 1000
BATCH_SECONDS = 1.0
"""Finished files wait at most so long (or for so many) for their common sync to disk and their final names."""
AHEAD = 8
"""Tasks that wait for each connection before further entries are taken up."""
LOOK = 0.1
"""Seconds between two looks at what the threads have done."""
REFUSALS = 10
"""So many refused, or without an answer, in a row, and the run stops: the host means all of us, or is gone."""
SAVE_WITHIN = 2.0
"""Seconds that transfers get to end when a run is stopped."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """Everything a worker needs; picklable, and but for ``Settings.links`` without secrets."""

    home: Home
    plan: str
    number: int
    token: str
    """Of the lease on this shard; part of the names of its partial files."""
    start: int
    """Connections at the beginning."""
    most: int
    """Connections at the most."""
    settings: Settings
    routes: Mapping[str, list[dict[str, Any]]]
    """By part, best first: {source, locator}."""
    archives: str
    """``unpack``, ``keep`` (unpack and keep) or ``as-is``."""

    @property
    def path(self) -> Path:
        return self.home.plans / self.plan / f"{self.number:05d}.sqlite"


@dataclass(slots=True)
class Active:
    """An entry in work."""

    row: int
    part: str
    entry: Entry
    unit: str
    """What the plan knows it by (``entries.unit``), whatever route it comes by."""
    route: int = 0
    open: int = 0
    """Tasks under way or queued."""
    names: set[str] = field(default_factory=set)
    """Final names of its files that are here, placed or about to be."""
    keys: set[str] = field(default_factory=set)
    """Their keys, as far as they have one."""
    singly: bool = False
    """The archive was no good: member by member now."""
    errors: list[MedfetchError] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """What is written down together, after one common sync of its files."""

    files: list[tuple[Active, Staged]] = field(default_factory=list)
    finished: list[Active] = field(default_factory=list)
    failed: list[Active] = field(default_factory=list)
    synced: threading.Event = field(default_factory=threading.Event)
    error: OSError | None = None

    def sync(self, folder: Path) -> None:
        """A thread's work: meanwhile others go on."""
        try:
            if self.files:
                sync_folder(folder)
        except OSError as error:
            self.error = error
        self.synced.set()


Result = Files | list[RemoteFile] | RemoteFile | Group | Exception
Task = tuple[Active, Callable[[], Result]]


def run_shard(job: ShardJob, reporter: Reporter, stop: threading.Event, pace: Pace | None = None) -> None:
    """Works off a shard; what is finished is written down even when it raises.

    ``pace`` is what the run's processes share; without one, this shard keeps the rate of its settings by itself.

    Raises:
        DiskFull, CacheError: the run cannot go on.
        Refused, Unreachable: ten in a row.
        InterruptedError: stopped; state is saved.
    """
    with closing(Shard(job.path)) as shard, closing(Ledger(job.home.ledger)) as ledger:
        with disk_errors(job.home.root):
            finish(job.home, shard)
        pace = pace or Pace(job.settings.limit_rate, stop)
        _Run(job, shard, ledger, reporter, stop, pace).run()


class _Run:
    def __init__(
        self, job: ShardJob, shard: Shard, ledger: Ledger, reporter: Reporter, stop: threading.Event, pace: Pace
    ) -> None:
        self.job, self.shard, self.ledger, self.reporter, self.stop = job, shard, ledger, reporter, stop
        self.ready: list[Task] = []
        self.connections = Connections(job.start, job.most)
        self.pool = Pool[Task, tuple[Active, Result]](self._work, self.connections.allowed)
        self.fetching = Fetching(
            job.home,
            job.number,
            job.settings,
            job.token,
            job.archives,
            stop,
            reporter,
            pace,
            self.pool,
            self.connections,
        )
        self.results: deque[tuple[Active, Result]] = deque()
        self.under_way = 0
        self.after = 0
        self.exhausted = False
        self.refused_in_a_row = 0
        self.batch = Batch()
        self.syncing: Batch | None = None
        self.flushed = -BATCH_SECONDS
        """When; the first file need not wait for others, so that even very short lives get somewhere."""

    def run(self) -> None:
        try:
            self._loop()
        finally:
            # When stopped, a thread that waits for a host's answer is not waited for.
            self.results += self.pool.end(SAVE_WITHIN if self.stop.is_set() else None)
            # What was still finished on the way out is kept too.
            while self.results:
                with suppress(MedfetchError):
                    self._take(*self.results.popleft())
            self.fetching.close()
            # The batch that is being synced, and the last one.
            for _ in range(2):
                self._write_down(wait=True)

    def _work(self, task: Task) -> tuple[Active, Result]:
        active, call = task
        try:
            return active, call()
        except (DiskFull, CacheError) as error:
            # The run cannot go on: whatever else were asked for would be asked for in vain.
            self.pool.close()
            return active, error
        except (MedfetchError, InterruptedError) as error:
            return active, error
        except Exception as error:  # a source's or a library's bug must not lose the other files
            return active, MedfetchError(f"{active.entry.path}: {type(error).__name__}: {error}")

    def _loop(self) -> None:
        while True:
            if self.stop.is_set():
                raise InterruptedError
            self._refill()
            if not self.under_way:
                return
            self.results += self.pool.take(LOOK)
            self.pool.allowed = self.connections.look(time.monotonic(), self.pool.busy)
            self.under_way -= len(self.results)
            while self.results:
                self._take(*self.results.popleft())
            self._write_down()

    def _refill(self) -> None:
        """Takes up further entries while there is little to fetch, and hands out what is ready."""
        most = AHEAD * self.pool.allowed
        while not self.exhausted and len(self.ready) + self.pool.waiting < most:
            rows = self.shard.todo(self.after, most)
            self.exhausted = not rows
            for row, part, entry in rows:
                self.after = row
                active = Active(row, part, entry, entries.unit(entry))
                if isinstance(entry, Group):
                    self._look_up(active)
                self._start(active)
        # Of a large series a few at a time, so that what is done is written down now and then.
        number = min(len(self.ready), 2 * most - self.pool.waiting)
        if number > 0:
            tasks, self.ready = self.ready[:number], self.ready[number:]
            self.under_way += number
            self.pool.put(tasks)

    # -- what to do next with an entry ---------------------------------------------------------------------------

    def _start(self, active: Active) -> None:
        entry, route = active.entry, self._route(active)
        if isinstance(entry, RemoteFile):
            self._queue(active, lambda: self.fetching.whole(entry, route))
            return
        archive = entry.archive
        # Of a series of which most is here, the rest is fetched singly.
        if archive and not active.singly and 2 * len(active.names) <= (entry.files or 0):
            self._queue(active, lambda: self.fetching.series(entry, archive, route))
        else:
            self._queue(active, lambda: self.fetching.members(entry, route))

    def _route(self, active: Active) -> dict[str, Any]:
        return self.job.routes[active.part][active.route]

    def _queue(self, active: Active, call: Callable[[], Result]) -> None:
        active.open += 1
        self.ready.append((active, call))

    def _look_up(self, active: Active) -> None:
        """Notes which files of a group are in place from before."""
        before = self.ledger.files_of(active.unit, active.entry.path)
        for path, key, size in [*before, *self.shard.placed_of(active.unit)]:
            if (self.job.home.root / path).is_file():
                active.names.add(path)
                active.keys |= {key} if key else set()
                self.reporter.received(size)
        self.reporter.emit(Event("moved", files=len(active.names)))

    def _take(self, active: Active, result: Result) -> None:
        """A worker's result: files, a group's members, the entry as another route has it, or an error."""
        active.open -= 1
        if isinstance(result, InterruptedError):
            return
        if isinstance(result, (DiskFull, CacheError)):
            raise result
        if isinstance(result, MedfetchError):
            active.errors.append(result)
        elif isinstance(result, Files):
            self.refused_in_a_row = 0
            self._stage(active, result)
        elif isinstance(result, list):
            self._queue_missing(active, result)
        elif isinstance(result, (RemoteFile, Group)):
            active.entry, active.errors, active.singly = result, [], False
            self._start(active)
        if not active.open:
            self._settle(active)

    def _queue_missing(self, active: Active, members: list[RemoteFile]) -> None:
        route = self._route(active)
        for member in members:
            if member.key in active.keys or active.names & {member.path, f"{member.path}/{member.key}.dcm"}:
                continue
            self._queue(active, lambda member=member: self.fetching.whole(member, route))  # type: ignore[misc]

    def _stage(self, active: Active, result: Files) -> None:
        active.leftovers += result.leftovers
        for staged in result.files:
            if staged.path in active.names:
                Path(staged.staged).unlink(missing_ok=True)
            else:
                active.names.add(staged.path)
                self.batch.files.append((active, staged))
        for problem in result.problems:
            active.errors.append(IntegrityError(problem))

    def _settle(self, active: Active) -> None:
        """Nothing of the entry is under way: it is complete, or goes on another way."""
        entry = active.entry
        if isinstance(entry, Group) and not active.errors and len(active.names) < (entry.files or 0):
            active.errors.append(MedfetchError(f"{entry.path}: {len(active.names)} of {entry.files} files"))
        if not active.errors:
            self.batch.finished.append(active)
        elif any(isinstance(error, CacheError) for error in active.errors):
            self._fail(active)  # what is in the way here is so whoever sends the bytes
        elif isinstance(entry, Group) and entry.archive and not active.singly:
            self.reporter.emit(Event("retry", entry.path, reason=f"{active.errors[0].message}; instance by instance"))
            active.singly, active.errors = True, []
            self._start(active)
        else:
            self._next_route(active)

    def _next_route(self, active: Active) -> None:
        """Goes on with the next route of the part, or gives the entry up."""
        error, path = active.errors[-1], active.entry.path
        routes = self.job.routes[active.part]
        if active.route + 1 < len(routes):
            before, active.route = self._route(active), active.route + 1
            after, entry = self._route(active), active.entry
            reason = f"{error.message}; going on with {after['source']}"
            self.reporter.emit(Event("failover", path, reason=reason, source=before["source"]))
            self._queue(active, lambda: self.fetching.same_from(after, entry))
            return
        self._fail(active)
        self.refused_in_a_row += isinstance(error, (Refused, Unreachable))
        if self.refused_in_a_row >= REFUSALS:
            raise type(error)(f"{REFUSALS} in a row failed alike: {error.message}", hint="later, run it again")

    def _planned(self, unit: str) -> bool:
        """Whether any shard of the plan has that entry."""
        for path in sorted(self.job.path.parent.glob("*.sqlite")):
            with closing(Shard(path)) as shard:
                if shard.plans(unit):
                    return True
        return False

    def _fail(self, active: Active, batch: Batch | None = None) -> None:
        error = active.errors[-1]
        (batch or self.batch).failed.append(active)
        self.reporter.emit(Event("failed", active.entry.path, reason=error.message, code=error.exit_code))

    # -- writing down --------------------------------------------------------------------------------------------

    def _write_down(self, *, wait: bool = False) -> None:
        """Writes down what has reached the disk, and sends the next batch there when it is time."""
        if self.syncing and (wait or self.syncing.synced.is_set()):
            self.syncing.synced.wait()
            batch, self.syncing = self.syncing, None
            self._place(batch)
        next_ = self.batch
        due = wait or len(next_.files) >= BATCH_FILES or time.monotonic() - self.flushed >= BATCH_SECONDS
        if due and self.syncing is None and (next_.files or next_.finished or next_.failed):
            self.flushed, self.batch, self.syncing = time.monotonic(), Batch(), next_
            threading.Thread(target=next_.sync, args=(self.job.home.root,), daemon=True).start()

    def _place(self, batch: Batch) -> None:
        """Writes down finished files and complete entries, and gives the files their names."""
        rows: list[tuple[Placed, str]] = []
        groups = {active.unit for active, _ in batch.files if isinstance(active.entry, Group)}
        here: dict[str, Placed] = {}
        with disk_errors(self.job.home.root):
            if batch.error:
                raise batch.error
            with self.shard.reading(), self.ledger.reading():
                for active, staged in batch.files:
                    path, unit = staged.path, active.unit
                    before = here.get(path) or self.shard.find(path, unit) or self.ledger.find(path, unit)
                    try:
                        here[path] = accept(self.job.home, before, unit, staged, self._planned)
                    except MedfetchError as error:
                        active.errors.append(error)
                        active.names.discard(path)
                    else:
                        rows.append((here[path], staged.staged))
        for active in [active for active in batch.finished if active.errors]:
            self._fail(active, batch)
        complete = [active for active in batch.finished if not active.errors]
        failed = batch.failed
        partial, root = f"{self.job.home.partial}{os.sep}", f"{self.job.home.root}{os.sep}"
        self.shard.record(
            [(placed, staged.removeprefix(partial)) for placed, staged in rows],
            [active.row for active in complete],
            [(active.row, active.errors[-1].message, active.errors[-1].exit_code) for active in failed],
        )
        with disk_errors(root):
            for placed, staged_at in rows:
                move(staged_at, root + placed.path)
        # An archive counts as one file, however many came out of it.
        files = sum(isinstance(active.entry, RemoteFile) for active in complete)
        files += sum(placed.unit in groups for placed, _ in rows)
        self.reporter.emit(Event("moved", files=files))
        for active in complete:
            for leftover in active.leftovers:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
