"""Plan, ledger and disk brought together, by whoever is alone in a home. It must not know the network or sources."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import closing

from medfetch import durability, packs, placing, planning, storage
from medfetch.cache import Home
from medfetch.ledger import Ledger
from medfetch.planning import Plan
from medfetch.state import Shard


def reconcile(made: Plan, ledger: Ledger, *, look: bool = True, durable: bool = True) -> dict[str, int]:
    """Brings plan, ledger and disk together; the sum of the shards' tallies.

    ``look`` asks the disk for each file, and counts those in place as ``files_here``.
    """
    shards = made.shards
    with storage.disk_errors(made.home.root):
        placing.hand_over(made.home, shards, ledger, durable=durable)
    if not look:
        return planning.tally(made)
    lose(made.home, ledger, lost(made, ledger))
    with storage.disk_errors(made.home.root):
        if durability.in_doubt(made.home):
            lose(made.home, ledger, list(durability.lost(made.home, ledger.files())))
        durability.settle(made.home)
    for path in shards:
        with closing(Shard(path)) as shard:
            shard.reopen(ledger)
    return {**planning.tally(made), "files_here": ledger.count(made.id, shards)}


def lose(home: Home, ledger: Ledger, paths: list[str]) -> None:
    """Notes that files are gone or bad, and that their archives are none any more."""
    ledger.lose(paths)
    if paths and packs.format_of(home):
        packs.lose(home, paths)


def lost(made: Plan, ledger: Ledger) -> list[str]:
    """Paths of the plan that the ledger has and the disk has not, or not in that size. Of a packed home, all paths."""
    if packs.format_of(made.home) is None:
        return _lost(made.home, ledger.sizes(made.shards, made.totals["entries"]))
    with closing(packs.Packs(made.home, watching=True)) as index:
        return [*packs.missing(index), *_lost(made.home, index.loose())]


def _lost(home: Home, files: Iterable[tuple[str, int]]) -> list[str]:
    root = f"{home.root}{os.sep}"
    lost = []
    for path, size in files:
        try:
            found = os.stat(root + path)
        except (FileNotFoundError, NotADirectoryError):
            lost.append(path)
        else:
            if found.st_size != size or not stat.S_ISREG(found.st_mode):
                lost.append(path)
    return lost
