"""The files that somebody put into the sandbox, by address, and plain servers that hand them out.

It must not know sockets, nor what the files are.
"""

from __future__ import annotations

import mimetypes
import threading
from urllib.parse import urlsplit

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, text


class Shelf:
    """Files by address: ``https://host/path``, ``ftp://host/path``, ``s3://bucket/key`` or ``gs://bucket/name``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, Content] = {}

    def put(self, address: str, content: Content) -> None:
        if urlsplit(address).scheme not in ("http", "https", "s3", "gs", "ftp"):
            expected = "https://host/path, ftp://host/path, s3://bucket/key or gs://bucket/name"
            raise ValueError(f"expected {expected}, not {address!r}")
        with self._lock:
            self._files[_normal(address)] = content

    def get(self, address: str) -> Content | None:
        return self._files.get(_normal(address))

    def under(self, prefix: str) -> list[tuple[str, Content]]:
        """Those whose addresses begin so, in order."""
        with self._lock:
            return sorted((name, content) for name, content in self._files.items() if name.startswith(prefix))


def answer(shelf: Shelf, request: Request, path: str) -> Answer:
    """``path``: ``host/path``; a query that is no part of a file's address is ignored, as signed links need."""
    query = urlsplit(request.target).query
    found = shelf.get(f"https://{path}?{query}") or shelf.get(f"https://{path}")
    if found is None:
        return text(f"the sandbox has no https://{path}\n", 404)
    if request.method not in ("GET", "HEAD"):
        return text("only GET and HEAD\n", 405)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return messages.file(found, f'"{found.md5()}"', kind)


def ftp(shelf: Shelf, request: Request, path: str) -> Answer:
    """An FTP server as a gateway shows it: a file, or of a folder what MLSD (RFC 3659) lists."""
    if not path.endswith("/"):
        found = shelf.get(f"ftp://{path}")
        if found is None:
            return text(f"the sandbox has no ftp://{path}\n", 404)
        return messages.file(found, f'"{found.md5()}"', "application/octet-stream")
    prefix = f"ftp://{path}"
    lines: dict[str, str] = {}
    for address, content in shelf.under(prefix):
        name, slash, _ = address.removeprefix(prefix).partition("/")
        facts = "type=dir" if slash else f"type=file;size={content.size};modify=20230101000000"
        lines[name] = f"{facts}; {name}\r\n"
    return text("".join(lines.values())) if lines else text(f"the sandbox has no {prefix}\n", 404)


def _normal(address: str) -> str:
    """The sandbox speaks HTTP only, so http and https name the same file."""
    return address.replace("http://", "https://", 1) if address.startswith("http://") else address
