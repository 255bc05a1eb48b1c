"""Box: shared links of files and folders, and static ones, of any company's subdomain.

It must not know what the files are. Box's interface wants a token even for what is shared with everybody; without one
this is how public programs do it, read 2026-11-29: yt-dlp 2026.10.26 (box.py) and several scripts that fetch datasets,
of which one (bbbstyyy/opv2v-box-downloader, README, measured 2026-08) says what is what. A shared page holds its state
(``Box.postStreamData``): the name of the share, and of a folder 20 items a page with name, id and ``itemSize``. The
list by itself (``/app-api/enduserapp/shared-folder``) answers with the root whichever folder it is asked for, so pages
are read and their ``currentFolderID`` is compared. ``/index.php?rm=box_download_shared_file`` redirects to a link at
boxcloud.com that lives for some minutes and has ranges. Checksums are not told. How many connections Box bears could
not be established; four served that program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from medfetch.errors import MedfetchError, RecipeError, Refused, Retryable, UsageProblem
from medfetch.sources import Net, _shares
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings
from medfetch.sources._paths import relative
from medfetch.sources._shares import component
from medfetch.types import Door, Link, RemoteFile, Selection, Traits, Verdict

LINK = re.compile(
    r"https://(?P<host>(?:[a-z0-9-]+\.)*box\.com)"
    r"(?:(?P<share>/[sv]/[^/?#]+)(?:/(?P<kind>file|folder)/(?P<id>[0-9]+))?|(?P<static>/shared/static/[^/?#]+))/?"
    r"(?:[?#].*)?"
)
STATE = re.compile(r"Box\.postStreamData\s*=\s*")
ITEM, FOLDER = "/app-api/enduserapp/shared-item", "/app-api/enduserapp/shared-folder"
LOGIN = "account.box.com"


@dataclass(frozen=True, slots=True)
class _Share:
    base: str
    """The address of its host, as redirects have led to it: ``https://company.app.box.com``."""
    path: str
    """``/s/NAME`` or ``/v/NAME``."""
    name: str
    """By which downloads know it; another one than a vanity link's."""


class Box:
    """Locator: ``link``, one or several; ``path``, patterns of files or folders, without which all is taken; ``files``:
    what is known of the files, by ``path``.

    Files are called as their owner called them, unless the recipe knows only one, which is then the one at its only
    link.
    """

    name: ClassVar[str] = "box"
    traits: ClassVar[Traits] = Traits(endpoints={"box": ""}, connections=4)

    def locate(self, text: str) -> dict[str, Any]:
        if not LINK.fullmatch(text):
            raise UsageProblem(f"{text!r} is no shared link of Box", hint="expected https://company.app.box.com/s/…")
        return {"link": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"link", "path", "files"}, self.name)
        links, patterns = strings(locator, "link", self.name), strings(locator, "path", self.name)
        for link in links:
            if not LINK.fullmatch(link):
                raise RecipeError(f"{link!r} is no shared link of Box", at="box.link")
        if not links:
            raise RecipeError("expected a shared link", at="box.link")
        items = _shares.known(locator, self.name)
        called = next(iter(items)) if len(links) == len(items) == 1 else None
        found = (file for link in links for file in _shared(link, called, net))
        yield from (file for file in _shares.matched(found, items, self.name) if wanted(file.path, patterns))

    def link(self, url: str, net: Net) -> Link:
        """The signed link that Box redirects to. Raises: Refused where there is none."""
        address = net.redirect(url)
        if address == url or urlsplit(address).hostname == LOGIN:
            raise Refused(f"Box gives nobody this file without a log-in, or not just now: {_shares.BY_HAND}")
        return Link(address)


def _shared(link: str, called: str | None, net: Net) -> Iterator[RemoteFile]:
    """``called``: the path of the file, if the link is of one."""
    parts = LINK.fullmatch(link)
    assert parts is not None
    base = f"{net.endpoint('box')}/{parts['host']}" if net.replaced("box") else f"https://{parts['host']}"
    if parts["static"]:
        yield _opened(f"{base}{parts['static']}", f"box:{parts['static'].rpartition('/')[2]}", called, net)
        return
    suffix = f"/{parts['kind']}/{parts['id']}" if parts["id"] else ""
    address, state = _state(f"{base}{parts['share']}{suffix}", link, net)
    item = state.get(ITEM) or {}
    share = _Share(re.split(r"/[sv]/", address)[0], parts["share"], str(item.get("sharedName") or ""))
    if not share.name:
        raise closed(_not_shared(link, "its page does not say what is shared"), "box-link")
    if parts["kind"] == "file" or item.get("itemType") == "file":
        key = parts["id"] or str(item.get("itemID"))
        yield _opened(_address(share, key), f"box:{key}", called, net)
    else:
        yield from _walk(share, parts["id"], "", state, net, link)


def _address(share: _Share, key: str) -> str:
    query = {"rm": "box_download_shared_file", "shared_name": share.name, "file_id": f"f_{key}"}
    return f"{share.base}/index.php?{urlencode(query)}"


def _opened(url: str, key: str, called: str | None, net: Net) -> RemoteFile:
    """A file of which only the address is known: Box is asked for its name and size."""
    try:
        peek = net.peek(url)
    except Refused as error:
        raise _refused(error, url) from error
    if peek.page is not None:
        raise closed(_not_shared(url, f"a page comes in place of the file, {_shares.title(peek.page)!r}"), "box-link")
    path = called or component(_shares.file_name(peek) or key.removeprefix("box:"))
    return RemoteFile(path, key, (url,), _shares.size(peek))


def _walk(
    share: _Share, folder: str | None, prefix: str, state: Mapping[str, Any] | None, net: Net, link: str
) -> Iterator[RemoteFile]:
    """What is in a folder and below, page by page, by name. ``state``: of its first page, if known."""
    number, suffix = 1, f"/folder/{folder}" if folder else ""
    while True:
        url = f"{share.base}{share.path}{suffix}?page={number}&sortColumn=name&sortDirection=ASC"
        if state is None or number > 1:
            state = _state(url, link, net)[1]
        told: Any = state.get(FOLDER)
        try:
            rows, pages = list(told["items"]), int(told.get("pageCount") or 1)
            if folder is not None and str(told["currentFolderID"]) != folder:
                raise Retryable(f"Box shows another folder at {url} than the one that was asked for")
            for row in rows:
                path, key = prefix + component(str(row["name"])), str(row["id"])
                if row["type"] == "folder":
                    yield from _walk(share, key, f"{path}/", None, net, link)
                elif row["type"] == "file":
                    size = row.get("itemSize")
                    url = _address(share, key)
                    yield RemoteFile(relative(path), f"box:{key}", (url,), size if type(size) is int else None)
        except (KeyError, TypeError, ValueError) as error:
            raise Retryable(f"{url} does not show what is in the folder: {error!r}") from error
        if number >= pages:
            return
        number += 1


def _state(url: str, link: str, net: Net) -> tuple[str, dict[str, Any]]:
    """Where a shared page is, and what it shows. Raises: AccessRequired, UsageProblem."""
    try:
        answer = net.get(url)
    except Refused as error:
        raise _refused(error, link) from error
    found = STATE.search(answer.text)
    if found is None or urlsplit(answer.url).hostname == LOGIN:
        raise closed(_not_shared(link, f"its page is {_shares.title(answer.text)!r}"), "box-link")
    try:
        state, _ = json.JSONDecoder().raw_decode(answer.text, found.end())
    except ValueError:
        state = None
    if not isinstance(state, dict):
        raise Retryable(f"{url} is cut, or does not say what is shared")
    return answer.url, state


def _refused(error: Refused, link: str) -> MedfetchError:
    if error.status in (404, 410):
        return UsageProblem(f"Box has nothing at {link}: it was deleted, or is not shared any more")
    return closed(_not_shared(link, error.message), "box-link") if error.status in (401, 403) else error


def _not_shared(link: str, because: str) -> Verdict:
    said = f"Box does not show {link} to everybody ({because}): it may want a password or a log-in; {_shares.BY_HAND}"
    return Verdict(Door.NOT_APPROVED, said, link)
