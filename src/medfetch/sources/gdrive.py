"""Google Drive: files that everybody with the link may have, by id, and what is in shared folders.

It must not know what the files are. There is no documented way for people without a log-in; this is how public programs
do it, read 2026-11-29: gdown 6.5.1 (download.py, download_folder.py), yt-dlp 2026.10.26 (googledrive.py). Folders are
shown by ``embeddedfolderview``, all of a folder on one page, names without sizes. Files come from
``drive.usercontent.google.com/download`` with ``confirm=t``; where a page comes instead, with status 200, it is the
warning that a file is too large to be scanned for viruses, whose form is answered as a person would, or a refusal. The
titles ("Google Drive - Virus scan warning", "- Quota exceeded", "- Access Denied") and the 24 hours are from pages that
public code and issues quote. How much is allowed in a day, nobody says. Whether Google tells a checksum with the bytes
could not be established; if so (``x-goog-hash``), it is compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from medfetch.errors import MedfetchError, RecipeError, Refused, UsageProblem
from medfetch.sources import Net, _shares
from medfetch.sources._doors import closed, wanted
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.sources._shares import component
from medfetch.types import Door, Link, Peek, RemoteFile, Selection, Traits, Verdict

ID = r"[A-Za-z0-9_-]{10,}"
FILE = re.compile(
    rf"https://(?:drive|docs|drive\.usercontent)\.google\.com/(?:file(?:/u/[0-9]+)?/d/({ID})|(?:uc|open|download)\?(?:.*&)?id=({ID}))"
)
FOLDER = re.compile(rf"(?:https://drive\.google\.com/drive/(?:u/[0-9]+/)?)?folders/({ID})")
SCAN = "virus scan warning"


class GoogleDrive:
    """Locator: ``folder``, the id of a shared folder, with ``path``, patterns of files or folders, without which all is
    taken; or ``files``, each with ``path`` and ``id``, and where known ``size``, checksums, ``unpack``.

    Documents, spreadsheets and slides of Google's own have no bytes until they are exported, and are left out. Of
    several files of one name in a folder each has its id before its name.
    """

    name: ClassVar[str] = "gdrive"
    traits: ClassVar[Traits] = Traits(
        endpoints={"gdrive": "https://drive.google.com", "gdrive_files": "https://drive.usercontent.google.com"},
        connections=4,
    )

    def locate(self, text: str) -> dict[str, Any]:
        if found := FOLDER.match(text):
            return {"folder": found[1]}
        found = FILE.match(text)
        if key := (found and (found[1] or found[2])) or (re.fullmatch(ID, text) and text):
            return {"files": [{"id": key}]}
        expected = "expected https://drive.google.com/file/d/ID or …/drive/folders/ID, or the id of a file"
        raise UsageProblem(f"{text!r} is no shared link of Google Drive", hint=expected)

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"folder", "path", "files"}, self.name)
        folder, patterns = text(locator, "folder", self.name), strings(locator, "path", self.name)
        if (folder is None) == ("files" not in locator):
            raise RecipeError("expected either folder or files", at=self.name)
        if folder is not None:
            _checked(folder, "gdrive.folder")
            yield from (file for file in _walk(folder, "", net, ()) if wanted(file.path, patterns))
        elif [set(item) for item in locator["files"] if isinstance(item, Mapping)] == [{"id"}]:
            yield _typed(str(locator["files"][0]["id"]), net)
        else:
            items = _shares.known(locator, self.name, _shares.FIELDS | {"id"})
            for path, item in items.items():
                key = _checked(item.get("id"), "gdrive.files")
                yield _shares.described(_file(path, key, net), item, "gdrive.files")

    def link(self, url: str, net: Net) -> Link:
        """The same address, once it is known that a file comes from there, or the one that the form leads to.

        Raises: Refused, which says what came instead.
        """
        address, _ = _opened(url, net)
        return Link(address)


def _file(path: str, key: str, net: Net) -> RemoteFile:
    query = urlencode({"id": key, "export": "download", "confirm": "t"})
    return RemoteFile(path, f"gdrive:{key}", (f"{net.endpoint('gdrive_files')}/download?{query}",))


def _typed(key: str, net: Net) -> RemoteFile:
    """A file of which nothing but the id is known: Google is asked for its name and size."""
    file = _file("", _checked(key, "gdrive.files"), net)
    try:
        _, peek = _opened(file.urls[0], net)
    except Refused as error:
        raise _refused(error, key) from error
    name = _shares.file_name(peek)
    return RemoteFile(component(name or key), file.key, file.urls, _shares.size(peek))


def _checked(key: Any, where: str) -> str:
    if not isinstance(key, str) or not re.fullmatch(ID, key):
        raise RecipeError(f"expected the id in a shared link of Google Drive, not {key!r}", at=where)
    return key


# -- folders ---------------------------------------------------------------------------------------------------------


def _walk(folder: str, prefix: str, net: Net, above: tuple[str, ...]) -> Iterator[RemoteFile]:
    """What is in a folder and below, in the order of its names, one page at a time."""
    try:
        answer = net.get(f"{net.endpoint('gdrive')}/embeddedfolderview", {"id": folder})
    except Refused as error:
        raise _refused(error, folder) from error
    page = _Page(answer.text)
    if not page.is_listing:
        raise closed(_denied(f"what came for it is {_shares.title(answer.text)!r}", folder), f"gdrive-{folder}")
    names = Counter(name for name, _, _ in page.entries)
    for name, key, is_folder in sorted(page.entries):
        path = prefix + component(name if names[name] == 1 else f"{key} {name}")
        if not is_folder:
            yield _file(relative(path), key, net)
        elif key not in above:
            yield from _walk(key, f"{path}/", net, (*above, folder))


class _Page(HTMLParser):
    """The entries of a folder's page: links, each around a title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.entries: list[tuple[str, str, bool]] = []
        """Name, id, and whether it is a folder."""
        self.is_listing = False
        self._target: tuple[str, bool] | None = None
        self._title: list[str] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        kind, href = (told.get("class") or "").split(), told.get("href") or ""
        self.is_listing |= "flip-entries" in kind or "flip-entry" in kind
        if tag == "a":
            folder, file = FOLDER.match(href), FILE.match(href)
            self._target = (folder[1], True) if folder else (file[1], False) if file and file[1] else None
        elif "flip-entry-title" in kind:
            self._title = []

    def handle_data(self, data: str) -> None:
        if self._title is not None:
            self._title.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._title is not None:
            name, self._title = "".join(self._title), None
            if self._target and name:
                self.entries.append((name, *self._target))


# -- files -----------------------------------------------------------------------------------------------------------


def _opened(url: str, net: Net) -> tuple[str, Peek]:
    """The address from which a file comes, and what Google says of it. Raises: Refused."""
    peek = net.peek(url)
    if peek.page is not None and (form := _scan_form(peek.page)):
        # Of the file that was asked for, at the host that was, whatever the form says.
        key = parse_qs(urlsplit(url).query)["id"][0]
        url = f"{net.endpoint('gdrive_files')}/download?{urlencode(form | {'id': key})}"
        peek = net.peek(url)
    if peek.page is not None:
        raise _no_file(peek)
    return url, peek


def _scan_form(page: str) -> dict[str, str] | None:
    """The fields of the form under the warning that a file was not scanned; None where the page is another, also where
    Google says that it did find something."""
    if SCAN not in _shares.title(page).lower():
        return None
    form = _Form(page)
    return form.fields or None


class _Form(HTMLParser):
    """The hidden fields of the form that a download is confirmed by."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "form":
            self._inside = told.get("id") == "download-form"
        elif tag == "input" and self._inside and told.get("type") == "hidden" and told.get("name"):
            self.fields[str(told["name"])] = told.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "form"


def _no_file(peek: Peek) -> Refused:
    """What a page means that comes with status 200 in place of a file. Of a file's failure only the message is told."""
    title = _shares.title(peek.page or "")
    if "quota exceeded" in title.lower():
        said = (
            "Google Drive gives nobody this file just now: too many have fetched it lately, and its quota is used up, "
        )
        return Refused(
            f"{said}which may take up to 24 hours, as it says: run the same command then, or {_shares.BY_HAND}"
        )
    if "access denied" in title.lower() or urlsplit(peek.url).hostname == "accounts.google.com":
        said = "Google Drive wants a log-in for this file, which is not shared with everybody who has the link"
        return Refused(f"{said}: ask its owner; if you have access, {_shares.BY_HAND}")
    return Refused(f"Google Drive sent a page called {title!r} in place of the file: {_shares.BY_HAND}")


def _refused(error: Refused, key: str) -> MedfetchError:
    """What a refusal means while it is found out what there is."""
    if error.status == 404:
        return UsageProblem(f"Google Drive has no {key}, or nobody may see it", hint="open its link in a browser")
    if error.status in (401, 403):
        return closed(_denied(error.message, key), f"gdrive-{key}")
    return error


def _denied(because: str, key: str) -> Verdict:
    said = f"Google Drive does not show {key} to everybody ({because}): ask its owner, or {_shares.BY_HAND}"
    return Verdict(Door.NOT_APPROVED, said, f"https://drive.google.com/open?id={key}")
