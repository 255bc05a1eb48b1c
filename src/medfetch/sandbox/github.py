"""What GitHub answers of repositories: trees, commits, releases, files, those of Git LFS; and its limit for requests.

It must not know sockets. Protocol: docs.github.com/rest (git/trees, commits, releases, rate limits), git's own format
of trees (gitformat-pack and git-hash-object), docs/spec.md of git-lfs.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import elsewhere

TOKEN = "ghp_sandbox"
FILE, LINK = "100644", "120000"


@dataclass(frozen=True)
class Blob:
    mode: str
    data: bytes
    """What git has: a pointer, where Git LFS has the content."""
    content: Content

    @property
    def sha(self) -> str:
        return _hash("blob", self.data)


class GitHub:
    """Repositories. ``most`` is the number of entries that a tree lists at once, ``left`` how many requests whoever has
    no token may still make, None for no limit."""

    def __init__(self) -> None:
        self.most = 100_000
        self.left: int | None = None
        self._commits: dict[str, dict[str, dict[str, Blob]]] = {}
        """By repository and commit, the files by their paths."""
        self._releases: dict[tuple[str, str], dict[str, tuple[Content, bool]]] = {}
        self._private: set[str] = set()

    def publish(
        self, name: str, files: Mapping[str, bytes | int], *, lfs: Collection[str] = (),
        links: Mapping[str, str] | None = None, private: bool = False,
    ) -> tuple[str, dict[str, bytes]]:  # fmt: skip
        """Has a newer commit with these files; returns it, and all bytes as a checkout has them.

        ``lfs`` are paths that Git LFS keeps (what ``.gitattributes`` says is another matter), ``links`` symbolic links.
        """
        made = {}
        for path, what in files.items():
            content = Content.noise(what, f"{name}/{path}") if isinstance(what, int) else Content.of(what)
            made[path] = Blob(FILE, _pointer(content) if path in lfs else content.whole(), content)
        for path, target in (links or {}).items():
            made[path] = Blob(LINK, target.encode(), Content.of(target.encode()))
        commit = _hash("commit", b"tree " + self._trees(made)[""][0].encode())
        self._commits.setdefault(name, {})[commit] = made
        self._private |= {name} if private else set()
        return commit, {path: blob.content.whole() for path, blob in made.items() if blob.mode == FILE}

    def release(self, name: str, tag: str, files: Mapping[str, bytes], *, digests: bool = True) -> None:
        """Attaches files to a release; ``digests`` says whether GitHub tells their SHA-256."""
        self._commits.setdefault(name, {})
        self._releases[name, tag] = {path: (Content.of(data), digests) for path, data in files.items()}

    def tree(self, name: str, commit: str) -> str:
        """Git's id of all of it."""
        return self._trees(self._commits[name][commit])[""][0]

    def answer(self, request: Request, path: str) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return text("only GET and HEAD\n", 405)
        where, _, rest = path.partition("/")
        token = (request.header("authorization") or "").partition(" ")[2]
        owner, _, rest = rest.removeprefix("repos/").partition("/")
        repository, _, rest = rest.partition("/")
        name = f"{owner}/{repository}"
        if where == "api" and token != TOKEN and self.left is not None:
            if self.left <= 0:
                said = {"message": "API rate limit exceeded for 127.0.0.1. (But here is the good news: …)"}
                return replace(as_json(said), status=403).with_headers(self._limit())
            self.left -= 1
        if name not in self._commits or (name in self._private and token != TOKEN):
            return _absent()
        answer = {"api": self._api, "raw": self._raw, "media": self._media, "site": self._site}[where](
            request, name, rest
        )
        return answer.with_headers(self._limit()) if where == "api" and self.left is not None else answer

    def _limit(self) -> dict[str, str]:
        reset = str(round(time.time()) + 1)
        return {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": str(self.left), "X-RateLimit-Reset": reset}

    # -- the interface -----------------------------------------------------------------------------------------------

    def _api(self, request: Request, name: str, what: str) -> Answer:
        kind, _, rest = what.partition("/")
        commits = self._commits[name]
        if kind == "commits" and rest in (*commits, "HEAD", "main") and commits:
            return as_json({"sha": rest if rest in commits else list(commits)[-1], "commit": {}})
        if kind == "releases" and (name, rest.removeprefix("tags/")) in self._releases:
            return self._release(request, name, rest.removeprefix("tags/"))
        if found := re.fullmatch(r"git/trees/([0-9a-f]{40})", what):
            for commit, files in commits.items():
                for folder, (sha, _) in self._trees(files).items():
                    if found[1] in (sha, commit if not folder else sha):
                        return self._tree(files, folder, sha, recursive="recursive" in request.query)
        return _absent()

    def _tree(self, files: Mapping[str, Blob], folder: str, sha: str, *, recursive: bool) -> Answer:
        rows: list[dict[str, Any]] = []
        trees = self._trees(files)
        for path, (tree, _) in trees.items():
            if path != folder and path.startswith(f"{folder}/" if folder else ""):
                rows.append({"path": path, "mode": "040000", "type": "tree", "sha": tree})
        for path, blob in files.items():
            if path.startswith(f"{folder}/" if folder else ""):
                rows.append({"path": path, "mode": blob.mode, "type": "blob", "sha": blob.sha, "size": len(blob.data)})
        rows = [{**row, "path": row["path"].removeprefix(f"{folder}/" if folder else "")} for row in rows]
        rows = sorted((row for row in rows if recursive or "/" not in row["path"]), key=lambda row: row["path"])
        most = self.most if recursive else 100_000
        return as_json({"sha": sha, "url": "", "tree": rows[:most], "truncated": len(rows) > most})

    def _trees(self, files: Mapping[str, Blob]) -> dict[str, tuple[str, bytes]]:
        """By folder, git's id of the tree, and its bytes; the root is the empty path."""
        folders = {""} | {
            "/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)
        }
        found: dict[str, tuple[str, bytes]] = {}
        for folder in sorted(folders, key=lambda each: (-each.count("/") - bool(each), each)):
            rows = []
            for path, blob in files.items():
                within, _, name = path.rpartition("/")
                if within == folder:
                    rows.append((name.encode(), blob.mode, blob.sha))
            for path, (sha, _) in found.items():
                within, _, name = path.rpartition("/")
                if within == folder and path:
                    rows.append((name.encode() + b"/", "40000", sha))
            data = b"".join(
                mode.encode() + b" " + name.removesuffix(b"/") + b"\0" + bytes.fromhex(sha)
                for name, mode, sha in sorted(rows)
            )
            found[folder] = _hash("tree", data), data
        return found

    def _release(self, request: Request, name: str, tag: str) -> Answer:
        assets = [
            {
                "id": number, "name": file, "size": content.size, "state": "uploaded",
                "digest": f"sha256:{hashlib.sha256(content.whole()).hexdigest()}" if digests else None,
                "browser_download_url": f"https://github.com/{name}/releases/download/{quote(tag)}/{quote(file)}",
            }
            for number, (file, (content, digests)) in enumerate(self._releases[name, tag].items(), start=1)
        ]  # fmt: skip
        return as_json({"id": 1, "tag_name": tag, "draft": False, "assets": assets})

    # -- bytes -------------------------------------------------------------------------------------------------------

    def _raw(self, request: Request, name: str, what: str) -> Answer:
        commit, _, path = what.partition("/")
        blob = self._commits[name].get(commit, {}).get(path)
        return messages.file(Content.of(blob.data), f'"{blob.sha}"') if blob else text("404: Not Found", 404)

    def _media(self, request: Request, name: str, what: str) -> Answer:
        commit, _, path = what.partition("/")
        blob = self._commits[name].get(commit, {}).get(path)
        return messages.file(blob.content, f'"{blob.sha}"') if blob else text("404: Not Found", 404)

    def _site(self, request: Request, name: str, what: str) -> Answer:
        """Leads on to storage, which the sandbox has at another origin."""
        found = re.fullmatch(r"(stored/)?releases/download/([^/]+)/([^/]+)", what)
        files = self._releases.get((name, found[2]), {}) if found else {}
        if found is None or found[3] not in files:
            return text("Not Found", 404)
        if not found[1]:
            there = f"{elsewhere(request)}/github/site/{name}/stored/{quote(what)}"
            return replace(text("Found", 302), headers={"Location": there})
        return messages.file(files[found[3]][0], f'"{files[found[3]][0].md5()}"')


def _absent() -> Answer:
    return replace(as_json({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}), status=404)


def _hash(kind: str, data: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).hexdigest()


def _pointer(content: Content) -> bytes:
    digest = hashlib.sha256(content.whole()).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {content.size}\n".encode()
