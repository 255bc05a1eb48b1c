"""Files of a repository at GitHub at one commit, those that Git LFS keeps too; or what is attached to a release.

It must not know what the files are. Protocol: GitHub's REST API (docs.github.com/rest: git/trees, commits, releases;
rate limits), read 2026-11-29. Bytes come from raw.githubusercontent.com, of Git LFS from media.githubusercontent.com.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from medfetch import checksum
from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers, _lfs
from medfetch.sources._doors import wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component, relative
from medfetch.types import Checksum, RemoteFile, Selection, Traits

CREDENTIAL = "github"
SITE = "https://github.com"
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
COMMIT = re.compile(r"[0-9a-f]{40}")
TYPED = re.compile(
    r"(?P<repository>[^/@]+/[^/@]+?)(?:\.git)?/?"
    r"(?:(?:@|/tree/|/commit/)(?P<commit>[^@]+?)|/releases/tag/(?P<release>[^@]+?))?/?"
)
LINK = "120000"
"""The mode of a symbolic link in git."""


class GitHub:
    """Locator: ``repository``, ``owner/name``; ``commit``, or a branch or a tag, without which the newest commit is
    taken, which the plan then holds; or ``release``, the tag of a release, for the files that are attached to it;
    ``path``, patterns of files or folders, without which all is taken.

    Of a file in git its own id is the checksum, of one in Git LFS the SHA-256 in its pointer, which is read when its
    turn comes. Submodules are other repositories, which ``.gitmodules`` names, and are left out.
    """

    name: ClassVar[str] = "github"
    traits: ClassVar[Traits] = Traits(
        endpoints={
            "github": "https://api.github.com",
            "github_raw": "https://raw.githubusercontent.com",
            "github_lfs": "https://media.githubusercontent.com/media",
            "github_releases": SITE,
        },
        connections=8,
        logins=(CREDENTIAL,),
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(unquote(text.removeprefix(f"{SITE}/")))
        if not found or not REPOSITORY.fullmatch(found["repository"]):
            raise UsageProblem(
                f"{text!r} is no repository of GitHub; expected github:owner/name, or …@COMMIT",
                hint=f"files attached to a release: github:{SITE}/owner/name/releases/tag/TAG",
            )
        return {name: value for name, value in found.groupdict().items() if value}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"repository", "commit", "release", "path"}, self.name)
        repository, patterns = text(locator, "repository", self.name) or "", strings(locator, "path", self.name)
        commit, release = text(locator, "commit", self.name), text(locator, "release", self.name)
        if not REPOSITORY.fullmatch(repository):
            raise RecipeError(f"expected owner/name, not {repository!r}", at="github.repository")
        if commit and release:
            raise RecipeError("expected a commit or a release, not both", at="github")
        asked = _Repository(repository, net)
        files = asked.attached(release) if release else asked.files(commit or "HEAD", patterns)
        for file in files:
            if wanted(file.path, patterns):
                yield file


@dataclass(frozen=True, slots=True)
class _Repository:
    name: str
    net: Net

    @property
    def credential(self) -> str | None:
        return CREDENTIAL if self.net.has(CREDENTIAL) else None

    # -- files at a commit -------------------------------------------------------------------------------------------

    def files(self, revision: str, patterns: tuple[str, ...]) -> Iterator[RemoteFile]:
        commit = revision if COMMIT.fullmatch(revision) else self._commit(revision)
        for path, row, rules in self._walk(commit, commit, "", []):
            if wanted(path, patterns):
                yield self._file(path, row, commit, _lfs.keeps(rules, path))

    def _commit(self, revision: str) -> str:
        told = self._told(f"commits/{quote(revision, safe='')}", f"no branch, tag or commit {revision}")
        commit = told.get("sha")
        if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
            raise Retryable(f"GitHub did not say which commit of {self.name} is {revision!r}")
        return commit

    def _walk(
        self, tree: str, commit: str, folder: str, rules: list[_lfs.Rule]
    ) -> Iterator[tuple[str, Mapping[str, Any], list[_lfs.Rule]]]:
        """Paths, what GitHub says of the files, and the rules that may be about them; a folder at a time where there
        are more than it lists at once."""
        told = self._told(f"git/trees/{tree}", f"no commit {commit}", recursive="1")
        whole = not told.get("truncated")
        if not whole:
            told = self._told(f"git/trees/{tree}", f"no commit {commit}")
            if told.get("truncated"):
                raise Refused(f"GitHub lists only a part of the folder {folder or '/'} of {self.name}")
        rows = told.get("tree")
        if not isinstance(rows, list) or not all({"path", "type", "sha", "mode"} <= set(row) for row in rows):
            raise Retryable(f"GitHub did not answer with the tree of {self.name}")
        names = [row["path"] for row in rows if posixpath.basename(row["path"]) == _lfs.ATTRIBUTES]
        for name in sorted(names, key=lambda name: name.count("/")):
            within = f"{folder}{name.removesuffix(_lfs.ATTRIBUTES)}"
            rules = [*rules, *_lfs.rules(self._read(commit, f"{folder}{name}"), within)]
        for row in rows:
            if row["type"] == "blob":
                yield f"{folder}{row['path']}", row, rules
            elif row["type"] == "tree" and not whole:
                yield from self._walk(row["sha"], commit, f"{folder}{row['path']}/", rules)

    def _file(self, path: str, row: Mapping[str, Any], commit: str, lfs: bool) -> RemoteFile:
        path, size = relative(path), int(row["size"])
        if row["mode"] == LINK:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), self._read(commit, path)))
            return RemoteFile(path, f"{commit}/{path}", (self._raw(commit, target),), credential=self.credential)
        if lfs and size < _lfs.LONGEST_POINTER and (found := _lfs.pointer(self._read(commit, path))):
            digest, size = Checksum("sha256", found[0]), found[1]
            address = f"{self.net.endpoint('github_lfs')}/{self.name}/{commit}/{quote(path)}"
        else:
            digest, address = checksum.git_blob(row["sha"], size), self._raw(commit, path)
        return RemoteFile(path, str(digest), (address,), size, (digest,), credential=self.credential)

    def _raw(self, commit: str, path: str) -> str:
        return f"{self.net.endpoint('github_raw')}/{self.name}/{commit}/{quote(path)}"

    def _read(self, commit: str, path: str) -> str:
        """A small file of text."""
        content: bytes = self.net.get(self._raw(commit, path), credential=self.credential).content
        return content.decode("utf-8", "replace")

    # -- what is attached to a release -------------------------------------------------------------------------------

    def attached(self, tag: str) -> Iterator[RemoteFile]:
        """Files of a release, with their SHA-256 where GitHub tells it."""
        told = self._told(f"releases/tags/{quote(tag, safe='')}", f"no release {tag}")
        for asset in told.get("assets") or []:
            if asset.get("state", "uploaded") != "uploaded":
                continue
            digest = str(asset.get("digest") or "")
            sums = (checksum.parse(digest),) if digest.startswith("sha256:") else ()
            address = self.net.endpoint("github_releases") + urlsplit(asset["browser_download_url"]).path
            yield RemoteFile(component(asset["name"]), f"asset {asset['id']}", (address,), asset.get("size"), sums)

    # -- the interface -----------------------------------------------------------------------------------------------

    def _told(self, what: str, absent: str, **parameters: str) -> dict[str, Any]:
        """Raises: UsageProblem where it is not there, Refused where no more may be asked."""
        address = f"{self.net.endpoint('github')}/repos/{self.name}/{what}"
        try:
            answer = self.net.get(address, parameters, credential=self.credential)
        except Refused as error:
            if error.status in (404, 409, 422):
                private = "" if self.credential else "; or it is private, and wants a token: medfetch login github"
                raise UsageProblem(f"GitHub has no repository {self.name}, or {absent} in it{private}") from None
            if error.status in (403, 429) and "rate limit" in error.message:
                hint = None if self.credential else "a token allows 5,000 requests an hour: medfetch login github"
                raise Refused("GitHub allows no more requests for now", status=error.status, hint=hint) from None
            raise
        return _answers.told(answer, "GitHub")
