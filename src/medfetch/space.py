"""Whether a dataset fits on the disk, asked before its first byte."""

from __future__ import annotations

from collections.abc import Mapping

from medfetch import packs, standing, storage
from medfetch.errors import DiskFull
from medfetch.planning import Plan
from medfetch.progress import human
from medfetch.types import Recipe


def check(recipe: Recipe, made: Plan, tallies: Mapping[str, int]) -> None:
    """Raises DiskFull before the first byte where the dataset cannot fit, unpacking counted."""
    parts = [part for part in recipe.parts if part.name in made.header["parts"]]
    partly = bool(made.header["select"]) or made.header["limit"] is not None
    # Of archives in part the directories tell; what is published is of all.
    unpacked = 0 if partly else sum(part.unpacked or 0 for part in parts)
    missing = made.totals["bytes"] - tallies["bytes_done"]
    if made.totals["unknown_sizes"] and not partly:
        missing = max(missing, sum(part.size or 0 for part in parts) - tallies["bytes_done"])
    # Without a published figure an archive's content is taken to be as large as the archive.
    needed = missing + (unpacked or made.totals["archive_bytes"]) * (missing > 0)
    if packs.format_of(made.home):
        needed += min(needed, packs.OVERHEAD)
    # What a former run left of it lies on that disk already.
    needed -= sum(path.stat().st_size for path in made.home.partial.iterdir() if path.is_file())
    free = storage.free_bytes(made.home.root)
    if needed > free:
        raise DiskFull(
            f"{standing.label(recipe)} needs {human(needed)}, the disk of {made.home.cache} has {human(free)} free",
            hint="choose another cache with --cache DIR, or less with --select or --part",
        )
