"""What a worker process is told. It must not know what is done with it: the coordinator need not import that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfetch import planning
from medfetch.cache import Home
from medfetch.config import Settings

PARK_WITHIN = 10.0
"""Seconds that transfers get to end when a run is parked, as a job whose time is nearly up: no other is begun."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """Everything a worker needs; picklable, and but for ``Settings.links`` without secrets."""

    home: Home
    plan: str
    number: int
    token: str
    """Of the lease on this shard; part of the names of its partial files."""
    start: int
    """Connections at the beginning."""
    most: int
    """Connections at the most."""
    settings: Settings
    routes: Mapping[str, list[dict[str, Any]]]
    """By part, best first: {source, locator, into}."""
    archives: str
    """``unpack``, ``keep`` (unpack and keep) or ``as-is``."""
    shared: bool = False
    """Others work on the plan, too: what they hold is left to them, and what is through is marked for them."""

    @property
    def path(self) -> Path:
        return self.home.plans / self.plan / f"{self.number:05d}.sqlite"

    @property
    def lease(self) -> Path:
        return planning.lease(self.path)

    @property
    def ended(self) -> Path:
        return planning.ended(self.path)
