"""Files of datasets that are in the cache, for programs: found and opened by name, loose or in archives alike.

It asks no host and changes nothing. It must not know fsspec.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from medfetch import cache, config, database, dois, layers, planning, stored
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import MedfetchError, NotHere, RecipeError, UsageProblem
from medfetch.ledger import Ledger
from medfetch.types import Recipe


def open_file(dataset: str | Path | Recipe, path: str, mode: str = "rb", **settings: Any) -> BinaryIO:
    """Opens a file of a dataset that is in the cache, whether it lies there loose or in an archive.

    Args:
        dataset: what ``medfetch get`` takes, a Recipe, or the folder that ``get`` returned, which is found at once.
        path: the file's, relative to that folder, with ``/``.
        mode: ``rb`` is the only one.
        settings: ``cache`` … as in docs/settings.md; ``sandbox=True`` for what was rehearsed.

    Returns: a seekable binary file; without ``fileno`` where it is a part of an archive. As any file, it is for one
    thread of one process at a time.

    Raises: NotHere, which is a FileNotFoundError, where it is not in the cache; UsageProblem; CacheError.
    """
    if mode != "rb":
        raise UsageProblem(f"mode {mode!r}: files of a dataset are only read", hint='mode="rb"')
    known = load_settings(tuple(sorted(settings.items())))
    home = Home(dataset.absolute()) if isinstance(dataset, Path) else home_of(dataset, known)
    return at(home, path, dataset.id if isinstance(dataset, Recipe) else str(dataset), known)


@functools.lru_cache(maxsize=64)
def load_settings(flags: tuple[tuple[str, Any], ...]) -> Settings:
    """As ``config.load``, without looking at files and environment again for each file that is opened."""
    named = dict(flags)
    rehearsed = named.pop("sandbox", False)
    settings = config.load(**{**named, "offline": True})
    return settings.as_sandboxed({}) if rehearsed else settings


def home_of(dataset: str | Recipe, settings: Settings) -> Home:
    """Where a dataset is: by its name, or by what its folder in the cache is called.

    Raises: UsageProblem where there is no such dataset; NotHere where nothing of it is in the cache.
    """
    home = _found(dataset, settings) if isinstance(dataset, str) else layers.where(dataset, settings)
    if not cache.is_there(home):
        raise _not_here(dataset if isinstance(dataset, str) else dataset.id, home)
    return home


def _found(name: str, settings: Settings) -> Home:
    try:
        return layers.where(dois.load(name, settings), settings)
    except RecipeError:
        raise
    except MedfetchError:
        folder, _, version = name.partition("@")
        for each in (settings.cache, *settings.cache_layers):
            versions = [home for home in cache.homes(each) if home.root.parent.name == folder]
            wanted = [home for home in versions if not version or home.root.name == cache.version_name(version)]
            if len(wanted) == 1:
                return wanted[0]
        raise


@contextmanager
def ledger_of(home: Home, settings: Settings) -> Iterator[Ledger]:
    """A home's ledger, to look things up. Raises: NotHere where there is none; CacheError."""
    if not home.ledger.exists():
        raise _not_here(home.root.parent.name, home)
    with _only_read(home, settings), closing(Ledger(home.ledger, watching=True)) as ledger:
        yield ledger


def _only_read(home: Home, settings: Settings) -> AbstractContextManager[None]:
    """Around looks into a layer: nothing is made there."""
    return database.untouched(home.root) if layers.is_layer(home, settings) else nullcontext()


def at(home: Home, path: str, name: str, settings: Settings) -> BinaryIO:
    """Opens a file of a home; ``name``: the dataset's, for messages. Raises: as ``open_file``."""
    with suppress(RecipeError):
        planning.check_path(path)  # nothing outside, and none of medfetch's own
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError), _only_read(home, settings):
            return stored.open_file(home, path)
    raise NotHere(
        f"{name} has no file {path!r} in {home.root}",
        hint=f"medfetch status {name} says what is missing, medfetch get {name} fetches it",
    )


def _not_here(name: str, home: Home) -> NotHere:
    return NotHere(f"{name} is not in the cache {home.cache}", hint=f"medfetch get {name}")
