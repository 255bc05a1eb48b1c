"""From an entry to verified files under temporary names: what threads do, and plain files that are begun together.

It brings together a route's source, its network and the transfer function; it must not touch databases.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from medfetch import dicom, entries, folders, members, sources, storage, swarm, unpack
from medfetch.cache import Home
from medfetch.checksum import hash_file
from medfetch.config import Settings
from medfetch.connections import Connections
from medfetch.errors import (
    CacheError,
    DiskFull,
    IntegrityError,
    MedfetchError,
    Refused,
    Retryable,
    Unreachable,
    UsageProblem,
)
from medfetch.hosts import Hosts
from medfetch.net.excerpts import Excerpted
from medfetch.net.layers import Getter, Linked
from medfetch.net.stack import ApiNet, bytes_getter
from medfetch.net.together import End, Together
from medfetch.pace import Pace
from medfetch.partial import Room
from medfetch.placing import Staged
from medfetch.pool import Pool
from medfetch.progress import Event, Reporter
from medfetch.remote import Way
from medfetch.segments import SEGMENTS_FROM
from medfetch.sources import Members, Source
from medfetch.storage import disk_errors
from medfetch.swarm import is_magnet
from medfetch.transfer import FirstAttempt, fetch_file
from medfetch.transfer.download import BAD_TRIES, Fetched, Terms
from medfetch.types import Assurance, Entry, Group, Packed, RemoteFile, Selection

PARTIAL, NOTE, PIECES, STAGING = ".part", ".note", ".pieces", ".d"


@dataclass(frozen=True, slots=True)
class Files:
    """Files ready for their final names; ``problems`` names those of a series that are still wanted."""

    files: tuple[Staged, ...]
    problems: tuple[str, ...] = ()
    leftovers: tuple[Path, ...] = ()
    """To be removed when the entry is complete."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A plain file whose first attempt failed; ``Fetching.whole`` goes on with it."""

    file: RemoteFile
    attempt: FirstAttempt


@dataclass(frozen=True, slots=True)
class Means:
    """What all shards of a process share."""

    settings: Settings
    stop: threading.Event
    reporter: Reporter
    pace: Pace
    hosts: Hosts
    together: Together
    pool: Pool[Any, Any]
    """The threads; those that have nothing to do help with a large file."""
    connections: Connections


class Fetching:
    """How the entries of one shard are fetched."""

    def __init__(
        self, home: Home, shard: int, token: str, archives: str, means: Means, *, packed: bool = False
    ) -> None:
        """``token``: of the lease; ``archives``: what becomes of them (``ShardJob.archives``); ``packed``: no archive
        is unpacked to files of their own."""
        self.home, self.archives, self.means, self.packed = home, archives, means, packed
        self.folder, self.prefix, self.token = str(home.partial), f"{shard:05d}", token
        self.tools: dict[int, tuple[Source, ApiNet, Getter]] = {}
        """By route, which stays the same object as long as the shard."""
        self.room = Room(home.partial, means.settings.reserve)
        self.orphans = self._find_orphans()

    # -- the tools of a route ------------------------------------------------------------------------------------

    def _tools(self, route: Mapping[str, Any]) -> tuple[Source, ApiNet, Getter]:
        """Source, API network and byte getter of a route."""
        if (tools := self.tools.get(id(route))) is None:
            source = sources.get(route["source"])
            traits = sources.traits(source, route["locator"])
            net = ApiNet(self.means.settings, traits, self.means.hosts, self.means.stop, self._said(route["source"]))
            tools = source, net, getter_of(source, net, self.means.settings, self.means.hosts, self.means.stop)
            self.tools[id(route)] = tools
        return tools

    def _said(self, path: str) -> Any:
        def say(reason: str) -> None:
            self.means.connections.failed()
            self.means.reporter.emit(Event("retry", path, reason=reason))

        return say

    def _off_the_wire(self, count: int) -> None:
        self.means.connections.received(count)
        self.means.pace.take(count)

    # -- what is begun together ----------------------------------------------------------------------------------

    def is_plain(self, file: RemoteFile, route: Mapping[str, Any]) -> bool:
        """Whether the first attempt at a file is one request for all of it: most files are had by it."""
        small = file.size is None or file.size < SEGMENTS_FROM
        special = file.pieces or file.unpack or file.credential or not file.urls
        if special or not small or is_magnet(file.urls[-1]) or (self.orphans and self._stem(file) in self.orphans):
            return False
        return not isinstance(self._tools(route)[2], Linked)

    def start(
        self, file: RemoteFile, route: Mapping[str, Any], done: Callable[[Files | Begun | Exception], None]
    ) -> bool:
        """Begins a plain file, unless its host has no connection to spare; ``done`` is told what comes of it."""
        _, net, getter = self._tools(route)
        attempt = FirstAttempt(file, self._partial(file), getter, self.means.hosts, self._terms(file, net))

        def end(answer: End) -> None:
            try:
                fetched = attempt.end(answer)
            except (DiskFull, CacheError, InterruptedError) as error:
                done(error)
                return
            except Exception:
                done(Begun(file, attempt))
                return
            try:
                done(self._placeable(file, fetched, route))
            except MedfetchError as error:
                done(error)

        patience = self.means.settings.patience or net.traits.patience
        with disk_errors(self.folder):
            return self.means.together.start(attempt.request, attempt.receiver, net.traits, patience, end)

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
        source, net, getter = self._tools(route)
        wanted = {"series": (entry.facets["series"],)} if "series" in entry.facets else {}
        listed = source.resolve(route["locator"], net, Selection(facets=wanted))
        for other in folders.put(listed, route.get("into", "")):
            if other.path == entry.path:
                if isinstance(other, RemoteFile) and isinstance(entry, RemoteFile) and _members(entry):
                    way = Way(getter, self.means.settings, net.traits.ranges, self.means.stop, self._said(entry.path))
                    return members.again(replace(other, unpack=other.unpack or entry.unpack), entry, way)
                # What becomes of the archives that a source lists was decided when it was planned.
                if isinstance(other, RemoteFile) and isinstance(entry, RemoteFile) and not other.unpack:
                    return replace(other, unpack=entry.unpack)
                return other
        raise MedfetchError(f"{route['source']} does not have {entry.path}")

    def whole(self, file: RemoteFile, route: Mapping[str, Any], begun: FirstAttempt | None = None) -> Files:
        """A file, or the members of an archive; ``begun``: a plain file's first attempt, which failed."""
        if _members(file):
            return self._excerpt(file, route)
        pieces = [self._fetch(piece, route, begun) for piece in file.pieces or (file,)]
        if file.unpack and self.archives != "as-is":
            return self._unpacked(file, pieces, route)
        if len(pieces) > 1:
            if file.unpack:
                named = zip(file.pieces, pieces, strict=True)
                return Files(tuple(self._staged(piece, fetched, piece.path, route) for piece, fetched in named))
            joined = self._joined(file, pieces)
            return Files((self._staged(file, joined, file.path, route),), leftovers=tuple(p.path for p in pieces))
        return self._placeable(file, pieces[0], route)

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
                str(member.checked) if member.checked else None, route["source"], fetched.host, member.at,
            )
            for member in series.members
        )  # fmt: skip
        return Files(files, series.problems, (staging, fetched.path, *_notes([fetched])))

    # -- pieces of it --------------------------------------------------------------------------------------------

    def _fetch(self, file: RemoteFile, route: Mapping[str, Any], begun: FirstAttempt | None = None) -> Fetched:
        _, net, getter = self._tools(route)
        terms, partial = self._terms(file, net), Path(self._partial(file))
        if file.excerpt:
            getter = Excerpted(getter, file)
        if not file.urls or not is_magnet(file.urls[-1]):
            return fetch_file(file, partial, getter, self.means.hosts, terms, begun)
        if web := file.urls[:-1]:
            try:
                return fetch_file(replace(file, urls=web), partial, getter, self.means.hosts, terms)
            except (IntegrityError, Refused, Retryable, Unreachable) as error:
                terms.said(f"{error.message}; trying the swarm")
        return self._swarmed(file, partial, net, getter, terms)

    def _swarmed(self, file: RemoteFile, partial: Path, net: ApiNet, getter: Getter, terms: Terms) -> Fetched:
        """A file out of its torrent's swarm."""
        if self.means.settings.sandbox:
            raise Refused(f"{file.path}: the sandbox has no swarm, only web seeds")
        magnet = swarm.parse(file.urls[-1])
        about = RemoteFile(f"{magnet.info_hash}.torrent", f"{file.key}.torrent", (magnet.torrent,))
        torrent = fetch_file(about, Path(self._partial(about)), getter, self.means.hosts, terms)
        folder = partial.with_suffix(".swarm")
        for left in self.home.partial.glob(f"{self._stem(file)}.*.swarm"):
            if not folder.exists():
                left.rename(folder)  # its owner is dead: the lease is ours
        rate = self.means.settings.limit_rate
        with self.means.hosts.connection(f"magnet://swarm/{file.path}", net.traits.connections):
            whole = swarm.fetch(
                magnet, torrent.path, folder, rate=rate and rate // net.traits.connections,
                patience=self.means.settings.patience or net.traits.patience,
                received=terms.received, stopped=self.means.stop.is_set,
            )  # fmt: skip
        with disk_errors(partial):
            hasher = hash_file(whole, file.checksums)
            if hasher.length != file.size or hasher.mismatch():
                raise IntegrityError(f"{file.path}: aria2c has left something else than what is in the torrent")
            whole.replace(partial)
            shutil.rmtree(folder)
            torrent.path.unlink()
        terms.received(hasher.length)
        checked = f"btih:{magnet.info_hash}"
        return Fetched(str(partial), hasher.length, hasher.sha256, Assurance.PUBLISHED, checked, magnet.info_hash)

    def _terms(self, file: RemoteFile, net: ApiNet) -> Terms:
        return Terms(
            self.means.settings.tries, self.means.settings.backoff, self.room, net.traits.ranges, self.means.stop,
            self.means.reporter.received, self._off_the_wire, self._said(file.path), self.means.pool.help,
            self.means.connections.answered, self.means.pool.crowded,
        )  # fmt: skip

    def _placeable(self, file: RemoteFile, fetched: Fetched, route: Mapping[str, Any]) -> Files:
        staged = self._staged(file, fetched, self._final_path(file, fetched), route)
        return Files((staged,), leftovers=_notes([fetched]))

    def _staged(self, file: RemoteFile, fetched: Fetched, path: str, route: Mapping[str, Any]) -> Staged:
        return Staged(
            fetched.name, path, file.key, fetched.size, fetched.sha256, fetched.assurance, fetched.checked,
            route["source"], fetched.host,
        )  # fmt: skip

    def _final_path(self, file: RemoteFile, fetched: Fetched) -> str:
        if not file.dicom:
            return file.path
        with disk_errors(fetched.path), open(fetched.path, "rb") as content:
            name = dicom.sop_instance_uid(content.read(dicom.HEAD))
        return f"{file.path}/{name}.dcm"

    def _unpacked(self, file: RemoteFile, pieces: list[Fetched], route: Mapping[str, Any]) -> Files:
        assert file.unpack is not None
        staging = self._staging(file)
        paths = [piece.path for piece in pieces]
        if wanted := _members(file):
            extracted = unpack.extract_excerpt(paths, wanted, staging, name=file.path, **self._bounds())
        else:
            extracted = unpack.extract(
                paths, file.unpack.kind, staging, name=file.path, only=file.unpack.only, **self._bounds()
            )
        # The archive's digest vouches for its members, where all of it is here.
        files = [
            Staged(
                str(member.staged), str(PurePosixPath(file.unpack.into, member.name)), None, member.size, member.sha256,
                Assurance.ARCHIVE_CRC if wanted else _weakest(pieces),
                str(member.checked) if member.checked else pieces[0].checked, route["source"], pieces[0].host,
                member.at,
            )
            for member in extracted
        ]  # fmt: skip
        if self.archives == "keep":
            named = zip(file.pieces or (file,), pieces, strict=True)
            files += [self._staged(piece, fetched, piece.path, route) for piece, fetched in named]
            return Files(tuple(files), leftovers=(staging,))
        return Files(tuple(files), leftovers=(staging, *paths, *_notes(pieces)))

    def _excerpt(self, file: RemoteFile, route: Mapping[str, Any]) -> Files:
        """Members of an archive of which no more is fetched."""
        for tries_left in reversed(range(BAD_TRIES)):
            pieces = [self._fetch(piece, route) for piece in file.pieces or (file,)]
            try:
                return self._unpacked(file, pieces, route)
            except IntegrityError as error:
                # Nothing but the members' own checks tells that the bytes are wrong.
                for path in (*(piece.path for piece in pieces), *_notes(pieces)):
                    path.unlink(missing_ok=True)
                shutil.rmtree(self._staging_of(file))
                self.means.reporter.received(-sum(piece.size for piece in pieces))
                if not tries_left:
                    raise
                self._said(file.path)(error.message)
        raise AssertionError("unreachable")

    def _joined(self, file: RemoteFile, pieces: list[Fetched]) -> Fetched:
        """Several pieces as the one file that they are; they themselves stay until it is in place."""
        # Not under the file's own name, which may be the first piece's too.
        joined = Path(self._partial(replace(file, key=f"joined {file.key}")))
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
            pieces[0], name=str(joined), size=hasher.length, sha256=hasher.sha256, assurance=assurance, checked=checked
        )

    def _bounds(self) -> dict[str, Any]:
        return {
            "free_bytes": lambda: storage.free_bytes(self.home.partial) - self.means.settings.reserve,
            "stop": self.means.stop.is_set,
            "together": self.packed,
        }

    # -- temporary names -----------------------------------------------------------------------------------------

    def _stem(self, file: RemoteFile) -> str:
        return f"{self.prefix}-{entries.unit(file)}"

    def _partial(self, file: RemoteFile) -> str:
        """This owner's partial for a file; bytes of a former owner are taken over."""
        stem = self._stem(file)
        name = f"{self.folder}{os.sep}{stem}.{self.token}{PARTIAL}"
        if (orphan := self.orphans.pop(stem, None)) and not (mine := Path(name)).exists():
            with disk_errors(mine):
                self._take_over(orphan, mine)
        return name

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

    def _staging_of(self, file: RemoteFile) -> Path:
        return self.home.partial / f"{self._stem(file)}.{self.token}{STAGING}"

    def _staging(self, file: RemoteFile) -> Path:
        staging = self._staging_of(file)
        with disk_errors(staging):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
        return staging

    def _find_orphans(self) -> dict[str, Path]:
        """What former owners of this shard left: partials to go on from, and half-unpacked folders to remove."""
        orphans: dict[str, Path] = {}
        for path in self.home.partial.glob(f"{self.prefix}-*"):
            if path.suffix == STAGING:
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == PARTIAL:
                stem = path.name.split(".", 1)[0]
                # Of several, one was copied from another.
                orphans[stem] = max(path, orphans.get(stem, path), key=lambda each: each.stat().st_size)
        return orphans


def getter_of(source: Source, net: ApiNet, settings: Settings, hosts: Hosts, stop: threading.Event) -> Getter:
    """The way for a route's bytes."""
    getter = bytes_getter(settings, net.traits, hosts, stop)
    return Linked(getter, partial(source.link, net=net.once())) if isinstance(source, sources.Links) else getter


def _members(file: RemoteFile) -> tuple[Packed, ...]:
    """The members of which it is an excerpt, if it is one."""
    return file.unpack.members if file.unpack else ()


def _notes(fetched: list[Fetched]) -> tuple[Path, ...]:
    """What may lie beside whole files until they are in place (``Partial.note_whole``)."""
    return tuple(each.path.with_suffix(NOTE) for each in fetched if each.noted)


def _weakest(pieces: list[Fetched]) -> Assurance:
    """A whole is known no better than the piece of which least is known."""
    return max((piece.assurance for piece in pieces), key=list(Assurance).index)
