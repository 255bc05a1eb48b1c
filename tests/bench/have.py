"""Puts in place what a finished ``get`` would have left, without the network: files, and what is written down of them.

What is written down is written by medfetch's own modules, as its workers and its coordinator do. The time that this
takes for each file is what a download pays besides the bytes.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from medfetch import entries, planning
from medfetch.cache import Home, homes, prepare
from medfetch.ledger import Ledger, Placed
from medfetch.state import Shard
from medfetch.types import Assurance, Entry, Group

CONTENT = b"8 bytes."
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BATCH = 1000
LINKS = 50_000
"""Names of one inode, where files are links: ext4 allows 65,000."""


def everything(cache: Path, *, links: bool) -> dict[str, float]:
    """Makes all files of the one plan in a cache, as ``links`` to a few where there are too many for inodes of their
    own; seconds spent on the files and on writing them down."""
    (home,) = homes(cache)
    prepare(home)
    (made,) = planning.all_of(home)
    spent = {"files": 0.0, "written_down": 0.0}
    with closing(Ledger(home.ledger)) as ledger:
        maker = _Maker(home, links)
        for path in made.shards:
            with closing(Shard(path)) as shard:
                rows = shard.todo(0, planning.SHARD_FILES)
                placed = (file for *_, entry in rows for file in maker.placed(entry))
                while batch := list(islice(placed, BATCH)):
                    started = time.perf_counter()
                    for file in batch:
                        maker.make(file.path)
                    between = time.perf_counter()
                    shard.record([(file, "renamed") for file in batch], (), ())
                    spent["files"] += between - started
                    spent["written_down"] += time.perf_counter() - between
                started = time.perf_counter()
                shard.record((), [row for row, *_ in rows], ())
                shard.move_to(ledger.path)
                spent["written_down"] += time.perf_counter() - started
    return spent


class _Maker:
    def __init__(self, home: Home, links: bool) -> None:
        self.root, self.links = f"{home.root}/", links
        self.made = 0
        self.first = ""
        self.folder = ""

    def placed(self, entry: Entry) -> Iterator[Placed]:
        names = (
            [f"/1.2.840.{number:020d}.dcm" for number in range(entry.files or 0)] if isinstance(entry, Group) else [""]
        )
        unit = entries.unit(entry)
        for name in names:
            yield Placed(
                f"{entry.path}{name}", unit, f"{entry.key}{name}", len(CONTENT), SHA256, Assurance.PUBLISHED,
                f"md5:{SHA256[:32]}", "bench", "127.0.0.1",
            )  # fmt: skip

    def make(self, path: str) -> None:
        folder, final = path.rpartition("/")[0], self.root + path
        if folder != self.folder:
            os.makedirs(self.root + folder, exist_ok=True)
            self.folder = folder
        if self.links and self.made % LINKS:
            os.link(self.first, final)
        else:
            Path(final).write_bytes(CONTENT)
            self.first = final
        self.made += 1
