"""Which files are archives by their names, and which of those that a source lists are to be unpacked.

It must not know where files come from, nor what is in an archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from medfetch.errors import RecipeError
from medfetch.patterns import fits
from medfetch.types import Entry, RemoteFile, Unpack, Unpacking

KINDS = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
    ".7z": "7z",
}
VOLUME = re.compile(r"\.z([0-9]{2,3})$", re.IGNORECASE)
"""A volume of a split zip that is not the last one, which ends like any zip, unless it was given another name."""


def kind(path: str) -> str | None:
    """What unpacks a file; None where it is no archive, or one volume of several (``.7z.001``, ``.z01``)."""
    return next((kind for ending, kind in KINDS.items() if path.lower().endswith(ending)), None)


def read(value: bool | Sequence[Mapping[str, Any]]) -> tuple[Unpacking, ...]:
    """A route's ``unpack``: true, or a list of patterns, each perhaps with the folder for what is in the archives, and
    with a pattern of the volumes of which it is the last one."""
    if isinstance(value, bool):
        return (Unpacking(),) if value else ()
    return tuple(Unpacking(each["path"], _folder(each.get("into")), each.get("volumes")) for each in value)


def unpacking(entries: Iterable[Entry], wanted: Sequence[Unpacking]) -> Iterator[Entry]:
    """The entries, with an ``Unpack`` for the archives that are wanted so and have none yet; the volumes of a split zip
    are one entry.

    Zips come last: only then is it known which of them are the last volumes of a split one.
    Raises: RecipeError where a volume is missing.
    """
    if not wanted:
        yield from entries
        return
    zips: list[RemoteFile] = []
    volumes: dict[str, RemoteFile] = {}
    for entry in entries:
        if isinstance(entry, RemoteFile) and not entry.unpack:
            rule = _rule(entry, wanted)
            if VOLUME.search(entry.path):
                volumes[entry.path] = entry
                continue
            if kind(entry.path) == "zip" or (rule and rule.volumes):
                zips.append(entry)
                continue
            entry = _marked(entry, rule)
        yield entry
    for each in zips:
        rule = _rule(each, wanted)
        own = _volumes_of(each, rule, volumes) if rule else []
        for volume in own:
            del volumes[volume.path]
        yield _joined(each, rule, own) if rule and own else _marked(each, rule)
    yield from volumes.values()


def _rule(file: RemoteFile, wanted: Sequence[Unpacking]) -> Unpacking | None:
    """The first whose pattern fits."""
    return next((each for each in wanted if fits(file.path, (each.path,))), None)


def _marked(file: RemoteFile, rule: Unpacking | None) -> RemoteFile:
    found = kind(file.path)
    return replace(file, unpack=Unpack(found, _into(file, rule))) if found and rule else file


def _into(file: RemoteFile, rule: Unpacking) -> str:
    return file.path.rpartition("/")[0] if rule.into is None else rule.into


def _volumes_of(last: RemoteFile, rule: Unpacking, volumes: Mapping[str, RemoteFile]) -> list[RemoteFile]:
    """The volumes before a last one: those of the rule's pattern, or of the same name but for the ending."""
    if rule.volumes:
        return [volume for path, volume in volumes.items() if fits(path, (rule.volumes,))]
    return [volume for path, volume in volumes.items() if _stem(path) == _stem(last.path)]


def _joined(last: RemoteFile, rule: Unpacking, volumes: Sequence[RemoteFile]) -> RemoteFile:
    numbered = {int(VOLUME.search(volume.path)[1]): volume for volume in volumes}  # type: ignore[index]
    if missing := [number for number in range(1, len(volumes) + 1) if number not in numbered]:
        raise RecipeError(f"of the volumes of {last.path}, .z{missing[0]:02d} is not among the files")
    pieces = (*(numbered[number] for number in sorted(numbered)), last)
    sizes = [piece.size for piece in pieces]
    return RemoteFile(
        last.path, " ".join(piece.key for piece in pieces), size=None if None in sizes else sum(filter(None, sizes)),
        facets=last.facets, unpack=Unpack("split-zip", _into(last, rule)), pieces=pieces,
    )  # fmt: skip


def _folder(into: str | None) -> str | None:
    return "" if into == "." else into


def _stem(path: str) -> str:
    return path.rpartition(".")[0].lower()
