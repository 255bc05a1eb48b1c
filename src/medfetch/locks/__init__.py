"""Locks: YAML files that pin datasets, with a list of the files of each (``lists``). It must not know the network.

YAML, as recipes and lists of datasets are: a fact a line without commas, so that a change is a line of a diff. What a
program needs stands in the lists, whose digests are in the lock; what people want to see stands in the lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medfetch import __version__, storage
from medfetch.errors import UPGRADE, RecipeError, UsageProblem

FORMAT = 1
"""Of the file; another one for what this medfetch could not read."""
LIST, ENTRIES = "list", "entries"
"""The fields of a dataset that name its list, and hold it where it is short."""
HEAD = "# What `medfetch get --locked` fetches again, exactly. Made by `medfetch lock`; do not edit.\n"


@dataclass(frozen=True, slots=True)
class Locked:
    """A dataset as a lock has it."""

    name: str
    """What a person names it by."""
    told: Mapping[str, Any]
    """All that stands in the lock, in its order."""
    folder: Path
    """Where lists are that are not in the lock itself."""
    sandbox: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of its list."""
        return str(self.told[LIST]).removeprefix("sha256:")

    @property
    def asked(self) -> Mapping[str, Any]:
        """What was wanted of it, where not all was: select, part, limit, route, archives."""
        return self.told.get("asked") or {}


@dataclass(frozen=True, slots=True)
class Lock:
    path: Path
    datasets: tuple[Locked, ...]
    sandbox: bool = False
    """Made in a rehearsal: what it pins is synthetic."""

    def named(self, names: Iterable[str]) -> list[Locked]:
        """Those that are named, or all. Raises: UsageProblem where one is not in it."""
        wanted, known = set(names), dict.fromkeys(each.name for each in self.datasets)
        if missing := sorted(wanted - known.keys()):
            raise UsageProblem(f"{missing[0]} is not in {self.path}", hint=f"in there: {', '.join(known) or 'nothing'}")
        return [each for each in self.datasets if not wanted or each.name in wanted]


def folder_of(path: Path) -> Path:
    """Where a lock's lists are."""
    return path.with_name(f"{path.name}.files")


def read(path: Path) -> Lock:
    """Raises: UsageProblem where it cannot be read; RecipeError where it is no lock, or one of a newer medfetch."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"not valid YAML: {error}", at=str(path)) from error
    if not isinstance(content, dict) or not isinstance(content.get("lock"), int):
        raise RecipeError("this is no lock of medfetch", at=str(path), hint="medfetch lock makes one")
    if content["lock"] > FORMAT:
        raise RecipeError(f"a newer medfetch has made it ({content.get('tool')})", at=str(path), hint=UPGRADE)
    rows = content.get("datasets")
    if not isinstance(rows, list):
        raise RecipeError("expected a list of datasets", at=f"{path}: datasets")
    sandbox = content.get("sandbox") is True
    found = tuple(_locked(row, f"{path}: dataset {number}", path, sandbox) for number, row in enumerate(rows, 1))
    return Lock(path, found, sandbox)


def _locked(row: Any, at: str, path: Path, sandbox: bool) -> Locked:
    if not isinstance(row, dict) or not isinstance(row.get("name"), str):
        raise RecipeError("expected the name of a dataset", at=at)
    if not re.fullmatch("sha256:[0-9a-f]{64}", str(row.get(LIST))):
        raise RecipeError(f"{LIST} is {row.get(LIST)!r}, expected sha256: and 64 hexadecimal digits", at=at)
    if not isinstance(row.get("asked") or {}, dict) or not isinstance(row.get(ENTRIES, ""), str):
        raise RecipeError(f"expected fields in asked, and a text in {ENTRIES}", at=at)
    return Locked(row["name"], row, folder_of(path), sandbox)


def write(lock: Lock) -> None:
    """Writes a lock in one step, and then removes the lists that it does not name. Raises: CacheError, DiskFull."""
    content = {"lock": FORMAT, "tool": f"medfetch {__version__}", **({"sandbox": True} if lock.sandbox else {})}
    content["datasets"] = [dict(each.told) for each in lock.datasets]
    temporary = lock.path.with_name(f".{lock.path.name}.{os.getpid()}")
    with storage.disk_errors(lock.path):
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(HEAD)
                yaml.dump(content, file, _Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
            temporary.replace(lock.path)
        finally:
            temporary.unlink(missing_ok=True)
        kept = {each.digest for each in lock.datasets if ENTRIES not in each.told}
        for path in folder_of(lock.path).glob("*.jsonl.gz"):
            if re.fullmatch("[0-9a-f]{64}", name := path.name.partition(".")[0]) and name not in kept:
                path.unlink()
        if not kept and folder_of(lock.path).is_dir() and not any(folder_of(lock.path).iterdir()):
            folder_of(lock.path).rmdir()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as lines, and no references to what came before."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
