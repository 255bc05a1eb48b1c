"""Which shard comes next: all of them to whoever is alone, or what tasks side by side leave to each other.

It must not know what is in a shard, nor how it is worked off.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from medfetch import leases
from medfetch.jobs import ShardJob

LOOK_EVERY = 1.0
"""Seconds between two looks at what the others do."""


class Feed(Protocol):
    """Shards for the workers of one run."""

    def waiting(self) -> int:
        """How many could be worked on by further workers."""

    def next(self) -> ShardJob | None:
        """One to be worked on now, if there is one just then."""

    def back(self, jobs: Iterable[ShardJob]) -> None:
        """These were not ended: their worker died."""

    def ended(self, number: int) -> None:
        """Everything in it was tried."""

    def passed(self, number: int) -> None:
        """Somebody else has it."""

    def over(self) -> bool:
        """Whether there will be none any more, once those that were handed out are through."""


class Queue:
    """One run's own, in their order."""

    def __init__(self, jobs: Iterable[ShardJob]) -> None:
        self._jobs = deque(jobs)

    def waiting(self) -> int:
        return len(self._jobs)

    def next(self) -> ShardJob | None:
        return self._jobs.popleft() if self._jobs else None

    def back(self, jobs: Iterable[ShardJob]) -> None:
        self._jobs.extendleft(jobs)

    def ended(self, number: int) -> None:
        pass

    def passed(self, number: int) -> None:
        pass

    def over(self) -> bool:
        return not self._jobs


class Tasks:
    """A task's own share first, then what others have not begun, and what those leave that die.

    ``shares`` are the plan's shards by share, this task's own first, each in the order in which it is worked off.
    """

    def __init__(self, shares: list[list[ShardJob]]) -> None:
        self._shares = shares
        self._folder = next(job.path.parent for share in shares for job in share)
        self._mine: set[int] = set()
        """Handed out."""
        self._leased: frozenset[str] = frozenset()
        """Leases that are there, also of the dead."""
        self._held: frozenset[int] = frozenset()
        self._next_look = 0.0
        self._passed: dict[int, float] = {}
        """When somebody else turned out to have it."""

    def waiting(self) -> int:
        self._look()
        return sum(self._is_free(job) for share in self._shares for job in share)

    def next(self) -> ShardJob | None:
        self._look()
        own, *others = self._shares
        # Of the others first those that have most left to begin.
        for share in (own, *sorted(others, key=self._begins, reverse=True)):
            for job in share:
                if self._is_free(job):
                    self._mine.add(job.number)
                    return job
        return None

    def back(self, jobs: Iterable[ShardJob]) -> None:
        self._mine -= {job.number for job in jobs}

    def ended(self, number: int) -> None:
        self._mine.discard(number)
        for share in self._shares:
            share[:] = [job for job in share if job.number != number]

    def passed(self, number: int) -> None:
        self._mine.discard(number)
        self._passed[number] = time.monotonic()

    def over(self) -> bool:
        """Also a holder must be known to live: nobody else might be there to take over from one that died."""
        self._look()
        left = [job for share in self._shares for job in share]
        return not self._mine and all(not self._is_free(job) and leases.is_alive(job.lease) for job in left)

    def _begins(self, share: list[ShardJob]) -> int:
        return sum(job.lease.name not in self._leased for job in share)

    def _is_free(self, job: ShardJob) -> bool:
        lately = time.monotonic() - self._passed.get(job.number, -LOOK_EVERY) < LOOK_EVERY
        return not lately and job.number not in self._mine and job.number not in self._held

    def _look(self) -> None:
        """Sees, from one list of the plan's folder, what is held and what has ended."""
        if (now := time.monotonic()) < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        names = frozenset(os.listdir(self._folder))
        for share in self._shares:
            share[:] = [job for job in share if job.ended.name not in names or job.number in self._mine]
        self._leased = frozenset(name for name in names if name.endswith(".lease"))
        leased = (job for share in self._shares for job in share if job.lease.name in self._leased)
        self._held = frozenset(job.number for job in leased if not leases.is_dead(job.lease))
