"""Engines work off the shards of a plan; each calls ``work.run_shards`` and must not know sources or recipes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from medfetch.engines.feed import Feed
    from medfetch.progress import Event


class Engine(Protocol):
    """Processes that work off shards, wherever they are: ``engines.local`` is one."""

    def run(self, feed: Feed, processes: int, show: Callable[[Event], None], look: Callable[[list[int]], None]) -> None:
        """Works off all that ``feed`` gives; whatever ends it early (an error, a signal's exception), the workers
        save their state. ``look`` is told now and then which shards are in work.

        Raises: the error that ended a shard early.
        """
