"""Which files are archives by their names, and which of those that a source lists are to be unpacked.

It must not know where files come from, nor what is in an archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

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
VOLUME = re.compile(r"\.z[0-9]{2,3}$", re.IGNORECASE)
"""A volume of a split zip that is not the last one, which ends like any zip."""


def kind(path: str) -> str | None:
    """What unpacks a file; None where it is no archive, or one volume of several (``.7z.001``, ``.z01``)."""
    return next((kind for ending, kind in KINDS.items() if path.lower().endswith(ending)), None)


def read(value: bool | Sequence[Mapping[str, Any]]) -> tuple[Unpacking, ...]:
    """A route's ``unpack``: true, or a list of patterns, each perhaps with the folder for what is in the archives."""
    if isinstance(value, bool):
        return (Unpacking(),) if value else ()
    return tuple(Unpacking(each["path"], _folder(each.get("into"))) for each in value)


def unpacking(entries: Iterable[Entry], wanted: Sequence[Unpacking]) -> Iterator[Entry]:
    """The entries, with an ``Unpack`` for the archives that are wanted so and have none yet.

    Zips come last: only then is it known which of them are the last volumes of a split one, and left as they are.
    """
    if not wanted:
        yield from entries
        return
    zips: list[RemoteFile] = []
    split: set[str] = set()
    for entry in entries:
        if isinstance(entry, RemoteFile):
            if VOLUME.search(entry.path):
                split.add(_stem(entry.path))
            if kind(entry.path) == "zip":
                zips.append(entry)
                continue
            entry = _marked(entry, wanted)
        yield entry
    for each in zips:
        yield each if _stem(each.path) in split else _marked(each, wanted)


def _marked(file: RemoteFile, wanted: Sequence[Unpacking]) -> RemoteFile:
    """By the first pattern that fits."""
    found = kind(file.path)
    rule = next((each for each in wanted if fits(file.path, (each.path,))), None)
    if found is None or rule is None or file.unpack:
        return file
    return replace(file, unpack=Unpack(found, file.path.rpartition("/")[0] if rule.into is None else rule.into))


def _folder(into: str | None) -> str | None:
    return "" if into == "." else into


def _stem(path: str) -> str:
    return path.rpartition(".")[0].lower()
