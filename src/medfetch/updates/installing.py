"""A set of recipes becomes the one that counts, or does not. It must not know where it came from, nor the network.

DATA/recipes/
  updated.json                   which sets are here, and which counts; replaced in one step
  7-1a2b3c4d5e6f/                a set, checked and complete; the one before it stays for --rollback
"""

from __future__ import annotations

import datetime
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medfetch import catalog, leases, recipe_folders, storage
from medfetch.config import Settings
from medfetch.errors import UPGRADE, CacheError, IntegrityError, RecipeError, UsageProblem
from medfetch.recipe_check import Problem
from medfetch.recipe_data import REQUIREMENTS
from medfetch.updates.index import Recipes

WAIT = 30.0
"""Seconds for another update to end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What counts after a change; ``number`` and ``folder`` are those of medfetch's own recipes where these do."""

    number: int
    folder: Path
    builtin: bool
    origin: str | None = None
    new: tuple[str, ...] = ()
    """Ids of recipes that were not there before; likewise those that have changed, and those that are gone."""
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    left_out: tuple[Problem, ...] = ()
    """The first problem of each recipe that this medfetch cannot use; what it had before counts on."""

    @property
    def differences(self) -> dict[str, tuple[str, ...]]:
        return {"new": self.new, "changed": self.changed, "gone": self.gone}

    def as_dict(self) -> dict[str, Any]:
        left = [{"file": str(each.file), "field": each.field, "message": each.message} for each in self.left_out]
        return {
            "event": "recipes", "number": self.number, "folder": str(self.folder), "builtin": self.builtin,
            "from": self.origin, **{word: list(ids) for word, ids in self.differences.items()}, "left_out": left,
        }  # fmt: skip


def install(recipes: Recipes, settings: Settings) -> Outcome:
    """Checks a set and makes it the one that counts, unless medfetch's own recipes are as new.

    Raises: IntegrityError for an older set than one that was here, or another of the same number; RecipeError where
    nothing in it can be used; UsageProblem, CacheError, DiskFull.
    """
    with _changing(settings.data) as state:
        highest = state["highest"]
        if highest and recipes.number < highest["number"]:
            raise IntegrityError(
                f"{recipes.origin} has the recipes number {recipes.number}; number {highest['number']} was here before",
                hint=f"nothing was changed. {FORGET}",
            )
        if highest and recipes.number == highest["number"] and recipes.digest != highest["digest"]:
            raise IntegrityError(
                f"{recipes.origin} has other recipes of the number {recipes.number} than were here before",
                hint=f"nothing was changed. {FORGET}",
            )
        if recipes.number <= recipe_folders.number(recipe_folders.builtin()):
            return _now(settings, _ids(_counting(settings)))
        folder, left_out = _staged(recipes, settings)
        before = _ids(_counting(settings))
        told = {
            "folder": folder.name, "number": recipes.number, "digest": recipes.digest, "from": recipes.origin,
            "updated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }  # fmt: skip
        others = [each for each in state["sets"] if each["digest"] != recipes.digest]
        _write({"sets": [told, *others[:1]], "highest": {"number": recipes.number, "digest": recipes.digest}}, settings)
        return _now(settings, before, left_out)


FORGET = "If this is as it should be, medfetch recipe update --reset forgets what was here"


def rollback(settings: Settings) -> Outcome:
    """The set before this one counts, or medfetch's own recipes. Raises: UsageProblem where nothing was updated."""
    with _changing(settings.data) as state:
        if not state["sets"]:
            raise UsageProblem("no recipes were updated: there is nothing to go back to")
        before = _ids(_counting(settings))
        _write({"sets": state["sets"][1:], "highest": state["highest"]}, settings)
        return _now(settings, before)


def reset(settings: Settings) -> Outcome:
    """Medfetch's own recipes count, and what was updated, and how new it was, is forgotten."""
    with _changing(settings.data):
        before = _ids(_counting(settings))
        _write({"sets": [], "highest": None}, settings)
        return _now(settings, before)


@contextmanager
def _changing(data: Path) -> Iterator[dict[str, Any]]:
    """The state, while nobody else changes it; afterwards, folders that it does not name are removed."""
    place = recipe_folders.place(data)
    with storage.disk_errors(place):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.mkdir(exist_ok=True)
    state = dict(recipe_folders.state(data))
    ending = time.monotonic() + WAIT
    while (lease := leases.take(place / "update.lease")) is None:
        if time.monotonic() > ending:
            raise CacheError("recipes are being updated by another medfetch", hint="try again when it is done")
        time.sleep(0.2)
    try:
        yield {**state, **recipe_folders.state(data)}
        kept = {each["folder"] for each in recipe_folders.state(data)["sets"]}
        for folder in place.iterdir():
            if folder.is_dir() and folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        lease.release()


def _write(content: dict[str, Any], settings: Settings) -> None:
    path = recipe_folders.state_file(settings.data)
    with storage.disk_errors(path):
        storage.write_json(path, {"format": recipe_folders.FORMAT, **content})


def _staged(recipes: Recipes, settings: Settings) -> tuple[Path, tuple[Problem, ...]]:
    """The folder of a set without what this medfetch cannot use, and the first problem of each recipe of those.

    Raises: RecipeError where requirements.yaml is wrong, or nothing is right.
    """
    place = recipe_folders.place(settings.data)
    making = place / f".{secrets.token_hex(8)}"
    try:
        with storage.disk_errors(place):
            for path, content in recipes.files.items():
                (making / path).parent.mkdir(parents=True, exist_ok=True)
                (making / path).write_bytes(content)
            (making / recipe_folders.NUMBER).write_text(f"{recipes.number}\n")
        left_out = _sifted(recipes, making)
        folder = place / f"{recipes.number}-{recipes.digest.removeprefix('sha256:')[:12]}"
        with storage.disk_errors(place):
            storage.sync_folder(making)
            if folder.exists():
                # The same set, perhaps of an earlier medfetch, which could use less of it. Whoever reads it reads on.
                folder = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}")
            making.rename(folder)
            storage.sync_folder(place)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder, left_out


def _sifted(recipes: Recipes, making: Path) -> tuple[Problem, ...]:
    """Removes what does not pass the check; the first problem of each. Raises: as ``_staged``."""
    wrong: dict[Path, Problem] = {}
    for problem in catalog.check([making]):
        path = problem.file.relative_to(making)
        wrong.setdefault(path, replace(problem, file=path))
    if (shared := wrong.get(Path(REQUIREMENTS))) is not None:
        at = f"{recipes.origin}: {REQUIREMENTS}:{shared.line}:{shared.column}"
        raise RecipeError(f"{shared.field}: {shared.message}", at=at, hint="nothing was changed")
    for path in wrong:
        (making / path).unlink()
    if len(wrong) >= sum(path != REQUIREMENTS for path in recipes.files):
        first = next(iter(wrong.values()))
        raise RecipeError(
            f"this medfetch can use none of them: {first.field}: {first.message}",
            at=recipes.origin,
            hint=UPGRADE,
        )
    return tuple(wrong.values())


def _counting(settings: Settings) -> tuple[Path, ...]:
    """The folders of recipes that count now, a person's own left out."""
    found = recipe_folders.updated(settings.data)
    return (found,) if found else ()


def _ids(extra: tuple[Path, ...]) -> dict[str, bytes]:
    """What the recipe of every id says."""
    found = {}
    for name, path in catalog.find(extra).items():
        with suppress(OSError):
            found[name] = path.read_bytes()
    return found


def _now(settings: Settings, before: dict[str, bytes], left_out: tuple[Problem, ...] = ()) -> Outcome:
    there = recipe_folders.updated(settings.data)
    folder = there or recipe_folders.builtin()
    now = _ids((there,) if there else ())
    sets = recipe_folders.state(settings.data)["sets"]
    return Outcome(
        recipe_folders.number(folder), folder, there is None, sets[0]["from"] if there else None,
        tuple(sorted(now.keys() - before.keys())),
        tuple(sorted(name for name in now.keys() & before.keys() if now[name] != before[name])),
        tuple(sorted(before.keys() - now.keys())), left_out,
    )  # fmt: skip
