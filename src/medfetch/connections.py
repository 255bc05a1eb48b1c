"""How many connections are worth having: more while they bring more, fewer when a host resists.

It must not know hosts or files. Over a long way connections decide how fast it goes, not the program; near by, more of
them only cost time. What a host bears at most is its source's to say.
"""

from __future__ import annotations

import threading
import time

START = 8
"""At the beginning, over all processes of a run."""
MOST = 64
"""Over all processes of a run, where the host bears as many."""
WORTH = 0.5
"""Of what a step could bring at best, so much it must: twice the connections, one and a half times the rate. Less may be
chance, above all where the processor is the limit."""
SHORTEST, LONGEST = 0.25, 5.0
"""Seconds for which a rate is measured."""
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
        self._hold = HOLD
        self._held_until = self._failed_at = 0.0
        self._since: float | None = None
        self._settled = time.monotonic() + SHORTEST
        self._from = 0

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
        self._measure(now)

    def look(self, now: float, busy: bool) -> int:
        """How many there may be from now on; ``busy``: all that are allowed are in use, and there is more to do."""
        if not busy or now < self._held_until or (self.allowed >= self._most and not self._before):
            self._measure(now)
        elif self._since is None:
            # New connections first have to be made, and to become fast.
            if now >= self._settled:
                self._since, self._from = now, self._bytes
        elif now - self._since >= min(LONGEST, max(SHORTEST, 2 * self._slowest)):
            self._decide(now, (self._bytes - self._from) / (now - self._since))
        return self.allowed

    def _measure(self, now: float) -> None:
        self._since = None
        self._settled = now + min(LONGEST, self._slowest)

    def _decide(self, now: float, rate: float) -> None:
        if self._before and rate < self._before[1] * (1 + WORTH * (self.allowed / self._before[0] - 1)):
            self.allowed, self._before, self._factor = self._before[0], None, 1.25
            self._held_until, self._hold = now + self._hold, min(LONGEST_HOLD, 2 * self._hold)
        else:
            self._before = self.allowed, rate
            self.allowed = min(self._most, max(self.allowed + 1, int(self.allowed * self._factor)))
            if self.allowed == self._before[0]:
                self._before = None
        self._slowest *= 0.5
        self._measure(now)
