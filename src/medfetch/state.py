"""The only SQL: shards (what to do), and the ledger (what is there). It must not know the network or the sources.

A shard is one SQLite file owned by one worker at a time. ``entry`` holds what was planned; ``placed`` (files) and
``complete`` (entries) hold the results until the coordinator moves them into the ledger.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medfetch import entries
from medfetch.cache import is_network
from medfetch.errors import CacheError, DiskFull
from medfetch.types import Assurance, Entry, Group

TODO, DONE, FAILED = 0, 1, 2

SHARD = [
    """
    CREATE TABLE entry (id INTEGER PRIMARY KEY, part TEXT NOT NULL, key TEXT NOT NULL, path TEXT NOT NULL,
        files INTEGER, size INTEGER, state INTEGER NOT NULL DEFAULT 0, error TEXT, code INTEGER, body TEXT NOT NULL);
    CREATE INDEX entry_state ON entry (state);
    CREATE TABLE placed (path TEXT NOT NULL, unit TEXT NOT NULL, key TEXT, size INTEGER NOT NULL,
        sha256 TEXT NOT NULL, assurance TEXT NOT NULL, checked TEXT, source TEXT NOT NULL, host TEXT NOT NULL,
        staged TEXT NOT NULL, PRIMARY KEY (path, unit)) WITHOUT ROWID;
    CREATE INDEX placed_unit ON placed (unit);
    CREATE TABLE complete (key TEXT PRIMARY KEY, part TEXT NOT NULL, path TEXT NOT NULL) WITHOUT ROWID;
    """
]
LEDGER = [
    """
    CREATE TABLE unit (key TEXT PRIMARY KEY, part TEXT NOT NULL, path TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE file (path TEXT NOT NULL, unit TEXT NOT NULL, key TEXT, size INTEGER NOT NULL,
        sha256 TEXT NOT NULL, assurance TEXT NOT NULL, checked TEXT, source TEXT NOT NULL, host TEXT NOT NULL,
        bad INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (path, unit)) WITHOUT ROWID;
    CREATE INDEX file_unit ON file (unit);
    """
]
PLACED = "path, unit, key, size, sha256, assurance, checked, source, host"


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


def connect(path: Path, migrations: list[str]) -> sqlite3.Connection:
    """Opens a database, bringing its schema up to date.

    Raises: CacheError where it is damaged or newer than this program.
    """
    address = _address(path)
    try:
        database = sqlite3.connect(address, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
        if address != str(path):
            return database
        database.execute(f"PRAGMA journal_mode = {'DELETE' if is_network(path.parent) else 'WAL'}")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            raise CacheError(f"{path} was written by a newer medfetch", hint="upgrade medfetch")
        for number, script in enumerate(migrations[version:], version + 1):
            database.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version = {number};COMMIT;")
    except sqlite3.OperationalError as error:
        raise _failed(path, error) from error
    except sqlite3.DatabaseError as error:
        raise CacheError(f"{path} is damaged: {error}", hint="remove it and run the same command again") from error
    return database


def _address(path: Path) -> str:
    """How SQLite is to open a database: one that may only be read without the files that WAL would make beside it."""
    read_only = path.exists() and not os.access(path, os.W_OK)
    return f"file:{quote(str(path))}?immutable=1" if read_only else str(path)


def _failed(path: Path, error: sqlite3.OperationalError) -> CacheError | DiskFull:
    """SQLite's own error for a full disk or an unusable cache, as ours."""
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return DiskFull(f"{path}: the disk is full", hint="make room and run the same command again")
    return CacheError(f"{path}: {error}", hint="is the cache writable, and is there room?")


@contextmanager
def _transaction(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    """All or nothing of what is written in it.

    Raises: DiskFull, CacheError.
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise _failed(path, error) from error


def create_shard(path: Path, rows: Iterable[tuple[str, Entry]]) -> None:
    """Makes a shard of entries, each with its part's name; durable when the caller syncs the folder.

    Raises: CacheError where the database cannot be made.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        # Nothing to protect: without its header, which comes last, a half-made plan is thrown away.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(f"BEGIN;{';'.join(SHARD)};PRAGMA user_version = {len(SHARD)};")
        database.executemany(
            "INSERT INTO entry (part, key, path, files, size, body) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (part, entries.unit(e), e.path, e.files if isinstance(e, Group) else 1, e.size, entries.dump(e))
                for part, e in rows
            ),
        )
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise _failed(path, error) from error
    finally:
        database.close()


# -- shards ------------------------------------------------------------------------------------------------------


class Shard:
    """One shard's database. Only its owner writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = connect(path, SHARD)

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
        query = f"SELECT {PLACED} FROM placed WHERE path = ? ORDER BY unit != ?"
        row = self._db.execute(query, (path, unit)).fetchone()
        return _placed(row) if row else None

    def plans(self, unit: str) -> bool:
        return self._db.execute("SELECT 1 FROM entry WHERE key = ?", (unit,)).fetchone() is not None

    def placed(self) -> Iterator[Placed]:
        for row in self._db.execute(f"SELECT {PLACED} FROM placed ORDER BY path"):
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
        with _transaction(self._db, self.path):
            self._db.executemany(
                f"INSERT OR REPLACE INTO placed ({PLACED}, staged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                ((*dataclasses.astuple(item), staged) for item, staged in placed),
            )
            for row in done:
                self._db.execute("UPDATE entry SET state = 1, error = NULL WHERE id = ?", (row,))
                self._db.execute(
                    "INSERT OR REPLACE INTO complete SELECT key, part, path FROM entry WHERE id = ?", (row,)
                )
            self._db.executemany(
                "UPDATE entry SET state = 2, error = ?, code = ? WHERE id = ?",
                ((error, code, row) for row, error, code in failed),
            )

    def tally(self) -> dict[str, int]:
        """Entries, files and bytes by state; bytes where known."""
        counts = dict.fromkeys(("entries", "done", "failed", "files", "files_done", "bytes", "bytes_done"), 0)
        query = "SELECT state, count(*), sum(coalesce(files, 1)), sum(coalesce(size, 0)) FROM entry GROUP BY state"
        for state, number, files, size in self._db.execute(query):
            counts["entries"] += number
            counts["files"] += files
            counts["bytes"] += size
            if state == DONE:
                counts["done"] += number
                counts["files_done"] += files
                counts["bytes_done"] += size
            elif state == FAILED:
                counts["failed"] += number
        return counts

    def failures(self, limit: int) -> list[tuple[str, str, int]]:
        """(path, reason, exit code) of entries that failed."""
        query = "SELECT path, error, code FROM entry WHERE state = 2 ORDER BY id LIMIT ?"
        return list(self._db.execute(query, (limit,)))

    def reopen(self, ledger: Path) -> None:
        """Compares with the ledger: what it holds is done, what it does not hold is to be done."""
        self._db.execute("ATTACH ? AS l", (str(ledger),))
        with _transaction(self._db, self.path):
            self._db.execute(
                "UPDATE entry SET error = NULL, state = key IN (SELECT key FROM l.unit)"
                " WHERE state != (key IN (SELECT key FROM l.unit))"
            )
        self._db.execute("DETACH l")

    def move_to(self, ledger: Path) -> None:
        """Moves results into the ledger; interrupted, it can be done again."""
        self._db.execute("ATTACH ? AS l", (str(ledger),))
        # Two transactions: one over two files in WAL mode is not atomic when the machine stops.
        with _transaction(self._db, ledger):
            # What other units had under these names is either the same again, or replaced and theirs no more.
            self._db.execute(
                "DELETE FROM l.unit WHERE key IN (SELECT f.unit FROM placed p JOIN l.file f ON f.path = p.path"
                " WHERE f.sha256 != p.sha256)"
            )
            self._db.execute(
                "DELETE FROM l.file WHERE (path, unit) IN (SELECT f.path, f.unit FROM placed p JOIN l.file f"
                " ON f.path = p.path WHERE f.sha256 != p.sha256)"
            )
            self._db.execute("UPDATE l.file SET bad = 0 WHERE bad AND path IN (SELECT path FROM placed)")
            self._db.execute(f"INSERT OR REPLACE INTO l.file ({PLACED}) SELECT {PLACED} FROM placed")
            self._db.execute("INSERT OR REPLACE INTO l.unit (key, part, path) SELECT key, part, path FROM complete")
        with _transaction(self._db, self.path):
            self._db.execute("DELETE FROM placed")
            self._db.execute("DELETE FROM complete")
        self._db.execute("DETACH l")


def tally(shards: Iterable[Path]) -> dict[str, int]:
    """The sum of several shards' tallies."""
    sums: dict[str, int] = {}
    for path in shards:
        with closing(Shard(path)) as shard:
            for key, value in shard.tally().items():
                sums[key] = sums.get(key, 0) + value
    return sums


def _placed(row: tuple[Any, ...]) -> Placed:
    path, unit, key, size, sha256, assurance, checked, source, host = row
    return Placed(path, unit, key, size, sha256, Assurance(assurance), checked, source, host)


# -- the ledger --------------------------------------------------------------------------------------------------


class Ledger:
    """What is in a home. Written by the coordinator of a run, read by everybody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = connect(path, LEDGER)

    def close(self) -> None:
        self._db.close()

    def files_of(self, unit: str) -> list[tuple[str, str | None, int]]:
        """(path, key, size) of the good files of a unit, complete or not."""
        return list(self._db.execute("SELECT path, key, size FROM file WHERE unit = ? AND NOT bad", (unit,)))

    def find(self, path: str, unit: str) -> Placed | None:
        """A file, preferably as that unit's."""
        row = self._db.execute(f"SELECT {PLACED} FROM file WHERE path = ? ORDER BY unit != ?", (path, unit)).fetchone()
        return _placed(row) if row else None

    def files(self) -> Iterator[Placed]:
        """All files in the order of their paths."""
        yield from map(_placed, self._db.execute(f"SELECT {PLACED} FROM file GROUP BY path ORDER BY path"))

    def files_of_plan(self, shards: Iterable[Path], *, ordered: bool = False) -> Iterator[Placed]:
        """The files of a plan, shard by shard, or in the order of their paths."""
        columns = ", ".join(f"f.{name.strip()}" for name in PLACED.split(","))
        self._db.execute("CREATE TEMP TABLE IF NOT EXISTS wanted (key TEXT PRIMARY KEY) WITHOUT ROWID")
        self._db.execute("DELETE FROM wanted")
        for shard in shards:
            self._db.execute("ATTACH ? AS s", (_address(shard),))
            try:
                if ordered:
                    self._db.execute("INSERT OR IGNORE INTO wanted SELECT key FROM s.entry")
                else:
                    query = f"SELECT {columns} FROM s.entry e JOIN file f ON f.unit = e.key WHERE NOT f.bad"
                    yield from map(_placed, self._db.execute(query))
            finally:
                self._db.execute("DETACH s")
        if ordered:
            query = (
                f"SELECT {columns} FROM file f WHERE NOT f.bad AND f.unit IN (SELECT key FROM wanted)"
                " GROUP BY f.path ORDER BY f.path"
            )
            yield from map(_placed, self._db.execute(query))

    def count(self, shards: Iterable[Path]) -> int:
        """How many files of a plan there are."""
        found = 0
        for shard in shards:
            self._db.execute("ATTACH ? AS s", (_address(shard),))
            query = "SELECT count(*) FROM s.entry e JOIN file f ON f.unit = e.key WHERE NOT f.bad"
            found += self._db.execute(query).fetchone()[0]
            self._db.execute("DETACH s")
        return found

    def lose(self, paths: Iterable[str]) -> None:
        """Notes that files are gone or bad: their units are not complete any more, their digests are kept."""
        with _transaction(self._db, self.path):
            for path in paths:
                self._db.execute("DELETE FROM unit WHERE key IN (SELECT unit FROM file WHERE path = ?)", (path,))
                self._db.execute("UPDATE file SET bad = 1 WHERE path = ?", (path,))

    def totals(self) -> dict[str, int]:
        each = "SELECT size FROM file WHERE NOT bad GROUP BY path"
        files, size = self._db.execute(f"SELECT count(*), coalesce(sum(size), 0) FROM ({each})").fetchone()
        return {"files": files, "bytes": size}
