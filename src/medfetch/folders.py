"""The folder that a route gives all that its source lists. It must not know sources, nor what is in the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from medfetch.patterns import within
from medfetch.types import Entry, Group, RemoteFile, Selection


def inside(selection: Selection, folder: str) -> Selection | None:
    """A selection of a dataset's paths in the words of a source whose files go to a folder; None where it wants none
    of them."""
    if not folder or "path" not in selection.facets:
        return selection
    patterns = within(folder, selection.facets["path"])
    return replace(selection, facets={**selection.facets, "path": patterns}) if patterns else None


def put(entries: Iterable[Entry], folder: str) -> Iterator[Entry]:
    """The entries in a folder, and what is unpacked of them, too."""
    if not folder:
        yield from entries
        return
    for entry in entries:
        if isinstance(entry, Group):
            archive = entry.archive and _file(entry.archive, folder)
            yield replace(entry, path=f"{folder}/{entry.path}", archive=archive)
        else:
            yield _file(entry, folder)


def _file(file: RemoteFile, folder: str) -> RemoteFile:
    unpack = file.unpack and replace(file.unpack, into=f"{folder}/{file.unpack.into}".rstrip("/"))
    pieces = tuple(_file(piece, folder) for piece in file.pieces)
    return replace(file, path=f"{folder}/{file.path}", unpack=unpack, pieces=pieces)
