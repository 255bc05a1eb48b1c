"""The Cancer Imaging Archive's open DICOM series, from NBIA: which there are by its API, their bytes as zips or singly.

It must not know how NBIA is asked. Protocol: NBIA Search REST API v4, as tcia-utils 3.3 asks it; no login.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from medfetch.errors import RecipeError, UsageProblem
from medfetch.sources import Net, _dicom
from medfetch.sources._locator import literal, only, strings, text, words
from medfetch.sources._nbia import ENDPOINTS, Nbia, Series, order
from medfetch.types import About, Group, RemoteFile, Selection, Traits, Unpack

FIELDS = {"collection", "host", "modality", "body_part", "patient", "series", "cart"}
CART = re.compile(r"nbia-\d+")
"""What NBIA's portal names a shared cart, in links such as …/nbia-search/?saved-cart=nbia-49121659384603347."""
SERIES_ASKED_SINGLY = 50
"""Of a list of series, so many are asked for one by one; for more, their collections are listed."""
T = TypeVar("T")


class Tcia:
    """Series of The Cancer Imaging Archive.

    Locator: ``collection``, ``patient``, ``series``, ``modality``, ``body_part`` (each a text or a list), ``cart`` (the
    name of a shared cart), ``host``: ``nbia``, or ``nlst`` for that trial.
    """

    name: ClassVar[str] = "tcia"
    traits: ClassVar[Traits] = Traits(
        endpoints={name: f"https://{host}.cancerimagingarchive.net" for host, name in ENDPOINTS.items()},
        facets=_dicom.FACETS,
        connections=8,
        patience=300,
        ranges=False,
    )

    def locate(self, text: str) -> dict[str, Any]:
        if not text:
            raise UsageProblem("tcia: wants a collection or a cart, such as tcia:NSCLC-Radiomics, tcia:nbia-4912")
        if CART.fullmatch(text):
            return {"cart": text}
        return {"collection": text, "host": "nlst"} if text.upper() == "NLST" else {"collection": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[Group]:
        nbia = Nbia(net, _host(locator))
        series = _found(locator, nbia, selection)
        yield from (_group(each, nbia) for each in series)
        if not series:
            _explain_nothing(locator, selection, nbia)

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        series = _found(locator, Nbia(net, _host(locator)), Selection())
        licence, licence_url = _only({(each.licence, each.licence_url) for each in series}) or ("", "")
        page = _only({each.page for each in series})
        sizes = [each.size for each in series if each.size is not None]
        return About(
            name=_only({each.collection for each in series}),
            licence=licence or None,
            licence_url=licence_url or None,
            size=sum(sizes) if len(sizes) == len(series) else None,
            doi=page.removeprefix("https://doi.org/") if page else None,
            homepage=page or None,
            subjects=len({each.patient for each in series}),
            modality=tuple(sorted({each.modality for each in series if each.modality})),
            anatomy=tuple(sorted({each.body_part for each in series if each.body_part})),
        )

    def members(self, group: Group, net: Net) -> Iterator[RemoteFile]:
        """The instances of a series, each to be fetched alone: for when its zip does not come whole."""
        nbia = Nbia(net, group.context["host"])
        series = group.facets["series"]
        for instance in nbia.instances(series):
            query = urlencode({"SeriesInstanceUID": series, "SOPInstanceUID": instance})
            yield RemoteFile(
                path=group.path,
                key=instance,
                urls=(f"{nbia.address('getSingleImage')}?{query}",),
                facets=group.facets,
                dicom=True,
            )


def _found(locator: Mapping[str, Any], nbia: Nbia, selection: Selection) -> list[Series]:
    """The series of a locator, in the order in which they are planned. Raises: RecipeError, and what Net raises."""
    only(locator, FIELDS, "tcia")
    naming = [field for field in ("series", "cart") if field in locator]
    if len(naming) > 1:
        raise RecipeError(f"{' and '.join(naming)} cannot be combined", at="tcia")
    if not naming and not {"collection", "patient"} & set(locator):
        raise RecipeError("expected at least one of collection, patient, series, cart", at="tcia")
    if naming:
        wanted = _common(_named(locator, nbia), literal(selection, "series")) or ()
        found = _by_uid(nbia, wanted)
        _all_found(wanted, found, nbia)
    else:
        found = list(_by_criteria(nbia, locator, selection))
    return sorted({each.series: each for each in found if _meets(each, locator)}.values(), key=order)


def _only(values: set[T]) -> T | None:
    """What all have in common; None where they differ."""
    return next(iter(values)) if len(values) == 1 else None


def _host(locator: Mapping[str, Any]) -> str:
    host = text(locator, "host", "tcia") or "nbia"
    if host not in ENDPOINTS:
        raise RecipeError(f"unknown host {host!r}; known: {', '.join(ENDPOINTS)}", at="tcia.host")
    return host


def _named(locator: Mapping[str, Any], nbia: Nbia) -> tuple[str, ...]:
    """The series that a locator lists, by itself or by a cart."""
    if "series" in locator:
        return strings(locator, "series", "tcia")
    cart = text(locator, "cart", "tcia") or ""
    if series := nbia.cart(cart):
        return tuple(series)
    raise UsageProblem(f"{nbia.host} has no shared cart {cart!r}, or it is empty")


def _by_uid(nbia: Nbia, wanted: Iterable[str]) -> list[Series]:
    """NBIA tells of one series at a time, or of a whole collection: long lists nearly always are of one collection."""
    found = []
    left = dict.fromkeys(wanted)
    while left:
        uid = next(iter(left))
        del left[uid]
        answer = nbia.series(seriesUid=uid)
        found += answer
        if len(left) >= SERIES_ASKED_SINGLY and answer and answer[0].collection:
            others = [each for each in nbia.series(collection=answer[0].collection) if each.series in left]
            found += others
            for each in others:
                del left[each.series]
    return found


def _by_criteria(nbia: Nbia, locator: Mapping[str, Any], selection: Selection) -> Iterator[Series]:
    """What NBIA has for the locator; of the selection only so much is asked as shortens the answer."""
    series = literal(selection, "series")
    if series is not None and len(series) <= SERIES_ASKED_SINGLY:
        yield from _by_uid(nbia, series)
        return
    collections = strings(locator, "collection", "tcia")
    patients = _common(strings(locator, "patient", "tcia"), literal(selection, "subject"))
    if patients is None or (len(patients) > SERIES_ASKED_SINGLY and collections):
        patients = ("",)
    modality = strings(locator, "modality", "tcia")
    body_part = strings(locator, "body_part", "tcia")
    for collection, patient in itertools.product(collections or ("",), patients):
        yield from nbia.series(
            collection=collection,
            patientId=patient,
            modality=modality[0] if len(modality) == 1 else "",
            bodyPart=body_part[0] if len(body_part) == 1 else "",
        )


def _common(listed: tuple[str, ...], selected: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Values that a locator lists (none: all) and a selection wants (None: all); None if there is no limit."""
    if selected is None:
        return listed or None
    return tuple(value for value in selected if not listed or value in listed)


def _meets(series: Series, locator: Mapping[str, Any]) -> bool:
    values = {
        "collection": series.collection,
        "patient": series.patient,
        "modality": series.modality,
        "body_part": series.body_part,
    }
    return all(value in strings(locator, field, "tcia") for field, value in values.items() if field in locator)


def _all_found(wanted: Iterable[str], found: Iterable[Series], nbia: Nbia) -> None:
    """Raises RecipeError if a series is named that the host does not have."""
    there = {each.series for each in found}
    missing = [uid for uid in wanted if uid not in there]
    if missing:
        raise RecipeError(
            f"{nbia.host} does not have {len(missing)} of the series, the first is {missing[0]}",
            at="tcia",
            hint="the list may be cut short, or the series withdrawn or moved to controlled access",
        )


def _group(series: Series, nbia: Nbia) -> Group:
    path, facets = _dicom.folder(series), _dicom.facets(series)
    key = f"{nbia.host}:{series.series}"
    query = urlencode({"SeriesInstanceUID": series.series})
    archive = RemoteFile(
        path=path,
        key=key,
        urls=(f"{nbia.address('getImageWithMD5Hash')}?{query}",),
        facets=facets,
        unpack=Unpack("dicom-zip", path),
    )
    return Group(path, key, series.instances, series.size, facets, archive, {"host": nbia.host})


def _explain_nothing(locator: Mapping[str, Any], selection: Selection, nbia: Nbia) -> None:
    """Raises UsageProblem if the locator is to blame, and not the selection."""
    names = strings(locator, "collection", "tcia")
    known = {name.lower(): name for name in nbia.collections()} if names else {}
    if selection.facets and all(name in known.values() for name in names):
        return
    close = [known[match] for name in names for match in difflib.get_close_matches(name.lower(), known, 3)]
    hint = f"collections with a like name: {', '.join(close)}" if close else None
    raise UsageProblem(f"{nbia.host} has no series for {words(locator)}", hint=hint)
