"""Connections to a host, shared by all medfetch processes on one cache, and what hosts asked us to wait for.

Limits such as PhysioNet's and Zenodo's are for a whole site, so slots are leased in the cache, not counted in a
process. A host counts open connections, not requests: a slot goes back only after its connection is closed. It must
not know what is fetched, nor by which client.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from medfetch import leases

IDLE = 3.0
"""Seconds after which an unused slot goes back to the other processes."""
DOWN = 60.0
"""Seconds for which a host that did not answer is not tried at length again."""
TURN = 2.0
"""Seconds after which a slot in use is given to a process that has none."""
POLL = 0.25
"""Seconds between two looks for a slot that another process gave back."""
LOOK = 0.1
"""Seconds between two looks at what other processes tell: a pause, or that they have no slot."""
SETTLE = 0.02
"""Seconds between the end of a connection and another one in its place, so that the host sees them in that order."""


def host_of(url: str) -> str:
    """``https://user:secret@host:443/path`` → ``host:443``: what may be shown and logged."""
    # By hand: urlsplit takes ten times as long, and this is asked several times for every file.
    authority = url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    return authority.rpartition("@")[2].lower()


class Client(Protocol):
    """What holds a connection open between two requests."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Client)


@dataclass(slots=True)
class Slot:
    """A leased connection, with the client that holds it open."""

    lease: leases.Lease
    since: float
    idle_since: float = 0.0
    _client: Client | None = None

    def client(self, kind: type[C], make: Callable[[], C]) -> C:
        """The slot's client; one of another kind is closed first, for a slot is one connection."""
        if not isinstance(self._client, kind):
            self.close()
            self._client = made = make()
            return made
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Host:
    """One host, as seen from one process."""

    def __init__(self, home: Path) -> None:
        home.parent.mkdir(parents=True, exist_ok=True)
        if not home.exists():
            home.mkdir(exist_ok=True)
            # Limits are shared by all who share the cache, also while data are fetched that are one person's.
            home.chmod(stat.S_IMODE(home.parent.stat().st_mode))
        self._home, self._pause, self._hunger = home, home / "pause", home / "hungry"
        self._changed = threading.Condition()
        self._free: list[Slot] = []
        self._held = 0
        self._closed = False
        self._next_try = 0.0
        """When the disk may be asked for a slot again."""
        self._next_number = 0
        """Of the slot that is tried first."""
        self._next_look = 0.0
        self._paused_until = 0.0
        self._others_hungry_until = 0.0
        self._seen: dict[Path, int | None] = {self._hunger: _written(self._hunger)}
        """What was written last, as far as it is known here."""
        self.down_since: float | None = None

    def take(self, limit: int, stopped: Callable[[], bool]) -> Slot:
        """Raises: InterruptedError when stopped."""
        while not stopped():
            if slot := self.offer(limit):
                return slot
            with self._changed:
                pause = self._pause_left()
                if pause or not self._free:
                    self._changed.wait(min(POLL, pause) if pause else POLL)
        raise InterruptedError

    def offer(self, limit: int) -> Slot | None:
        """A slot, to be given back by ``give``, if there is one just now and the host did not ask for a pause."""
        with self._changed:
            if self._pause_left():
                return None
            if self._free:
                return self._free.pop()
            # Of those that want one, one at a time looks at the disk.
            now = time.monotonic()
            if now < self._next_try:
                return None
            self._next_try = now + POLL
        # From where one was found last: all before it are taken, and each look costs a millisecond.
        first = self._next_number
        for number in (*range(first, limit), *range(min(first, limit))):
            if lease := leases.take(self._home / f"slot-{number}"):
                with self._changed:
                    self._held += 1
                    self._next_number = number + 1
                    # There may be more: the next one need not wait to look.
                    self._next_try = 0
                    self._changed.notify()
                return Slot(lease, time.monotonic())
        if not self._held:
            self._write(self._hunger, "")
        return None

    def give(self, slot: Slot) -> None:
        with self._changed:
            now = slot.idle_since = time.monotonic()
            self._hear(now)
            turn = now < self._others_hungry_until and now - slot.since > TURN
            if turn:
                # One will do, and it is not for ourselves.
                self._others_hungry_until = 0
                self._next_try = now + 2 * POLL
            keep = not turn and not self._closed
            if keep:
                self._free.append(slot)
                self._changed.notify()
        if not keep:
            self._release([slot])

    def give_back(self, idle: float) -> None:
        """Lets go of the slots that were not used for so many seconds."""
        with self._changed:
            since = time.monotonic() - idle
            old = [slot for slot in self._free if slot.idle_since <= since]
            self._free = [slot for slot in self._free if slot.idle_since > since]
        self._release(old)

    def close(self) -> None:
        with self._changed:
            self._closed = True
        self.give_back(idle=0)

    def _release(self, slots: list[Slot]) -> None:
        if not slots:
            return
        for slot in slots:
            slot.close()
        time.sleep(SETTLE)
        for slot in slots:
            slot.lease.release()
        with self._changed:
            self._held -= len(slots)

    def pause(self, seconds: float) -> None:
        with self._changed:
            if seconds <= self._pause_left():
                return
            self._paused_until = time.monotonic() + seconds
            self._write(self._pause, f"{seconds:.3f}")
            self._seen[self._pause] = _written(self._pause)

    def _write(self, path: Path, text: str) -> None:
        """Replaces a file: whoever wrote it last may be another user, and all who share the cache are to read it."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
        temporary.write_text(text)
        temporary.chmod(0o666 & self._home.stat().st_mode)
        temporary.replace(path)

    def pause_left(self) -> float:
        with self._changed:
            return self._pause_left()

    def _pause_left(self) -> float:
        now = time.monotonic()
        self._hear(now)
        return max(0.0, self._paused_until - now)

    def _hear(self, now: float) -> None:
        """Looks, though not at every request, at what the other processes on this cache tell."""
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        if self._news(self._pause):
            self._paused_until = max(self._paused_until, now + _left_of(self._pause))
        if self._news(self._hunger):
            self._others_hungry_until = now + 2 * POLL

    def _news(self, path: Path) -> bool:
        """Whether something was written since the last look: changes are watched, so that no two clocks need agree."""
        before, self._seen[path] = self._seen.get(path), _written(path)
        return self._seen[path] not in (before, None)


def _written(path: Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _left_of(pause: Path) -> float:
    """Seconds that are left of a pause; never more than were asked for, whatever the clock does."""
    with suppress(OSError, ValueError):
        seconds = float(pause.read_text())
        return max(0.0, min(seconds, pause.stat().st_mtime + seconds - time.time()))
    return 0.0


class Hosts:
    """All hosts, as seen from one process."""

    def __init__(self, folder: Path, stopped: Callable[[], bool]) -> None:
        self._folder, self._stopped = folder, stopped
        self._lock = threading.Lock()
        self._hosts: dict[str, Host] = {}
        self._closed = threading.Event()

    def _host(self, name: str) -> Host:
        if host := self._hosts.get(name):
            return host
        with self._lock:
            if not self._hosts:
                threading.Thread(target=self._keep, name="idle-connections", daemon=True).start()
            if name not in self._hosts:
                self._hosts[name] = Host(self._folder / quote(name, safe=""))
            return self._hosts[name]

    def _keep(self) -> None:
        """Slots go back even while nobody asks for anything, as when a large archive is unpacked."""
        while not self._closed.wait(IDLE / 4):
            for host in list(self._hosts.values()):
                host.give_back(IDLE)

    @contextmanager
    def connection(self, url: str, limit: int) -> Iterator[Slot]:
        """Waits for one of the ``limit`` slots of the URL's host, and for the end of a pause it asked for.

        Raises: InterruptedError when stopped.
        """
        host = self._host(host_of(url))
        slot = host.take(limit, self._stopped)
        try:
            yield slot
        finally:
            host.give(slot)

    def of(self, url: str) -> Host:
        """An address's host."""
        return self._host(host_of(url))

    def close(self) -> None:
        """Ends all connections that are not in use and gives their slots back; others follow when they are given."""
        self._closed.set()
        for host in list(self._hosts.values()):
            host.close()

    def pause(self, url: str, seconds: float) -> None:
        """Nobody on this cache asks that host for anything for so long (Retry-After)."""
        self._host(host_of(url)).pause(seconds)

    def pause_left(self, host: str) -> float:
        """Seconds until the host may be asked again."""
        return self._host(host).pause_left()

    def mark_down(self, url: str) -> None:
        self._host(host_of(url)).down_since = time.monotonic()

    def is_down(self, url: str) -> bool:
        """Whether the host lately did not answer at all: then one attempt is enough."""
        since = self._host(host_of(url)).down_since
        return since is not None and time.monotonic() - since < DOWN
