"""A first recipe from what a host says of a dataset: ``medfetch recipe new``. What it does not say is left unknown.

It must not know any single source, nor where recipes lie.
"""

from __future__ import annotations

import datetime
import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import yaml

from medfetch import sources
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.probe import addresses, licences, routes
from medfetch.probe.asking import Run, Watched
from medfetch.recipe_schema import schema
from medfetch.sources import Describes, Preflight
from medfetch.types import About, Door, Entry, Recipe, RemoteFile, Route, Selection, Verdict

SUMMARY = 200
"""Letters of a summary: a sentence or two."""
LONGEST_ID = 60
NAMED = 20
"""Addresses that evidence names."""
MODALITIES = {
    "CR": "X-ray", "DX": "X-ray", "ES": "endoscopy", "MG": "mammography", "MRI": "MR", "NM": "SPECT", "OP": "fundus",
    "OPT": "OCT", "PT": "PET", "RF": "X-ray", "SM": "histopathology", "US": "ultrasound", "XA": "X-ray",
}  # fmt: skip
"""The hosts' words for the schema's, where they are others: DICOM's (PS3.3, C.7.3.1.1.1) and BIDS's. Modalities without
one, such as SEG and RTSTRUCT, are no images."""
OPENS = {Door.NO_LOGIN: "account", Door.WRONG_LOGIN: "account", Door.UNCLEAR: "account", Door.RULES: "terms"}
"""The access level that a closed door speaks of; an application for all others."""
SIGNED = re.compile(r"[?&](x-amz-signature|x-goog-signature|signature|sig|token|access_token)=", re.IGNORECASE)
UNKNOWN = {
    "summary": "summary", "version": "version", "modality": "modality", "anatomy": "anatomy", "tasks": "tasks",
    "subjects": "number of subjects", "size": "size", "licence": "licence", "cite": "what is to be cited",
    "homepage": "homepage",
}  # fmt: skip
"""Fields of a recipe in its order, and the words under which they are unknown."""


@dataclass(frozen=True, slots=True)
class Draft:
    id: str
    text: str
    """The recipe, as YAML."""
    unknown: tuple[str, ...]
    """What nobody told, in words."""


def draft(recipe: Recipe, settings: Settings, said: Callable[[str], None], *, recipe_id: str | None = None) -> Draft:
    """A recipe for what a name means; ``recipe`` is the one that is made up from the name alone.

    Raises: UsageProblem where there is no such thing, and whatever else its source raises.
    """
    (route,) = recipe.parts[0].routes
    _check_address(route)
    source = sources.get(route.source)
    with Run(settings, said) as run:
        net = run.net(source.traits, {})
        door = source.preflight(route.locator, net) if isinstance(source, Preflight) else None
        if door and door.door is Door.ABSENT:
            raise UsageProblem(door.said)
        shut = door if door and door.door is not Door.OPEN else None
        about = source.about(route.locator, net) if isinstance(source, Describes) else About()
        pinned = {**route.locator, **about.pins}
        listed = [] if shut else list(islice(source.resolve(pinned, net, Selection()), routes.LISTED + 1))
        locator, size = _with_file(pinned, listed, net) if route.source == "http" else (pinned, _size(listed))
    today = datetime.date.today().isoformat()
    name = about.name or recipe.name
    facts, unknown = _facts(about, about.size if about.size is not None else size)
    if any(isinstance(each, RemoteFile) and each.credential for each in listed):
        unknown.append("whether it is open to all: it was asked for with a log-in")
    unknown.append("whether there are terms or steps that no host tells of")
    content = {
        "id": recipe_id or _id(name), "name": " ".join(name.split()), **facts,
        "status": {"is": "gated" if shut else "available", "as_of": today},
        "access": _access(shut),
        "routes": [{"source": route.source, **locator}],
        "evidence": [{"fact": "all that stands here", "source": _whence(about, net), "read": today}],
        "unknown": unknown,
    }  # fmt: skip
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=118)
    return Draft(str(content["id"]), text, tuple(unknown))


def _check_address(route: Route) -> None:
    for file in route.locator.get("files", ()):
        if SIGNED.search(str(file.get("url", ""))):
            raise UsageProblem(
                "the address is signed: it is a secret, and will not be good for long",
                hint="a recipe needs an address that stays",
            )


def _facts(about: About, size: int | None) -> tuple[dict[str, Any], list[str]]:
    """The fields that are told, in the order of a recipe, and what is not."""
    words = schema()["$defs"]
    modality = [MODALITIES.get(each.upper(), each) for each in about.modality]
    known = {each.casefold(): each for each in words["modality"]["enum"]}
    places = {each.casefold(): each for each in words["anatomy"]["enum"]}
    version = about.version or ""
    licence = licences.spdx(about.licence or about.licence_url or "")
    url = {"url": about.licence_url} if _is_web(about.licence_url) else {}
    told: dict[str, Any] = {
        "summary": _sentence(about.summary or ""),
        "version": version if re.fullmatch(words["version"]["pattern"], version) else None,
        "modality": sorted({known[each.casefold()] for each in modality if each.casefold() in known}),
        "anatomy": sorted({places[each.casefold()] for each in about.anatomy if each.casefold() in places}),
        "subjects": about.subjects or None,
        "size": size,
        "licence": {"id": licence, **url} if licence else None,
        "cite": [f"doi:{about.doi}"] if about.doi and re.fullmatch(words["doi"]["pattern"], about.doi) else None,
        "homepage": about.homepage if _is_web(about.homepage) else None,
    }
    unknown = [text for name, text in UNKNOWN.items() if told.get(name) in (None, "", [])]
    told["summary"] = told["summary"] or "A dataset of which its host gives no description."
    return {name: told[name] for name in told if told[name] not in (None, [])}, unknown


def _access(shut: Verdict | None) -> dict[str, Any]:
    if shut is None:
        return {"level": "open"}
    return {"level": OPENS.get(shut.door, "application"), "note": f"Its host says: {shut.door}. {shut.said}"}


def _whence(about: About, net: Watched) -> str:
    """Who was asked: the addresses, without their queries, and an index that is installed."""
    asked = [each.asked.partition(" ")[2] for each in net.exchanges]
    found = list(dict.fromkeys([*([about.told_by] if about.told_by else []), *asked]))
    more = f", and {len(found) - NAMED} more addresses" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more or "the name alone: nobody was asked"


def _size(listed: Sequence[Entry]) -> int | None:
    """Bytes of a list that is there to its end, and tells all sizes."""
    told = [each.size for each in listed if each.size is not None]
    return sum(told) if told and len(told) == len(listed) <= routes.LISTED else None


def _with_file(
    locator: Mapping[str, Any], listed: Sequence[Entry], net: Watched
) -> tuple[dict[str, Any], int | None]:  # fmt: skip
    """The locator of a file with the size and the digests that its host tells."""
    (file,) = (each for each in listed if isinstance(each, RemoteFile))
    size, digests = addresses.described(file, file.urls[0], net)
    told = {**locator["files"][0], **({"size": size} if size is not None else {}), **digests}
    return {**locator, "files": [told]}, size


def _sentence(description: str) -> str:
    """The beginning of a description, as plain text on one line."""
    plain = html.unescape(re.sub(r"<[^>]*>", " ", description))
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", plain)
    words = " ".join(re.sub(r"(^|\n)\s*#+\s*|[*`]", " ", plain).split())
    if len(words) <= SUMMARY:
        return words
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s)", words[:SUMMARY])]
    return words[: ends[-1]] if ends and ends[-1] > 40 else words[:SUMMARY].rsplit(" ", 1)[0] + " …"


def _id(name: str) -> str:
    """A name as an id: lower-case letters and digits, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    parts = re.findall(r"[a-z0-9]+", plain)
    found = ""
    for part in parts:
        if found and len(found) + 1 + len(part) > LONGEST_ID:
            break
        found = f"{found}-{part}" if found else part[:LONGEST_ID]
    return found or "unnamed"


def _is_web(address: str | None) -> bool:
    return bool(address and re.fullmatch(schema()["$defs"]["web"]["pattern"], address))
