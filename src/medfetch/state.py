"""Shards: what to do, and what was done until the ledger has it. It must not know the network or the sources.

A shard is one SQLite file owned by one worker at a time. ``entry`` holds what was planned; ``placed`` (files) and
``complete`` (entries) hold the results until the coordinator moves them into the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from medfetch import database, entries, packs
from medfetch.database import attached, transaction
from medfetch.ledger import FACTS, Ledger, Placed, placed_of_row
from medfetch.types import Entry

TODO, DONE, FAILED = 0, 1, 2

VERSION = 3
"""Of its schema."""
SHARD = """
    CREATE TABLE entry (id INTEGER PRIMARY KEY, part TEXT NOT NULL, key TEXT NOT NULL, path TEXT NOT NULL,
        files INTEGER, size INTEGER, state INTEGER NOT NULL DEFAULT 0, error TEXT, code INTEGER, body TEXT NOT NULL);
    CREATE TABLE placed (path TEXT NOT NULL, unit TEXT NOT NULL, key TEXT, size INTEGER NOT NULL,
        sha256 TEXT NOT NULL, assurance TEXT NOT NULL, checked TEXT, source TEXT NOT NULL, host TEXT NOT NULL,
        staged TEXT NOT NULL, PRIMARY KEY (path, unit)) WITHOUT ROWID;
    CREATE INDEX placed_unit ON placed (unit);
    CREATE TABLE complete (entry INTEGER PRIMARY KEY);
    CREATE TABLE owner (token TEXT PRIMARY KEY);
    CREATE TABLE compared (stamp TEXT)
"""
"""``owner``: the leases under which it was worked on; their tokens are in the names of partial files. ``compared``: the
ledger's stamp when the entries that are done were last found in it."""
OPEN = "CREATE INDEX entry_open ON entry (state, files, size) WHERE state != 1"
"""What is open is counted without a look at what is done. Made when the entries are there, which is faster."""


def create_shard(path: Path, rows: Iterable[tuple[str, Entry]]) -> None:
    """Makes a shard of entries, each with its part's name; durable when the caller syncs the folder.

    Raises: CacheError, DiskFull.
    """
    with database.made(path, SHARD, VERSION) as new:
        new.executemany(
            "INSERT INTO entry (part, key, path, files, size, body) VALUES (?, ?, ?, ?, ?, ?)",
            ((part, entries.unit(e), e.path, entries.files(e), e.size, entries.dump(e)) for part, e in rows),
        )
        new.execute(OPEN)


class Shard:
    """One shard's database. Only its owner writes; whoever else opens it is ``watching`` (``database.connect``)."""

    def __init__(self, path: Path, *, durable: bool = True, watching: bool = False) -> None:
        self.path, self._durable = path, durable
        self._db = database.connect(path, SHARD, VERSION, durable=durable, watching=watching)

    def close(self) -> None:
        self._db.close()

    def reading(self) -> AbstractContextManager[None]:
        """Around many queries in a row."""
        return database.reading(self._db)

    def todo(self, after: int, limit: int) -> list[tuple[int, str, str, Entry]]:
        """The next open entries behind row ``after``: (row, part, unit, entry)."""
        rows = self._db.execute(
            "SELECT id, part, key, body FROM entry WHERE state != ? AND id > ? ORDER BY id LIMIT ?",
            (DONE, after, limit),
        )
        return [(row, part, key, entries.load(body)) for row, part, key, body in rows]

    def entries(self) -> Iterator[tuple[str, Entry]]:
        for part, body in self._db.execute("SELECT part, body FROM entry ORDER BY id"):
            yield part, entries.load(body)

    def own(self, token: str) -> set[str]:
        """Notes another lease; the tokens of those before.

        Raises: DiskFull, CacheError.
        """
        before = {row[0] for row in self._db.execute("SELECT token FROM owner")}
        with transaction(self._db, self.path):
            self._db.execute("INSERT OR IGNORE INTO owner VALUES (?)", (token,))
        return before

    def placed_of(self, unit: str) -> list[tuple[str, str | None, int]]:
        """(path, key, size) of the files of a unit that wait for the ledger."""
        return list(self._db.execute("SELECT path, key, size FROM placed WHERE unit = ?", (unit,)))

    def find(self, path: str, unit: str) -> Placed | None:
        """A file that waits for the ledger, preferably as that unit's."""
        query = f"SELECT path, unit, {FACTS} FROM placed WHERE path = ? ORDER BY unit != ?"
        row = self._db.execute(query, (path, unit)).fetchone()
        return placed_of_row(row) if row else None

    def plans(self, unit: str) -> bool:
        return self._db.execute("SELECT 1 FROM entry WHERE key = ?", (unit,)).fetchone() is not None

    def placed(self) -> Iterator[Placed]:
        for row in self._db.execute(f"SELECT path, unit, {FACTS} FROM placed ORDER BY path"):
            yield placed_of_row(row)

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
        """Entries that are not done, with their files and bytes where known; and how many of them failed, or are
        ``untried``."""
        counts = dict.fromkeys(("entries", "files", "bytes", "failed", "untried"), 0)
        query = (
            "SELECT state, count(*), coalesce(sum(files), 0), coalesce(sum(size), 0) FROM entry"
            " WHERE state != 1 GROUP BY state"
        )
        for state, number, files, size in self._db.execute(query):
            counts["entries"] += number
            counts["files"] += files
            counts["bytes"] += size
            counts["failed" if state == FAILED else "untried"] += number
        return counts

    def waiting(self) -> int:
        """Files in place that wait for the ledger."""
        return int(self._db.execute("SELECT count(*) FROM placed").fetchone()[0])

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
            if not self._durable:
                database.relax(self._db, "other")
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
        if self._db.execute(packs.PILED).fetchone():
            for query in packs.ENTER:
                self._db.execute(query)
