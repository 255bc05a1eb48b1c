"""A dataset as other programs read of it: what ``medfetch export --format`` writes, a module for each format.

It must not know the network.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from medfetch import citations, storage
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import MedfetchError
from medfetch.ledger import Ledger, Placed
from medfetch.planning import Plan
from medfetch.types import Recipe

FORMATS = {
    "croissant": "medfetch.formats.croissant:write",
    "ro-crate": "medfetch.formats.ro_crate:write",
    "sha256sums": "medfetch.formats.sha256sums:write",
}
"""By name, the function that writes it: ``write(dataset: Dataset, to: Path | None) -> None``, into a file of its usual
name in the folder ``to``, or to standard output."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is written about."""

    recipe: Recipe
    plans: tuple[Plan, ...]
    """All of one home; what was planned is streamed by ``Plan.entries``. None where only the recipe tells of it."""
    receipts: tuple[dict[str, Any], ...]
    """Of those plans of which all is there."""
    settings: Settings | None = None
    """Which tell what addresses replace those of hosts on this machine, and nowhere else."""
    known: citations.Known = lambda doi: None
    """What is known of a DOI."""

    @property
    def home(self) -> Home:
        return self.plans[0].home

    @property
    def complete(self) -> bool:
        """Whether all of it is in the cache."""
        return bool(self.plans) and len(self.receipts) == len(self.plans)

    def files(self) -> Iterator[Placed]:
        """What of it is in the cache, in the order of paths."""
        if self.home.ledger.exists():
            with closing(Ledger(self.home.ledger, watching=True)) as ledger:
                yield from ledger.files_of_plan([shard for made in self.plans for shard in made.shards])

    def check_complete(self) -> None:
        """Raises: MedfetchError where not all of it is in the cache."""
        if not self.complete:
            raise MedfetchError(f"{self.recipe.id} is not complete in the cache", hint="medfetch get fetches the rest")


def write(name: str, dataset: Dataset, to: Path | None) -> None:
    """Writes one of the ``FORMATS``. Raises: MedfetchError, CacheError, DiskFull."""
    module, _, function = FORMATS[name].partition(":")
    getattr(import_module(module), function)(dataset, to)


@contextmanager
def opened(to: Path | None, name: str) -> Iterator[TextIO]:
    """A file in a folder, which is there when all of it is written; or standard output.

    Raises: CacheError, DiskFull.
    """
    if to is None:
        yield sys.stdout
        return
    temporary = to / f".{name}.medfetch"
    with storage.disk_errors(to):
        to.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                yield file
            temporary.replace(to / name)
        finally:
            temporary.unlink(missing_ok=True)
