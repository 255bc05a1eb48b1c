"""``medfetch list``."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from medfetch import catalog, recipe_search
from medfetch.cli.common import Session, with_session
from medfetch.cli.completion import facet
from medfetch.config import parse_size
from medfetch.progress import human
from medfetch.types import Recipe


@click.command("list")
@click.argument("text", required=False)
@click.option("--modality", multiple=True, shell_complete=facet, help="CT, MR … (repeatable: either).")
@click.option("--anatomy", multiple=True, shell_complete=facet, help="lung, brain … (repeatable).")
@click.option("--task", multiple=True, shell_complete=facet, help="segmentation, detection … (repeatable).")
@click.option("--source", multiple=True, shell_complete=facet, help="With a route by this source (repeatable).")
@click.option("--access", multiple=True, shell_complete=facet, help="open, account, application … (repeatable).")
@click.option("--licence", multiple=True, shell_complete=facet, help="CC-BY-4.0, 'CC-BY-*' … (repeatable).")
@click.option("--status", multiple=True, shell_complete=facet, help="available, moved, gated … (repeatable).")
@click.option("--max-size", help="At most so many bytes, such as 50G.")
@click.option(
    "--sort",
    type=click.Choice(list(recipe_search.ORDERS)),
    default="name",
    help="name, size, subjects, modality, access; what is unknown comes last.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@with_session
def command(
    session: Session, text: str | None, max_size: str | None, sort: str, reverse: bool, **facets: tuple[str, ...]
) -> None:
    """List recipes; TEXT searches names and summaries, or is an address or DOI: which dataset does it lead to?"""
    found = catalog.search(
        text, max_size=parse_size(max_size) if max_size else None, extra=session.settings.recipes, **facets
    )
    found = recipe_search.ordered(found, sort, reverse=reverse)
    rows = [_row(recipe, sort) for recipe in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # A summary that would run over the line is cut for people, and for nobody else.
    most = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for recipe, row in zip(found, rows, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        session.out(_content(recipe), line if most is None or len(line) <= most else f"{line[: most - 1]}…")
    if not found:
        session.note("no recipe matches")


def _row(recipe: Recipe, sort: str) -> list[str]:
    size = human(recipe.size) if recipe.size else "size unknown"
    row = [recipe.id, f"{size:>12}", recipe.access.level.value]
    if sort == "subjects":
        row.append(f"{recipe.subjects:>9,}" if recipe.subjects else f"{'unknown':>9}")
    if sort == "modality":
        row.append(", ".join(recipe.modality))
    return [*row, recipe.summary]


def _content(recipe: Recipe) -> dict[str, Any]:
    return {
        "id": recipe.id, "name": recipe.name, "summary": recipe.summary, "access": recipe.access.level.value,
        "size": recipe.size, "subjects": recipe.subjects, "modality": list(recipe.modality),
        "anatomy": list(recipe.anatomy), "tasks": list(recipe.tasks), "parts": [part.name for part in recipe.parts],
        "sources": recipe_search.words("source", [recipe]), "licence": recipe_search.words("licence", [recipe]),
        "status": dict(recipe.status), "homepage": recipe.homepage,
    }  # fmt: skip
