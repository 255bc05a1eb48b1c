"""What a person has brought, and which of a plan's files each is: by digest, name, size and place.

It must not know the network, databases, or where files go. It changes nothing of what was brought.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from medfetch import dicom, verify
from medfetch.checksum import hash_file
from medfetch.errors import UsageProblem
from medfetch.partial import HEAD
from medfetch.types import Checksum, Entry, Group, RemoteFile

UNFINISHED = {".aria2", ".crdownload", ".download", ".opdownload", ".part", ".partial"}
"""How browsers and other programs call what they have not got all of: Chrome, Safari, Opera, Firefox, curl, aria2."""
LITTER = {".ds_store", "thumbs.db", "desktop.ini", "__macosx"}
"""What file managers leave in folders."""
COPY = re.compile(r" ?\([0-9]{1,3}\)(?=(\.[A-Za-z0-9]+)*$)")
"""What a browser adds to the name of what it downloads once more: ``scans (1).zip``, ``scans(1).tar.gz``."""


@dataclass(slots=True, eq=False)
class Brought:
    """A file that was brought, or came out of an archive that was."""

    path: Path
    """Where it lies."""
    name: str
    """Its path in what was given, with the name of that: a relative POSIX path."""
    given: str
    """The name of what the person gave: a file, an archive or a folder."""
    size: int
    """Bytes."""
    inside: Brought | None = None
    """The archive that it came out of."""
    used: bool = False
    wrong: tuple[str, str, str] | None = None
    """Why it is not what it seems to be: ``half`` or ``bad``, the path of the file that was meant, and a sentence."""
    digests: dict[str, str] = field(default_factory=dict)
    """Those that are known, by algorithm."""

    def digest(self, algorithms: Iterable[str]) -> dict[str, str]:
        """Its digests by these algorithms, and SHA-256. Reads it where they are not known. Raises: OSError."""
        if missing := {"sha256", *algorithms} - self.digests.keys():
            hasher = hash_file(self.path, [Checksum(algorithm, "") for algorithm in missing])
            self.digests |= hasher.digests()
        return self.digests


def look(paths: Iterable[Path]) -> list[Brought]:
    """The files at some paths, those in folders too, in a stable order; what file managers leave there is left out.

    Raises: UsageProblem where there is no such file or folder, or it cannot be read.
    """
    found: dict[str, Brought] = {}
    for given in paths:
        name = given.resolve().name or "root"
        try:
            files = [(given, name)] if given.is_file() else list(_inside(given, name))
            for path, inside in files:
                found.setdefault(os.path.realpath(path), Brought(path, inside, name, path.stat().st_size))
        except OSError as error:
            raise UsageProblem(f"{error.filename or given} cannot be read: {error.strerror or error}") from error
    return list(found.values())


def _inside(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        folders[:] = sorted(each for each in folders if each.lower() not in LITTER)
        under = PurePosixPath(name, *Path(place).relative_to(folder).parts)
        for each in sorted(files):
            path = Path(place, each)
            if each.lower() not in LITTER and not each.startswith("._") and path.is_file():
                yield path, str(under / each)


def is_unfinished(file: Brought) -> bool:
    """Whether a program calls it unfinished."""
    return PurePosixPath(file.name).suffix.lower() in UNFINISHED


class Recognising:
    """Which file is which."""

    def __init__(self, plan: Callable[[], Iterable[Entry]]) -> None:
        """``plan`` gives all entries of the plan; only what has to do with what was brought is remembered."""
        self.files: list[Brought] = []
        self._plan = plan
        self._by_path: dict[str, list[Brought]] = defaultdict(list)
        self._by_name: dict[str, list[Brought]] = defaultdict(list)
        self._by_size: dict[int, list[Brought]] = defaultdict(list)
        self._by_suffix: dict[str, list[Brought]] = defaultdict(list)
        self._by_series: dict[str, list[tuple[Brought, str]]] = defaultdict(list)
        self._by_digest: dict[tuple[int | str, str], dict[str, list[Brought]]] = {}
        """By size or suffix, and algorithm."""
        self._read_headers = 0
        self._ends: Counter[str] = Counter()
        """How many files of the plan have paths that end so."""
        self._sizes: Counter[int | None] = Counter()

    def add(self, files: Iterable[Brought]) -> None:
        """Files that were brought, or came out of an archive that was."""
        for file in files:
            self.files.append(file)
            for path in {file.name, file.name.partition("/")[2]}:
                self._by_path[path].append(file)
            self._by_name[_plain(file.name)].append(file)
            self._by_size[file.size].append(file)
            self._by_suffix[_suffix(file.name)].append(file)
        self._by_digest.clear()
        self._ends.clear()
        self._sizes.clear()
        for each in (file for entry in self._plan() for file in _files(entry)):
            if each.size in self._by_size:
                self._sizes[each.size] += 1
            if not self._by_name.keys().isdisjoint(_names(each)):
                parts = each.path.split("/")
                self._ends.update("/".join(parts[at:]) for at in range(len(parts)))

    def left(self) -> list[Brought]:
        """Those that were recognised as nothing so far."""
        return [file for file in self.files if not file.used]

    def find(self, file: RemoteFile) -> Brought | None:
        """The file of a plan, with its bytes checked as far as anything is known of them; None if it is not there.

        Raises: OSError.
        """
        found = self._by_digests(file) if file.checksums else self._by_place(file) or self._by_length(file)
        if found is not None:
            found.used, found.wrong = True, None
            return found
        for each in self._called(file):
            each.wrong = each.wrong or self._why_not(each, file)
        return None

    def is_here(self, file: RemoteFile) -> None:
        """Marks what was brought of a file that is here already, told by name and size alone."""
        for each in self._called(file):
            each.used = each.used or file.size in (None, each.size)

    def _by_digests(self, file: RemoteFile) -> Brought | None:
        """The file that has the published digests, whatever it is called."""
        key = _suffix(file.path) if file.size is None else file.size
        algorithm = file.checksums[0].algorithm
        if (key, algorithm) not in self._by_digest:
            index = self._by_digest[key, algorithm] = defaultdict(list)
            for each in self._by_suffix[str(key)] if file.size is None else self._by_size[file.size]:
                index[each.digest([algorithm])[algorithm]].append(each)
        same = [each for each in self._by_digest[key, algorithm].get(file.checksums[0].hex, ()) if not each.used]
        return next((each for each in same if self._matches(each, file)), None)

    def _by_place(self, file: RemoteFile) -> Brought | None:
        """The file whose name, and the folders that it lies in, say that it is that one."""
        fitting = [each for each in self._called(file) if self._why_not(each, file) is None]
        deepest = [each for each in fitting if _common(each.name, file.path) == _common(fitting[0].name, file.path)]
        if len(deepest) > 1 and len({each.digest(())["sha256"] for each in deepest}) > 1:
            for each in deepest:
                each.wrong = (
                    "bad",
                    file.path,
                    f"is one of {len(deepest)} different files that may be it: give one of them",
                )
            return None
        return deepest[0] if deepest else None

    def _by_length(self, file: RemoteFile) -> Brought | None:
        """The file of the right length, where there is only one such, and only one is wanted."""
        same = [each for each in self._by_size.get(file.size or 0, ()) if _suffix(each.name) == _suffix(file.path)]
        same = [each for each in same if not each.used and not self._ends[each.name.rpartition("/")[2]]]
        only = len(same) == 1 and self._sizes[file.size] == 1 and self._why_not(same[0], file) is None
        return same[0] if only else None

    def _called(self, file: RemoteFile) -> list[Brought]:
        """What is called as a file of the plan, and lies where it can be no other of it; the best place first."""
        if exact := [each for each in self._by_path.get(file.path, ()) if not each.used]:
            return exact
        named = [each for name in _names(file) for each in self._by_name.get(name, ()) if not each.used]
        meant = [each for each in dict.fromkeys(named) if self._is_meant(each, file)]
        return sorted(meant, key=lambda each: -_common(each.name, file.path))

    def _is_meant(self, each: Brought, file: RemoteFile) -> bool:
        """Whether a file's path in what was given tells it from all others of the plan."""
        depth = _common(each.name, file.path) or 1
        return self._ends["/".join(file.path.split("/")[-depth:])] <= 1

    def _matches(self, each: Brought, file: RemoteFile) -> bool:
        """Whether a file has the published size and digests."""
        if file.size not in (None, each.size):
            return False
        found = each.digest(checksum.algorithm for checksum in file.checksums)
        return all(found[checksum.algorithm] == checksum.hex for checksum in file.checksums)

    def _why_not(self, each: Brought, file: RemoteFile) -> tuple[str, str, str] | None:
        """What is wrong with a file that by its name is that of the plan; None if nothing is."""
        if file.size is not None and each.size < file.size:
            return "half", file.path, f"has {each.size:,} of {file.size:,} bytes: download it again"
        with open(each.path, "rb") as content:
            instead = verify.looks_like(content.read(HEAD), file.path)
        if instead:
            return "bad", file.path, f"is {instead}"
        if file.size is not None and each.size > file.size:
            return "bad", file.path, f"has {each.size:,} bytes, expected {file.size:,}"
        if file.checksums and not self._matches(each, file):
            found = each.digest(checksum.algorithm for checksum in file.checksums)
            wrong = next(checksum for checksum in file.checksums if found[checksum.algorithm] != checksum.hex)
            return "bad", file.path, f"has {wrong.algorithm} {found[wrong.algorithm]}, expected {wrong.hex}"
        if not file.checksums and file.size is None and not file.unpack:
            # Nothing is known of it: what it looks like inside has to do. An archive is looked at when it is unpacked.
            problem = verify.check_content(each.path, file.path)
            return ("bad", file.path, problem) if problem else None
        return None

    # -- series --------------------------------------------------------------------------------------------------

    def has_series(self, group: Group) -> bool:
        """Whether any instance of a series was brought. Raises: OSError."""
        self._read_series()
        return any(not each.used for each, _ in self._by_series.get(_series_of(group), ()))

    def series_is_here(self, group: Group) -> None:
        """Marks what was brought of a series that is here already, told by its headers alone."""
        for each, _ in self._by_series.get(_series_of(group), ()):
            each.used = True

    def series(self, group: Group, members: Collection[RemoteFile] | None) -> list[tuple[Brought, RemoteFile]]:
        """The instances of a series that were brought, each with the file that it is.

        ``members`` are what the series' source lists; with None, since it cannot be asked, an instance is what its own
        header says. Raises: OSError.
        """
        self._read_series()
        uid, found = _series_of(group), []
        for each, instance in self._by_series.get(uid, ()):
            if each.used:
                continue
            if members is None:
                file: RemoteFile | None = RemoteFile(group.path, instance, dicom=True)
            else:
                file = next((member for member in members if self._is_instance(each, instance, member)), None)
            if file is None:
                each.wrong = "bad", f"{group.path}/{instance}.dcm", "is no file of its series as it is published"
            elif not file.checksums and (problem := verify.check_dicom(each.path, series=uid, sop=instance)):
                each.wrong = "bad", f"{group.path}/{instance}.dcm", problem
            else:
                each.used, each.wrong = True, None
                found.append((each, file))
        return found

    def _is_instance(self, each: Brought, instance: str, member: RemoteFile) -> bool:
        return self._matches(each, member) if member.checksums else member.key == instance

    def _read_series(self) -> None:
        """Reads the headers of what was not looked at yet."""
        for each in self.files[self._read_headers :]:
            if identity := dicom.identity(each.path):
                self._by_series[identity[0]].append((each, identity[1]))
        self._read_headers = len(self.files)


def _files(entry: Entry) -> Iterator[RemoteFile]:
    """The files of which an entry may consist."""
    if isinstance(entry, RemoteFile):
        yield entry
        yield from entry.pieces


def _series_of(group: Group) -> str:
    return group.facets.get("series", group.path.rpartition("/")[2])


def _plain(name: str) -> str:
    """The last part of a path, as no browser has changed it."""
    return COPY.sub("", name.rpartition("/")[2]).casefold()


def _names(file: RemoteFile) -> dict[str, None]:
    """What a file may be called where it was downloaded."""
    names = [file.path, *(unquote(urlsplit(url).path) for url in file.urls)]
    names += [f"{file.key}.dcm"] if file.dicom else []
    return dict.fromkeys(name.rpartition("/")[2].casefold() for name in names if not name.endswith("/"))


def _suffix(name: str) -> str:
    return PurePosixPath(COPY.sub("", name)).suffix.lower()


def _common(one: str, other: str) -> int:
    """How many parts the ends of two paths have in common; the last as no browser has changed it."""
    count = 0
    for first, second in zip(reversed(one.split("/")), reversed(other.split("/")), strict=False):
        if (first if count else _plain(first)) != (second if count else second.casefold()):
            break
        count += 1
    return count
