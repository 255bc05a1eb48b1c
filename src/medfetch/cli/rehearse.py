"""The table of ``medfetch recipe rehearse``."""

from __future__ import annotations

import dataclasses
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from medfetch import rehearsal, standing
from medfetch.cli import info
from medfetch.cli.common import Session
from medfetch.config import Settings
from medfetch.progress import human
from medfetch.rehearsal import Rehearsed
from medfetch.sandboxed import sandboxed
from medfetch.types import Recipe

LINE = "{:<28} {:<12} {:>5}  {:<22} {:>5} {:>9}  {:<34} {:>4}  {}"
HEAD = ("dataset", "access", "parts", "routes", "files", "size", "assurance", "exit", "next step for a person")
WIDE = 60
"""Letters of a step; --json has all."""
INSTANCE_BYTES = 4_000


def show(session: Session, recipes: Iterable[Recipe], all_parts: bool) -> int:
    """A line for each recipe, as it is done; how many did not go as they should."""
    failed = count = 0
    with (
        tempfile.TemporaryDirectory(prefix="medfetch-") as folder,
        sandboxed(session.settings, INSTANCE_BYTES) as settings,
    ):
        if not session.json:
            session.out(None, LINE.format(*HEAD))
        for recipe in recipes:
            own = Path(folder) / str(count)
            went = _rehearsed(recipe, replace(settings, cache=own / "cache", data=own / "data", processes=1), all_parts)
            count += 1
            failed += bool(went.problems)
            session.out({"event": "rehearsed", **dataclasses.asdict(went)}, _line(went))
    session.note(f"{count} recipes, {failed} not as they should be")
    return failed


def _rehearsed(recipe: Recipe, settings: Settings, all_parts: bool) -> Rehearsed:
    try:
        _ = [*info.lines(recipe), standing.overview([recipe], settings)]
        return rehearsal.rehearse(recipe, settings, all_parts=all_parts, whole_plans=True)
    except Exception as bug:  # the other recipes are rehearsed, too
        crash = f"crashed: {type(bug).__name__}: {bug}"
        return Rehearsed(recipe.id, recipe.access.level.value, 0, (), 0, 0, {}, 1, problems=(crash,))


def _line(went: Rehearsed) -> str:
    sure = ", ".join(f"{count} {kind}" for kind, count in went.assurance.items())
    step = textwrap.shorten(went.step, WIDE, placeholder=" …")
    line = LINE.format(
        went.dataset, went.level, went.parts, ", ".join(went.routes), went.files, human(went.bytes), sure, went.code,
        step,
    ).rstrip()  # fmt: skip
    return "\n".join([line, *(f"    {problem}" for problem in went.problems)])
