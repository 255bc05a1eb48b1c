"""``medfetch cite``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from medfetch import bibtex, citations, dois, locks
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session
from medfetch.cli.wanted import NOTHING, in_lists
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.locks import using
from medfetch.types import Recipe
from medfetch.wishes import Wish


@click.command("cite")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@click.option("-r", "files", type=click.Path(path_type=Path), multiple=True, help="A list of datasets, text or YAML.")
@click.option(
    "--format", "written_as", type=click.Choice(["bibtex", "csl-json"]), default="bibtex", show_default=True,
    help="How it is written.",
)  # fmt: skip
@with_session
def command(session: Session, names: tuple[str, ...], files: tuple[Path, ...], written_as: str) -> None:
    """Write what is to be cited for datasets, for those of a lock, or for that of a receipt: each itself, and what its
    terms ask for.

    Authors, titles and years are asked of the agencies that have the DOIs, once; with --offline it is what the recipe
    says, and what they said before.
    """
    wanted = [*names, *(name for name, _ in in_lists(files, Wish()))]
    if not wanted:
        raise NOTHING
    with session.reaching() as settings:
        recipes = [recipe for name in wanted for recipe in _meant(name, settings)]
        items = citations.items(recipes, _known(session, settings))
    text = json.dumps(items, indent=2, ensure_ascii=False) if written_as == "csl-json" else bibtex.written(items)
    session.out({"items": items}, text.rstrip("\n"))


def _known(session: Session, settings: Settings) -> Callable[[str], citations.Item | None]:
    if settings.offline:
        return partial(citations.kept, settings=settings)
    return partial(citations.asked, settings=settings, say=session.note)


def _meant(name: str, settings: Settings) -> Iterator[Recipe]:
    """The datasets of a name, or of a file that medfetch has written."""
    path = Path(name).expanduser()
    if _is_lock(path):
        yield from (using.recipe_of(locked, settings) for locked in locks.read(path).datasets)
        return
    if path.suffix == ".json" and (content := _content(path)):
        try:
            yield citations.from_receipt(content)
        except (LookupError, TypeError, ValueError) as error:
            raise UsageProblem(f"{path} is no receipt of medfetch: {error}") from error
        return
    yield dois.load(name, settings)


def _is_lock(path: Path) -> bool:
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return any(re.match("lock: *[0-9]", line) for line in islice(file, 10))
    return False


def _content(path: Path) -> dict[str, Any] | None:
    """Of a receipt; None where it is another kind of file, such as the manifest of a commons."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "dataset" in content:
            return content
    return None
