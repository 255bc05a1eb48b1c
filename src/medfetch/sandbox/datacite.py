"""DataCite: where DOIs lead; and doi.org: who wrote what has one.

It must not know sockets. Protocol: what its interface tells of a DOI (api.datacite.org/dois), and CSL-JSON for whoever
asks doi.org for it (citation.crosscite.org/docs.html; there a redirect leads to the agency). The words of refusals are
assumed.
"""

from __future__ import annotations

from typing import Any

from medfetch.sandbox.common import refused
from medfetch.sandbox.messages import Answer, Request, as_json, text


class DataCite:
    """Where DOIs lead."""

    def __init__(self) -> None:
        self._dois: dict[str, tuple[str, str]] = {}

    def register(self, doi: str, address: str, publisher: str = "The sandbox") -> None:
        self._dois[doi.casefold()] = address, publisher

    def answer(self, request: Request, path: str) -> Answer:
        doi = path.removeprefix("dois/").casefold()
        if doi not in self._dois:
            return refused(404, errors=[{"title": "The resource you are looking for doesn't exist."}])
        address, publisher = self._dois[doi]
        told = {"doi": doi, "url": address, "publisher": publisher, "titles": [{"title": "Sandbox"}]}
        client = {"client": {"data": {"id": "sandbox.client", "type": "clients"}}}
        return as_json({"data": {"id": doi, "type": "dois", "attributes": told, "relationships": client}})


class Doi:
    """Who wrote what has a DOI."""

    KIND = "application/vnd.citationstyles.csl+json"

    def __init__(self) -> None:
        self._items: dict[str, dict[str, Any]] = {}

    def describe(self, doi: str, **item: Any) -> None:
        """``item``: what an agency says of it, in CSL-JSON."""
        self._items[doi.casefold()] = item

    def answer(self, request: Request, path: str) -> Answer:
        item = self._items.get(path.casefold())
        if item is None:
            return text("DOI Not Found\n", 404)
        if self.KIND not in (request.header("accept") or ""):
            return text("Not Acceptable\n", 406)
        return as_json({"DOI": path, **item})
