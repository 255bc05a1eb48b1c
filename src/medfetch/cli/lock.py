"""``medfetch lock``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO

import click

from medfetch import admission, dois, locks, rehearsal, runner
from medfetch.cli import completion, links
from medfetch.cli.common import Session, with_session, with_wish
from medfetch.cli.wanted import wanted
from medfetch.config import Settings
from medfetch.errors import AccessRequired, UsageProblem
from medfetch.locks import Lock, Locked, differences, making, using
from medfetch.locks.differences import Change
from medfetch.types import Recipe
from medfetch.wishes import Wish


@click.command("lock")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@click.option("-r", "files", type=click.Path(path_type=Path), multiple=True, help="A list of datasets, text or YAML.")
@click.option(
    "-o", "--output", "path", type=click.Path(path_type=Path), default=Path("medfetch.lock"), show_default=True,
    help="The lock; long lists of files lie beside it, in a folder of its name.",
)  # fmt: skip
@click.option(
    "--upgrade", "upgraded", multiple=True, metavar="NAME", help="Only this dataset of the lock anew (repeatable)."
)
@click.option(
    "--diff", "pair", type=(click.Path(path_type=Path), click.Path(path_type=Path)), metavar="A B",
    help="Print what changed from lock A to lock B.",
)  # fmt: skip
@links.option
@with_session
@with_wish
def command(
    session: Session, wish: Wish, names: tuple[str, ...], files: tuple[Path, ...], path: Path,
    upgraded: tuple[str, ...], pair: tuple[Path, Path] | None, mail: TextIO | None,
) -> None:  # fmt: skip
    """Pin datasets: which files, how large, with which digests, from where, under which terms.

    The hosts are asked as for `medfetch plan`, and no data is fetched; of what is in the cache the digests are those
    that were computed when it came. `medfetch get --locked` fetches exactly that again, or says what differs.
    """
    if pair:
        if names or files or upgraded:
            raise UsageProblem("--diff compares two locks, and makes none")
        _tell(session, differences.between(locks.read(pair[0]), locks.read(pair[1])))
        return
    if upgraded:
        if names or files or replace(wish, refresh=False) != Wish():
            raise UsageProblem("--upgrade takes what the lock says is wanted", hint="leave out everything but -o")
        _upgrade(session, locks.read(path), upgraded, mail)
        return
    with session.reaching() as settings:
        found = _locked(session, wanted(names, files, wish, settings), path, settings, mail)
        lock = Lock(path, tuple(found), settings.sandbox)
        locks.write(lock)
    for each in lock.datasets:
        session.out({"event": "lock", **_content(each)}, making.summary(each))
    session.note(f"written to {path}")


def _locked(
    session: Session, asked: list[tuple[Recipe, Wish]], path: Path, settings: Settings, mail: TextIO | None
) -> list[Locked]:
    found: list[Locked] = []
    refused: list[AccessRequired] = []
    display = session.display()
    for recipe, own, told in links.given(mail, asked, settings, display):
        try:
            made = runner.make_plan(recipe, own, told, display)
        except AccessRequired as error:
            refused.append(error)
            continue
        into = Locked(making.name_of(recipe), {}, locks.folder_of(path), settings.sandbox)
        found.append(making.locked(recipe, own, made, told, into))
    if refused:
        raise admission.together(refused)
    return found


def _upgrade(session: Session, lock: Lock, names: tuple[str, ...], mail: TextIO | None) -> None:
    """Plans some datasets of a lock anew, and says what is another now."""
    with session.reaching() as settings:
        using.check_rehearsal(lock, settings)
        before = lock.named(names)
        asked = []
        for each in before:
            recipe = rehearsal.stage(dois.load(each.name, settings), settings).recipe
            asked.append((recipe, replace(making.wish(each.asked), refresh=True)))
        after = _locked(session, asked, lock.path, settings, mail)
        pairs = list(zip(before, after, strict=True))
        # The old lists are gone when the lock is written.
        changes = [change for one, other in pairs for change in differences.of_dataset(one, other)]
        anew = {id(one): other for one, other in pairs}
        locks.write(replace(lock, datasets=tuple(anew.get(id(each), each) for each in lock.datasets)))
    _tell(session, changes)


def _tell(session: Session, changes: Iterable[Change]) -> None:
    some = False
    for change in changes:
        some = True
        session.out({"event": "change", **asdict(change)}, str(change))
    if not some:
        session.note("nothing changed")


def _content(each: Locked) -> dict[str, object]:
    return {key: value for key, value in each.told.items() if key != locks.ENTRIES}
