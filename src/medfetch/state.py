"""The only SQL: shards (what to do), and the ledger (what is there). It must not know the network or the sources.

A shard is one SQLite file owned by one worker at a time. ``entry`` holds what was planned; ``placed`` (files) and
``complete`` (entries) hold the results until the coordinator moves them into the ledger.

Rows are kept in the order of paths, which is mostly the order in which they come and are asked for: a row in the order
of a digest costs a page of its own, and a dataset of a million files its whole ledger for every shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfetch import database, entries
from medfetch.database import attached, transaction
from medfetch.errors import CacheError, DiskFull
from medfetch.types import Assurance, Entry, Group

TODO, DONE, FAILED = 0, 1, 2

VERSION = 2
"""Of both schemas."""
SHARD = """
    CREATE TABLE entry (id INTEGER PRIMARY KEY, part TEXT NOT NULL, key TEXT NOT NULL, path TEXT NOT NULL,
        files INTEGER, size INTEGER, state INTEGER NOT NULL DEFAULT 0, error TEXT, code INTEGER, body TEXT NOT NULL);
    CREATE TABLE placed (path TEXT NOT NULL, unit TEXT NOT NULL, key TEXT, size INTEGER NOT NULL,
        sha256 TEXT NOT NULL, assurance TEXT NOT NULL, checked TEXT, source TEXT NOT NULL, host TEXT NOT NULL,
        staged TEXT NOT NULL, PRIMARY KEY (path, unit)) WITHOUT ROWID;
    CREATE INDEX placed_unit ON placed (unit);
    CREATE TABLE complete (entry INTEGER PRIMARY KEY);
    CREATE TABLE compared (stamp TEXT)
"""
"""``compared``: the ledger's stamp when the entries that are done were last found in it."""
OPEN = "CREATE INDEX entry_open ON entry (state, files, size) WHERE state != 1"
"""What is open is counted without a look at what is done. Made when the entries are there, which is faster."""
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
"""Of a file ``f`` of a unit ``u``, as ``_placed`` wants it."""
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


def create_shard(path: Path, rows: Iterable[tuple[str, Entry]]) -> None:
    """Makes a shard of entries, each with its part's name; durable when the caller syncs the folder.

    Raises: CacheError, DiskFull.
    """
    with database.made(path, SHARD, VERSION) as new:
        new.executemany(
            "INSERT INTO entry (part, key, path, files, size, body) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (part, entries.unit(e), e.path, e.files if isinstance(e, Group) else 1, e.size, entries.dump(e))
                for part, e in rows
            ),
        )
        new.execute(OPEN)


# -- shards ------------------------------------------------------------------------------------------------------


class Shard:
    """One shard's database. Only its owner writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = database.connect(path, SHARD, VERSION)

    def close(self) -> None:
        self._db.close()

    def todo(self, after: int, limit: int) -> list[tuple[int, str, Entry]]:
        """The next open entries behind row ``after``: (row, part, entry)."""
        rows = self._db.execute(
            "SELECT id, part, body FROM entry WHERE state != ? AND id > ? ORDER BY id LIMIT ?", (DONE, after, limit)
        )
        return [(row, part, entries.load(body)) for row, part, body in rows]

    def entries(self) -> Iterator[tuple[str, Entry]]:
        for part, body in self._db.execute("SELECT part, body FROM entry ORDER BY id"):
            yield part, entries.load(body)

    def placed_of(self, unit: str) -> list[tuple[str, str | None, int]]:
        """(path, key, size) of the files of a unit that wait for the ledger."""
        return list(self._db.execute("SELECT path, key, size FROM placed WHERE unit = ?", (unit,)))

    def find(self, path: str, unit: str) -> Placed | None:
        """A file that waits for the ledger, preferably as that unit's."""
        query = f"SELECT path, unit, {FACTS} FROM placed WHERE path = ? ORDER BY unit != ?"
        row = self._db.execute(query, (path, unit)).fetchone()
        return _placed(row) if row else None

    def plans(self, unit: str) -> bool:
        return self._db.execute("SELECT 1 FROM entry WHERE key = ?", (unit,)).fetchone() is not None

    def placed(self) -> Iterator[Placed]:
        for row in self._db.execute(f"SELECT path, unit, {FACTS} FROM placed ORDER BY path"):
            yield _placed(row)

    def unnamed(self) -> Iterator[tuple[str, str]]:
        """(final path, temporary name) of the files that wait for the ledger; most have their final name already."""
        yield from self._db.execute("SELECT path, staged FROM placed")

    def record(
        self,
        placed: Iterable[tuple[Placed, str]],
        done: Iterable[int],
        failed: Iterable[tuple[int, str, int]],
    ) -> None:
        """Writes down, in one transaction: files with the temporary names that they have until they are renamed,
        rows that are complete, and (row, error, exit code) of those that failed.

        Raises: DiskFull, CacheError.
        """
        rows = [(row,) for row in done]
        with transaction(self._db, self.path):
            self._db.executemany(
                f"INSERT OR REPLACE INTO placed (path, unit, {FACTS}, staged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (f.path, f.unit, f.key, f.size, f.sha256, f.assurance.value, f.checked, f.source, f.host, staged)
                    for f, staged in placed
                ),
            )
            self._db.executemany("UPDATE entry SET state = 1, error = NULL WHERE id = ?", rows)
            self._db.executemany("INSERT OR REPLACE INTO complete VALUES (?)", rows)
            self._db.executemany(
                "UPDATE entry SET state = 2, error = ?, code = ? WHERE id = ?",
                ((error, code, row) for row, error, code in failed),
            )

    def open(self) -> dict[str, int]:
        """Entries that are not done, with their files and bytes where known; and how many of them failed."""
        counts = dict.fromkeys(("entries", "files", "bytes", "failed"), 0)
        query = (
            "SELECT state, count(*), coalesce(sum(files), 0), coalesce(sum(size), 0) FROM entry"
            " WHERE state != 1 GROUP BY state"
        )
        for state, number, files, size in self._db.execute(query):
            counts["entries"] += number
            counts["files"] += files
            counts["bytes"] += size
            counts["failed"] += number if state == FAILED else 0
        return counts

    def failures(self, limit: int) -> list[tuple[str, str, int]]:
        """(path, reason, exit code) of entries that failed."""
        # Both conditions: by the first SQLite knows that the index of what is open will do.
        query = "SELECT path, error, code FROM entry WHERE state != 1 AND state = 2 ORDER BY id LIMIT ?"
        return list(self._db.execute(query, (limit,)))

    def reopen(self, ledger: Ledger) -> None:
        """Compares with the ledger: what it holds is done, what it does not hold is to be done."""
        stamp = ledger.stamp()
        open_ = self._db.execute("SELECT 1 FROM entry WHERE state != 1 LIMIT 1").fetchone()
        if not open_ and self._db.execute("SELECT stamp FROM compared").fetchone() == (stamp,):
            return
        here = "EXISTS (SELECT 1 FROM other.unit u WHERE u.path = entry.path AND u.key = entry.key AND u.complete)"
        with attached(self._db, ledger.path), transaction(self._db, self.path):
            self._db.execute(f"UPDATE entry SET error = NULL, state = {here} WHERE state != {here}")
            self._db.execute("DELETE FROM compared")
            self._db.execute("INSERT INTO compared VALUES (?)", (stamp,))

    def move_to(self, ledger: Path) -> None:
        """Moves results into the ledger; interrupted, it can be done again."""
        if not any(self._db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in ("placed", "complete")):
            return
        with attached(self._db, ledger):
            # Two transactions: one over two files in WAL mode is not atomic when the machine stops.
            with transaction(self._db, ledger):
                self._move()
            with transaction(self._db, self.path):
                self._db.execute("DELETE FROM placed")
                self._db.execute("DELETE FROM complete")
        # Of a plan of series, what waited here takes a hundred times the room of the plan.
        database.shrink(self._db)

    def _move(self) -> None:
        # What other units had under these names is either the same again, or replaced and theirs no more.
        self._db.execute(
            "CREATE TEMP TABLE replaced AS SELECT f.path, f.unit FROM placed p JOIN other.file f ON f.path = p.path"
            " WHERE f.sha256 != p.sha256"
        )
        less = self._db.execute("UPDATE other.unit SET complete = 0 WHERE id IN (SELECT unit FROM replaced)").rowcount
        if less:
            self._db.execute("UPDATE other.stamp SET stamp = hex(randomblob(8))")
            self._db.execute("DELETE FROM other.file WHERE (path, unit) IN (SELECT path, unit FROM replaced)")
        self._db.execute("DROP TABLE replaced")
        self._db.execute("UPDATE other.file SET bad = 0 WHERE bad AND path IN (SELECT path FROM placed)")
        self._db.execute(
            "INSERT INTO other.unit (path, key, complete)"
            " SELECT path, key, id IN (SELECT entry FROM complete) FROM entry"
            " WHERE id IN (SELECT entry FROM complete) OR key IN (SELECT unit FROM placed) ORDER BY id"
            " ON CONFLICT (path, key) DO UPDATE SET complete = max(complete, excluded.complete)"
        )
        self._db.execute(
            f"INSERT OR REPLACE INTO other.file (path, unit, {FACTS})"
            f" SELECT p.path, u.id, p.{FACTS.replace(', ', ', p.')} FROM placed p JOIN entry e ON e.key = p.unit"
            " JOIN other.unit u ON u.path = e.path AND u.key = e.key ORDER BY p.path"
        )
        self._db.execute("DELETE FROM other.counted")


def _placed(row: tuple[Any, ...]) -> Placed:
    path, unit, key, size, sha256, assurance, checked, source, host = row
    return Placed(path, unit, key, size, sha256, Assurance(assurance), checked, source, host)


# -- the ledger --------------------------------------------------------------------------------------------------


class Ledger:
    """What is in a home. Written by the coordinator of a run, read by everybody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = database.connect(path, LEDGER, VERSION)

    def close(self) -> None:
        self._db.close()

    def stamp(self) -> str:
        return str(self._db.execute("SELECT stamp FROM stamp").fetchone()[0])

    def files_of(self, unit: str, place: str) -> list[tuple[str, str | None, int]]:
        """(path, key, size) of the good files of a unit, whose entry's path is ``place``; complete or not."""
        query = (
            "SELECT f.path, f.key, f.size FROM unit u JOIN file f ON f.unit = u.id"
            " WHERE u.path = ? AND u.key = ? AND NOT f.bad"
        )
        return list(self._db.execute(query, (place, unit)))

    def find(self, path: str, unit: str) -> Placed | None:
        """A file, preferably as that unit's."""
        query = f"SELECT {FILE} FROM file f JOIN unit u ON u.id = f.unit WHERE f.path = ? ORDER BY u.key != ?"
        row = self._db.execute(query, (path, unit)).fetchone()
        return _placed(row) if row else None

    def files(self) -> Iterator[Placed]:
        """All files in the order of their paths."""
        query = f"SELECT {FILE} FROM file f JOIN unit u ON u.id = f.unit GROUP BY f.path ORDER BY f.path"
        yield from map(_placed, self._db.execute(query))

    def files_of_plan(self, shards: Iterable[Path]) -> Iterator[Placed]:
        """The good files of a plan in the order of their paths."""
        with self._wanted(list(shards)) as index:
            query = (
                f"SELECT {FILE} FROM file f {index} JOIN unit u ON u.id = f.unit"
                " WHERE NOT f.bad AND f.unit IN wanted GROUP BY f.path ORDER BY f.path"
            )
            yield from map(_placed, self._db.execute(query))

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
            for lost, path in enumerate(paths, 1):  # noqa: B007
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
        if database.is_writable(self.path):
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
            with attached(self._db, shard):
                self._db.execute(
                    "INSERT OR IGNORE INTO wanted SELECT u.id FROM other.entry e JOIN unit u"
                    " ON u.path = e.path AND u.key = e.key"
                )
        wanted = self._db.execute("SELECT count(*) FROM wanted").fetchone()[0]
        yield "NOT INDEXED" if self._is_most(wanted) else "INDEXED BY file_unit"

    def _is_most(self, units: int) -> bool:
        return bool(MOST * units > self._db.execute("SELECT coalesce(max(id), 0) FROM unit").fetchone()[0])
