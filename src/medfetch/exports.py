"""Datasets for machines without a network: out of the cache into a folder, and out of that into another cache.

An export is a cache, so that all that can be done with one can be done with it; with the recipes of its datasets, a
page that tells people what to do with it, and lists of digests that they can check without medfetch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medfetch import (
    admission,
    adopting,
    cache,
    catalog,
    database,
    dois,
    kept,
    layers,
    planning,
    presence,
    receipt,
    runner,
    standing,
    storage,
    upkeep,
    volumes,
    wishes,
)
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import CacheError, MedfetchError, UsageProblem
from medfetch.formats import sha256sums
from medfetch.ledger import Ledger
from medfetch.permissions import EVERYBODY, Readers
from medfetch.planning import Plan
from medfetch.progress import Display
from medfetch.types import Recipe, Selection
from medfetch.wishes import Wish

PAGE = """This folder holds medical imaging datasets, exported by medfetch.

On another machine, which needs no network:

    medfetch get NAME --from THIS-FOLDER

copies a dataset into the cache there, and compares every byte with the digests that the plan holds. What was exported:

{datasets}
Without medfetch: the files are in NAME/VERSION/, and in there
    sha256sum --check --quiet .medfetch/SHA256SUMS
compares them. .medfetch/receipt.json says whence they came, when, and under which terms: they hold for whoever has this
folder, too.
"""


def export(
    recipe: Recipe, wish: Wish, folder: Path, settings: Settings, display: Display, *, unguarded: bool
) -> list[dict[str, Any]]:
    """Copies what is in the cache of a dataset into a folder; the receipts of what is there then.

    ``unguarded``: data under an agreement may go to a disk that cannot keep others from reading them.
    Raises: UsageProblem, Incomplete, DiskFull, CacheError; MedfetchError where not all is in the cache.
    """
    check_addresses(recipe)
    home = layers.where(recipe, settings)
    with ExitStack() as stack:
        if not layers.is_layer(home, settings) and os.access(home.inner, os.W_OK):
            # Nobody may change it meanwhile; and what a killed run has left is entered.
            stack.enter_context(presence.alone(home, display))
            upkeep.enter(home)
        return _export(recipe, wish, home, folder, settings, display, unguarded)


def _export(
    recipe: Recipe, wish: Wish, home: Home, folder: Path, settings: Settings, display: Display, unguarded: bool
) -> list[dict[str, Any]]:
    with database.untouched(home.root):
        chosen = _chosen(home, wish)
        whole = [made for made in chosen if receipt.of_plan(made)]
    if not whole or (_asks(wish) and len(whole) < len(chosen)):
        raise MedfetchError(
            f"{standing.label(recipe)} is not complete in the cache, or not that part of it",
            hint=f"medfetch get {recipe.id} fetches it; what was selected then, or less, can be selected now",
        )
    for made in chosen:
        if made not in whole:
            text = f"not exported, because it is not complete: {_described(made)}"
            display.say("note", {"reason": text, "plan": made.id}, text)
    volume = _volume(folder)
    target = replace(settings, cache=folder, cache_layers=(), offline=True)
    readers = runner.readers_of(recipe, target)
    if readers.private and not volume.modes:
        if not unguarded:
            raise UsageProblem(
                f"{standing.label(recipe)} is under an agreement, and the file system of {folder} cannot keep others"
                " from reading it",
                hint="keep the disk locked away or encrypted, and say so with --yes",
            )
        readers = EVERYBODY
    there = cache.home(folder, recipe.id, recipe.version)
    receipts = []
    with storage.disk_errors(folder):
        # First of all: what lies there from now on is no cache that backups should leave out.
        _write_page(folder)
        kept.keep(recipe, folder)
        for made in whole:
            copy = _adopted(recipe, made, wish, there, readers, display)
            receipts.append(
                runner.fulfil(recipe, copy, target, display, given=home, readers=readers, refuses=volume.refuses)
            )
        with readers.only():
            _write_sums(there)
        _write_page(folder)
    return receipts


def _described(made: Plan) -> str:
    asked = [f"{facet}={','.join(values)}" for facet, values in made.header["select"].items()]
    return ", ".join(["+".join(sorted(made.header["parts"])), *asked])


def check_addresses(recipe: Recipe) -> None:
    """For what is handed on. Raises: UsageProblem where the plan holds what may be a secret of the person's."""
    made_up = recipe.name == recipe.origin
    urls = [
        file["url"]
        for part in recipe.parts
        for way in part.routes
        for file in way.locator.get("files", ())
        if isinstance(file.get("url"), str)
    ]
    if made_up and any(urlsplit(url).query for url in urls):
        raise UsageProblem(
            f"the address of {recipe.name} has a query, which may be a secret, and would be handed on",
            hint="a recipe of your own can name the file by a lasting address",
        )


def _volume(folder: Path) -> volumes.Volume:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return volumes.of(folder)
    except OSError as error:
        raise UsageProblem(f"{folder} cannot be written: {error.strerror}", hint="give another folder") from error


def _write_page(folder: Path) -> None:
    names = "".join(f"    {name}\n" for name in kept.ids(folder))
    (folder / cache.EXPORT).write_text(PAGE.format(datasets=names), encoding="utf-8")


def _write_sums(home: Home) -> None:
    """What sha256sum(1) reads, for all that is in a home."""
    with closing(Ledger(home.ledger)) as ledger, open(home.inner / sha256sums.NAME, "w", encoding="utf-8") as file:
        file.writelines(sha256sums.lines(ledger.files()))


# -- the other side ----------------------------------------------------------------------------------------------


def named(name: str, folder: Path, settings: Settings) -> Recipe:
    """The recipe of a dataset in an export, which goes before this machine's own.

    Raises: UsageProblem where it is not in there; CacheError.
    """
    if not folder.is_dir():
        raise UsageProblem(f"{folder} is no folder", hint="--from takes what medfetch export has made")
    if found := kept.find(name, (folder,)):
        return found
    try:
        recipe = dois.load(name, replace(settings, offline=True))
    except MedfetchError as error:
        raise _not_in(name, folder) from error
    if found := kept.find(recipe.id, (folder,)):
        return found
    if not cache.home(folder, recipe.id, recipe.version).ledger.exists():
        raise _not_in(name, folder)
    return recipe


def _not_in(name: str, folder: Path) -> UsageProblem:
    there = ", ".join(kept.ids(folder))
    return UsageProblem(f"{name} is not in {folder}", hint=f"in there: {there}" if there else "no export is there")


def check(recipe: Recipe, wish: Wish, folder: Path, settings: Settings) -> None:
    """Whether this person may have what is in an export, and whether it is in there.

    Raises: AccessRequired where a step that somebody has to take is not on record here; UsageProblem; CacheError.
    """
    plans = _plans(recipe, wish, folder)
    wanted = {part for made in plans for part in made.header["routes"]}
    # This machine may know more of what it takes; and what came along has to be known to `medfetch agree`.
    with storage.disk_errors(settings.cache):
        settings.cache.mkdir(parents=True, exist_ok=True)
        kept.keep(recipe, settings.cache)
    for each in filter(None, (recipe, _own(recipe, settings))):
        parts = [part for part in each.parts if part.name in wanted and part.name in (wish.parts or wanted)]
        admission.check_brought(each, parts, settings)


def _own(recipe: Recipe, settings: Settings) -> Recipe | None:
    """What this machine knows under the name, if that is something else."""
    try:
        own = catalog.load(recipe.id, settings.recipes)
    except MedfetchError:
        return None
    return own if own.digest != recipe.digest else None


def take_in(
    recipe: Recipe, wish: Wish, folder: Path, settings: Settings, display: Display
) -> Iterator[tuple[Plan, dict[str, Any]]]:
    """Copies a dataset out of an export into the cache, each byte compared; plans with receipts. No host is asked.

    Raises: as ``check``; Incomplete where files are missing or damaged; DiskFull.
    """
    check(recipe, wish, folder, settings)
    alone = replace(settings, cache_layers=(), offline=True)
    there, home = cache.home(folder, recipe.id, recipe.version), runner.home_of(recipe, settings)
    readers = runner.readers_of(recipe, settings)
    for made in _plans(recipe, wish, folder):
        copy = _adopted(recipe, made, wish, home, readers, display)
        yield copy, runner.fulfil(recipe, copy, alone, display, given=there, readers=readers, pack=wish.pack)


def _plans(recipe: Recipe, wish: Wish, folder: Path) -> list[Plan]:
    """The plans of an export that are meant. Raises: UsageProblem where there is none; CacheError."""
    there = cache.home(folder, recipe.id, recipe.version)
    try:
        with database.untouched(there.root):
            plans = _chosen(there, wish)
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise CacheError(f"{there.plans} cannot be read: {error}", hint="export the dataset again") from error
    if not plans:
        raise UsageProblem(
            f"{standing.label(recipe)}: {folder} does not have that of it", hint="what was selected for the export"
        )
    return plans


# -- both ---------------------------------------------------------------------------------------------------------


def _asks(wish: Wish) -> bool:
    """Whether a part is asked for, and not just whatever is there."""
    return bool(wish.parts or wish.selection.facets or wish.selection.limit is not None)


def _chosen(home: Home, wish: Wish) -> list[Plan]:
    """The plans of a home that are meant: all, or the first that has what is asked for."""
    plans = planning.all_of(home)
    if not _asks(wish):
        return plans
    for made in sorted(plans, key=lambda made: receipt.of_plan(made) is None):
        if layers.covers(made, wish.parts or made.header["routes"], wish.selection):
            return [made]
    return []


def _adopted(recipe: Recipe, made: Plan, wish: Wish, home: Home, readers: Readers, display: Display) -> Plan:
    """A plan of another home, or what is asked for of it, as one of this home."""
    if not _asks(wish):
        facets = {facet: tuple(values) for facet, values in made.header["select"].items()}
        selection = Selection(facets, made.header["limit"])
        return adopting.adopt(made, home, made.id, list(made.header["routes"]), selection, readers, display)
    parts = list(wish.parts or made.header["routes"])
    name = wishes.plan_id(recipe, replace(wish, parts=tuple(parts), archives=made.header["archives"]))
    return adopting.adopt(made, home, name, parts, wish.selection, readers, display)
