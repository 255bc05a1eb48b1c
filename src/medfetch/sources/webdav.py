"""WebDAV: what is in a folder and below, and public shares of Nextcloud and ownCloud, which speak it.

It must not know what the files are. Protocol: RFC 4918 (PROPFIND, ``Depth: 1``). Read 2026-11-29: Nextcloud's developer
manual, WebDAV, "Public shares": from version 29 on ``/public.php/dav/files/TOKEN`` needs no user name; before that, and
in ownCloud, it is ``/public.php/webdav`` with the token as user name. Where a cloud shares with no other one, either
answers only what says ``X-Requested-With: XMLHttpRequest``, else as if there were no share (nextcloud/server,
apps/dav/appinfo). ``oc:checksums`` is one text, such as ``SHA1:… MD5:… ADLER32:…``, of files that a client uploaded
together with a checksum (owncloud/ocis, propfind.go); most have none.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree

from medfetch.checksum import HEX_LENGTH
from medfetch.errors import MedfetchError, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.sources._shares import component
from medfetch.types import Checksum, Door, Link, RemoteFile, Selection, Traits, Verdict

ADDRESS = re.compile(r"https?://[^/@?#\s]+(/\S*)?")
SHARE = re.compile(r"(?P<root>.*?)(?:/index\.php)?/s/(?P<token>[A-Za-z0-9_-]+)(?:/download)?/?")
NEW, OLD = "/public.php/dav/files", "/public.php/webdav"
PROPERTIES = (
    '<?xml version="1.0"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:resourcetype/>'
    "<d:getcontentlength/><d:getetag/><oc:checksums/></d:prop></d:propfind>"
)
DAV, OC = "{DAV:}", "{http://owncloud.org/ns}"
NOT_HERE = {401, 403, 404, 405, 501}
"""What is answered where a share is asked for in another way than the server knows."""


@dataclass(frozen=True, slots=True)
class _Place:
    url: str
    """Of a folder, percent-encoded, without a slash at its end."""
    is_share: bool = False
    token: str = ""
    """Of an old public share: its user name. It is no secret, for it stands in the link."""
    credential: str = ""

    @property
    def mark(self) -> str:
        """What stands behind the ``#`` of a file's address: how it is asked for."""
        told = {"share": "yes" if self.is_share else "", "token": self.token, "credential": self.credential}
        return urlencode({name: value for name, value in told.items() if value})


@dataclass(frozen=True, slots=True)
class _Row:
    path: str
    """Relative to the folder, percent-encoded; empty for itself."""
    is_folder: bool
    size: int | None
    etag: str | None
    checksums: tuple[Checksum, ...]


class WebDav:
    """Locator: ``share``, the public link of a Nextcloud or ownCloud share, or the WebDAV address of a folder or file;
    ``path``, patterns of files or folders, without which all is taken.

    Where it is not open to everybody, the user name and password of its host in the netrc file are sent; those of a
    share with a password are ``anonymous`` and that password.
    """

    name: ClassVar[str] = "webdav"
    # Neither how many connections a cloud bears nor how long it wants to be left alone after a 429 can be known.
    traits: ClassVar[Traits] = Traits(endpoints={"webdav": ""}, connections=2, pause=30, logins=("netrc:HOST",))

    def locate(self, text: str) -> dict[str, Any]:
        if not ADDRESS.fullmatch(text):
            expected = "expected https://cloud.example.org/s/TOKEN, or a WebDAV address"
            raise UsageProblem(f"{text!r} is no address of a share", hint=expected)
        return {"share": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        """Folders are asked for when their turn comes, so that many are no burden."""
        only(locator, {"share", "path"}, self.name)
        share, patterns = text(locator, "share", self.name) or "", strings(locator, "path", self.name)
        if not ADDRESS.fullmatch(share):
            raise RecipeError(
                f"expected the address of a share, https://host/s/TOKEN, not {share!r}", at="webdav.share"
            )
        place, rows = _found(share, net)
        yield from (file for file in _walk(place, "", rows, net) if wanted(file.path, patterns))

    def link(self, url: str, net: Net) -> Link:
        """The address itself, with what has to go along."""
        address, _, mark = url.partition("#")
        told = {name: values[0] for name, values in parse_qs(mark).items()}
        headers = _headers("share" in told, told.get("token", ""))
        return Link(address, credential=told.get("credential"), headers=headers)


def _headers(is_share: bool, token: str) -> dict[str, str]:
    headers = {"X-Requested-With": "XMLHttpRequest"} if is_share else {}
    if token:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{token}:'.encode()).decode()}"
    return headers


def _places(share: str, net: Net) -> list[_Place]:
    """Where it may be, the newest way first; with a log-in only if it is refused without one."""
    parts = urlsplit(share)
    base = f"{net.endpoint('webdav')}/{parts.netloc}" if net.replaced("webdav") else f"{parts.scheme}://{parts.netloc}"
    path = quote(unquote(parts.path), safe="/").rstrip("/")
    login = f"netrc:{parts.hostname}"
    logins = ("", login) if net.has(login) else ("",)
    if found := SHARE.fullmatch(path):
        root = base + found["root"]
        new = [_Place(f"{root}{NEW}/{found['token']}", True, credential=each) for each in logins]
        return [*new[:1], _Place(root + OLD, True, found["token"]), *new[1:]]
    return [_Place(base + path, credential=each) for each in logins]


def _found(share: str, net: Net) -> tuple[_Place, list[_Row]]:
    """Where it is, and what is in it. Raises: AccessRequired, UsageProblem."""
    places = _places(share, net)
    refused: list[Refused] = []
    for place in places:
        try:
            return place, _rows(place, net)
        except Refused as error:
            if error.status not in NOT_HERE:
                raise
            refused.append(error)
    raise _closed(refused, share, bool(places[-1].credential))


def _rows(place: _Place, net: Net) -> list[_Row]:
    headers = _headers(place.is_share, place.token)
    answer = net.propfind(f"{place.url}/", PROPERTIES, headers=headers, credential=place.credential or None)
    return _read(answer.content, place.url)


def _walk(place: _Place, prefix: str, rows: list[_Row], net: Net) -> Iterator[RemoteFile]:
    """The files of a folder and below, by name."""
    for row in sorted(rows, key=lambda row: row.path):
        # A share or an address may be of a single file.
        url = f"{place.url}/{row.path}" if row.path else place.url
        path = prefix + component(unquote(url.rpartition("/")[2]))
        if not row.is_folder:
            urls = (f"{url}#{place.mark}" if place.mark else url,)
            yield RemoteFile(relative(path), f"webdav:{url}", urls, row.size, row.checksums, etag=row.etag)
        elif row.path:
            below = replace(place, url=url)
            yield from _walk(below, f"{path}/", _rows(below, net), net)


def _read(xml: bytes, url: str) -> list[_Row]:
    """The rows of a multistatus (RFC 4918, 14.16), of which the folder itself is one.

    Hosts behind a proxy may call themselves otherwise, so addresses count only as far as they are relative to its.
    Raises: Retryable where it is something else.
    """
    try:
        root = ElementTree.fromstring(xml)
        if root.tag != f"{DAV}multistatus":
            raise ValueError(f"its root is <{root.tag}>")
        found = {_path(each): each for each in root.iter(f"{DAV}response")}
        own = min(found, key=len)
        rows = [_row(path.removeprefix(own).lstrip("/"), each) for path, each in found.items()]
        if astray := [path for path in found if path != own and not path.startswith(f"{own}/")]:
            raise ValueError(f"{astray[0]} is not in {own}")
        if deeper := [row.path for row in rows if "/" in row.path]:
            raise ValueError(f"{deeper[0]} was not asked for")
        return rows
    except (ElementTree.ParseError, ValueError) as error:
        raise Retryable(f"{url} did not answer as WebDAV does: {error}") from error


def _path(response: ElementTree.Element) -> str:
    """Of an entry; each server encodes it in its own way."""
    href = (response.findtext(f"{DAV}href") or "").strip()
    return quote(unquote(urlsplit(href).path), safe="/").rstrip("/")


def _row(path: str, response: ElementTree.Element) -> _Row:
    told = {
        each.tag: each
        for status in response.iter(f"{DAV}propstat")
        if " 200" in (status.findtext(f"{DAV}status") or "")
        for each in status.findall(f"{DAV}prop/*")
    }
    kind = told.get(f"{DAV}resourcetype")
    length, etag = _text(told.get(f"{DAV}getcontentlength")), _text(told.get(f"{DAV}getetag"))
    checksums = " ".join(_text(each) for each in told.get(f"{OC}checksums", ()))
    return _Row(
        path,
        kind is not None and kind.find(f"{DAV}collection") is not None,
        int(length) if length.isdecimal() else None,
        etag if etag.startswith('"') else None,
        _checksums(checksums),
    )


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _checksums(told: str) -> tuple[Checksum, ...]:
    """Those of the kinds that are known here, of ``SHA1:… MD5:… ADLER32:…``."""
    found = {}
    for word in told.lower().split():
        algorithm, _, digest = word.partition(":")
        if len(digest) == HEX_LENGTH.get(algorithm) and re.fullmatch("[0-9a-f]+", digest):
            found[algorithm] = Checksum(algorithm, digest)
    return tuple(found.values())


def _closed(refused: list[Refused], share: str, logged_in: bool) -> MedfetchError:
    """What the refusals of all ways mean together."""
    host, statuses = urlsplit(share).hostname, {error.status for error in refused}
    if logged_in and refused[-1].status in (401, 403):
        said = f"{host} does not take the user name and password that are here for {share}, or has no such share"
        return closed(Verdict(Door.WRONG_LOGIN, said, share), f"webdav-{host}")
    if statuses & {401, 403}:
        said = f"{share} wants a user name and a password (of a share: anonymous, and its password), or was deleted"
        return closed(Verdict(Door.NO_LOGIN, f"{said}: medfetch login netrc:{host}", share), f"webdav-{host}")
    if 404 in statuses:
        return UsageProblem(f"{host} has nothing at {share}: it was deleted, or is not shared any more")
    return UsageProblem(f"there is no WebDAV at {share}", hint="expected a public link, or a WebDAV address")
