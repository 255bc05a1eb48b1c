"""The Imaging Data Commons: which series there are from its index, without the network; their files from S3 or Google.

It must not know how the index is stored. Protocol: public S3 buckets, one folder ``<crdc_series_uuid>/`` a series,
``learn.canceridc.dev``; buckets and their Google twins as idc-index 0.13 has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from medfetch.errors import RecipeError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.sources import Net, _dicom, _idc_index
from medfetch.sources._idc_index import Condition, Series
from medfetch.sources._listing import Object, bucket_address, list_objects, object_address, published_md5
from medfetch.sources._locator import literal, only, strings, text, words
from medfetch.types import About, Alike, Group, RemoteFile, Selection, Traits

COLUMNS = {
    "collection": "collection_id",
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
}
NAMING = {"series": "SeriesInstanceUID", "crdc_series_uuid": "crdc_series_uuid"}
"""Fields that list series by name: these also find prior versions, and analysis results without being told so."""
FACET_COLUMNS = {
    "collection": "collection_id",
    "subject": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "modality": "Modality",
    "body-part": "BodyPartExamined",
}
GOOGLE_TWINS = {
    "idc-open-data": "idc-open-data",
    "idc-open-data-cr": "idc-open-cr",
    "idc-open-data-two": "idc-open-idc1",
}


class Idc:
    """Series of the Imaging Data Commons.

    Locator: ``collection``, ``source_doi``, ``patient``, ``study``, ``series``, ``modality``, ``body_part``,
    ``crdc_series_uuid`` (each a text or a list), ``analysis_result`` (an id, ``none`` or
    ``any``; ``none`` unless a DOI or series are named).
    """

    name: ClassVar[str] = "idc"
    traits: ClassVar[Traits] = Traits(
        endpoints={
            "idc": "https://{bucket}.s3.amazonaws.com",
            "idc_gcs": "https://storage.googleapis.com/{bucket}",
        },
        facets=_dicom.FACETS,
        connections=64,
        offline=True,
    )

    def locate(self, text: str) -> dict[str, Any]:
        if not text:
            raise UsageProblem("idc: wants the name of a collection, such as idc:lidc_idri")
        return {"collection": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[Group]:
        conditions, named = _conditions(locator)
        previous = None
        for series in _idc_index.find([*conditions, *_narrower(selection)], named):
            if previous == series.series:
                raise UsageProblem(f"two versions of the series {previous} are asked for; a dataset can hold one")
            previous = series.series
            yield _group(series)
        if previous is None and not any(True for _ in _idc_index.find(conditions, named)):
            close = _idc_index.close_collections(strings(locator, "collection", self.name))
            raise UsageProblem(
                f"{_idc_index.release()} has no series for {words(locator)}",
                hint=f"collections with a like name: {', '.join(close)}" if close else None,
            )

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        conditions, named = _conditions(locator)
        found = _idc_index.describe([*conditions, *([named] if named else [])])
        licence = found.licences[0] if len(found.licences) == 1 else None
        doi = found.dois[0] if len(found.dois) == 1 else None
        return About(
            name=found.collections[0] if len(found.collections) == 1 else None,
            licence=licence,
            doi=doi,
            homepage=f"https://doi.org/{doi}" if doi else None,
            size=found.size,
            subjects=found.patients,
            modality=found.modalities,
            anatomy=found.body_parts,
            told_by=_idc_index.release(),
        )

    def count(self, locator: Mapping[str, Any]) -> Iterator[Alike]:
        for modality, patient, instances, megabytes in _idc_index.alike(*_conditions(locator)):
            yield Alike(patient, modality, instances, [round(each * 1e6) for each in megabytes])

    def members(self, group: Group, net: Net) -> Iterator[RemoteFile]:
        """The instances of a series, as S3 lists them; as Google does, where S3 cannot be asked.

        Raises:
            Retryable: there are fewer or more than the index says.
        """
        addresses = [bucket_address(net.endpoint("idc"), group.context["bucket"])]
        # Whoever set a mirror (or the sandbox) for S3 alone does not want Google asked behind it.
        if net.replaced("idc_gcs") or not net.replaced("idc"):
            addresses.append(bucket_address(net.endpoint("idc_gcs"), group.context["gcs_bucket"]))
        objects, addresses = _list_first_that_answers(net, addresses, f"{group.key}/")
        if not objects or len(objects) != (group.files or len(objects)):
            expected = group.files or "that there are some"
            raise Retryable(f"{addresses[0]} lists {len(objects)} instances of {group.key}, the index says {expected}")
        for each in objects:
            yield RemoteFile(
                path=group.path,
                key=each.key.removesuffix(".dcm"),
                urls=tuple(object_address(address, each.key) for address in addresses),
                size=each.size,
                checksums=published_md5(each.etag),
                etag=each.etag,
                facets=group.facets,
                dicom=True,
            )


def _conditions(locator: Mapping[str, Any]) -> tuple[list[Condition], Condition | None]:
    """What the rows of the index must meet, and the list of series by name if there is one."""
    where = "idc"
    only(locator, {*COLUMNS, *NAMING, "source_doi", "analysis_result"}, where)
    if not locator:
        raise RecipeError("expected at least one of collection, source_doi, patient, study, series …", at=where)
    naming = [field for field in NAMING if field in locator]
    if len(naming) > 1:
        raise RecipeError(f"{' and '.join(naming)} cannot be combined", at=where)
    named = _named(locator, naming[0], where) if naming else None
    conditions = [
        Condition(column, strings(locator, field, where)) for field, column in COLUMNS.items() if field in locator
    ]
    if dois := strings(locator, "source_doi", where):
        conditions.append(Condition("source_DOI", tuple(doi.lower().removeprefix("doi:") for doi in dois)))
    result = text(locator, "analysis_result", where) or ("any" if dois or named else "none")
    if result != "any":
        conditions.append(Condition("analysis_result_id", () if result == "none" else (result,)))
    return conditions, named


def _narrower(selection: Selection) -> Iterator[Condition]:
    """Conditions for what a selection names literally; its patterns are the caller's to apply."""
    for facet, column in FACET_COLUMNS.items():
        if values := literal(selection, facet):
            yield Condition(column, values)


def _named(locator: Mapping[str, Any], field: str, where: str) -> Condition:
    """The list of series by name; RecipeError if the index has never had one of them."""
    named = Condition(NAMING[field], strings(locator, field, where))
    if missing := _idc_index.unknown(named):
        first = missing[0]
        raise RecipeError(
            f"{len(missing)} of {len(named.values)} series are not in {_idc_index.release()}, the first is {first}",
            at=f"{where}.{field}",
            hint="a newer release may have them: pip install --upgrade idc-index-data",
        )
    return named


def _group(series: Series) -> Group:
    return Group(
        path=_dicom.folder(series),
        key=series.uuid,
        files=series.instances,
        size=round(series.megabytes * 1e6),
        facets=_dicom.facets(series),
        context={"bucket": series.bucket, "gcs_bucket": series.gcs_bucket or GOOGLE_TWINS[series.bucket]},
    )


def _list_first_that_answers(net: Net, addresses: list[str], prefix: str) -> tuple[list[Object], list[str]]:
    """The objects as the first bucket lists them that can be asked, and the addresses with that bucket in front."""
    first, *others = addresses
    try:
        return list(list_objects(net, first, prefix)), addresses
    except (Refused, Retryable, Unreachable) as error:
        if not others:
            raise
        try:
            objects, reordered = _list_first_that_answers(net, others, prefix)
        except (Refused, Retryable, Unreachable):
            raise error from None
        return objects, [*reordered, first]
