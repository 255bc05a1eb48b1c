"""``medfetch export``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from medfetch import (
    citations,
    database,
    dois,
    exports,
    formats,
    layers,
    planning,
    receipt,
    rehearsal,
    runner,
    standing,
    wishes,
)
from medfetch.cli.common import Session, facets, with_session
from medfetch.config import Settings
from medfetch.errors import AccessRequired, Refused, Retryable, Unreachable, UsageProblem
from medfetch.formats import Dataset
from medfetch.planning import Plan
from medfetch.progress import Display, counted, human
from medfetch.types import Recipe, Selection
from medfetch.wishes import Wish


@click.command("export")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("-s", "--select", multiple=True, metavar="KEY=VALUE[,VALUE…]", help="Only some of it, as for get.")
@click.option("--part", "parts", multiple=True, help="Only this part (repeatable).")
@click.option("--limit", type=click.IntRange(1), help="Only the first N series or files.")
@click.option(
    "--format", "written_as", type=click.Choice(sorted(formats.FORMATS)),
    help="No data, but what is told of them in this format: into FOLDER, else to standard output.",
)  # fmt: skip
@with_session
def command(
    session: Session, name: str, folder: Path | None, select: tuple[str, ...], parts: tuple[str, ...],
    limit: int | None, written_as: str | None, yes: bool,
) -> None:  # fmt: skip
    """Copy a dataset that is in the cache into FOLDER, such as a USB disk's, for machines without a network.

    There, `medfetch get NAME --from FOLDER` takes it in. The same command again copies what is missing. With --yes,
    data under an agreement may go to a disk that cannot keep others from reading them.
    """
    display = session.display()
    wish = Wish(Selection(facets(select), limit), parts)
    if written_as:
        with session.reaching() as settings:
            recipe = rehearsal.stage(dois.load(name, settings), settings).recipe
            formats.write(written_as, _dataset(recipe, wish, settings, display), folder)
        return
    if folder is None:
        raise UsageProblem("the folder is missing that the data are copied into", hint="or --format FORMAT, for none")
    settings = session.resting
    recipe = dois.load(name, settings)
    target = session.inside(folder)
    for made in exports.export(recipe, wish, target, settings, display, unguarded=yes):
        size = f"{counted(made['files'], 'file')}, {human(made['bytes'])}"
        display.say("receipt", made, f"{standing.label(recipe)}: {size} in {target}")
    if not session.json:
        click.echo(target)


def _dataset(recipe: Recipe, wish: Wish, settings: Settings, display: Display) -> Dataset:
    """What there is to tell of a dataset: by what is whole in the cache, else by the plan of what is wanted, else by
    its recipe alone.

    Raises: UsageProblem, CacheError, DiskFull.
    """
    exports.check_addresses(recipe)
    home = layers.where(recipe, settings)
    plans: tuple[Plan, ...] = ()
    if wish == Wish():
        with database.untouched(home.root):
            plans = tuple(made for made in planning.all_of(home) if receipt.of_plan(made))
    if not plans:
        try:
            plans = (runner.make_plan(recipe, wish, settings, display),)
        except (AccessRequired, Refused, Retryable, Unreachable) as error:
            if wish.selection != Selection():
                raise
            text = f"{standing.label(recipe)}: told by its recipe alone: {error.message}"
            display.say("note", {"reason": error.message}, text)
            recipe = replace(recipe, parts=tuple(wishes.chosen_parts(recipe, wish)))
    receipts = tuple(filter(None, map(receipt.of_plan, plans)))
    return Dataset(recipe, plans, receipts, settings, lambda doi: citations.kept(doi, settings))
