"""The ledger: what is in a home, and of what each file came. It must not know the network or the sources.

Rows are kept in the order of paths, which is mostly the order in which they come and are asked for: a row in the order
of a digest costs a page of its own, and a dataset of a million files its whole ledger for every shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfetch import database
from medfetch.database import attached, transaction
from medfetch.errors import CacheError, DiskFull
from medfetch.types import Assurance

VERSION = 2
"""Of its schema."""
LEDGER = """
    CREATE TABLE unit (id INTEGER PRIMARY KEY, path TEXT NOT NULL, key TEXT NOT NULL, complete INTEGER NOT NULL,
        UNIQUE (path, key));
    CREATE TABLE file (path TEXT NOT NULL, unit INTEGER NOT NULL, key TEXT, size INTEGER NOT NULL,
        sha256 TEXT NOT NULL, assurance TEXT NOT NULL, checked TEXT, source TEXT NOT NULL, host TEXT NOT NULL,
        bad INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (path, unit)) WITHOUT ROWID;
    CREATE INDEX file_unit ON file (unit);
    CREATE TABLE counted (what TEXT PRIMARY KEY, files INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE stamp (stamp TEXT NOT NULL);
    INSERT INTO stamp VALUES (hex(randomblob(8)))
"""
"""``counted``: sums, thrown away whenever a file comes or goes. ``stamp``: another one whenever a unit is less complete
than it was, and in every new ledger."""
FACTS = "key, size, sha256, assurance, checked, source, host"
FILE = "f.path, u.key, f." + FACTS.replace(", ", ", f.")
"""Of a file ``f`` of a unit ``u``, as ``placed_of_row`` wants it."""
LAST = "\U0010ffff"
"""Comes after all that paths are written with."""
MOST = 4
"""A plan with more than a fourth of a ledger's units is best looked for by going through the whole ledger."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A file at its final name."""

    path: str
    unit: str
    """The entry that it belongs to (``entries.unit``); to several, as a series does that came by two routes."""
    key: str | None
    size: int
    sha256: str
    assurance: Assurance
    checked: str | None
    """The published checksum that it matched."""
    source: str
    host: str


def placed_of_row(row: tuple[Any, ...]) -> Placed:
    path, unit, key, size, sha256, assurance, checked, source, host = row
    return Placed(path, unit, key, size, sha256, Assurance(assurance), checked, source, host)


class Ledger:
    """What is in a home. Written by whoever holds the home's lease while nobody else works there, read by everybody."""

    def __init__(self, path: Path, *, watching: bool = False) -> None:
        """``watching``: others may be at work, and nothing will be written but sums (``database.connect``)."""
        self.path, self._watching = path, watching
        self._db = database.connect(path, LEDGER, VERSION, watching=watching)

    def close(self) -> None:
        self._db.close()

    def relax(self) -> None:
        """From now on nobody waits for the disk (``database.connect``)."""
        database.relax(self._db)

    def reading(self) -> AbstractContextManager[None]:
        """Around many queries in a row."""
        return database.reading(self._db)

    def stamp(self) -> str:
        return str(self._db.execute("SELECT stamp FROM stamp").fetchone()[0])

    def files_of(self, unit: str, place: str) -> list[tuple[str, str | None, int]]:
        """(path, key, size) of the good files of a unit, whose entry's path is ``place``; complete or not."""
        query = (
            "SELECT f.path, f.key, f.size FROM unit u JOIN file f ON f.unit = u.id"
            " WHERE u.path = ? AND u.key = ? AND NOT f.bad"
        )
        return list(self._db.execute(query, (place, unit)))

    def unit(self, key: str, place: str) -> tuple[bool, list[Placed]]:
        """Whether a unit, whose entry's path is ``place``, is complete; and its good files."""
        query = f"SELECT {FILE} FROM unit u JOIN file f ON f.unit = u.id WHERE u.path = ? AND u.key = ? AND NOT f.bad"
        files = [placed_of_row(row) for row in self._db.execute(query, (place, key))]
        found = self._db.execute("SELECT complete FROM unit WHERE path = ? AND key = ?", (place, key)).fetchone()
        return bool(found and found[0]), files

    def find(self, path: str, unit: str) -> Placed | None:
        """A file, preferably as that unit's."""
        query = f"SELECT {FILE} FROM file f JOIN unit u ON u.id = f.unit WHERE f.path = ? ORDER BY u.key != ?"
        row = self._db.execute(query, (path, unit)).fetchone()
        return placed_of_row(row) if row else None

    def files(self) -> Iterator[Placed]:
        """All files in the order of their paths."""
        query = f"SELECT {FILE} FROM file f JOIN unit u ON u.id = f.unit GROUP BY f.path ORDER BY f.path"
        yield from map(placed_of_row, self._db.execute(query))

    def look(self, path: str) -> Placed | None:
        """A good file."""
        found = self.find(path, "")
        bad = "SELECT 1 FROM file WHERE path = ? AND bad"
        return found if found and not self._db.execute(bad, (path,)).fetchone() else None

    def children(self, folder: str) -> Iterator[tuple[str, int | None]]:
        """(path, bytes) of the good files in a folder, which is empty for the home, and (path, None) of the folders."""
        prefix = f"{folder}/" if folder else ""
        query, after = "SELECT path, size FROM file WHERE path > ? AND NOT bad ORDER BY path LIMIT 1", prefix
        while (row := self._db.execute(query, (after,)).fetchone()) and row[0].startswith(prefix):
            name, slash, _ = row[0][len(prefix) :].partition("/")
            yield prefix + name, None if slash else row[1]
            after = f"{prefix}{name}/{LAST}" if slash else row[0]

    def under(self, folder: str) -> Iterator[tuple[str, int]]:
        """(path, bytes) of the good files in a folder and in all of its folders, in the order of their paths."""
        prefix = f"{folder}/" if folder else ""
        query = "SELECT path, size FROM file WHERE path > ? AND path < ? AND NOT bad GROUP BY path ORDER BY path"
        yield from self._db.execute(query, (prefix, prefix + LAST))

    def files_of_plan(self, shards: Iterable[Path]) -> Iterator[Placed]:
        """The good files of a plan in the order of their paths."""
        with self._wanted(list(shards)) as index:
            query = (
                f"SELECT {FILE} FROM file f {index} JOIN unit u ON u.id = f.unit"
                " WHERE NOT f.bad AND f.unit IN wanted GROUP BY f.path ORDER BY f.path"
            )
            yield from map(placed_of_row, self._db.execute(query))

    def sizes(self, shards: list[Path], planned: int) -> Iterator[tuple[str, int]]:
        """(path, size) of the good files of a plan of so many entries; where that is most of the home, of all. A file
        of several units may come several times."""
        if self._is_most(planned):
            yield from self._db.execute("SELECT path, size FROM file WHERE NOT bad ORDER BY path")
            return
        with self._wanted(shards) as index:
            yield from self._db.execute(f"SELECT path, size FROM file f {index} WHERE NOT bad AND unit IN wanted")

    def count(self, plan: str, shards: list[Path]) -> int:
        """How many good files of a plan there are."""

        def counted() -> tuple[int, int]:
            with self._wanted(shards) as index:
                each = f"SELECT 1 FROM file f {index} WHERE NOT bad AND unit IN wanted GROUP BY path"
                return self._db.execute(f"SELECT count(*), 0 FROM ({each})").fetchone()  # type: ignore[no-any-return]

        return self._counted(plan, counted)[0]

    def totals(self) -> dict[str, int]:
        each = "SELECT size FROM file WHERE NOT bad GROUP BY path"
        query = f"SELECT count(*), coalesce(sum(size), 0) FROM ({each})"
        files, size = self._counted("", lambda: self._db.execute(query).fetchone())
        return {"files": files, "bytes": size}

    def lose(self, paths: Iterable[str]) -> None:
        """Notes that files are gone or bad: their units are not complete any more, their digests are kept."""
        with transaction(self._db, self.path):
            lost = 0
            for lost, path in enumerate(paths, 1):  # noqa: B007 how many there were
                self._db.execute(
                    "UPDATE unit SET complete = 0 WHERE id IN (SELECT unit FROM file WHERE path = ?)", (path,)
                )
                self._db.execute("UPDATE file SET bad = 1 WHERE path = ?", (path,))
            if lost:
                self._db.execute("UPDATE stamp SET stamp = hex(randomblob(8))")
                self._db.execute("DELETE FROM counted")

    def _counted(self, what: str, count: Callable[[], tuple[int, int]]) -> tuple[int, int]:
        """A sum that is known since it was asked last, or counted and noted."""
        known = self._db.execute("SELECT files, bytes FROM counted WHERE what = ?", (what,)).fetchone()
        if known:
            return known  # type: ignore[no-any-return]
        before = self._changes()
        sums = count()
        # On a full disk, or where this user may only read, it is counted each time.
        if database.may_write(self.path, watching=self._watching):
            with suppress(CacheError, DiskFull), transaction(self._db, self.path):
                if before == self._changes():
                    self._db.execute("INSERT OR REPLACE INTO counted VALUES (?, ?, ?)", (what, *sums))
        return sums

    def _changes(self) -> int:
        """Another number when another process has written meanwhile."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _wanted(self, shards: Iterable[Path]) -> Iterator[str]:
        """The units of a plan as the temporary table ``wanted``; how SQLite is to find their files."""
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (unit INTEGER PRIMARY KEY)")
        self._db.execute("DELETE FROM wanted")
        for shard in shards:
            with attached(self._db, shard, watching=self._watching):
                self._db.execute(
                    "INSERT OR IGNORE INTO wanted SELECT u.id FROM other.entry e JOIN unit u"
                    " ON u.path = e.path AND u.key = e.key"
                )
        wanted = self._db.execute("SELECT count(*) FROM wanted").fetchone()[0]
        yield "NOT INDEXED" if self._is_most(wanted) else "INDEXED BY file_unit"

    def _is_most(self, units: int) -> bool:
        return bool(MOST * units > self._db.execute("SELECT coalesce(max(id), 0) FROM unit").fetchone()[0])
