"""What a plan still wants, from another home: a layer's, an export's, or from one's own into an export.

Each byte is read and compared before a file gets its name. Nothing is linked: a link would be the other home's own
file, and whatever happens to its mode, its owner or its bytes would happen there, too. Where the file system can, the
copy shares the other's blocks. It must not know sources or the network; the other home is not written to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from medfetch import database, leases, packs, pins, planning, receipt, stored
from medfetch.cache import Home
from medfetch.checksum import BLOCK, Hasher
from medfetch.errors import CacheError, DiskFull, IntegrityError, MedfetchError
from medfetch.ledger import Ledger, Placed
from medfetch.partial import Room
from medfetch.piles import Piles
from medfetch.placing import Staged, accept, finish, left_in, move
from medfetch.planning import Plan
from medfetch.progress import Counting, Event
from medfetch.state import Shard
from medfetch.storage import disk_errors
from medfetch.types import Assurance, Checksum, Entry, Group, RemoteFile

TAKEN = ".taken"
"""What a copy is called until it is in place."""
AT_ONCE = 4
"""Files copied at the same time: hashing leaves Python's lock free, and another machine's disk takes its time."""
ENTRIES = 200
"""Entries that are looked up together."""
LOOK = 0.2
"""Seconds between two reports of how far a large file is."""
BATCH_SECONDS = 1.0
"""Finished files wait at most so long until they are written down together and get their names."""
FICLONE = 0x4004_9409
"""ioctl_ficlone(2): another file of the same blocks."""
NOT_TAKEN = (errno.EINVAL, errno.EFBIG, errno.ENAMETOOLONG, errno.EILSEQ)
"""What a file system says to a name or a length that it cannot hold."""

Refuses = Callable[[str, int], str | None]


class _Unreadable(MedfetchError):
    """The other home is not as it should be."""


@dataclass(slots=True)
class _Work:
    """An entry, and what the other home has of it."""

    row: int
    unit: str
    entry: Entry
    complete: bool
    files: list[Placed]
    staged: list[Staged] = field(default_factory=list)
    problem: MedfetchError | None = None


class Taking:
    """From one home to another, shard by shard."""

    def __init__(
        self, made: Plan, there: Home, ledger: Ledger, reserve: int, show: Callable[[Event], None], *,
        refuses: Refuses = lambda path, size: None,
    ) -> None:  # fmt: skip
        """
        Args:
            made: the plan, in the home that receives.
            ledger: that home's.
            reserve: bytes of the disk that are never used.
            refuses: why that home's file system cannot hold a path with so many bytes, if so.
        """
        self.made, self.there, self.ledger, self.refuses = made, there, ledger, refuses
        self.home = made.home
        self.reporter = Counting(show)
        self.room = Room(made.home.partial, reserve)
        self.packed = packs.format_of(made.home) is not None
        self.stop = threading.Event()
        self.pins = pins.of_plan(made.folder)
        self.taken = 0
        """Files that were placed."""

    def run(self, *, final: bool) -> str | None:
        """Takes what is there and good; why not all of that could be looked at, if so.

        ``final``: there is nothing to go on to, so that what is missing has failed.
        Raises: DiskFull, CacheError.
        """
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            with database.untouched(self.there.root), closing(_opened(self.there)) as other:
                for number, path in enumerate(self.made.shards):
                    if lease := self._lease(path):
                        try:
                            with closing(Shard(path, durable=False)) as shard:
                                self._shard(number, shard, lease.token, other, pool, final)
                        finally:
                            lease.release()
            return None
        except _Unreadable as error:
            return error.message
        finally:
            self.stop.set()
            pool.shutdown(cancel_futures=True)
            self.reporter.flush()
            if self.pins:
                self.pins.close()

    def _lease(self, path: Path) -> leases.Lease | None:
        """None where another process works on a shard: that one takes what it needs."""
        with disk_errors(path):
            return leases.take(path.with_suffix(".lease"))

    def _shard(
        self, number: int, shard: Shard, token: str, other: Ledger, pool: ThreadPoolExecutor, final: bool
    ) -> None:
        with disk_errors(self.home.root):
            finish(self.home, shard, left_in(self.home))
            for left in self.home.partial.glob(f"{number:05d}-*{TAKEN}"):
                left.unlink()
        after, names = 0, _names(self.home.partial / f"{number:05d}-{token}")
        piles = Piles(self.home, f"{number:05d}.{token}.taken") if self.packed else None
        try:
            while rows := shard.todo(after, ENTRIES):
                after = rows[-1][0]
                try:
                    works = [_Work(row, unit, entry, *other.unit(unit, entry.path)) for row, _, unit, entry in rows]
                except (database.Error, ValueError) as error:
                    raise _Unreadable(f"{self.there.ledger} is damaged: {error}") from error
                self._entries(shard, works, names, piles, pool, final)
        finally:
            if piles:
                piles.close()

    def _entries(
        self, shard: Shard, works: list[_Work], names: Iterator[Path], piles: Piles | None, pool: ThreadPoolExecutor,
        final: bool,
    ) -> None:  # fmt: skip
        under_way: list[tuple[_Work, list[Future[Staged]]]] = []
        for work in works:
            # What came out of an archive is of use only as a whole; of a series, each file.
            wanted = work.files if work.complete or isinstance(work.entry, Group) else []
            files = [file for file in wanted if not self._is_here(file)]
            under_way.append((work, [pool.submit(self._copy, file, work.entry, next(names)) for file in files]))
        batch: list[_Work] = []
        flushed = time.monotonic()
        for work, copies in under_way:
            for copy in copies:
                try:
                    work.staged.append(self._result(copy))
                except (DiskFull, CacheError):
                    raise
                except MedfetchError as error:
                    work.problem = error
            batch.append(work)
            if time.monotonic() - flushed >= BATCH_SECONDS:
                self._place(shard, batch, piles, final)
                batch, flushed = [], time.monotonic()
        self._place(shard, batch, piles, final)

    def _result(self, copy: Future[Staged]) -> Staged:
        while not copy.done():
            wait([copy], LOOK)
            self.reporter.flush()
        return copy.result()

    def _is_here(self, file: Placed) -> bool:
        """Whether a file of a series came before, with the others still missing."""
        before = self.ledger.find(file.path, file.unit)
        if before is None or before.sha256 != file.sha256:
            return False
        if self.packed:
            return True  # what is in archives was looked for when the run began
        path = self.home.root / file.path
        return path.is_file() and path.stat().st_size == file.size

    # -- one file ------------------------------------------------------------------------------------------------

    def _copy(self, file: Placed, entry: Entry, ours: Path) -> Staged:
        """Our own copy of a file, with the digest that both plan and ledger have.

        Raises: IntegrityError where it has another one; MedfetchError where it is not there, or cannot be had or held.
        """
        planning.check_path(file.path)
        if reason := self.refuses(file.path, file.size):
            raise MedfetchError(f"{file.path}: {reason}")
        published = _published(file, entry)
        hasher = self._copied(self.there.root / file.path, ours, file, published)
        wrong = hasher.mismatch()
        if hasher.length != file.size or hasher.sha256 != file.sha256 or wrong:
            ours.unlink()
            self.reporter.received(-hasher.length)
            what = f"has {wrong[1]}, expected {wrong[0].hex}" if wrong else "is not what was verified when it came"
            short = f"has {hasher.length} bytes, expected {file.size}" if hasher.length != file.size else what
            raise IntegrityError(f"{self.there.root / file.path} {short}")
        if published:
            file = replace(file, assurance=Assurance.PUBLISHED, checked=str(published[0]))
        return Staged(
            str(ours), file.path, file.key, file.size, file.sha256, file.assurance, file.checked, file.source, file.host
        )

    def _copied(self, theirs: Path, ours: Path, file: Placed, published: Iterable[Checksum]) -> Hasher:
        try:
            source = stored.open_file(self.there, file.path, file.size)
        except FileNotFoundError:
            raise MedfetchError(f"{theirs} is missing") from None
        except OSError as error:
            raise MedfetchError(f"{theirs} cannot be read: {error.strerror}") from error
        hasher = Hasher(published)
        with source, disk_errors(ours), open(ours, "x+b", buffering=0) as target:
            cloned = _clone(source, target)
            if not cloned:
                self.room.take(file.size, file.path)
            while block := self._read(target if cloned else source, theirs):
                if self.stop.is_set():
                    raise InterruptedError
                hasher.update((block,), len(block))
                self.reporter.received(len(block))
                if not cloned:
                    self._write(target.fileno(), block, file.path)
        return hasher

    @staticmethod
    def _read(file: BinaryIO, path: Path) -> bytes:
        try:
            return file.read(BLOCK)
        except OSError as error:
            raise MedfetchError(f"{path} cannot be read: {error.strerror}") from error

    @staticmethod
    def _write(descriptor: int, block: bytes, path: str) -> None:
        rest = memoryview(block)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except OSError as error:
                if error.errno not in NOT_TAKEN:
                    raise
                raise _not_taken(path, error) from error

    # -- the final names -----------------------------------------------------------------------------------------

    def _place(self, shard: Shard, works: list[_Work], piles: Piles | None, final: bool) -> None:
        """Writes down what was taken, and gives it its names."""
        rows: list[tuple[Placed, Staged]] = []
        here: dict[str, Placed] = {}
        for work in works:
            for staged in work.staged:
                known = shard.find(staged.path, work.unit) or self.ledger.find(staged.path, work.unit)
                before = here.get(staged.path) or known
                try:
                    staged = self.pins.judged(work.unit, staged) if self.pins else staged
                    with disk_errors(self.home.root):
                        placed = accept(self.home, before, work.unit, staged, self._planned, packed=piles is not None)
                except MedfetchError as error:
                    work.problem = error
                    Path(staged.staged).unlink()
                else:
                    here[staged.path] = placed
                    rows.append((placed, staged))
            if self.pins and not work.problem:
                work.problem = self.pins.missing(work.unit, {file.path for file in work.files})
        complete = [work.row for work in works if not work.problem and _is_whole(work)]
        failed = [] if not final else [self._failed(work) for work in works if work.row not in complete]
        if rows and not self.taken:
            receipt.note_through(self.made, self.there.cache)
        folder = f"{self.home.partial}{os.sep}"
        with disk_errors(self.home.root):
            written = [
                (placed, piles.take(staged) if piles else staged.staged.removeprefix(folder)) for placed, staged in rows
            ]
        shard.record(written, complete, failed)
        with disk_errors(self.home.root):
            if piles:
                piles.settle()
            else:
                for placed, staged in rows:
                    move(staged.staged, f"{self.home.root}{os.sep}{placed.path}")
        self.taken += len(rows)
        self.reporter.emit(Event("moved", files=len(rows)))
        self.reporter.flush()
        for work in works if not final else ():
            if work.problem:
                self.reporter.emit(Event("retry", work.entry.path, reason=work.problem.message))

    def _failed(self, work: _Work) -> tuple[int, str, int]:
        problem = work.problem or MedfetchError(f"{self.there.root / work.entry.path} is not there, or not all of it")
        self.reporter.emit(Event("failed", work.entry.path, reason=problem.message, code=problem.exit_code))
        return work.row, problem.message, problem.exit_code

    def _planned(self, unit: str) -> bool:
        """Whether any shard of the plan has that entry."""
        for path in self.made.shards:
            with closing(Shard(path)) as shard:
                if shard.plans(unit):
                    return True
        return False


def _opened(home: Home) -> Ledger:
    if not home.ledger.is_file():
        raise _Unreadable(f"{home.ledger} is missing")
    try:
        return Ledger(home.ledger)
    except CacheError as error:
        raise _Unreadable(error.message) from error


def _clone(source: BinaryIO, target: BinaryIO) -> bool:
    """Lets an empty file share the other's blocks, where the file system can."""
    if sys.platform == "linux":
        with suppress(OSError):
            fcntl.ioctl(target.fileno(), FICLONE, source.fileno())
            return True
    return False


def _names(stem: Path) -> Iterator[Path]:
    number = 0
    while True:
        yield stem.with_name(f"{stem.name}-{number}{TAKEN}")
        number += 1


def _is_whole(work: _Work) -> bool:
    """Whether the other home had all of an entry, as the plan here has it."""
    files = work.entry.files if isinstance(work.entry, Group) else None
    return work.complete and bool(work.files) and len(work.files) >= (files or 0)


def _published(file: Placed, entry: Entry) -> tuple[Checksum, ...]:
    """The checksums in the plan that a file must have: those of an archive are not its members'."""
    if isinstance(entry, RemoteFile) and (file.path == entry.path or (entry.dicom and not entry.unpack)):
        return entry.checksums
    return ()


def _not_taken(path: str, error: OSError) -> MedfetchError:
    return MedfetchError(f"{path}: the file system does not take it: {error.strerror}")
