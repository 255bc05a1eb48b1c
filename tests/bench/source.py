"""A source for medfetch that reads a list, as the archives' sources read an index: recipes do not name 20,000 files.

The benchmark installs it beside medfetch, as a package of somebody else would be. Locator: ``list``, a file with a line
``PATH SIZE SHA256`` for each file, and ``origin``, the address that paths are appended to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from medfetch.errors import UsageProblem
from medfetch.types import Checksum, RemoteFile, Traits

CONNECTIONS = int(os.environ["BENCH_CONNECTIONS"])
"""What the host bears at once."""


class Bench:
    name: ClassVar[str] = "bench"
    traits: ClassVar[Traits] = Traits(connections=CONNECTIONS, offline=True)

    def locate(self, text: str) -> dict[str, Any]:
        raise UsageProblem("this source is for the benchmark's own recipes")

    def resolve(self, locator: Mapping[str, Any], net: object, selection: object) -> Iterator[RemoteFile]:
        with open(locator["list"]) as lines:
            for line in lines:
                path, size, sha256 = line.split()
                url = locator["origin"] + path
                yield RemoteFile(path, f"sha256:{sha256}", (url,), int(size), (Checksum("sha256", sha256),))
