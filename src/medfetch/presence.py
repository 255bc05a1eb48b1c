"""Who is at work in a home: one run alone, or tasks of a job array side by side.

The home's lease is held by whoever is alone, and by tasks only while they enter or leave: so one at a time decides what
there is to do, writes the ledger, and sees who else is there. Every run has a file in ``tasks/`` meanwhile, with its
signs of life and how far it is. It must not know plans, databases or the network.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medfetch import leases, storage
from medfetch.cache import Home
from medfetch.journal import Journal
from medfetch.progress import Display, Event, counted

POLL = 0.5
"""Seconds between two looks for a lease that somebody else holds."""
NEWS_EVERY = 10.0
"""Seconds between two reports of a run on how far it is."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as its file says."""

    path: Path
    alive: bool
    silent: float
    """Seconds since its last sign of life."""
    said: Mapping[str, Any]

    @property
    def plan(self) -> str:
        return str(self.said.get("plan"))

    @property
    def host(self) -> str:
        return str(self.said["machine"]).partition("/")[0]

    def summary(self) -> dict[str, Any]:
        """For people and scripts: who works on what, since when, how fast."""
        keys = ("pid", "job", "task", "plan", "since", "shards", "files", "bytes", "rate")
        seconds = round(self.silent, 1)
        return {"host": self.host, **{key: self.said.get(key) for key in keys}, "alive": self.alive, "silent": seconds}

    def __str__(self) -> str:
        job = f", job {self.said['job']}" if self.said.get("job") else ""
        task = f"task {self.said['task']}" if self.said.get("task") else "a run"
        return f"{task} on {self.host} (process {self.said['pid']}{job})"


def runs(home: Home) -> list[Run]:
    """All that have a file: those at work, and those that died at it since somebody was last alone."""
    found = []
    for path in sorted(home.tasks.glob("*.task")):
        said = leases.owner(path)
        if said and "machine" in said:
            found.append(Run(path, not leases.is_dead(path), leases.silence(path), said))
    return found


def tasks(home: Home) -> list[Run]:
    """Tasks that are at work. Who is alone is known by the home's lease."""
    return [run for run in runs(home) if run.alive and run.said.get("task")]


def boots(home: Home) -> set[str]:
    """The starts of machines (``storage.boot``) on which somebody is at work."""
    machines = [str(run.said["machine"]) for run in runs(home) if run.alive]
    return {machine.split("/")[1] for machine in machines if "/" in machine}


@contextmanager
def entrance(home: Home, display: Display, kept_out_by: Callable[[Run], bool]) -> Iterator[list[Run]]:
    """Holds a home's lease, once no task is at work that keeps us out; which are. Waits, and says for whom.

    Raises: CacheError, DiskFull.
    """
    said = False
    with storage.disk_errors(home.root):
        while True:
            lease = leases.take(home.lease)
            if lease is not None:
                others = tasks(home)
                in_the_way = [run for run in others if kept_out_by(run)]
                if not in_the_way:
                    break
                lease.release()
            if not said:
                said = True
                who = str(in_the_way[0]) if lease else _holder(home.lease)
                text = f"waiting for another medfetch, {who}, in {home.root}"
                display.say("note", {"reason": text}, text)
            display.look()
            time.sleep(POLL)
    try:
        yield others
    finally:
        lease.release()


@contextmanager
def turn(path: Path, display: Display, what: str) -> Iterator[None]:
    """Holds a lease while ``what`` is done that one at a time does; waits for another, and says so.

    Raises: CacheError, DiskFull.
    """
    said = False
    with storage.disk_errors(path):
        while True:
            # Whoever failed at it before us has removed the folder, if it was empty.
            path.parent.mkdir(parents=True, exist_ok=True)
            if (lease := leases.take(path)) is not None:
                break
            if not said:
                said = True
                text = f"waiting for another medfetch, {_holder(path)}, which {what}"
                display.say("note", {"reason": text}, text)
            display.look()
            time.sleep(POLL)
    try:
        yield
    finally:
        lease.release()


def _holder(path: Path) -> str:
    owner = leases.owner(path) or {}
    return f"process {owner.get('pid', 'unknown')} on {str(owner.get('machine', 'unknown')).partition('/')[0]}"


@contextmanager
def alone(home: Home, display: Display) -> Iterator[None]:
    """Holds a home with nobody else at work there; waits for others, and says so."""
    with entrance(home, display, lambda run: True):
        yield


@contextmanager
def alone_now(home: Home) -> Iterator[bool]:
    """Keeps everybody out of a home meanwhile; False, and nothing is held, where somebody is at work."""
    lease = leases.take(home.lease)
    try:
        yield lease is not None and not tasks(home)
    finally:
        if lease:
            lease.release()


def clear(home: Home) -> None:
    """Forgets those that died."""
    for run in runs(home):
        if not run.alive:
            run.path.unlink(missing_ok=True)


@dataclass(slots=True)
class Presence:
    """This run, as others see it; hears what its workers tell."""

    lease: leases.Lease
    journal: Journal
    files: int = 0
    bytes: int = 0
    failed: int = 0
    retried: int = 0
    _told: float = field(default_factory=time.monotonic)
    _before: int = 0

    def hear(self, event: Event) -> None:
        self.files += event.files
        self.bytes += event.bytes
        self.failed += event.kind == "failed"
        self.retried += event.kind == "retry"

    def note(self, *, last: bool = False) -> None:
        """Into the journal, how far it is."""
        self.journal.note(self.bytes, self.files, self.failed, self.retried, last=last)

    def look(self, shards: list[int]) -> None:
        """Reports now and then, with the shards that are in work."""
        self.note()
        if (elapsed := time.monotonic() - self._told) >= NEWS_EVERY:
            rate = max(0, round((self.bytes - self._before) / elapsed))
            self._told, self._before = time.monotonic(), self.bytes
            self.lease.tell(files=self.files, bytes=self.bytes, rate=rate, shards=shards)


@contextmanager
def announced(home: Home, plan: str, task: str | None, job: str | None) -> Iterator[Presence]:
    """Shows this run to all others meanwhile."""
    path = home.tasks / f"{secrets.token_hex(8)}.task"
    with storage.disk_errors(path):
        lease = leases.take(path, plan=plan, task=task, job=job, since=time.time(), files=0, bytes=0)
    assert lease is not None, "nobody else has that name"
    me = Presence(lease, Journal(home, plan=plan, task=task, job=job))
    try:
        yield me
    finally:
        me.note(last=True)
        lease.release()


def others(found: list[Run]) -> str:
    """``2 others are at work: task 3/8 on n2 (process 17, job 5_3), …``"""
    names = ", ".join(map(str, found[:3])) + (", …" if len(found) > 3 else "")
    return f"{counted(len(found), 'other')} at work: {names}"
