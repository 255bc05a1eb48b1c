"""Synapse: files, and all that is in folders and projects, by Synapse id.

It must not know how people are approved. Protocol: what synapseclient 4.14.0 asks (client.py, api/file_services.py),
and of conditions what the public server code answers (RestrictionInformationManagerImpl), both read 2026-11-29. A list
of a folder tells no sizes and no checksums, so each file is asked for, as that client does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from medfetch.errors import RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _answers
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component
from medfetch.sources._signed import expiry
from medfetch.types import About, Checksum, Door, Link, RemoteFile, Selection, Traits, Verdict

CREDENTIAL = "synapse"
TOKENS = "https://www.synapse.org/PersonalAccessTokens"
ID = re.compile(r"syn[0-9]+")
TYPED = re.compile(r"(?:https://(?:www\.)?synapse\.org/Synapse:)?(syn[0-9]+)(?:\.([0-9]+))?")
MD5 = re.compile(r"[0-9a-f]{32}")
FILE = "org.sagebionetworks.repo.model.FileEntity"
CONTAINERS = ("Folder", "Project")
WANTED = {"includeEntity": True, "includeFileHandles": True, "includeRestrictionInformation": True}


class Synapse:
    """Locator: ``id`` of a file, a folder or a project; ``version`` of a file, without which the latest is taken;
    ``path``, patterns of files or folders, without which all is taken."""

    name: ClassVar[str] = "synapse"
    traits: ClassVar[Traits] = Traits(
        endpoints={
            "synapse": "https://repo-prod.prod.sagebase.org",
            "synapse_files": "https://file-prod.prod.sagebase.org",
        },
        # More than three requests at once were once refused (Sage-Bionetworks/synapsePythonClient issue 327).
        host_connections={"repo-prod.prod.sagebase.org": 3, "file-prod.prod.sagebase.org": 3},
        logins=(CREDENTIAL,),
    )

    def locate(self, text: str) -> dict[str, Any]:
        found = TYPED.fullmatch(text)
        if not found:
            raise UsageProblem(f"{text!r} is no Synapse id; expected synapse:syn123, or synapse:syn123.4 for a version")
        return {"id": found[1], "version": int(found[2])} if found[2] else {"id": found[1]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        place, patterns = _place(locator)
        api = _Api(net)
        try:
            root = api.bundle(*place)
            verdict = api.restrictions(root, place[0])
            if verdict:
                raise closed(verdict, f"synapse-{place[0]}")
            yield from (file for file in _files(root, place[0], api, net) if wanted(file.path, patterns))
        except Refused as error:
            raise closed(_verdict(error, place[0], net), f"synapse-{place[0]}") from error
        except (KeyError, TypeError) as error:
            raise Retryable(f"Synapse described {place[0]}, or what is in it, without {error}") from None

    def link(self, url: str, net: Net) -> Link:
        """A signed link to storage. Raises: Refused, where Synapse gives the file a code of failure in its place."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        key = asked["associateObjectId"]
        body = {
            "includeFileHandles": True,
            "includePreSignedURLs": True,
            "requestedFiles": [{**asked, "associateObjectType": "FileEntity"}],
        }
        try:
            answer = net.post(url.partition("?")[0], json=body, credential=_credential(net))
            (told,) = _answers.told(answer, "Synapse")["requestedFiles"]
            failure, address = told.get("failureCode"), told.get("preSignedURL")
            handle = told.get("fileHandle") or {}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Retryable(f"Synapse did not answer with a link to {key}") from None
        if failure == "NOT_FOUND":
            raise Refused(f"Synapse has {key}, but not its file", status=404)
        if failure:
            said = f"Synapse does not let you have the file of {key} ({failure}): {self._why(key, net)}"
            raise Refused(said, status=403, hint=_page(key))
        if urlsplit(address or "").scheme not in ("http", "https"):
            # An owner may keep files in a bucket or on an SFTP server of their own, of which Synapse knows the place.
            place = str(address or handle.get("endpointUrl") or "storage of its owner")
            said = f"the file of {key} lies outside Synapse, where medfetch cannot fetch it: {place.partition('?')[0]}"
            raise Refused(said, hint=_page(key))
        return Link(address, expiry(address))

    def _why(self, key: str, net: Net) -> str:
        """Why the file of an entity that is shown is not to be had. Raises: what Net raises."""
        api = _Api(net)
        verdict = api.restrictions(api.bundle(key), key)
        return verdict.said if verdict else "it was not shared, or your token lacks the scope Download"

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        (key, version), _ = _place(locator)
        try:
            entity = _Api(net).bundle(key, version)["entity"]
        except Refused as error:
            raise closed(_verdict(error, key, net), f"synapse-{key}") from error
        number = entity.get("versionNumber") if entity.get("concreteType") == FILE else None
        return About(
            name=entity.get("name"),
            summary=entity.get("description"),
            version=str(number) if number else None,
            homepage=_page(key),
            pins={"version": number} if number else {},
        )

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        (key, version), _ = _place(locator)
        if not net.has(CREDENTIAL):
            return _no_login(key)
        api = _Api(net)
        try:
            verdict = api.restrictions(api.bundle(key, version), key)
        except Refused as error:
            return _verdict(error, key, net)
        return verdict or Verdict(Door.OPEN, f"Synapse shows {key} to you", _page(key))


class _Api:
    def __init__(self, net: Net) -> None:
        self._net = net
        self._base = f"{net.endpoint('synapse')}/repo/v1"

    def bundle(self, key: str, version: int | None = None) -> Mapping[str, Any]:
        """What Synapse says of an entity, of its file, and of what is asked of who wants it."""
        versioned = f"/version/{version}" if version else ""
        return self._post(f"{self._base}/entity/{key}{versioned}/bundle2", WANTED)

    def children(self, key: str) -> Iterator[Mapping[str, Any]]:
        """Files and folders in a folder or project, page by page."""
        body: dict[str, Any] = {
            "parentId": key, "includeTypes": ["folder", "file"], "sortBy": "NAME", "sortDirection": "ASC",
            "nextPageToken": None,
        }  # fmt: skip
        while True:
            page = self._post(f"{self._base}/entity/children", body)
            yield from page["page"]
            before, body["nextPageToken"] = body["nextPageToken"], page.get("nextPageToken")
            if not body["nextPageToken"]:
                return
            if body["nextPageToken"] == before:
                raise Retryable(f"Synapse answers the same page of {key} again and again")

    def restrictions(self, bundle: Mapping[str, Any], key: str) -> Verdict | None:
        """The conditions that are not met yet, by name."""
        told = bundle.get("restrictionInformation") or {}
        if not told.get("hasUnmetAccessRequirement"):
            return None
        url = f"{self._base}/entity/{key}/accessRequirement"
        answer = self._net.get(url, {"limit": "50", "offset": "0"}, credential=_credential(self._net))
        rows = _answers.told(answer, "Synapse")
        # All conditions are listed, also those that are met; old servers do not tell which.
        details = told.get("restrictionDetails") or ()
        met = {str(each.get("accessRequirementId")) for each in details if each.get("isMet")}
        asked = [row for row in rows.get("results") or [] if str(row.get("id")) not in met]
        names = [str(row.get("name") or f"no. {row.get('id')}") for row in asked]
        said = (
            f"Synapse has conditions for {key} that you have not met yet: {', '.join(names) or 'it does not say which'}"
        )
        return Verdict(Door.NOT_APPROVED, f'{said}. "Request Access" on its page', _page(key))

    def _post(self, url: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return _answers.told(self._net.post(url, json=body, credential=_credential(self._net)), "Synapse")


def _files(root: Mapping[str, Any], key: str, api: _Api, net: Net) -> Iterator[RemoteFile]:
    """What an entity is or holds. Raises: UsageProblem where it is neither a file nor a folder nor a project."""
    kind = str(root["entity"].get("concreteType"))
    if kind == FILE:
        yield _file(root, "", set(), net)
    elif kind.endswith(CONTAINERS):
        yield from _under(key, "", api, net)
    else:
        what = kind.rpartition(".")[2]
        raise UsageProblem(f"{key} is a {what} of Synapse: expected the id of a file, a folder or a project")


def _under(key: str, folder: str, api: _Api, net: Net) -> Iterator[RemoteFile]:
    """All files in a folder, and in the folders in it."""
    taken: set[str] = set()
    for child in api.children(key):
        if child["type"].endswith(".Folder"):
            yield from _under(child["id"], f"{folder}{component(child['name'])}/", api, net)
        else:
            yield _file(api.bundle(child["id"], child["versionNumber"]), folder, taken, net)


def _file(bundle: Mapping[str, Any], folder: str, taken: set[str], net: Net) -> RemoteFile:
    """A file of Synapse; ``taken`` are the names that others in its folder have."""
    entity = bundle["entity"]
    key, handle_id = str(entity["id"]), str(entity["dataFileHandleId"])
    # Who may not have a file is not told its handle; its link will say why.
    handles: dict[str, Mapping[str, Any]] = {str(each["id"]): each for each in bundle.get("fileHandles") or []}
    handle = handles.get(handle_id, {})
    name = component(str(handle.get("fileName") or entity["name"]))
    if name in taken:
        name = f"{key}-{name}"
    taken.add(name)
    query = urlencode({"fileHandleId": handle_id, "associateObjectId": key})
    md5, size = str(handle.get("contentMd5") or "").lower(), handle.get("contentSize")
    return RemoteFile(
        f"{folder}{name}",
        f"synapse:{key}.{entity.get('versionNumber')}",
        (f"{net.endpoint('synapse_files')}/file/v1/fileHandle/batch?{query}",),
        size if isinstance(size, int) else None,
        (Checksum("md5", md5),) if MD5.fullmatch(md5) else (),
    )


def _place(locator: Mapping[str, Any]) -> tuple[tuple[str, int | None], tuple[str, ...]]:
    """Id and version, and the patterns of what is wanted."""
    only(locator, {"id", "version", "path"}, "synapse")
    key, version = text(locator, "id", "synapse"), locator.get("version")
    if key is None or not ID.fullmatch(key):
        raise RecipeError(f"expected an id such as syn123, not {key!r}", at="synapse.id")
    if version is not None and (not isinstance(version, int) or version < 1):
        raise RecipeError(f"expected the number of a version, not {version!r}", at="synapse.version")
    return (key, version), strings(locator, "path", "synapse")


# -- doors ---------------------------------------------------------------------------------------------------------


def _verdict(error: Refused, key: str, net: Net) -> Verdict:
    """What a refusal means. Raises: the error itself where it is not Synapse's (a certificate, a proxy)."""
    if error.status is None:
        raise error
    if error.status == 404:
        return Verdict(Door.ABSENT, f"Synapse has no {key}, or not that version", _page(key))
    if not net.has(CREDENTIAL):
        return _no_login(key)
    if error.status == 401:
        return Verdict(Door.WRONG_LOGIN, "Synapse does not know your token: it is wrong or has expired", TOKENS)
    if error.status == 403:
        said = f"{key} was not shared with you, or your token lacks the scopes View and Download"
        return Verdict(Door.NOT_APPROVED, said, _page(key))
    return Verdict(Door.UNCLEAR, error.message, _page(key))


def _no_login(key: str) -> Verdict:
    return Verdict(Door.NO_LOGIN, f"Synapse wants a log-in for the files of {key}, and there is no token here", TOKENS)


def _credential(net: Net) -> str | None:
    """Without a token the server says itself that it wants one."""
    return CREDENTIAL if net.has(CREDENTIAL) else None


def _page(key: str) -> str:
    return f"https://www.synapse.org/Synapse:{key}"
