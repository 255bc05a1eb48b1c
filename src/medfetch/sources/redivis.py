"""Redivis: the files of a dataset's file index tables, by token.

It must not know how people are let in. Read 2026-11-29: redivis 0.21.1, Redivis's own client (classes/Dataset.py,
Table.py, File.py; common/api_request.py, fetch_rows.py, TabularReader.py, retryable_download.py), and the pages of
docs.redivis.com/api on references, datasets, tables, tables.listRows, files.get, errors and scopes. The client asks
``rawFiles`` of a table for the list of files in Arrow's format; ``rows`` has the same as lines of JSON. Public scripts
that fetch datasets of Stanford AIMI show the columns (file_id, file_name, size, md5_hash, added_at), and that MD5s are
in base64. Assumed: that lines of JSON have them in the same words.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, ClassVar
from urllib.parse import quote

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net
from medfetch.sources._answers import told
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component, relative
from medfetch.types import Checksum, Door, RemoteFile, Selection, Traits, Verdict

CREDENTIAL = "redivis"
TOKENS = "https://redivis.com/workspace/settings/tokens"
DATASET = re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+(:[a-z0-9]{4})?")
VERSION = re.compile(r"v?([0-9]+)[._]([0-9]+)")
TYPED = re.compile(rf"(?P<dataset>{DATASET.pattern})(:(?P<version>{VERSION.pattern}))?(\.(?P<table>[^.]+))?")
PAGE = "100"
"""Tables of a list at once, as its client asks for them."""
ENOUGH = ("data", "edit")
"""Levels of access with which files can be had; below are overview, metadata and sample."""


@dataclass(frozen=True, slots=True)
class _Place:
    dataset: str
    """``owner.name``, with Redivis's own id for it and a version where they are told: ``owner.name:abcd:v1_0``."""
    tables: tuple[str, ...]
    patterns: tuple[str, ...]


class Redivis:
    """Locator: ``dataset``, as ``owner.name`` or ``owner.name:abcd``; ``version``, without which the current one is
    taken; ``table``, names or references of file index tables, without which all are taken; ``path``, patterns of files
    or folders, without which all is taken.

    Each table is a folder. Tables of rows are left out: neither size nor checksum of what Redivis makes of one is told,
    and no end marks it, so that half a table would pass for a whole one.
    """

    name: ClassVar[str] = "redivis"
    # 1,000 requests a minute are allowed, of which each file takes one; how many at once is not said.
    traits: ClassVar[Traits] = Traits(
        endpoints={"redivis": "https://redivis.com/api/v1"}, connections=8, logins=(CREDENTIAL,)
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            expected = "redivis:owner.dataset, redivis:owner.dataset:abcd:v1_0 or redivis:owner.dataset:abcd:v1_0.table"
            raise UsageProblem(
                f"{text!r} is no reference of Redivis; expected {expected}",
                hint="a dataset's page shows it, under API information",
            )
        return {name: value for name, value in found.groupdict().items() if value}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        """Files have stable addresses at Redivis, which may redirect to a signed link, a new one each time."""
        place = _place(locator)
        api = _Api(place, net)
        try:
            if verdict := api.shut():
                raise closed(verdict, api.step)
            for table in api.tables():
                yield from (file for file in api.files(table) if wanted(file.path, place.patterns))
        except Refused as error:
            raise closed(api.verdict(error), api.step) from error

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        """Asks for a row of the first table, too: a token may have a right to less than the person."""
        api = _Api(_place(locator), net)
        try:
            if verdict := api.shut():
                return verdict
            api.rows(next(api.tables()), limit=1)
        except Refused as error:
            return api.verdict(error)
        except UsageProblem as error:
            return Verdict(Door.ABSENT, f"{error.message}; {error.hint}", api.page)
        return Verdict(Door.OPEN, f"Redivis gives you the files of {api.reference}", api.page)


class _Api:
    """A dataset as Redivis shows it to whoever asks."""

    def __init__(self, place: _Place, net: Net) -> None:
        self._place, self._net = place, net
        self._base = net.endpoint("redivis")
        self.reference = place.dataset
        self.page: str | None = None
        """Where access is applied for; known once the dataset was shown."""
        self.step = f"redivis-{place.dataset.partition(':')[0]}"

    def shut(self) -> Verdict | None:
        """Why the files are not to be had, as far as the dataset's own description tells."""
        told = self._ask(f"datasets/{quote(self.reference, safe='')}")
        self.page = str(told["url"]) if told.get("url") else None
        # From here on it is one version, whatever is released meanwhile.
        self.reference = str(told.get("qualifiedReference") or self.reference)
        if (level := told.get("accessLevel")) in ENOUGH:
            return None
        if not self._net.has(CREDENTIAL):
            return self._no_login()
        return self._not_approved(f'Redivis gives you access to {self.reference} at the level "{level}", not "data"')

    def tables(self) -> Iterator[Mapping[str, Any]]:
        """The file index tables that are wanted. Raises: UsageProblem where there are none."""
        if self._place.tables:
            for name in self._place.tables:
                table = self._ask(f"tables/{quote(f'{self.reference}.{name}', safe='')}")
                if not table.get("isFileIndex"):
                    raise UsageProblem(
                        f"{name} of {self.reference} is a table of rows, and has no files", hint=self._hint()
                    )
                yield table
            return
        found = False
        for table in self._listed(f"datasets/{quote(self.reference, safe='')}/tables"):
            if table.get("isFileIndex"):
                found = True
                yield table
        if not found:
            raise UsageProblem(f"{self.reference} has tables of rows only, and no files", hint=self._hint())

    def rows(self, table: Mapping[str, Any], limit: int | None = None) -> list[tuple[str, str, int | None, str | None]]:
        """Name, id, size and MD5 of each file of a table, by name. Raises: Retryable where it is not all of them."""
        reference = str(table.get("qualifiedReference"))
        url = f"{self._base}/tables/{quote(reference, safe='')}/rows"
        query = {"format": "jsonl"} | ({"maxResults": str(limit)} if limit else {})
        answer = self._net.get(url, query, credential=self._credential())
        try:
            rows = sorted((_row(line) for line in answer.content.splitlines() if line), key=itemgetter(0, 1))
        except (ValueError, KeyError, TypeError) as error:
            raise Retryable(f"Redivis did not answer with the files of {reference}: {error!r}") from None
        if limit is None and type(count := table.get("numRows")) is int and len(rows) != count:
            raise Retryable(f"Redivis listed {len(rows)} of the {count} files of {reference}")
        return rows

    def files(self, table: Mapping[str, Any]) -> Iterator[RemoteFile]:
        folder = component(str(table.get("name")))
        for name, key, size, md5 in self.rows(table):
            yield RemoteFile(
                path=relative(f"{folder}/{name}"),
                key=f"redivis:{key}",
                urls=(f"{self._base}/rawFiles/{quote(key, safe='')}",),
                size=size,
                checksums=(Checksum("md5", md5),) if md5 else (),
                credential=self._credential(),
            )

    def _listed(self, path: str) -> Iterator[Mapping[str, Any]]:
        """A list, page by page."""
        query = {"maxResults": PAGE}
        while True:
            page = self._ask(path, query)
            rows, further = page.get("results"), page.get("nextPageToken")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Retryable(f"Redivis did not answer with the tables of {self.reference}")
            yield from rows
            if not further:
                return
            if further == query.get("pageToken"):
                raise Retryable(f"Redivis answers the same page of the tables of {self.reference} again and again")
            query["pageToken"] = str(further)

    def _ask(self, path: str, query: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        answer = self._net.get(f"{self._base}/{path}", query, credential=self._credential())
        return told(answer, f"Redivis, asked for {self.reference},")

    def _credential(self) -> str | None:
        """Without a token Redivis shows what is public."""
        return CREDENTIAL if self._net.has(CREDENTIAL) else None

    def _hint(self) -> str:
        return "rows can be had on its page, or with Redivis's own client" + (f": {self.page}" if self.page else "")

    # -- doors ---------------------------------------------------------------------------------------------------

    def verdict(self, error: Refused) -> Verdict:
        """What a refusal means. Raises: the error itself where it is not Redivis's (a certificate, a proxy)."""
        if error.status not in (401, 403, 404):
            raise error
        if not self._net.has(CREDENTIAL):
            return self._no_login()
        if error.status == 401:
            said = "Redivis does not know your token: it is wrong, was deleted or has expired"
            return Verdict(Door.WRONG_LOGIN, said, TOKENS)
        if error.status == 404:
            said = f"Redivis has no {self.reference} with that version and those tables, or none that you may see"
            return Verdict(Door.ABSENT, said)
        if "insufficient_scope" in error.message:
            said = "your token has no right to data: make one with the scope data.data"
            return Verdict(Door.WRONG_LOGIN, said, TOKENS)
        return self._not_approved(f"Redivis does not give you the files of {self.reference} ({error.message})")

    def _no_login(self) -> Verdict:
        said = f"Redivis gives nobody the files of {self.reference} without a token, and there is none here: make one"
        return Verdict(Door.NO_LOGIN, f"{said} with the scope data.data, and run medfetch login redivis", TOKENS)

    def _not_approved(self, because: str) -> Verdict:
        """Which requirement it is, the page alone tells: the API has them for administrators only."""
        said = f"{because}: a requirement was not applied for yet, is pending, was rejected, or has lapsed."
        said += ' "Apply for access" on its page lists them; membership of the organization comes first'
        return Verdict(Door.NOT_APPROVED, said, self.page)


def _row(line: bytes) -> tuple[str, str, int | None, str | None]:
    """Raises: ValueError, KeyError, TypeError."""
    row = json.loads(line)
    name, key, size = row["file_name"], row["file_id"], row.get("size")
    if not isinstance(name, str) or not isinstance(key, str):
        raise TypeError(f"{name!r} with the id {key!r}")
    return name, key, None if size is None else int(size), _md5(row.get("md5_hash"))


def _md5(told: Any) -> str | None:
    """In hexadecimal digits, of base64; None for what is no MD5."""
    try:
        digest = base64.b64decode(told, validate=True)
    except (TypeError, ValueError):
        return None
    return digest.hex() if len(digest) == 16 else None


def _place(locator: Mapping[str, Any]) -> _Place:
    only(locator, {"dataset", "version", "table", "path"}, "redivis")
    dataset, version = text(locator, "dataset", "redivis") or "", text(locator, "version", "redivis")
    if not DATASET.fullmatch(dataset):
        raise RecipeError(f"expected owner.name, or owner.name:abcd with its id, not {dataset!r}", at="redivis.dataset")
    tag = VERSION.fullmatch(version or "")
    if version and not tag:
        raise RecipeError(f"expected a version such as v1_0, not {version!r}", at="redivis.version")
    pinned = f"{dataset}:v{tag[1]}_{tag[2]}" if tag else dataset
    return _Place(pinned, strings(locator, "table", "redivis"), strings(locator, "path", "redivis"))
