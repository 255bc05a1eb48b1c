"""A clock for tests of what waits."""

from __future__ import annotations

import threading


class Clock(threading.Event):
    """A stop signal whose waits are noted, not waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()
