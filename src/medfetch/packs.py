"""In which archive a packed home has each file, and where in it: tables beside the ledger's own, in its database.

A container is an archive at its final name, or a pile: verified files behind each other, which wait for an archive.
It must not know what an archive looks like inside, nor the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfetch import database, storage
from medfetch.cache import INNER, Home
from medfetch.database import transaction
from medfetch.errors import UPGRADE, CacheError, UsageProblem
from medfetch.ledger import LEDGER, VERSION

FORMATS = ("zip", "tar")
OVERHEAD = 16 * 10**9
"""Bytes that may lie on the disk twice while archives are made (``sealing``, ``piles``)."""
PILES = f"{INNER}/piles/"
TABLES = """
    CREATE TABLE IF NOT EXISTS container (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, files INTEGER,
        size INTEGER, frame TEXT, loose INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS member (path TEXT PRIMARY KEY, container INTEGER NOT NULL, at INTEGER NOT NULL)
        WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS member_container ON member (container);
    CREATE TABLE IF NOT EXISTS packing (sealed INTEGER NOT NULL);
    INSERT INTO packing SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM packing)
"""
"""``name`` is relative to the home. Only archives have ``files``, how many were put in; ``size``, in bytes; ``frame``,
the SHA-256 of all that is no member's; and ``loose``: files that were put in may still lie at their own names.
``sealed``: nothing has come or gone since all was put into archives."""
_NAME = "substr(staged, 7 + length(CAST(substr(staged, 6) AS INTEGER)))"
_IN_PILE = "staged LIKE 'pile:%'"
PILED = f"SELECT 1 FROM placed WHERE {_IN_PILE} LIMIT 1"
ENTER = (
    f"INSERT OR IGNORE INTO other.container (name) SELECT DISTINCT '{PILES}' || {_NAME} FROM placed WHERE {_IN_PILE}",
    "INSERT OR REPLACE INTO other.member (path, container, at)"
    " SELECT p.path, c.id, CAST(substr(staged, 6) AS INTEGER) FROM placed p"
    f" JOIN other.container c ON c.name = '{PILES}' || {_NAME} WHERE {_IN_PILE}",
    "UPDATE other.packing SET sealed = 0",
)
"""Whether a shard has ``placed`` anything in piles (see ``written``); what enters it into the ledger ``other``."""


def written(at: int, pile: str) -> str:
    """What stands in a shard in place of a temporary name."""
    return f"pile:{at}:{pile}"


def pile_of(staged: str) -> str | None:
    """The pile that ``written`` named; None for a temporary name."""
    return staged.split(":", 2)[2] if staged.startswith("pile:") else None


def format_of(home: Home) -> str | None:
    """``zip`` or ``tar``; None for a home of loose files. Raises: CacheError for what only a newer medfetch knows."""
    content = storage.read_json(home.packed)
    if content and content["format"] not in FORMATS:
        raise CacheError(f"{home.root} was packed by a newer medfetch, as {content['format']}", hint=UPGRADE)
    return content["format"] if content else None


def begin(home: Home, wanted: str | None) -> None:
    """Makes a home a packed one from now on, where that is ``wanted``; also one that is packed in the other format.

    Only while nobody else is at work there. Raises: OSError.
    """
    before = format_of(home)
    if wanted is None and before is None:
        return
    home.piles.mkdir(exist_ok=True)
    with closing(Packs(home)) as packs:
        if wanted and wanted != before:
            packs.unseal()
            # A file of its own: a ledger that a power cut has damaged is made anew.
            storage.write_json(home.packed, {"format": wanted})


def check(home: Home, wanted: str | None) -> None:
    """For a task that joins others. Raises: UsageProblem where they do not pack, or otherwise."""
    if wanted and format_of(home) != wanted:
        raise UsageProblem(f"those at work in {home.root} do not pack it as {wanted}", hint="wait for them")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a file's bytes are."""

    container: int
    """0 for a loose file."""
    name: str
    """Of the container, or of the loose file, relative to the home."""
    at: int
    """Of its first byte."""

    @property
    def packed(self) -> bool:
        return bool(self.container)

    def candidates(self, home: Home) -> list[Path]:
        """Where the container may be: what is about to be replaced is set aside a moment before that is noted."""
        return [home.root / self.name, *([aside(home, self.container)] if self.packed else [])]


def aside(home: Home, container: int) -> Path:
    """What an archive is called when another is to get its name."""
    return home.piles / f"{container}.old"


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is to be put into an archive, and where it is now."""

    path: str
    size: int
    sha256: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class Container:
    id: int
    name: str
    files: int | None
    size: int | None
    frame: str | None
    loose: bool

    @property
    def is_archive(self) -> bool:
        return self.frame is not None


class Packs:
    """The tables of a packed home. Written by whoever may write its ledger, read by everybody."""

    def __init__(self, home: Home, *, watching: bool = False) -> None:
        self.home = home
        self._db = database.connect(home.ledger, LEDGER, VERSION, watching=watching)
        if not watching and database.may_write(home.ledger):
            self._db.executescript(TABLES)

    def close(self) -> None:
        self._db.close()

    # -- where files are -----------------------------------------------------------------------------------------

    def find(self, path: str) -> Spot | None:
        """None for a file that is not in a container."""
        query = "SELECT c.id, c.name, m.at FROM member m JOIN container c ON c.id = m.container WHERE m.path = ?"
        row = self._db.execute(query, (path,)).fetchone()
        return Spot(*row) if row else None

    def size(self, path: str) -> int:
        """Bytes of a file; 0 for one that the ledger does not know."""
        return int(self._db.execute("SELECT coalesce(max(size), 0) FROM file WHERE path = ?", (path,)).fetchone()[0])

    def containers(self) -> list[Container]:
        rows = self._db.execute("SELECT id, name, files, size, frame, loose FROM container ORDER BY name")
        return [Container(id_, name, files, size, frame, bool(loose)) for id_, name, files, size, frame, loose in rows]

    def members(self, container: int) -> Iterator[tuple[str, int, int]]:
        """(path, offset, bytes) of the good members of a container, in the order of their offsets."""
        query = (
            "SELECT m.path, m.at, max(f.size) FROM member m JOIN file f ON f.path = m.path"
            " WHERE m.container = ? AND NOT f.bad GROUP BY m.path ORDER BY m.at"
        )
        yield from self._db.execute(query, (container,))

    def loose(self) -> Iterator[tuple[str, int]]:
        """(path, bytes) of good files at their own names."""
        yield from self._db.execute(
            "SELECT f.path, f.size FROM file f LEFT JOIN member m ON m.path = f.path"
            " WHERE NOT f.bad AND m.path IS NULL GROUP BY f.path"
        )

    def files(self) -> Iterator[tuple[str, int, int | None]]:
        """(path, bytes, container) of all good files in the order of their paths."""
        yield from self._db.execute(
            "SELECT f.path, f.size, m.container FROM file f LEFT JOIN member m ON m.path = f.path"
            " WHERE NOT f.bad GROUP BY f.path ORDER BY f.path"
        )

    def sources(self, first: str, last: str, *, top: bool) -> list[Source]:
        """The good files from one path to another; with ``top`` only those that lie in no folder."""
        rows = self._db.execute(
            "SELECT f.path, f.size, f.sha256, c.id, c.name, m.at FROM file f LEFT JOIN member m ON m.path = f.path"
            " LEFT JOIN container c ON c.id = m.container WHERE f.path BETWEEN ? AND ? AND NOT f.bad"
            " AND (instr(f.path, '/') = 0) = ? GROUP BY f.path ORDER BY f.path",
            (first, last, top),
        )
        return [
            Source(path, size, sha256, Spot(container or 0, name or path, at or 0))
            for path, size, sha256, container, name, at in rows
        ]

    # -- changes -------------------------------------------------------------------------------------------------

    def is_sealed(self) -> bool:
        return bool(self._db.execute("SELECT sealed FROM packing").fetchone()[0])

    def seal(self) -> None:
        self._write(("UPDATE packing SET sealed = 1", ()))

    def unseal(self) -> None:
        self._write(("UPDATE packing SET sealed = 0", ()))

    def rename(self, container: int, name: str) -> None:
        """Notes that an archive is none any more, but a pile."""
        query = "UPDATE container SET name = ?, files = NULL, size = NULL, frame = NULL WHERE id = ?"
        self._write((query, (name, container)), ("UPDATE packing SET sealed = 0", ()))

    def add(self, name: str, size: int, frame: str, members: Iterable[tuple[str, int]], *, loose: bool) -> None:
        """Notes an archive that has got its name, with (path, offset) of its members."""
        found = list(members)
        with transaction(self._db, self.home.ledger):
            query = "INSERT INTO container (name, files, size, frame, loose) VALUES (?, ?, ?, ?, ?)"
            container = self._db.execute(query, (name, len(found), size, frame, loose)).lastrowid
            self._db.executemany(
                "INSERT OR REPLACE INTO member VALUES (?, ?, ?)", ((path, container, at) for path, at in found)
            )

    def swept(self, container: int) -> None:
        """Notes that none of what is in an archive lies at its own name any more."""
        self._write(("UPDATE container SET loose = 0 WHERE id = ?", (container,)))

    def forget(self, paths: Iterable[str]) -> list[Container]:
        """Forgets where some files are; the containers in which others of them are left."""
        touched: set[int] = set()
        with transaction(self._db, self.home.ledger):
            for path in paths:
                row = self._db.execute("SELECT container FROM member WHERE path = ?", (path,)).fetchone()
                touched |= set(row or ())
                self._db.execute("DELETE FROM member WHERE path = ?", (path,))
            self._db.execute("UPDATE packing SET sealed = 0")
        return [each for each in self.containers() if each.id in touched]

    def empty(self) -> list[Container]:
        """Containers of which nothing is wanted any more."""
        wanted = {row[0] for row in self._db.execute("SELECT DISTINCT container FROM member")}
        return [each for each in self.containers() if each.id not in wanted]

    def drop(self, container: int) -> None:
        """Forgets a container, whose file is gone."""
        self._write(("DELETE FROM container WHERE id = ?", (container,)))

    def _write(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        with transaction(self._db, self.home.ledger):
            for query, values in statements:
                self._db.execute(query, values)


def missing(packs: Packs) -> list[str]:
    """Paths of files whose container is gone, or too short."""
    found: list[str] = []
    for container in packs.containers():
        size = _size(packs.home, container)
        # Of an archive that is not as long as it was, nothing is believed.
        gone = size < 0 or container.size not in (None, size)
        found += [path for path, at, count in packs.members(container.id) if gone or (count and at + count > size)]
    return found


def lose(home: Home, paths: Iterable[str]) -> None:
    """Forgets where files are that are gone or bad: their archives are set aside, for others of them may be good.

    Only while nobody else is at work there. Raises: CacheError, DiskFull.
    """
    with closing(Packs(home)) as packs:
        for container in packs.forget(paths):
            set_aside(packs, container)


def set_aside(packs: Packs, container: Container) -> None:
    """Makes a pile of an archive, whose name is free then; whoever reads finds it under either. Raises: OSError."""
    if container.is_archive:
        with suppress(FileNotFoundError):
            os.rename(packs.home.root / container.name, aside(packs.home, container.id))
        packs.rename(container.id, f"{PILES}{container.id}.old")


def set_right(packs: Packs) -> None:
    """After a run that was killed: notes what it set aside and did not note any more. Raises: OSError."""
    for container in packs.containers():
        if container.is_archive and aside(packs.home, container.id).exists():
            set_aside(packs, container)


def _size(home: Home, container: Container) -> int:
    for path in Spot(container.id, container.name, 0).candidates(home):
        with suppress(OSError):
            return os.stat(path).st_size
    return -1
