"""A sandbox and series of its archive, for the hosts' real clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive, opened
from medfetch.sandbox.dicom import Series

# Both of LIDC-IDRI-0001: two radiographs, and a CT of 133 slices.
DX = "1.3.6.1.4.1.14519.5.2.1.6279.6001.141365756818074696859567662357"
CT = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=20_000) as box:
        yield box


@pytest.fixture(scope="session")
def archive() -> Archive:
    return opened(20_000)


@pytest.fixture(params=[DX, CT], ids=["DX", "CT"])
def series(request: pytest.FixtureRequest, archive: Archive) -> Series:
    found = archive.find(request.param)
    assert found is not None
    return found
