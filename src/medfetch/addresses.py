"""Which dataset an address leads to, however it is written: from an old list, a paper, a browser's bar.

It must not know the network: addresses are compared, not asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from medfetch.types import Recipe

ADDRESS = re.compile(r"(?:https?://|ftp://|www\.)\S+|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}/\S*", re.IGNORECASE)
DOI = re.compile(r"(?:doi:\s*|(?:https?://)?(?:(?:dx|www)\.)?doi\.org/)?(10\.[0-9]{4,9}/\S+)", re.IGNORECASE)
ARXIV = re.compile(
    r"(?:arxiv:|(?:https?://)?(?:www\.)?arxiv\.org/(?:abs|pdf)/)([0-9.]+?)(?:v[0-9]+)?(?:\.pdf)?", re.IGNORECASE
)
IN_TEXT = re.compile(r"(?:https?|ftp)://[^\s<>\"]+")
MEANINGLESS = re.compile(r"utm_\w+|fbclid|gclid|usp|dl|raw|download|ref", re.IGNORECASE)
"""Parameters that change nothing of what an address is about, as are all without a value."""
PAGES = {
    "figshare": ("figshare.com", "article"),
    "github": ("github.com", "repository"),
    "hf": ("huggingface.co", "dataset"),
    "kaggle": ("kaggle.com", "dataset", "competition"),
    "mendeley": ("data.mendeley.com", "dataset"),
    "openneuro": ("openneuro.org", "dataset"),
    "osf": ("osf.io", "project"),
    "physionet": ("physionet.org", "project"),
    "synapse": ("synapse.org", "id"),
    "zenodo": ("zenodo.org", "record"),
}
"""Hosts whose pages hold, in their path, what a route calls the data: by source the host, and fields of its locator."""


def is_address(text: str) -> bool:
    """Whether a text is an address, a DOI or an arXiv number, and not words to search for."""
    return any(pattern.fullmatch(text.strip()) for pattern in (ADDRESS, DOI, ARXIV))


def leading_to(text: str, recipes: Iterable[Recipe]) -> list[Recipe]:
    """The recipes that an address leads to: those which it is an address of, or a DOI that they are cited with; else
    those with a route, terms, a step or evidence there; else those whose own page it lies below.
    """
    recipes, wanted = list(recipes), plain(text)
    for grade in (_own, _others, _above):
        if found := [recipe for recipe in recipes if wanted in grade(recipe, wanted)]:
            return found
    return []


def plain(address: str) -> str:
    """An address without what may be written in several ways: scheme, ``www.``, letter case of the host, slashes at the
    end, fragment, parameters without meaning. A DOI is its address at doi.org, an arXiv number its abstract.
    """
    address = address.strip()
    if found := DOI.fullmatch(address):
        return f"doi.org/{unquote(found[1]).casefold()}"
    if found := ARXIV.fullmatch(address):
        return f"arxiv.org/abs/{found[1]}"
    parts = urlsplit(address if "://" in address else f"http://{address}")
    host = (parts.hostname or "").removeprefix("www.")
    query = [
        (name, value) for name, value in parse_qsl(parts.query) if not MEANINGLESS.fullmatch(name)
    ]  # without those that have no value
    # What follows #! is a page of its own (Synapse's old addresses).
    rest = f"#{parts.fragment}" if parts.fragment.startswith("!") else ""
    return f"{host}{unquote(parts.path).rstrip('/')}{'?' if query else ''}{urlencode(sorted(query))}{rest}"


def _own(recipe: Recipe, wanted: str) -> Iterator[str]:
    """The addresses that a dataset is known by, and its pages at the hosts of its routes."""
    yield from map(plain, (recipe.homepage or "", *recipe.also, *recipe.citations))
    for part in recipe.parts:
        for route in part.routes:
            locator = route.locator
            yield from (plain(str(locator[field])) for field in ("doi", "source_doi") if field in locator)
            if _is_page(wanted, route.source, locator):
                yield wanted


def _is_page(wanted: str, source: str, locator: Mapping[str, Any]) -> bool:
    host, *fields = PAGES.get(source, ("",))
    at, *steps = filter(None, re.split(r"[/?#!:=&]", wanted.casefold()))
    if not host or (at != host and not at.endswith(f".{host}")):
        return False
    values = [str(locator[field]).casefold() for field in fields if isinstance(locator.get(field), (str, int))]
    return any(f"/{value}/" in f"/{'/'.join(steps)}/" for value in values)


def _others(recipe: Recipe, wanted: str) -> Iterator[str]:
    """All other addresses in a recipe: where files lie, terms and steps, and where facts were read."""
    found = [recipe.access.terms or "", *(step.at or "" for step in recipe.access.requires)]
    for part in recipe.parts:
        for route in part.routes:
            found += [step.at or "" for step in route.requires]
            found += _texts(route.locator)
    found += [each["source"] for each in recipe.evidence]
    host = re.split(r"[/?#]", wanted)[0]
    for text in found:
        # Most lie at another host; to look at all of them closely would take a while.
        if host in text.casefold():
            yield from (plain(address.rstrip(".,;)")) for address in IN_TEXT.findall(text))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)


def _above(recipe: Recipe, wanted: str) -> Iterator[str]:
    """The address itself, if it is that of a page below one of the dataset's own."""
    for own in map(plain, filter(None, (recipe.homepage, *recipe.also))):
        if wanted.startswith(f"{own}/"):
            yield wanted
