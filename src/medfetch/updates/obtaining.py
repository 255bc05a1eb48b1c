"""Where a set of recipes comes from: an index, a folder, a git repository at a commit; not what becomes of it.

By https or from a file. Nothing is asked with a secret, and no address may hold one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from medfetch import cache
from medfetch.config import Settings
from medfetch.errors import Refused, UsageProblem
from medfetch.hosts import Hosts
from medfetch.net.stack import ApiNet
from medfetch.recipe_folders import NUMBER
from medfetch.sources import _git
from medfetch.types import Traits
from medfetch.updates import index
from medfetch.updates.index import Recipes

COMMIT = re.compile("[0-9a-f]{40}")
MOST_OF_GIT = 128 * 10**6
"""Bytes of one answer of a git host: the whole of medfetch at one commit has a few million."""
WHERE = "set recipes_from and recipes_keys to what the publisher says (docs/settings.md), or name a place with --from"
T = TypeVar("T")


def obtain(address: str | None, commit: str | None, settings: Settings) -> Recipes:
    """The set of recipes at an address (an https or file URL, or a path), else at that in the settings.

    An index has to be signed by one of the trusted keys. A folder is taken as it is, and of a repository the commit,
    whose id a person gives: it is the digest of all that is in it.
    Raises: UsageProblem, IntegrityError (a signature), RecipeError (content), Refused, Retryable, Unreachable.
    """
    address = address or settings.recipes_from
    if not address:
        raise UsageProblem("nothing says where newer recipes are", hint=WHERE)
    path = _local(address)
    if commit is not None:
        return _of_commit(address, path, commit, settings)
    if path is not None and path.is_dir():
        return index.of_folder(path)
    if path is None and (_https(address).endswith((".git", "/")) or "." not in address.rpartition("/")[2]):
        raise UsageProblem(
            f"{address} is no index of recipes", hint="of a git repository, say at which commit: --commit ID"
        )
    if not settings.recipes_keys:
        raise UsageProblem(f"nothing says who may sign the recipes of {address}", hint=WHERE)
    if path is None:
        raw, signed = _asked(settings, index.MOST_BYTES, lambda net: (_get(net, address), _get(net, f"{address}.sig")))
    else:
        raw, signed = _read(path), _read(path.with_name(f"{path.name}.sig"))
    return index.opened(raw, signed, settings.recipes_keys, address)


def _local(address: str) -> Path | None:
    """The path that is meant; None for an address elsewhere."""
    if address.startswith("file://"):
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            raise UsageProblem(f"{address} is a file of another machine", hint="file:///path")
        return Path(unquote(parts.path))
    return None if "://" in address else Path(address).expanduser().absolute()


def _https(address: str) -> str:
    """Raises: UsageProblem for what is not, or what might hold a secret, which is not repeated."""
    parts = urlsplit(address)
    if parts.scheme != "https" or not parts.hostname:
        how = f"by {parts.scheme}" if parts.scheme else repr(address)
        raise UsageProblem(f"recipes come by https or from a file, not {how}", hint="https://…, file:///…, or a path")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageProblem(
            f"the address of recipes at {parts.hostname} has a user name, or ? or # in it",
            hint="recipes are public: no address of theirs holds a secret",
        )
    return address


def _asked(settings: Settings, most: int, ask: Callable[[ApiNet], T]) -> T:
    stop = threading.Event()
    with closing(Hosts(cache.hosts_folder(settings.cache), stop.is_set)) as hosts:
        return ask(ApiNet(settings, Traits(), hosts, stop, most=most))


def _get(net: ApiNet, url: str) -> bytes:
    answer: Any = net.get(url)
    for each in (*answer.history, answer):
        if not each.url.startswith("https://"):
            raise Refused(f"{url} leads to an address without https")
    content: bytes = answer.content
    return content


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(index.MOST_BYTES + 1)
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}", hint=WHERE) from error
    if len(content) > index.MOST_BYTES:
        raise UsageProblem(f"{path} has more than {index.MOST_BYTES:,} bytes, and is no index of recipes")
    return content


def _of_commit(address: str, path: Path | None, commit: str, settings: Settings) -> Recipes:
    if not COMMIT.fullmatch(commit):
        raise UsageProblem(
            f"{commit!r} is no commit: 40 hexadecimal digits", hint="branches and tags can lead elsewhere tomorrow"
        )
    if path is not None:
        return _of_snapshot(_checkout(path, commit), f"{path}@{commit}", commit)
    url = _https(address)
    snapshot = _asked(settings, MOST_OF_GIT, lambda net: _git.fetch(url, [commit], net))
    return _of_snapshot(snapshot, f"{url}@{commit}", commit)


def _checkout(path: Path, commit: str) -> _git.Snapshot:
    from dulwich.errors import NotGitRepository
    from dulwich.repo import Repo

    try:
        store: Any = Repo(str(path)).object_store
    except NotGitRepository:
        hint = "without --commit, a folder is taken as it is"
        raise UsageProblem(f"{path} is no git repository", hint=hint) from None
    there = commit.encode() in store and store[commit.encode()].type_name == b"commit"
    return _git.Snapshot({commit: commit} if there else {}, store)


def _of_snapshot(snapshot: _git.Snapshot, origin: str, commit: str) -> Recipes:
    # A host may have a branch of that name.
    if snapshot.commits.get(commit) != commit:
        raise UsageProblem(f"there is no commit {origin.rpartition('@')[2]} in {origin.rpartition('@')[0]}")
    number, files = b"", {}
    for entry in snapshot.entries(commit):
        folder, _, path = entry.path.partition("/")
        if folder != "recipes" or entry.mode not in (_git.FILE, _git.EXECUTABLE) or entry.data is None:
            continue
        if path == NUMBER:
            number = entry.data.strip()
        elif path.endswith(".yaml"):
            files[path] = entry.data
    if not number.isdigit() or not int(number):
        raise UsageProblem(f"{origin} has no file recipes/{NUMBER} with a number from 1 on")
    return index.checked(Recipes(int(number), files, origin))
