"""``medfetch export``."""

from __future__ import annotations

from pathlib import Path

import click

from medfetch import dois, exports, standing
from medfetch.cli.common import Session, facets, with_session
from medfetch.progress import counted, human
from medfetch.runner import Wish
from medfetch.types import Selection


@click.command("export")
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-s", "--select", multiple=True, metavar="KEY=VALUE[,VALUE…]", help="Only some of it, as for get.")
@click.option("--part", "parts", multiple=True, help="Only this part (repeatable).")
@click.option("--limit", type=click.IntRange(1), help="Only the first N series or files.")
@with_session
def command(
    session: Session, name: str, folder: Path, select: tuple[str, ...], parts: tuple[str, ...], limit: int | None,
    yes: bool,
) -> None:  # fmt: skip
    """Copy a dataset that is in the cache into FOLDER, such as a USB disk's, for machines without a network.

    There, `medfetch get NAME --from FOLDER` takes it in. The same command again copies what is missing. With --yes,
    data under an agreement may go to a disk that cannot keep others from reading them.
    """
    settings = session.resting
    display = session.display()
    recipe = dois.load(name, settings)
    wish = Wish(Selection(facets(select), limit), parts)
    target = session.inside(folder)
    for receipt in exports.export(recipe, wish, target, settings, display, unguarded=yes):
        size = f"{counted(receipt['files'], 'file')}, {human(receipt['bytes'])}"
        display.say("receipt", receipt, f"{standing.label(recipe)}: {size} in {target}")
    if not session.json:
        click.echo(target)
