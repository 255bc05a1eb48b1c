"""medfetch without processes: commands in this one, and shard after shard by what a worker does."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

from click.testing import CliRunner
from running import Medfetch, Ran

from medfetch import cache
from medfetch.cli import group
from medfetch.engines import local
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


class Command(Medfetch):
    """As ``running.Medfetch``, but in this process: a tenth of its time. What a test patches, it sees; what only a
    process does (signals, workers, other imports) is not tried out."""

    def __init__(self, real: Medfetch, monkeypatch: Any) -> None:
        super().__init__(real.folder, real.environment)
        monkeypatch.setattr(local, "run", run)
        monkeypatch.chdir(self.folder)

    def __call__(self, *arguments: object, code: int | None = 0, wrap: tuple[str, ...] = (), **more: str) -> Ran:
        assert not wrap
        environment = {name: None for name in os.environ if name.startswith("MEDFETCH_")}
        done = CliRunner().invoke(group, [*map(str, arguments)], env={**environment, **self.environment, **more})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        ran = Ran(done.exit_code, done.stdout, done.stderr)
        assert code in (None, ran.code), f"exit {ran.code}, expected {code}\n{ran.out[-2000:]}\n{ran.err[-4000:]}"
        return ran
