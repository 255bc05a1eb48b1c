"""A tree against a receipt, one's own or somebody else's, or against the RO-Crate that was made of one.

A receipt has the number of files, and one digest for all of them: it tells whether a tree is the same, and not which
file is another. An RO-Crate names each. It must not know the network or the sources.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from medfetch import cache, planning
from medfetch.cache import INNER, Home
from medfetch.checksum import hash_file
from medfetch.config import Settings
from medfetch.errors import CacheError, UsageProblem
from medfetch.ledger import Ledger
from medfetch.planning import Plan

T = TypeVar("T")
AT_ONCE = 4
"""Files that are read at the same time."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file says that there must be."""

    origin: Path
    told: Mapping[str, Any]
    """A receipt; empty for an RO-Crate."""
    listed: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Of an RO-Crate, size and SHA-256 by path."""

    @property
    def name(self) -> str:
        return str(self.told.get("dataset") or self.origin)


@dataclass(slots=True)
class Checked:
    """What there is."""

    folder: Path
    files: int = 0
    bytes: int = 0
    tree: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(path, what is wrong) of files; ("", …) of the whole."""


def read(path: Path) -> Expected:
    """A receipt (``receipt.json``, the last line of ``get --json``) or the metadata of an RO-Crate.

    Raises: UsageProblem where it is neither.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageProblem(
            f"{path} cannot be read: {error}", hint="a receipt, or the metadata of an RO-Crate"
        ) from error
    if isinstance(content, dict) and "@graph" in content:
        return Expected(path, {}, _listed(path, content))
    wanted = {"dataset", "version", "files", "bytes", "tree", "select", "limit", "parts"}
    if not isinstance(content, dict) or not wanted <= content.keys():
        missing = ", ".join(sorted(wanted - (content.keys() if isinstance(content, dict) else set())))
        raise UsageProblem(f"{path} is no receipt of medfetch: it has no {missing}")
    return Expected(path, content)


def _listed(path: Path, content: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    found = {}
    for entity in content["@graph"]:
        kinds = entity.get("@type", ())
        if "File" in (kinds if isinstance(kinds, list) else [kinds]) and "sha256" in entity:
            name = unquote(entity["@id"]).removeprefix("./")
            try:
                planning.check_path(name)
                found[name] = int(entity["contentSize"]), str(entity["sha256"]).lower()
            except (LookupError, TypeError, ValueError, UsageProblem) as error:
                raise UsageProblem(f"{path}: the file {name!r} cannot be checked: {error}") from error
    if not found:
        raise UsageProblem(f"{path} tells of no file with its sha256", hint="medfetch export --format ro-crate does")
    return found


def check(expected: Expected, folder: Path | None, settings: Settings) -> Checked:
    """Reads every byte of what a receipt is of: in a folder, else in the cache; an RO-Crate's beside itself.

    Raises: UsageProblem where the folder is none; CacheError where the cache has nothing of it.
    """
    if folder is not None and not folder.is_dir():
        raise UsageProblem(f"{folder} is no folder")
    if expected.listed:
        return _against_list(expected, folder or expected.origin.absolute().parent)
    if folder is not None:
        return _against_tree(expected, folder, walked(folder))
    if bool(expected.told.get("sandbox")) != settings.sandbox:
        other = "leave out --sandbox" if settings.sandbox else "add --sandbox, or name the folder"
        raise UsageProblem(f"{expected.origin} is not of this cache", hint=other)
    home = _home(expected, settings)
    made = _plan(expected, home)
    if made is None:
        return _against_tree(expected, home.root, walked(home.root))
    with closing(Ledger(home.ledger, watching=True)) as ledger:
        known = ((file.path, file.sha256) for file in ledger.files_of_plan(made.shards))
        return _against_tree(expected, home.root, known)


def _home(expected: Expected, settings: Settings) -> Home:
    for where in (settings.cache, *settings.cache_layers):
        home = cache.home(where, str(expected.told["dataset"]), expected.told["version"])
        if home.ledger.exists():
            return home
    raise CacheError(
        f"nothing of {expected.name} is in the cache", hint="medfetch get, or the folder that it lies in as an argument"
    )


def _plan(expected: Expected, home: Home) -> Plan | None:
    """The plan here for what the receipt is of."""
    told = expected.told
    for made in planning.all_of(home):
        header = made.header
        same = (header["select"], header["limit"], sorted(header["parts"])) == (
            told["select"], told["limit"], sorted(told["parts"]),
        )  # fmt: skip
        if made.id == told.get("plan") or same:
            return made
    return None


def walked(folder: Path) -> Iterator[tuple[str, None]]:
    """Paths of all files in a folder but medfetch's own, in their order, which is that of receipts."""
    yield from ((path, None) for path in _walked(folder, ""))


def _walked(folder: Path, before: str) -> Iterator[str]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            # What is in a folder follows a slash.
            found.append((f"{entry.name}/" if entry.is_dir() else entry.name, entry.name))
    for name, plain in sorted(found):
        if name != f"{INNER}/" or before:
            yield from _walked(folder / plain, before + name) if name.endswith("/") else [before + name]


def _against_tree(expected: Expected, folder: Path, paths: Iterable[tuple[str, str | None]]) -> Checked:
    """``paths``: each with the digest that the file had when it came here, if that is known."""
    there, tree = Checked(folder), hashlib.sha256()
    for path, known, size, sha256 in _hashed(folder, paths):
        if size is None:
            there.problems.append((path, sha256))
            continue
        there.files += 1
        there.bytes += size
        tree.update(f"{sha256} {size} {path}\n".encode())
        if known not in (None, sha256):
            there.problems.append((path, f"sha256 {sha256}, {known} when it came"))
    there.tree = f"sha256:{tree.hexdigest()}"
    told = expected.told
    if there.tree != told["tree"]:
        have = f"{there.files:,} files, {there.bytes:,} bytes, tree {there.tree}"
        wanted = f"{told['files']:,} files, {told['bytes']:,} bytes, tree {told['tree']}"
        there.problems.append(("", f"{have}; the receipt is of {wanted}"))
    return there


def _against_list(expected: Expected, folder: Path) -> Checked:
    there = Checked(folder)
    for path, known, size, sha256 in _hashed(folder, sorted(expected.listed.items())):
        if size is None:
            there.problems.append((path, sha256))
            continue
        there.files += 1
        there.bytes += size
        if (size, sha256) != known:
            wanted = f"sha256 {known[1]} ({known[0]:,} bytes)"
            there.problems.append((path, f"sha256 {sha256} ({size:,} bytes), expected {wanted}"))
    return there


def _hashed(folder: Path, paths: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T, int | None, str]]:
    """(path, what is known of it, size, SHA-256) in their order; (…, None, why) where a file cannot be read."""

    def hashed(path: str, known: T) -> tuple[str, T, int | None, str]:
        try:
            hasher = hash_file(folder / path)
        except FileNotFoundError:
            return path, known, None, "missing"
        except OSError as error:
            return path, known, None, f"cannot be read: {error.strerror}"
        return path, known, hasher.length, hasher.sha256

    with ThreadPoolExecutor(AT_ONCE) as pool:
        pending: deque[Future[tuple[str, T, int | None, str]]] = deque()
        for path, known in paths:
            pending.append(pool.submit(hashed, path, known))
            if len(pending) > 16 * AT_ONCE:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
