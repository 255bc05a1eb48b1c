"""One shard that this process owns: entries taken up, finished files written down and renamed.

It must not know the network, recipes or the command line, nor what becomes of an entry that fails. All methods are for
one thread, which owns the database.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medfetch import entries, leases, packs, pins
from medfetch.errors import IntegrityError, MedfetchError
from medfetch.fetching import Fetching, Files, Means
from medfetch.jobs import ShardJob
from medfetch.ledger import Ledger, Placed
from medfetch.piles import Piles
from medfetch.placing import Staged, accept, finish, left_in, move
from medfetch.progress import Event
from medfetch.state import Shard
from medfetch.storage import disk_errors
from medfetch.types import Entry, Group, RemoteFile

BATCH_FILES = 1000
BATCH_SECONDS = 1.0
"""Finished files wait at most so long (or for so many) until they are written down together and get their names."""


@dataclass(slots=True, eq=False)
class Active:
    """An entry in work."""

    shard: OpenShard
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

    @property
    def coming(self) -> int:
        """Requests to come: one for a file or an archive, else one for each member that is not here."""
        if not isinstance(self.entry, Group) or (self.entry.archive and not self.singly):
            return 1
        return max(1, (self.entry.files or 0) - len(self.names))


@dataclass(slots=True)
class Batch:
    """What is written down together."""

    files: list[tuple[Active, Staged]] = field(default_factory=list)
    finished: list[Active] = field(default_factory=list)
    failed: list[Active] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.files or self.finished or self.failed)


class OpenShard:
    """A shard under its lease; ``save`` and ``close`` end it."""

    def __init__(self, job: ShardJob, lease: leases.Lease, means: Means) -> None:
        self.job, self._lease, self._reporter = replace(job, token=lease.token), lease, means.reporter
        self._state, self._ledger = Shard(job.path, durable=False), Ledger(job.home.ledger, watching=True)
        self._pins = pins.of_plan(job.path.parent)
        self._former = self._state.own(lease.token)
        with disk_errors(job.home.root):
            finish(job.home, self._state, left_in(job.home))
        packed = packs.format_of(job.home) is not None
        self._piles = Piles(job.home, f"{job.number:05d}.{lease.token}") if packed else None
        self.fetching = Fetching(job.home, job.number, lease.token, job.archives, means, packed=packed)
        self.exhausted = False
        """Every open entry was taken up."""
        self._at_work: dict[int, Active] = {}
        self.lost = False
        """Somebody else has it, after a long silence of ours: nothing is written any more."""
        self._after = 0
        self._batch = Batch()
        self._flushed = -BATCH_SECONDS
        """When; the first file need not wait for others, so that even very short lives get somewhere."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do, and everything is written down."""
        return self.exhausted and not self._at_work and not self._batch

    @property
    def coming(self) -> int:
        """Requests to come for the entries in work, as far as that is known: at least one for each."""
        return sum(active.coming for active in self._at_work.values())

    def route(self, active: Active) -> dict[str, Any]:
        return self.job.routes[active.part][active.route]

    # -- entries -------------------------------------------------------------------------------------------------

    def take_up(self, number: int) -> list[Active]:
        """So many further entries at the most."""
        rows = self._state.todo(self._after, number)
        self.exhausted = len(rows) < number
        return [self._active(*row) for row in rows]

    def _active(self, row: int, part: str, unit: str, entry: Entry) -> Active:
        self._after = row
        active = self._at_work[row] = Active(self, row, part, entry, unit)
        if isinstance(entry, Group):
            self._look_up(active)
        return active

    def _look_up(self, active: Active) -> None:
        """Notes which files of a group are in place from before."""
        before = self._ledger.files_of(active.unit, active.entry.path)
        for path, key, size in [*before, *self._state.placed_of(active.unit)]:
            # What is in archives was looked for when the run began.
            if self._piles or (self.job.home.root / path).is_file():
                active.names.add(path)
                active.keys |= {key} if key else set()
                self._reporter.received(size)
        self._reporter.emit(Event("moved", files=len(active.names)))

    def stage(self, active: Active, result: Files) -> None:
        """Files that are verified, and wait for their names."""
        active.leftovers += result.leftovers
        for staged in result.files:
            if staged.path in active.names:
                if staged.at is None:
                    Path(staged.staged).unlink(missing_ok=True)
            else:
                active.names.add(staged.path)
                self._batch.files.append((active, staged))
        for problem in result.problems:
            active.errors.append(IntegrityError(problem))

    def complete(self, active: Active) -> None:
        del self._at_work[active.row]
        self._batch.finished.append(active)

    def leave(self, active: Active) -> None:
        """It stays to be done."""
        del self._at_work[active.row]

    def fail(self, active: Active) -> None:
        """Gives an entry up, with the last of its errors."""
        del self._at_work[active.row]
        self._fail(active, self._batch)

    def _fail(self, active: Active, batch: Batch) -> None:
        error = active.errors[-1]
        batch.failed.append(active)
        self._reporter.emit(Event("failed", active.entry.path, reason=error.message, code=error.exit_code))

    # -- writing down --------------------------------------------------------------------------------------------

    def write_down(self) -> None:
        """Writes down what is finished, when it is time. Raises: DiskFull, CacheError."""
        ending = self.exhausted and not self._at_work
        late = time.monotonic() - self._flushed >= BATCH_SECONDS
        if self._batch and (ending or late or len(self._batch.files) >= BATCH_FILES):
            self.save()

    def save(self) -> None:
        """Writes down all that is finished, unless the shard was lost. Raises: DiskFull, CacheError."""
        if batch := self._batch:
            self._flushed, self._batch = time.monotonic(), Batch()
            # One writer: a lease is looked at before each writing, as no lock would keep two apart everywhere.
            self.lost = self.lost or (self.job.shared and not self._lease.held())
            if not self.lost:
                self._place(batch)

    def close(self) -> None:
        self._state.close()
        self._ledger.close()
        if self._pins:
            self._pins.close()
        if self._piles:
            self._piles.close()
        if self.ended and not self.lost:
            with disk_errors(self.job.home.root):
                self._sweep()
                if self.job.shared:
                    self.job.ended.touch()
        self._lease.release()

    def _sweep(self) -> None:
        """Removes what former owners left: nothing of it is needed any more."""
        for path in self.job.home.partial.glob(f"{self.job.number:05d}-*") if self._former else ():
            if path.name.partition(".")[2].rpartition(".")[0] in self._former:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _place(self, batch: Batch) -> None:
        """Writes down finished files and complete entries, and gives the files their names."""
        rows: list[tuple[Placed, Staged]] = []
        groups = {active.unit for active, _ in batch.files if isinstance(active.entry, Group)}
        here: dict[str, Placed] = {}
        with disk_errors(self.job.home.root), self._state.reading(), self._ledger.reading():
            for active, staged in batch.files:
                path, unit = staged.path, active.unit
                before = here.get(path) or self._state.find(path, unit) or self._ledger.find(path, unit)
                try:
                    staged = self._pins.judged(unit, staged) if self._pins else staged
                    packed = self._piles is not None
                    here[path] = accept(self.job.home, before, unit, staged, self._planned, packed=packed)
                except MedfetchError as error:
                    active.errors.append(error)
                    active.names.discard(path)
                    if self._pins:
                        Path(staged.staged).unlink(missing_ok=True)
                else:
                    rows.append((here[path], staged))
        if self._pins:
            for active in [active for active in batch.finished if not active.errors]:
                active.errors += filter(None, [self._pins.missing(active.unit, active.names)])
        for active in [active for active in batch.finished if active.errors]:
            self._fail(active, batch)
        complete = [active for active in batch.finished if not active.errors]
        folder, root = f"{self.job.home.partial}{os.sep}", f"{self.job.home.root}{os.sep}"
        with disk_errors(root):
            written = [
                (placed, self._piles.take(staged) if self._piles else staged.staged.removeprefix(folder))
                for placed, staged in rows
            ]
        self._state.record(
            written,
            [active.row for active in complete],
            [(active.row, active.errors[-1].message, active.errors[-1].exit_code) for active in batch.failed],
        )
        with disk_errors(root):
            if self._piles:
                self._piles.settle()
            else:
                for placed, staged in rows:
                    move(staged.staged, root + placed.path)
        # Those of groups were counted as they came.
        files = sum(entries.files(active.entry) or 0 for active in complete if isinstance(active.entry, RemoteFile))
        files += sum(placed.unit in groups for placed, _ in rows)
        self._reporter.emit(Event("moved", files=files))
        # What is not what was locked is fetched anew by the next run.
        wrong = [active for active in batch.failed if self._pins and isinstance(active.errors[-1], IntegrityError)]
        for active in [*complete, *wrong]:
            for leftover in active.leftovers:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)

    def _planned(self, unit: str) -> bool:
        """Whether any shard of the plan has that entry."""
        for path in sorted(self.job.path.parent.glob("*.sqlite")):
            with closing(Shard(path, watching=True)) as shard:
                if shard.plans(unit):
                    return True
        return False


def open_shard(job: ShardJob, means: Means) -> OpenShard | None:
    """Takes a shard; None while another process that lives works on it, or where one has just ended it.

    Raises: CacheError, DiskFull.
    """
    with disk_errors(job.path):
        lease = leases.take(job.lease)
    if lease is None:
        return None
    try:
        if job.shared and job.ended.exists():
            lease.release()
            return None
        return OpenShard(job, lease, means)
    except BaseException:
        lease.release()
        raise
