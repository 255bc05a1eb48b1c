"""A source of as many files as one likes, for the benchmark of scale. Nobody answers at its addresses.

The benchmark installs it beside medfetch, as a package of somebody else would be. Locator: ``count``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from medfetch.types import Checksum, RemoteFile, Traits

FOLDER = 1000
"""Files in each folder."""
SIZE = 8


class Numbered:
    name: ClassVar[str] = "numbered"
    traits: ClassVar[Traits] = Traits(offline=True)

    def locate(self, text: str) -> dict[str, Any]:
        return {"count": int(text)}

    def resolve(self, locator: Mapping[str, Any], net: object, selection: object) -> Iterator[RemoteFile]:
        for number in range(locator["count"]):
            path, md5 = f"{number // FOLDER:06d}/{number:09d}.dcm", f"{number:032x}"
            yield RemoteFile(path, f"md5:{md5}", (f"http://127.0.0.1:9/{path}",), SIZE, (Checksum("md5", md5),))
