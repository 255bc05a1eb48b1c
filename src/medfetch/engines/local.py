"""Shards on this machine: a few worker processes, many threads in each. The coordinator of a run lives here.

The disk is the truth: a worker that dies loses nothing, its shard is given to another.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from medfetch.engines import early
from medfetch.engines.feed import Feed
from medfetch.errors import MedfetchError, Stopped
from medfetch.jobs import PARK_WITHIN, ShardJob
from medfetch.pace import shared_file
from medfetch.progress import Event

POLL = 1.0
"""Seconds without a word of a worker after which the feed is asked again: other tasks may have died, or ended."""
GRACE = 4.5
"""Seconds that all workers together get to save their state: who sends SIGTERM often kills some seconds later."""
DEATHS = 10
"""Workers that may die, with no file done in between, before the run gives up."""


@dataclass(slots=True)
class Worker:
    process: subprocess.Popen[bytes] | early.Forked
    connection: Connection
    jobs: dict[int, ShardJob] = field(default_factory=dict)
    """By number, what it works on: the next one is asked for before the last is through."""
    asks: bool = False


def run(
    feed: Feed, processes: int, show: Callable[[Event], None], look: Callable[[list[int]], None]
) -> None:  # fmt: skip
    """Works off all that ``feed`` gives; whatever ends it early (an error, a signal's exception), the workers save
    their state. ``look`` is told now and then which shards are in work.

    Raises: the error that ended a shard early.
    """
    deaths = 0

    def hear(event: Event) -> None:
        nonlocal deaths
        if event.files:
            deaths = 0
        show(event)

    workers: list[Worker] = []
    grace = GRACE
    with shared_file() as rate:
        try:
            while True:
                busy = sum(bool(worker.jobs) for worker in workers)
                while len(workers) < processes and len(workers) < busy + feed.waiting():
                    workers.append(_start(rate.fileno()))
                for worker in workers:
                    if worker.asks and (job := feed.next()):
                        _hand(job, worker, feed)
                if not any(worker.jobs for worker in workers) and feed.over():
                    return
                for connection in wait([worker.connection for worker in workers], POLL):
                    worker = next(worker for worker in workers if worker.connection is connection)
                    if not _hear(worker, feed, hear):
                        deaths += 1
                        feed.back(worker.jobs.values())
                        if deaths > DEATHS:
                            raise MedfetchError(
                                f"{deaths} worker processes died, the last with {worker.process.wait()}"
                            )
                        show(Event("note", reason=f"worker {worker.process.pid} died; its work is taken over"))
                        workers[workers.index(worker)] = _start(rate.fileno())
                look([number for worker in workers for number in worker.jobs])
        except Stopped as stopped:
            grace += PARK_WITHIN if stopped.exit_code == Stopped.PARKED else 0
            raise
        finally:
            _end(workers, feed, show, grace)


def _hand(job: ShardJob, worker: Worker, feed: Feed) -> None:
    try:
        worker.connection.send(job)
    except ConnectionError:  # a worker that just died is noticed as it is heard
        feed.back([job])
    else:
        # Only now: a signal may come while half of a job is sent.
        worker.jobs[job.number], worker.asks = job, False


def _start(rate: int) -> Worker:
    """A new worker; ``rate`` is the descriptor of what keeps all of them to one rate."""
    if forked := early.take(rate):
        return Worker(*forked)
    ours, theirs = Pipe()
    # -P: nothing in the folder where medfetch happens to be run may be imported in place of a library.
    command = [sys.executable, "-P", "-m", "medfetch.engines.worker", str(theirs.fileno()), str(rate)]
    try:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno(), rate], stdin=subprocess.DEVNULL)
    except OSError as error:
        raise MedfetchError(f"a worker process cannot be started: {error}") from error
    theirs.close()
    return Worker(process, ours)


def _hear(worker: Worker, feed: Feed, show: Callable[[Event], None]) -> bool:
    """One message of a worker; False if it is dead.

    Raises: the error that ended its shard early.
    """
    try:
        message = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.wait()
        return False
    if isinstance(message, Event):
        show(message)
        return True
    if message == "more":
        worker.asks = True
        return True
    what, content = message
    if what == "failed":
        worker.jobs.clear()
        raise content
    del worker.jobs[content]
    feed.ended(content) if what == "ended" else feed.passed(content)
    return True


def _end(workers: list[Worker], feed: Feed, show: Callable[[Event], None], grace: float) -> None:
    """Lets busy workers save their state, and ends all; who is not ready in time is killed, which loses little."""
    ends = time.monotonic() + grace
    for worker in workers:
        with suppress(ConnectionError):
            if worker.jobs:
                worker.connection.send("stop" if grace == GRACE else "park")
            worker.connection.send(None)
    for worker in workers:
        with suppress(MedfetchError, InterruptedError):
            # Hear them out, so that none blocks on a full pipe.
            while worker.connection.poll(max(0.0, ends - time.monotonic())) and _hear(worker, feed, show):
                pass
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=max(0.0, ends - time.monotonic()))
        worker.process.kill()
        worker.process.wait()
        worker.connection.close()
