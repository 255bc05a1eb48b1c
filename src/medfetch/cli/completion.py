"""``medfetch completion``, and what the shell is told of datasets, parts, sources and words while a person types."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from medfetch import catalog, config, recipe_search
from medfetch.errors import MedfetchError
from medfetch.types import Recipe

SAFE = re.compile(r"[\w.+-]+")
"""What no shell takes for anything but a word."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands, datasets and options in a shell."""
    kind = get_completion_class(shell)
    assert kind
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, "medfetch", "_MEDFETCH_COMPLETE").source())


def names(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Datasets by their ids; files for what looks like one."""
    if begun.startswith((".", "~")) or "/" in begun:
        return [CompletionItem(begun, type="file")]
    given = _given(ctx)
    return [
        CompletionItem(recipe.id, help=recipe.name)
        for recipe in _recipes()
        if recipe.id.startswith(begun) and recipe.id not in given
    ]


def parts(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Parts of the datasets that are named."""
    found = (part for recipe in _named(ctx) for part in recipe.parts)
    return [CompletionItem(part.name, help=part.summary) for part in found if part.name.startswith(begun)]


def routes(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Sources of the datasets that are named."""
    return _words("source", _named(ctx), begun)


def facet(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The words of the facet that a parameter is called by, as far as recipes have them."""
    return _words(str(parameter.name), _recipes(), begun)


def _words(of: str, recipes: Iterable[Recipe], begun: str) -> list[CompletionItem]:
    words = {recipe_search.folded(word): word.replace(" ", "-") for word in recipe_search.words(of, recipes)}
    return [
        CompletionItem(word)
        for folded, word in words.items()
        if SAFE.fullmatch(word) and folded.startswith(recipe_search.folded(begun))
    ]


def _recipes() -> list[Recipe]:
    try:
        return catalog.search(extra=config.load().recipes)
    except MedfetchError:
        return []  # A line that is being typed is no place for an error: the command itself will say it.


def _named(ctx: click.Context) -> list[Recipe]:
    given = _given(ctx)
    return [recipe for recipe in _recipes() if recipe.id in given]


def _given(ctx: click.Context) -> set[str]:
    """The names on the line so far; those before an option without its value are left over from parsing."""
    return {*(ctx.params.get("names") or ()), *ctx.args}
