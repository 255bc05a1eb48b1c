"""medfetch without processes: commands in this one, and shard after shard by what a worker does."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from running import Medfetch, Ran

from medfetch import cache, config
from medfetch.cli import group
from medfetch.config import Settings
from medfetch.engines import local
from medfetch.engines.feed import Feed
from medfetch.hosts import Hosts
from medfetch.pace import Pace, shared_file
from medfetch.progress import Counting, Event
from medfetch.sandbox import Sandbox
from medfetch.work import Stops, run_shards


def rehearsing(box: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Settings:
    """Settings of a person who has every log-in, at a stand-in for all hosts; shards are worked off in this process.

    ``more``: further settings.
    """
    monkeypatch.setattr(local, "run", run)
    own = config.load(cache=folder / "cache", reserve=0, processes=1, **more)
    endpoints = {**box.endpoints, "sandbox": box.address}
    return replace(own.as_sandboxed(endpoints, box.made_up), data=folder / "data", backoff=0.01)


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
