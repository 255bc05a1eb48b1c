"""The datasets of five public lists: each has its recipe, and each address of the lists leads to it.

``data/seed-datasets.tsv`` holds what they are called here and, where a list links them, under which addresses.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from running import Run

from medfetch import catalog

with (Path(__file__).parent / "data" / "seed-datasets.tsv").open(encoding="utf-8") as lines:
    SEEDS = {row["id"]: row["seed_urls"].split() for row in csv.DictReader(lines, delimiter="\t")}
LINKS = [(name, url) for name, urls in SEEDS.items() for url in urls]


@pytest.mark.parametrize("name", SEEDS)
def test_each_dataset_of_the_lists_has_its_recipe(name: str) -> None:
    assert catalog.load(name).id == name


@pytest.mark.parametrize(("name", "url"), LINKS)
def test_each_link_of_the_lists_leads_to_its_dataset(name: str, url: str) -> None:
    assert name in {recipe.id for recipe in catalog.search(url)}


def test_the_command_says_so(run: Run) -> None:
    name, url = "lidc-idri", "https://wiki.cancerimagingarchive.net/display/Public/LIDC-IDRI"
    assert (name, url) in LINKS
    assert [each["id"] for each in run("list", url, "--json").lines] == [name]
