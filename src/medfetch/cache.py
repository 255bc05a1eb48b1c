"""Where things lie in the cache. It must not know what the files mean.

CACHE/
  CACHEDIR.TAG
  .medfetch/hosts/<host>/            slots and pauses, shared by all processes
  .medfetch/citations/               who wrote what has a DOI, as its agency has told
  .medfetch/croissants/              descriptions of datasets, as they were at their addresses
  .medfetch/dois/                    what DOIs stand for, as DataCite has told
  .medfetch/recipes/<dataset>/       recipes that came with data from another machine, by version
  <dataset>/<version>/               the home: whole, verified files …
    .medfetch/
      ledger.sqlite                  … each with size, digest and origin
      receipt.json
      get.lease                      who works here alone, or enters just now
      tasks/                         who is at work, one file a run
      journal/                       how runs went, one file a run
      plans/<plan>/plan.json, 00000.sqlite, 00000.lease, 00000.ended
      partial/                       bytes on their way
      packed.json, piles/            of a home that is kept in archives: how, and what waits for its archive
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from medfetch import permissions
from medfetch.permissions import EVERYBODY, Readers
from medfetch.storage import unusable

INNER = ".medfetch"
TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# This directory is a cache of medfetch (https://bford.info/cachedir/).\n"
EXPORT = "MEDFETCH.txt"
"""What tells a person that a folder is an export, and what to do with it."""
NO_VERSION = "current"
"""The folder of a dataset whose publisher names no version."""


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one dataset in one version; only paths, nothing is touched."""

    root: Path

    @property
    def inner(self) -> Path:
        return self.root / INNER

    @property
    def ledger(self) -> Path:
        return self.inner / "ledger.sqlite"

    @property
    def receipt(self) -> Path:
        return self.inner / "receipt.json"

    @property
    def plans(self) -> Path:
        return self.inner / "plans"

    @property
    def partial(self) -> Path:
        return self.inner / "partial"

    @property
    def packed(self) -> Path:
        return self.inner / "packed.json"

    @property
    def piles(self) -> Path:
        return self.inner / "piles"

    @property
    def lease(self) -> Path:
        return self.inner / "get.lease"

    @property
    def tasks(self) -> Path:
        return self.inner / "tasks"

    @property
    def journal(self) -> Path:
        return self.inner / "journal"

    @property
    def cache(self) -> Path:
        return self.root.parent.parent


def home(cache: Path, dataset: str, version: str | None) -> Home:
    return Home(cache / dataset / version_name(version))


def version_name(version: str | None) -> str:
    """What a version's folder is called."""
    return quote(version or NO_VERSION, safe="+@ ")


def is_there(home: Home) -> bool:
    """Whether there is anything of a dataset. Raises: CacheError where that is not for this user to know."""
    try:
        return home.inner.exists()
    except OSError as error:
        raise unusable(home.cache, error) from error


def homes(cache: Path) -> Iterator[Home]:
    """All dataset homes of a cache, in order."""
    for inner in sorted(cache.glob(f"[!.]*/*/{INNER}")):
        yield Home(inner.parent)


def hosts_folder(cache: Path) -> Path:
    return cache / INNER / "hosts"


def dois_folder(cache: Path) -> Path:
    return cache / INNER / "dois"


def citations_folder(cache: Path) -> Path:
    return cache / INNER / "citations"


def croissants_folder(cache: Path) -> Path:
    return cache / INNER / "croissants"


def recipes_folder(cache: Path) -> Path:
    return cache / INNER / "recipes"


def prepare(home: Home, readers: Readers = EVERYBODY) -> None:
    """Makes the folders of a home; where other readers had been let in before, they are shut out.

    Raises: CacheError where the cache cannot be written.
    """
    cache = home.cache
    try:
        shared = permissions.of_cache(cache)
        with shared.only():
            cache.mkdir(parents=True, exist_ok=True)
            tag = cache / "CACHEDIR.TAG"
            # An export is meant for backup programs and the like.
            if not tag.exists() and not (cache / EXPORT).exists():
                tag.write_text(TAG)
            hosts_folder(cache).mkdir(parents=True, exist_ok=True)
            if not shared.as_umask:
                permissions.give(cache / INNER, shared)
        with readers.only():
            home.root.parent.mkdir(exist_ok=True)
            home.root.mkdir(exist_ok=True)
            if not readers.as_umask:
                # Whoever may write there could put another folder in the place of this one.
                if home.root.parent.stat().st_uid == os.geteuid():
                    readers.admit(home.root.parent)
                permissions.give(home.root, readers)
            for folder in (home.inner, home.plans, home.partial, home.tasks):
                folder.mkdir(exist_ok=True)
    except OSError as error:
        raise unusable(cache, error) from error


def remove_if_empty(home: Home) -> None:
    """Undoes ``prepare`` where nothing came of it."""
    with suppress(OSError):
        if home.packed.exists():
            return
        # Where there is a plan, somebody may be at work already: the partial folder is theirs.
        for folder in (home.plans, home.partial, home.tasks, home.inner, home.root, home.root.parent):
            folder.rmdir()
