"""What a worker thread of a shard does: turn an entry into verified files under temporary names.

It brings together a route's source, its network and the transfer function; it must not touch databases.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from medfetch import cache, dicom, entries, sources, unpack
from medfetch.cache import Home, disk_errors
from medfetch.checksum import hash_file
from medfetch.config import Settings
from medfetch.connections import Connections
from medfetch.errors import IntegrityError, MedfetchError, UsageProblem
from medfetch.hosts import Hosts
from medfetch.net.layers import Getter, Linked
from medfetch.net.stack import ApiNet, bytes_getter
from medfetch.pace import Pace
from medfetch.partial import Room
from medfetch.placing import Staged
from medfetch.pool import Pool
from medfetch.progress import Event, Reporter
from medfetch.sources import Members, Source
from medfetch.transfer import Fetched, Terms, fetch_file
from medfetch.types import Assurance, Entry, Group, RemoteFile, Selection

PARTIAL, NOTE, PIECES, STAGING = ".part", ".note", ".pieces", ".d"


@dataclass(frozen=True, slots=True)
class Files:
    """Files ready for their final names; ``problems`` names those of a series that are still wanted."""

    files: tuple[Staged, ...]
    problems: tuple[str, ...] = ()
    leftovers: tuple[Path, ...] = ()
    """To be removed when the entry is complete."""


class Fetching:
    """The hands of one shard's worker threads."""

    def __init__(
        self, home: Home, shard: int, settings: Settings, token: str, archives: str, stop: threading.Event,
        reporter: Reporter, pace: Pace, pool: Pool[Any, Any], connections: Connections,
    ) -> None:  # fmt: skip
        """``pool``: the threads that work here; those that have nothing to do help with a large file."""
        self.home, self.settings, self.archives = home, settings, archives
        self.stop, self.reporter = stop, reporter
        self.folder, self.prefix, self.token = str(home.partial), f"{shard:05d}", token
        self.hosts = Hosts(cache.hosts_folder(home.cache), stop.is_set)
        self.pace, self.pool, self.connections = pace, pool, connections
        self.tools: dict[int, tuple[Source, ApiNet, Getter]] = {}
        """By route, which stays the same object as long as the shard."""
        self.room = Room(home.partial, settings.reserve)
        self.orphans = self._find_orphans()

    def close(self) -> None:
        self.hosts.close()

    # -- the tools of a route ------------------------------------------------------------------------------------

    def _tools(self, route: Mapping[str, Any]) -> tuple[Source, ApiNet, Getter]:
        """Source, API network and byte getter of a route."""
        if (tools := self.tools.get(id(route))) is None:
            source = sources.get(route["source"])
            traits = sources.traits(source, route["locator"])
            net = ApiNet(self.settings, traits, self.hosts, self.stop, self._said(route["source"]))
            getter = bytes_getter(self.settings, traits, self.hosts, self.stop)
            if isinstance(source, sources.Links):
                getter = Linked(getter, partial(source.link, net=net))
            tools = source, net, getter
            self.tools[id(route)] = tools
        return tools

    def _said(self, path: str) -> Any:
        def say(reason: str) -> None:
            self.connections.failed()
            self.reporter.emit(Event("retry", path, reason=reason))

        return say

    def _off_the_wire(self, count: int) -> None:
        self.connections.received(count)
        self.pace.take(count)

    # -- what is asked of a worker -------------------------------------------------------------------------------

    def members(self, group: Group, route: Mapping[str, Any]) -> list[RemoteFile]:
        """The files of a group."""
        source, net, _ = self._tools(route)
        if not isinstance(source, Members):
            raise UsageProblem(f"the source {route['source']!r} makes groups but lists no members")
        return list(source.members(group, net))

    def same_from(self, route: Mapping[str, Any], entry: Entry) -> Entry:
        """The same entry from another route.

        Raises: MedfetchError where that route does not have it.
        """
        source, net, _ = self._tools(route)
        wanted = {"series": (entry.facets["series"],)} if "series" in entry.facets else {}
        for other in source.resolve(route["locator"], net, Selection(facets=wanted)):
            if other.path == entry.path:
                return other
        raise MedfetchError(f"{route['source']} does not have {entry.path}")

    def whole(self, file: RemoteFile, route: Mapping[str, Any]) -> Files:
        """A file, or the members of an archive."""
        pieces = [self._fetch(piece, route) for piece in file.pieces or (file,)]
        if file.unpack and self.archives != "as-is":
            return self._unpacked(file, pieces, route)
        if len(pieces) > 1:
            if file.unpack:
                named = zip(file.pieces, pieces, strict=True)
                return Files(tuple(self._staged(piece, fetched, piece.path, route) for piece, fetched in named))
            joined = self._joined(file, pieces)
            return Files((self._staged(file, joined, file.path, route),), leftovers=tuple(p.path for p in pieces))
        staged = self._staged(file, pieces[0], self._final_path(file, pieces[0].path), route)
        return Files((staged,), leftovers=_notes(pieces))

    def series(self, group: Group, archive: RemoteFile, route: Mapping[str, Any]) -> Files:
        """A series that a host zips on the fly: its good instances, and what is wrong with the others."""
        fetched = self._fetch(archive, route)
        staging = self._staging(archive)
        try:
            series = unpack.extract_series([fetched.path], staging, name=group.path, **self._bounds())
        except IntegrityError:
            # Whole by its length and yet no zip: nothing of it is worth keeping.
            for path in (fetched.path, *_notes([fetched])):
                path.unlink(missing_ok=True)
            raise
        files = tuple(
            Staged(
                str(member.staged), str(PurePosixPath(group.path, member.name)), None, member.size, member.sha256,
                Assurance.PUBLISHED if member.checked else Assurance.FIRST_SEEN,
                str(member.checked) if member.checked else None, route["source"], fetched.host,
            )
            for member in series.members
        )  # fmt: skip
        return Files(files, series.problems, (staging, fetched.path, *_notes([fetched])))

    # -- pieces of it --------------------------------------------------------------------------------------------

    def _fetch(self, file: RemoteFile, route: Mapping[str, Any]) -> Fetched:
        _, net, getter = self._tools(route)
        terms = Terms(
            self.settings.tries, self.settings.backoff, self.room, net.traits.ranges, self.stop,
            self.reporter.received, self._off_the_wire, self._said(file.path), self.pool.help,
            self.connections.answered, self.pool.crowded,
        )  # fmt: skip
        return fetch_file(file, self._partial(file), getter, self.hosts, terms)

    def _staged(self, file: RemoteFile, fetched: Fetched, path: str, route: Mapping[str, Any]) -> Staged:
        return Staged(
            str(fetched.path), path, file.key, fetched.size, fetched.sha256, fetched.assurance, fetched.checked,
            route["source"], fetched.host,
        )  # fmt: skip

    def _final_path(self, file: RemoteFile, partial: Path) -> str:
        if not file.dicom:
            return file.path
        with open(partial, "rb") as content:
            name = dicom.sop_instance_uid(content.read(dicom.HEAD))
        return f"{file.path}/{name}.dcm"

    def _unpacked(self, file: RemoteFile, pieces: list[Fetched], route: Mapping[str, Any]) -> Files:
        assert file.unpack is not None
        staging = self._staging(file)
        paths = [piece.path for piece in pieces]
        members = unpack.extract(paths, file.unpack.kind, staging, name=file.path, **self._bounds())
        # The archive's digest vouches for its members.
        files = [
            Staged(
                str(member.staged), str(PurePosixPath(file.unpack.into, member.name)), None, member.size, member.sha256,
                _weakest(pieces), pieces[0].checked, route["source"], pieces[0].host,
            )
            for member in members
        ]  # fmt: skip
        if self.archives == "keep":
            named = zip(file.pieces or (file,), pieces, strict=True)
            files += [self._staged(piece, fetched, piece.path, route) for piece, fetched in named]
            return Files(tuple(files), leftovers=(staging,))
        return Files(tuple(files), leftovers=(staging, *paths, *_notes(pieces)))

    def _joined(self, file: RemoteFile, pieces: list[Fetched]) -> Fetched:
        """Several pieces as the one file that they are; they themselves stay until it is in place."""
        # Not under the file's own name, which may be the first piece's too.
        joined = self._partial(replace(file, key=f"joined {file.key}"))
        with disk_errors(joined), open(joined, "wb") as whole:
            for piece in pieces:
                with open(piece.path, "rb") as part:
                    shutil.copyfileobj(part, whole, 1 << 20)
        hasher = hash_file(joined, file.checksums)
        wrong = hasher.mismatch()
        if wrong or (file.size is not None and hasher.length != file.size):
            for path in (joined, *(piece.path for piece in pieces)):
                path.unlink()
            what = f"{wrong[1]}, expected {wrong[0].hex}" if wrong else f"{hasher.length} bytes, expected {file.size}"
            raise IntegrityError(f"{file.path}, joined, has {what}")
        checked = str(file.checksums[0]) if file.checksums else None
        assurance = Assurance.PUBLISHED if file.checksums else _weakest(pieces)
        return replace(
            pieces[0], path=joined, size=hasher.length, sha256=hasher.sha256, assurance=assurance, checked=checked
        )

    def _bounds(self) -> dict[str, Any]:
        return {
            "free_bytes": lambda: cache.free_bytes(self.home.partial) - self.settings.reserve,
            "stop": self.stop.is_set,
        }

    # -- temporary names -----------------------------------------------------------------------------------------

    def _stem(self, file: RemoteFile) -> str:
        return f"{self.prefix}-{entries.unit(file)}"

    def _partial(self, file: RemoteFile) -> Path:
        """This owner's partial for a file; bytes of a former owner are taken over."""
        stem = self._stem(file)
        mine = Path(f"{self.folder}{os.sep}{stem}.{self.token}{PARTIAL}")
        if (orphan := self.orphans.pop(stem, None)) and not mine.exists():
            with disk_errors(mine):
                self._take_over(orphan, mine)
        return mine

    def _take_over(self, orphan: Path, mine: Path) -> None:
        # An owner on this machine is known to be dead, for else we would not hold its lease. One elsewhere
        # may only have fallen silent and still write: its bytes are copied, never its file taken.
        here = orphan.name.split(".", 1)[1].startswith(self.token.rsplit("-", 2)[0] + "-")
        # The notes on how far the bytes go come first, and go last: they must not tell of more than is copied, nor be
        # lost when this is interrupted.
        notes = [suffix for suffix in (PIECES, NOTE) if orphan.with_suffix(suffix).exists()]
        with suppress(FileNotFoundError):
            for suffix in notes:
                shutil.copyfile(orphan.with_suffix(suffix), mine.with_suffix(suffix))
            if not here:
                shutil.copyfile(orphan, mine)
                return
            orphan.rename(mine)
            for suffix in notes:
                orphan.with_suffix(suffix).unlink()

    def _staging(self, file: RemoteFile) -> Path:
        staging = self.home.partial / f"{self._stem(file)}.{self.token}{STAGING}"
        with disk_errors(staging):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        return staging

    def _find_orphans(self) -> dict[str, Path]:
        """What former owners of this shard left: partials to go on from, and half-unpacked folders to remove."""
        orphans = {}
        for path in self.home.partial.glob(f"{self.prefix}-*"):
            if path.suffix == STAGING:
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == PARTIAL:
                orphans[path.name.split(".", 1)[0]] = path
        return orphans


def _notes(fetched: list[Fetched]) -> tuple[Path, ...]:
    """What may lie beside whole files until they are in place (``Partial.note_whole``)."""
    return tuple(each.path.with_suffix(NOTE) for each in fetched if each.noted)


def _weakest(pieces: list[Fetched]) -> Assurance:
    """A whole is known no better than the piece of which least is known."""
    return max((piece.assurance for piece in pieces), key=list(Assurance).index)
