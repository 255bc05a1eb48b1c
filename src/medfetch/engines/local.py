"""Shards on this machine: a few worker processes, many threads in each. The coordinator of a run lives here.

The disk is the truth: a worker that dies loses nothing, its shard is given to another.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

from medfetch.errors import MedfetchError
from medfetch.jobs import ShardJob
from medfetch.pace import shared_file
from medfetch.progress import Event

GRACE = 4.5
"""Seconds that all workers together get to save their state: who sends SIGTERM often kills some seconds later."""
DEATHS = 10
"""Workers that may die, with no file done in between, before the run gives up."""


@dataclass(slots=True)
class Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    jobs: dict[int, ShardJob] = field(default_factory=dict)
    """By number, what it works on: the next one is asked for before the last is through."""
    asks: bool = False


def run(jobs: Iterable[ShardJob], processes: int, show: Callable[[Event], None]) -> None:
    """Works off all jobs; whatever ends it early (an error, a signal's exception), the workers save their state.

    Raises: the error that ended a shard early.
    """
    open_jobs = deque(jobs)
    deaths = 0

    def hear(event: Event) -> None:
        nonlocal deaths
        if event.files:
            deaths = 0
        show(event)

    workers: list[Worker] = []
    with shared_file() as rate:
        try:
            for _ in range(min(processes, len(open_jobs))):
                workers.append(_start(rate.fileno()))
            while open_jobs or any(worker.jobs for worker in workers):
                for worker in workers:
                    if worker.asks and open_jobs:
                        with suppress(ConnectionError):  # a worker that just died is noticed below
                            worker.connection.send(open_jobs[0])
                        # Only now: a signal may come while half of a job is sent.
                        job = open_jobs.popleft()
                        worker.jobs[job.number], worker.asks = job, False
                for connection in wait([worker.connection for worker in workers]):
                    worker = next(worker for worker in workers if worker.connection is connection)
                    if not _hear(worker, hear):
                        deaths += 1
                        open_jobs.extendleft(worker.jobs.values())
                        if deaths > DEATHS:
                            raise MedfetchError(
                                f"{deaths} worker processes died, the last with {worker.process.wait()}"
                            )
                        show(Event("note", reason=f"worker {worker.process.pid} died; its work is taken over"))
                        workers[workers.index(worker)] = _start(rate.fileno())
        finally:
            _end(workers, show)


def _start(rate: int) -> Worker:
    """A new worker; ``rate`` is the descriptor of what keeps all of them to one rate."""
    ours, theirs = Pipe()
    # -P: nothing in the folder where medfetch happens to be run may be imported in place of a library.
    command = [sys.executable, "-P", "-m", "medfetch.engines.worker", str(theirs.fileno()), str(rate)]
    try:
        process = subprocess.Popen(command, pass_fds=[theirs.fileno(), rate], stdin=subprocess.DEVNULL)
    except OSError as error:
        raise MedfetchError(f"a worker process cannot be started: {error}") from error
    theirs.close()
    return Worker(process, ours)


def _hear(worker: Worker, show: Callable[[Event], None]) -> bool:
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
    return True


def _end(workers: list[Worker], show: Callable[[Event], None]) -> None:
    """Lets busy workers save their state, and ends all; who is not ready in time is killed, which loses little."""
    ends = time.monotonic() + GRACE
    for worker in workers:
        with suppress(ConnectionError):
            if worker.jobs:
                worker.connection.send("stop")
            worker.connection.send(None)
    for worker in workers:
        with suppress(MedfetchError, InterruptedError):
            # Hear them out, so that none blocks on a full pipe.
            while worker.connection.poll(max(0.0, ends - time.monotonic())) and _hear(worker, show):
                pass
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=max(0.0, ends - time.monotonic()))
        worker.process.kill()
        worker.process.wait()
        worker.connection.close()
