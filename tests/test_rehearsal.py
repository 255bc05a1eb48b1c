"""Each recipe against the sandbox: what it wants comes by each of its routes; and what a rehearsal finds wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import in_process
import pytest
import requests
from click.testing import CliRunner
from datasets import http, write_recipe
from running import Run

from medfetch import catalog, receipt, requirements
from medfetch.cli import group
from medfetch.config import Settings
from medfetch.planning import all_of
from medfetch.rehearsal import Rehearsed, rehearse, stage
from medfetch.runner import home_of
from medfetch.sandbox import Fault, Sandbox
from medfetch.types import Recipe

RECIPES = {recipe.id: recipe for recipe in catalog.search()}


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Sandbox]:
    """One for all recipes, as the hosts are."""
    with Sandbox(max_instance_bytes=3_000) as box:
        yield box


@pytest.fixture
def settings(stand_in: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return in_process.rehearsing(stand_in, tmp_path, monkeypatch)


def by_hand(recipe: Recipe) -> bool:
    return any(all(map(requirements.by_hand, part.routes)) for part in recipe.parts) or not recipe.parts


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_from_its_first_step_to_its_receipts(name: str, settings: Settings) -> None:
    recipe = RECIPES[name]
    runner = CliRunner()
    for command in (["info", name], ["access", name]):
        shown = runner.invoke(group, [*command, "--sandbox"] if command[0] == "info" else command)
        assert shown.exit_code == 0 and name in shown.output, shown.output
    went = rehearse(recipe, settings, all_parts=True)
    assert went.problems == ()
    sources = {way.source for part in recipe.parts for way in part.routes if not requirements.by_hand(way)}
    assert set(went.routes) == sources
    assert (went.code == 3) == bool(went.step) == by_hand(recipe)
    assert sum(went.assurance.values()) == went.files and bool(went.files) == bool(sources)
    for source in sources:
        plans = all_of(home_of(recipe, replace(settings, cache=settings.cache / source)))
        assert plans and all(receipt.of_plan(made) for made in plans)


def made(home: Path, name: str, settings: Settings, **more: Any) -> Rehearsed:
    write_recipe(home, name, **more)
    return rehearse(catalog.load(str(home / f"{name}.yaml")), settings)


ZENODO = {"source": "zenodo", "record": 4242, "path": "scans.zip", "unpack": True}
FILE = {"path": "scans.zip", "url": "https://host/scans.zip", "unpack": True}


def test_routes_of_one_part_that_leave_different_trees_are_a_mistake(home: Path, settings: Settings) -> None:
    [same] = http(FILE)
    assert made(home, "same", settings, routes=[ZENODO, same]).problems == ()
    went = made(home, "other", settings, routes=[{**ZENODO, "into": "images"}, same])
    assert went.code == 2 and "all: zenodo and http differ in images/scans.zip" in went.problems[0]


def test_what_is_closed_is_not_said_to_be_downloaded(home: Path, settings: Settings) -> None:
    access = {"level": "closed", "note": "Nobody answers."}
    went = made(home, "shut", settings, access=access, homepage="https://host/")
    assert went.problems == () and went.code == 3
    assert went.step.startswith("It is closed. Nobody answers.") and "Download" not in went.step


def test_a_route_of_which_nothing_comes_is_a_mistake(home: Path, settings: Settings, stand_in: Sandbox) -> None:
    stand_in.add(*[Fault(match="/http/gone/", status=404)] * 20)
    try:
        went = made(home, "gone", settings, routes=http({"path": "file", "url": "https://gone/file"}))
    finally:
        stand_in.clear()
    assert went.code == 1 and "file" in went.problems[0]


def test_what_pins_the_real_content_is_what_it_is_here(home: Path, settings: Settings, stand_in: Sandbox) -> None:
    sums = {"md5": "0" * 32, "sha256": "0" * 64, "size": 7 * 10**9}
    git = {"source": "datalad", "repository": "https://host/repo", "commit": "0" * 40}
    write_recipe(home, "pinned", parts={"one": {"routes": http({**FILE, **sums})}, "two": {"routes": [git]}})
    recipe = catalog.load(str(home / "pinned.yaml"))
    told = stage(recipe, settings).recipe
    [file] = told.parts[0].routes[0].locator["files"]
    served = requests.get(f"{stand_in.address}/http/host/scans.zip", timeout=60).content
    assert file["size"] == len(served) and len(served) < 200_000
    assert file["md5"] == hashlib.md5(served).hexdigest() and file["sha256"] == hashlib.sha256(served).hexdigest()
    assert set(told.parts[1].routes[0].locator["commit"]) != {"0"}
    assert stage(recipe, settings).recipe == told, "another run has to find the same plan"
    assert rehearse(recipe, settings).assurance["published"]


@pytest.mark.parametrize(
    "addresses",
    [
        ["https://host/all.z01", "https://host/all.z02", "https://host/all.zip"],
        ["https://host/all.zip.1", "https://host/all.zip.2"],
    ],
)
def test_files_in_pieces(home: Path, settings: Settings, addresses: list[str]) -> None:
    pieces = [{"url": url, "md5": "0" * 32} for url in addresses]
    went = made(home, "pieces", settings, routes=http({"path": "all.zip", "pieces": pieces, "unpack": True}))
    assert went.problems == () and went.files == 2


@pytest.mark.parametrize(
    "route",
    [
        {"source": "s3", "bucket": "bucket", "prefix": "a/b_", "requester_pays": True},
        {"source": "gcs", "bucket": "bucket", "prefix": "a/", "requester_pays": True},
        {"source": "github", "repository": "o/r", "release": "v1"},
        {"source": "datalad", "repository": "https://host/super", "subdatasets": "inner", "path": ["inner/*", "a.txt"]},
        {"source": "gdrive", "files": [{"path": "x.csv", "id": "1" * 33}, {"path": "y/z.nii.gz", "id": "2" * 33}]},
        {"source": "dropbox", "link": ["https://www.dropbox.com/s/a/x", "https://www.dropbox.com/s/b/y"],
         "files": [{"path": "x.csv"}, {"path": "y.zip", "md5": "0" * 32}]},
        {"source": "grand-challenge", "archive": "scans"},
        {"source": "xnat", "host": "xnat.example.org", "project": "P"},
        {"source": "ftp", "files": [{"path": "a.nii.gz", "url": "ftp://host/a.nii.gz", "size": 5}]},
        {"source": "hf", "dataset": "o/d", "revision": "0" * 40, "path": "data/*.tar.gz", "unpack": True},
        {"source": "webdav", "share": "https://cloud.example.org/remote.php/scans", "path": "[a-c]*"},
    ],
    ids=lambda route: str(route["source"]),
)  # fmt: skip
def test_routes_that_no_recipe_has_yet(home: Path, settings: Settings, route: dict[str, Any]) -> None:
    went = made(home, f"own-{route['source']}", settings, routes=[route])
    assert went.problems == () and went.files > 0


def test_the_command_prints_a_table_and_says_what_failed(run: Run, home: Path) -> None:
    [same] = http(FILE)
    good = write_recipe(home, "good", routes=[same])
    odd = write_recipe(home, "odd", routes=[{**ZENODO, "into": "images"}, same])
    hand = write_recipe(home, "hand", routes=[{"source": "manual", "at": "https://host/page"}])
    told = run("recipe", "rehearse", good, hand)
    lines = told.out.splitlines()
    assert lines[0].startswith("dataset") and lines[1].split()[:4] == ["good", "open", "1", "http"]
    assert " 3  Download what is there" in lines[2]
    failed = run("recipe", "rehearse", "--json", odd, good, code=1)
    assert [row["dataset"] for row in failed.lines if row["problems"]] == ["odd"]
    assert "2 recipes, 1 not as they should be" in failed.err
    run("recipe", "rehearse", code=2)
    assert not (home / ".local" / "share" / "medfetch" / "agreements.jsonl").exists()


def test_a_rehearsed_get_is_complete_and_the_second_asks_no_host(run: Run, home: Path, cache: Path) -> None:
    sums = {"sha256": "0" * 64, "size": 10**8}
    name = write_recipe(home, "scans", routes=http({**FILE, **sums}))
    first = run("get", name, "--sandbox", "--json").last
    assert first["assurance"] == {"published": 2} and first["sandbox"]
    again = run("get", name, "--sandbox", "--json")
    assert again.last["completed"] == first["completed"]
    [csv] = (cache / ".sandbox").rglob("table.csv")
    csv.write_text("wrong")
    run("verify", name, "--sandbox", code=4)
    run("verify", name, "--sandbox", "--repair")
    run("verify", name, "--sandbox", "--content")
