"""``medfetch import``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from medfetch import dois, manual, requirements, standing
from medfetch.cli.common import Session, with_session, with_wish
from medfetch.errors import Incomplete
from medfetch.manual import Taken
from medfetch.progress import counted, human
from medfetch.types import Recipe
from medfetch.wishes import Wish

SHOWN = 20
"""Files that are listed for a person, of each kind; a script gets all."""


@click.command("import")
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--no-unpack", is_flag=True, help="Leave archives as they are.")
@click.option("--keep-archives", is_flag=True, help="Unpack archives and keep them too.")
@with_session
@with_wish
def command(
    session: Session, wish: Wish, name: str, paths: tuple[Path, ...], no_unpack: bool, keep_archives: bool
) -> None:
    """Take in files, folders or archives that you have downloaded by hand: recognised, verified, placed as by get.

    What you give is never moved or changed. What is missing is listed; get fetches of it what a program can.
    """
    wish = replace(wish, archives="as-is" if no_unpack else "keep" if keep_archives else "unpack")
    display = session.display()
    with session.reaching() as settings:
        recipe = dois.load(name, settings)
        taken = manual.take_in(recipe, wish, paths, settings, display)
    for kind in ("bad", "half", "surplus"):
        _tell(session, kind, taken)
    if taken.receipt is None:
        raise _incomplete(recipe, taken)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in taken.receipt["assurance"].items())
    size = f"{counted(taken.receipt['files'], 'file')}, {human(taken.receipt['bytes'])}"
    new = f"{counted(taken.files, 'file')} taken in"
    display.say("receipt", taken.receipt, f"{standing.label(recipe)}: {new}; complete, {size} ({kinds})")
    if not session.json:
        click.echo(taken.receipt["path"])


def _tell(session: Session, kind: str, taken: Taken) -> None:
    """What was brought and is not in the dataset."""
    found = [each for each in taken.problems if each.kind == kind]
    for each in found if session.json else found[:SHOWN]:
        meant = f" (as {each.meant})" if each.meant and each.meant != each.file else ""
        content = {"event": kind, "file": each.file, "path": each.meant or None, "reason": each.reason}
        session.note(f"{kind}: {each.file}{meant}: {each.reason}") if not session.json else session.out(content, "")
    if len(found) > SHOWN and not session.json:
        session.note(f"{kind}: and {len(found) - SHOWN:,} more")


def _incomplete(recipe: Recipe, taken: Taken) -> Incomplete:
    """The error for what is still missing: 4 where something does not match, else 1."""
    codes = [code for _, _, code in taken.failures]
    reasons = {path: reason for path, reason, _ in taken.failures}
    bad = any(each.kind == "bad" for each in taken.problems) or 4 in codes
    failures: list[dict[str, Any]] = [{"path": path, "reason": reasons.get(path, "missing")} for path in taken.missing]
    by_hand = {
        part.name for part in recipe.parts if part.routes and all(map(requirements.by_hand, part.routes))
    } >= set(taken.plan.header["parts"])
    rest = "bring the rest, too" if by_hand else f"what a program can fetch of it, medfetch get {recipe.id} fetches"
    missing = f"{len(taken.missing):,} of {taken.plan.totals['entries']:,}"
    return Incomplete(
        f"{standing.label(recipe)}: {counted(taken.files, 'file')} taken in; still missing: {missing}",
        failures=failures,
        exit_code=4 if bad else 1,
        hint=f"{rest}; what is here is kept",
    )
