"""What is behind a DOI that says nothing by itself: DataCite tells where it leads, and whose page that is.

It must not know recipe files, nor what a source makes of the address of a page.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import closing, suppress
from urllib.parse import quote, urlsplit

from medfetch import catalog, names
from medfetch.config import Settings
from medfetch.errors import CacheError, RecipeError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.types import Recipe, Traits

TRAITS = Traits(endpoints={"datacite": "https://api.datacite.org"})
SITES = {
    "data.mendeley.com": "mendeley",
    "figshare.com": "figshare",
    "huggingface.co": "hf",
    "openneuro.org": "openneuro",
    "osf.io": "osf",
    "synapse.org": "synapse",
    "zenodo.org": "zenodo",
}
"""Whose source reads the addresses of pages at a host, or at one whose name ends so: figshare keeps repositories for
institutions, under names of their own before its own."""
PERSISTENT = "persistentId="
"""What the addresses of pages hold in every installation of Dataverse."""


def load(name: str, settings: Settings, sha256: str | None = None, *, refresh: bool = False) -> Recipe:
    """As ``catalog.load``, with any DOI, what a Croissant describes (asked again with ``refresh``), and what came with
    its recipe from another machine.

    Raises: also Unreachable, Retryable and Refused, where DataCite, or the host of a Croissant, cannot be asked.
    """
    if name.startswith(names.CROISSANT) and sha256 is None:
        from medfetch import described  # few names are these

        return described.load(name, settings, refresh=refresh)
    try:
        return catalog.load(name, settings.recipes, sha256=sha256, resolve=lambda doi: named(doi, settings))
    except RecipeError:
        raise
    except (UsageProblem, Unreachable):
        from medfetch import kept  # most names are this machine's

        if found := kept.find(name, (settings.cache, *settings.cache_layers)):
            return found
        raise


def named(doi: str, settings: Settings) -> str:
    """The ``source:locator`` that a DOI stands for, as DataCite tells, or told in a former run.

    Raises: UsageProblem where it leads to no page that a source reads; Unreachable, Retryable, Refused.
    """
    from medfetch import cache, permissions, storage  # most names are no DOIs

    wanted = doi.casefold()
    # A DOI stands for the same thing for ever: for what is here already, nobody need be asked.
    note = cache.dois_folder(settings.cache) / f"{hashlib.sha256(wanted.encode()).hexdigest()}.json"
    with suppress(CacheError):
        if kept := storage.read_json(note):
            return str(kept["name"])
    name = _name(doi, *_asked(doi, settings))
    # Whoever may only read the cache asks again.
    with suppress(OSError), permissions.of_cache(settings.cache).only():
        note.parent.mkdir(parents=True, exist_ok=True)
        storage.write_json(note, {"doi": wanted, "name": name})
    return name


def _asked(doi: str, settings: Settings) -> tuple[str, str]:
    """Where a DOI leads, and who published what is there. Raises: UsageProblem where DataCite does not know it."""
    from medfetch import cache  # as in named
    from medfetch.hosts import Hosts
    from medfetch.net.stack import ApiNet

    if settings.sandbox and not settings.made_up:  # no stand-in is running
        raise UsageProblem(f"nothing is kept of {doi}", hint="medfetch get --sandbox asks the stand-in for DataCite")
    stop = threading.Event()
    with closing(Hosts(cache.hosts_folder(settings.cache), stop.is_set)) as hosts:
        net = ApiNet(settings, TRAITS, hosts, stop)
        try:
            answer = net.get(f"{net.endpoint('datacite')}/dois/{quote(doi)}")
        except Refused as error:
            if error.status != 404:
                raise
            hint = "articles have DOIs of Crossref's: the article says which DOI its data have"
            raise UsageProblem(f"DataCite, where data get their DOIs, knows no {doi}", hint=hint) from None
    try:
        told = answer.json()["data"]["attributes"]
        return str(told["url"]), str(told.get("publisher") or "an unknown publisher")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Retryable(f"DataCite did not say where {doi} leads") from None


def _name(doi: str, url: str, publisher: str) -> str:
    """What a page's address is called by its source. Raises: UsageProblem."""
    from medfetch import sources  # as in catalog.load

    host = urlsplit(url).hostname or ""
    source = next((each for site, each in SITES.items() if host == site or host.endswith(f".{site}")), None)
    if PERSISTENT in url:
        source = "dataverse"
    try:
        if source is None:
            raise UsageProblem(f"no source of medfetch reads pages at {host}")
        reader = sources.get(source)
        locator = reader.locate(url)
        short = "/".join(str(value) for value in locator.values())
        with suppress(UsageProblem):
            if reader.locate(short) == locator:
                return f"{source}:{short}"
    except UsageProblem as error:
        hint = "the files that have addresses there can be fetched by them: medfetch get https://…"
        raise UsageProblem(f"{doi} leads to {url}, of {publisher}: {error.message}", hint=hint) from None
    return f"{source}:{url}"
