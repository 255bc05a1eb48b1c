"""Datasets in any installation of Dataverse, each in one version, with their folders.

It must not know where an installation keeps the bytes. Protocol: what pyDataverse 0.3.5 and pooch 1.9.0 ask, and
Dataverse's guide ("Native API", "Data Access API"). Tables that it has taken in (Stata, SPSS, CSV …) are fetched as
they were uploaded: the checksum that it tells of them is that of other bytes than it sends (IQSS/dataverse issue 9501).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component, relative
from medfetch.sources._signed import expiry
from medfetch.types import About, Door, Link, RemoteFile, Selection, Traits, Verdict

HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
DOI = re.compile(r"10\.[0-9]{4,9}/\S+")
VERSION = re.compile(r"[0-9]+\.[0-9]+")
TYPED = re.compile(rf"({HOST.pattern})/(?:doi:)?(10\.[0-9]{{4,9}}/[^\s@]+)(?:@([0-9]+\.[0-9]+))?")
HARVARD, HARVARDS = "dataverse.harvard.edu", "10.7910/"
LATEST = ":latest-published"
RESTRICTED = "#restricted"
"""Behind the address of a file that is for whoever was let in."""
ADDRESS = re.compile(r"([^/]+)/api/access/datafile/")


@dataclass(frozen=True, slots=True)
class _Dataset:
    host: str
    doi: str
    version: str
    net: Net

    @property
    def base(self) -> str:
        return (
            f"{self.net.endpoint('dataverse')}/{self.host}"
            if self.net.replaced("dataverse")
            else f"https://{self.host}"
        )

    @property
    def page(self) -> str:
        return f"https://{self.host}/dataset.xhtml?persistentId=doi:{self.doi}"

    @property
    def credential(self) -> str | None:
        name = f"dataverse:{self.host}"
        return name if self.net.has(name) else None


class Dataverse:
    """Locator: ``host``; ``doi`` of a dataset; ``version``, such as "2.0", without which the latest that was published
    is taken; ``path``, patterns of files or folders, without which all is taken."""

    name: ClassVar[str] = "dataverse"
    traits: ClassVar[Traits] = Traits(endpoints={"dataverse": ""}, logins=("dataverse:HOST",))

    def locate(self, text: str) -> dict[str, Any]:
        host, doi, version = _typed(text)
        return {"host": host, "doi": doi, "version": version} if version else {"host": host, "doi": doi}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        dataset, patterns = _dataset(locator, net)
        answer = _rows(dataset)
        if isinstance(answer, Verdict):
            raise closed(answer, f"dataverse-{dataset.doi}")
        try:
            files = [(row, _file(dataset, row)) for row in answer]
        except KeyError as error:
            raise Retryable(f"{dataset.host} described a file of {dataset.doi} without {error}") from None
        asked = selection.facets.get("path")
        for row, file in files:
            if not wanted(file.path, patterns):
                continue
            if row.get("restricted") and not dataset.credential and (asked is None or fits(file.path, asked)):
                raise closed(_restricted(dataset, file.path), f"dataverse-{dataset.doi}")
            yield file

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        dataset, _ = _dataset(locator, net)
        try:
            told = _version(dataset)
        except Refused as error:
            raise closed(_verdict(dataset, error), f"dataverse-{dataset.doi}") from error
        rows = ((told.get("metadataBlocks") or {}).get("citation") or {}).get("fields") or []
        fields = {row.get("typeName"): row.get("value") for row in rows}
        said = [each.get("dsDescriptionValue", {}).get("value") for each in fields.get("dsDescription") or []]
        numbers = (told.get("versionNumber"), told.get("versionMinorNumber"))
        version = ".".join(str(each) for each in numbers) if None not in numbers else None
        licence = told.get("license") or {}
        # Until release 5.10 it was a word.
        licence = licence if isinstance(licence, dict) else {"name": str(licence)}
        return About(
            name=fields.get("title"),
            summary=said[0] if said else None,
            version=version,
            licence=licence.get("name"),
            licence_url=licence.get("uri"),
            doi=dataset.doi,
            homepage=dataset.page,
            pins={"version": version} if version else {},
        )

    def link(self, url: str, net: Net) -> Link:
        """Where a restricted file is to be had; its key goes to the installation, not on to its storage."""
        address, restricted, _ = url.partition("#")
        found = ADDRESS.search(address)
        if not restricted or not found:
            return Link(address)
        credential = f"dataverse:{found[1]}"
        try:
            there = net.redirect(address, credential=credential)
        except Refused as error:
            if error.status not in (401, 403):
                raise
            said = f"{found[1]} does not let you have this file: access is asked for on the page of its dataset"
            raise Refused(f"{said}; or your API token has expired", status=error.status) from None
        return Link(there, expiry(there), credential if there == address else None)

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        """Asks for the first restricted file, where all are: of some the run itself says so."""
        dataset, patterns = _dataset(locator, net)
        answer = _rows(dataset)
        if isinstance(answer, Verdict):
            return answer
        files = [(row.get("restricted"), _file(dataset, row)) for row in answer]
        mine = [(restricted, file) for restricted, file in files if wanted(file.path, patterns)]
        if not mine or not all(restricted for restricted, _ in mine):
            return Verdict(Door.OPEN, f"{dataset.host} shows {dataset.doi}", dataset.page)
        first = mine[0][1]
        if not dataset.credential:
            return _restricted(dataset, first.path)
        try:
            self.link(first.urls[0], net)
        except Refused as error:
            return Verdict(Door.NOT_APPROVED, error.message, dataset.page)
        return Verdict(Door.OPEN, f"{dataset.host} lets you have {dataset.doi}", dataset.page)


def _typed(text: str) -> tuple[str, str, str | None]:
    """Host, DOI and version of what a person types, or of a page's address. Raises: UsageProblem."""
    parts = urlsplit(text)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if parts.hostname and "persistentId" in query:
        doi = query["persistentId"].removeprefix("doi:")
        version = query.get("version", "")
        if DOI.fullmatch(doi) and parts.path.rpartition("/")[2] != "file.xhtml":
            return parts.hostname, doi, version if VERSION.fullmatch(version) else None
    if text.removeprefix("doi:").startswith(HARVARDS):
        text = f"{HARVARD}/{text}"
    found = TYPED.fullmatch(text)
    if not found:
        hint = f"such as dataverse:{HARVARD}/10.7910/DVN/ABCDEF, with @2.0 for a version, or the address of its page"
        raise UsageProblem(f"{text!r} is no dataset of a Dataverse; expected dataverse:HOST/DOI", hint=hint)
    return found[1].lower(), found[3], found[4]


def _dataset(locator: Mapping[str, Any], net: Net) -> tuple[_Dataset, tuple[str, ...]]:
    only(locator, {"host", "doi", "version", "path"}, "dataverse")
    found = {}
    for field, pattern in (("host", HOST), ("doi", DOI), ("version", VERSION)):
        found[field] = text(locator, field, "dataverse") or ""
        if not pattern.fullmatch(found[field]) and (field != "version" or field in locator):
            raise RecipeError(f"expected its {field}, not {found[field]!r}", at=f"dataverse.{field}")
    dataset = _Dataset(found["host"], found["doi"], found["version"] or LATEST, net)
    return dataset, strings(locator, "path", "dataverse")


def _version(dataset: _Dataset) -> Mapping[str, Any]:
    """What an installation says of a version. Raises: what Net raises."""
    address = f"{dataset.base}/api/datasets/:persistentId/versions/{dataset.version}"
    answer = dataset.net.get(address, {"persistentId": f"doi:{dataset.doi}"}, credential=dataset.credential)
    return _answers.told(answer, dataset.host).get("data") or {}


def _rows(dataset: _Dataset) -> list[Mapping[str, Any]] | Verdict:
    """The files of a version; or why they are not to be had."""
    try:
        files = _version(dataset).get("files")
    except Refused as error:
        return _verdict(dataset, error)
    if not isinstance(files, list):
        raise Retryable(f"{dataset.host} did not answer with the files of {dataset.doi}")
    return files or Verdict(Door.ABSENT, f"{dataset.doi} has no files at {dataset.host}", dataset.page)


def _file(dataset: _Dataset, row: Mapping[str, Any]) -> RemoteFile:
    told, folder = row["dataFile"], str(row.get("directoryLabel") or "")
    name, size = str(row.get("label") or told["filename"]), told.get("filesize")
    said = told.get("checksum") or {"type": "MD5", "value": told.get("md5")}
    digest = _answers.digest(str(said.get("type", "")).replace("-", ""), said.get("value"))
    query = ""
    if told.get("tabularData") or told.get("originalFileFormat"):
        original = told.get("originalFileName")
        name, size, digest = str(original or name), told.get("originalFileSize") if original else None, ()
        query = "?format=original" if original else ""
    secret = RESTRICTED if row.get("restricted") else ""
    return RemoteFile(
        path=relative(f"{folder.strip('/')}/{component(name)}".lstrip("/")),
        key=f"dataverse:{dataset.host}/{told['id']}{query}",
        urls=(f"{dataset.base}/api/access/datafile/{told['id']}{query}{secret}",),
        size=size if isinstance(size, int) else None,
        checksums=digest,
    )


# -- doors ---------------------------------------------------------------------------------------------------------


def _restricted(dataset: _Dataset, path: str) -> Verdict:
    said = f"{path}, and perhaps other files of {dataset.doi}, are restricted: ask for access on its page, make an API"
    said += f" token there and keep it with medfetch login dataverse:{dataset.host}; --select path=… chooses others"
    return Verdict(Door.NO_LOGIN, said, dataset.page)


def _verdict(dataset: _Dataset, error: Refused) -> Verdict:
    """What a refusal means. Raises: the error itself where it is of another kind."""
    match error.status:
        case 401 if dataset.credential:
            said = f"{dataset.host} does not know your API token, or it has expired; the page of your account has one"
            return Verdict(Door.WRONG_LOGIN, said, f"https://{dataset.host}/dataverseuser.xhtml?selectTab=apiTokenTab")
        case 401 | 403:
            said = f"{dataset.host} does not show {dataset.doi} to {'you' if dataset.credential else 'all'}"
            return Verdict(Door.NOT_APPROVED if dataset.credential else Door.NO_LOGIN, said, dataset.page)
        case 404:
            version = "" if dataset.version == LATEST else f" in version {dataset.version}"
            return Verdict(Door.ABSENT, f"{dataset.host} has no published {dataset.doi}{version}", dataset.page)
    raise error
