"""The work of one process: shards, one after the other and without a gap between them, until there is none left.

It decides what to do next with an entry: begin it, list it, hand it to a thread, try the next route, give it up. It
must not know recipes, the command line, or other processes. Plain files are begun together in this thread, which owns
the databases too; other threads do what else waits for the network, and what computes for long.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from medfetch.connections import Connections
from medfetch.errors import CacheError, DiskFull, MedfetchError, Refused, Unreachable
from medfetch.fetching import Begun, Files, Means
from medfetch.hosts import Hosts
from medfetch.jobs import PARK_WITHIN, ShardJob
from medfetch.net.stack import client_of
from medfetch.net.together import Together
from medfetch.pace import Pace
from medfetch.pool import Pool
from medfetch.progress import Event, Reporter
from medfetch.shard import Active, OpenShard, open_shard
from medfetch.types import Group, RemoteFile

AHEAD, LEAST = 2, 32
"""Tasks that wait for each connection, and in all, before further entries are taken up: what one process has taken up
no other can do when it is through."""
LOOK, SHORT = 0.05, 0.02
"""Seconds between two looks at what the threads have done; likewise, while there is something else to be waited for."""
LEASE = 0.5
"""Seconds between two looks for a lease that another process holds."""
REFUSALS = 10
"""So many refused, or without an answer, in a row, and the run stops: the host means all of us, or is gone."""
SAVE_WITHIN = 2.0
"""Seconds that transfers get to end when a run is stopped."""


@dataclass(frozen=True, slots=True)
class Stops:
    """What ends the work of a process: ``now``, or, with ``parked``, as soon as what is nearly here has come."""

    now: threading.Event = field(default_factory=threading.Event)
    parked: threading.Event = field(default_factory=threading.Event)


Result = Files | Begun | list[RemoteFile] | RemoteFile | Group | Exception
Task = tuple[Active, Callable[[], Result]]


def run_shards(
    job: ShardJob, more: Callable[[], ShardJob | None], ended: Callable[[int, bool], None], reporter: Reporter,
    stops: Stops, pace: Pace, hosts: Hosts,
) -> None:  # fmt: skip
    """Works off a shard, and those that ``more`` gives meanwhile; what is finished is written down even when it raises.

    ``ended`` is told the number of each that is through, whether or not all of it could be had, and of those that
    others have, with False. ``hosts`` are this process's connections, which outlive the work.
    Raises:
        DiskFull, CacheError: the run cannot go on.
        Refused, Unreachable: ten in a row.
        InterruptedError: stopped; state is saved.
    """
    _Work(job, more, ended, reporter, stops, pace, hosts).run()


class _Work:
    def __init__(
        self, job: ShardJob, more: Callable[[], ShardJob | None], ended: Callable[[int, bool], None],
        reporter: Reporter, stops: Stops, pace: Pace, hosts: Hosts,
    ) -> None:  # fmt: skip
        self.more, self.ended, self.reporter, self.stop, self.parked = more, ended, reporter, stops.now, stops.parked
        stop = stops.now
        self.connections = Connections(job.start, job.most)
        self.pool = Pool[Task, tuple[Active, Result]](self._call, self.connections.allowed)
        self.together = Together(client_of(job.settings, stop), hosts)
        self.means = Means(job.settings, stop, reporter, pace, hosts, self.together, self.pool, self.connections)
        self.next: ShardJob | None = job
        """A shard whose lease is still to be taken."""
        self.next_try = 0.0
        self.shards: list[OpenShard] = []
        self.ready: deque[Task] = deque()
        """For the threads."""
        self.plain: deque[tuple[Active, RemoteFile]] = deque()
        """To be begun together."""
        self.results: deque[tuple[Active, Result]] = deque()
        self.under_way = 0
        """Results to come."""
        self.refused_in_a_row = 0

    def run(self) -> None:
        with ExitStack() as last:
            # Each is saved and closed, whatever happens to the others.
            last.callback(lambda: [last.callback(shard.close) for shard in self.shards])
            last.callback(lambda: [last.callback(shard.save) for shard in self.shards])
            last.callback(self._end)
            self._loop()

    def _end(self) -> None:
        self.together.close()
        # When stopped, a thread that waits for a host's answer is not waited for.
        self.results += self.pool.end(SAVE_WITHIN if self.stop.is_set() else None)
        # What was still finished on the way out is kept too.
        while self.results:
            with suppress(MedfetchError):
                self._take(*self.results.popleft())

    def _loop(self) -> None:
        while True:
            if self.parked.is_set():
                self._let_end()
            if self.stop.is_set():
                raise InterruptedError
            self._open_next()
            self._refill()
            if not self.shards and not self.next:
                return
            self._begin()
            busy = self.pool.busy or (bool(self.plain) and self._free() <= 0)
            self.pool.allowed = self.connections.look(time.monotonic(), busy)
            self._wait()
            self.under_way -= len(self.results)
            while self.results:
                self._take(*self.results.popleft())
            self._write_down()

    def _let_end(self) -> None:
        """Begins nothing, and gives what is under way a while to come."""
        self.pool.close()
        ends = time.monotonic() + PARK_WITHIN
        while (self.together or self.pool.at_work) and time.monotonic() < ends and not self.stop.is_set():
            if self.together:
                self.together.turn(SHORT, lambda: None)
            self.results += self.pool.take(SHORT)
            while self.results:
                self._take(*self.results.popleft())
            self._write_down()
        self.stop.set()

    # -- shards --------------------------------------------------------------------------------------------------

    def _open_next(self) -> None:
        """Opens a further shard when all entries of the others were taken up, and not much of them is to come: else
        other processes, which may be on other machines, would have nothing to do."""
        if not all(shard.exhausted for shard in self.shards):
            return
        if sum(shard.coming for shard in self.shards) >= self._enough:
            return
        self.next = self.next or self.more()
        now = time.monotonic()
        if self.next is None or now < self.next_try:
            return
        if shard := open_shard(self.next, self.means):
            self.shards.append(shard)
            self.next = None
        elif self.next.shared:
            self.ended(self.next.number, False)
            self.next = None
        else:
            self.next_try = now + LEASE
            self.reporter.emit(Event("note", reason=f"waiting for another process that works on {self.next.path.name}"))

    def _write_down(self) -> None:
        for shard in self.shards:
            shard.write_down()
        for shard in [shard for shard in self.shards if shard.ended]:
            self.shards.remove(shard)
            shard.close()
            self.ended(shard.job.number, True)
        for shard in [shard for shard in self.shards if shard.lost]:
            self._leave(shard)

    def _leave(self, shard: OpenShard) -> None:
        """To whoever has it now; what comes of its entries that are under way is not written down."""
        self.reporter.emit(Event("note", reason=f"another process has taken over {shard.job.path.name}"))
        self.plain = deque(each for each in self.plain if each[0].shard is not shard)
        self.ready = deque(each for each in self.ready if each[0].shard is not shard)
        self.shards.remove(shard)
        shard.close()
        self.ended(shard.job.number, False)

    @property
    def _enough(self) -> int:
        """Requests that are kept ready."""
        return max(LEAST, AHEAD * self.pool.allowed)

    def _refill(self) -> None:
        """Takes up further entries while there is little to fetch, and hands out what is ready."""
        most = self._enough
        for shard in self.shards:
            while not shard.exhausted and len(self.ready) + len(self.plain) + self.pool.waiting < most:
                for active in shard.take_up(most):
                    self._start(active)
        # Of a large series a few at a time, so that what is done is written down now and then.
        number = min(len(self.ready), 2 * most - self.pool.waiting)
        if number > 0:
            self.under_way += number
            self.pool.put([self.ready.popleft() for _ in range(number)])

    # -- what is under way ---------------------------------------------------------------------------------------

    def _free(self) -> int:
        """Connections that are allowed and not in use."""
        return self.pool.allowed - self.pool.at_work - len(self.together)

    def _begin(self) -> None:
        """Begins plain files, as far as connections go."""
        while self.plain and self._free() > 0:
            active, file = self.plain[0]
            shard = active.shard
            if not shard.fetching.start(file, shard.route(active), partial(self._done, active)):
                return
            self.under_way += 1
            self.plain.popleft()

    def _wait(self) -> None:
        """Waits a moment for what comes of all that is under way."""
        if self.together:
            self.together.turn(SHORT if self.pool.at_work else LOOK, self._begin)
            self.results += self.pool.take(0)
        else:
            self.results += self.pool.take(LOOK if self.under_way else SHORT)

    def _done(self, active: Active, result: Result) -> None:
        self.results.append((active, result))

    def _call(self, task: Task) -> tuple[Active, Result]:
        """A thread's work."""
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

    # -- what to do next with an entry ---------------------------------------------------------------------------

    def _start(self, active: Active) -> None:
        entry, fetching, route = active.entry, active.shard.fetching, active.shard.route(active)
        if isinstance(entry, RemoteFile):
            self._want(active, entry)
            return
        archive = entry.archive
        # Of a series of which most is here, the rest is fetched singly.
        if archive and not active.singly and 2 * len(active.names) <= (entry.files or 0):
            self._queue(active, lambda: fetching.series(entry, archive, route))
        else:
            self._queue(active, lambda: fetching.members(entry, route))

    def _want(self, active: Active, file: RemoteFile) -> None:
        fetching, route = active.shard.fetching, active.shard.route(active)
        if fetching.is_plain(file, route):
            active.open += 1
            self.plain.append((active, file))
        else:
            self._queue(active, lambda: fetching.whole(file, route))

    def _queue(self, active: Active, call: Callable[[], Result]) -> None:
        active.open += 1
        self.ready.append((active, call))

    def _take(self, active: Active, result: Result) -> None:
        """What came of a task: files, a group's members, the entry as another route has it, or an error."""
        active.open -= 1
        if isinstance(result, InterruptedError):
            return
        if isinstance(result, (DiskFull, CacheError)):
            raise result
        if isinstance(result, MedfetchError):
            active.errors.append(result)
        elif isinstance(result, Files):
            self.refused_in_a_row = 0
            active.shard.stage(active, result)
        elif isinstance(result, Begun):
            fetching, route = active.shard.fetching, active.shard.route(active)
            self._queue(active, lambda: fetching.whole(result.file, route, result.attempt))
        elif isinstance(result, list):
            self._want_missing(active, result)
        elif isinstance(result, (RemoteFile, Group)):
            active.entry, active.errors, active.singly = result, [], False
            self._start(active)
        if not active.open:
            self._settle(active)

    def _want_missing(self, active: Active, members: list[RemoteFile]) -> None:
        for member in members:
            if member.key in active.keys or active.names & {member.path, f"{member.path}/{member.key}.dcm"}:
                continue
            self._want(active, member)

    def _settle(self, active: Active) -> None:
        """Nothing of the entry is under way: it is complete, or goes on another way."""
        entry = active.entry
        if isinstance(entry, Group) and not active.errors and len(active.names) < (entry.files or 0):
            active.errors.append(MedfetchError(f"{entry.path}: {len(active.names)} of {entry.files} files"))
        if not active.errors:
            active.shard.complete(active)
        elif any(isinstance(error, CacheError) for error in active.errors):
            active.shard.fail(active)  # what is in the way here is so whoever sends the bytes
        elif isinstance(entry, Group) and entry.archive and not active.singly:
            self.reporter.emit(Event("retry", entry.path, reason=f"{active.errors[0].message}; instance by instance"))
            active.singly, active.errors = True, []
            self._start(active)
        else:
            self._next_route(active)

    def _next_route(self, active: Active) -> None:
        """Goes on with the next route of the part, or gives the entry up."""
        error, path, shard = active.errors[-1], active.entry.path, active.shard
        if active.route + 1 < len(shard.job.routes[active.part]):
            before, active.route = shard.route(active), active.route + 1
            after, entry = shard.route(active), active.entry
            reason = f"{error.message}; going on with {after['source']}"
            self.reporter.emit(Event("failover", path, reason=reason, source=before["source"]))
            self._queue(active, lambda: shard.fetching.same_from(after, entry))
            return
        shard.fail(active)
        self.refused_in_a_row += isinstance(error, (Refused, Unreachable))
        if self.refused_in_a_row >= REFUSALS:
            raise type(error)(f"{REFUSALS} in a row failed alike: {error.message}", hint="later, run it again")
