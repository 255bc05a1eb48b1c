"""``medfetch info``."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from medfetch import cache, dois, requirements
from medfetch.cli import completion, plots
from medfetch.cli.common import Session, with_session
from medfetch.errors import UsageProblem
from medfetch.progress import human
from medfetch.types import Part, Recipe, Route

WIDE = 100


@click.command("info")
@click.argument("name", shell_complete=completion.names)
@plots.option("Instead: series by modality, files by kind, sizes, subjects.")
@with_session
def command(session: Session, name: str, plot: Path | None) -> None:
    """Show one dataset: what it is, size, licence, parts, requirements, and where each fact was read."""
    settings = session.resting
    recipe = dois.load(name, settings)
    if plot:
        _plot(session, recipe, plot)
        return
    home, below = cache.home(settings.cache, recipe.id, recipe.version), False
    if settings.cache_layers and not cache.is_there(home):
        from medfetch import layers  # it brings databases, which nobody else need wait for

        home = layers.where(recipe, settings)
        below = layers.is_layer(home, settings)
    here = str(home.root) if cache.is_there(home) else None
    text = list(lines(recipe))
    if here:
        text.append(f"here: {here}" + (" (a layer, which is only read)" if below else ""))
    session.out({**_content(recipe), "here": here}, "\n".join(text))


def _plot(session: Session, recipe: Recipe, plot: Path) -> None:
    # With them come the sources, and the index.
    from medfetch import outlook, runner, survey
    from medfetch.charts import holdings

    chart = holdings.of(recipe, survey.of_recipe(recipe), runner.index_version())
    by_hand = outlook.way(recipe) == "hand"
    nothing = UsageProblem(
        f"{recipe.id}: neither its files nor its size are known here",
        hint=None if by_hand else f"medfetch plan {recipe.id} --plot asks its host",
    )
    plots.show(session, plot, recipe.id, chart, nothing)


def _content(recipe: Recipe) -> dict[str, Any]:
    content = dataclasses.asdict(recipe)
    content["requirements"] = [requirements.as_dict(step) for step in requirements.steps(recipe, recipe.parts)]
    return content


def lines(recipe: Recipe) -> Iterator[str]:
    """What is shown of a recipe."""
    yield f"{recipe.name} ({recipe.id})"
    yield from textwrap.wrap(recipe.summary, WIDE)
    for name, value in _facts(recipe).items():
        yield from _wrapped(f"  {name:<10} ", value)
    yield from _parts("parts", [part for part in recipe.parts if part.default])
    yield from _parts("parts that come only with --part", [part for part in recipe.parts if not part.default])
    steps = requirements.steps(recipe, recipe.parts)
    if steps:
        yield "to do before it can be had"
        for step in steps:
            where = f"{step.at or 'where: unknown'}; usual wait: {step.wait or 'unknown'}"
            yield from _wrapped("  ", f"{step.do} — {where}")
    if read := [*recipe.evidence, *(each for step in steps for each in step.evidence)]:
        yield "read"
        for each in read:
            yield from _wrapped("  ", f"{each['fact']}: {each['source']} ({each['read']})")
    if recipe.unknown:
        yield "unknown"
        for told in recipe.unknown:
            yield from _wrapped("  ", told)


def _facts(recipe: Recipe) -> dict[str, str]:
    facts = {
        "access": recipe.access.level.value,
        "size": human(recipe.size) if recipe.size else "unknown",
        "subjects": f"{recipe.subjects:,}" if recipe.subjects else "unknown",
        "licence": " ".join(recipe.licence.values()) if recipe.licence else "unknown",
        "status": " as of ".join(str(value) for value in recipe.status.values()) or "unknown",
        "homepage": recipe.homepage or "unknown",
        "also": " ".join(recipe.also),
        "cite": ", ".join(recipe.citations) or "unknown",
        "note": recipe.access.note or "",
    }
    return {name: value for name, value in facts.items() if value}


def _parts(title: str, parts: list[Part]) -> Iterator[str]:
    """A table of parts: name, size, ways, and what is in them, which has the rest of the line and lines of its own."""
    if not parts:
        return
    yield title
    rows = [(part.name, human(part.size) if part.size else "", _ways(part.routes), _told(part)) for part in parts]
    names, sizes, ways = (min(max(len(row[column]) for row in rows), WIDE // 3) for column in range(3))
    for name, size, way, told in rows:
        yield from _wrapped(f"  {name:<{names}}  {size:>{sizes}}  {way:<{ways}}  ", told)


def _ways(routes: Iterable[Route]) -> str:
    ways = [f"{route.source} (third party)" if route.third_party else route.source for route in routes]
    return ", then ".join(dict.fromkeys(ways)) or "no route"


def _told(part: Part) -> str:
    told = [part.summary] if part.summary else []
    told += [f"Unpacked {human(part.unpacked)}."] if part.unpacked else []
    told += [f"Licence: {part.licence['id']}."] if part.licence else []
    files = (file for route in part.routes for file in route.locator.get("files", ()))
    told += [f"Checksums by {who}." for who in dict.fromkeys(file.get("checksums_by") for file in files) if who]
    return " ".join(told)


def _wrapped(head: str, text: str) -> list[str]:
    """Text behind a head, with the lines that follow under its beginning; addresses stay whole."""
    return textwrap.wrap(
        text, max(WIDE, len(head) + WIDE // 3), initial_indent=head, subsequent_indent=" " * len(head),
        break_long_words=False, break_on_hyphens=False,
    ) or [head.rstrip()]  # fmt: skip
