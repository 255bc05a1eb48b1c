"""Addresses: what is the same however it is written, what is not, and to which recipe one leads."""

from __future__ import annotations

import pytest

from medfetch import addresses, catalog
from medfetch.types import Access, Level, Part, Recipe, Requirement, Route


@pytest.mark.parametrize(
    "same",
    [
        ["https://h.org/data", "http://www.h.org/data/", "HTTPS://H.ORG/data#top", "h.org/data"],
        ["https://h.org", "http://h.org/", "https://www.h.org/?utm_source=x", "https://h.org?embedded="],
        ["https://h.org/a?x=1&y=2", "https://h.org/a/?y=2&x=1&fbclid=z"],
        ["https://h.org/a%20b", "https://h.org/a b"],
        ["doi:10.7937/K9/TCIA.2015.LO9QL9SX", "10.7937/k9/tcia.2015.lo9ql9sx",
         "https://doi.org/10.7937/K9/tcia.2015.LO9QL9SX", "http://dx.doi.org/10.7937/K9%2FTCIA.2015.LO9QL9SX",
         "https://www.doi.org/10.7937/k9/tcia.2015.lo9ql9sx"],
        ["arxiv:1902.09063", "https://arxiv.org/abs/1902.09063v2", "https://arxiv.org/pdf/1902.09063.pdf"],
    ],
)  # fmt: skip
def test_one_address_in_many_spellings(same: list[str]) -> None:
    assert len({addresses.plain(each) for each in same}) == 1


@pytest.mark.parametrize(
    "different",
    [
        ["https://example.org/data", "https://example.org/Data", "https://data.example.org/", "https://example.org"],
        ["https://h.org/viewpage.action?pageId=1", "https://h.org/viewpage.action?pageId=2"],
        ["https://www.synapse.org/#!Synapse:syn1", "https://www.synapse.org/#!Synapse:syn2"],
        ["doi:10.5281/zenodo.1", "doi:10.5281/zenodo.12"],
    ],
)
def test_what_makes_a_difference(different: list[str]) -> None:
    assert len({addresses.plain(each) for each in different}) == len(different)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org", True),
        ("ftp://bigbrain.loris.ca", True),
        ("www.example.org", True),
        ("physionet.org/content/mimic-cxr", True),
        ("10.5281/zenodo.8026660", True),
        ("doi: 10.5281/zenodo.8026660", True),
        ("arxiv:1902.09063", True),
        ("lung", False),
        ("CT/MR of the lung", False),
        ("MRI (T1, T2)", False),
        ("lidc-idri", False),
        ("v1.0/data", False),
    ],
)
def test_what_is_an_address(text: str, expected: bool) -> None:
    assert addresses.is_address(text) is expected


def recipe(name: str, **more: object) -> Recipe:
    usual = {"name": name, "summary": "A sample.", "parts": (), "access": Access(Level.OPEN)}
    return Recipe(name, **(usual | more))  # type: ignore[arg-type]


def routed(name: str, source: str, **locator: object) -> Recipe:
    return recipe(name, parts=(Part("all", (Route(source, locator),)),))


RECIPES = [
    recipe("home", homepage="https://home.example.org/data/", also=("ftp://old.example.org",)),
    recipe("cited", citations=("doi:10.1000/X",)),
    recipe("read", evidence=({"source": "at https://home.example.org/data, and (https://h.org/a)."},)),
    recipe(
        "step",
        access=Access(Level.TERMS, (Requirement("s", "terms", "x", "https://h.org/step"),), "https://h.org/terms"),
    ),
    routed("file", "http", files=[{"path": "a", "url": ["https://h.org/a.zip", "https://mirror.org/a.zip"]}]),
    routed("kaggle-a", "kaggle", dataset="owner/one"),
    routed("kaggle-b", "kaggle", competition="one"),
    routed("physio", "physionet", project="mimic-cxr", version="2.1.0"),
    routed("zen", "zenodo", record=12345),
    routed("neuro", "openneuro", dataset="ds000001"),
    routed("part", "idc", source_doi="10.1234/part"),
    routed("syn", "synapse", id="syn123"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("http://www.home.example.org/data", ["home"]),  # not what was only read there
        ("https://home.example.org/data/download?step=2", ["home"]),  # a page below
        ("https://home.example.org/database", []),
        ("https://home.example.org", []),
        ("ftp://old.example.org/", ["home"]),
        ("https://doi.org/10.1000/x", ["cited"]),
        ("https://doi.org/10.1000/xy", []),
        ("https://h.org/a", ["read"]),
        ("https://h.org/step/", ["step"]),
        ("https://h.org/terms", ["step"]),
        ("mirror.org/a.zip", ["file"]),
        ("https://www.kaggle.com/owner/one", ["kaggle-a", "kaggle-b"]),
        ("https://www.kaggle.com/datasets/Owner/One/data", ["kaggle-a", "kaggle-b"]),
        ("https://www.kaggle.com/c/one/overview", ["kaggle-b"]),
        ("https://physionet.org/content/mimic-cxr/2.0.0/", ["physio"]),
        ("https://physionet.org/content/mimic-cxr-jpg/2.0.0/", []),
        ("https://zenodo.org/records/12345#files", ["zen"]),
        ("https://zenodo.org/records/1234", []),
        ("https://example.org/records/12345", []),
        ("https://openneuro.org/datasets/ds000001/versions/1.0.2", ["neuro"]),
        ("doi:10.1234/PART", ["part"]),
        ("https://www.synapse.org/#!Synapse:syn123", ["syn"]),
        ("https://www.synapse.org/Synapse:syn123/wiki/1", ["syn"]),
        ("https://www.synapse.org/Synapse:syn1234", []),
    ],
)
def test_where_an_address_leads(address: str, names: list[str]) -> None:
    assert [each.id for each in addresses.leading_to(address, RECIPES)] == names


def test_each_recipe_is_found_by_what_it_is_known_by() -> None:
    recipes = catalog.search()
    for each in recipes:
        for address in (each.homepage, *each.also, *each.citations):
            assert not address or each in addresses.leading_to(address, recipes), f"{each.id}: {address}"
