"""A git repository as it is at one commit, read from its host without a checkout: what is where, and what is in it.

It must not know git-annex, nor what the files are. dulwich speaks the protocol, with every request by way of ``Net``;
what the host sends is kept in memory, and is but the commit, its folders and its small files.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from medfetch.errors import MedfetchError, Refused, Retryable, UsageProblem
from medfetch.sources import Net

SMALL = 1_000_000
"""Bytes up to which the content of a file comes along: links, logs, tables. Larger files of git are only named."""
FILE, EXECUTABLE, LINK, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o160000


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    mode: int
    id: str
    """Git's: of a file's content, or of a submodule's commit."""
    data: bytes | None
    """The content; None where it did not come along."""


class Snapshot:
    """Some commits of a repository."""

    def __init__(self, commits: Mapping[str, str], objects: Mapping[bytes, Any]) -> None:
        self.commits = commits
        self._objects = objects

    def entries(self, commit: str) -> Iterator[Entry]:
        """All files, links and submodules, in git's order."""
        if commit in self.commits.values():
            yield from self._under(self._objects[commit.encode()].tree, "")

    def read(self, commit: str, path: str) -> bytes | None:
        """The content of a file; None where it is not there."""
        found = self._objects[commit.encode()].tree
        for name in path.encode("utf-8", "surrogateescape").split(b"/"):
            tree = self._objects[found]
            if name not in tree:
                return None
            found = tree[name][1]
        return self._data(found)

    def _under(self, tree: bytes, folder: str) -> Iterator[Entry]:
        for name, mode, sha in self._objects[tree].iteritems():
            path = folder + name.decode("utf-8", "surrogateescape")
            if mode == 0o40000:
                yield from self._under(sha, f"{path}/")
            else:
                yield Entry(path, mode, sha.decode(), None if mode == SUBMODULE else self._data(sha))

    def _data(self, sha: bytes) -> bytes | None:
        try:
            data: bytes = self._objects[sha].data
        except KeyError:
            return None
        return data


def fetch(address: str, revisions: list[str], net: Net) -> Snapshot:
    """The commits that branches, tags or ids mean; ``HEAD`` is the default branch. Those that are missing are left out.

    Raises: what Net raises; Retryable where the host does not speak git as it should.
    """
    from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
    from dulwich.object_format import DEFAULT_OBJECT_FORMAT
    from dulwich.object_store import ObjectStoreGraphWalker
    from dulwich.pack import MemoryPackIndex, Pack, PackData

    # What it says is for those who use git by hand.
    logging.getLogger("dulwich").setLevel(logging.CRITICAL)
    buffer, commits = io.BytesIO(), {}

    def wants(refs: Mapping[bytes, bytes | None], depth: int | None = None) -> list[bytes]:
        for each in revisions:
            names = [each, f"refs/heads/{each}", f"refs/tags/{each}^{{}}", f"refs/tags/{each}"]
            told = next((found for name in names if (found := refs.get(name.encode()))), None)
            if told or len(each) == 40:
                commits[each] = (told or each.encode()).decode()
        return sorted({commit.encode() for commit in commits.values()})

    try:
        _client(address, net).fetch_pack(
            "", wants, ObjectStoreGraphWalker([], lambda _: []), buffer.write, depth=1,
            filter_spec=f"blob:limit={SMALL}".encode(),
        )  # fmt: skip
        if not commits:
            return Snapshot({}, {})
        buffer.seek(0)
        data = PackData.from_file(buffer, DEFAULT_OBJECT_FORMAT, buffer.getbuffer().nbytes)
        entries: Any = list(data.sorted_entries())
        pack: Any = Pack.from_objects(data, MemoryPackIndex(entries, DEFAULT_OBJECT_FORMAT, data.get_stored_checksum()))
        return Snapshot({name: _peeled(pack, commit) for name, commit in commits.items()}, pack)
    except NotGitRepository:
        raise UsageProblem(f"{address} is no git repository") from None
    except MedfetchError:
        raise
    except HangupException:
        # git's own server ends so where it has not what was asked for.
        raise Retryable(f"{address} broke off: perhaps it has not all of {', '.join(revisions)}") from None
    except (GitProtocolError, AssertionError, KeyError, ValueError) as error:
        said = str(error).strip() or type(error).__name__
        if "not our ref" in said or "unadvertised" in said:
            raise UsageProblem(f"{address} does not give out one of {', '.join(revisions)}: {said}") from None
        raise Retryable(f"{address} did not answer as a git repository does: {said}") from None


def _peeled(pack: Mapping[bytes, Any], commit: str) -> str:
    """The commit that a tag, which may be of a tag, is of."""
    found = pack[commit.encode()]
    return _peeled(pack, found.object[1].decode()) if found.type_name == b"tag" else commit


class _Answer:
    """As far as dulwich looks at it."""

    def __init__(self, status: int, asked: str, answer: Any = None) -> None:
        self.status = status
        self.content_type = answer.headers.get("Content-Type") if answer is not None else None
        self.redirect_location = answer.url if answer is not None and answer.url != asked else ""

    def close(self) -> None:
        """The body has been read."""


def _client(address: str, net: Net) -> Any:
    from dulwich.client import AbstractHttpGitClient

    class Client(AbstractHttpGitClient):
        def _http_request(
            self, url: str, headers: dict[str, str] | None = None, data: Any = None, raise_for_status: bool = True
        ) -> tuple[Any, Callable[[int], bytes]]:
            try:
                if data is None:
                    answer = net.get(url, headers=headers)
                else:
                    body = data if isinstance(data, bytes) else b"".join(data)
                    answer = net.post(url, body, headers=headers)
            except Refused as error:
                if raise_for_status or error.status is None:
                    if error.status in (401, 404):
                        host = urlsplit(address).hostname
                        raise UsageProblem(f"{host} has no git repository {address}, or not for everybody") from None
                    raise
                return _Answer(error.status, url), io.BytesIO().read
            return _Answer(answer.status_code, url, answer), io.BytesIO(answer.content).read

    return Client(address)
