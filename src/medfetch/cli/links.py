"""The option ``--links``: links that come by mail, given to the datasets whose files they are."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import TextIO

import click

from medfetch import mail, wishes
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.mail import Fit
from medfetch.progress import Display
from medfetch.types import Recipe
from medfetch.wishes import Wish

SHOWN = 10
"""Files and links that are named, of each kind."""

option = click.option(
    "--links", "mail", type=click.File(encoding="utf-8", errors="replace"), metavar="FILE|-",
    help="The mail with a dataset's links: commands, addresses, or all of it.",
)  # fmt: skip


def given(
    text: TextIO | None, wanted: list[tuple[Recipe, Wish]], settings: Settings, display: Display
) -> Iterator[tuple[Recipe, Wish, Settings]]:
    """What is wanted, each with settings that hold the links for it; and tells how the links fit.

    Raises: UsageProblem where there is no link in the text, RecipeError.
    """
    if text is None:
        yield from ((recipe, wish, settings) for recipe, wish in wanted)
        return
    if settings.sandbox:
        raise UsageProblem("links of a mail lead to their own hosts", hint="leave out --sandbox")
    found = mail.read(text.read())
    if not found:
        raise UsageProblem(f"there is no link in {text.name}")
    if others := mail.strangers([recipe for recipe, _ in wanted], found):
        display.say("links", {"without_file": others}, f"links that are for no file: {_named(others)}")
    for recipe, wish in wanted:
        fit = mail.fit(wishes.chosen_parts(recipe, wish), found)
        if fit.files:
            display.say("links", _content(recipe, fit), _text(recipe, fit))
        yield recipe, wish, replace(settings, links=fit.good)


def _content(recipe: Recipe, fit: Fit) -> dict[str, object]:
    return {
        "dataset": recipe.id, "files": fit.files, "good": fit.files - len(fit.without) - len(fit.over),
        "without_link": list(fit.without), "expired": list(fit.over), "until": _moment(fit.until),
    }  # fmt: skip


def _text(recipe: Recipe, fit: Fit) -> str:
    good = fit.files - len(fit.without) - len(fit.over)
    said = [f"{recipe.id}: links for {good} of {fit.files} files"]
    if good:
        said.append(f"good until {_moment(fit.until) or 'unknown'}")
    if fit.without:
        said.append(f"no link for {_named(fit.without)}")
    if fit.over:
        said.append(f"expired for {_named(fit.over)}")
    return "; ".join(said)


def _named(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _moment(seconds: float | None) -> str | None:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="minutes") if seconds else None
