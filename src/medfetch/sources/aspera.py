"""Packages that only IBM's Aspera fetches: a person runs its client, and ``medfetch import`` takes in what came.

It must not know what is in a package, and asks the network nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from medfetch.errors import UsageProblem
from medfetch.sources import Net, _by_hand
from medfetch.types import Link, RemoteFile, Selection, Traits


class Aspera:
    """Locator: ``package``, the address of the package or of the page that leads to it, and ``files`` as of ``manual``.

    medfetch does not speak FASP: its client, ``ascp``, is IBM's own, and a package gives it a token that only the page
    or ``ascli`` can ask for.
    """

    name: ClassVar[str] = "aspera"
    traits: ClassVar[Traits] = Traits(offline=True)

    def locate(self, text: str) -> dict[str, Any]:
        if not text.startswith(("https://", "http://")):
            raise UsageProblem(f"expected the address of a package, https://…, not {text!r}")
        return {"package": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        return _by_hand.files(self.name, "package", locator)

    def link(self, url: str, net: Net) -> Link:
        """Raises: Refused."""
        return _by_hand.refuse(url)
