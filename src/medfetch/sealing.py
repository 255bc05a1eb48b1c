"""From piles to archives: what a home has is cut into archives, and those that are not there yet are made.

Which archives there are, and each byte of them, follows from the files alone: names, contents, and the format. So two
machines make the same, and it does not matter in which order the files came. It must not know plans or the network.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from medfetch import durability, packs
from medfetch.cache import Home
from medfetch.checksum import BLOCK, Hasher, hash_file
from medfetch.errors import IntegrityError
from medfetch.ledger import Ledger
from medfetch.packs import Packs, Source
from medfetch.partial import Room
from medfetch.placing import in_the_way
from medfetch.storage import disk_errors

LARGEST, MOST = 2 * 10**9, 20_000
"""Bytes and files of an archive; a folder with more is cut into several. A larger file has one for itself."""
AT_ONCE = 4
"""Archives that are made at the same time: hashing leaves Python's lock free."""
SYNC_EVERY = 4 * 10**9
"""Bytes in new archives, after which what they were made of is removed."""
LOOK = 0.2
"""Seconds between two looks whether the run is to end."""
NEW = ".new"
"""What an archive is called until it has its name."""
LONGEST = 200
"""Bytes of a folder's name in that of its archive."""
OF_NONE = "files"
"""The name of archives with files that lie in no folder."""
WHEN = (1980, 1, 1, 0, 0, 0)
"""The time of all files in a zip, the first that it can tell; in a tar it is 0."""
UNIX, MODE = 3, 0o644
"""The system whose modes a zip has (PKWARE APPNOTE 4.4.2); the mode of all files."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes into one archive: files that follow each other in the order of their paths, of one folder or none."""

    name: str
    """The archive's."""
    top: bool
    """They lie in no folder."""
    first: str
    last: str
    size: int
    """Bytes of all files."""
    made: bool
    """There is such an archive already, with these files and no others."""


def seal(home: Home, reserve: int, tell: Callable[[int, int], None], look: Callable[[], None] = lambda: None) -> None:
    """Makes all archives of a home that are not there yet, and removes what they were made of.

    Only while nobody else is at work there. ``reserve``: bytes of the disk that are never used. ``tell`` is told how
    many archives, with how many bytes, are to be made; ``look`` is called now and then, and may raise.
    Raises: IntegrityError where a file is not what it was any more; CacheError; DiskFull; OSError.
    """
    format_ = packs.format_of(home)
    assert format_, "the home is a packed one"
    with closing(Packs(home)) as index:
        packs.set_right(index)
        if index.is_sealed():
            return
        for left in home.piles.glob(f"*{NEW}"):
            left.unlink()
        all_of_it = bundles(index, format_)
        wanted = [bundle for bundle in all_of_it if not bundle.made]
        # First of all: from now on no file that is read for a new archive changes its name.
        kept = {bundle.name for bundle in all_of_it if bundle.made}
        with disk_errors(home.root):
            for archive in index.containers():
                if archive.is_archive and archive.name not in kept:
                    packs.set_aside(index, archive)
        if wanted:
            tell(len(wanted), sum(bundle.size for bundle in wanted))
        _Sealing(index, format_, reserve, look).make(wanted)
        index.seal()


@dataclass(slots=True)
class _Run:
    """Files that follow each other."""

    first: str
    last: str = ""
    files: int = 0
    size: int = 0
    containers: set[int | None] = field(default_factory=set)


def bundles(index: Packs, format_: str) -> list[Bundle]:
    """The archives that a home should have, by what the ledger has."""
    archives = {each.id: (each.name, each.files) for each in index.containers() if each.is_archive}
    tops: dict[str, list[_Run]] = {}
    taken: set[str] = set()
    for path, size, container in index.files():
        top, slash, _ = path.partition("/")
        # A file that is still at its own name must not be in an archive's way, nor a folder.
        if not slash and path.endswith(f".{format_}"):
            taken.add(path.casefold())
        runs = tops.setdefault(top if slash else "", [])
        if not runs or runs[-1].files >= MOST or runs[-1].size + size > LARGEST:
            runs.append(_Run(path))
        run = runs[-1]
        run.last, run.files, run.size = path, run.files + 1, run.size + size
        run.containers.add(container)
    taken |= {top.casefold() for top in tops}
    found = []
    for top, runs in sorted(tops.items()):
        for number, run in enumerate(runs, 1):
            name = _name(top or OF_NONE, number if len(runs) > 1 else 0, format_, taken)
            made = [archives.get(each or 0) for each in run.containers] == [(name, run.files)]
            found.append(Bundle(name, not top, run.first, run.last, run.size, made))
    return found


def _name(top: str, number: int, format_: str, taken: set[str]) -> str:
    """``LIDC-IDRI-0001.zip``, or ``train.0001.zip`` where there are several; unlike any that is taken, which it is
    then."""
    stem = top.encode()[:LONGEST].decode("utf-8", "ignore") + (f".{number:04d}" if number else "")
    while (name := f"{stem}.{format_}").casefold() in taken:
        stem += "~"
    taken.add(name.casefold())
    return name


class _Sealing:
    """Archives being made: written aside by threads, named and noted by the one that owns the tables."""

    def __init__(self, index: Packs, format_: str, reserve: int, look: Callable[[], None]) -> None:
        self._index, self._format, self._home, self._look = index, format_, index.home, look
        self._room = Room(self._home.piles, reserve)
        self._stop = threading.Event()

    def make(self, wanted: list[Bundle]) -> None:
        pool = ThreadPoolExecutor(AT_ONCE)
        pending: deque[tuple[Bundle, list[Source], Future[_Written]]] = deque()
        unswept = 0
        try:
            for bundle in wanted:
                sources = self._index.sources(bundle.first, bundle.last, top=bundle.top)
                self._room.take(bundle.size, bundle.name)
                pending.append((bundle, sources, pool.submit(self._write, bundle.name, sources)))
                if len(pending) > AT_ONCE:
                    unswept += self._place(*pending.popleft())
                if unswept > SYNC_EVERY:
                    self._sweep()
                    unswept = 0
            while pending:
                self._place(*pending.popleft())
            self._sweep()
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    # -- one archive ---------------------------------------------------------------------------------------------

    def _write(self, name: str, sources: list[Source]) -> _Written:
        """Writes an archive aside, each file compared with its digest, and looks whether it can be read."""
        path = self._home.piles / f"{name}{NEW}"
        write = {"zip": _write_zip, "tar": _write_tar}[self._format]
        with disk_errors(path), open(path, "wb") as file:
            offsets = write(file, sources, self._read)
        with disk_errors(path):
            names = {"zip": _names_in_zip, "tar": _names_in_tar}[self._format](path)
            if names != [source.path for source in sources]:
                raise IntegrityError(f"{name}: what was written cannot be read again", hint="is the disk sound?")
            spots = [(offset, source.size) for offset, source in zip(offsets, sources, strict=True)]
            return _Written(path, offsets, path.stat().st_size, frame(path, spots))

    def _read(self, source: Source) -> Iterator[bytes]:
        """The bytes of a file. Raises: IntegrityError, before the last of them, where they are not those that came."""
        hasher, left = Hasher(), source.size
        try:
            file = open(self._home.root / source.spot.name, "rb", buffering=0)  # noqa: SIM115 with, below
        except FileNotFoundError:
            raise _Spoilt(source, "is missing") from None
        with file:
            file.seek(source.spot.at)
            while left:
                if self._stop.is_set():
                    raise InterruptedError
                block = file.read(min(left, BLOCK))
                hasher.update((block,), len(block))
                left -= len(block)
                if not block or (not left and hasher.sha256 != source.sha256):
                    raise _Spoilt(source, "is not what it was when it came")
                yield block

    def _place(self, bundle: Bundle, sources: list[Source], writing: Future[_Written]) -> int:
        """Gives an archive its name, and notes it; its bytes."""
        while not writing.done():
            wait([writing], LOOK)
            self._look()
        try:
            written = writing.result()
        except _Spoilt as error:
            # It is fetched again by the next run.
            with closing(Ledger(self._home.ledger)) as ledger:
                ledger.lose([error.path])
            packs.lose(self._home, [error.path])
            raise
        final = self._home.root / bundle.name
        with disk_errors(final):
            # What is there without a note is what a killed run has named, or a ledger that is gone has known.
            if os.path.lexists(final) and not _alike(final, written.path):
                raise in_the_way(final)
            os.replace(written.path, final)
        loose = any(not source.spot.packed for source in sources)
        members = [(source.path, offset) for source, offset in zip(sources, written.offsets, strict=True)]
        self._index.add(bundle.name, written.size, written.frame, members, loose=loose)
        return written.size

    # -- what archives were made of ------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Removes what is in archives now, once those have reached the disk."""
        with disk_errors(self._home.root):
            durability.sync(self._home)
            sweep(self._index)


def sweep(index: Packs) -> None:
    """Removes containers of which nothing is wanted, and loose files that are in archives. Raises: OSError."""
    home = index.home
    for container in index.empty():
        for path in packs.Spot(container.id, container.name, 0).candidates(home):
            path.unlink(missing_ok=True)
        index.drop(container.id)
    for container in [each for each in index.containers() if each.loose]:
        for member, _, _ in index.members(container.id):
            _remove(home, member)
        index.swept(container.id)


def _remove(home: Home, path: str) -> None:
    """A loose file, and the folders that it leaves empty."""
    loose = home.root / path
    with suppress(FileNotFoundError, NotADirectoryError):
        loose.unlink()
        for folder in loose.parents:
            if folder == home.root or any(folder.iterdir()):
                break
            folder.rmdir()


@dataclass(frozen=True, slots=True)
class _Written:
    path: Path
    offsets: list[int]
    size: int
    frame: str


class _Spoilt(IntegrityError):
    """A file that waited for its archive is bad."""

    def __init__(self, source: Source, what: str) -> None:
        super().__init__(f"{source.path} {what}", hint="the same command fetches it again")
        self.path = source.path


def frame(path: Path, spots: Iterable[tuple[int, int]]) -> str:
    """The SHA-256 of all in an archive that is no member's: headers, directory; ``spots``: (offset, bytes) of those.

    Raises: OSError.
    """
    digest, at = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        for offset, size in sorted(spots):
            file.seek(at)
            digest.update(file.read(max(0, offset - at)))
            at = offset + size
        file.seek(at)
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _alike(one: Path, other: Path) -> bool:
    return one.is_file() and not one.is_symlink() and hash_file(one).sha256 == hash_file(other).sha256


# -- formats ---------------------------------------------------------------------------------------------------------

Read = Callable[[Source], Iterator[bytes]]


def _write_zip(file: BinaryIO, sources: list[Source], read: Read) -> list[int]:
    """Writes a zip of uncompressed files; where each of them begins."""
    offsets = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for source in sources:
            info = zipfile.ZipInfo(source.path, WHEN)
            info.create_system, info.external_attr = UNIX, MODE << 16
            info.file_size = source.size  # whether sizes need 64 bits is decided by it
            with archive.open(info, "w") as member:
                offsets.append(file.tell())
                for block in read(source):
                    member.write(block)
    return offsets


def _write_tar(file: BinaryIO, sources: list[Source], read: Read) -> list[int]:
    """Writes a POSIX (pax) tar; where each file in it begins."""
    offsets = []
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for source in sources:
            info = tarfile.TarInfo(source.path)
            info.size, info.mode = source.size, MODE
            archive.addfile(info, io.BufferedReader(_Stream(read(source))))
            offsets.append(archive.offset - -(-source.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
    return offsets


class _Stream(io.RawIOBase):
    """Blocks as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        view = memoryview(buffer)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _names_in_zip(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _names_in_tar(path: Path) -> list[str]:
    with tarfile.open(path, "r:") as archive:
        return archive.getnames()
