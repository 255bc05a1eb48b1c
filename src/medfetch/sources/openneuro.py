"""Datasets of OpenNeuro at one snapshot: versions of files in its bucket, with the digests that its tree tells.

It must not know how BIDS names its files, nor what is in a key of git-annex. Protocol: OpenNeuro's GraphQL interface
(docs/api.md and packages/openneuro-server of OpenNeuroOrg/openneuro as of 2026-08-19, read 2026-11-29). There a file's
``id`` is its key where git-annex has it, else git's own id of it; openneuro-py issue 328 found the same on the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlsplit

from medfetch import checksum
from medfetch.errors import AccessRequired, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _annex, _answers, _bids
from medfetch.sources._doors import closed, wanted
from medfetch.sources._listing import bucket_address
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.types import About, Door, RemoteFile, Selection, Traits, Verdict

SITE = "https://openneuro.org"
STORAGE = "https://s3.amazonaws.com/"
CREDENTIAL = "openneuro"
DATASET = re.compile(r"ds[0-9]{6}")
TYPED = re.compile(rf"(?:{SITE}/datasets/)?(ds[0-9]{{6}})(?:(?:@|/versions/)([A-Za-z0-9._-]+)(?:/.*)?|/.*)?")
GIT_ID = re.compile(r"[0-9a-f]{40}")
EMPTY = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
"""Git's id of a file without a byte."""
FILES = "{ id filename size annexed directory urls }"
ALL = f"query ($id: ID!, $tag: String!) {{ snapshot(datasetId: $id, tag: $tag) {{ files(recursive: true) {FILES} }} }}"
LEVEL = (
    "query ($id: ID!, $tag: String!, $tree: String) "
    f"{{ snapshot(datasetId: $id, tag: $tag) {{ files(tree: $tree) {FILES} }} }}"
)
NEWEST = "query ($id: ID!) { dataset(id: $id) { latestSnapshot { tag } } }"
ABOUT = (
    "query ($id: ID!, $tag: String!) { snapshot(datasetId: $id, tag: $tag) "
    "{ tag description { Name License DatasetDOI } summary { modalities subjects } } }"
)
NAMED = "query ($id: ID!, $tag: String!) { snapshot(datasetId: $id, tag: $tag) { tag } }"


class OpenNeuro:
    """Locator: ``dataset``, such as ``ds002236``; ``version``, a snapshot, without which the newest is taken, which
    the plan then holds; ``path``, patterns of files or folders, without which all is taken.

    The addresses are those of versions of S3's objects, so that an old snapshot stays what it was. Sizes and digests
    are those of git-annex's keys and of git: of a file without either nothing is promised, for the interface's own
    sizes have often been wrong. Private datasets are had by way of the site, which wants the person's key.
    """

    name: ClassVar[str] = "openneuro"
    traits: ClassVar[Traits] = Traits(
        endpoints={"openneuro": SITE, "openneuro_s3": f"{STORAGE}{{bucket}}"},
        facets=_bids.FACETS,
        connections=8,
        logins=(CREDENTIAL,),
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            raise UsageProblem(f"{text!r} is no dataset of OpenNeuro; expected openneuro:ds002236, or …@1.1.0")
        return {"dataset": found[1], "version": found[2]} if found[2] else {"dataset": found[1]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        patterns = strings(locator, "path", self.name)
        asked = _Asked(*_place(locator), net)
        snapshot = replace(asked, tag=asked.snapshot())
        for file in snapshot.files():
            if wanted(file.path, patterns):
                yield file

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        newest = _Asked(_place(locator)[0], "", net).snapshot()
        asked = _Asked(*_place(locator), net)
        asked = replace(asked, tag=asked.tag or newest)
        told = asked.ask(ABOUT).get("snapshot") or {}
        description, summary = told.get("description") or {}, told.get("summary") or {}
        doi = str(description.get("DatasetDOI") or "")
        return About(
            name=description.get("Name"),
            version=asked.tag,
            newest=newest,
            licence=description.get("License"),
            doi=doi.removeprefix("doi:").removeprefix("https://doi.org/") or None,
            homepage=f"{SITE}/datasets/{asked.dataset}/versions/{asked.tag}",
            subjects=len(summary.get("subjects") or ()) or None,
            modality=tuple(summary.get("modalities") or ()),
            pins={"version": asked.tag},
        )

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        asked = _Asked(*_place(locator), net)
        try:
            tag = asked.snapshot()
        except AccessRequired as error:
            (step,) = error.steps
            return Verdict(Door.NOT_APPROVED if net.has(CREDENTIAL) else Door.NO_LOGIN, step["do"], step["at"])
        except UsageProblem as error:
            return Verdict(Door.ABSENT, error.message, f"{SITE}/datasets/{asked.dataset}")
        return Verdict(Door.OPEN, f"OpenNeuro has {asked.dataset} at {tag}", f"{SITE}/datasets/{asked.dataset}")


def _place(locator: Mapping[str, Any]) -> tuple[str, str]:
    """Dataset and version; the latter empty where none is told."""
    only(locator, {"dataset", "version", "path"}, "openneuro")
    dataset = text(locator, "dataset", "openneuro") or ""
    if not DATASET.fullmatch(dataset):
        raise RecipeError(f"expected an accession number such as ds002236, not {dataset!r}", at="openneuro.dataset")
    return dataset, text(locator, "version", "openneuro") or ""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A snapshot, and how it is asked for."""

    dataset: str
    tag: str
    net: Net

    @property
    def credential(self) -> str | None:
        return CREDENTIAL if self.net.has(CREDENTIAL) else None

    def snapshot(self) -> str:
        """The tag, once it is known to be there; of the newest snapshot where none was named. Raises: as ``ask``."""
        if self.tag:
            told = self.ask(NAMED).get("snapshot")
        else:
            told = (self.ask(NEWEST).get("dataset") or {}).get("latestSnapshot")
        if not told or not isinstance(told.get("tag"), str):
            raise UsageProblem(f"OpenNeuro has no {self.dataset}{f' with a version {self.tag}' if self.tag else ''}")
        return str(told["tag"])

    def files(self) -> Iterator[RemoteFile]:
        """All files; level by level where the whole is too much for the interface."""
        try:
            rows = self._rows(ALL)
        except Retryable:
            yield from self._level(None, "")
            return
        yield from self._followed(rows, "")

    def _level(self, tree: str | None, folder: str) -> Iterator[RemoteFile]:
        rows = self._rows(LEVEL, tree=tree)
        yield from self._followed([row for row in rows if not row.get("directory")], folder)
        for row in rows:
            if row.get("directory"):
                yield from self._level(row["id"], f"{folder}{row['filename']}/")

    def _rows(self, query: str, **more: str | None) -> list[dict[str, Any]]:
        rows = (self.ask(query, **more).get("snapshot") or {}).get("files")
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and {"id", "filename"} <= set(row) for row in rows
        ):
            raise Retryable(f"OpenNeuro did not answer with the files of {self.dataset}")
        return rows

    def _followed(self, rows: list[dict[str, Any]], folder: str) -> Iterator[RemoteFile]:
        """Files in a folder, and what symbolic links in it lead to, which are not told apart but by their size of 0."""
        links = []
        for row in rows:
            if not row.get("annexed") and not row.get("size") and GIT_ID.fullmatch(row["id"]) and row["id"] != EMPTY:
                links.append(row)
            else:
                yield self._file(row, f"{folder}{row['filename']}")
        listed = {f"{folder}{row['filename']}": row for row in rows if row not in links} if links else {}
        for row in links:
            path = f"{folder}{row['filename']}"
            leads = self.net.get(self._object(row["id"]), credential=self.credential).text.strip()
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), leads))
            if target in listed:
                yield replace(self._file(listed[target], target), path=relative(path), facets=_bids.facets(path))
            else:
                key, url = f"{self.dataset}:{self.tag}:{target}", self._by_path(target)
                yield RemoteFile(relative(path), key, (url,), facets=_bids.facets(path), credential=self.credential)

    def _file(self, row: Mapping[str, Any], path: str) -> RemoteFile:
        key, size, urls = str(row["id"]), row.get("size"), row.get("urls") or []
        digests = _annex.checksums(key) if row.get("annexed") else ()
        told = _annex.size(key) if row.get("annexed") else None
        if not row.get("annexed") and GIT_ID.fullmatch(key) and isinstance(size, int):
            digests, told = (checksum.git_blob(key, size),), size
        in_bucket = self._in_bucket(str(urls[0]) if urls else "")
        # What lies in the bucket has not always been what was meant (openneuro issues 3446 and 3875).
        by_digest = (self._object(key),) if digests else ()
        return RemoteFile(
            relative(path), f"{self.dataset}:{key}", (in_bucket or self._by_path(path), *by_digest), told, digests,
            facets=_bids.facets(path), credential=None if in_bucket else self.credential,
        )  # fmt: skip

    def _in_bucket(self, url: str) -> str | None:
        """A public version of an object; None for all else, such as a signed link, which is a secret and expires."""
        parts = urlsplit(url)
        if not url.startswith(STORAGE) or "Signature" in parse_qs(parts.query):
            return None
        if not self.net.replaced("openneuro_s3"):
            return url
        bucket, _, key = parts.path.lstrip("/").partition("/")
        there = f"{bucket_address(self.net.endpoint('openneuro_s3'), bucket)}/{key}"
        return f"{there}?{parts.query}" if parts.query else there

    def _by_path(self, path: str) -> str:
        """Where the site sends a file, or leads to it, signed where it is private."""
        name = quote(path.replace("/", ":"), safe=":")
        return f"{self.net.endpoint('openneuro')}/crn/datasets/{self.dataset}/snapshots/{self.tag}/files/{name}"

    def _object(self, key: str) -> str:
        """Where the site sends a file of git or of git-annex by its name there."""
        return f"{self.net.endpoint('openneuro')}/crn/datasets/{self.dataset}/objects/{key}"

    def ask(self, query: str, **more: str | None) -> Mapping[str, Any]:
        """What the interface answers. Raises: AccessRequired, UsageProblem, Retryable."""
        variables = {"id": self.dataset, "tag": self.tag, **more}
        asked = {name: value for name, value in variables.items() if f"${name}" in query}
        try:
            answer = self.net.post(
                f"{self.net.endpoint('openneuro')}/crn/graphql",
                json={"query": query, "variables": asked},
                credential=self.credential,
            )
        except Refused as error:
            if error.status != 400:
                raise
            raise UsageProblem(
                f"OpenNeuro does not understand the question for {self.dataset}: {error.message}"
            ) from None
        told = _answers.told(answer, "OpenNeuro")
        if errors := told.get("errors"):
            raise self._refusal(str(errors[0].get("message", "")))
        content = told.get("data")
        return content if isinstance(content, dict) else {}

    def _refusal(self, said: str) -> Exception:
        """The interface says in words, with the status 200, what is wrong."""
        page = f"{SITE}/datasets/{self.dataset}"
        if "do not have access to read" in said:
            if self.credential:
                do = f"ask the owners of {self.dataset} to share it with you; or your key is over: {SITE}/keygen"
                return closed(Verdict(Door.NOT_APPROVED, do, page), f"openneuro-{self.dataset}")
            do = f"{self.dataset} is private: who may have it makes a key and runs medfetch login {CREDENTIAL}"
            return closed(Verdict(Door.NO_LOGIN, do, f"{SITE}/keygen"), f"openneuro-{self.dataset}")
        if "does not exist" in said or "has been deleted" in said or "not found" in said.lower():
            return UsageProblem(f"OpenNeuro: {said}", hint=f"see {page}")
        return Retryable(f"OpenNeuro answered {said or 'an error without a word'!r}")
