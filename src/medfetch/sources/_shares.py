"""Links that people share: what a recipe knows of the files behind them, and what a host's answer says of one.

It must not know hosts.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from medfetch.errors import RecipeError, UsageProblem
from medfetch.sources import _files, _paths
from medfetch.sources._paths import relative
from medfetch.types import Checksum, Peek, RemoteFile

FIELDS = {"path", "size", "unpack", *_files.CHECKSUMS}
"""What a recipe can know of a file that a listing shows."""
BY_HAND = "fetch it in a browser and hand it over: medfetch import"
"""The other way, where a host gives a program nothing."""
LONGEST_NUMBER = 18
"""Digits of a number of bytes."""


def known(locator: Mapping[str, Any], source: str, fields: set[str] = FIELDS) -> dict[str, Mapping[str, Any]]:
    """The ``files`` of a locator, by path. Raises: RecipeError."""
    items = locator.get("files", ())
    if not isinstance(items, list | tuple) or (not items and "files" in locator):
        raise RecipeError("expected a list of files", at=f"{source}.files")
    found: dict[str, Mapping[str, Any]] = {}
    for at, item in enumerate(items):
        where = f"{source}.files[{at}]"
        path = _files.path(_files.mapping(item, fields, where), where)
        if path in found:
            raise RecipeError(f"two files have the path {path!r}", at=where)
        described(RemoteFile(path, path), item, where)
        found[path] = item
    return found


def described(file: RemoteFile, item: Mapping[str, Any], where: str) -> RemoteFile:
    """A file with what a recipe knows of it, too, which goes before what its host says. Raises: RecipeError."""
    checksums = _files.checksums(item, where)
    size = _files.size(item, where)
    return replace(
        file,
        size=file.size if size is None else size,
        checksums=_united(checksums, file.checksums),
        unpack=_files.unpack(item, file.path, split=False, where=where) or file.unpack,
    )


def matched(files: Iterable[RemoteFile], items: Mapping[str, Mapping[str, Any]], source: str) -> Iterator[RemoteFile]:
    """The files with what a recipe knows of them.

    Raises: RecipeError for two of one path; UsageProblem, at the end, where one that the recipe knows is not there.
    """
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise RecipeError(f"two files have the path {file.path!r}", at=source)
        seen.add(file.path)
        yield described(file, items[file.path], f"{source}.files") if file.path in items else file
    if gone := sorted(items.keys() - seen):
        raise UsageProblem(f"{source} does not show {', '.join(gone[:3])} any more", hint="the recipe may be outdated")


def component(name: str) -> str:
    """A name that somebody gave a file, as a part of a path: as it is wherever it can be."""
    try:
        return relative(name) if "/" not in name else _paths.component(name)
    except RecipeError:
        return _paths.component(name)


def file_name(peek: Peek) -> str | None:
    """What a host calls a file (``Content-Disposition``, RFC 6266); None where it does not say."""
    told = peek.headers.get("content-disposition", "")
    if found := re.search(r"filename\*\s*=\s*utf-8''([^;\s]+)", told, re.IGNORECASE):
        return unquote(found[1])
    if found := re.search(r'filename\s*=\s*"((?:[^"\\]|\\.)*)"', told, re.IGNORECASE):
        # Headers are read as Latin-1; hosts write UTF-8.
        name = re.sub(r"\\(.)", r"\1", found[1])
        return name.encode("latin-1", "replace").decode("utf-8", "replace")
    return None


def size(peek: Peek) -> int | None:
    """Bytes of the file that would come; None where the host does not say, or sends it compressed."""
    told = peek.headers.get("content-length", "")
    plain = peek.headers.get("content-encoding", "identity") == "identity"
    return int(told) if plain and told.isdecimal() and len(told) <= LONGEST_NUMBER else None


def title(page: str) -> str:
    """Of a page of HTML; empty where it has none."""
    found = re.search(r"<title[^>]*>([^<]*)", page, re.IGNORECASE)
    return " ".join(html.unescape(found[1]).split()) if found else ""


def _united(first: tuple[Checksum, ...], more: tuple[Checksum, ...]) -> tuple[Checksum, ...]:
    have = {each.algorithm for each in first}
    return first + tuple(each for each in more if each.algorithm not in have)
