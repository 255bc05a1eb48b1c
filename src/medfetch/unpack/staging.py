"""Where the members of an archive land: the rules of safe unpacking that are the same for every format.

It must not know any archive format, nor where members go in the end.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medfetch.checksum import BLOCK, Hasher
from medfetch.errors import DiskFull, IntegrityError
from medfetch.types import Checksum

RATIO = 10_000
"""Bytes out for one byte in, over the whole archive, beyond which it is called a bomb.

A ratio says little here: a label volume (300 × 512 × 512 bytes, one sphere in it) packs 1,000:1 with DEFLATE, whose
ceiling is 1032:1, 5,600:1 with xz, 9,000:1 with zstandard and 160,000:1 with bzip2 (measured). So honest masks must
pass, free space is what protects the disk, and the ratio only catches the absurd, such as members that overlap.
"""
RATIO_FLOOR = 1 << 30
"""Bytes that may come out whatever the ratio is."""
ASK_EVERY = 64 << 20
"""Bytes written between two questions for free space."""
LONGEST_COMPONENT = 255
"""Bytes; what ext4, XFS, Lustre and GPFS allow."""
LONGEST_NAME = 3072
"""Bytes; leaves a quarter of Linux's PATH_MAX to the folder above."""
RESERVED = ".medfetch"
"""The folder in a dataset's home that is medfetch's own."""
PER_FOLDER = 1000
TOGETHER = "members"
"""The one file that has all members, where they are not to be files of their own."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file that came out of an archive."""

    name: str
    """Its final place: a safe relative POSIX path in the folder that receives the archive."""
    staged: Path
    """Where its bytes lie now."""
    size: int
    """Bytes."""
    sha256: str
    checked: Checksum | None = None
    """The digest published inside the archive that it matched."""
    at: int | None = None
    """Where in ``staged`` it begins, if all members lie in that file."""


@contextmanager
def guard(archive: str, broken: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns what a library raises for bad bytes (``broken``) into IntegrityError, and a full disk into DiskFull."""
    try:
        yield
    except InterruptedError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{archive}: the disk became full while unpacking") from error
        # gzip and bz2 say "broken" with an OSError that no system call raised, zipfile seeks to a negative offset
        if error.errno not in (None, errno.EINVAL):
            raise
        raise IntegrityError(f"{archive}: broken archive: {error}") from error
    except broken as error:
        raise IntegrityError(f"{archive}: broken archive: {error or type(error).__name__}") from error


class Names:
    """Which names the members of one archive get, and where its links point."""

    def __init__(self, archive: str) -> None:
        self.archive = archive
        self._numbers: dict[str, int] = {}
        self._folders: set[str] = set()
        self._links: dict[str, str] = {}

    def refusal(self, member: str, reason: str) -> IntegrityError:
        shown = repr(member if len(member) <= 200 else member[:200] + "…")
        return IntegrityError(f"{self.archive}: member {shown} {reason}")

    def claim(self, raw: str) -> str:
        """A member's name in the archive → its safe name, which no other member may have.

        Raises: IntegrityError for a name that would leave the folder, that a file system cannot hold, or that is
        another member's.
        """
        if reason := _unsafe(raw):
            raise self.refusal(raw, reason)
        parts = [part for part in raw.split("/") if part not in ("", ".")]
        name = "/".join(parts)
        if name in self._numbers:
            raise self.refusal(raw, "appears twice")
        parents = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        if name in self._folders or not self._numbers.keys().isdisjoint(parents):
            raise self.refusal(raw, "is both a file and a folder")
        self._folders |= parents
        self._numbers[name] = len(self._numbers)
        return name

    def link(self, raw: str, target: str, *, symbolic: bool) -> str:
        """Notes a link, for ``targets``; the name that it points to.

        Raises: IntegrityError if it points out of the archive.
        """
        name = self.claim(raw)
        parts = name.split("/")[:-1] if symbolic else []
        if target.startswith("/") or "\\" in target or "\0" in target:
            raise self.refusal(raw, "is a link out of the archive")
        for part in target.split("/"):
            if part == "..":
                if not parts:
                    raise self.refusal(raw, "is a link out of the archive")
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        self._links[name] = "/".join(parts)
        return self._links[name]

    def targets(self, files: Container[str]) -> Iterator[tuple[str, str]]:
        """Each link with the one of ``files`` that it leads to in the end.

        Raises: IntegrityError for a link to anything else.
        """
        for name in self._links:
            target, steps = name, 0
            while target in self._links and steps <= len(self._links):
                target, steps = self._links[target], steps + 1
            if target in self._links or target not in files:
                raise self.refusal(name, f"is a link to {target!r}, which is no file of the archive")
            yield name, target


class Staging(Names):
    """The folder that receives one archive's members under numbers, and the account of what was written there."""

    def __init__(
        self,
        pieces: Sequence[Path],
        folder: Path,
        free_bytes: Callable[[], int],
        stop: Callable[[], bool],
        archive: str | None = None,
        together: bool = False,
    ) -> None:
        super().__init__(archive or pieces[-1].name)
        self._together, self._end = together, 0
        self._spots: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        """Bytes of the members that are whole."""
        self._packed = sum(piece.stat().st_size for piece in pieces)
        self._folder = folder
        self._free_bytes = free_bytes
        self._stop = stop
        self._written = 0
        self._asked_at = 0
        self._room = 0

    def expect(self, more: int) -> None:
        """Refuses before they are written ``more`` bytes that would be absurd or would not fit."""
        total = self._written + more
        if total > max(RATIO_FLOOR, RATIO * self._packed):
            raise IntegrityError(
                f"{self.archive}: {self._packed:,} bytes unpack to {total:,} or more, over {RATIO:,} to 1: "
                "this is a decompression bomb"
            )
        if more > self._room or self._written - self._asked_at >= ASK_EVERY:
            self._room, self._asked_at = self._free_bytes(), self._written
        if more > self._room:
            raise DiskFull(f"{self.archive}: {more:,} bytes are still to be unpacked and {self._room:,} are free")

    def spend(self, count: int) -> None:
        """Accounts for ``count`` bytes about to be written."""
        if self._stop():
            raise InterruptedError
        self.expect(count)
        self._written += count
        self._room -= count

    def staged(self, name: str) -> Path:
        if self._together:
            return self._folder / TOGETHER
        number = self._numbers[name]
        return self._folder / str(number // PER_FOLDER) / str(number)

    def spot(self, name: str, size: int) -> int | None:
        """Where in its file a member of so many bytes begins; None where it has one of its own."""
        if not self._together:
            return None
        self._spots[name], self._end = self._end, self._end + size
        return self._spots[name]

    def store(self, name: str, blocks: Iterable[bytes], size: int, published: Iterable[Checksum] = ()) -> Member:
        """Writes and hashes a claimed member. Raises: what ``Sink`` raises."""
        sink = Sink(self, name, size, published)
        try:
            for block in blocks:
                sink.write(block)
            return sink.finish()
        finally:
            sink.close()

    def links(self) -> Iterator[Member]:
        """The links, as copies; call it when every other member is stored.

        Raises: IntegrityError for a link to anything but a file of the archive.
        """
        for name, target in self.targets(self._numbers):
            size = self.sizes[target]
            with open(self.staged(target), "rb") as file:
                file.seek(self._spots.get(target, 0))
                yield self.store(name, blocks(file, size), size)


def blocks(file: IO[bytes], most: int = sys.maxsize) -> Iterator[bytes]:
    """The rest of a file, or the next ``most`` bytes of it, block by block."""
    while block := file.read(min(BLOCK, most)):
        most -= len(block)
        yield block


class Sink:
    """One member being written, which declared ``size`` bytes and may have ``published`` checksums."""

    def __init__(self, staging: Staging, name: str, size: int, published: Iterable[Checksum] = ()) -> None:
        self._staging, self._name, self._size = staging, name, size
        self._hasher = Hasher(published)
        self._path, self._at = staging.staged(name), staging.spot(name, size)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Not to be cut where it has other members, too.
        self._file = open(self._path, "wb" if not self._at else "r+b")  # noqa: SIM115 open as long as this is
        self._file.seek(self._at or 0)

    def write(self, data: bytes | bytearray) -> None:
        """Raises: IntegrityError if the member is longer than it declared; what ``Staging.spend`` raises."""
        if self._hasher.length + len(data) > self._size:
            raise self._staging.refusal(self._name, f"is longer than the {self._size:,} bytes that it declares")
        self._staging.spend(len(data))
        self._file.write(data)
        self._hasher.update((data,), len(data))

    def finish(self) -> Member:
        """Raises: IntegrityError if the member is shorter than it declared, or is not what was published."""
        self.close()
        if self._hasher.length != self._size:
            raise self._staging.refusal(self._name, f"declares {self._size:,} bytes and has {self._hasher.length:,}")
        if mismatch := self._hasher.mismatch():
            raise self._staging.refusal(self._name, f"is {mismatch[1]}, and {mismatch[0]} was published with it")
        checked = self._hasher.published[0] if self._hasher.published else None
        self._staging.sizes[self._name] = self._size
        return Member(self._name, self._path, self._size, self._hasher.sha256, checked, self._at)

    def close(self) -> None:
        self._file.close()


def _unsafe(raw: str) -> str | None:
    """Why a member's name cannot be used; None if it can."""
    try:
        encoded = raw.encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    parts = raw.split("/")
    useful = [part for part in parts if part not in ("", ".")]
    if "\0" in raw:
        return "has a NUL in its name"
    if raw.startswith("/"):
        return "has an absolute path"
    if re.match("[A-Za-z]:", raw):
        return "has a drive letter"
    if "\\" in raw:
        return "has a backslash in its name"
    if ".." in parts:
        return "leads out of its folder"
    if not useful:
        return "has no name"
    if useful[0].lower() == RESERVED:
        return f"lies in {RESERVED}, which is medfetch's own"
    if len(encoded) > LONGEST_NAME:
        return f"has a name of more than {LONGEST_NAME} bytes"
    if any(len(part.encode()) > LONGEST_COMPONENT for part in parts):
        return f"has a component of more than {LONGEST_COMPONENT} bytes in its name"
    return None
