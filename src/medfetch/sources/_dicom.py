"""What all sources of DICOM series have in common: where a series goes, and what it can be selected by.

The same series by whatever source must get the same folder: fail-over between routes rests on it.
"""

from __future__ import annotations

from typing import Protocol

from medfetch.sources._paths import component

FACETS = ("subject", "study", "series", "modality", "body-part", "collection", "path")
"""What sources of DICOM series can select by."""


class Series(Protocol):
    """A series as its source describes it; empty or None is unknown."""

    @property
    def patient(self) -> str: ...
    @property
    def study(self) -> str: ...
    @property
    def series(self) -> str: ...
    @property
    def modality(self) -> str | None: ...
    @property
    def body_part(self) -> str | None: ...
    @property
    def collection(self) -> str: ...


def folder(series: Series) -> str:
    """``PatientID/StudyInstanceUID/SeriesInstanceUID``, each made a safe name."""
    return "/".join(component(name) for name in (series.patient, series.study, series.series))


def facets(series: Series) -> dict[str, str]:
    """The facets of a series, without those that are unknown."""
    known = {
        "subject": series.patient,
        "study": series.study,
        "series": series.series,
        "modality": series.modality,
        "body-part": series.body_part,
        "collection": series.collection,
    }
    return {name: value for name, value in known.items() if value}
