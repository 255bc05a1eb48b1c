"""What a lock says must come of each entry of a plan: a file's path, size and SHA-256. Beside the plan, one database.

Whatever comes otherwise gets no final name. It must not know locks, the network or the sources.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from medfetch import database, entries
from medfetch.database import attached
from medfetch.errors import IntegrityError
from medfetch.placing import Staged
from medfetch.types import Assurance, Entry, Group

NAME = "pins.db"
"""In the plan's folder; not the ending of shards."""
VERSION = 1
"""Of its schema."""
PINS = """
    CREATE TABLE pin (path TEXT NOT NULL, unit TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
        published INTEGER NOT NULL, PRIMARY KEY (path, unit)) WITHOUT ROWID;
    CREATE TABLE unit (unit TEXT PRIMARY KEY, place TEXT NOT NULL, files INTEGER NOT NULL) WITHOUT ROWID
"""
"""``unit``: entries of which all files are pinned, with the entry's path; of others only their own checks are known."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A file as it must be."""

    path: str
    size: int
    sha256: str
    published: bool
    """Whether the digest is the publisher's own."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not what was locked."""

    path: str
    locked: str
    here: str

    def __str__(self) -> str:
        return f"locked {self.locked}, here {self.here}"


def write(folder: Path, pinned: Iterable[tuple[Entry, Iterable[Pin]]]) -> None:
    """Makes the database of a plan; durable when the caller syncs the folder. Raises: CacheError, DiskFull."""
    with database.made(folder / NAME, PINS, VERSION) as new:
        for entry, pins in pinned:
            unit, files = entries.unit(entry), 0
            for files, pin in enumerate(pins, 1):  # noqa: B007 how many there were
                row = (pin.path, unit, pin.size, pin.sha256, pin.published)
                new.execute("INSERT OR REPLACE INTO pin VALUES (?, ?, ?, ?, ?)", row)
            if files:
                new.execute("INSERT OR REPLACE INTO unit VALUES (?, ?, ?)", (unit, entry.path, files))


def told(files: Mapping[str, tuple[int, str]]) -> Callable[[Entry], list[Pin]]:
    """How a description of a dataset that names files, with size and SHA-256, pins an entry: a file, or a series.

    What is in archives is pinned by their own digests.
    """
    folders: dict[str, list[Pin]] = {}
    for path, (size, sha256) in files.items():
        folders.setdefault(path.rpartition("/")[0], []).append(Pin(path, size, sha256, published=True))

    def pinned(entry: Entry) -> list[Pin]:
        if isinstance(entry, Group):
            return folders.get(entry.path, [])
        beside = folders.get(entry.path.rpartition("/")[0], []) if not entry.unpack and not entry.dicom else []
        return [pin for pin in beside if pin.path == entry.path]

    return pinned


class Pins:
    """Those of a plan; only read."""

    def __init__(self, plan: Path) -> None:
        """``plan``: its folder. Raises: CacheError."""
        self._db = database.connect(plan / NAME, PINS, VERSION, watching=True)

    def close(self) -> None:
        self._db.close()

    def judged(self, unit: str, staged: Staged) -> Staged:
        """A file that is about to get its name, and how sure we are of it now.

        Raises: IntegrityError where it is not what was locked.
        """
        found = self._db.execute(
            "SELECT size, sha256, published FROM pin WHERE path = ? AND unit = ?", (staged.path, unit)
        ).fetchone()
        if found is None:
            if self._files(unit):
                raise IntegrityError(f"{staged.path}: it is not in the lock, and came with what is")
            return staged
        size, sha256, published = found
        if (size, sha256) != (staged.size, staged.sha256):
            told = Difference(staged.path, _file(size, sha256), _file(staged.size, staged.sha256))
            raise IntegrityError(f"{staged.path}: {told}")
        by_lock = f"sha256:{sha256}"
        # The entry has the lock's digest among its own.
        if staged.assurance is Assurance.PUBLISHED and (published or staged.checked != by_lock):
            return staged
        return replace(staged, assurance=Assurance.LOCKED, checked=by_lock)

    def missing(self, unit: str, there: Collection[str]) -> IntegrityError | None:
        """Why an entry is not complete with the files that are there, if so."""
        if len(there) >= self._files(unit):
            return None
        wanted = self._db.execute("SELECT path FROM pin WHERE unit = ? ORDER BY path", (unit,))
        path = next(path for (path,) in wanted if path not in there)
        return IntegrityError(f"{path}: it is in the lock, and did not come with the others")

    def _files(self, unit: str) -> int:
        found = self._db.execute("SELECT files FROM unit WHERE unit = ?", (unit,)).fetchone()
        return int(found[0]) if found else 0

    def differences(self, ledger: Path) -> Iterator[Difference]:
        """What the ledger has of complete entries, and is not what was locked."""
        of_unit = "FROM unit x CROSS JOIN other.unit u ON u.path = x.place AND u.key = x.unit AND u.complete"
        with attached(self._db, ledger, watching=True):
            rows = self._db.execute(
                "SELECT f.path, p.size, p.sha256, f.size, f.sha256"
                f" {of_unit} JOIN other.file f ON f.unit = u.id AND NOT f.bad"
                " LEFT JOIN pin p ON p.path = f.path AND p.unit = x.unit WHERE p.sha256 IS NOT f.sha256"
            )
            for path, size, sha256, here_size, here in rows:
                yield Difference(path, _file(size, sha256) if sha256 else "no such file", _file(here_size, here))
            rows = self._db.execute(
                f"SELECT p.path, p.size, p.sha256 {of_unit} JOIN pin p ON p.unit = x.unit"
                " WHERE x.files > (SELECT count(*) FROM other.file f WHERE f.unit = u.id AND NOT f.bad)"
                " AND NOT EXISTS (SELECT 1 FROM other.file f WHERE f.path = p.path AND f.unit = u.id AND NOT f.bad)"
            )
            for path, size, sha256 in rows:
                yield Difference(path, _file(size, sha256), "no such file")


def of_plan(plan: Path) -> Pins | None:
    """Those of a plan in a folder; None where no lock made it. Raises: CacheError."""
    return Pins(plan) if (plan / NAME).exists() else None


def differences(plan: Path, ledger: Path) -> Iterator[Difference]:
    """As ``Pins.differences``; none where no lock made the plan."""
    if pins := of_plan(plan):
        with closing(pins):
            yield from pins.differences(ledger)


def _file(size: int, sha256: str) -> str:
    return f"sha256 {sha256} ({size:,} bytes)"
