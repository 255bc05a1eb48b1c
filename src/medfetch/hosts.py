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
from pathlib import Path
from urllib.parse import quote, urlsplit

from medfetch import leases

IDLE = 3.0
"""Seconds after which an unused slot goes back to the other processes."""
DOWN = 60.0
"""Seconds for which a host that did not answer is not tried at length again."""
POLL = 0.1


def host_of(url: str) -> str:
    """``https://user:secret@host:443/path`` → ``host:443``: what may be shown and logged."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


class Hosts:
    """All hosts, as seen from one process."""

    def __init__(self, folder: Path, stopped: Callable[[], bool]) -> None:
        self._folder = folder
        self._stopped = stopped
        self._lock = threading.Lock()
        self._free: dict[str, list[tuple[float, leases.Lease]]] = {}
        self._down: dict[str, float] = {}

    def _home(self, host: str) -> Path:
        home = self._folder / quote(host, safe="")
        home.mkdir(parents=True, exist_ok=True)
        return home

    @contextmanager
    def connection(self, url: str, limit: int) -> Iterator[None]:
        """Waits for one of the ``limit`` slots of the URL's host, and for the end of a pause it asked for."""
        host = host_of(url)
        lease = self._take(host, limit)
        try:
            yield
        finally:
            with self._lock:
                self._free.setdefault(host, []).append((time.monotonic(), lease))

    def _take(self, host: str, limit: int) -> leases.Lease:
        home = self._home(host)
        while True:
            pause = self.pause_left(host)
            with self._lock:
                if not pause and (free := self._free.get(host)):
                    return free.pop()[1]
                self._give_back_idle()
            if not pause:
                for number in range(limit):
                    if lease := leases.take(home / f"slot-{number}"):
                        return lease
            if self._stopped():
                raise InterruptedError
            time.sleep(min(POLL, pause or POLL))

    def _give_back_idle(self) -> None:
        now = time.monotonic()
        for held in self._free.values():
            while held and now - held[0][0] > IDLE:
                held.pop(0)[1].release()

    def close(self) -> None:
        """Gives all slots back."""
        with self._lock:
            for held in self._free.values():
                while held:
                    held.pop()[1].release()

    def pause(self, url: str, seconds: float) -> None:
        """Nobody on this cache asks that host for anything for so long (Retry-After)."""
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
