"""Part of an archive: which members of a zip are wanted, and which of its bytes they are.

The directory of a zip stands at its end. It is read by range, and its members become entries of their own: those that
lie close together in one request, large ones alone. It must not know sources, recipes or the cache.
"""

from __future__ import annotations

import io
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, replace
from hashlib import sha256
from itertools import accumulate
from pathlib import PurePosixPath

from medfetch.errors import IntegrityError, MedfetchError, Refused
from medfetch.net.excerpts import no_part
from medfetch.patterns import fits
from medfetch.planning import matches
from medfetch.remote import Piece, Remote, Way
from medfetch.types import Entry, Packed, RemoteFile, Selection
from medfetch.unpack import excerpt
from medfetch.unpack.pieces import Patch
from medfetch.unpack.staging import guard
from medfetch.unpack.zip import BROKEN, read_zip

TAIL = 128 << 10
"""Bytes of the end that are asked for first: they hold the directory of a thousand members."""
KINDS = ("zip", "split-zip")
"""Of archives that have a directory. To find a member in a tar, all headers before it have to be asked for, one after
the other, and nothing in it tells whether what came is right."""
GAP = 256 << 10
"""Bytes between two members that are fetched with them: in the time of another request about as many come."""
TOGETHER, MOST_TOGETHER = 16 << 20, 1000
"""Bytes and number of the members that are one entry, unless one of them has more."""
HEADER, LONGEST_AROUND = 30, 30 + 2 * 0xFFFF + 24
"""Bytes of a member's own header at least, and of all around it at the most: name, extra fields, which need not be the
directory's, and a descriptor behind it (APPNOTE 4.3.7, 4.3.9)."""
WILD = re.compile(r"[*?[]")


def expand(
    entries: Iterable[Entry], selection: Selection, way: Way, unread: Callable[[RemoteFile], None]
) -> Iterator[Entry]:
    """The entries, with members in place of the zips that are wanted in part; ``unread`` is told of archives that may
    hold something wanted, but have no directory.

    Zips come last: where all that was named is found without them, they are not looked into.
    Raises: Refused where a zip can only be had as a whole, or is not there; Retryable, Unreachable, IntegrityError.
    """
    patterns = selection.facets.get("path", ())
    others = Selection({facet: asked for facet, asked in selection.facets.items() if facet != "path"})
    found: set[str] = set()
    zips: list[RemoteFile] = []
    for entry in entries:
        if isinstance(entry, RemoteFile) and entry.unpack and _is_in_part(entry, patterns) and matches(entry, others):
            zips.append(entry) if entry.unpack.kind in KINDS else unread(entry)
        else:
            found.add(entry.path)
            yield entry
    open_ = tuple(pattern for pattern in patterns if WILD.search(pattern) or pattern not in found)
    for each in zips:
        assert each.unpack is not None
        if each.unpack.only:
            try:
                yield from _chosen(each, selection, way)
            except Refused:
                # Its source would take the whole zip, and so it does where it has to.
                yield each
        elif _may_hold(each.unpack.into, open_):
            yield from _chosen(each, selection, way)


def again(other: RemoteFile, entry: RemoteFile, way: Way) -> RemoteFile:
    """The members of an entry in the same archive of another route.

    Raises: MedfetchError where they are not there, or not the same.
    """
    assert entry.unpack is not None
    names = {member.name: (member.size, member.crc32) for member in entry.unpack.members}
    if not other.unpack or other.unpack.kind not in KINDS:
        raise MedfetchError(f"{other.path} is no zip there")
    zipped = _Zip(other, way)
    members = zipped.wanted(lambda name: str(PurePosixPath(name)) in names)
    if {member.name: (member.size, member.crc32) for member in members} != names:
        raise MedfetchError(f"{other.path} has other members there")
    found = list(zipped.entries(members, TOGETHER))
    if len(found) > 1:
        raise MedfetchError(f"the members of {other.path} lie apart there")
    return found[0]


def _is_in_part(archive: RemoteFile, patterns: tuple[str, ...]) -> bool:
    """Whether not the archive itself is meant, nor all that is in it, but perhaps some of it."""
    assert archive.unpack is not None
    if archive.unpack.only:
        return True
    into = archive.unpack.into
    whole = not patterns or fits(archive.path, patterns) or (bool(into) and fits(into, patterns))
    return not whole and _may_hold(into, patterns)


def _may_hold(into: str, patterns: tuple[str, ...]) -> bool:
    """Whether something in that folder could fit."""
    folder = f"{into}/" if into else ""
    begins = (WILD.split(pattern, maxsplit=1)[0] for pattern in patterns)
    return any(begin.startswith(folder) or folder.startswith(begin) for begin in begins)


def _chosen(archive: RemoteFile, selection: Selection, way: Way) -> Iterator[RemoteFile]:
    assert archive.unpack is not None
    into, only = archive.unpack.into, archive.unpack.only
    patterns = selection.facets.get("path", ())
    zipped = _Zip(archive, way)
    members = zipped.wanted(
        (lambda name: all(fits(name, each) for each in only))
        if only
        else (lambda name: fits(str(PurePosixPath(into, name)), patterns))
    )
    if members and len(members) == zipped.files and selection.limit is None:
        # All of it is wanted: as a whole it may have a published checksum, and is what a later run has, too.
        yield replace(archive, unpack=replace(archive.unpack, only=only or (("*",),)))
        return
    yield from zipped.entries(members[: selection.limit], TOGETHER if selection.limit is None else 0)


class _Zip:
    """A zip under an address, or in pieces under several: its directory, and where its members lie."""

    def __init__(self, archive: RemoteFile, way: Way) -> None:
        """Raises: Refused, Retryable, Unreachable."""
        self.archive = archive
        if not way.ranges:
            raise Refused(no_part("the host", archive.path, archive.size))
        *others, end = archive.pieces or (archive,)
        self.pieces = [*(Piece(piece, way, 1) for piece in others), Piece(end, way, TAIL)]
        self.starts = list(accumulate((piece.size for piece in self.pieces), initial=0))
        self.bounds: list[int] = []
        """Where members begin, and the directory."""
        self.files = 0

    def wanted(self, wants: Callable[[str], bool]) -> list[Packed]:
        """The members whose names in the archive are wanted, by their places in it. Raises: IntegrityError."""
        path = self.archive.path
        held: dict[int, bytes] = {}

        def opened(patch: Patch) -> io.BufferedReader:
            return io.BufferedReader(Remote(self.pieces, self.starts, held, patch))

        with guard(path, BROKEN), read_zip(self.starts, opened, path) as archive:
            infos = excerpt.files_of(archive)
            self.files = len(infos)
            self.bounds = sorted({*(info.header_offset for info in archive.infolist()), archive.start_dir})
            return sorted(excerpt.wanted(archive, path, wants), key=lambda member: member.at)

    def entries(self, members: Sequence[Packed], together: int) -> Iterator[RemoteFile]:
        """The members as entries; in one of them no more bytes than ``together``, unless a single one has more."""
        run: list[Packed] = []
        first = last = 0
        for member in members:
            end = self._end(member)
            close = member.at - last <= GAP and end - first <= together and len(run) < MOST_TOGETHER
            if run and not close:
                yield self._entry(run, first, last)
                run = []
            if not run:
                first = member.at
            run.append(member)
            last = max(last, end)
        if run:
            yield self._entry(run, first, last)

    def _end(self, member: Packed) -> int:
        """Where the bytes of a member end at the latest."""
        number = bisect_right(self.bounds, member.at)
        following = self.bounds[number] if number < len(self.bounds) else self.starts[-1]
        if member.at + HEADER + member.packed > following:
            raise IntegrityError(f"{self.archive.path}: broken archive: {member.name} reaches into what follows")
        return min(following, member.at + LONGEST_AROUND + member.packed)

    def _entry(self, members: Sequence[Packed], first: int, last: int) -> RemoteFile:
        archive = self.archive
        assert archive.unpack is not None
        parts = [
            piece.part(max(first, start) - start, min(last, end) - start)
            for piece, start, end in zip(self.pieces, self.starts, self.starts[1:], strict=False)
            if start < last and first < end
        ]
        placed = tuple(replace(member, at=member.at - first) for member in members)
        versions = [astuple(part.excerpt) for part in parts if part.excerpt]
        told = json.dumps([archive.unpack.into, versions, last - first, [astuple(member) for member in placed]])
        return replace(
            parts[0] if len(parts) == 1 else archive,
            path=archive.path,
            key=f"{archive.key}:{sha256(told.encode()).hexdigest()[:32]}",
            size=last - first,
            checksums=(),
            facets=archive.facets,
            unpack=replace(archive.unpack, only=(), members=placed),
            pieces=tuple(parts) if len(parts) > 1 else (),
        )
