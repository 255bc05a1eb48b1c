"""``medfetch list``."""

from __future__ import annotations

import click

from medfetch import catalog
from medfetch.cli.common import Session, with_session
from medfetch.config import parse_size
from medfetch.progress import human


@click.command("list")
@click.argument("text", required=False)
@click.option("--modality", help="CT, MR …")
@click.option("--anatomy", help="lung, brain …")
@click.option("--task", help="segmentation, detection …")
@click.option("--source", help="With a route by this source.")
@click.option("--access", help="open, account, application …")
@click.option("--max-size", help="At most so many bytes, such as 50G.")
@with_session
def command(
    session: Session, text: str | None, modality: str | None, anatomy: str | None, task: str | None,
    source: str | None, access: str | None, max_size: str | None,
) -> None:  # fmt: skip
    """List recipes; TEXT searches names and summaries."""
    found = catalog.search(
        text, modality=modality, anatomy=anatomy, task=task, source=source, access=access,
        max_size=parse_size(max_size) if max_size else None, extra=session.settings.recipes,
    )  # fmt: skip
    wide = max((len(recipe.id) for recipe in found), default=0)
    for recipe in found:
        size = human(recipe.size) if recipe.size else "size unknown"
        content = {
            "id": recipe.id, "name": recipe.name, "summary": recipe.summary, "access": recipe.access.level.value,
            "size": recipe.size, "modality": list(recipe.modality), "anatomy": list(recipe.anatomy),
            "tasks": list(recipe.tasks), "parts": [part.name for part in recipe.parts],
        }  # fmt: skip
        session.out(content, f"{recipe.id:<{wide}}  {size:>12}  {recipe.access.level.value:<11}  {recipe.summary}")
    if not found:
        session.note("no recipe matches")
