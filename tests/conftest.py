"""What the tests of the whole share: a cache, a sandbox, and ``medfetch`` itself as a process with a home of its own.

Its presence also puts this folder on the import path, so that helpers beside it can be imported by all tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import CAP, Medfetch, Run

from medfetch.sandbox import Sandbox


def pytest_configure(config: pytest.Config) -> None:
    # The compiled recipes of tests are kept with pytest's own things, not in the user's cache directory.
    os.environ["XDG_CACHE_HOME"] = str(config.cache.mkdir("medfetch"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where runs keep their datasets; not made yet."""
    return tmp_path / "cache"


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=CAP) as box:
        yield box


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of the person who runs medfetch, and the folder where they stand."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def run(tmp_path: Path, home: Path, cache: Path, box: Sandbox) -> Run:
    """The real ``medfetch``, with nothing of this machine's environment but the path, against the sandbox."""
    return Medfetch(
        home,
        {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "MEDFETCH_CACHE": str(cache),
            "MEDFETCH_BACKOFF": "0.01",
            "MEDFETCH_PROCESSES": "2",
            "MEDFETCH_RESERVE": "0",
            "MEDFETCH_RECIPES": str(home),
            # A machine at Amazon has keys of its own, and one at Google an account.
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_GCE_CHECK": "true",
            **box.environment,
        },
    )
