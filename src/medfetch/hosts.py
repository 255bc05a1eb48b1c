"""Connections to a host, shared by all medfetch processes on one cache, and what hosts asked us to wait for.

Limits such as PhysioNet's and Zenodo's are for a whole site, so slots are leased in the cache, not counted in a
process. It must not know what is fetched.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from medfetch import leases

IDLE = 3.0
"""Seconds after which an unused slot goes back to the other processes."""
DOWN = 60.0
"""Seconds for which a host that did not answer is not tried at length again."""
TURN = 5.0
"""Seconds after which a slot in use is offered to the other processes."""
POLL = 0.25
"""Seconds between two looks for a slot that another process gave back."""


def host_of(url: str) -> str:
    """``https://user:secret@host:443/path`` → ``host:443``: what may be shown and logged."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


@dataclass(slots=True)
class _Slot:
    """A leased connection; in use, or free until it goes back."""

    lease: leases.Lease
    since: float
    idle_since: float = 0.0


class Hosts:
    """All hosts, as seen from one process."""

    def __init__(self, folder: Path, stopped: Callable[[], bool]) -> None:
        self._folder = folder
        self._stopped = stopped
        self._changed = threading.Condition()
        self._homes: dict[str, Path] = {}
        self._free: dict[str, list[_Slot]] = {}
        self._looked: dict[str, float] = {}
        self._down: dict[str, float] = {}

    def _home(self, host: str) -> Path:
        if host not in self._homes:
            home = self._folder / quote(host, safe="")
            home.mkdir(parents=True, exist_ok=True)
            self._homes[host] = home
        return self._homes[host]

    @contextmanager
    def connection(self, url: str, limit: int) -> Iterator[None]:
        """Waits for one of the ``limit`` slots of the URL's host, and for the end of a pause it asked for.

        Raises: InterruptedError when stopped.
        """
        host = host_of(url)
        slot = self._take(host, limit)
        try:
            yield
        finally:
            self._give(host, slot)

    def _take(self, host: str, limit: int) -> _Slot:
        while not self._stopped():
            pause = self.pause_left(host)
            with self._changed:
                free = self._free.setdefault(host, [])
                if free and not pause:
                    return free.pop()
                # Of the threads that wait, one at a time looks at the disk.
                look = not pause and time.monotonic() - self._looked.get(host, 0) >= POLL
                if not look:
                    self._changed.wait(min(POLL, pause) if pause else POLL)
                    continue
                self._looked[host] = time.monotonic()
            for number in range(limit):
                if lease := leases.take(self._home(host) / f"slot-{number}"):
                    with self._changed:
                        # There may be more: the next one need not wait to look.
                        self._looked[host] = 0
                        self._changed.notify()
                    return _Slot(lease, time.monotonic())
        raise InterruptedError

    def _give(self, host: str, slot: _Slot) -> None:
        now = time.monotonic()
        with self._changed:
            slot.idle_since = now
            if now - slot.since > TURN:
                slot.lease.release()
                self._looked[host] = 0
            else:
                self._free[host].append(slot)
            for held in self._free.values():
                while held and now - held[0].idle_since > IDLE:
                    held.pop(0).lease.release()
            self._changed.notify()

    def close(self) -> None:
        """Gives all slots back."""
        with self._changed:
            for held in self._free.values():
                while held:
                    held.pop().lease.release()

    def pause(self, url: str, seconds: float) -> None:
        """Nobody on this cache asks that host for anything for so long (Retry-After)."""
        if seconds <= self.pause_left(host_of(url)):
            return
        path = self._home(host_of(url)) / "pause"
        until = time.time() + seconds
        temporary = path.with_name(f"pause.{os.getpid()}.{threading.get_ident()}")
        temporary.touch()
        os.utime(temporary, (until, until))
        temporary.replace(path)

    def pause_left(self, host: str) -> float:
        """Seconds until the host may be asked again."""
        with suppress(OSError):
            return max(0.0, os.stat(self._home(host) / "pause").st_mtime - time.time())
        return 0.0

    def mark_down(self, url: str) -> None:
        self._down[host_of(url)] = time.monotonic()

    def is_down(self, url: str) -> bool:
        """Whether the host lately did not answer at all: then one attempt is enough."""
        since = self._down.get(host_of(url))
        return since is not None and time.monotonic() - since < DOWN
