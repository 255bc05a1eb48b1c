"""The recipes that come with medfetch: well-formed, and true of the index that they select from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import idc_index_data
import pytest

from medfetch import catalog
from medfetch.patterns import fits
from medfetch.recipe_check import REQUIREMENTS
from medfetch.types import Part, Recipe, Route

INDEX = idc_index_data.IDC_INDEX_PARQUET_FILEPATH
COLLECTIONS = Path(INDEX).with_name("collections_index.parquet")
FILES = sorted(path for path in catalog.builtin().rglob("*.yaml") if path.name != REQUIREMENTS)
IDS = [path.stem for path in FILES]
COLUMNS = {"collection": "collection_id", "source_doi": "source_DOI", "analysis_result": "analysis_result_id"}


def where(locator: dict[str, Any]) -> str:
    """The condition that an IDC route stands for, written independently of the source."""
    conditions = [f"{column} = '{locator[key]}'" for key, column in COLUMNS.items() if key in locator]
    if not {"source_doi", "analysis_result"} & set(locator):
        conditions.append("analysis_result_id IS NULL")
    return " AND ".join(conditions)


def ask(query: str) -> list[tuple[Any, ...]]:
    return duckdb.execute(query.replace("INDEX", f"'{INDEX}'").replace("COLLECTIONS", f"'{COLLECTIONS}'")).fetchall()


def counted(locators: list[dict[str, Any]]) -> tuple[int, int, int, int]:
    """Series, instances, bytes and people of several IDC routes together (a phantom's series bears no one's id)."""
    condition = " OR ".join(f"({where(locator)})" for locator in locators)
    [row] = ask(
        "SELECT count(*), sum(instanceCount)::BIGINT, sum(round(series_size_MB * 1e6)::HUGEINT)::BIGINT,"
        f" count(DISTINCT nullif(PatientID, 'PatientID')) FROM INDEX WHERE {condition}"
    )
    return row


def route(part: Part, source: str) -> Route | None:
    return next((route for route in part.routes if route.source == source), None)


def _idc_parts() -> Iterator[Any]:
    for recipe in catalog.search(source="idc"):
        for part in recipe.parts:
            if found := route(part, "idc"):
                yield pytest.param(recipe, part, dict(found.locator), id=f"{recipe.id}/{part.name}")


IDC_PARTS = list(_idc_parts())


def test_the_ten_are_there() -> None:
    assert set(IDS) >= {
        "covid-chestxray-dataset", "kits19", "ldct-and-projection-data", "lidc-idri", "luna16", "msd",
        "neuromorphometrics", "nlst", "nsclc-radiomics", "pancreas-ct",
    }  # fmt: skip


def test_all_pass_the_check() -> None:
    assert list(catalog.check([catalog.builtin()])) == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_each_is_complete_and_in_its_place(path: Path) -> None:
    recipe = catalog.load(path.stem)
    sources = [route.source for part in recipe.parts for route in part.routes]
    assert path.parent.name == (sources[0] if sources else "manual")
    assert recipe.evidence and recipe.homepage and recipe.status and recipe.modality and recipe.anatomy
    assert recipe.tasks or any("tasks" in what for what in recipe.unknown)
    assert recipe.citations or recipe.access.level == "paid"
    assert recipe.licence or "licence text" in recipe.unknown
    assert recipe.origin == str(path) and len(recipe.digest) == 64


@pytest.mark.parametrize(("recipe", "part", "locator"), IDC_PARTS)
def test_idc_part_has_the_size_that_the_index_says(recipe: Recipe, part: Part, locator: dict[str, Any]) -> None:
    series, _, size, people = counted([locator])
    assert series > 0
    assert size == part.size
    if part.name in ("images", "all"):
        assert people == recipe.subjects


@pytest.mark.parametrize(("recipe", "part", "locator"), IDC_PARTS)
def test_idc_part_has_the_licence_that_the_index_says(recipe: Recipe, part: Part, locator: dict[str, Any]) -> None:
    licences = {name.replace(" ", "-", 1).replace(" ", "-") for (name,) in
                ask(f"SELECT DISTINCT license_short_name FROM INDEX WHERE {where(locator)}")}  # fmt: skip
    assert licences == {(part.licence or recipe.licence or {})["id"]}


@pytest.mark.parametrize(
    ("name", "parts", "series", "instances"),
    [
        ("lidc-idri", ["images"], 1_308, 244_527),
        ("nlst", ["ct", "slides"], 204_346, 21_088_140),
        ("nsclc-radiomics", ["images"], 1_265, 52_073),
        ("pancreas-ct", ["images"], 80, 18_942),
        ("ldct-and-projection-data", ["all"], 698, 8_044_937),
    ],
)
def test_default_parts_are_the_collections_own_data(name: str, parts: list[str], series: int, instances: int) -> None:
    recipe = catalog.load(name)
    default = [part for part in recipe.parts if part.default]
    assert [part.name for part in default] == parts
    found = counted([dict(found.locator) for part in default if (found := route(part, "idc"))])
    assert found[:2] == (series, instances)
    assert found[2] == recipe.size


@pytest.mark.parametrize("name", ["lidc-idri", "nlst", "nsclc-radiomics", "pancreas-ct"])
def test_parts_share_no_series_and_leave_none_out(name: str) -> None:
    recipe = catalog.load(name)
    locators = [dict(found.locator) for part in recipe.parts if (found := route(part, "idc"))]
    [(everything,)] = ask(f"SELECT count(*) FROM INDEX WHERE collection_id = '{locators[0]['collection']}'")
    assert sum(counted([locator])[0] for locator in locators) == counted(locators)[0] == everything


@pytest.mark.parametrize(("recipe", "part", "locator"), IDC_PARTS)
def test_tcia_route_means_the_same_as_the_idc_route(recipe: Recipe, part: Part, locator: dict[str, Any]) -> None:
    tcia = route(part, "tcia")
    if tcia is None:
        assert not part.default or part.name == "slides"  # which NBIA never had
        return
    names = ask(
        "SELECT DISTINCT collection_name FROM COLLECTIONS JOIN"
        f" (SELECT DISTINCT collection_id FROM INDEX WHERE {where(locator)}) USING (collection_id)"
    )
    assert names == [(tcia.locator["collection"],)]
    modality = tcia.locator["modality"]
    found = {name for (name,) in ask(f"SELECT DISTINCT Modality FROM INDEX WHERE {where(locator)}")}
    assert found == set([modality] if isinstance(modality, str) else modality)
    [(analyses,)] = ask(f"SELECT count(analysis_result_id) FROM INDEX WHERE {where(locator)}")
    assert analyses == 0


def files(name: str) -> dict[str, list[dict[str, Any]]]:
    return {
        part.name: list(found.locator["files"]) for part in catalog.load(name).parts if (found := route(part, "http"))
    }


def test_msd_has_ten_tasks_with_published_checksums() -> None:
    parts = files("msd")
    assert list(parts) == [f"task{number:02d}" for number in range(1, 11)]
    for number, [file] in enumerate(parts.values(), 1):
        assert file["path"].startswith(f"Task{number:02d}_")
        assert file["md5"] and file["unpack"] is True
        urls = [file["url"]] if isinstance(file["url"], str) else file["url"]
        assert urls[0].startswith("https://msd-for-monai.s3-us-west-2.amazonaws.com/")
        assert {url.rpartition("/")[2] for url in urls} == {file["path"]}


def test_luna16_takes_each_subset_from_its_record() -> None:
    parts = files("luna16")
    sizes = {part.name: part.size for part in catalog.load("luna16").parts}
    for number in range(10):
        [file] = parts[f"subset{number}"]
        record = 3723295 if number < 7 else 4121926
        assert all(f"/records/{record}/files/subset{number}.zip" in url for url in file["url"])
        assert file["md5"] and file["size"] == sizes[f"subset{number}"]


def test_kits19_pins_images_and_labels() -> None:
    parts = files("kits19")
    [images] = parts["images"]
    assert images["range"] == [0, 299]
    assert "/resolve/65f1f295873a326230153c7e1de0c7dba10f0b29/" in images["url"]
    masks = {file["path"]: file for file in parts["labels"]}
    assert set(masks) == {"kits.json", *(f"case_{number:05d}/segmentation.nii.gz" for number in range(210))}
    assert all("/456b293435b25303bbc7995f094f83a0afdff0eb/" in file["url"] for file in masks.values())
    assert all(file["url"].endswith(path) and len(file["sha256"]) == 64 for path, file in masks.items())
    assert sum(file["size"] for file in masks.values()) == catalog.load("kits19").parts[1].size


def test_the_centres_of_camelyon_share_no_slide_and_leave_none_out() -> None:
    names = [f"normal_{n:03d}" for n in range(1, 161) if n != 86] + [f"tumor_{n:03d}" for n in range(1, 112)]
    assert shares("camelyon16", names) == {"rumc": 170, "umcu": 100}
    names = [f"patient_{person:03d}_node_{node}" for person in range(200) for node in range(5)]
    assert shares("camelyon17", names) == {**{f"center-{n}": 100 for n in range(5)}, "test": 500}


def shares(name: str, slides: list[str]) -> dict[str, int]:
    """How many of some slides each part has; fails where one has none, or two."""
    ways = {part.name: found.locator for part in catalog.load(name).parts if (found := route(part, "s3"))}
    images = {part: way["path"] for part, way in ways.items() if way["prefix"].endswith("images/")}
    patterns = {part: [path] if isinstance(path, str) else path for part, path in images.items()}
    owners = [[part for part, each in patterns.items() if fits(f"{slide}.tif", each)] for slide in slides]
    assert all(len(parts) == 1 for parts in owners)
    return dict(Counter(parts[0] for parts in owners))


def test_what_nobody_can_fetch_by_program_says_what_to_do() -> None:
    recipe = catalog.load("neuromorphometrics")
    assert recipe.parts == ()
    [step] = recipe.access.requires
    assert (step.name, step.kind) == ("neuromorphometrics-subscription", "payment")
    assert step.at and step.wait is None
