"""The idc source: its plans against SQL on the installed index, its members against S3's wire format."""

from __future__ import annotations

from typing import Any

import duckdb
import idc_index_data
import pytest
import responses
from plain_net import NoNet, PlainNet
from test_listing import MD5, page

from medfetch.errors import RecipeError, Refused, Retryable, Unreachable, UsageProblem
from medfetch.sources.idc import GOOGLE_TWINS, Idc
from medfetch.types import Checksum, Group, RemoteFile, Selection

TODAY = f"'{idc_index_data.IDC_INDEX_PARQUET_FILEPATH}'"
PRIOR = f"'{idc_index_data.PRIOR_VERSIONS_INDEX_PARQUET_FILEPATH}'"
GROUP = Group("P/1.2/1.2.3", "u-1", 2, facets={"series": "1.2.3"}, context={"bucket": "b-aws", "gcs_bucket": "b-gcs"})
AWS, GOOGLE = "https://b-aws.s3.amazonaws.com/", "https://storage.googleapis.com/b-gcs"


def resolve(selection: Selection | None = None, **locator: Any) -> list[Group]:
    return list(Idc().resolve(locator, NoNet(Idc.traits), selection or Selection()))


def totals(groups: list[Group]) -> tuple[int, int, int]:
    return len(groups), sum(group.files or 0 for group in groups), sum(group.size or 0 for group in groups)


def counted(where: str) -> tuple[int, int, int]:
    """Series, instances and bytes, asked in a way of its own."""
    sql = f"SELECT count(*), sum(instanceCount), sum(round(series_size_MB * 1e6)) FROM {TODAY} WHERE {where}"
    series, instances, size = duckdb.sql(sql).fetchall()[0]
    return series, int(instances), int(size)


@pytest.mark.parametrize(
    ("locator", "where"),
    [
        ({"collection": "lidc_idri"}, "collection_id = 'lidc_idri' AND analysis_result_id IS NULL"),
        ({"collection": "lidc_idri", "analysis_result": "any"}, "collection_id = 'lidc_idri'"),
        (
            {"collection": "lidc_idri", "analysis_result": "dicom_lidc_idri_nodules"},
            "collection_id = 'lidc_idri' AND analysis_result_id = 'dicom_lidc_idri_nodules'",
        ),
        ({"source_doi": "doi:10.7937/K9/TCIA.2015.LO9QL9SX"}, "source_DOI = '10.7937/k9/tcia.2015.lo9ql9sx'"),
        ({"source_doi": "10.7937/tcia.2018.h7umfurq"}, "analysis_result_id = 'dicom_lidc_idri_nodules'"),
        (
            {"collection": ["lidc_idri", "nsclc_radiomics"], "modality": ["CR", "DX"]},
            "collection_id IN ('lidc_idri', 'nsclc_radiomics') AND Modality IN ('CR', 'DX')",
        ),
        (
            {"patient": "LIDC-IDRI-0001", "body_part": "CHEST"},
            "PatientID = 'LIDC-IDRI-0001' AND BodyPartExamined = 'CHEST' AND analysis_result_id IS NULL",
        ),
    ],
)
def test_a_plan_is_what_the_index_holds(locator: dict[str, Any], where: str) -> None:
    assert totals(resolve(**locator)) == counted(where)
    assert counted(where)[0] > 0


def test_known_sizes() -> None:
    """Read off idc-index-data 25.0.5; a newer index may say otherwise."""
    if idc_index_data.__version__ != "25.0.5":
        pytest.skip("pip install idc-index-data==25.0.5")
    assert totals(resolve(collection="lidc_idri"))[:2] == (1308, 244527)
    nlst = Idc().resolve({"collection": "nlst"}, NoNet(Idc.traits), Selection())
    series = instances = 0
    previous = ("", "", "")
    for group in nlst:
        assert group.facets["subject"], group
        order = group.facets["subject"], group.facets["study"], group.facets["series"]
        assert previous < order
        previous, series, instances = order, series + 1, instances + (group.files or 0)
    assert (series, instances) == (204346, 21088140)


def test_all_dois_are_lower_case() -> None:
    """What finding them by lower-cased locators rests on."""
    assert duckdb.sql(f"SELECT count(*) FROM {TODAY} WHERE source_DOI <> lower(source_DOI)").fetchall() == [(0,)]


def test_every_bucket_has_a_twin() -> None:
    buckets = {bucket for (bucket,) in duckdb.sql(f"SELECT DISTINCT aws_bucket FROM {TODAY}").fetchall()}
    assert buckets == set(GOOGLE_TWINS)


def test_a_series_as_a_group() -> None:
    (group,) = resolve(
        collection="nsclc_radiomics", series=one("collection_id = 'nsclc_radiomics'", "SeriesInstanceUID")
    )
    row = duckdb.sql(
        f"""SELECT PatientID, StudyInstanceUID, SeriesInstanceUID, crdc_series_uuid, instanceCount, Modality
        FROM {TODAY} WHERE crdc_series_uuid = '{group.key}'"""
    ).fetchall()[0]
    assert group.path == "/".join(row[:3])
    assert (group.files, group.facets["modality"]) == row[4:]
    assert group.context == {"bucket": "idc-open-data-cr", "gcs_bucket": "idc-open-cr"}
    assert all(isinstance(value, str) for value in group.facets.values())


def one(where: str, column: str, table: str = TODAY) -> str:
    (value,) = duckdb.sql(f"SELECT min({column}) FROM {table} WHERE {where}").fetchall()[0]
    return str(value)


def test_a_selection_narrows_and_patterns_do_not() -> None:
    wanted = Selection({"subject": ("LIDC-IDRI-0001", "LIDC-IDRI-0002"), "modality": ("CT",)})
    narrowed = resolve(wanted, collection="lidc_idri")
    assert {group.facets["subject"] for group in narrowed} == {"LIDC-IDRI-0001", "LIDC-IDRI-0002"}
    assert {group.facets["modality"] for group in narrowed} == {"CT"}
    patterns = Selection({"subject": ("LIDC-IDRI-000?",), "path": ("*",)})
    assert len(resolve(patterns, collection="lidc_idri")) == 1308


def test_a_selection_that_excludes_everything_is_for_the_caller_to_judge() -> None:
    assert resolve(Selection({"subject": ("nobody",)}), collection="lidc_idri") == []


def test_a_prior_version_by_its_uuid() -> None:
    uuid = one("gcs_bucket = 'idc-open-idc1'", "crdc_series_uuid", PRIOR)
    (group,) = resolve(crdc_series_uuid=[uuid])
    assert (group.key, group.files) == (uuid, None)
    assert group.context == {"bucket": "idc-open-data-two", "gcs_bucket": "idc-open-idc1"}


def test_prior_versions_by_their_uids_only_where_there_is_no_newer_one() -> None:
    gone, newest = duckdb.sql(
        f"""SELECT SeriesInstanceUID, arg_max(crdc_series_uuid, max_idc_version) FROM {PRIOR}
        WHERE SeriesInstanceUID NOT IN (SELECT SeriesInstanceUID FROM {TODAY})
        GROUP BY 1 HAVING count(DISTINCT crdc_series_uuid) > 1 AND count(*) = count(DISTINCT max_idc_version)
        ORDER BY 1 LIMIT 1"""
    ).fetchall()[0]
    revised = one(f"SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM {TODAY})", "SeriesInstanceUID", PRIOR)
    groups = {group.facets["series"]: group for group in resolve(series=[gone, revised])}
    assert groups[gone].key == newest
    assert groups[revised].key == one(f"SeriesInstanceUID = '{revised}'", "crdc_series_uuid")
    assert len(groups) == 2


def test_two_versions_of_a_series_cannot_be_in_one_dataset() -> None:
    series = one(f"SeriesInstanceUID IN (SELECT SeriesInstanceUID FROM {TODAY})", "SeriesInstanceUID", PRIOR)
    versions = [one(f"SeriesInstanceUID = '{series}'", "crdc_series_uuid", table) for table in (TODAY, PRIOR)]
    with pytest.raises(UsageProblem, match="two versions of the series"):
        resolve(crdc_series_uuid=versions)


def test_a_list_of_series_of_today_and_of_former_versions() -> None:
    wanted = [one("collection_id = 'lidc_idri'", "crdc_series_uuid"), one("true", "crdc_series_uuid", PRIOR)]
    assert {group.key for group in resolve(crdc_series_uuid=wanted)} == set(wanted)
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(RecipeError, match=f"1 of 3 series are not in idc-index-data.*the first is {unknown}"):
        resolve(crdc_series_uuid=[*wanted, unknown])


def test_an_unknown_collection_is_answered_with_like_names() -> None:
    with pytest.raises(UsageProblem) as raised:
        resolve(collection="LIDC-IDRY")
    assert raised.value.hint and "lidc_idri" in raised.value.hint


def test_a_quote_in_a_name_is_only_a_quote() -> None:
    with pytest.raises(UsageProblem):
        resolve(collection="x' OR '1'='1")


@pytest.mark.parametrize(
    "locator",
    [{}, {"collections": "x"}, {"collection": 3}, {"collection": []}, {"series": "1.2", "crdc_series_uuid": "x"},
     {"series": "1.2.3"}, {"collection": "lidc_idri", "analysis_result": ["a", "b"]}],
)  # fmt: skip
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"^idc"):
        resolve(**locator)


@responses.activate
def test_members_are_what_s3_lists() -> None:
    responses.get(AWS, page("u-1/i-1.dcm", "u-1/i-2.dcm"))
    first, second = Idc().members(GROUP, PlainNet(Idc.traits))
    assert first == RemoteFile(
        path="P/1.2/1.2.3",
        key="u-1/i-1",
        urls=(f"{AWS}u-1/i-1.dcm", f"{GOOGLE}/u-1/i-1.dcm"),
        size=0,
        checksums=(Checksum("md5", MD5),),
        etag=f'"{MD5}"',
        facets={"series": "1.2.3"},
        dicom=True,
    )
    assert second.key == "u-1/i-2"


@pytest.mark.parametrize("answer", [{"status": 403}, {"status": 503}, {"body": ConnectionError()}, {"body": "<html/>"}])
@responses.activate
def test_google_is_asked_where_s3_cannot_be(answer: dict[str, Any]) -> None:
    import requests

    if "body" in answer and isinstance(answer["body"], ConnectionError):
        answer = {"body": requests.exceptions.ConnectionError("refused")}
    responses.get(AWS, **answer)
    responses.get(GOOGLE, page("u-1/i-1.dcm", "u-1/i-2.dcm"))
    first, _ = Idc().members(GROUP, PlainNet(Idc.traits))
    assert first.urls == (f"{GOOGLE}/u-1/i-1.dcm", f"{AWS}u-1/i-1.dcm")


@responses.activate
def test_if_neither_answers_the_error_is_that_of_the_first() -> None:
    responses.get(AWS, status=403)
    with pytest.raises(Refused):
        list(Idc().members(GROUP, PlainNet(Idc.traits)))


@responses.activate
def test_behind_a_mirror_google_is_not_asked() -> None:
    responses.get("http://127.0.0.1:1/s3/b-aws", page("u-1/i-1.dcm", "u-1/i-2.dcm"))
    first, _ = Idc().members(GROUP, PlainNet(Idc.traits, idc="http://127.0.0.1:1/s3"))
    assert first.urls == ("http://127.0.0.1:1/s3/b-aws/u-1/i-1.dcm",)
    net = PlainNet(Idc.traits, idc="http://127.0.0.1:1/down")
    with pytest.raises(Unreachable):
        list(Idc().members(GROUP, net))


@pytest.mark.parametrize("keys", [["u-1/i-1.dcm"], ["u-1/1.dcm", "u-1/2.dcm", "u-1/3.dcm"], []])
@responses.activate
def test_too_few_or_too_many_members(keys: list[str]) -> None:
    responses.get(AWS, page(*keys))
    with pytest.raises(Retryable, match=f"lists {len(keys)} instances of u-1, the index says 2"):
        list(Idc().members(GROUP, PlainNet(Idc.traits)))


def test_a_typed_collection() -> None:
    assert Idc().locate("lidc_idri") == {"collection": "lidc_idri"}
    with pytest.raises(UsageProblem):
        Idc().locate("")
