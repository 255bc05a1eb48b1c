"""Datasets of DataLad and other repositories of git-annex, at one commit: keys as checksums, content from the web.

It must not know the formats of git and of git-annex. What is asked: the repository, as a shallow and partial clone asks
it; then the addresses that git-annex knows of each file, by HTTP, without git-annex on this machine.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urljoin, urlsplit

from medfetch import checksum
from medfetch.errors import RecipeError, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net, _annex, _bids, _git
from medfetch.sources._doors import wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.types import RemoteFile, Selection, Traits

BRANCH = "git-annex"
SUPERDATASET = "https://datasets.datalad.org"
"""Where ``///`` leads at DataLad."""
FIELDS = {"repository", "commit", "subdatasets", "path"}
TYPED = re.compile(r"((?:https?://[^\s/@]+)?/[^\s@]+)(?:@(\S+))?")
GITHUB = re.compile(r"https://github\.com/([^/]+/[^/]+?)(?:\.git)?/?")
SUBMODULE = re.compile(r'^\s*\[submodule "(.*)"\]|^\s*(path|url)\s*=\s*(.*?)\s*$', re.MULTILINE)


class DataLad:
    """Locator: ``repository``, its address; ``commit``, or a branch or a tag, without which the newest commit is taken,
    which the plan then holds; ``path``, patterns of files or folders, without which all is taken; ``subdatasets``,
    patterns of the paths of submodules that are wanted, too: without it ``.gitmodules`` but names them.
    """

    name: ClassVar[str] = "datalad"
    traits: ClassVar[Traits] = Traits(endpoints={"datalad": ""}, facets=_bids.FACETS, connections=8)

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found or (text.startswith("/") and not text.startswith("///")):
            raise UsageProblem(f"expected datalad:https://host/repository, or …@COMMIT, not {text!r}")
        address = found[1]
        if address.startswith("///"):
            address = f"{SUPERDATASET}/{address.strip('/')}/.git"
        return {"repository": address, "commit": found[2]} if found[2] else {"repository": address}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, FIELDS, self.name)
        repository, commit = text(locator, "repository", self.name) or "", text(locator, "commit", self.name)
        if urlsplit(repository).scheme not in ("http", "https") or not urlsplit(repository).hostname:
            raise RecipeError(
                f"expected an address with http:// or https://, not {repository!r}", at="datalad.repository"
            )
        patterns, inner = strings(locator, "path", self.name), strings(locator, "subdatasets", self.name)
        for file in _Repository(repository, net).files(commit or "HEAD", "", inner):
            if wanted(file.path, patterns):
                yield file


@dataclass(frozen=True, slots=True)
class _Repository:
    address: str
    net: Net

    def files(self, revision: str, folder: str, inner: tuple[str, ...]) -> Iterator[RemoteFile]:
        """All files, in this folder of the dataset; those of the submodules that are wanted after the others."""
        snapshot = _git.fetch(self._here(self.address), [revision, BRANCH], self.net)
        if revision not in snapshot.commits:
            raise UsageProblem(f"{self.address} has no branch, tag or commit {revision}")
        commit = snapshot.commits[revision]
        places = _annex.Places.read(_logs(snapshot))
        entries = {entry.path: entry for entry in snapshot.entries(commit)}
        for path in entries:
            for where, entry in _meant(path, entries):
                yield self._file(f"{folder}{where}", entry, commit, places)
        for path, address in self._submodules(snapshot.read(commit, ".gitmodules") or b""):
            if path in entries and entries[path].mode == _git.SUBMODULE and fits(f"{folder}{path}", inner):
                there = _Repository(address, self.net)
                yield from there.files(entries[path].id, f"{folder}{path}/", inner)

    def _file(self, path: str, entry: _git.Entry, commit: str, places: _annex.Places) -> RemoteFile:
        """``path`` is where it goes, the entry's own where it is in the repository."""
        key = _annex.linked(entry.data, link=entry.mode == _git.LINK)
        if key:
            urls = [*places.of(key, entry.path)]
            if not urls or not GITHUB.fullmatch(self.address):
                urls += [*_annex.stored(self.address, key), *self._raw(commit, entry.path)]
            size, digests, name = _annex.size(key), _annex.checksums(key), key
        else:
            # Exports have files of git under keys of another kind.
            urls = [url for kind in ("GIT", "SHA1") for url in places.versions(f"{kind}--{entry.id}", entry.path)]
            urls += self._raw(commit, entry.path)
            size = None if entry.data is None else len(entry.data)
            digests, name = (() if size is None else (checksum.git_blob(entry.id, size),)), entry.id
        return RemoteFile(
            relative(path), name, tuple(dict.fromkeys(map(self._here, urls))), size, digests, facets=_bids.facets(path)
        )

    def _raw(self, commit: str, path: str) -> Iterator[str]:
        """Where a host shows a file of git: GitHub; a folder with a checkout; GIN, which shows git-annex's, too."""
        address = self.address.rstrip("/")
        if found := GITHUB.fullmatch(address):
            yield f"https://raw.githubusercontent.com/{found[1]}/{commit}/{quote(path)}"
        elif address.endswith("/.git"):
            yield f"{address.removesuffix('.git')}{quote(path)}"
        else:
            yield f"{address.removesuffix('.git')}/raw/{commit}/{quote(path)}"

    def _submodules(self, text: bytes) -> Iterator[tuple[str, str]]:
        """Paths and addresses, as ``.gitmodules`` has them."""
        told: dict[str, str] = {}
        for _, field, value in SUBMODULE.findall(text.decode("utf-8", "replace") + '\n[submodule ""]'):
            if field:
                told[field] = value
                continue
            if {"path", "url"} <= set(told):
                yield told["path"], urljoin(f"{self.address.rstrip('/')}/", told["url"])
            told = {}

    def _here(self, address: str) -> str:
        """The address; at the mirror, if there is one."""
        if self.net.replaced("datalad"):
            return f"{self.net.endpoint('datalad')}/{address.partition('://')[2]}"
        return address


def _logs(snapshot: _git.Snapshot) -> dict[str, str]:
    """What of the branch ``git-annex`` says where content lies."""
    kinds = (".log.web", ".log.rmet", "remote.log", "trust.log")
    return {
        entry.path: entry.data.decode("utf-8", "replace")
        for entry in snapshot.entries(snapshot.commits.get(BRANCH, ""))
        if entry.data and entry.path.endswith(kinds)
    }


def _led(entry: _git.Entry) -> str | None:
    """Where a symbolic link leads that is not git-annex's; None for all else."""
    if entry.mode != _git.LINK or _annex.linked(entry.data, link=True):
        return None
    target = (entry.data or b"").decode("utf-8", "surrogateescape")
    return posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), target))


def _meant(path: str, entries: Mapping[str, _git.Entry]) -> Iterator[tuple[str, _git.Entry]]:
    """What a path stands for, and where that goes: the file itself; what a link leads to, which may be a folder;
    nothing for a submodule, and for a link that leads to nothing in this dataset."""
    seen = {path}
    entry: _git.Entry | None = entries[path]
    while entry and (target := _led(entry)):
        if target not in entries:
            yield from (
                (path + name.removeprefix(target), each) for name, each in entries.items()
                if name.startswith(f"{target}/") and each.mode != _git.SUBMODULE and _led(each) is None
            )  # fmt: skip
        entry = None if target in seen else entries.get(target)
        seen.add(target)
    if entry and entry.mode != _git.SUBMODULE:
        yield path, entry
