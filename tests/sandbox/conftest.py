"""Sandboxes for the tests of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive, opened

CAP = 20_000


@pytest.fixture(scope="session")
def archive() -> Archive:
    return opened(CAP)


@pytest.fixture(scope="session")
def shared() -> Iterator[Sandbox]:
    """For tests that neither add faults nor count."""
    with Sandbox(max_instance_bytes=CAP) as box:
        yield box


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=CAP) as box:
        yield box
