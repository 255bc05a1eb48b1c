"""Asks NBIA by tcia-utils, whose habits are contained here: its import reconfigures logging, its hosts are fixed, its
requests go past everything that ``Net`` does, and its failures are only logged.

It must not know what a locator or a file is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from medfetch.errors import Retryable
from medfetch.sources import Net

ENDPOINTS = {"nbia": "tcia", "nlst": "tcia_nlst"}
"""NBIA's hosts, ``<name>.cancerimagingarchive.net``, and the endpoints that stand for them."""


@dataclass(frozen=True, slots=True)
class Series:
    """What NBIA says of a series, as far as it is needed; the order is that of its fields."""

    patient: str
    study: str
    series: str
    collection: str
    modality: str
    body_part: str
    """Empty where NBIA has none."""
    instances: int | None
    size: int | None
    """Bytes of its files."""
    licence: str
    licence_url: str
    page: str
    """The address of the collection's page, by its DOI."""


@dataclass(slots=True)
class _Asking:
    """One question under way: whom tcia-utils' requests go to, and what came last."""

    net: Net
    answer: Any = field(default=None)


_asking: ContextVar[_Asking | None] = ContextVar("medfetch_nbia", default=None)
_importing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Nbia:
    """One of NBIA's hosts, asked through a Net. All methods raise what ``Net`` raises, and Retryable if what comes
    is not what NBIA answers."""

    net: Net
    host: str
    """``nbia`` or ``nlst``."""

    def address(self, service: str) -> str:
        """Of one of version 4's services, for downloads."""
        return f"{self.net.endpoint(ENDPOINTS[self.host])}/nbia-api/services/v4/{service}"

    def collections(self) -> list[str]:
        return sorted(_word(row, "Collection") for row in self._ask("getCollections"))

    def series(self, **criteria: str) -> list[Series]:
        """Those that meet the criteria, named as tcia-utils' ``getSeries`` names them; sorted."""
        return sorted((_series(row) for row in self._ask("getSeries", **criteria)), key=order)

    def cart(self, name: str) -> list[str]:
        """The UIDs of the series in a shared cart."""
        return sorted({_word(row, "SeriesInstanceUID") for row in self._ask("getSharedCart", name=name)})

    def instances(self, series: str) -> list[str]:
        """The SOP Instance UIDs of a series."""
        return sorted({_word(row, "SOPInstanceUID") for row in self._ask("getSopInstanceUids", seriesUid=series)})

    def _ask(self, function: str, **arguments: str) -> list[dict[str, Any]]:
        """The rows that a function of tcia-utils brings; none where NBIA answers with an empty body."""
        nbia = _tcia_utils()
        with _through(self.net) as asking:
            found = getattr(nbia, function)(**arguments, api_url=self.host)
        if found is None and asking.answer.content.strip():
            raise Retryable(f"{self.address(function)} did not answer with JSON, perhaps with a page for browsers")
        rows = [found] if isinstance(found, dict) else found or []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Retryable(f"{self.address(function)} answered with something unexpected: {str(found)[:80]}")
        return rows


def _tcia_utils() -> Any:
    """``tcia_utils.nbia``, imported without its traces and with its requests led through ``_Requests``."""
    with _importing:
        root = logging.getLogger()
        level, handlers = root.level, list(root.handlers)
        try:
            from tcia_utils import nbia
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers
        if not isinstance(nbia.requests, _Requests):
            nbia.requests = _Requests(nbia.requests)
            # It logs whole answers as errors; these are raised by _ask, so nobody need see them on a terminal.
            logging.getLogger(nbia.__name__).addHandler(logging.NullHandler())
    return nbia


class _Requests:
    """What ``tcia_utils.nbia`` takes for the module ``requests``: to a question of ours, our Net answers."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def get(self, url: str, params: Any = None, **options: Any) -> Any:
        asking = _asking.get()
        if asking is None:  # somebody else in this process uses tcia-utils
            return self._module.get(url, params=params, **options)
        asking.answer = asking.net.get(_readdressed(asking.net, url), params=params)
        return asking.answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextmanager
def _through(net: Net) -> Iterator[_Asking]:
    asking = _Asking(net)
    token = _asking.set(asking)
    try:
        yield asking
    finally:
        _asking.reset(token)


def _readdressed(net: Net, url: str) -> str:
    """tcia-utils' address, on the endpoint that stands for its host."""
    parts = urlsplit(url)
    return net.endpoint(ENDPOINTS[parts.netloc.partition(".")[0]]) + parts.path


def _series(row: dict[str, Any]) -> Series:
    return Series(
        patient=_word(row, "PatientID"),
        study=_word(row, "StudyInstanceUID"),
        series=_word(row, "SeriesInstanceUID"),
        collection=str(row.get("Collection") or ""),
        modality=str(row.get("Modality") or ""),
        body_part=str(row.get("BodyPartExamined") or ""),
        instances=_number(row, "ImageCount"),
        size=_number(row, "FileSize"),
        licence=str(row.get("LicenseName") or ""),
        licence_url=str(row.get("LicenseURI") or ""),
        page=str(row.get("CollectionURI") or ""),
    )


def order(series: Series) -> tuple[str, str, str]:
    """The order in which series are planned, whatever order NBIA answers in."""
    return series.patient, series.study, series.series


def _word(row: dict[str, Any], name: str) -> str:
    if not row.get(name):
        raise Retryable(f"NBIA answered a row without {name}: {str(row)[:200]}")
    return str(row[name])


def _number(row: dict[str, Any], name: str) -> int | None:
    """NBIA writes numbers as such or as text; 0 is its "not counted"."""
    try:
        return int(row.get(name) or 0) or None
    except ValueError:
        return None
