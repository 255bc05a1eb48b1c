"""A dataset as Croissant 1.1, the metadata of MLCommons for datasets (mlcommons.org/croissant/1.1), in JSON-LD.

Creators and dates are those that an agency has told of the dataset's DOI; what nobody has said is left out, also where
the specification wants it.
It must not know the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medfetch import addresses, bibtex, citations, requirements
from medfetch.formats import Dataset, opened
from medfetch.formats.distribution import distribution
from medfetch.types import Level, Recipe

NAME = "croissant.json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TERMS = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in TERMS},
}
"""As appendix 1 of the specification and mlcroissant 1.1.1 have it, which with https:// before schema.org reads all."""


def write(dataset: Dataset, to: Path | None) -> None:
    """Raises: UsageProblem where what was selected has no description of its own; CacheError, DiskFull."""
    content = document(dataset)
    with opened(to, NAME) as out:
        json.dump(content, out, indent=2, ensure_ascii=False)
        out.write("\n")


def document(dataset: Dataset) -> dict[str, Any]:
    """Raises: UsageProblem."""
    recipe = dataset.recipe
    doi = citations.own_doi(recipe)
    told = (dataset.known(doi) if doi else None) or {}
    facts = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": recipe.name,
        "description": recipe.summary,
        "url": _url(recipe),
        "sameAs": sorted({*_same(recipe)} - {_url(recipe)}),
        "version": recipe.version,
        "creator": [_creator(each) for each in told.get("author", ())],
        "publisher": {"@type": "sc:Organization", "name": told["publisher"]} if "publisher" in told else None,
        "datePublished": _date(told),
        "license": _licence(recipe),
        "citeAs": bibtex.written(citations.items([recipe], dataset.known)).strip(),
        "keywords": [*recipe.modality, *recipe.anatomy, *recipe.tasks],
        "conditionsOfAccess": "\n".join(_conditions(recipe)),
        "usageInfo": recipe.access.terms,
        "distribution": distribution(dataset),
    }
    return {name: value for name, value in facts.items() if value}


def _url(recipe: Recipe) -> str | None:
    """The dataset's page: its homepage, else what it is cited with."""
    return recipe.homepage or next(map(_web, recipe.citations), None)


def _same(recipe: Recipe) -> Iterator[str]:
    """Other addresses of the same dataset."""
    yield from recipe.also
    if doi := citations.own_doi(recipe):
        yield f"https://doi.org/{doi}"


def _creator(told: Mapping[str, str]) -> dict[str, str]:
    """An author, as CSL-JSON tells of them."""
    if "literal" in told:
        return {"@type": "sc:Organization", "name": told["literal"]}
    names = ("given", "dropping-particle", "non-dropping-particle", "family", "suffix")
    return {"@type": "sc:Person", "name": " ".join(told[name] for name in names if name in told)}


def _date(told: Mapping[str, Any]) -> str | None:
    """A whole date, or a year as schema.org has it (ISO 8601)."""
    parts = told.get("issued", {}).get("date-parts", [[]])[0]
    return "-".join(f"{part:02d}" if place else f"{part:04d}" for place, part in enumerate(parts)) or None


def _web(citation: str) -> str:
    return citation if citation.startswith("http") else f"https://{addresses.plain(citation)}"


def _licence(recipe: Recipe) -> str | dict[str, str] | None:
    """The address of the licence; where only its name is known, that; else the terms of use."""
    if recipe.licence:
        return recipe.licence.get("url") or {"@type": "sc:CreativeWork", "name": recipe.licence["id"]}
    if recipe.access.terms:
        return {"@type": "sc:CreativeWork", "name": "Terms of use", "url": recipe.access.terms}
    return None


def _conditions(recipe: Recipe) -> Iterator[str]:
    """What has to be done first, and where: a line each."""
    steps = requirements.steps(recipe, recipe.parts)
    if recipe.access.level == Level.OPEN and not steps and not recipe.access.note:
        yield "Open to all."
        return
    yield f"Access: {recipe.access.level.value}."
    for number, step in enumerate(requirements.in_order(steps), 1):
        wait = f"; usual wait: {step.wait}" if step.wait else ""
        yield f"{number}. {step.do} {f'({step.at}{wait})' if step.at else ''}".rstrip()
    if recipe.access.note:
        yield recipe.access.note
