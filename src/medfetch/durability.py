"""What a power cut may take away: files that are whole and named, whose bytes had not reached the disk yet.

Nobody waits for the disk while files are fetched. A run's mark beside the ledger says that something may be missing if
its machine goes down; its time says since when. If it does, the files that came after that are read again by the next
run, whatever machine that is on; where it is not known whether it did, they are, too.
A killed process loses nothing of this kind: what it wrote is the system's, which writes it out in any case.
It must not know where files come from.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from medfetch import database, machine, presence, storage, stored
from medfetch.cache import Home
from medfetch.checksum import hash_stream
from medfetch.errors import CacheError
from medfetch.ledger import Placed

SYNC_EVERY = 30.0
"""Seconds between two syncs of a run, as often as Linux writes out by itself (vm.dirty_expire_centisecs)."""
SHARE = 0.005
"""Of the time that a run took, so much it waits at its end for the last sync."""
SLACK = 2.0
"""Seconds by which the times of files may be off: FAT's have even seconds."""


class _Mark:
    """The file of a run that says: of what came since its time, something may not be on the disk.

    Its name tells the start of the machine it was made in: of another machine's it is not known what reached the disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def boot(self) -> str:
        return self.path.name.split(".")[1]

    @property
    def since(self) -> float:
        with suppress(FileNotFoundError):
            return self.path.stat().st_mtime
        return math.inf

    def set(self, moment: float) -> None:
        os.utime(self.path, (moment, moment))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


UNKNOWN = "unknown"
"""In place of a machine's start, where the system does not tell one from another."""


def _marks(home: Home) -> list[_Mark]:
    with storage.disk_errors(home.root):
        return [_Mark(path) for path in home.inner.glob("unsynced.*.*")]


def _new_mark(home: Home) -> _Mark:
    mark = _Mark(home.inner / f"unsynced.{storage.boot() or UNKNOWN}.{secrets.token_hex(4)}")
    mark.path.touch()
    # A mark that a power cut takes away would be none.
    descriptor = os.open(mark.path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return mark


def _doubtful(home: Home) -> list[_Mark]:
    """Marks of machines that have gone down since, or may have: those of runs that are at work are none of them."""
    others = [mark for mark in _marks(home) if mark.boot != storage.boot()]
    alive = presence.boots(home) if others else set()
    return [mark for mark in others if mark.boot not in alive]


def in_doubt(home: Home) -> bool:
    """Whether a machine went down before all that was written had reached the disk."""
    return bool(_doubtful(home))


def lost(home: Home, files: Iterable[Placed]) -> Iterator[str]:
    """Paths of those files that a power cut may have reached, and that do not have their digest any more."""
    since = min((mark.since for mark in _doubtful(home)), default=math.inf) - SLACK
    for file in files:
        with suppress(FileNotFoundError, NotADirectoryError):
            # The time of the last change of its inode, as by the rename that named it.
            if stored.changed(home, file.path) < since:
                continue
            with stored.open_file(home, file.path, file.size) as content:
                if hash_stream(content).sha256 != file.sha256:
                    yield file.path


def settle(home: Home) -> None:
    """After ``lost``, or where former runs have not waited for the disk: brings it there, and takes the marks away.

    Only while nobody else is at work there.
    Raises: OSError.
    """
    if marks := _marks(home):
        sync(home)
        for mark in marks:
            mark.remove()


@contextmanager
def writing(home: Home) -> Iterator[None]:
    """Around a run that names files: marks the home meanwhile, and syncs now and then.

    Raises: OSError where the disk did not take what was written.
    """
    mark = _new_mark(home)
    syncer = _Syncer(home, mark)
    try:
        yield
    finally:
        syncer.end()


class _Syncer(threading.Thread):
    def __init__(self, home: Home, mark: _Mark) -> None:
        super().__init__(name="sync", daemon=True)
        self._home, self._mark = home, mark
        self._began = time.monotonic()
        self._ending = threading.Event()
        self._error: OSError | None = None
        self.start()

    def run(self) -> None:
        try:
            while not self._ending.wait(SYNC_EVERY):
                began = time.time()
                sync(self._home)
                self._mark.set(began)
            sync(self._home)
            self._mark.remove()
        except OSError as error:
            self._error = error

    def end(self) -> None:
        """Waits for the last sync, though not for ever where the mark can be trusted."""
        self._ending.set()
        patient = storage.boot() is None or storage.is_network(self._home.root)
        self.join(None if patient else SHARE * (time.monotonic() - self._began))
        if self._error:
            raise self._error


def sync(home: Home) -> None:
    """All that was written so far reaches the disk. Raises: OSError."""
    if not machine.sync("-f", home.root):
        storage.sync_folder(home.root)


def recover(home: Home) -> None:
    """After a power cut: throws away the databases and receipts that it has damaged; files stay where they are.

    What stood in a plan is made anew, and what stood in the ledger is found again when the same files come again.
    """
    for shard in home.plans.glob("*/*.sqlite"):
        if database.is_damaged(shard):
            shutil.rmtree(shard.parent, ignore_errors=True)
    if home.ledger.exists() and database.is_damaged(home.ledger):
        for path in home.inner.glob(f"{home.ledger.name}*"):
            path.unlink()
    receipts = [home.receipt, *home.plans.glob("*/receipt.json")]
    try:
        for path in receipts:
            storage.read_json(path)
    except CacheError:
        # One stands for the other: all of them are written again.
        for path in receipts:
            path.unlink(missing_ok=True)
