"""A stand-in for clouds that speak WebDAV: public shares of Nextcloud and ownCloud, and folders with a log-in.

It must not know sockets. Answers are in the shape of RFC 4918, 9.1, as the server of Nextcloud writes it.

    /<host>/public.php/dav/files/<token>/…   a share, as Nextcloud has them since version 29
    /<host>/public.php/webdav/…              the same with the token as user name, as before and in ownCloud
    /<host>/<path>                           a folder that was put there
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote
from xml.sax.saxutils import escape

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, text

NEW, OLD = "public.php/dav/files/", "public.php/webdav"
UNAUTHENTICATED = """<?xml version="1.0" encoding="utf-8"?>
<d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:exception>Sabre\\DAV\\Exception\\NotAuthenticated</s:exception>
</d:error>"""


@dataclass(frozen=True, slots=True)
class _Tree:
    files: Mapping[str, Content]
    login: tuple[str, str] | None
    """User name and password; None where it is open to everybody."""


class Clouds:
    """Shares by host and token, folders by host and path.

    ``version`` is Nextcloud's: before 29 there is only the old way. ``checksums``: files were uploaded with theirs.
    """

    def __init__(self) -> None:
        self.version = 31
        self.checksums = True
        self._shares: dict[tuple[str, str], _Tree] = {}
        self._folders: dict[tuple[str, str], _Tree] = {}

    def share(self, host: str, token: str, files: Mapping[str, bytes], password: str | None = None) -> str:
        """Shares files by path; an empty path is a share of that file alone. Its public link."""
        login = ("anonymous", password) if password else None
        self._shares[host, token] = _Tree({path: Content.of(data) for path, data in files.items()}, login)
        return f"https://{host}/s/{token}"

    def folder(self, host: str, path: str, files: Mapping[str, bytes], login: tuple[str, str] | None = None) -> str:
        """Has files by path in a folder of a plain server; its address."""
        self._folders[host, path] = _Tree({name: Content.of(data) for name, data in files.items()}, login)
        return f"https://{host}/{path}"

    def answer(self, request: Request, path: str) -> Answer:
        host, _, rest = path.partition("/")
        told = _basic(request)
        if rest.startswith(NEW) and self.version >= 29:
            token, _, inside = rest.removeprefix(NEW).partition("/")
            return self._shared(request, self._shares.get((host, token)), inside, told and told[1])
        if rest.startswith(OLD):
            user, password = told or ("", "")
            inside = rest.removeprefix(OLD).strip("/")
            return self._shared(request, self._shares.get((host, user)), inside, password)
        for (other, folder), tree in self._folders.items():
            if other == host and f"{rest}/".startswith(f"{folder}/"):
                if tree.login not in (None, told):
                    refused = text("Unauthorized", 401)
                    return replace(refused, headers={"WWW-Authenticate": 'Basic realm="dav"'})
                return self._served(request, tree, rest.removeprefix(folder).strip("/"))
        return text("File not found.\n", 404)

    def _shared(self, request: Request, tree: _Tree | None, inside: str, password: str | None) -> Answer:
        # A server that shares with no other one answers scripts of its own pages only.
        if tree is None or request.header("x-requested-with") != "XMLHttpRequest":
            return text(UNAUTHENTICATED, 401, "application/xml")
        if tree.login and tree.login[1] != password:
            return text(UNAUTHENTICATED, 401, "application/xml")
        return self._served(request, tree, inside.strip("/"))

    def _served(self, request: Request, tree: _Tree, inside: str) -> Answer:
        if request.method == "PROPFIND":
            return self._listed(request, tree, inside)
        if request.method in ("GET", "HEAD") and inside in tree.files:
            content = tree.files[inside]
            return messages.file(content, f'"{content.md5()}"')
        return text("<d:error xmlns:d='DAV:'/>", 404 if request.method == "GET" else 405, "application/xml")

    def _listed(self, request: Request, tree: _Tree, inside: str) -> Answer:
        own = request.path.rstrip("/")
        if inside in tree.files:
            return _multistatus(self._entry(own, tree.files[inside]))
        before = f"{inside}/" if inside else ""
        names = {name.removeprefix(before).partition("/")[::2] for name in tree.files if name.startswith(before)}
        if not names:
            return text("<d:error xmlns:d='DAV:'/>", 404, "application/xml")
        rows = [self._entry(f"{own}/", None)]
        if request.header("depth") != "0":
            files = {name for name, below in names if not below}
            rows += [self._entry(f"{own}/{name}", tree.files[before + name]) for name in files]
            rows += [self._entry(f"{own}/{name}/", None) for name in {name for name, below in names if below}]
        return _multistatus("".join(rows))

    def _entry(self, path: str, content: Content | None) -> str:
        if content is None:
            told = "<d:resourcetype><d:collection/></d:resourcetype><d:getetag>&quot;f&quot;</d:getetag>"
            missing = "<d:getcontentlength/><oc:checksums/>"
        else:
            told = f"<d:resourcetype/><d:getcontentlength>{content.size}</d:getcontentlength>"
            told += f"<d:getetag>&quot;{content.md5()}&quot;</d:getetag>"
            sha1 = hashlib.sha1(content.whole(), usedforsecurity=False).hexdigest()
            sums = f"<oc:checksum>SHA1:{sha1} MD5:{content.md5()} ADLER32:00000001</oc:checksum>"
            told += f"<oc:checksums>{sums}</oc:checksums>" if self.checksums else ""
            missing = "" if self.checksums else "<oc:checksums/>"
        return (
            f"<d:response><d:href>{escape(quote(path))}</d:href><d:propstat><d:prop>{told}</d:prop>"
            f"<d:status>HTTP/1.1 200 OK</d:status></d:propstat><d:propstat><d:prop>{missing}</d:prop>"
            "<d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>"
        )


def _multistatus(rows: str) -> Answer:
    spaces = 'xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns"'
    return text(f'<?xml version="1.0"?><d:multistatus {spaces}>{rows}</d:multistatus>', 207, "application/xml")


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = (request.header("authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user, password
