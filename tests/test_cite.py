"""What is to be cited: for every recipe, by what it says alone, and by what agencies tell of DOIs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bibtexparser
import jsonschema
import pytest
from bibtexparser.middlewares import SeparateCoAuthors, SplitNameParts
from datasets import http, write_recipe
from hypothesis import given
from hypothesis import strategies as st
from running import Run

from medfetch import bibtex, catalog, citations
from medfetch.sandbox import Fault, Sandbox

RECIPES = list(catalog.search())
NAMES = {"family", "given", "literal", "suffix", "dropping-particle", "non-dropping-particle"}
TEXT = {"type": "string", "minLength": 1}
PERSON = {"type": "object", "additionalProperties": False, "properties": dict.fromkeys(NAMES, TEXT)}
CSL = {
    "$defs": {"people": {"type": "array", "minItems": 1, "items": PERSON}},
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id", "type"],
        "additionalProperties": False,
        "properties": {
            **dict.fromkeys(
                ("id", "title", "container-title", "publisher", "volume", "issue", "page", "version", "number",
                 "DOI", "URL", "note"),
                TEXT,
            ),
            "type": {"enum": ["article", "article-journal", "article-magazine", "book", "chapter", "dataset",
                              "document", "entry", "paper-conference", "report", "software", "thesis", "webpage"]},
            "author": {"$ref": "#/$defs/people"},
            "editor": {"$ref": "#/$defs/people"},
            "issued": {
                "type": "object", "additionalProperties": False, "required": ["date-parts"],
                "properties": {"date-parts": {
                    "type": "array", "minItems": 1, "maxItems": 1,
                    "items": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "integer"}},
                }},
            },
        },
    },
}  # fmt: skip
"""Of the schema of CSL-JSON (csl-data.json of citation-style-language/schema, 1.0.2, read 2026-11-29) the fields that
medfetch writes, and no others."""
PAPER = {
    "type": "journal-article", "title": ["Lungs & <i>lobes</i>: 100% of {it}"], "container-title": "Journal_of #1",
    "author": [{"given": "Ää B.", "family": "van der Öø", "sequence": "first", "affiliation": []},
               {"literal": "The One and Only Group"}, {"name": "nobody"}],
    "issued": {"date-parts": [[2019, "3", None]]}, "page": "1-9", "volume": 3, "publisher": "", "score": 1,
}  # fmt: skip
DATASET = {"type": "dataset", "title": "Scans of lungs", "author": [{"family": "Doe", "given": "Jo"}],
           "issued": {"date-parts": [["2015"]]}, "publisher": "The Archive"}  # fmt: skip


def parsed(text: str) -> dict[str, Any]:
    """Entries of BibTeX by key; nothing of it may be unreadable."""
    library = bibtexparser.parse_string(text)
    assert not library.failed_blocks
    assert len(library.entries) == len(library.entries_dict)
    return dict(library.entries_dict)


def people(text: str) -> list[tuple[list[str], list[str]]]:
    library = bibtexparser.parse_string(text, append_middleware=[SeparateCoAuthors(), SplitNameParts()])
    assert not library.failed_blocks
    return [(each.von + each.last, each.first) for each in library.entries[0]["author"]]


@pytest.mark.parametrize("told", [None, PAPER, DATASET], ids=["alone", "papers", "datasets"])
def test_every_recipe(told: Mapping[str, Any] | None) -> None:
    known = (lambda doi: citations.cleaned(told)) if told else lambda doi: None
    items = citations.items(RECIPES, known)
    jsonschema.Draft202012Validator(CSL).validate(items)
    entries = parsed(bibtex.written(items))
    assert list(entries) == [item["id"] for item in items]
    assert {recipe.id for recipe in RECIPES} <= entries.keys()
    cited = {item.get("DOI", item.get("URL")).casefold() for item in items if item.get("DOI") or item.get("URL")}
    for recipe in RECIPES:
        for citation in recipe.citations:
            doi = citation.removeprefix("doi:").replace("arxiv:", "10.48550/arxiv.")
            assert doi.casefold() in cited, f"{recipe.id}: {citation}"


def test_keys_do_not_depend_on_what_was_told() -> None:
    alone = [item["id"] for item in citations.items(RECIPES, lambda doi: None)]
    assert alone == [item["id"] for item in citations.items(RECIPES, lambda doi: citations.cleaned(PAPER))]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_no_text_breaks_an_entry(text: str) -> None:
    item = {"id": "x", "type": "article-journal", "title": text, "container-title": text, "note": text, "URL": text,
            "author": [{"family": text, "given": text}, {"literal": text}]}  # fmt: skip
    entries = parsed(bibtex.entry(item) + bibtex.entry({**item, "id": "next"}))
    assert list(entries) == ["x", "next"]
    assert {field.key for field in entries["next"].fields} >= {"author", "title", "journal", "note"}


def test_how_an_article_is_written() -> None:
    item = {"id": "key", **citations.cleaned(PAPER), "DOI": "10.1234/a_b"}
    text = bibtex.entry(item)
    fields = {name: field.value for name, field in parsed(text)["key"].fields_dict.items()}
    assert text.startswith("@article{key,")
    assert fields["title"] == r"{Lungs \& lobes: 100\% of \textbraceleft{}it\textbraceright{}}"
    assert fields["journal"] == r"Journal\_of \#1" and fields["pages"] == "1--9" and fields["doi"] == "10.1234/a_b"
    assert (fields["year"], fields["month"]) == ("2019", "mar")
    assert people(text) == [(["van", "der", "Öø"], ["Ää", "B."]), (["{The One and Only Group}"], [])]


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    box.put("https://host/a", b"a")
    return write_recipe(
        home, "lungs", name="Lungs", version="1.2", licence={"id": "CC-BY-4.0"}, routes=http({"path": "a", "url": "https://host/a"}),
        cite=["doi:10.5281/zenodo.77", "doi:10.1234/Paper", "arxiv:2001.00001", "https://lungs.example.org/how"],
        homepage="https://lungs.example.org/",
    )  # fmt: skip


def csl(run: Run, *arguments: object) -> dict[str, dict[str, Any]]:
    items = json.loads(run("cite", *arguments, "--format", "csl-json").out)
    jsonschema.Draft202012Validator(CSL).validate(items)
    return {item["id"]: item for item in items}


def test_agencies_are_asked_once(run: Run, box: Sandbox, name: str) -> None:
    box.doi.describe("10.1234/paper", **PAPER)
    box.doi.describe("10.5281/zenodo.77", **DATASET)
    ran = run("cite", name)
    assert "10.48550/arXiv.2001.00001: no agency tells who wrote it" in ran.err
    entries = parsed(ran.out)
    assert list(entries) == [name, "doi-10.1234-paper", "arxiv-2001.00001", "lungs.example.org-how"]
    assert entries[name]["title"] == "{Scans of lungs}" and entries[name]["version"] == "1.2"
    assert entries[name]["doi"] == "10.5281/zenodo.77" and "CC-BY-4.0" in entries[name]["note"]
    assert entries["arxiv-2001.00001"]["eprint"] == "2001.00001"
    asked = len(box.log)
    assert {dict(entry.headers)["Accept"] for entry in box.log} == {citations.CSL_JSON}
    content = json.loads(run("export", name, "--format", "croissant", "--offline").out)
    assert content["creator"] == [{"@type": "sc:Person", "name": "Jo Doe"}] and content["datePublished"] == "2015"
    # What was told is kept, in the cache; what nobody could tell is asked again, unless there is no network.
    assert run("cite", name, "--offline").out == ran.out
    assert len(box.log) == asked
    assert csl(run, name, "--offline")["doi-10.1234-paper"]["type"] == "article-journal"


def test_without_a_network_the_recipe_tells(run: Run, box: Sandbox, name: str) -> None:
    items = csl(run, name, "--offline")
    assert items[name] == {
        "id": name, "type": "dataset", "title": "Lungs", "version": "1.2", "DOI": "10.5281/zenodo.77",
        "URL": "https://doi.org/10.5281/zenodo.77", "note": "Licence: CC-BY-4.0",
    }  # fmt: skip
    assert items["doi-10.1234-paper"]["URL"] == "https://doi.org/10.1234/Paper"
    assert box.log == []


def test_an_agency_that_does_not_answer_is_no_failure(run: Run, box: Sandbox, name: str) -> None:
    box.add(*[Fault(match="/doi/", status=503)] * 50)
    ran = run("cite", name, MEDFETCH_TRIES="2")
    assert "only what the recipe says is known of it" in ran.err and name in parsed(ran.out)


@pytest.mark.parametrize(
    "told", [[], {"title": {}, "author": "x"}, {"issued": {"date-parts": [[None]]}, "author": [1]}]
)
def test_an_answer_that_is_none(run: Run, box: Sandbox, name: str, told: Any) -> None:
    box.doi.describe("10.1234/paper", **({"author": 5} if told == [] else told))
    assert "doi-10.1234-paper" in parsed(run("cite", name).out)


def test_several_datasets_share_what_they_cite(run: Run, home: Path, name: str) -> None:
    other = write_recipe(home, "other", cite=["doi:10.1234/paper"])
    assert list(csl(run, name, other, "--offline")) == [
        name, "doi-10.1234-paper", "arxiv-2001.00001", "lungs.example.org-how", other,
    ]  # fmt: skip


def test_a_receipt_and_a_lock_are_enough(run: Run, home: Path, name: str) -> None:
    folder = run("get", name, "--json").last["path"]
    run("lock", name, "-o", home / "data.lock")
    of_name = csl(run, name, "--offline")
    (home / "lungs.yaml").unlink()  # on another machine nobody knows the recipe
    assert csl(run, f"{folder}/.medfetch/receipt.json", "--offline") == of_name
    assert csl(run, home / "data.lock", "--offline") == of_name
    (home / "broken.json").write_text('{"dataset": "lungs"}')
    assert "is no receipt of medfetch" in run("cite", home / "broken.json", code=2).err


def test_nothing_to_cite(run: Run) -> None:
    assert "no dataset was named" in run("cite", code=2).err
