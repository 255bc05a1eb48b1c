"""tcia-utils, TCIA's own client, works on the sandbox; what it leaves equals what the other clients leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import (
    by_instance,
    expected,
    fetch_with_boto3,
    fetch_with_s5cmd,
    fetch_with_tcia_utils,
    tcia_utils,
)

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.dicom import Series


def test_it_lists(box: Sandbox, archive: Archive, series: Series) -> None:
    with tcia_utils(box) as nbia:
        assert {"Collection": "LIDC-IDRI"} in nbia.getCollections()
        rows = nbia.getSeries(collection="LIDC-IDRI", patientId=series.patient, modality=series.modality)
        assert [(row["SeriesInstanceUID"], row["ImageCount"]) for row in rows] == [(series.uid, series.count)]
        assert nbia.getSeries(collection="no such collection") is None
        assert nbia.getSeries(collection="LIDC-IDRI", patientId=series.patient, format="df").shape[0] == 10
        assert [row["SOPInstanceUID"] for row in nbia.getSopInstanceUids(series.uid)] == [
            file.uid for file in archive.instances(series)
        ]
        (size,) = nbia.getSeriesSize(series.uid)
        assert size == {"ObjectCount": series.count, "TotalSizeInBytes": str(archive.size(series))}
        table = nbia.getSeriesList([series.uid])
        assert (table["SeriesInstanceUID"][0], table["ImageCount"][0]) == (series.uid, series.count)


def test_it_reads_a_shared_cart(box: Sandbox, series: Series) -> None:
    box.share("nbia-49121659384603347", [series.uid])
    with tcia_utils(box) as nbia:
        assert [row["SeriesInstanceUID"] for row in nbia.getSharedCart("nbia-49121659384603347")] == [series.uid]
        assert nbia.getSharedCart("nbia-0") is None


def test_it_asks_the_host_of_the_lung_screening_trial(box: Sandbox) -> None:
    with tcia_utils(box) as nbia:
        assert nbia.getCollections(api_url="nlst") == [{"Collection": "NLST"}]
        assert nbia.getSeries(collection="NLST", patientId="100012", api_url="nlst")


@pytest.mark.parametrize("hashes", [False, True])
def test_it_fetches_a_series(box: Sandbox, archive: Archive, series: Series, tmp_path: Path, hashes: bool) -> None:
    fetch_with_tcia_utils(box, series, tmp_path, hashes=hashes)
    assert by_instance(tmp_path / series.uid) == expected(archive, series)
    names = {path.name for path in (tmp_path / series.uid).iterdir()}
    assert ("md5hashes.csv" in names) is hashes
    assert ("1-001.dcm" in names) is not hashes


def test_it_fetches_a_single_instance(box: Sandbox, archive: Archive, series: Series, tmp_path: Path) -> None:
    first = archive.instances(series)[0]
    with tcia_utils(box) as nbia:
        nbia.downloadImage(series.uid, first.uid, path=str(tmp_path))
    assert by_instance(tmp_path) == {first.uid: expected(archive, series)[first.uid]}


def test_all_clients_leave_the_same_files(box: Sandbox, series: Series, tmp_path: Path) -> None:
    trees = []
    for fetch in (fetch_with_s5cmd, fetch_with_boto3, fetch_with_tcia_utils):
        folder = tmp_path / fetch.__name__
        folder.mkdir()
        fetch(box, series, folder)
        trees.append(by_instance(folder))
    assert len(trees[0]) == series.count
    assert trees[0] == trees[1] == trees[2]
