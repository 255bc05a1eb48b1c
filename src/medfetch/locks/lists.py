"""The list of a locked dataset: a line of JSON for the recipe and the plan, one for each entry, and behind an entry one
for each file that came of it. Named by the SHA-256 of its text; streamed, never held whole.

    {"recipe": …, "plan": …}
    {"part": "images", "by": "recipe", "entry": …}        by: who gives the entry's checksums
    {"file": "a/one", "size": 3, "sha256": "…", "by": "medfetch", "checked": "md5:…"}

A short list stands in the lock itself, others lie beside it, packed by gzip.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medfetch import entries, kept, storage
from medfetch.errors import CacheError, UsageProblem
from medfetch.locks import ENTRIES, Locked
from medfetch.pins import Pin
from medfetch.types import Entry, Recipe

SHORT = 32_000
"""Characters of a list that stands in the lock."""
PUBLISHED = ("host", "recipe", "third party")
"""How ``by`` begins where a digest is published, by others than medfetch and the directory of a zip."""
AGAIN = "make the lock anew, or fetch it again from where it came"


@dataclass(frozen=True, slots=True)
class Planned:
    part: str
    by: str
    """Who gives its checksums: ``host``, ``recipe``, ``third party: …``; or what else it is locked by, for want of
    any: ``archive-crc``, ``size only``, ``nothing``."""
    entry: Entry


@dataclass(frozen=True, slots=True)
class File:
    """What came of the entry before it."""

    path: str
    size: int
    sha256: str
    by: str
    """Who gives its digest: as of ``Planned``, or ``medfetch``, which computed it."""
    checked: str | None = None
    """The published checksum of another kind that it had when it came."""

    @property
    def pin(self) -> Pin:
        return Pin(self.path, self.size, self.sha256, self.by.startswith(PUBLISHED))


def line(item: Planned | File) -> str:
    if isinstance(item, File):
        content = {"file": item.path, "size": item.size, "sha256": item.sha256, "by": item.by}
        content |= {"checked": item.checked} if item.checked else {}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    head = json.dumps({"part": item.part, "by": item.by}, ensure_ascii=False, separators=(",", ":"))
    return f'{head[:-1]},"entry":{entries.dump(item.entry)}}}'


def save(lines: Iterable[str], folder: Path) -> dict[str, str]:
    """Writes a list into a folder, unless it is short: the fields of a lock that name or hold it.

    Raises: CacheError, DiskFull.
    """
    digest, held, size = hashlib.sha256(), [], 0
    rest = map(_visible, lines)
    for text in rest:
        digest.update(f"{text}\n".encode())
        held.append(text)
        size += len(text) + 1
        if size > SHORT:
            break
    if size <= SHORT:
        return {"list": f"sha256:{digest.hexdigest()}", ENTRIES: "".join(f"{text}\n" for text in held)}
    temporary = folder / f".{os.getpid()}.jsonl.gz"
    with storage.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # Neither name nor time go into it, so that the same list is the same file.
            with open(temporary, "wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                packed.write("".join(f"{text}\n" for text in held).encode())
                for text in rest:
                    data = f"{text}\n".encode()
                    digest.update(data)
                    packed.write(data)
            temporary.replace(folder / f"{digest.hexdigest()}.jsonl.gz")
        finally:
            temporary.unlink(missing_ok=True)
    return {"list": f"sha256:{digest.hexdigest()}"}


def _visible(text: str) -> str:
    """JSON without what cannot be seen, which people and YAML take for something else."""
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def head(locked: Locked) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, and the facts of the plan. Raises: UsageProblem where the list is not there; CacheError."""
    text = next(_lines(locked))
    try:
        content = json.loads(text)
        recipe = kept.load(content["recipe"], locked.folder)
        # Its folder in the cache.
        if not re.fullmatch(r"[^./\0][^/\0]*", recipe.id):
            raise ValueError(f"{recipe.id!r} is no name of a dataset")
        return recipe, dict(content["plan"])
    except (CacheError, LookupError, TypeError, ValueError) as error:
        raise CacheError(f"the list of {locked.name} begins with something else: {error}", hint=AGAIN) from error


def items(locked: Locked) -> Iterator[Planned | File]:
    """What is in a list, in its order. Raises: likewise; at its end where its digest is another one."""
    digest = hashlib.sha256()
    lines = _lines(locked)
    digest.update(f"{next(lines)}\n".encode())
    for text in lines:
        digest.update(f"{text}\n".encode())
        yield _item(text, locked)
    if digest.hexdigest() != locked.digest:
        raise CacheError(f"the list of {locked.name} is not the one that was locked: it was changed", hint=AGAIN)


def with_files(locked: Locked) -> Iterator[tuple[Planned, Iterator[File]]]:
    """The entries, each with what came of it, to be read before the next one. Raises: likewise."""
    rest = items(locked)
    waiting: Planned | File | None = next(rest, None)

    def files() -> Iterator[File]:
        nonlocal waiting
        while isinstance(waiting := next(rest, None), File):
            yield waiting

    while (planned := waiting) is not None:
        if isinstance(planned, File):
            raise CacheError(f"the list of {locked.name} has a file of no entry: {planned.path}", hint=AGAIN)
        came = files()
        yield planned, came
        for _ in came:  # whatever was not asked for
            pass


def _item(text: str, locked: Locked) -> Planned | File:
    try:
        if text.startswith('{"file":'):
            content: Mapping[str, Any] = json.loads(text)
            return File(content["file"], content["size"], content["sha256"], content["by"], content.get("checked"))
        # As ``line`` wrote it: the entry is what ``entries.load`` reads.
        before, _, body = text.partition(',"entry":')
        told = json.loads(f"{before}}}")
        return Planned(told["part"], told["by"], entries.load(body[:-1]))
    except (LookupError, TypeError, ValueError) as error:
        raise CacheError(f"the list of {locked.name} has a line that is no file: {text[:80]}", hint=AGAIN) from error


def _lines(locked: Locked) -> Iterator[str]:
    """Raises: CacheError where there is none."""
    some = False
    if (text := locked.told.get(ENTRIES)) is not None:
        for each in text.split("\n")[:-1]:
            some = True
            yield each
    else:
        path = locked.folder / f"{locked.digest}.jsonl.gz"
        with _opened(path, locked) as file:
            try:
                for data in file:
                    some = True
                    yield data.decode().rstrip("\n")
            except (gzip.BadGzipFile, zlib.error, EOFError, UnicodeDecodeError, OSError) as error:
                raise CacheError(f"{path} cannot be read: {error}", hint=AGAIN) from error
    if not some:
        raise CacheError(f"the list of {locked.name} is empty", hint=AGAIN)


def _opened(path: Path, locked: Locked) -> gzip.GzipFile:
    with suppress(FileNotFoundError):
        return gzip.open(path, "rb")
    raise UsageProblem(f"{path} is missing, the list of {locked.name}", hint="lists lie beside the lock: keep both")
