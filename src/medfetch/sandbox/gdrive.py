"""A stand-in for Google Drive as people without a log-in see it: shared folders, files, and the pages in their place.

It must not know sockets. The pages are cut down from real ones that public programs keep for their tests: the list of
a folder (``embeddedfolderview``), the warning that a file is too large to be scanned for viruses, the refusals.

    /embeddedfolderview?id=…   a folder           /uc?id=…, /download?id=…&confirm=…   a file
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, text

State = Literal["open", "scan", "infected", "quota", "private", "gone"]
UUID = "29caa046-0818-4b88-aa71-aa9aca00d098"
"""What the form under the warning sends along."""
ENTRY = """<div class="flip-entry" id="entry-{key}" tabindex="0" role="link"><div class="flip-entry-info">
<a href="{link}" target="_blank"><div class="flip-entry-visual"><div class="flip-entry-thumb"><img src="x.png" alt=""/>
</div></div><div class="flip-entry-title">{name}</div></a></div>
<div class="flip-entry-last-modified"><div>11/20/26</div></div></div>"""
WARNING = """<!DOCTYPE html><html><head><title>Google Drive - {title}</title></head><body><div class="uc-main">
<div id="uc-text"><p class="uc-warning-caption">{caption}</p><p class="uc-warning-subcaption">
<span class="uc-name-size"><a href="/open?id={key}">{name}</a> (126M)</span> {says}</p>
<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/><input type="hidden" name="id" value="{key}">
<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="{uuid}"></form></div></div></body></html>""".replace("\n", " ")
"""All on one line, as Google writes it."""
QUOTA = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can&#39;t view or download this file at this time.</p>
<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. Please try accessing the
file again later. If the file you are trying to access is particularly large or is shared with many people, it may take
up to 24 hours to be able to view or download the file.</p></body></html>"""
PRIVATE = (
    "<!DOCTYPE html><html><head><title>Google Drive - Access Denied</title></head><body>You need access</body></html>"
)


Entries = Mapping[str, "bytes | Entries"]
"""Files and folders by name."""


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    content: Content
    state: State


class Drive:
    """Folders and files by id. ``strict``: the warning is not answered by ``confirm=t`` alone."""

    def __init__(self) -> None:
        self.strict = False
        self._files: dict[str, _File] = {}
        self._folders: dict[str, list[tuple[str, str]]] = {}
        """By id: the link and the name of each entry."""
        self._names: dict[str, str] = {}
        """Of folders, by id."""

    def file(self, name: str, data: bytes, state: State = "open", key: str | None = None) -> str:
        """Shares a file, which takes the place of one with the same id; its id."""
        key = key or _key(f"{name}{len(self._files)}")
        self._files[key] = _File(name, Content.of(data), state)
        return key

    def folder(self, entries: Entries, documents: tuple[str, ...] = (), key: str | None = None) -> str:
        """Shares a folder with files and folders of files, which takes the place of one with the same id; its id.
        ``documents``: Google's own, without bytes."""
        key = key or _key(f"folder {sorted(entries)}{len(self._folders)}")
        rows = self._folders[key] = []
        for name, inside in entries.items():
            if isinstance(inside, bytes):
                self.add(key, name, inside)
            else:
                rows.append((f"https://drive.google.com/drive/folders/{self._named(name, inside)}", name))
        rows += [(f"https://docs.google.com/document/d/{_key(name)}/edit?usp=drive_web", name) for name in documents]
        return key

    def _named(self, name: str, entries: Entries) -> str:
        key = self.folder(entries)
        self._names[key] = name
        return key

    def add(self, folder: str, name: str, data: bytes, state: State = "open") -> str:
        """Puts a file into a folder, where there may be another of that name; its id."""
        key = self.file(name, data, state)
        self._folders[folder].append((f"https://drive.google.com/file/d/{key}/view?usp=drive_web", name))
        return key

    def answer(self, request: Request, path: str) -> Answer:
        key = request.query.get("id", "")
        if path == "embeddedfolderview":
            return self._listed(key)
        if path in ("uc", "download") and key in self._files:
            return self._sent(key, self._files[key], request.query)
        return text("<html><title>Error 404 (Not Found)!!1</title></html>", 404, "text/html")

    def _listed(self, key: str) -> Answer:
        if key not in self._folders:
            return text("<!DOCTYPE html><html><title>Google Drive: Sign-in</title></html>", kind="text/html")
        entries = "".join(
            ENTRY.format(key=link.split("/")[5], link=link, name=html.escape(name)) for link, name in self._folders[key]
        )
        title = html.escape(self._names.get(key, "shared"))
        page = f'<html><head><title>{title}</title></head><body><div class="flip-entries">{entries}</div></body></html>'
        return text(page, kind="text/html")

    def _sent(self, key: str, file: _File, query: Mapping[str, str]) -> Answer:
        confirmed = query.get("confirm") == "t" and (query.get("uuid") == UUID or not self.strict)
        name = html.escape(file.name)
        if file.state == "gone":
            return text("<html><title>Error 404 (Not Found)!!1</title></html>", 404, "text/html")
        if file.state in ("quota", "private"):
            return text(QUOTA if file.state == "quota" else PRIVATE, kind="text/html")
        if file.state == "infected":
            says = "is infected with a virus. Only the owner is allowed to download infected files."
            told = {"title": "Infected file", "caption": "Sorry, this file is infected with a virus", "says": says}
            return text(WARNING.format(key=key, name=name, uuid=UUID, **told), kind="text/html")
        if file.state == "scan" and not confirmed:
            says = "is too large for Google to scan for viruses. Would you still like to download this file?"
            told = {"title": "Virus scan warning", "says": says}
            told["caption"] = "Google Drive can&#39;t scan this file for viruses."
            return text(WARNING.format(key=key, name=name, uuid=UUID, **told), kind="text/html")
        sent = messages.file(file.content, f'"{file.content.md5()}"')
        # The least that Google is known to send: whether there is an entity tag, too, nobody tells.
        headers = {name: value for name, value in sent.headers.items() if name != "ETag"}
        quoted = messages.disposition(file.name)
        return replace(sent, headers={**headers, "Content-Disposition": quoted})


def _key(text: str) -> str:
    """33 characters, as Drive's ids have."""
    return f"1{hashlib.sha256(text.encode()).hexdigest()[:32]}"
