"""``medfetch info``."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

import click

from medfetch import dois, requirements
from medfetch.cli.common import Session, with_session
from medfetch.progress import human
from medfetch.types import Part, Recipe


@click.command("info")
@click.argument("name")
@with_session
def command(session: Session, name: str) -> None:
    """Show one dataset: what it is, size, licence, parts, requirements, and where each fact was read."""
    recipe = dois.load(name, session.resting)
    session.out(_content(recipe), "\n".join(_lines(recipe)))


def _content(recipe: Recipe) -> dict[str, Any]:
    content = dataclasses.asdict(recipe)
    content["requirements"] = [requirements.as_dict(step) for step in requirements.steps(recipe, recipe.parts)]
    return content


def _lines(recipe: Recipe) -> list[str]:
    lines = [f"{recipe.name} ({recipe.id})", *textwrap.wrap(recipe.summary, 100)]
    facts = {
        "access": recipe.access.level.value,
        "size": human(recipe.size) if recipe.size else "unknown",
        "subjects": f"{recipe.subjects:,}" if recipe.subjects else "unknown",
        "licence": " ".join(recipe.licence.values()) if recipe.licence else "unknown",
        "status": " as of ".join(str(value) for value in recipe.status.values()) or "unknown",
        "homepage": recipe.homepage or "unknown",
        "cite": ", ".join(recipe.citations) or "unknown",
    }
    lines += [f"  {name:<10} {value}" for name, value in facts.items()]
    if recipe.access.note:
        lines.append(f"  note       {recipe.access.note}")
    if recipe.parts:
        lines += ["parts", *(f"  {_part(part)}" for part in recipe.parts)]
    steps = requirements.steps(recipe, recipe.parts)
    if steps:
        lines.append("to do before it can be had")
        lines += [
            f"  {step.do} — {step.at or 'where: unknown'}; usual wait: {step.wait or 'unknown'}" for step in steps
        ]
    if recipe.evidence:
        lines += ["read", *(f"  {each['fact']}: {each['source']} ({each['read']})" for each in recipe.evidence)]
    if recipe.unknown:
        lines += ["unknown", *(f"  {each}" for each in recipe.unknown)]
    return lines


def _part(part: Part) -> str:
    told = [part.summary.removesuffix(".")] if part.summary else []
    told += [human(part.size)] if part.size else []
    ways = ", then ".join(route.source for route in part.routes)
    told += [f"by {ways}" if ways else "no route by program"]
    told += [f"checksums by {who}" for who in _reckoners(part)]
    told += [] if part.default else ["only with --part"]
    return f"{part.name}: {', '.join(told)}"


def _reckoners(part: Part) -> list[str]:
    """Who computed the checksums of a part's files, where that was not the publisher."""
    files = (file for route in part.routes for file in route.locator.get("files", ()))
    return list(dict.fromkeys(file["checksums_by"] for file in files if "checksums_by" in file))
