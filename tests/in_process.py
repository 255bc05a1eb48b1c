"""A run without worker processes: shard after shard in this process, by what a worker does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from medfetch import cache
from medfetch.engines.feed import Feed
from medfetch.hosts import Hosts
from medfetch.pace import Pace, shared_file
from medfetch.progress import Counting, Event
from medfetch.work import Stops, run_shards


def run(feed: Feed, processes: int, show: Callable[[Event], None], look: Callable[[list[int]], None]) -> None:
    """As ``engines.local.run``, which starts a process or two for each run: more than a rehearsal takes."""
    stops = Stops()

    def ended(number: int, through: bool) -> None:
        (feed.ended if through else feed.passed)(number)

    with shared_file() as rate:
        while job := feed.next():
            with closing(Hosts(cache.hosts_folder(job.home.cache), stops.now.is_set)) as hosts:
                pace = Pace(job.settings.limit_rate, stops.now, rate.fileno())
                run_shards(job, feed.next, ended, Counting(show), stops, pace, hosts)
