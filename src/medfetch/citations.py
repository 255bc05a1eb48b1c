"""What is to be cited for a dataset: itself, and what its terms ask for, as items of CSL-JSON.

A recipe says what is to be cited; who wrote it, and when, the agencies say that have the DOIs (DataCite, Crossref), by
way of doi.org, which hands out CSL-JSON for either (citation.crosscite.org/docs.html). What they have said is kept.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any
from urllib.parse import quote

from medfetch import cache, names, permissions, storage
from medfetch.addresses import ARXIV
from medfetch.config import Settings
from medfetch.errors import CacheError, Refused, Retryable, Unreachable
from medfetch.types import Access, Level, Recipe, Traits

TRAITS = Traits(endpoints={"doi": "https://doi.org"})
CSL_JSON = "application/vnd.citationstyles.csl+json"
OF_ARXIV = "10.48550/arXiv."
"""How the DOIs begin that arXiv gives its articles (info.arxiv.org/help/doi.html)."""
TYPES = {
    "journal-article": "article-journal", "proceedings-article": "paper-conference", "posted-content": "article",
    "book-chapter": "chapter", "dissertation": "thesis", "monograph": "book",
}  # fmt: skip
"""Crossref's own names of types, which it gives in place of CSL's."""
KNOWN_TYPES = {*TYPES.values(), "dataset", "software", "report", "webpage", "document", "entry", "article-magazine"}
TEXTS = ("title", "container-title", "publisher", "volume", "issue", "page", "version", "number")
NAMES = ("family", "given", "literal", "suffix", "non-dropping-particle", "dropping-particle")
Item = dict[str, Any]
Known = Callable[[str], Item | None]
"""What is known of a DOI."""


def items(recipes: Iterable[Recipe], known: Known) -> list[Item]:
    """The items of several datasets, each once, with ids that depend on nothing but what is cited."""
    found: dict[str, Item] = {}
    for recipe in recipes:
        for item in _of(recipe, known):
            met = found.setdefault(item["id"], item)
            if _what(met) != _what(item):
                item["id"] += f"-{hashlib.sha256(_what(item).encode()).hexdigest()[:8]}"
                found.setdefault(item["id"], item)
    return list(found.values())


def _what(item: Item) -> str:
    """What is cited, whoever tells of it."""
    return f"{item.get('DOI')} {item.get('URL')} {item['type'] == 'dataset' and item.get('version')}".casefold()


def from_receipt(content: Mapping[str, Any]) -> Recipe:
    """What a receipt tells of a dataset, as far as it matters here. Raises: LookupError, TypeError."""
    return Recipe(
        id=str(content["dataset"]), name=str(content["name"]), summary="", parts=(), access=Access(Level.UNKNOWN),
        version=content["version"], licence=dict(content["licence"]), citations=tuple(map(str, content["cite"])),
    )  # fmt: skip


def kept(doi: str, settings: Settings) -> Item | None:
    """What an agency said of a DOI in a former run."""
    with suppress(CacheError):
        content = storage.read_json(_note(doi, settings))
        return cleaned(content["item"]) if content else None
    return None


def asked(doi: str, settings: Settings, say: Callable[[str], None]) -> Item | None:
    """What is kept of a DOI, else what its agency says; None, and why, where neither is to be had."""
    if found := kept(doi, settings):
        return found
    try:
        item = _asked(doi, settings)
    except (Refused, Retryable, Unreachable) as error:
        say(f"{doi}: {error.message}; only what the recipe says is known of it")
        return None
    # Whoever may only read the cache asks again.
    with suppress(OSError), permissions.of_cache(settings.cache).only():
        note = _note(doi, settings)
        note.parent.mkdir(parents=True, exist_ok=True)
        storage.write_json(note, {"doi": doi.casefold(), "item": item})
    return item


def _note(doi: str, settings: Settings) -> Any:
    name = hashlib.sha256(doi.casefold().encode()).hexdigest()
    return cache.citations_folder(settings.cache) / f"{name}.json"


def _asked(doi: str, settings: Settings) -> Item:
    from medfetch.hosts import Hosts  # most citations are kept
    from medfetch.net.stack import ApiNet

    stop = threading.Event()
    with closing(Hosts(cache.hosts_folder(settings.cache), stop.is_set)) as hosts:
        net = ApiNet(settings, TRAITS, hosts, stop)
        try:
            answer = net.get(f"{net.endpoint('doi')}/{quote(doi)}", headers={"Accept": CSL_JSON})
        except Refused as error:
            if error.status not in (404, 406):
                raise
            raise Refused("no agency tells who wrote it") from None
    try:
        return cleaned(answer.json())
    except (ValueError, TypeError, AttributeError):
        raise Retryable("doi.org did not answer in CSL-JSON") from None


def cleaned(told: Mapping[str, Any]) -> Item:
    """Of what an agency says, what CSL-JSON knows, in its forms; without markup."""
    kind = TYPES.get(str(told.get("type")), str(told.get("type")))
    item: Item = {"type": kind if kind in KNOWN_TYPES else "document"}
    for name in TEXTS:
        value = told.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            item[name] = re.sub(r"\s+", " ", re.sub(r"<[^<>]*>", "", str(value))).strip()
    for role in ("author", "editor"):
        people = [
            {name: str(each[name]) for name in NAMES if isinstance(each.get(name), str) and each[name].strip()}
            for each in told.get(role) or ()
        ]
        if people := [each for each in people if "family" in each or "literal" in each]:
            item[role] = people
    if date := _date(told.get("issued")):
        item["issued"] = {"date-parts": [date]}
    return {name: value for name, value in item.items() if value}


def _date(told: Any) -> list[int]:
    """Year, month and day, as far as they are told."""
    parts = (told or {}).get("date-parts") or [[]] if isinstance(told, Mapping) else [[]]
    numbers = []
    for part in (parts[0] or [])[:3]:
        if not re.fullmatch(r"[0-9]{1,4}", str(part)):
            break
        numbers.append(int(part))
    return numbers


# -- what a recipe says ------------------------------------------------------------------------------------------------


def _of(recipe: Recipe, known: Known) -> Iterator[Item]:
    own = own_doi(recipe)
    yield _dataset(recipe, own, known)
    for citation in recipe.citations:
        if citation.casefold() != f"doi:{own}".casefold():
            yield _cited(citation, known)


def own_doi(recipe: Recipe) -> str | None:
    """The DOI of a dataset itself among those that are to be cited: of a route, or of a repository of data."""
    cited = [each.removeprefix("doi:") for each in recipe.citations if each.startswith("doi:")]
    locators = [route.locator for part in recipe.parts for route in part.routes]
    of_routes = {str(locator.get(name)).casefold() for locator in locators for name in ("doi", "source_doi")}
    by_route = [doi for doi in cited if doi.casefold() in of_routes]
    by_name = [doi for doi in cited if names.of_doi(doi) or doi.startswith(names.TCIA_DOI)]
    return next(iter([*by_route, *by_name]), None)


def _dataset(recipe: Recipe, doi: str | None, known: Known) -> Item:
    told = (known(doi) if doi else None) or {}
    licence = recipe.licence["id"] if recipe.licence else None
    notes = [f"Licence: {licence}" if licence else "", f"Terms: {recipe.access.terms}" if recipe.access.terms else ""]
    item = {
        **told, "type": "dataset", "title": told.get("title", recipe.name),
        "version": recipe.version or told.get("version"), "DOI": doi,
        "URL": f"https://doi.org/{doi}" if doi else recipe.homepage, "note": ". ".join(filter(None, notes)),
    }  # fmt: skip
    return {"id": _key(recipe.id), **{name: value for name, value in item.items() if value}}


def _cited(citation: str, known: Known) -> Item:
    """Something else that is to be cited."""
    if arxiv := ARXIV.fullmatch(citation):
        number = arxiv[1]
        doi = f"{OF_ARXIV}{number}"
        own = {"number": f"arXiv:{number}", "publisher": "arXiv", "URL": f"https://arxiv.org/abs/{number}"}
        return {"id": _key(f"arxiv-{number}"), **(known(doi) or {}), "type": "article", **own, "DOI": doi}
    if citation.startswith("doi:"):
        doi = citation.removeprefix("doi:")
        told = known(doi) or {"type": "document"}
        return {"id": _key(f"doi-{doi.casefold()}"), **told, "DOI": doi, "URL": f"https://doi.org/{doi}"}
    return {"id": _key(re.sub(r"^https?://", "", citation)), "type": "webpage", "URL": citation}


def _key(text: str) -> str:
    """A text as BibTeX and CSL take it for an id."""
    return re.sub(r"[^A-Za-z0-9.+:-]+", "-", text).strip("-")
