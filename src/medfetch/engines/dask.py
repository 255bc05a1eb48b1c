"""Shards on Dask's workers, which may come and go: on this machine, or on nodes of a cluster.

The coordinator hands out shards and hears what becomes of them. The disk is the truth, not Dask's memory: a shard whose
worker is lost is taken by another, which goes on from what is there. It must not know how workers are started.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from medfetch.engines.feed import Feed
from medfetch.engines.local import DEATHS, GRACE, POLL
from medfetch.engines.pools import Pool, opened
from medfetch.errors import MedfetchError, Stopped
from medfetch.jobs import PARK_WITHIN, ShardJob
from medfetch.progress import Event

if TYPE_CHECKING:
    from distributed import Client, Future

    from medfetch.engines.dask_worker import Helper

AHEAD = 64
"""Shards that are with Dask at once, at least, and for each thread of its workers twice: an adaptive cluster grows by
what waits there, and what is still here may be taken by others who work on the plan."""
RETRIES = 3
"""Further workers that Dask tries where one cannot even begin."""
SILENCE = 30.0
"""Seconds without any worker after which that is said."""

GONE = "the Dask scheduler is gone"


class Dask:
    """An engine whose workers are Dask's; the pool is opened when there is work, and closed with ``close``."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rest = ExitStack()
        self._client: Client | None = None

    def processes(self, jobs: int | None) -> int:
        """Among how many processes connections are shared out: where their number is not given, each worker has as
        many as its host bears, for hosts' limits are kept over all of them."""
        return self._pool.most if jobs else 1

    def close(self) -> None:
        self._rest.close()

    def run(self, feed: Feed, processes: int, show: Callable[[Event], None], look: Callable[[list[int]], None]) -> None:
        """As ``Engine.run``. ``processes`` says nothing here: the pool's workers are as many as there are."""
        if self._client is None:
            self._client = self._rest.enter_context(opened(self._pool))
        _Run(self._client, self._pool, feed, show, look).run()


class _Run:
    """One plan's shards."""

    def __init__(
        self, client: Client, pool: Pool, feed: Feed, show: Callable[[Event], None], look: Callable[[list[int]], None]
    ) -> None:
        self.client, self.pool, self.feed, self.show, self.look = client, pool, feed, show, look
        self.name = f"medfetch-{secrets.token_hex(8)}"
        self.heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        """Events, and futures that are done, in the order in which the scheduler told of them."""
        self.jobs: dict[Future, ShardJob] = {}
        self.deaths = 0
        self.threads: int | None = 0
        """Of all workers, when they were last counted."""
        self.next_look = 0.0
        self.alone_since = time.monotonic()

    def run(self) -> None:
        from medfetch.engines.dask_worker import Helper

        client, parked = self.client, False
        client.subscribe_topic(self.name, lambda told: self.heard.put(Event(*told[1])))
        umask = os.umask(0o077)
        os.umask(umask)
        try:
            self._send(Helper(self.name, umask))
            self._loop()
        except Stopped as stopped:
            parked = stopped.exit_code == Stopped.PARKED
            raise
        finally:
            self._end(parked)

    def _send(self, helper: Helper) -> None:
        """To all workers, and those that come later. Raises: MedfetchError where one cannot take it."""
        try:
            self.client.register_plugin(helper, name=self.name)
        except MedfetchError:  # a signal
            raise
        except Exception as error:  # of whatever kind was raised over there, or only its text
            raise _unable(error) from None

    def _loop(self) -> None:
        while True:
            self._look_for_workers()
            self._hand_out()
            if not self.jobs and self.feed.over():
                return
            with suppress(queue.Empty):
                self._hear(self.heard.get(timeout=POLL))
                while True:
                    self._hear(self.heard.get_nowait())
            self.look(sorted(job.number for job in self.jobs.values()))

    def _hand_out(self) -> None:
        from medfetch.engines.dask_worker import work

        while len(self.jobs) < max(AHEAD, 2 * (self.threads or 0)) and (job := self.feed.next()):
            try:
                future = self.client.submit(work, self.name, self._told(job), pure=False, retries=RETRIES)
            except (OSError, RuntimeError):
                raise MedfetchError(GONE, hint="the same command goes on from there") from None
            self.jobs[future] = job
            future.add_done_callback(self.heard.put)

    def _told(self, job: ShardJob) -> ShardJob:
        """With its part of the rate, for nobody holds workers on several machines to one."""
        rate = job.settings.limit_rate
        if not rate:
            return job
        return replace(job, settings=replace(job.settings, limit_rate=max(1, rate // self.pool.most)))

    def _hear(self, message: Any) -> None:
        """Raises: the error that ended a shard early; MedfetchError where Dask itself failed."""
        if isinstance(message, Event):
            if message.files:
                self.deaths = 0
            self.show(message)
            return
        job = self.jobs.pop(message, None)
        if job is None:
            return
        if message.status != "finished":
            self.feed.back([job])
            self._lost(message)
            return
        what, error = message.result()
        if error:
            raise error
        if what == "ended":
            self.feed.ended(job.number)
        else:
            # Somebody else has it, or its worker is about to end: in a moment it may be had.
            self.feed.passed(job.number)

    def _lost(self, future: Future) -> None:
        """Raises: MedfetchError, unless another worker may do."""
        from distributed.scheduler import KilledWorker

        if future.status != "error":
            raise MedfetchError(GONE, hint="the same command goes on from there")
        error = future.exception()
        self.deaths += 1
        if not isinstance(error, KilledWorker):
            raise _unable(error)
        if self.deaths > DEATHS:
            raise MedfetchError(f"workers died over {self.deaths} shards, with no file done in between: {error}")
        self.show(Event("note", reason="Dask's workers died over a shard; it is taken over"))

    def _look_for_workers(self) -> None:
        """Counts them now and then. Raises: MedfetchError where the scheduler does not answer."""
        if (now := time.monotonic()) < self.next_look:
            return
        self.next_look = now + POLL
        try:
            self.threads = sum(self.client.nthreads().values()) if self.client.status == "running" else None
        except OSError:
            self.threads = None
        if self.threads is None:
            raise MedfetchError(GONE, hint="the same command goes on from there")
        if self.threads:
            self.alone_since = now
        elif now - self.alone_since > SILENCE:
            self.alone_since = now
            self.show(Event("note", reason=f"no Dask worker yet: {self.pool.hint}"))

    def _end(self, parked: bool) -> None:
        """Takes back what is open, and waits until the workers have saved their state, though not for ever."""
        for future in self.jobs:
            future.release()
        away = threading.Thread(target=self._take_away, args=[parked], daemon=True)
        away.start()
        away.join(GRACE + (PARK_WITHIN if parked else 0))
        with suppress(queue.Empty):
            while True:
                if isinstance(message := self.heard.get_nowait(), Event):
                    self.show(message)

    def _take_away(self, parked: bool) -> None:
        from medfetch.engines.dask_worker import park

        # Who is gone need not be told.
        if parked:
            with suppress(Exception):
                self.client.run(park, self.name)
        with suppress(Exception):
            self.client.unregister_worker_plugin(self.name)
            self.client.unsubscribe_topic(self.name)


def _unable(error: BaseException) -> MedfetchError:
    kind = "" if type(error) is Exception else f"{type(error).__name__}: "
    return MedfetchError(
        f"a Dask worker cannot work: {kind}{error}",
        hint="all workers need the same medfetch and the same Python",
    )
