"""The shared requirements, and the recipes of datasets behind gates: what a person is told, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import Run

from medfetch import catalog, credentials, sources
from medfetch.recipe_check import REQUIREMENTS
from medfetch.types import Requirement, Route

SHARED: dict[str, dict[str, Any]] = yaml.safe_load((catalog.builtin() / REQUIREMENTS).read_text())
PHYSIONET = ("mimic-cxr", "mimic-cxr-jpg", "egd-cxr", "eicu-crd")
AIMI = ("chexpert", "echonet-dynamic", "mrnet")
GATED = (*PHYSIONET, *AIMI, "brats", "brats-2024", "fastmri", "retouch")
OPEN = ("promise12", "siim-isic-melanoma", "lgg-mri-segmentation")
"""With open doors, though people look for them behind gates."""


def steps(name: str, *, all_parts: bool = False) -> dict[str, Requirement]:
    """What stands between a person and the parts that are fetched unasked, or all, by name in its order."""
    recipe = catalog.load(name)
    routes = [route for part in recipe.parts if part.default or all_parts for route in part.routes[:1]]
    groups = (recipe.access.requires, *(route.requires for route in routes))
    return {step.name: step for group in groups for step in group}


def routes(name: str) -> list[Route]:
    return [route for part in catalog.load(name).parts for route in part.routes]


def union(names: Iterable[str]) -> dict[str, Requirement]:
    return {step: it for name in names for step, it in steps(name, all_parts=True).items()}


@pytest.mark.parametrize("name", SHARED)
def test_each_shared_step_says_where_and_how_we_know(name: str) -> None:
    step = SHARED[name]
    assert re.fullmatch(r"https?://\S+", step["at"]) and step["do"].endswith(".")
    assert step["evidence"] and all(each["source"] and each["read"] for each in step["evidence"])
    if step["kind"] == "token":
        assert step["credential"] and step["after"], "a token is of an account, and medfetch has to find it"


def test_shared_steps_stand_after_those_they_wait_for() -> None:
    place = {name: number for number, name in enumerate(SHARED)}
    for name, step in SHARED.items():
        assert all(place[before] < place[name] for before in step.get("after", [])), name


def test_all_hosts_of_the_sources_and_the_great_archives_are_there() -> None:
    assert set(SHARED) >= {
        "physionet-account", "physionet-training", "physionet-credentialing", "kaggle-account", "kaggle-token",
        "kaggle-phone", "grand-challenge-account", "grand-challenge-token", "grand-challenge-archive",
        "grand-challenge-join", "synapse-account", "synapse-token", "synapse-certification", "huggingface-account",
        "huggingface-token", "huggingface-gate", "redivis-account", "redivis-token", "stanford-aimi-membership",
        "era-commons-account", "dbgap-request", "nci-crdc-key", "midrc-key", "nda-request", "nbdc-request",
        "fitbir-request",
        "nitrc-account", "oasis-agreement", "loni-ida-account", "adni-application", "ppmi-application",
        "openpreventad-account", "balsa-account", "hcp-open-access-terms", "ukbiobank-registration",
        "ukbiobank-application", "ukbiobank-fee", "ieee-dataport-account", "fastmri-form",
    }  # fmt: skip


def test_every_secret_that_a_step_brings_is_one_that_is_looked_for() -> None:
    names = {step["credential"] for step in SHARED.values() if "credential" in step}
    for name in names:
        credentials.checked(name)  # raises for what nobody would find
    assert names >= {"physionet", "kaggle", "grand-challenge", "synapse", "hf", "redivis"}


@pytest.mark.parametrize("name", [*GATED, *OPEN])
def test_no_step_is_without_an_address(name: str) -> None:
    assert [step.name for step in steps(name, all_parts=True).values() if not step.at] == []


@pytest.mark.parametrize("name", GATED)
def test_steps_come_after_those_they_wait_for(name: str) -> None:
    told = steps(name, all_parts=True)
    assert told and all(before in list(told)[: list(told).index(name)] for name in told for before in told[name].after)


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_asks_for_nothing(name: str) -> None:
    assert steps(name) == {} and catalog.load(name).access.level == "open"


def test_account_training_and_credentialing_are_one_for_all_of_physionet() -> None:
    apart = [f"{name}-agreement" for name in PHYSIONET]
    assert sorted(union(PHYSIONET)) == sorted(
        ["physionet-account", "physionet-training", "physionet-credentialing", *apart]
    )
    addresses = [union(PHYSIONET)[name].at for name in apart]
    assert len(set(addresses)) == 4
    for name, address in zip(PHYSIONET, addresses, strict=True):
        recipe = catalog.load(name)
        assert address == f"https://physionet.org/sign-dua/{name}/{recipe.version}/"
        [route] = routes(name)
        assert sources.get("physionet").locate(f"{name}/{recipe.version}") == dict(route.locator)


def test_kaggle_is_asked_for_what_people_type() -> None:
    kaggle = sources.get("kaggle")
    [dataset] = routes("lgg-mri-segmentation")
    assert kaggle.locate("mateuszbuda/lgg-mri-segmentation").items() <= dataset.locator.items()
    [competition] = [route for route in routes("siim-isic-melanoma") if route.source == "kaggle"]
    assert kaggle.locate("competitions/siim-isic-melanoma-classification") == dict(competition.locator)
    *before, rules = competition.requires
    assert [step.name for step in before] == ["kaggle-account", "kaggle-token"]
    assert rules.at == "https://www.kaggle.com/competitions/siim-isic-melanoma-classification/rules"


def test_editions_of_brats_have_terms_of_their_own() -> None:
    for name, key, terms in (
        ("brats", "syn51514105", "brats-2023-terms"),
        ("brats-2024", "syn59059776", "brats-2024-terms"),
    ):
        assert set(steps(name)) == {"synapse-account", "synapse-token", terms}
        taken = [dict(route.locator) for route in routes(name) if route.source == "synapse"]
        assert taken == [sources.get("synapse").locate(key)]


def test_stanford_aimi_wants_membership_once_and_an_agreement_for_each() -> None:
    apart = [f"{name}-agreement" for name in AIMI]
    assert sorted(union(AIMI)) == sorted(["redivis-account", "redivis-token", "stanford-aimi-membership", *apart])
    assert len({union(AIMI)[name].at for name in apart}) == 3
    for name, dataset, tables in (
        ("chexpert", "aimi.chexpert_plus:5yyj:v1_0", 5),
        ("echonet-dynamic", "aimi.echonet_dynamic:66s1:v1_0", 1),
        ("mrnet", "aimi.mrnet_knee_mri_s:4a2c:v1_0", 2),
    ):
        asked = [dict(route.locator) for route in routes(name)]
        assert asked == [sources.get("redivis").locate(f"{dataset}.{each['table']}") for each in asked]
        assert len({each["table"] for each in asked}) == tables


def test_fastmri_has_each_volume_once() -> None:
    names = [file["path"] for route in routes("fastmri") for file in route.locator["files"]]
    assert len(names) == len(set(names)) == 113
    for series, last in (("prostate_DIFF", 312), ("prostate_T2", 312), ("breast", 300)):
        spans = sorted(
            (int(found[1]), int(found[2]))
            for name in names
            if (found := re.fullmatch(rf"fastMRI_{series}_IDS_(\d+)_(\d+)\.tar\.gz", name))
        )
        assert [first for first, _ in spans] == [1, *(end + 1 for _, end in spans[:-1])] and spans[-1][1] == last
    assert [step.kind for step in steps("fastmri").values()] == ["application", "link"]


def test_no_recipe_holds_anybodys_signed_link() -> None:
    for path in Path(catalog.builtin()).rglob("*.yaml"):
        assert not re.search(r"[?&](Signature|X-Amz-|X-Goog-|sig|token|AWSAccessKeyId)=?", path.read_text()), path


def test_a_new_user_is_told_each_step_once(run: Run) -> None:
    names = [*PHYSIONET, "lidc-idri", "siim-isic-melanoma", "fastmri", "brats", "retouch"]
    lines = run("access", *names, "--json").lines
    told = [line for line in lines if line["event"] == "step"]
    by_name = {line["name"]: line for line in told}
    assert len(by_name) == len(told) and all(line["at"].startswith("http") for line in told)
    for name in ("physionet-account", "physionet-training", "physionet-credentialing"):
        assert by_name[name]["opens"] == list(PHYSIONET)
    assert [by_name[f"{name}-agreement"]["opens"] for name in PHYSIONET] == [[name] for name in PHYSIONET]
    opened = {name for line in told for name in line["opens"]}
    assert opened == {*names} - {"lidc-idri", "siim-isic-melanoma"}
    order = [line["name"] for line in told]
    assert order.index("physionet-credentialing") < order.index("physionet-training"), "the longest wait first"


def test_nothing_comes_before_the_steps_are_taken(run: Run, cache: Path) -> None:
    ran = run("get", "mimic-cxr-jpg", code=3)
    assert all(str(step.at) in ran.err for step in steps("mimic-cxr-jpg").values())
    assert not (cache / "mimic-cxr-jpg").exists()
