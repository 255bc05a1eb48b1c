"""A run without worker processes: shard after shard in this process, by what a worker does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing

from medfetch import cache
from medfetch.hosts import Hosts
from medfetch.jobs import ShardJob
from medfetch.pace import Pace, shared_file
from medfetch.progress import Counting, Event
from medfetch.work import run_shards


def run(jobs: Iterable[ShardJob], processes: int, show: Callable[[Event], None]) -> None:
    """As ``engines.local.run``, which starts a process or two for each run: more than a rehearsal takes."""
    waiting, stop = deque(jobs), threading.Event()
    with shared_file() as rate:
        while waiting:
            job = waiting.popleft()
            with closing(Hosts(cache.hosts_folder(job.home.cache), stop.is_set)) as hosts:
                pace = Pace(job.settings.limit_rate, stop, rate.fileno())
                more = lambda: waiting.popleft() if waiting else None  # noqa: E731
                run_shards(job, more, lambda number: None, Counting(show), stop, pace, hosts)
