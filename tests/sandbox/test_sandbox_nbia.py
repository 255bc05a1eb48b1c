"""The stand-in for NBIA: what it lists is the index, its archives hold the same files as the bucket."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from urllib.parse import urlencode

import duckdb
import idc_index_data
from asking import ask

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive

V4 = "/nbia/nbia-api/services/v4"
DX = "1.3.6.1.4.1.14519.5.2.1.6279.6001.141365756818074696859567662357"  # two instances of LIDC-IDRI-0001
CT = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"  # 133 of them


def test_series_of_a_collection_are_those_of_the_index(shared: Sandbox) -> None:
    rows = json.loads(ask(shared, f"{V4}/getSeries?Collection=LIDC-IDRI").body)
    expected = duckdb.execute(
        "SELECT count(*), sum(instanceCount) FROM read_parquet(?) WHERE source_DOI = '10.7937/k9/tcia.2015.lo9ql9sx'",
        [str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)],
    ).fetchone()
    own = [row for row in rows if row["ThirdPartyAnalysis"] == "NO"]
    assert (len(own), sum(row["ImageCount"] for row in own)) == expected == (1308, 244_527)
    assert {row["Collection"] for row in rows} == {"LIDC-IDRI"}
    assert len(rows) > len(own)


def test_all_criteria_narrow(shared: Sandbox) -> None:
    criteria = {"Collection": "LIDC-IDRI", "PatientID": "LIDC-IDRI-0001", "Modality": "DX"}
    (row,) = json.loads(ask(shared, f"{V4}/getSeries?{urlencode(criteria)}").body)
    assert (row["SeriesInstanceUID"], row["ImageCount"], row["FileSize"]) == (DX, 2, 40_000)
    for name in ("StudyInstanceUID", "BodyPartExamined", "Manufacturer", "ManufacturerModelName"):
        same = {**criteria, name: row[name]}
        other = {**criteria, name: "other"}
        assert len(json.loads(ask(shared, f"{V4}/getSeries?{urlencode(same)}").body)) == 1
        assert ask(shared, f"{V4}/getSeries?{urlencode(other)}").body == b""


def test_without_a_shrinking_cap_the_sizes_are_the_index_s() -> None:
    with Sandbox() as box:
        (row,) = json.loads(ask(box, f"{V4}/getSeries?SeriesInstanceUID={DX}").body)
        assert row["FileSize"] == 16_357_620
        assert json.loads(ask(box, f"{V4}/getSeriesSize?SeriesInstanceUID={DX}").body) == [
            {"ObjectCount": 2, "TotalSizeInBytes": "16357620"}
        ]


def test_nothing_found_is_an_empty_body_and_nonsense_is_not_found(shared: Sandbox) -> None:
    for service in ("getSeries?Collection=X", "getSOPInstanceUIDs?SeriesInstanceUID=1.2", "getImage", "getSeriesSize"):
        reply = ask(shared, f"{V4}/{service}")
        assert (reply.status, reply.body) == (200, b"")
    assert ask(shared, f"{V4}/getNonsense").status == 404
    assert ask(shared, "/nbia/nbia-api/services/v2/getSeries").status == 404


def test_each_host_has_its_own_collections(shared: Sandbox) -> None:
    collections = [row["Collection"] for row in json.loads(ask(shared, f"{V4}/getCollectionValues").body)]
    assert "LIDC-IDRI" in collections
    assert "NLST" not in collections
    nlst = json.loads(ask(shared, "/nlst/nbia-api/services/v4/getSeries?Collection=NLST&PatientID=100012").body)
    assert {row["Modality"] for row in nlst} == {"CT"}
    uid = nlst[0]["SeriesInstanceUID"]
    assert ask(shared, f"{V4}/getSOPInstanceUIDs?SeriesInstanceUID={uid}").body == b""
    assert ask(shared, f"/nlst/nbia-api/services/v4/getSOPInstanceUIDs?SeriesInstanceUID={uid}").body != b""


def test_patients_studies_and_values(shared: Sandbox) -> None:
    patients = json.loads(ask(shared, f"{V4}/getPatient?Collection=Pancreas-CT").body)
    assert len(patients) == 80
    assert patients[0]["PatientId"] == "PANCREAS_0001"
    (study,) = json.loads(ask(shared, f"{V4}/getPatientStudy?PatientID=PANCREAS_0001").body)
    assert study["StudyInstanceUID"]
    modalities = json.loads(ask(shared, f"{V4}/getModalityValues?Collection=LIDC-IDRI").body)
    assert [row["Modality"] for row in modalities] == ["CR", "CT", "DX", "SEG", "SR"]


def test_an_archive_is_streamed_and_holds_the_bucket_s_files(shared: Sandbox, archive: Archive) -> None:
    reply = ask(shared, f"{V4}/getImageWithMD5Hash?SeriesInstanceUID={CT}")
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.headers["Content-Length"] is None
    assert reply.headers["Content-Disposition"] == f'attachment; filename="{CT}.zip"'
    with zipfile.ZipFile(io.BytesIO(reply.body)) as archived:
        assert archived.testzip() is None
        members = {name: archived.read(name) for name in archived.namelist()}
    assert b"synthetic" in members.pop("LICENSE")
    hashes = {
        row["Filename"]: row["MD5Hash"] for row in csv.DictReader(io.StringIO(members.pop("md5hashes.csv").decode()))
    }
    assert hashes == {name: hashlib.md5(data).hexdigest() for name, data in members.items()}
    listing = ask(shared, f"/s3/idc-open-data?list-type=2&prefix={archive.find(CT).uuid}/").body.decode()
    assert all(f"&quot;{digest}&quot;" in listing for digest in hashes.values())
    assert len(hashes) == listing.count("<Contents>") == 133


def test_names_in_archives(shared: Sandbox) -> None:
    def names(query: str) -> list[str]:
        body = ask(shared, f"{V4}/{query}SeriesInstanceUID={DX}").body
        return zipfile.ZipFile(io.BytesIO(body)).namelist()

    assert names("getImage?NewFileNames=Yes&") == ["1-001.dcm", "1-002.dcm", "LICENSE"]
    assert names("getImage?") == ["00000001.dcm", "00000002.dcm", "LICENSE"]
    assert names("getImageWithMD5Hash?") == ["00000001.dcm", "00000002.dcm", "LICENSE", "md5hashes.csv"]


def test_single_instances(shared: Sandbox, archive: Archive) -> None:
    listed = json.loads(ask(shared, f"{V4}/getSOPInstanceUIDs?SeriesInstanceUID={DX}").body)
    first, second = archive.instances(archive.find(DX))
    assert [row["SOPInstanceUID"] for row in listed] == [first.uid, second.uid]
    single = ask(shared, f"{V4}/getSingleImage?SeriesInstanceUID={DX}&SOPInstanceUID={second.uid}")
    assert single.body == second.content().whole()
    assert ask(shared, f"{V4}/getSingleImage?SeriesInstanceUID={DX}&SOPInstanceUID=1.2").body == b""


def test_metadata_is_csv(shared: Sandbox) -> None:
    form = urlencode({"list": f"{DX},{CT},1.2.3"}).encode()
    reply = ask(shared, f"{V4}/getSeriesMetadata", "POST", form)
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert [(row["Series Instance UID"], row["Image Count"]) for row in rows] == [(DX, "2"), (CT, "133")]


def test_shared_carts(box: Sandbox) -> None:
    box.share("nbia-1", [DX])
    target = "/nbia-api/services/v1/getContentsByName?name=nbia-1"
    (row,) = json.loads(ask(box, target).body)
    assert row["SeriesInstanceUID"] == DX
    assert ask(box, target.replace("nbia-1", "nbia-2")).body == b""
    ask(box, "/__carts", "POST", json.dumps({"nbia-2": [DX, CT]}).encode())
    assert len(json.loads(ask(box, target.replace("nbia-1", "nbia-2")).body)) == 2
