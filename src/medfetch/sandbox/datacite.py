"""DataCite: where DOIs lead.

It must not know sockets. Protocol: what its interface tells of a DOI (api.datacite.org/dois). The words of refusals
are assumed.
"""

from __future__ import annotations

from medfetch.sandbox.common import refused
from medfetch.sandbox.messages import Answer, Request, as_json


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
