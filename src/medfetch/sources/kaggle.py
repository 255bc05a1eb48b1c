"""Kaggle: datasets and competitions, file by file or as the zip that Kaggle makes of all.

It must not know how Kaggle is asked (``_kaggle.py``). The official client, kaggle 2.2, would save little of that, its
requests would go past our pace, retries and secrets, and its import alone asks the server; tests compare with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice
from typing import Any, ClassVar
from urllib.parse import unquote

from medfetch.errors import RecipeError, Refused, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net
from medfetch.sources._doors import closed
from medfetch.sources._kaggle import CREDENTIAL, Api, Place, verdict
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.sources._signed import expiry
from medfetch.types import About, Door, Link, RemoteFile, Selection, Traits, Unpack, Verdict

SINGLY = 25
"""So many files are fetched one by one, each checked by its own digest; of more, all come in one zip: after about a
hundred files Kaggle says 429 (github.com/Kaggle/kaggle-cli issues 132, 494), and kagglehub 1.0 draws the line here."""
EACH = 20_000_000
"""Bytes that come in the time that a file of its own costs beside its bytes, where a selection has more. Kaggle tells
no limits, so this is a guess: two seconds at 10 MB/s."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
TYPED = re.compile(
    r"(?:https://(?:www\.)?kaggle\.com/)?"
    r"(?:(?:competitions|c)/(?P<competition>[^/]+)|(?:datasets/)?(?P<dataset>[^/]+/[^/]+?)(?:(?:/versions/|@)(?P<version>[0-9]+))?)"
    r"(?:/(?:code|data|discussion|overview|rules))?/?"
)
EXPECTED = "expected kaggle:owner/name, kaggle:owner/name/versions/3 or kaggle:competitions/name"


class Kaggle:
    """Locator: ``dataset`` (owner/name) with ``version`` (else the current one), or ``competition``; and ``path``,
    patterns of the files that are wanted, where that is not all."""

    name: ClassVar[str] = "kaggle"
    traits: ClassVar[Traits] = Traits(
        endpoints={"kaggle": "https://www.kaggle.com"},
        connections=4,
        host_connections={"www.kaggle.com": 2},
        # Kaggle's 429 seldom says for how long; some were still refused half an hour later (kaggle-cli issue 494).
        pause=60,
        logins=(CREDENTIAL,),
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        locator = {field: value for field, value in found.groupdict().items() if value} if found else {}
        if not locator or not all(NAME.fullmatch(name) for value in locator.values() for name in value.split("/")):
            raise UsageProblem(f"{text!r} is neither a dataset nor a competition of Kaggle", hint=EXPECTED)
        return locator | ({"version": int(locator["version"])} if "version" in locator else {})

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        place, patterns = _place(locator)
        api = Api(net)
        try:
            if place.is_dataset and place.version is None:
                # What is published in between must not get in among the files of this version.
                place = replace(place, version=api.current_version(place))
            only = tuple(each for each in (patterns, selection.facets.get("path", ())) if each)
            entries = _entries(place, api, only, selection.limit)
            first = next(entries, None)
            if first:
                if not place.is_dataset:
                    # Whose phone number is not verified is shown the list, but given nothing of it.
                    net.redirect(first.urls[0], credential=CREDENTIAL if net.has(CREDENTIAL) else None)
                yield first
                yield from entries
            elif not selection.facets:
                raise UsageProblem(f"{place.page} has no files{' of these names' if patterns else ''}")
        except Refused as error:
            said = verdict(error, place, net.has(CREDENTIAL))
            raise closed(said, f"kaggle-{place.slug}") from error

    def link(self, url: str, net: Net) -> Link:
        """The signed link to Google's storage that Kaggle redirects to; many ranges can be had from one."""
        credential = CREDENTIAL if net.has(CREDENTIAL) else None
        try:
            address = net.redirect(url, credential=credential)
        except Refused as error:
            said = verdict(error, Place.of_address(url), credential is not None)
            raise Refused(f"{said.said} ({unquote(url)})", status=error.status, hint=said.at) from error
        return Link(address, expiry(address)) if address != url else Link(url, credential=credential)

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        place, _ = _place(locator)
        try:
            entered = Api(net).about(place).get("userHasEntered")
        except Refused as error:
            return verdict(error, place, net.has(CREDENTIAL))
        if not place.is_dataset and entered is False:
            return Verdict(Door.RULES, f"the rules of {place.name} are not accepted yet", f"{place.page}/rules")
        return Verdict(Door.OPEN, f"Kaggle shows {place.page} to you")

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        place, _ = _place(locator)
        try:
            told = Api(net).about(place)
        except Refused as error:
            raise closed(verdict(error, place, net.has(CREDENTIAL)), f"kaggle-{place.slug}") from error
        newest = told.get("currentVersionNumber")
        version = place.version or newest
        size = told.get("totalBytes")
        return About(
            name=told.get("title"),
            summary=told.get("subtitle") or told.get("description"),
            version=str(version) if version else None,
            newest=str(newest) if newest else None,
            licence=told.get("licenseName"),
            # What Kaggle tells is of the newest version.
            size=size if isinstance(size, int) and version == newest else None,
            homepage=place.page,
            pins={"version": version} if version else {},
        )


def _entries(place: Place, api: Api, only: tuple[tuple[str, ...], ...], limit: int | None) -> Iterator[RemoteFile]:
    """Files one by one, or the zip of all, of which the members that are wanted are kept: whichever is cheaper."""
    files = api.files(place)
    if limit:
        pass  # somebody wants a look at it
    elif not only:
        begin = list(islice(files, SINGLY + 1))
        if len(begin) > SINGLY:
            yield _bundle(place, api, only)
            return
        files = chain(begin, files)
    else:
        listed = list(files)
        chosen = [size for name, size in listed if _wanted(name, only)]
        if len(chosen) > SINGLY and sum(chosen) + len(chosen) * EACH > sum(size for _, size in listed):
            yield _bundle(place, api, only)
            return
        files = iter(listed)
    for name, size in files:
        if _wanted(name, only):
            yield RemoteFile(_path(name, place), f"{place.key}/{name}", (api.download(place, name),), size)


def _bundle(place: Place, api: Api, only: tuple[tuple[str, ...], ...]) -> RemoteFile:
    """The zip that Kaggle makes of all files."""
    key = f"{place.key}:{json.dumps(only, ensure_ascii=False) if only else 'all'}"
    return RemoteFile(f"{place.slug}.zip", key, (api.download(place),), unpack=Unpack("zip", only=only))


def _wanted(path: str, only: tuple[tuple[str, ...], ...]) -> bool:
    return all(fits(path, patterns) for patterns in only)


def _place(locator: Mapping[str, Any]) -> tuple[Place, tuple[str, ...]]:
    """Which dataset or competition, and the patterns of what is wanted of it."""
    only(locator, {"dataset", "version", "competition", "path"}, "kaggle")
    dataset, competition = text(locator, "dataset", "kaggle"), text(locator, "competition", "kaggle")
    version = locator.get("version")
    if (dataset is None) == (competition is None):
        raise RecipeError("expected either dataset or competition", at="kaggle")
    if version is not None and (competition or not isinstance(version, int) or version < 1):
        raise RecipeError(f"expected the number of a dataset's version, not {version!r}", at="kaggle.version")
    name = dataset or competition or ""
    parts = name.split("/")
    if len(parts) != (2 if dataset else 1) or not all(NAME.fullmatch(part) for part in parts):
        field = "dataset" if dataset else "competition"
        raise RecipeError(f"{name!r} cannot be the name of a {field}", at=f"kaggle.{field}")
    return Place(dataset is not None, name, version), strings(locator, "path", "kaggle")


def _path(name: str, place: Place) -> str:
    try:
        return relative(name)
    except RecipeError as error:
        raise RecipeError(f"{place.page} has a file that cannot be one here: {error.message}") from None
