"""OneDrive: files and folders that a person shares with everybody who has the link.

It must not know what the files are. Microsoft's documented interface for shared links wants an account. What OneDrive's
own pages do for people without one, as several public programs do it, read 2026-11-29 (felixrieseberg/onedrive-link,
issue 1, 2025-05; cyberdrop-dl, onedrive.py; others alike): a token is asked for at api-badgerp.svc.ms, is good for a
week, and opens a share with ``Prefer: autoredeem``; after that, what is in it. A share's id is ``u!`` and its link in
base64 (OneDrive/onedrive-api-docs, shares_get.md). Items tell size and digests, of which not all are always there, and
links to the bytes that are good for a short while. One of the programs saw refusals without an ``Origin`` of
OneDrive's; others send none, as here. The token is nobody's secret: whoever asks is given one.

Links of companies and schools (sharepoint.com) open with cookies of their own tenant, which is not known here: a person
has to fetch what is behind them.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urldefrag, urlsplit

from medfetch.checksum import HEX_LENGTH, QUICK_XOR
from medfetch.errors import AccessRequired, MedfetchError, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _shares
from medfetch.sources._answers import told
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings
from medfetch.sources._paths import relative
from medfetch.sources._shares import component
from medfetch.types import Checksum, Door, Link, RemoteFile, Selection, Traits, Verdict

HOSTS = {"1drv.ms", "onedrive.live.com"}
SHAREPOINT = ".sharepoint.com"
APP = "5cbed6ac-a083-4e14-b191-b4ba07653de2"
"""What OneDrive's own pages call themselves when they ask for a token."""
TOKEN_LIFE = 24 * 3600.0
"""Seconds after which another token is asked for; they are good for a week."""
DOWNLOAD = ("@content.downloadUrl", "@microsoft.graph.downloadUrl")


class OneDrive:
    """Locator: ``link``, one or several; ``path``, patterns of files or folders, without which all is taken; ``files``:
    what is known of the files, by ``path``.

    Files are called as their owner called them, unless the recipe knows only one, which is then the one at its only
    link.
    """

    name: ClassVar[str] = "onedrive"
    traits: ClassVar[Traits] = Traits(
        endpoints={
            "onedrive": "https://my.microsoftpersonalcontent.com/_api/v2.0",
            "onedrive_token": "https://api-badgerp.svc.ms/v1.0",
        },
        connections=4,
    )

    def __init__(self) -> None:
        self._tokens: dict[str, tuple[str, float]] = {}

    def locate(self, text: str) -> dict[str, Any]:
        _checked(text, UsageProblem)
        return {"link": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"link", "path", "files"}, self.name)
        links, patterns = strings(locator, "link", self.name), strings(locator, "path", self.name)
        if not links:
            raise RecipeError("expected a shared link", at="onedrive.link")
        for link in links:
            _checked(link, RecipeError)
        items = _shares.known(locator, self.name)
        for link in links:
            if (urlsplit(link).hostname or "").endswith(SHAREPOINT):
                raise _by_hand(link)
        called = next(iter(items)) if len(links) == len(items) == 1 else None
        found = (file for link in links for file in self._shared(link, called, net))
        yield from (file for file in _shares.matched(found, items, self.name) if wanted(file.path, patterns))

    def link(self, url: str, net: Net) -> Link:
        """Where the bytes are just now. Raises: Refused, Retryable."""
        address, _, share = url.partition("#")
        # The same throughout, for another thread may get another: a token opens what is in a share only after it has
        # opened the share.
        token = self._token(net)
        if share:
            _ask(f"{net.endpoint('onedrive')}/shares/{share}/driveitem", token, net)
        item = _ask(address, token, net)
        for name in DOWNLOAD:
            if isinstance(item.get(name), str):
                return Link(item[name])
        raise Refused(f"OneDrive tells no address of the file, whose owner may allow no downloads: {_shares.BY_HAND}")

    def _shared(self, link: str, called: str | None, net: Net) -> Iterator[RemoteFile]:
        """``called``: the path of the file, if the link is of one."""
        share = "u!" + base64.urlsafe_b64encode(urldefrag(link)[0].encode()).decode().rstrip("=")
        root = f"{net.endpoint('onedrive')}/shares/{share}/driveitem"
        try:
            token = self._token(net)
            item = _ask(root, token, net)
            if "folder" in item:
                yield from _walk(item, "", share, token, net)
                return
            yield _file(item, called or component(str(item.get("name"))), root)
        except Refused as error:
            raise _refused(error, link) from error

    def _token(self, net: Net) -> str:
        endpoint = net.endpoint("onedrive_token")
        token, until = self._tokens.get(endpoint, ("", 0.0))
        if until < time.time():
            answer = told(net.post(f"{endpoint}/token", json={"appId": APP}), "OneDrive, asked for a token,")
            token = str(answer.get("token") or "")
            if not token:
                raise Retryable("OneDrive gives no token to people without an account")
            self._tokens[endpoint] = token, time.time() + TOKEN_LIFE
        return token


def _ask(url: str, token: str, net: Net) -> dict[str, Any]:
    headers = {"Authorization": f"Badger {token}", "Prefer": "autoredeem", "Accept": "application/json"}
    return told(net.get(url, headers=headers), "OneDrive")


def _walk(folder: Mapping[str, Any], prefix: str, share: str, token: str, net: Net) -> Iterator[RemoteFile]:
    """What is in a folder and below, by name."""
    items = _children(_address(folder, net), token, net)
    for item in sorted(items, key=lambda item: str(item.get("name"))):
        path = prefix + component(str(item.get("name")))
        if "folder" in item:
            yield from _walk(item, f"{path}/", share, token, net)
        elif "file" in item:
            yield _file(item, relative(path), f"{_address(item, net)}#{share}")


def _children(address: str, token: str, net: Net) -> Iterator[Mapping[str, Any]]:
    """What is in a folder, page by page."""
    url = f"{address}/children?%24top=200"
    while url:
        page = _ask(url, token, net)
        rows = page.get("value")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Retryable("OneDrive did not answer with what is in a folder")
        yield from rows
        further = str(page.get("@odata.nextLink") or "")
        if further == url:
            raise Retryable("OneDrive answers the same page of a folder again and again")
        url = further


def _checked(link: str, error: type[UsageProblem]) -> None:
    parts = urlsplit(link)
    known = parts.hostname in HOSTS or (parts.hostname or "").endswith(SHAREPOINT)
    if parts.scheme != "https" or not known or parts.path in ("", "/"):
        raise error(f"{link!r} is no shared link of OneDrive", hint="expected https://1drv.ms/…")


def _address(item: Mapping[str, Any], net: Net) -> str:
    """Of an item by its drive."""
    try:
        drive, key = str(item["parentReference"]["driveId"]), str(item["id"])
    except (KeyError, TypeError) as error:
        raise Retryable(f"OneDrive does not say where an item is: {error!r}") from error
    return f"{net.endpoint('onedrive')}/drives/{quote(drive, safe='')}/items/{quote(key, safe='')}"


def _file(item: Mapping[str, Any], path: str, url: str) -> RemoteFile:
    size = item.get("size")
    hashes = (item.get("file") or {}).get("hashes") or {}
    key = f"onedrive:{item.get('id')}"
    return RemoteFile(path, key, (url,), size if type(size) is int else None, tuple(_checksums(hashes)))


def _checksums(hashes: Mapping[str, Any]) -> Iterator[Checksum]:
    """The best first; QuickXorHash is in base64, the others are in hexadecimal digits."""
    for name, algorithm in (("sha256Hash", "sha256"), ("sha1Hash", "sha1")):
        digest = str(hashes.get(name) or "").lower()
        if re.fullmatch(rf"[0-9a-f]{{{HEX_LENGTH[algorithm]}}}", digest):
            yield Checksum(algorithm, digest)
    try:
        digest = base64.b64decode(str(hashes.get("quickXorHash") or ""), validate=True).hex()
    except (binascii.Error, ValueError):
        return
    if len(digest) == 40:
        yield Checksum(QUICK_XOR, digest)


def _by_hand(link: str) -> AccessRequired:
    host = urlsplit(link).hostname
    said = f"{host} opens its shared links in a browser only: {_shares.BY_HAND}"
    return AccessRequired(
        f"{link} cannot be fetched by a program",
        steps=[{"name": "onedrive-link", "kind": "link", "do": said, "at": link, "wait": "unknown"}],
    )


def _refused(error: Refused, link: str) -> MedfetchError:
    if error.status in (404, 410):
        return UsageProblem(f"OneDrive has nothing at {link}: it was deleted, or is not shared any more")
    if error.status in (401, 403):
        said = f"OneDrive does not give {link} to everybody: ask its owner, or {_shares.BY_HAND}"
        return closed(Verdict(Door.NOT_APPROVED, said, link), "onedrive-link")
    return error
