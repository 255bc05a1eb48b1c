"""Dropbox: shared links, of files as they are, of folders as the one zip that Dropbox makes of them.

It must not know what the files are. Read 2026-11-29: yt-dlp 2026.10.26 (dropbox.py) for the forms of links and for
``dl=1``; issues of public repositories for what happens when an owner's traffic of a day is used up: status 429, or 509
before ("This link is temporarily disabled. The person who shared it hit their daily limit of traffic or downloads"). A
folder's zip is made while it is sent: no size, no range, no checksum. How large one may be could not be established.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from medfetch.errors import MedfetchError, RecipeError, Refused, UsageProblem
from medfetch.sources import Net, _shares
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings
from medfetch.sources._shares import component
from medfetch.types import Door, Peek, RemoteFile, Selection, Traits, Unpack, Verdict

HOSTS = {
    "dropbox.com": "dropbox",
    "www.dropbox.com": "dropbox",
    "dl.dropbox.com": "dropbox_files",
    "dl.dropboxusercontent.com": "dropbox_files",
}
"""The endpoint of each of Dropbox's hosts."""
SHARED = re.compile(r"/(?:s|sh|scl/f[io])/[^/]+")
FOLDER = re.compile(r"/(?:sh/[^/]+/[^/]+|scl/fo/[^/]+/[^/]+)/?")
"""The path of a link to a whole folder; what follows is something in it."""
VIEW = {"dl", "raw", "preview", "e"}
"""What a link says of how it is shown; ``rlkey``, without which newer ones do not open, is kept."""


class Dropbox:
    """Locator: ``link``, one or several; ``path``, patterns of what is wanted of folders, without which all is taken;
    ``files``: what is known of the files, by ``path``.

    A file is called as its owner called it, unless the recipe knows one file only, which is the one at its only link. A
    folder is unpacked; with several links each has a folder of its own, called as the shared one.
    """

    name: ClassVar[str] = "dropbox"
    traits: ClassVar[Traits] = Traits(
        endpoints={"dropbox": "https://www.dropbox.com", "dropbox_files": "https://dl.dropboxusercontent.com"},
        connections=4,
        # An owner's limit is for a day.
        pause=60,
    )

    def locate(self, text: str) -> dict[str, Any]:
        if not _address(text):
            raise UsageProblem(
                f"{text!r} is no shared link of Dropbox", hint="expected https://www.dropbox.com/scl/fi/…?rlkey=…"
            )
        return {"link": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        """Asks once for each link: Dropbox says no more of one than what it would send."""
        only(locator, {"link", "path", "files"}, self.name)
        links, patterns = strings(locator, "link", self.name), strings(locator, "path", self.name)
        if not links:
            raise RecipeError("expected a shared link", at="dropbox.link")
        for link in links:
            if not _address(link):
                raise RecipeError(f"{link!r} is no shared link of Dropbox", at="dropbox.link")
        items = _shares.known(locator, self.name)
        if items and any(FOLDER.fullmatch(urlsplit(link).path) for link in links):
            raise RecipeError("a folder comes as one zip, of which single files cannot be known", at="dropbox.files")
        selected = tuple(each for each in (patterns, selection.facets.get("path", ())) if each)
        found = (_shared(link, len(links) > 1, selected, net) for link in links)
        if len(links) == len(items) == 1:
            found = (replace(file, path=next(iter(items))) for file in found)
        yield from (
            file
            for file in _shares.matched(found, items, self.name)
            if file.unpack or wanted(file.path, patterns)
        )  # fmt: skip


def _address(link: str) -> tuple[str, str] | None:
    """The endpoint of a link and the rest of the address that its bytes come from; None where it is none."""
    parts = urlsplit(link)
    endpoint = HOSTS.get(parts.hostname or "")
    if parts.scheme != "https" or endpoint is None or not SHARED.match(parts.path):
        return None
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in VIEW]
    return endpoint, f"{parts.path}?{urlencode([*kept, ('dl', '1')])}"


def _shared(link: str, several: bool, selected: tuple[tuple[str, ...], ...], net: Net) -> RemoteFile:
    endpoint, rest = _address(link) or ("", "")
    url = net.endpoint(endpoint) + rest
    try:
        peek = net.peek(url)
    except Refused as error:
        raise _refused(error, link) from error
    if peek.page is not None:
        raise closed(_not_shared(peek, link), "dropbox-link")
    path = urlsplit(link).path
    name = _shares.file_name(peek) or path.rpartition("/")[2]
    key = f"dropbox:{path}"
    if not FOLDER.fullmatch(path):
        return RemoteFile(component(name), key, (url,), _shares.size(peek))
    into = component(name.removesuffix(".zip")) if several else ""
    chosen = tuple(tuple(sorted(each)) for each in selected)
    return RemoteFile(
        component(name), f"{key} {chosen}" if chosen else key, (url,), unpack=Unpack("zip", into, only=chosen)
    )


def _refused(error: Refused, link: str) -> MedfetchError:
    if error.status in (404, 410):
        return UsageProblem(f"Dropbox has nothing at {link}: it was deleted, or is not shared any more")
    if error.status in (401, 403):
        said = f"Dropbox does not give {link} to everybody: ask its owner, or {_shares.BY_HAND}"
        return closed(Verdict(Door.NOT_APPROVED, said, link), "dropbox-link")
    return error


def _not_shared(peek: Peek, link: str) -> Verdict:
    """A page that comes with status 200: for a password, a log-in, or of an owner who allows no downloads."""
    said = (
        f"Dropbox sends a page in place of the data, {_shares.title(peek.page or '')!r}: it may want a password or a "
    )
    return Verdict(Door.NOT_APPROVED, f"{said}log-in; {_shares.BY_HAND}", link)
