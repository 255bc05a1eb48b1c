"""Recipes made up from a name alone: ``source:locator``, an address, a manifest.

It must not know recipe files, nor whether what a name asks for exists: that is its source's business.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from medfetch.errors import UsageProblem
from medfetch.types import Access, Level, Part, Recipe, Route

MANIFESTS = {".tcia": "tcia", ".csv": "tcia", ".tsv": "tcia", ".s5cmd": "idc", ".txt": "idc", ".json": "gen3"}
"""The source that has what a manifest lists, by the end of the file's name; tables may also be of a Gen3 commons."""
CROISSANT = "croissant:"
"""What the names of documents begin with (``croissant``): the rest is a file, or an address with http:// or https://."""
DOI = re.compile(r"(?:doi:|https?://(?:(?:dx|www)\.)?doi\.org/)(10\.[0-9]{4,9}/\S+)", re.IGNORECASE)
TCIA_DOI = "10.7937/"
"""What the DOIs of The Cancer Imaging Archive start with; the IDC index holds its collections under them."""
DOIS = {
    r"10\.13026/.+": r"physionet:\g<0>",
    r"10\.17605/osf\.io/([a-z0-9]{5})": r"osf:\1",
    r"10\.17632/([a-z0-9]+)(?:\.([0-9]+))?": r"mendeley:\1/\2",
    r"10\.18112/openneuro\.(ds[0-9]{6})(?:\.v([0-9.]+))?": r"openneuro:\1@\2",
    r"10\.5281/zenodo\.([0-9]+)": r"zenodo:\1",
    r"10\.6084/m9\.figshare\.([0-9]+)(?:\.v([0-9]+))?": r"figshare:\1/\2",
    r"10\.7303/(syn[0-9]+(?:\.[0-9]+)?)": r"synapse:\1",
    r"10\.7910/DVN/.+": r"dataverse:dataverse.harvard.edu/\g<0>",
}
"""The DOIs that tell whose they are, and what is meant by them there; each repository has a beginning of its own."""
LONGEST_NAME = 255
"""Bytes of one path component on every common file system."""


def from_source(name: str) -> Recipe:
    """``tcia:NSCLC-Radiomics`` → a recipe with the locator that the source makes of it.

    Raises: UsageProblem if there is no such source, or it cannot read the rest.
    """
    from medfetch import sources  # as in catalog.load

    source, _, text = name.partition(":")
    return _made_up(source, text, name, sources.get(source).locate(text))


def from_tcia_doi(doi: str) -> Recipe:
    """Everything that the IDC index holds under a DOI."""
    return _made_up("idc", f"doi:{doi}", f"doi:{doi}", {"source_doi": doi.lower()})


def doi_of(name: str) -> str | None:
    """The DOI that a name is, as ``doi:10.…`` or as an address of doi.org."""
    found = DOI.fullmatch(name)
    return found[1] if found else None


def of_doi(doi: str) -> str | None:
    """The ``source:locator`` that a DOI tells by itself; None where it does not."""
    for pattern, name in DOIS.items():
        if found := re.fullmatch(pattern, doi, re.IGNORECASE):
            return found.expand(name).rstrip("/@")
    return None


def from_address(url: str, sha256: str | None) -> Recipe:
    """One file from an http(s) address; a query string, which may be a secret, is in the locator only.

    Raises: UsageProblem for a user name in the address or a malformed SHA-256.
    """
    address = urlsplit(url)
    if "@" in address.netloc:
        raise UsageProblem(
            f"the address on {address.hostname} holds a user name", hint="keep user name and password in ~/.netrc"
        )
    plain = address._replace(query="", fragment="").geturl()
    file: dict[str, Any] = {"path": file_name(address.path) or str(address.hostname), "url": url}
    if sha256:
        from medfetch.checksum import parse

        file["sha256"] = parse(f"sha256:{sha256}").hex
    # Addresses that differ in their query are different datasets, and must not share a home.
    text = plain if url == plain else f"{plain}?{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    return _made_up("http", text, plain, {"files": [file]})


def from_manifest(path: Path) -> Recipe:
    """A manifest, or a list of series or of objects; its content is its identity, so that it may be moved.

    Raises: UsageProblem if it cannot be read; RecipeError if it is no such list, or damaged: names file and line.
    """
    from medfetch import manifests  # which only manifests need

    try:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror or error}") from error
    source = MANIFESTS[path.suffix.lower()]
    if path.suffix.lower() in (".csv", ".tsv") and manifests.lists_objects(path):
        source = "gen3"
    if source == "gen3":
        objects = manifests.read_objects(path)
        return _made_up(
            source, f"{path.stem}-{content[:12]}", str(path), {"host": objects.host, "manifest": objects.rows}
        )
    if source == "idc":
        locator: dict[str, Any] = {"crdc_series_uuid": list(manifests.read_s5cmd(path).series)}
    else:
        manifest = manifests.read_series_list(path)
        locator = {"series": list(manifest.series), "host": manifest.host or "nbia"}
    return _made_up(source, f"{path.stem}-{content[:12]}", str(path), locator)


def digest(content: Any) -> str:
    """SHA-256 of a recipe's content, whatever the order and layout of its file."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def component(text: str) -> str:
    """A text as one path component; different texts give different components.

    A text too long for that is cut, and the digest of the whole takes the place of the rest.
    """
    safe = quote(text, safe="").replace("~", "%7E")
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if len(safe) > 200:
        return f"{safe[:130]}~{hashlib.sha256(text.encode()).hexdigest()}"
    return safe


def _made_up(source: str, text: str, name: str, locator: Mapping[str, Any]) -> Recipe:
    return Recipe(
        id=f"{source}--{component(text)}",
        name=name,
        summary=f"What {source} has under this name; there is no recipe for it.",
        parts=(Part("all", (Route(source, locator),)),),
        access=Access(Level.OPEN, note="medfetch knows nothing of its terms: read them where it comes from."),
        digest=digest({"source": source, **locator}),
        origin=name,
    )


def file_name(path: str) -> str:
    """The last component of an address' path as a file name; empty if there is none."""
    name = unquote(path.rstrip("/").rpartition("/")[2])
    name = re.sub(r"[\x00-\x1f\x7f/\\]", "_", name)
    if name in (".", "..", ".medfetch"):
        return f"_{name}"
    while len(name.encode()) > LONGEST_NAME:
        name = name[1:]  # The end says what kind of file it is.
    return name
