"""Files on FTP servers: single ones, or all of a folder, as far as patterns fit.

It must not know how the protocol is spoken: listings come by ``Net.listing``, bytes by the address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from medfetch.errors import RecipeError, Retryable, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net, _files
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import component, relative
from medfetch.types import RemoteFile, Selection, Traits

FILE_FIELDS = {"path", "url", "size", "unpack", *_files.CHECKSUMS}
DEEPEST = 64
"""Folders within folders; a server that has more goes round in a circle."""
FACTS = re.compile(r"((?:[A-Za-z0-9.-]+=[^;]*;)+) (.+)")
"""A line of MLSD (RFC 3659, 7.2)."""
UNIX = re.compile(
    r"([a-z-])[rwxsStTl-]{9}[.+@]? +[0-9]+ +(?:\S+ +){1,2}([0-9]+) +[A-Za-z]{3} +[0-9]{1,2} +[0-9:]{4,5} (.+)"
)
"""A line of LIST as ``ls -l`` has it: kind, size, name. Some servers leave the group out."""
DOS = re.compile(r"[0-9]{2}-[0-9]{2}-[0-9]{2,4} +[0-9]{2}:[0-9]{2}[AP]M +(<DIR>|[0-9]+) +(.+)")
"""A line of LIST as Microsoft's server has it."""


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    is_folder: bool
    size: int | None
    """Bytes."""
    changed: str
    """When, as MLSD tells it; empty where only LIST is known, which tells it vaguely."""


class Ftp:
    """Locator: ``folder``, an address with ``ftp://`` or ``ftps://`` (TLS from the first byte) of which everything is
    taken, with ``path``: patterns of files or folders; or ``files``, each with ``path``, ``url`` and, as of ``http``,
    ``size``, checksums and ``unpack``. Links in a folder are not followed: they may lead in circles.
    """

    name: ClassVar[str] = "ftp"
    traits: ClassVar[Traits] = Traits(endpoints={"ftp": ""}, connections=2)

    def locate(self, text: str) -> dict[str, Any]:
        url = f"ftp:{text}" if text.startswith("//") else text
        if not re.match(r"ftps?://[^\s/@]+/", url):
            raise UsageProblem(f"expected ftp://host/folder/ or ftp://host/…/file, not {url!r}")
        if url.endswith("/"):
            return {"folder": url}
        return {"files": [{"path": component(unquote(url.rpartition("/")[2])), "url": url}]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"folder", "path", "files"}, self.name)
        folder = text(locator, "folder", self.name)
        if (folder is None) == ("files" not in locator):
            raise RecipeError("expected either folder or files", at=self.name)
        if folder is None:
            yield from _listed(locator["files"], net)
            return
        asked = strings(locator, "path", self.name), selection.facets.get("path", ())
        wanted = [patterns for patterns in asked if patterns]
        yield from _inside(_address(folder, net, "ftp.folder").rstrip("/") + "/", "", wanted, net, DEEPEST)


def _listed(items: Any, net: Net) -> Iterator[RemoteFile]:
    """The files that a recipe names."""
    if not isinstance(items, list | tuple) or not items:
        raise RecipeError("expected a list of files", at="ftp.files")
    seen: set[str] = set()
    for number, item in enumerate(items):
        where = f"ftp.files[{number}]"
        path = _files.path(_files.mapping(item, FILE_FIELDS, where), where)
        if path in seen:
            raise RecipeError(f"two files have the path {path!r}", at=where)
        seen.add(path)
        url, digests = text(item, "url", where) or "", _files.checksums(item, where)
        yield RemoteFile(
            path=path,
            key=next((str(each) for each in digests if each.algorithm == "sha256"), url),
            urls=(_address(url, net, f"{where}.url"),),
            size=_files.size(item, where),
            checksums=digests,
            unpack=_files.unpack(item, path, split=False, where=where),
        )


def _address(url: str, net: Net, where: str) -> str:
    """The address; where ``ftp`` is replaced, below that."""
    parts = urlsplit(url)
    if parts.scheme not in ("ftp", "ftps") or not parts.hostname or parts.username is not None:
        raise RecipeError(f"expected an address with ftp:// or ftps://, without a user name, not {url!r}", at=where)
    url = quote(url, safe="!$%&'()*+,/:;=?@[]~")
    return f"{net.endpoint('ftp')}/{url.partition('://')[2]}" if net.replaced("ftp") else url


def _inside(url: str, folder: str, wanted: list[tuple[str, ...]], net: Net, depth: int) -> Iterator[RemoteFile]:
    """The files of a folder and of those in it that are wanted, in the order of their names."""
    if not depth:
        raise Retryable(f"{url} lies in more than {DEEPEST} folders: the server leads in a circle")
    content = net.listing(url)
    try:
        lines, encoding = content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        lines, encoding = content.decode("latin-1"), "latin-1"
    for item in sorted(_items(lines, url), key=lambda item: item.name):
        path, address = folder + item.name, url + quote(item.name, encoding=encoding)
        if item.is_folder:
            if all(_may_lead(f"{path}/", each) for each in wanted):
                yield from _inside(f"{address}/", f"{path}/", wanted, net, depth - 1)
        elif all(fits(path, each) for each in wanted):
            key = f"{address}#{item.changed or item.size}"
            yield RemoteFile(relative(path), key, (address,), item.size)


def _may_lead(folder: str, patterns: Iterable[str]) -> bool:
    """Whether a path in a folder may fit one of some patterns."""
    literals = (re.split(r"[*?[]", pattern, maxsplit=1)[0] for pattern in patterns)
    return any(
        folder.startswith(literal) or literal.startswith(folder) or f"{literal}/" == folder for literal in literals
    )


def _items(lines: str, url: str) -> Iterator[_Item]:
    """What a listing tells, without what is neither a file nor a folder. Raises: Retryable where it is none."""
    for line in re.split("\r?\n", lines):
        if found := FACTS.fullmatch(line):
            facts = {name.lower(): value for name, _, value in (each.partition("=") for each in found[1].split(";"))}
            kind, size = facts.get("type", "").lower(), facts.get("size", "")
            if kind in ("file", "dir"):
                changed = facts.get("modify", "")
                yield _Item(_name(found[2], url), kind == "dir", int(size) if size.isdecimal() else None, changed)
        elif found := UNIX.fullmatch(line):
            if found[1] in "-d" and found[3] not in (".", ".."):
                yield _Item(_name(found[3], url), found[1] == "d", int(found[2]), "")
        elif found := DOS.fullmatch(line):
            is_folder = found[1] == "<DIR>"
            yield _Item(_name(found[2], url), is_folder, None if is_folder else int(found[1]), "")
        elif line.strip() and not re.match(r"total [0-9]+$", line):
            raise Retryable(f"{url} answered {line[:80]!r}, which is no line of a listing")


def _name(name: str, url: str) -> str:
    """Raises: RecipeError for a name that leads elsewhere."""
    if "/" in name or name in (".", ".."):
        raise RecipeError(f"{url} lists the name {name!r}, which is none of a file in it")
    return name
