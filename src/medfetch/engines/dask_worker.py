"""What a Dask worker does for medfetch: shards, one task each, with little more than a word as the result.

The plugin is a run's presence in a worker's process: its connections, its umask, its sign of life for others.
Whatever closes the worker, or ends the run, takes the plugin away, which lets what is under way be saved. Dask repeats
tasks that had ended on a worker that is lost: the disk is looked at first, where such a shard is marked as ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import threading
import time
from contextlib import ExitStack
from dataclasses import astuple
from typing import Any

from distributed import WorkerPlugin, get_worker

from medfetch import __version__, cache, durability, presence, shares
from medfetch.credentials.guard import redacted
from medfetch.errors import CacheError, MedfetchError
from medfetch.hosts import Hosts
from medfetch.jobs import PARK_WITHIN, ShardJob
from medfetch.pace import Pace
from medfetch.presence import Presence
from medfetch.progress import Counting, Event
from medfetch.work import Stops, run_shards

REPORT_EVERY = 0.5
"""Seconds between two reports of bytes to the scheduler."""
IDLE, LOOK_EVERY = 5.0, 0.5
"""Seconds without a shard after which a process is none of those at work any more; seconds between two looks."""
SAVE_WITHIN = 10.0
"""Seconds that shards get to be saved before their worker ends."""

Outcome = tuple[str, Exception | None]
"""``ended``: everything was tried; ``passed``: somebody else has it, or had it; ``stopped``: saved on the way, for
another to go on with; ``failed``, with the error that ends the run."""


class Helper(WorkerPlugin):  # type: ignore[misc]  # distributed is half typed
    """A run, as it is in one worker's process. It is made anew there from its name, its umask and its version."""

    def __init__(self, name: str, umask: int) -> None:
        self.name, self.umask, self.version = name, umask, __version__

    def setup(self, worker: Any) -> None:
        self.worker = worker
        self.stops = Stops()
        self._changed = threading.Condition()
        self._shards: set[int] = set()
        """In work: one, or as many as the worker has threads."""
        self._hosts: Hosts | None = None
        """Also the sign that the run has begun here."""
        self._me: Presence | None = None

    async def teardown(self, worker: Any) -> None:
        self.stops.now.set()
        await asyncio.to_thread(self.wait, SAVE_WITHIN)

    def wait(self, seconds: float) -> None:
        """Until no shard is in work any more, and where the run was stopped, all is closed; at the most so long."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._hosts if self.stops.now.is_set() else self._shards), seconds)

    def work(self, job: ShardJob) -> Outcome:
        if self.version != __version__:
            problem = f"{platform.node()} has medfetch {__version__}, this run is of {self.version}"
            return "failed", MedfetchError(problem, hint="all workers need the same medfetch")
        if not job.path.exists():
            problem = f"the Dask worker on {platform.node()} does not see {job.path}"
            return "failed", CacheError(problem, hint="the cache must be in a folder that all workers share")
        with self._changed:
            if self.stops.now.is_set():
                return "stopped", None
            hosts = self._hosts or self._begin(job)
            self._shards.add(job.number)
        try:
            return self._run(job, hosts)
        finally:
            with self._changed:
                self._shards.discard(job.number)
                self._changed.notify_all()

    def _begin(self, job: ShardJob) -> Hosts:
        """Makes this process one of those that are at work in the home, as others see it."""
        with ExitStack() as stay:
            # Who may read what is written is the coordinator's to say, as for processes that it starts itself.
            stay.callback(os.umask, os.umask(self.umask))
            task = f"{self.worker.name} (Dask)"
            self._me = stay.enter_context(presence.announced(job.home, job.plan, task, shares.job()))
            stay.enter_context(durability.writing(job.home))
            self._hosts = Hosts(cache.hosts_folder(job.home.cache), self.stops.now.is_set)
            stay.callback(self._hosts.close)
            threading.Thread(target=self._stay, args=(stay.pop_all(),), name="medfetch-helper", daemon=True).start()
        return self._hosts

    def _stay(self, stay: ExitStack) -> None:
        """Tells others how far this process is, until it has had nothing to do for a while: nobody might be there any
        more who would say that the run is over."""
        busy = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait(LOOK_EVERY)
                if self._shards:
                    busy = time.monotonic()
                elif self.stops.now.is_set() or time.monotonic() - busy > IDLE:
                    stay.close()
                    self._hosts = self._me = None
                    self._changed.notify_all()
                    return
                if self._me:
                    self._me.look(sorted(self._shards))

    def _run(self, job: ShardJob, hosts: Hosts) -> Outcome:
        reporter = Counting(self._send)
        through: list[bool] = []
        done = threading.Event()
        threading.Thread(target=_flush, args=(reporter, done), daemon=True).start()
        try:
            pace = Pace(job.settings.limit_rate, self.stops.now)
            run_shards(job, lambda: None, lambda _, ended: through.append(ended), reporter, self.stops, pace, hosts)
        except InterruptedError:
            return "stopped", None
        except MedfetchError as error:
            return "failed", error
        except Exception as bug:  # must end the run with a message, not go from worker to worker
            logging.getLogger("medfetch.worker").debug("", exc_info=True)
            return "failed", MedfetchError(redacted(f"{type(bug).__name__}: {bug}"))
        finally:
            done.set()
            reporter.flush()
        return "ended" if through == [True] else "passed", None

    def _send(self, event: Event) -> None:
        if self._me:
            self._me.hear(event)
        self.worker.log_event(self.name, astuple(event))


def _flush(reporter: Counting, done: threading.Event) -> None:
    while not done.wait(REPORT_EVERY):
        reporter.flush()


def work(name: str, job: ShardJob) -> Outcome:
    """The task: one shard of the run of that name, in the process that calls it. It takes and returns no secret."""
    plugin: Helper | None = get_worker().plugins.get(name)
    # Taken away: the run or the worker is at its end.
    return plugin.work(job) if plugin else ("stopped", None)


async def park(name: str, dask_worker: Any) -> None:
    """Has a process begin nothing more of a run, and waits a while for what is nearly here."""
    if plugin := dask_worker.plugins.get(name):
        plugin.stops.parked.set()
        await asyncio.to_thread(plugin.wait, PARK_WITHIN)
