"""What only a browser may fetch: a person downloads it, and ``medfetch import`` takes it in.

It must not know what lies on that page, and asks the network nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from medfetch.errors import UsageProblem
from medfetch.sources import Net, _by_hand
from medfetch.types import Link, RemoteFile, Selection, Traits


class Manual:
    """Locator: ``at``, the page where a person downloads, and, as far as they are known, ``files``, a list of ``path``,
    ``size``, checksums and ``unpack``: as of ``http``.
    """

    name: ClassVar[str] = "manual"
    traits: ClassVar[Traits] = Traits(offline=True)

    def locate(self, text: str) -> dict[str, Any]:
        raise UsageProblem("manual says where files are to be had in a recipe only", hint="docs/recipes.md")

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        return _by_hand.files(self.name, "at", locator)

    def link(self, url: str, net: Net) -> Link:
        """Raises: Refused."""
        return _by_hand.refuse(url)
