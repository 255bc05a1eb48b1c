"""A stand-in for Dropbox's shared links: files as they are, folders as a zip made while it is sent.

It must not know sockets. What is shared is known by the path of its link; ``rlkey`` must fit where a link has one, and
without ``dl=1`` there is a page, as for people.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, text

State = Literal["open", "traffic", "password"]
PIECE = 65536


@dataclass(frozen=True, slots=True)
class _Shared:
    name: str
    files: Mapping[str, bytes] | bytes
    """Of a folder by path."""
    rlkey: str | None
    state: State


class Dropbox:
    """What is shared, by the path of the link. ``traffic``: its owner's limit for the day is used up."""

    def __init__(self) -> None:
        self._shared: dict[str, _Shared] = {}

    def share(self, link: str, name: str, files: Mapping[str, bytes] | bytes, state: State = "open") -> str:
        """Shares a file, or a folder of files by path, at a link; the link."""
        parts = urlsplit(link)
        rlkey = parse_qs(parts.query).get("rlkey", [None])[0]
        self._shared[unquote(parts.path)] = _Shared(name, files, rlkey, state)
        return link

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: of a link; or ``content/`` and that, where the bytes come from."""
        content = path.startswith("content/")
        found = self._shared.get(f"/{path.removeprefix('content/')}")
        if found is None or found.rlkey != (request.query.get("rlkey") if not content else found.rlkey):
            return text("<html><title>Dropbox - 404</title></html>", 404, "text/html")
        if found.state == "traffic":
            return text("<html><title>Dropbox - 429</title>This link is temporarily disabled.</html>", 429, "text/html")
        if found.state == "password" or (not content and request.query.get("dl") != "1"):
            return text(f"<!DOCTYPE html><html><title>Dropbox - {found.name}</title></html>", kind="text/html")
        if not content:
            host = request.header("host") or ""
            return replace(text("", 302), headers={"Location": f"http://{host}/dropbox/content/{quote(path)}"})
        return _sent(found)


def _sent(found: _Shared) -> Answer:
    if isinstance(found.files, bytes):
        data = Content.of(found.files)
        return messages.file(data, f'"{data.md5()}"').with_headers(
            {"Content-Disposition": messages.disposition(found.name)}
        )
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": messages.disposition(f"{found.name}.zip"),
    }
    return Answer(200, headers, stream=_zip(found.files))


def _zip(files: Mapping[str, bytes]) -> Iterator[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    whole = out.getvalue()
    return (whole[at : at + PIECE] for at in range(0, len(whole), PIECE))
