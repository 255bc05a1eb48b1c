"""Files of a Gen3 commons (the NIH's, MIDRC …) by their DRS ids, or by the manifest that its portal exports.

It must not know how a key becomes a token. Protocol: GA4GH's Data Repository Service 1 for what an object is, and for
a signed link, asked for when a file's turn comes, its access ids, one for each cloud; where none is told, as in a
manifest, Fence's /user/data/download/ID (uc-cdis/fence, its OpenAPI text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from medfetch import checksum
from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component
from medfetch.sources._signed import expiry
from medfetch.types import Checksum, Door, Link, RemoteFile, Selection, Traits, Verdict

HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
ID = re.compile(r"(?!drs:)[A-Za-z0-9][A-Za-z0-9._~:/-]*")
COMPACT = re.compile(r"(dg\.[A-Z0-9]+)[:/](?:\1/)?(.+)", re.IGNORECASE)
"""An id that names no host, in the spellings ``dg.4DFC:ID``, ``dg.4DFC/ID`` and ``dg.4DFC:dg.4DFC/ID``."""
COMMONS = {"dg.4DFC": "nci-crdc.datacommons.io", "dg.MD1R": "data.midrc.org"}
"""Whose ids begin so: the NIH's Cancer Research Data Commons, and MIDRC (as registered at GA4GH, read 2026-11-29)."""
OBJECTS, DOWNLOAD = "/ga4gh/drs/v1/objects/", "/user/data/download/"
ADDRESS = re.compile(rf"([^/]+)(?:{OBJECTS}(.+)/access/[^/]+|{DOWNLOAD}(.+))")
CONNECTIONS = 4
"""At once to a commons; none says how many it bears."""


class Gen3:
    """Locator: ``host``, and either ``objects``, one or more DRS ids, or ``manifest``, the rows of a commons' export.

    A row has ``object_id``, ``file_name``, ``file_size`` and ``md5sum``, of which only the first must be there, as gen3
    4.28.5 reads them (tools/download); others are let pass, but ``commons_url`` must not be another's. A file is named
    after ``file_name``, and where that was there before, in a folder named by its id.
    """

    name: ClassVar[str] = "gen3"
    traits: ClassVar[Traits] = Traits(endpoints={"gen3": ""}, connections=CONNECTIONS, logins=("gen3:HOST",))

    def locate(self, text: str) -> dict[str, Any]:
        host, _, identifier = text.removeprefix("drs://").partition("/")
        if compact := COMPACT.fullmatch(text.removeprefix("drs://")):
            prefix = next((each for each in COMMONS if each.casefold() == compact[1].casefold()), None)
            if prefix is None:
                hint = f"write gen3:HOST/{compact[1]}/{compact[2]}; https://dataguids.org/index/_dist lists the hosts"
                raise UsageProblem(f"medfetch does not know whose ids begin with {compact[1]}", hint=hint)
            host, identifier = COMMONS[prefix], f"{prefix}/{compact[2]}"
        if not HOST.fullmatch(host) or not ID.fullmatch(identifier):
            raise UsageProblem(f"expected gen3:HOST/ID, of a commons and a DRS id, not {text!r}")
        return {"host": host, "objects": [identifier]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        host, rows = _locator(locator)
        seen: set[str] = set()
        paths: set[str] = set()
        for row in rows:
            identifier = row["object_id"]
            if identifier in seen:
                continue
            seen.add(identifier)
            told = row if "file_name" in row else self._object(host, identifier, net)
            path = component(str(told["file_name"]).rpartition("/")[2] or identifier)
            if path in paths:
                path = f"{component(identifier)}/{path}"
            paths.add(path)
            yield RemoteFile(
                path=path,
                key=f"drs://{host}/{identifier}",
                urls=told.get("urls") or (_download(host, identifier, net),),
                size=told.get("file_size"),
                checksums=_checksums(told),
            )

    def link(self, url: str, net: Net) -> Link:
        """Raises: Refused, which tells the three reasons that a commons answers alike for; Retryable."""
        host, _ = _of(url)
        try:
            told = _answers.told(net.get(url, credential=_credential(host, net)), host)
        except Refused as error:
            verdict = _verdict(error, url, net)
            raise Refused(verdict.said, status=error.status, hint=f"see {verdict.at}") from None
        address = told.get("url")
        if not isinstance(address, str):
            raise Retryable(f"{host} gave no link for {url}")
        return Link(address, expiry(address))

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        """Asks for a link to the first file, for a commons tells nothing else of approvals."""
        host, rows = _locator(locator)
        url = _download(host, rows[0]["object_id"], net)
        try:
            net.get(url, credential=_credential(host, net))
        except Refused as error:
            return _verdict(error, url, net)
        return Verdict(Door.OPEN, f"{host} gives links for it")

    def _object(self, host: str, identifier: str, net: Net) -> dict[str, Any]:
        """A DRS object in the words of a manifest. Raises: UsageProblem, AccessRequired, Retryable."""
        url = f"{_base(host, net)}{OBJECTS}{quote(identifier)}"
        try:
            told = _answers.told(net.get(url, credential=_credential(host, net)), host)
        except Refused as error:
            raise closed(_verdict(error, _download(host, identifier, net), net), f"gen3-{host}") from None
        if told.get("contents"):
            raise UsageProblem(f"{identifier} is a bundle of objects: name those that are wanted")
        ways = told.get("access_methods") or ()
        places = [str((way.get("access_url") or {}).get("url", "")) for way in ways]
        urls = tuple(f"{url}/access/{quote(str(way['access_id']))}" for way in ways if way.get("access_id"))
        row = {"object_id": identifier, "urls": urls, "file_name": told.get("name") or next(filter(None, places), "")}
        size, sums = told.get("size"), told.get("checksums") or ()
        md5 = next((each.get("checksum") for each in sums if each.get("type") == "md5"), None)
        return row | ({"file_size": size} if type(size) is int else {}) | ({"md5sum": md5} if md5 else {})


def _locator(locator: Mapping[str, Any]) -> tuple[str, list[Mapping[str, Any]]]:
    """The commons, and the rows of a manifest; a row of an object of which more has to be asked has only its id."""
    only(locator, {"host", "objects", "manifest"}, "gen3")
    host = text(locator, "host", "gen3")
    if host is None or not HOST.fullmatch(host):
        raise RecipeError(f"expected the host of a commons, not {host!r}", at="gen3.host")
    if ("objects" in locator) == ("manifest" in locator):
        raise RecipeError("expected either objects or manifest", at="gen3")
    rows: Any = locator.get("manifest") or [{"object_id": each} for each in strings(locator, "objects", "gen3")]
    if not isinstance(rows, list | tuple):
        raise RecipeError("expected a list of rows", at="gen3.manifest")
    return host, [_row(row, host, f"gen3.manifest[{at}]") for at, row in enumerate(rows)]


def _row(row: Any, host: str, where: str) -> Mapping[str, Any]:
    identifier = row.get("object_id") if isinstance(row, Mapping) else None
    if not isinstance(identifier, str) or not ID.fullmatch(identifier := identifier.removeprefix(f"drs://{host}/")):
        raise RecipeError(f"expected an object_id of {host}, not {identifier!r}", at=where)
    commons = str(row.get("commons_url") or host)
    if (urlsplit(commons).hostname or commons.rstrip("/")) != host:
        raise RecipeError(f"{identifier} is of {commons}: one route is for one commons, {host}", at=where)
    if not isinstance(row.get("file_name", ""), str) or type(row.get("file_size", 0)) is not int:
        raise RecipeError("expected a text as file_name, and a number of bytes as file_size", at=where)
    return {**row, "object_id": identifier}


def _checksums(row: Mapping[str, Any]) -> tuple[Checksum, ...]:
    return (checksum.parse(f"md5:{row['md5sum']}"),) if row.get("md5sum") else ()


def _base(host: str, net: Net) -> str:
    return f"{net.endpoint('gen3')}/{host}" if net.replaced("gen3") else f"https://{host}"


def _download(host: str, identifier: str, net: Net) -> str:
    return f"{_base(host, net)}{DOWNLOAD}{quote(identifier)}"


def _of(url: str) -> tuple[str, str]:
    """The commons and the id that an address is of; where a commons is replaced, its name is a folder."""
    found = ADDRESS.search(url)
    assert found is not None
    return found[1], unquote(found[2] or found[3])


def _credential(host: str, net: Net) -> str | None:
    """Without a key the commons says itself whether it wants one: some of their data are open."""
    name = f"gen3:{host}"
    return name if net.has(name) else None


def _verdict(error: Refused, url: str, net: Net) -> Verdict:
    """What a refusal means. Raises: the error itself where the commons did not answer (a certificate, a proxy)."""
    host, identifier = _of(url)
    page = f"https://{host}/"
    if error.status == 404:
        return Verdict(Door.ABSENT, f"{host} has no object {identifier}", page)
    if error.status not in (401, 403):
        raise error
    if not net.has(f"gen3:{host}"):
        said = f"{host} wants an API key, and there is none here: make one on your profile there, and keep it with"
        said += f" medfetch login gen3:{host}"
        return Verdict(Door.NO_LOGIN, said, page)
    said = f"{host} answered {error.status} for {identifier}: the API key is wrong, or it has expired, or you have no"
    said += " approval for these data (dbGaP's, for the NIH's); a commons says the same for all three"
    return Verdict(Door.UNCLEAR, said, page)
