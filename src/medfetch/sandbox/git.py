"""Hosts of git repositories, as ``git http-backend`` serves them; and repositories as git-annex and DataLad make them.

It must not know sockets. dulwich speaks the protocol; the formats of git-annex are those of its documentation
(internals). Whatever else such a host shows lies on the shelf.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, text
from medfetch.sandbox.web import Shelf

AUTHOR = b"sandbox <sandbox@example.org>"
SERVICES = re.compile(r"(.+)/(info/refs|git-upload-pack|HEAD)")


class Git:
    """Repositories by ``host/path``."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._repositories: dict[str, Any] = {}

    def serve(self, address: str, folder: str) -> None:
        """Has a repository of this machine."""
        from dulwich.repo import Repo

        self._repositories[_place(address)] = Repo(folder)

    def publish(
        self, address: str, files: Mapping[str, bytes], annexed: Mapping[str, bytes] | None = None, *,
        links: Mapping[str, str] | None = None, submodules: Mapping[str, tuple[str, str]] | None = None,
        backend: str = "MD5E", unlocked: Iterable[str] = (), web: Mapping[str, str] | None = None,
        logs: Mapping[str, str] | None = None,
    ) -> str:  # fmt: skip
        """Has a newer commit of a repository; returns it.

        ``annexed`` are files that git-annex has, ``unlocked`` those of them that are no links; ``web`` is where some
        of them are known to be; ``submodules`` are (address, commit) by path; ``logs`` more files of its branch.
        """
        from dulwich.repo import MemoryRepo

        entries: dict[str, tuple[int, bytes]] = {path: (0o100644, data) for path, data in files.items()}
        entries |= {path: (0o120000, target.encode()) for path, target in (links or {}).items()}
        branch = dict(logs or {})
        for path, data in (annexed or {}).items():
            key = self.key(path, data, backend)
            folder = _lower(key)
            pointer = f"/annex/objects/{key}\n" if path in unlocked else (
                "../" * path.count("/") + f".git/annex/objects/aa/bb/{key}/{key}"
            )  # fmt: skip
            entries[path] = (0o100644 if path in unlocked else 0o120000, pointer.encode())
            if path in (web or {}):
                branch[f"{folder}/{key}.log.web"] = f"1500000000.5s 1 {(web or {})[path]}\n"
        if submodules:
            told = (f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, (url, _) in submodules.items())
            entries[".gitmodules"] = (0o100644, "".join(told).encode())
        modules = {path: commit for path, (_, commit) in (submodules or {}).items()}
        repository = self._repositories.setdefault(_place(address), MemoryRepo())
        commit = _commit(repository, entries, modules, b"refs/heads/main")
        repository.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")
        if annexed:
            _commit(repository, {path: (0o100644, data.encode()) for path, data in branch.items()}, {},
                    b"refs/heads/git-annex")  # fmt: skip
        return commit

    @staticmethod
    def key(path: str, data: bytes, backend: str = "MD5E") -> str:
        """git-annex's name for a content; ``WORM`` and ``URL`` tell no digest."""
        ending = "".join(re.findall(r"\.[a-z0-9]{1,4}", path.rpartition("/")[2])[-2:])
        if backend in ("WORM", "URL"):
            return f"{backend}-s{len(data)}--{path.rpartition('/')[2]}"
        digest = hashlib.new(backend.removesuffix("E").lower(), data).hexdigest()
        return f"{backend}-s{len(data)}--{digest}{ending if backend.endswith('E') else ''}"

    def store(self, address: str, path: str, data: bytes, backend: str = "MD5E") -> None:
        """Has the content where a repository without a checkout keeps it."""
        key = self.key(path, data, backend)
        self._shelf.put(f"{address}/annex/objects/{_lower(key)}/{key}/{key}", Content.of(data))

    def answer(self, request: Request, path: str) -> Answer | None:
        """None for what is not the protocol of git."""
        found = SERVICES.fullmatch(path)
        if found is None or found[1] not in self._repositories:
            return None
        from dulwich.errors import GitProtocolError
        from dulwich.server import DictBackend
        from dulwich.web import HTTPGitApplication

        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
            told.update(status=int(status.split()[0]), headers=dict(headers))
            return body.write

        body = io.BytesIO()
        environment = {
            "PATH_INFO": f"/{found[2]}", "QUERY_STRING": urlsplit(request.target).query,
            "REQUEST_METHOD": request.method, "CONTENT_TYPE": request.header("content-type") or "",
            "CONTENT_LENGTH": str(len(request.body)), "wsgi.input": io.BytesIO(request.body),
            "HTTP_GIT_PROTOCOL": request.header("git-protocol") or "",
            "HTTP_CONTENT_ENCODING": request.header("content-encoding") or "",
        }  # fmt: skip
        app: Any = HTTPGitApplication(DictBackend({"/": self._repositories[found[1]]}))
        try:
            for piece in app(environment, start):
                body.write(piece)
        except GitProtocolError:
            said = b"ERR upload-pack: not our ref"
            return Answer(200, told["headers"], Content.of(b"%04x" % (len(said) + 4) + said))
        if not told:
            return text("not there\n", 404)
        headers = {name: value for name, value in told["headers"].items() if name.lower() != "content-length"}
        return Answer(told["status"], headers, Content.of(body.getvalue()))


def _place(address: str) -> str:
    return address.partition("://")[2].rstrip("/")


def _lower(key: str) -> str:
    digest = hashlib.md5(key.encode()).hexdigest()
    return f"{digest[:3]}/{digest[3:6]}"


def _commit(
    repository: Any, entries: Mapping[str, tuple[int, bytes]], submodules: Mapping[str, str], branch: bytes
) -> str:
    from dulwich.index import commit_tree
    from dulwich.objects import Blob, Commit

    blobs: list[Any] = []
    for path, (mode, data) in entries.items():
        blob = Blob.from_string(data)
        repository.object_store.add_object(blob)
        blobs.append((path.encode(), blob.id, mode))
    blobs += [(path.encode(), commit.encode(), 0o160000) for path, commit in submodules.items()]
    made: Any = Commit()
    made.tree = commit_tree(repository.object_store, blobs)
    made.parents = [repository.refs[branch]] if branch in repository.refs else []
    made.author = made.committer = AUTHOR
    made.author_time = made.commit_time = 1_500_000_000
    made.author_timezone = made.commit_timezone = 0
    made.message = b"sandbox"
    repository.object_store.add_object(made)
    repository.refs[branch] = made.id
    # dulwich gives out only what is advertised; real hosts give out all that they have.
    repository.refs[b"refs/all/" + made.id] = made.id
    return str(made.id.decode())
