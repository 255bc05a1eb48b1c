"""A dataset in the cache as an RO-Crate (w3id.org/ro/crate/1.2): what it is, under which licence, whence and when it
came, and every file with its size and SHA-256. The crate is the folder that the metadata lie in, beside the files.

Written as it goes: the files are read from the ledger twice, and never held whole. It must not know the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medfetch import __version__
from medfetch.formats import Dataset, opened

NAME = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.2"
TREE = "medfetch tree"
"""What the digest of a receipt's tree is called (``receipt.write``)."""


def write(dataset: Dataset, to: Path | None) -> None:
    """Raises: MedfetchError where not all of it is in the cache; CacheError, DiskFull."""
    dataset.check_complete()
    with opened(to, NAME) as out:
        out.writelines(_text(dataset))
        out.write("\n")


def _text(dataset: Dataset) -> Iterator[str]:
    yield f'{{\n"@context": "{VERSION}/context",\n"@graph": [\n'
    yield _json(
        {
            "@id": NAME, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": VERSION},
        }
    )  # fmt: skip
    yield f',\n{_json(_root(dataset))[:-1]}, "hasPart": [\n'
    yield from _joined(_json({"@id": quote(file.path)}) for file in dataset.files())
    yield "\n]}"
    for entity in _context(dataset):
        yield f",\n{_json(entity)}"
    for file in dataset.files():
        yield ",\n" + _json(
            {
                "@id": quote(file.path), "@type": "File", "name": file.path, "contentSize": str(file.size),
                "sha256": file.sha256,
            }
        )  # fmt: skip
    yield "\n]}"


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)


def _joined(texts: Iterable[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield f",\n{text}" if number else text


def _root(dataset: Dataset) -> dict[str, Any]:
    recipe, latest = dataset.recipe, max(dataset.receipts, key=lambda receipt: str(receipt["completed"]))
    told = {
        "@id": "./",
        "@type": "Dataset",
        "name": recipe.name,
        "alternateName": recipe.id,
        "description": " ".join([recipe.summary, *filter(None, map(_selected, dataset.receipts))]),
        # When this copy was complete: of when its publisher published it, a recipe says nothing.
        "datePublished": latest["completed"],
        "license": {"@id": _licence(dataset)["@id"]} if recipe.licence else _unknown(dataset),
        "version": recipe.version,
        "url": recipe.homepage,
        "conditionsOfAccess": _access(dataset),
        "citation": [{"@id": _address(each)} for each in recipe.citations],
        "identifier": [{"@id": f"#tree-{number}"} for number, _ in enumerate(dataset.receipts, 1)],
    }
    return {key: value for key, value in told.items() if value}


def _selected(receipt: Mapping[str, Any]) -> str | None:
    """What is here of it, where that may not be all."""
    some = [f"{facet}={','.join(values)}" for facet, values in receipt["select"].items()]
    some += [f"the first {receipt['limit']}"] if receipt["limit"] else []
    return f"Of it here: {', '.join([*receipt['parts'], *some])}." if some else None


def _unknown(dataset: Dataset) -> str:
    where = dataset.recipe.access.terms or dataset.recipe.homepage
    return "The licence is not known to medfetch: ask its publisher." + (f" See {where}" if where else "")


def _access(dataset: Dataset) -> str:
    access = dataset.recipe.access
    terms = f"terms: {access.terms}" if access.terms else ""
    return "; ".join(filter(None, (access.level.value, terms, access.note or "")))


def _licence(dataset: Dataset) -> dict[str, Any]:
    licence = dataset.recipe.licence or {}
    return {"@id": licence.get("url", "#licence"), "@type": "CreativeWork", "name": licence.get("id")}


def _address(citation: str) -> str:
    """A DOI as the address that it is; what else is cited, as it stands."""
    return f"https://doi.org/{citation.removeprefix('doi:')}" if citation.startswith("doi:") else citation


def _context(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """What the dataset and its files refer to."""
    recipe = dataset.recipe
    if recipe.licence:
        yield _licence(dataset)
    for each in dict.fromkeys(recipe.citations):
        yield {"@id": _address(each), "@type": "CreativeWork", "name": each}
    yield {
        "@id": "#medfetch", "@type": "SoftwareApplication", "name": "medfetch", "softwareVersion": __version__,
    }  # fmt: skip
    for number, receipt in enumerate(dataset.receipts, 1):
        yield {
            "@id": f"#tree-{number}", "@type": "PropertyValue", "propertyID": TREE, "name": TREE,
            "value": receipt["tree"],
        }  # fmt: skip
        whence = [each.get("host") or each.get("file") for each in receipt["from"]]
        yield {
            "@id": f"#retrieval-{number}", "@type": "CreateAction", "name": f"{recipe.id} was fetched and verified",
            "description": f"From {', '.join(map(str, whence))}, by {receipt['tool']}.",
            "endTime": receipt["completed"], "instrument": {"@id": "#medfetch"}, "result": {"@id": "./"},
        }  # fmt: skip
