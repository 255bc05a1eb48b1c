"""Each recipe as a Croissant, by its plan and by what is in the cache; and what that describes: the same tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import in_process
import pytest

from medfetch import agreements, catalog, described, rehearsal, requirements, runner
from medfetch.config import Settings
from medfetch.formats import Dataset
from medfetch.formats.croissant import document
from medfetch.progress import Terminal
from medfetch.rehearsal import WORD
from medfetch.sandbox import Sandbox
from medfetch.types import Recipe, Selection
from medfetch.wishes import Wish

FEW = {"acdc", "brixia", "lynos", "mimic-cxr", "ocmr", "simon"}
"""Small ones of several kinds of hosts; all others are left to make test-long. Series are in test_croissant.py."""
RECIPES = {
    recipe.id: recipe
    for recipe in catalog.search()
    if any(not requirements.by_hand(route) for part in recipe.parts for route in part.routes)
}


QUIET = Terminal(quiet=True)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=3_000) as box:
        yield box


@pytest.fixture
def settings(stand_in: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return in_process.rehearsing(stand_in, tmp_path, monkeypatch)


def agree(recipe: Recipe, settings: Settings) -> None:
    """The word of a person who has taken all steps."""
    steps = [each for each in requirements.of_all_ways(recipe, recipe.parts) if each.kind in WORD]
    words = [each for each in steps if not each.credential]
    made = [agreements.made(recipe.id, each, "Ada", agreements.today(), at=each.at) for each in words]
    agreements.record(made, settings)


def wishes(recipe: Recipe, series: dict[str, Any]) -> Iterator[Wish]:
    """All parts that a program fetches: those of the archives' index one by one, and little of each."""
    names = [part.name for part in recipe.parts if not all(map(requirements.by_hand, part.routes))]
    if rest := [name for name in names if name not in series]:
        yield Wish(parts=tuple(rest))
    for name in (name for name in names if name in series):
        yield Wish(Selection({"series": series[name]}), (name,))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FEW else pytest.mark.long) for name in RECIPES]
)
def test_what_is_exported_is_had_again(name: str, settings: Settings, tmp_path: Path) -> None:
    staged = rehearsal.stage(RECIPES[name], settings, series=True)
    agree(RECIPES[name], settings)
    settings = replace(settings, links=staged.links)
    for number, wish in enumerate(wishes(staged.recipe, dict(staged.series))):
        made = runner.make_plan(staged.recipe, wish, settings, QUIET)
        planned = document(Dataset(staged.recipe, (made,), (), settings))
        receipt = runner.fulfil(staged.recipe, made, settings, QUIET)
        here = document(Dataset(staged.recipe, (made,), (receipt,), settings))
        for what, content in ((f"planned-{number}", planned), (f"here-{number}", here)):
            path, elsewhere = tmp_path / f"{what}.json", replace(settings, cache=tmp_path / what)
            path.write_text(json.dumps(content))
            assert "127.0.0.1" not in path.read_text(), "nobody else has this machine's addresses"
            recipe = described.load(f"croissant:{path}", elsewhere)
            agree(recipe, elsewhere)
            again = runner.get(recipe, Wish(), elsewhere, QUIET)
            assert again and again["tree"] == receipt["tree"] and not recipe.unknown
