"""Files at addresses: with mirrors, published checksums, in pieces, numbered, as archives to unpack.

It must not know what is at the addresses, and asks the network nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from medfetch import checksum
from medfetch.errors import RecipeError, UsageProblem
from medfetch.sources import Net, _files
from medfetch.sources._locator import only, strings
from medfetch.sources._paths import component
from medfetch.types import Checksum, RemoteFile, Selection, Traits

PIECE_FIELDS = {"url", "size", *checksum.HEX_LENGTH}
FILE_FIELDS = PIECE_FIELDS | {"path", "pieces", "unpack", "auth", "range", "checksums_by"}
HOST_CONNECTIONS = {"zenodo.org": 2}
"""Zenodo blocked sites with eight connections, and some with four; two were fine (karel-brinda/Phylign#236)."""
NUMBER = re.compile(r"\{n(?::0([1-9])d)?\}")
SPLIT_ZIP = re.compile(r"\.(z[0-9]{2,3}|zip)$", re.IGNORECASE)


class Http:
    """Locator: ``files``, a list of:

    - ``path``: where it goes; ``url``: an address or a list of mirrors, best first
    - ``md5``, ``sha1``, ``sha256``, ``sha512``, and ``checksums_by``: who computed them, where that was not the
      publisher; ``size``: bytes. A size in words (``9.95 GB``) is for readers: nothing
      can be verified by it
    - ``unpack``: ``true``, or ``{into: folder}``; the kind of archive is told by the path
    - ``pieces``, in place of ``url``: addresses with their own checksums and sizes, joined in that order. Those of a
      split zip (``.z01`` … ``.zip``) go to the unpacker as they are
    - ``range: [first, last]``: one file for each number, which stands for ``{n}`` or ``{n:05d}`` in path and url
    - ``auth: basic``: user and password are in the netrc file

    and ``connections``, how many at once the hosts are known to bear, where it is another number than most do.
    """

    name: ClassVar[str] = "http"
    traits: ClassVar[Traits] = Traits(
        endpoints={"http": ""}, connections=8, host_connections=HOST_CONNECTIONS, offline=True, logins=("netrc:HOST",)
    )

    def locate(self, text: str) -> dict[str, Any]:
        parts = urlsplit(text)
        name = component(unquote(parts.path.rpartition("/")[2]))
        if parts.scheme not in ("http", "https") or not parts.hostname or name == "%":
            raise UsageProblem(f"expected the address of a file, https://host/…/name, not {text!r}")
        return {"files": [{"path": name, "url": text}]}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"files", "connections"}, self.name)
        items = locator.get("files")
        if not isinstance(items, list | tuple) or not items:
            raise RecipeError("expected a list of files", at="http.files")
        seen: set[str] = set()
        for at, item in enumerate(items):
            where = f"http.files[{at}]"
            for each in _numbered(_files.mapping(item, FILE_FIELDS, where), where):
                file = _file(each, net, where)
                if file.path in seen:
                    raise RecipeError(f"two files have the path {file.path!r}", at=where)
                seen.add(file.path)
                yield file


def _file(item: Mapping[str, Any], net: Net, where: str) -> RemoteFile:
    if ("url" in item) == ("pieces" in item):
        raise RecipeError("expected either url or pieces", at=where)
    path = _files.path(item, where)
    listed = _pieces(item, where)
    first = strings(item, "url", where) or strings(listed[0], "url", where)
    credential = _credential(item, [*first, *(url for piece in listed for url in strings(piece, "url", where))], where)
    names = _piece_paths(path, [strings(piece, "url", where)[0] for piece in listed], where)
    checksums = _files.checksums(item, where)
    return RemoteFile(
        path=path,
        key=_key(checksums, first),
        urls=() if listed else tuple(_address(url, net, where) for url in first),
        size=_files.size(item, where),
        checksums=checksums,
        unpack=_files.unpack(item, path, split=bool(listed) and names[-1] == path, where=where),
        credential=credential,
        pieces=tuple(
            _piece(piece, name, credential, net, f"{where}.pieces[{at}]")
            for at, (piece, name) in enumerate(zip(listed, names, strict=True))
        ),
    )


def _piece(item: Mapping[str, Any], path: str, credential: str | None, net: Net, where: str) -> RemoteFile:
    urls = strings(item, "url", where)
    checksums = _files.checksums(item, where)
    return RemoteFile(
        path=path,
        key=_key(checksums, urls),
        urls=tuple(_address(url, net, where) for url in urls),
        size=_files.size(item, where),
        checksums=checksums,
        credential=credential,
    )


def _pieces(item: Mapping[str, Any], where: str) -> list[Mapping[str, Any]]:
    if "pieces" not in item:
        return []
    pieces = item["pieces"]
    if not isinstance(pieces, list | tuple) or not pieces:
        raise RecipeError("expected a list of pieces", at=f"{where}.pieces")
    for at, piece in enumerate(pieces):
        if not strings(_files.mapping(piece, PIECE_FIELDS, f"{where}.pieces[{at}]"), "url", f"{where}.pieces[{at}]"):
            raise RecipeError("a piece needs a url", at=f"{where}.pieces[{at}]")
    return list(pieces)


def _piece_paths(path: str, urls: list[str], where: str) -> list[str]:
    """Names for the pieces: those of a split zip end as unpackers want them, the last like the whole; others count."""
    endings = [SPLIT_ZIP.search(urlsplit(url).path.removesuffix("/content")) for url in urls]
    suffixes = [ending[1].lower() for ending in endings if ending]
    if not any(suffix.startswith("z") and suffix != "zip" for suffix in suffixes):
        return [f"{path}.{number:03d}" for number in range(1, len(urls) + 1)]
    if suffixes != [f"z{number:02d}" for number in range(1, len(urls))] + ["zip"]:
        raise RecipeError("the pieces of a split zip are .z01, .z02 … and last .zip", at=f"{where}.pieces")
    if not path.lower().endswith(".zip"):
        raise RecipeError("the path of a split zip ends in .zip", at=f"{where}.path")
    return [*(f"{path[:-4]}.{suffix}" for suffix in suffixes[:-1]), path]


def _numbered(item: Mapping[str, Any], where: str) -> Iterator[Mapping[str, Any]]:
    """The item itself, or with ``range`` one item for each number."""
    if "range" not in item:
        yield item
        return
    limits = item["range"]
    if not (isinstance(limits, list | tuple) and len(limits) == 2 and all(type(n) is int for n in limits)):
        raise RecipeError(f"expected [first, last], not {limits!r}", at=f"{where}.range")
    if limits[0] < 0 or limits[0] > limits[1]:
        raise RecipeError(f"{limits!r} is no range of numbers", at=f"{where}.range")
    if surplus := set(item) - {"range", "path", "url", "unpack", "auth"}:
        raise RecipeError(f"{', '.join(sorted(surplus))} cannot be the same for every file of a range", at=where)
    urls = strings(item, "url", where)
    if not all(NUMBER.search(template) for template in (_files.path(item, where), *urls)):
        raise RecipeError("path and url need {n}, or {n:05d} for five digits, where the number goes", at=where)
    for number in range(limits[0], limits[1] + 1):
        filled = {"path": _fill(item["path"], number), "url": [_fill(url, number) for url in urls]}
        yield {**{name: value for name, value in item.items() if name != "range"}, **filled}


def _fill(template: str, number: int) -> str:
    return NUMBER.sub(lambda found: f"{number:0{found[1] or 1}d}", template)


def _credential(item: Mapping[str, Any], urls: list[str], where: str) -> str | None:
    if "auth" not in item:
        return None
    if item["auth"] != "basic":
        raise RecipeError(f"expected basic, not {item['auth']!r}", at=f"{where}.auth")
    hosts = {urlsplit(url).hostname for url in urls}
    if len(hosts) > 1:
        raise RecipeError("a password is for one host; these addresses are on several", at=f"{where}.auth")
    return f"netrc:{hosts.pop()}"


def _address(url: str, net: Net, where: str) -> str:
    """The address with what may not stand in one encoded; on the mirror, if ``http`` has one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError(f"expected an address with http:// or https://, not {url!r}", at=f"{where}.url")
    if parts.username is not None:
        raise RecipeError(f"user and password for {parts.hostname} belong in netrc: use auth: basic", at=f"{where}.url")
    url = quote(url.partition("#")[0], safe="!$%&'()*+,/:;=?@[]~")
    return f"{net.endpoint('http')}/{url.partition('://')[2]}" if net.replaced("http") else url


def _key(checksums: tuple[Checksum, ...], urls: tuple[str, ...]) -> str:
    return next((str(each) for each in checksums if each.algorithm == "sha256"), urls[0])
