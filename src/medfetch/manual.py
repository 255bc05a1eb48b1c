"""Takes in what a person has brought: recognised, verified, unpacked and placed as though it had been fetched.

It must not know hosts. What was brought is never moved or changed: it is cloned where the file system can, linked where
nothing about the file has to change for that, and else copied.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from medfetch import archives, brought, cache, durability, fulfilling, planning, presence, runner, storage, unpack
from medfetch.brought import Brought, Recognising
from medfetch.cache import Home
from medfetch.checksum import hash_file
from medfetch.config import Settings
from medfetch.connections import Connections
from medfetch.errors import DiskFull, IntegrityError, MedfetchError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.fetching import STAGING, Fetching, Files, Means
from medfetch.hosts import Hosts
from medfetch.jobs import ShardJob
from medfetch.ledger import Ledger
from medfetch.net.stack import client_of
from medfetch.net.together import Together
from medfetch.pace import Pace
from medfetch.permissions import Readers
from medfetch.planning import Plan
from medfetch.pool import Pool
from medfetch.progress import Counting, Display
from medfetch.receipt import IMPORTED
from medfetch.reconciling import reconcile
from medfetch.shard import Active, OpenShard, open_shard
from medfetch.sources._paths import relative
from medfetch.state import Shard
from medfetch.storage import disk_errors
from medfetch.transfer.download import Fetched
from medfetch.types import Assurance, Group, Recipe, RemoteFile
from medfetch.wishes import Wish

COPY, OPENED = ".brought", ".opened"
"""What our copy or link of a file is called until it is in place; the folder of what came out of an archive. Neither is
ever gone on with: a link's bytes are the person's."""
FICLONE = 0x4004_9409
"""ioctl_ficlone(2): another file of the same blocks."""
AT_ONCE = 1000
"""Entries that are taken up together."""
BY_HAND: Mapping[str, Any] = {"source": IMPORTED, "locator": {}}
"""In the place of a route."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that was brought and is not in the dataset."""

    kind: str
    """``bad``: its bytes are not those that are published; ``half``: some are missing; ``surplus``: it is no file of
    the dataset."""
    file: str
    """Its path in what was given."""
    meant: str
    """The path of the dataset's file that it was taken for; empty for a surplus one."""
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of an import."""

    plan: Plan
    files: int
    """That are in place now, and were not before."""
    problems: tuple[Problem, ...]
    missing: tuple[str, ...]
    """Paths of the entries that are still not there, or not all of them."""
    failures: tuple[tuple[str, str, int], ...]
    """(path, reason, exit code) of what could not be placed."""
    receipt: dict[str, Any] | None
    """Where all is there."""


def take_in(recipe: Recipe, wish: Wish, paths: Iterable[Path], settings: Settings, display: Display) -> Taken:
    """Recognises what lies at some paths, and places what is good of it.

    Raises: UsageProblem for a path that cannot be read; AccessRequired where terms are not agreed to; Unreachable and
        what else ``runner.make_plan`` raises; DiskFull, CacheError.
    """
    files = brought.look(paths)
    home, readers = runner.home_of(recipe, settings), runner.readers_of(recipe, settings)
    cache.prepare(home, readers)
    try:
        # One import at a time, from the plan on: of two that add to what nobody knows, each would forget the other's.
        with presence.turn(home.inner / "import.lease", display, "imports something"):
            good = [file for file in files if not brought.is_unfinished(file)]
            made = runner.make_plan(recipe, wish, settings, display, brought=(_path(file.name) for file in good))
            with readers.only(), presence.alone(home, display), closing(Ledger(home.ledger)) as ledger:
                return _Import(recipe, made, ledger, files, settings, readers, display).run()
    finally:
        cache.remove_if_empty(home)


def _path(name: str) -> str:
    """Raises: UsageProblem where a file's name cannot be one in a dataset."""
    try:
        return relative(name)
    except UsageProblem as error:
        raise UsageProblem(error.message, hint="rename it, or leave it out") from None


class _Import:
    def __init__(
        self, recipe: Recipe, made: Plan, ledger: Ledger, files: list[Brought], settings: Settings, readers: Readers,
        display: Display,
    ) -> None:  # fmt: skip
        self.recipe, self.made, self.ledger, self.files = recipe, made, ledger, files
        self.settings, self.readers, self.display = settings, readers, display
        self.home = made.home
        self.known = Recognising(lambda: (entry for _, entry in made.entries()))
        self.problems: list[Problem] = []
        self.reporter = Counting(display.show)

    def run(self) -> Taken:
        before = reconcile(self.made, self.ledger)
        _sweep(self.home)
        self.known.add(file for file in self.files if not brought.is_unfinished(file))
        with disk_errors(self.home.root), durability.writing(self.home):
            self.ledger.relax()
            try:
                self._work()
            finally:
                _sweep(self.home)
                tallies = reconcile(self.made, self.ledger, look=False, durable=False)
            self._mark_here()
            files = self.ledger.count(self.made.token, self.made.shards) - before["files_here"]
            whole = tallies["done"] == tallies["entries"]
            receipt = None
            if whole:
                fulfilling.seal(self.home, self.settings, self.display)
                receipt = fulfilling.receipt_of(self.recipe, self.made, self.ledger, self.settings, [])
        self._tell_left()
        missing = tuple(entry.path for _, entry in planning.waiting(self.made))
        return Taken(self.made, files, tuple(self.problems), missing, tuple(self._failures()), receipt)

    def _work(self) -> None:
        stop, reporter = threading.Event(), self.reporter
        with ExitStack() as last:
            hosts = Hosts(cache.hosts_folder(self.settings.cache), stop.is_set)
            last.callback(hosts.close)
            together = Together(client_of(self.settings, stop), hosts)
            last.callback(together.close)
            pool = Pool[Any, Any](lambda task: None, 1)
            pace = Pace(None, stop)
            means = Means(self.settings, stop, reporter, pace, hosts, together, pool, Connections(1, 1))
            self.display.start(self.recipe.id, {**self.made.totals, **planning.tally(self.made)})
            last.callback(self.display.stop)
            last.callback(reporter.flush)
            self._match(means)
            if any(True for _ in planning.waiting(self.made)) and self._open_archives():
                self._match(means)

    # -- entries -------------------------------------------------------------------------------------------------

    def _match(self, means: Means) -> None:
        """Places what is recognised, shard by shard."""
        routes = self.made.header["routes"]
        for number in range(len(self.made.shards)):
            job = ShardJob(
                self.home, self.made.id, number, "", 1, 1, self.settings, routes, self.made.header["archives"]
            )
            shard = open_shard(job, means)
            if shard is None:  # a worker of a run that has just died is still at it
                raise MedfetchError(f"another process works on {job.path}", hint="run the same command again")
            with ExitStack() as last:
                last.callback(shard.close)
                last.callback(shard.save)
                bringing = Bringing(job, shard, self.readers, means)
                while not shard.exhausted:
                    for active in shard.take_up(AT_ONCE):
                        self._entry(shard, active, bringing)
                        self.reporter.flush()
                        shard.write_down()

    def _entry(self, shard: OpenShard, active: Active, bringing: Bringing) -> None:
        if isinstance(active.entry, Group):
            whole = self._series(shard, active, active.entry, bringing)
        else:
            whole = self._file(shard, active, active.entry, bringing)
        if whole:
            shard.complete(active)
        else:
            shard.leave(active)

    def _file(self, shard: OpenShard, active: Active, file: RemoteFile, bringing: Bringing) -> bool:
        # What is published in pieces may have been joined already; volumes of a split zip cannot be.
        joined = file.pieces and not (file.unpack and file.unpack.kind == "split-zip")
        if (joined or not file.pieces) and (whole := self.known.find(replace(file, pieces=()))):
            file, found = replace(file, pieces=()), [whole]
        else:
            pieces = [self.known.find(piece) for piece in file.pieces]
            found = [each for each in pieces if each]
        if len(found) < len(file.pieces or (file,)):
            for each in found:
                each.used, each.wrong = (
                    False,
                    ("half", file.path, f"is one of {len(file.pieces)} pieces: give all of them"),
                )
            return False
        try:
            shard.stage(active, bringing.files(file, found))
        except IntegrityError as error:
            for each in found:
                each.used, each.wrong = False, ("bad", file.path, error.message)
            return False
        return True

    def _series(self, shard: OpenShard, active: Active, group: Group, bringing: Bringing) -> bool:
        if not self.known.has_series(group):
            return False
        members = self._members(shard, active, group)
        for each, file in self.known.series(group, members):
            if file.key not in active.keys:
                shard.stage(active, bringing.files(file, [each]))
        wanted = group.files if members is None else len(members)
        return wanted is not None and len(active.names) >= max(wanted, group.files or 0)

    def _members(self, shard: OpenShard, active: Active, group: Group) -> list[RemoteFile] | None:
        """What the series' source lists; None where it cannot be asked."""
        if not self.settings.offline:
            for route in shard.job.routes[active.part]:
                with suppress(Unreachable, Refused, Retryable):
                    return shard.fetching.members(group, route)
        return None

    # -- archives that are none of the dataset's -----------------------------------------------------------------

    def _open_archives(self) -> bool:
        """Unpacks archives that are no files of the dataset: what is in them may be. Whether there were any."""
        found = [file for file in self.known.left() if file.wrong is None and archives.kind(file.name)]
        free = partial(storage.free_bytes, self.home.partial)
        for number, archive in enumerate(found):
            folder = self.home.partial / f"{number:05d}{OPENED}"
            try:
                members = unpack.extract(
                    [archive.path], str(archives.kind(archive.name)), folder, name=archive.name,
                    free_bytes=lambda: free() - self.settings.reserve,
                )  # fmt: skip
                inside = [
                    Brought(
                        member.staged, f"{archive.name}/{member.name}", archive.given, member.size, archive,
                        digests={"sha256": member.sha256},
                    )
                    for member in members
                ]  # fmt: skip
            except DiskFull:
                raise
            except MedfetchError as error:
                archive.wrong = "bad", "", error.message
            else:
                self.known.add(inside)
        return bool(found)

    # -- at the end ----------------------------------------------------------------------------------------------

    def _mark_here(self) -> None:
        """What is in place already, from before, is no surplus."""
        waiting = {(part, entry.path) for part, entry in planning.waiting(self.made)}
        for part, entry in self.made.entries() if self.known.left() else ():
            if isinstance(entry, RemoteFile) and (part, entry.path) not in waiting:
                for file in (entry, *entry.pieces):
                    self.known.is_here(file)
            elif isinstance(entry, Group) and (part, entry.path) not in waiting:
                self.known.series_is_here(entry)

    def _tell_left(self) -> None:
        """What was brought and is not in the dataset, each with the reason."""
        for file in self.files:
            if brought.is_unfinished(file):
                self.problems.append(Problem("half", file.name, "", "its program calls it unfinished"))
        for file in self.known.files:
            if file.used and file.inside:
                file.inside.used = True
        explained = {file.inside for file in self.known.left() if file.wrong}
        for file in self.known.left():
            if file.wrong:
                self.problems.append(Problem(file.wrong[0], file.name, *file.wrong[1:]))
            elif file not in explained and (file.inside is None or file.inside.used):
                self.problems.append(Problem("surplus", file.name, "", "is no file that is wanted"))

    def _failures(self) -> Iterator[tuple[str, str, int]]:
        for path in self.made.shards:
            with closing(Shard(path)) as shard:
                yield from shard.failures(20)


class Bringing(Fetching):
    """From an entry to verified files, as when they are fetched; but the bytes are the person's."""

    def __init__(self, job: ShardJob, shard: OpenShard, readers: Readers, means: Means) -> None:
        packed = shard.fetching.packed
        super().__init__(job.home, job.number, shard.job.token, job.archives, means, packed=packed)
        self._readers = readers
        self._found: dict[tuple[str, str], Brought] = {}

    def files(self, file: RemoteFile, found: Iterable[Brought]) -> Files:
        """What becomes of a file whose bytes, or those of its pieces in their order, were found.

        Raises: IntegrityError for an archive that is broken; DiskFull, CacheError.
        """
        self._found = {(each.key, each.path): it for each, it in zip(file.pieces or (file,), found, strict=True)}
        return self.whole(file, BY_HAND)

    def _fetch(self, file: RemoteFile, route: Mapping[str, Any], begun: object = None) -> Fetched:
        each = self._found[file.key, file.path]
        ours = self.home.partial / f"{self._stem(file)}.{self.token}{COPY}"
        with disk_errors(ours):
            sha256 = each.digest(())["sha256"]
            ours.unlink(missing_ok=True)
            if not _cloned(each.path, ours) and not self._linked(each, ours):
                self.room.take(each.size, file.path)
                shutil.copyfile(each.path, ours)
            # What a copy is of was read before, and may have been another one's by then.
            if not ours.samefile(each.path) and hash_file(ours).sha256 != sha256:
                raise IntegrityError(f"{each.name} has changed while it was copied, or a disk is failing")
        checked = str(file.checksums[0]) if file.checksums else None
        assurance = Assurance.FIRST_SEEN if file.size is None else Assurance.SIZE_ONLY
        self.means.reporter.received(each.size)
        return Fetched(str(ours), each.size, sha256, Assurance.PUBLISHED if checked else assurance, checked, each.given)

    def _linked(self, each: Brought, ours: Path) -> bool:
        """Another name for the same file, where owner, group and mode are as they have to be here."""
        path = each.path.resolve()
        there, umask = path.stat(), os.umask(0)
        os.umask(umask)
        alike = there.st_uid == os.geteuid() and stat.S_IMODE(there.st_mode) == 0o666 & ~umask
        if not alike or self._readers.group not in (None, there.st_gid):
            return False
        with suppress(OSError):
            os.link(path, ours)
            return True
        return False


def _cloned(path: Path, ours: Path) -> bool:
    """A file of its own that shares the other's blocks, where the file system can."""
    if sys.platform != "linux":
        return False
    with open(path, "rb") as there, open(ours, "xb") as here, suppress(OSError):
        fcntl.ioctl(here, FICLONE, there.fileno())
        return True
    ours.unlink()
    return False


def _sweep(home: Home) -> None:
    """Removes what an import, perhaps one that was killed, has left."""
    for path in home.partial.iterdir():
        if path.suffix == COPY:
            path.unlink()
        elif path.suffix in (OPENED, STAGING):
            shutil.rmtree(path)
