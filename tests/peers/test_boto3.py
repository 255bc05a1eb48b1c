"""boto3, Amazon's own client, works on the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from clients import by_instance, expected, fetch_with_boto3, s3_client

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.dicom import Series


def test_it_lists_in_pages_and_fetches_in_ranges(
    box: Sandbox, archive: Archive, series: Series, tmp_path: Path
) -> None:
    fetch_with_boto3(box, series, tmp_path)
    assert by_instance(tmp_path) == expected(archive, series)
    pages = [entry for entry in box.log if "list-type=2" in entry.target]
    assert len(pages) == -(-series.count // 50)
    assert all(entry.header("authorization") is None for entry in box.log)


def test_it_downloads_in_parts(box: Sandbox, tmp_path: Path) -> None:
    data = box.put("s3://open/large file.bin", size=20_000_000)
    s3_client(box).download_file("open", "large file.bin", str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == data
    ranges = {entry.header("range") for entry in box.log if entry.method == "GET"}
    assert ranges == {"bytes=0-8388607", "bytes=8388608-16777215", "bytes=16777216-"}


def test_it_understands_the_errors(box: Sandbox) -> None:
    client = s3_client(box)
    with pytest.raises(client.exceptions.NoSuchBucket):
        client.list_objects_v2(Bucket="no-such-bucket")
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="idc-open-data", Key="no/such/key")
    assert client.list_objects_v2(Bucket="idc-open-data", Prefix="no/such")["KeyCount"] == 0
