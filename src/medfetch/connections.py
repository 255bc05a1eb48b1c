"""How many connections are worth having: more while they bring more, fewer when a host resists.

It must not know hosts or files. Over a long way connections decide how fast it goes, not the program; near by, more of
them only cost time. What a host bears at most is its source's to say.
"""

from __future__ import annotations

import threading
import time

from medfetch.machine import processors

START = 4
"""At the beginning, of each process: nearby, more would only be in each other's way."""
MOST = 64
"""Over all processes of a run, where the host bears as many."""
WORTH = 0.6
"""Of what a step could bring at best, so much it must: 1.6 times the rate for twice the connections."""
FAR, LEAP = 0.03, 8
"""Seconds until a first byte from which a host is far away; so many times as many connections are then taken at once,
for what could be measured before that would only tell the same."""
BUSY = 0.5
"""Of one processor's time; a process that needs more for what it has would only be slowed by further connections."""
SATURATED, FEW = 0.6, 2
"""Of all processors' time; a process that takes more than that has too many threads in each other's way: so few do as
much."""
STRIDE = 4
"""So many times as many at most at the first step, where this process has time for them: each of a host's connections
may be slow. Later steps double."""
FIRST, SHORTEST, LONGEST = 0.1, 0.2, 5.0
"""Seconds for which a rate is measured; at first, when it shows how much time this process takes and whether each
connection is slow, less is enough."""
HOLD, LONGEST_HOLD = 5.0, 60.0
"""Seconds until the next try after a step that was of no use; doubled each time."""
QUIET = 10.0
"""Seconds without a further step after a failure."""


class Connections:
    """Climbs: doubled as long as that pays, then a quarter more now and then; threads tell what happens.

    ``start`` and ``most`` are equal where a person gave a number; then only failures change it.
    """

    def __init__(self, start: int, most: int) -> None:
        self.allowed, self._most = min(start, most), most
        self._lock = threading.Lock()
        self._bytes = 0
        self._slowest = 0.0
        self._before: tuple[int, float] | None = None
        """How many there were before the last step, and bytes per second then."""
        self._factor = 2.0
        self._new = True
        """Nothing is known yet, not even how far away the host is."""
        self._hold = HOLD
        self._held_until = self._failed_at = 0.0
        self._since: float | None = None
        self._settled = time.monotonic() + FIRST
        self._from = 0
        self._spent = 0.0

    def received(self, count: int) -> None:
        """Bytes off the wire."""
        with self._lock:
            self._bytes += count

    def answered(self, seconds: float) -> None:
        """How long a first byte took; connecting counts, so it tells how far away the host is."""
        self._slowest = max(self._slowest, seconds)

    def failed(self) -> None:
        """A host slowed down, refused, or broke a connection."""
        now = time.monotonic()
        # Many connections that fail at once are one sign.
        if now - self._failed_at > 1:
            self.allowed = max(1, self.allowed * 3 // 4)
        self._before, self._factor, self._failed_at, self._held_until = None, 1.25, now, now + QUIET
        self._new = False
        self._measure(now)

    def look(self, now: float, busy: bool) -> int:
        """How many there may be from now on; ``busy``: all that are allowed are in use, and there is more to do."""
        if self._new and busy and self._slowest >= FAR:
            self._new = False
            self.allowed = min(self._most, LEAP * self.allowed)
            self._measure(now)
        elif not busy or now < self._held_until or (self.allowed >= self._most and not self._before):
            self._measure(now)
        elif self._since is None:
            # New connections first have to be made, and to become fast.
            if now >= self._settled:
                self._since, self._from, self._spent = now, self._bytes, time.process_time()
        elif (lasted := now - self._since) >= min(LONGEST, max(FIRST if self._new else SHORTEST, 2 * self._slowest)):
            effort = (time.process_time() - self._spent) / lasted
            self._decide(now, (self._bytes - self._from) / lasted, effort)
        return self.allowed

    def _measure(self, now: float) -> None:
        self._since = None
        self._settled = now + min(LONGEST, self._slowest)

    def _decide(self, now: float, rate: float, effort: float) -> None:
        """``effort``: of one processor's time, what this process took for that rate."""
        before, old = self._before or (self.allowed, 0.0)
        if effort > SATURATED * processors() and self.allowed > FEW:
            self.allowed, self._before, self._factor, self._held_until = FEW, None, 1.25, now + HOLD
        elif effort > BUSY or rate < old * (1 + WORTH * (self.allowed / before - 1)):
            # As many as would have brought this much.
            enough = before if effort > BUSY else int(before * rate / old)
            self.allowed, self._before, self._factor = max(before, min(enough, self.allowed)), None, 1.25
            self._held_until, self._hold = now + self._hold, min(LONGEST_HOLD, 2 * self._hold)
        else:
            factor = max(self._factor, min(STRIDE, BUSY / max(effort, 0.01))) if self._new else self._factor
            more = min(self._most, max(self.allowed + 1, int(self.allowed * factor)))
            self._before = (self.allowed, rate) if more > self.allowed else None
            self.allowed = more
        self._new = False
        self._slowest *= 0.5
        self._measure(now)
