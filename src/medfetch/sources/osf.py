"""Projects and registrations of the Open Science Framework: the files of one of their storages, with folders.

It must not know where a storage keeps the bytes. Protocol: what osfclient 0.0.5 asks and understands (api.osf.io/v2;
files.osf.io/v1 for the bytes). Without a token the interface bears 100 requests in an hour (developer.osf.io, "Errors
and Error Codes"), and each folder takes one: pages are as long as they may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component
from medfetch.types import Door, RemoteFile, Selection, Traits, Verdict

SITE = "https://osf.io"
CREDENTIAL = "osf"
TOKENS = f"{SITE}/settings/tokens"
ID = re.compile(r"[a-z0-9]{5}")
STORAGE = re.compile(r"[a-z0-9]+")
TYPED = re.compile(rf"(?:{SITE}/|(?:doi:)?10\.17605/osf\.io/)?({ID.pattern})(?:/([a-z0-9]+))?/?", re.IGNORECASE)
PAGE = "page[size]=100"
KINDS = ("nodes", "registrations")


@dataclass(frozen=True, slots=True)
class _Storage:
    project: str
    provider: str
    net: Net
    credential: str | None

    def get(self, what: str) -> dict[str, Any]:
        return _answers.told(self.net.get(f"{self.net.endpoint('osf')}/{what}", credential=self.credential), SITE)


class Osf:
    """Locator: ``project``, the five letters of its address; ``storage``, the one that is meant, if not the OSF's own;
    ``path``, patterns of files or folders, without which all is taken."""

    name: ClassVar[str] = "osf"
    traits: ClassVar[Traits] = Traits(
        endpoints={"osf": "https://api.osf.io/v2", "osf_files": "https://files.osf.io/v1"}, logins=(CREDENTIAL,)
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            raise UsageProblem(f"{text!r} is no project of the OSF; expected osf:ID or osf:ID/STORAGE")
        project = found[1].lower()
        return {"project": project, "storage": found[2].lower()} if found[2] else {"project": project}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        storage, patterns = _storage(locator, net)
        try:
            for file in _files(storage):
                if wanted(file.path, patterns):
                    yield file
        except Refused as error:
            raise closed(_verdict(storage, error), f"osf-{storage.project}") from None
        except (KeyError, TypeError) as error:
            raise Retryable(f"the OSF described {storage.project}, or what is in it, without {error}") from None

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        storage, _ = _storage(locator, net)
        try:
            _kind(storage)
        except Refused as error:
            return _verdict(storage, error)
        return Verdict(Door.OPEN, f"the OSF shows {storage.project} to {'you' if storage.credential else 'all'}")


def _storage(locator: Mapping[str, Any], net: Net) -> tuple[_Storage, tuple[str, ...]]:
    only(locator, {"project", "storage", "path"}, "osf")
    project, provider = text(locator, "project", "osf") or "", text(locator, "storage", "osf") or "osfstorage"
    if not ID.fullmatch(project):
        raise RecipeError(f"expected the five letters of its address, not {project!r}", at="osf.project")
    if not STORAGE.fullmatch(provider):
        raise RecipeError(f"expected the name of a storage, not {provider!r}", at="osf.storage")
    credential = CREDENTIAL if net.has(CREDENTIAL) else None
    return _Storage(project, provider, net, credential), strings(locator, "path", "osf")


def _kind(storage: _Storage) -> str:
    """Which list an id is in. Raises: UsageProblem where it is no project: files and people have such ids, too."""
    kind = str(storage.get(f"guids/{storage.project}/")["data"]["type"])
    if kind not in KINDS:
        raise UsageProblem(f"{storage.project} is no project of the OSF, but one of its {kind}")
    return kind


def _files(storage: _Storage) -> Iterator[RemoteFile]:
    yield from _under(storage, f"{_kind(storage)}/{storage.project}/files/{storage.provider}", "/", "")


def _under(storage: _Storage, top: str, place: str, folder: str) -> Iterator[RemoteFile]:
    """All files in a folder, and in the folders in it; ``place`` is what the storage calls it."""
    query = PAGE
    while query:
        page = storage.get(f"{top}{quote(place)}?{query}")
        for row in page["data"]:
            told = row["attributes"]
            path = f"{folder}{component(str(told['name']))}"
            if told["kind"] == "folder":
                yield from _under(storage, top, str(told["path"]), f"{path}/")
            else:
                yield _file(storage, path, told)
        # Of the link only what it asks for: a mirror may pass on links that lead past it.
        further = urlsplit((page.get("links") or {}).get("next") or "").query
        if further == query:
            raise Retryable(f"the OSF answers the same page of {storage.project} again and again")
        query = further


def _file(storage: _Storage, path: str, told: Mapping[str, Any]) -> RemoteFile:
    hashes = (told.get("extra") or {}).get("hashes") or {}
    version, size = told.get("current_version"), told.get("size")
    place = f"resources/{storage.project}/providers/{storage.provider}{quote(str(told['path']))}"
    # Its own storage keeps all versions of a file; others' have names that mean something else.
    pinned = f"?version={version}" if version and storage.provider == "osfstorage" else ""
    return RemoteFile(
        path=path,
        key=f"osf:{storage.project}/{storage.provider}{told['path']}{pinned}",
        urls=(f"{storage.net.endpoint('osf_files')}/{place}{pinned}",),
        size=size if isinstance(size, int) else None,
        checksums=(*_answers.digest("sha256", hashes.get("sha256")), *_answers.digest("md5", hashes.get("md5"))),
        credential=storage.credential,
    )


def _verdict(storage: _Storage, error: Refused) -> Verdict:
    """What a refusal means. Raises: the error itself where it is of another kind."""
    page = f"{SITE}/{storage.project}/"
    match error.status:
        case 401 if storage.credential:
            return Verdict(Door.WRONG_LOGIN, "the OSF does not know your token: it is wrong or was deleted", TOKENS)
        case 401:
            said = f"{storage.project} is not public: whoever has access to it makes a token, and keeps it with"
            return Verdict(Door.NO_LOGIN, f"{said} medfetch login osf", TOKENS)
        case 403:
            return Verdict(
                Door.NOT_APPROVED, f"{storage.project} was not shared with you: ask for access on its page", page
            )
        case 404:
            what = f"{storage.project} with a storage {storage.provider!r}"
            return Verdict(Door.ABSENT, f"the OSF has no {what}", page)
        case 410:
            return Verdict(Door.ABSENT, f"{storage.project} was removed from the OSF", page)
    raise error
