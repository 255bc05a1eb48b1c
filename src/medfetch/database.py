"""SQLite files: opened, made, written all or nothing, their errors as ours. It must not know what stands in them.

Locks are believed only on disks of this machine. Elsewhere some systems have none and others only seem to: there SQLite
is told to use none (``unix-none``, which also spares WAL's shared memory), whoever writes holds a lease on the file
(``leases``), and whoever only looks (``watching``) takes it as it is just then.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from medfetch.errors import UPGRADE, CacheError, DiskFull
from medfetch.storage import is_network

Database = sqlite3.Connection
Error = sqlite3.Error
"""What reading a database raises that is damaged, or being written."""
_untouched: list[Path] = []


def connect(path: Path, schema: str, version: int, *, durable: bool = True, watching: bool = False) -> Database:
    """Opens a database, making its tables where there are none.

    Where it need not be ``durable``, nobody waits for the disk: a killed process loses nothing by that, a power cut may
    spoil it (``durability``). ``watching``: another process may be writing, and this one will not.

    Raises: CacheError where it is damaged, or of another version.
    """
    try:
        _create(path)
        where = address(path, watching=watching)
        database = sqlite3.connect(where, uri=True, timeout=60, isolation_level=None, check_same_thread=False)
        found = database.execute("PRAGMA user_version").fetchone()[0]
        readonly = not may_write(path, watching=watching)
        if found or readonly:
            # Before anything is set: what another medfetch has written stays as it is.
            _check(path, found, version, database)
        if readonly:
            return database
        database.execute(f"PRAGMA journal_mode = {'DELETE' if is_network(path.parent) else 'WAL'}")
        if durable:
            database.execute("PRAGMA synchronous = NORMAL")
        else:
            relax(database)
        if not database.execute("PRAGMA user_version").fetchone()[0]:
            database.executescript(f"BEGIN IMMEDIATE;{schema};PRAGMA user_version = {version};COMMIT;")
    except sqlite3.OperationalError as error:
        raise failed(path, error) from error
    except sqlite3.DatabaseError as error:
        raise CacheError(f"{path} is damaged: {error}", hint="remove it and run the same command again") from error
    return database


def _create(path: Path) -> None:
    """SQLite makes its files writable to their owner only, whatever the umask says."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666))


def _check(path: Path, found: int, version: int, database: Database) -> None:
    if found == version:
        return
    database.close()
    other, hint = ("a newer", UPGRADE) if found > version else ("an older", "use that one, or medfetch rm")
    raise CacheError(f"{path} was written by {other} medfetch (format {found}, not {version})", hint=hint)


def relax(database: Database, name: str = "main") -> None:
    """From now on nobody waits for the disk (see ``connect``); ``name``: which of the attached ones."""
    database.execute(f"PRAGMA {name}.synchronous = OFF")


def is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(address(path), uri=True)) as database:
            return bool(database.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError:
        return True


@contextmanager
def made(path: Path, schema: str, version: int) -> Iterator[Database]:
    """A new database, filled in the ``with`` block; durable when the caller syncs the folder.

    Raises: CacheError, DiskFull.
    """
    _create(path)
    database = sqlite3.connect(address(path), uri=True, isolation_level=None)
    try:
        # Nothing to protect: what is made half is thrown away whole.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(f"{schema};PRAGMA user_version = {version};BEGIN;")
        yield database
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise failed(path, error) from error
    finally:
        database.close()


@contextmanager
def transaction(database: Database, path: Path) -> Iterator[None]:
    """All or nothing of what is written in it.

    Raises: DiskFull, CacheError.
    """
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise failed(path, error) from error
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


@contextmanager
def reading(database: Database) -> Iterator[None]:
    """For many queries in a row: they see one state, and the file is locked once, not for each."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("COMMIT")


@contextmanager
def attached(database: Database, path: Path, *, watching: bool = False) -> Iterator[None]:
    """Another database beside it, by the name ``other``."""
    database.execute("ATTACH ? AS other", (address(path, watching=watching),))
    try:
        yield
    finally:
        database.execute("DETACH other")


def shrink(database: Database) -> None:
    """Gives back the room of rows that are gone; where there is none to do it in, it stays as it is."""
    with suppress(sqlite3.OperationalError):
        database.execute("VACUUM")


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Databases in a folder are only read meanwhile, and get no files beside them, even if this user might write."""
    _untouched.append(folder)
    try:
        yield
    finally:
        _untouched.remove(folder)


def may_write(path: Path, *, watching: bool = False) -> bool:
    """Whether this user may, and need not fear to come in the way of others."""
    closed = any(path.is_relative_to(folder) for folder in _untouched) or (watching and is_network(path.parent))
    return not closed and (not path.exists() or os.access(path, os.W_OK))


def address(path: Path, *, watching: bool = False) -> str:
    """How SQLite is to open a database: one that may only be read without the files that WAL would make beside it."""
    if not may_write(path, watching=watching):
        options = "?immutable=1"
    else:
        options = "?vfs=unix-none" if is_network(path.parent) else ""
    return f"file:{quote(str(path))}{options}"


def failed(path: Path, error: sqlite3.OperationalError) -> CacheError | DiskFull:
    """SQLite's own error for a full disk or an unusable cache, as ours."""
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return DiskFull(f"{path}: the disk is full", hint="make room and run the same command again")
    return CacheError(f"{path}: {error}", hint="is the cache writable, and is there room?")
