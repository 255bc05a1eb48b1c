"""``medfetch gc``."""

from __future__ import annotations

import click

from medfetch import cache, upkeep
from medfetch.cli.common import Session, with_session
from medfetch.progress import human


@click.command("gc")
@with_session
def command(session: Session) -> None:
    """Remove what interrupted work left: partial bytes, plans never begun. Datasets stay."""
    files = size = 0
    for home in cache.homes(session.resting.cache):
        freed = upkeep.collect(home)
        files += freed["files"]
        size += freed["bytes"]
    session.out({"event": "gc", "files": files, "bytes": size}, f"removed {files:,} leftovers, {human(size)}")
