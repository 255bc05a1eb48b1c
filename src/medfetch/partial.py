"""The bytes of one file that is not whole yet: on disk, hashed as they come, with a note of their version beside them.

It must not know hosts, answers or retries.
"""

from __future__ import annotations

import gzip
import json
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from medfetch.checksum import BLOCK, Hasher, hash_file
from medfetch.errors import DiskFull, IntegrityError
from medfetch.storage import disk_errors, free_bytes
from medfetch.types import Checksum, RemoteFile

LOOK_AT_DISK = 64 << 20
"""Bytes received between two looks at the free space."""
MOST_BLOCKS = 512
"""In one call; POSIX asks for 16, Linux and macOS take 1024 (IOV_MAX)."""
ROOM_KNOWN = 0.5
"""Seconds after which the free space is looked up again."""
HEAD = 1024
"""Bytes of the beginning that are kept at hand, to see what they look like."""


def write_all(descriptor: int, blocks: list[bytes], count: int, offset: int) -> None:
    """Writes blocks of ``count`` bytes together at an offset, with as few calls as the system allows."""
    written = 0
    if len(blocks) <= MOST_BLOCKS:
        written = os.pwritev(descriptor, blocks, offset)
    if written < count:
        rest = memoryview(b"".join(blocks))
        while written < count:
            written += os.pwrite(descriptor, rest[written:], offset + written)


class Room:
    """The free space of a disk, less a reserve; shared by threads.

    The disk itself is asked now and then only: for small files that would cost more than to write them.
    """

    def __init__(self, folder: Path, reserve: int) -> None:
        self._folder, self._reserve = folder, reserve
        self._left, self._known_until = 0, 0.0

    def take(self, count: int, what: str) -> None:
        """Counts bytes that are about to be written.

        Raises: DiskFull where they would touch the reserve.
        """
        now = time.monotonic()
        if now > self._known_until or count > self._left:
            self._left, self._known_until = free_bytes(self._folder) - self._reserve, now + ROOM_KNOWN
        if count > self._left:
            raise DiskFull(f"no room for {what} ({count} bytes)", hint="make room and run it again")
        self._left -= count


class Partial:
    """A file under its temporary name; it need not exist yet."""

    def __init__(self, name: str, file: RemoteFile, room: Room, received: Callable[[int], None]) -> None:
        self.name, self.file, self.room = name, file, room
        self.hasher = Hasher(file.checksums)
        self.head = b""
        self._received = received
        self._noted = False
        self._descriptor = -1

    @cached_property
    def path(self) -> Path:
        """For what is seldom done: to make one of these takes longer than to open a file."""
        return Path(self.name)

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".note")

    @property
    def pieces(self) -> Path:
        """Where it stands which bytes are here, of a file that is filled in several places at once."""
        return self.path.with_suffix(".pieces")

    @property
    def length(self) -> int:
        """Bytes that are there and hashed."""
        return self.hasher.length

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    @property
    def has_note(self) -> bool:
        return self._noted

    def was_left(self) -> bool:
        """Whether a former attempt left something."""
        self._noted = os.path.exists(self.name)
        return self._noted

    def take_up(self) -> None:
        """Goes on from what was left: it is hashed, for the digest needs all of it."""
        with disk_errors(self.path):
            self.hasher = hash_file(self.path, self.file.checksums)
            with open(self.path, "rb") as content:
                self.head = content.read(HEAD)
        self._received(self.length)

    def expect(self, checksums: tuple[Checksum, ...]) -> None:
        """These digests count from now on: a host may tell them only with the bytes."""
        if checksums != self.hasher.published:
            with disk_errors(self.path):
                self.hasher = hash_file(self.path, checksums) if self.length else Hasher(checksums)

    def drop(self) -> None:
        """Forgets what was received."""
        if self.length:
            self._received(-self.length)
        self.hasher, self.head = Hasher(self.file.checksums), b""
        # The bytes go first: without what is noted of them they would be taken for something else.
        self.path.unlink(missing_ok=True)
        self.pieces.unlink(missing_ok=True)
        self.forget_note()

    # -- which version it is of ----------------------------------------------------------------------------------

    def note(self, url: str, validator: str | None) -> None:
        """Writes down that the bytes are of that version under that address; with None, of no version that is known."""
        self._noted = True
        with disk_errors(self._note):
            self._note.write_text(json.dumps({"url": url, "validator": validator}))

    def noted(self) -> tuple[str, str | None] | None:
        """What ``note`` wrote; None where there is no note, ("", None) where it is broken."""
        try:
            text = self._note.read_bytes()
        except OSError:
            return None
        with suppress(ValueError, KeyError, TypeError):
            content = json.loads(text)
            return content["url"], content["validator"]
        return "", None

    def note_whole(self) -> None:
        """Writes down that it is all there, with its digest: what cannot be gone on with need not be fetched again."""
        self._noted = True
        with disk_errors(self._note):
            self._note.write_text(json.dumps({"url": "", "validator": None, "whole": self.hasher.sha256}))

    def is_whole(self) -> bool:
        """Whether ``note_whole`` was called for these bytes; they are taken up then."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            digest = json.loads(self._note.read_bytes())["whole"]
            self.take_up()
            return bool(self.hasher.sha256 == digest)
        return False

    def forget_note(self) -> None:
        if self._noted:
            self._note.unlink(missing_ok=True)
            self._noted = False

    # -- writing -------------------------------------------------------------------------------------------------

    def open(self, start: int) -> None:
        """For writing behind the first ``start`` bytes, which are here."""
        with disk_errors(self.name):
            # Without O_TRUNC: ext4 flushes a truncated file when it is closed (auto_da_alloc).
            self._descriptor = os.open(self.name, os.O_WRONLY | os.O_CREAT, 0o666)

    def close(self) -> None:
        if self.is_open:
            os.close(self._descriptor)
            self._descriptor = -1

    def check_length(self, count: int) -> None:
        """Raises: IntegrityError, with all dropped, where so many bytes more would be more than the file has."""
        if self.file.size is not None and self.length + count > self.file.size:
            self.drop()
            raise IntegrityError(f"{self.file.path}: more than the expected {self.file.size} bytes arrive")

    def write(self, blocks: list[bytes], count: int) -> None:
        """Adds ``blocks``, of ``count`` bytes together."""
        before = self.length
        if (before + count) // LOOK_AT_DISK != before // LOOK_AT_DISK:
            self.room.take(0, self.file.path)
        with disk_errors(self.name):
            write_all(self._descriptor, blocks, count, before)
        for block in blocks:
            if len(self.head) >= HEAD:
                break
            self.head += block[: HEAD - len(self.head)]
        self.hasher.update(blocks, count)
        self._received(count)

    # -- content encodings that nobody asked for -----------------------------------------------------------------

    def inner(self) -> bytes:
        """The first bytes of what is packed in it with gzip; none where nothing is."""
        with suppress(EOFError, OSError, zlib.error), gzip.open(self.path) as content:
            return content.read(2)
        return b""

    def gunzip(self) -> None:
        """Puts the content of the gzip file that was received in its place.

        Raises: IntegrityError, with all dropped, where it is no whole gzip file or its content too long; DiskFull.
        """
        self._replace_by(gzip.open)

    def unzip(self) -> None:
        """Puts the only member of the zip that was received in its place. Raises: likewise, also where it is short."""
        self._replace_by(_only_member)
        here = self.length
        if self.file.size is not None and here < self.file.size:
            self.drop()
            raise IntegrityError(f"{self.file.path}: {here} of {self.file.size} bytes are in the zip that it came in")

    def _replace_by(self, content_of: Callable[[Path], AbstractContextManager[gzip.GzipFile | IO[bytes]]]) -> None:
        self.close()
        packed = self.path.with_suffix(".packed")
        with disk_errors(packed):
            self.path.replace(packed)
        self.drop()
        self.open(0)
        try:
            with content_of(packed) as content:
                while block := content.read(BLOCK):
                    self.check_length(len(block))
                    self.write([block], len(block))
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, NotImplementedError) as error:
            self.drop()
            raise IntegrityError(f"{self.file.path}: what it came packed in cannot be undone: {error}") from error
        finally:
            packed.unlink()


@contextmanager
def _only_member(packed: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(packed) as archive:
        if len(archive.infolist()) != 1:
            raise zipfile.BadZipFile(f"{len(archive.infolist())} files in a zip that should hold one")
        with archive.open(archive.infolist()[0]) as content:
            yield content
