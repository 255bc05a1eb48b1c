"""Files whose links come by e-mail and expire: the recipe says which there are, the mail where they are just now.

It must not know where the links are kept, or ask the network anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

from medfetch.errors import RecipeError, Refused, UsageProblem
from medfetch.sources import Net, _files
from medfetch.sources._locator import only, text
from medfetch.types import Link, Mailed, RemoteFile, Selection, Traits

FILE_FIELDS = {"path", "match", "size", "unpack", *_files.CHECKSUMS}


class Links:
    """Locator: ``asked_at``, the address where the links are asked for, and ``files``, a list of:

    - ``path``: where it goes
    - ``match``: a shell pattern for the file's name in the link, where it is not the last part of ``path``
    - ``md5``, ``sha1``, ``sha256``, ``sha512``, ``checksums_by``; ``size``; ``unpack``: as of ``http``

    A file's address is ``asked_at`` with its pattern behind ``#``, a name that outlives every link.
    """

    name: ClassVar[str] = "links"
    traits: ClassVar[Traits] = Traits(connections=8, offline=True)

    def locate(self, text: str) -> dict[str, Any]:
        raise UsageProblem("links says which files there are in a recipe only", hint="medfetch list shows the recipes")

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        return files(locator)

    def link(self, url: str, net: Net) -> Link:
        """Raises: Refused where the person has given no link, or it is over."""
        asked_at = url.partition("#")[0]
        found = best(url, net.mailed())
        if found is None:
            raise Refused(f"no link was given for {wanted(url)}; ask for one at {asked_at}, then use --links")
        if found.link.expired:
            raise Refused(f"the link for {wanted(url)} has expired; ask for a new one at {asked_at}, then use --links")
        return found.link


def files(locator: Mapping[str, Any]) -> Iterator[RemoteFile]:
    """The files of a locator. Raises: RecipeError."""
    only(locator, {"files", "asked_at"}, Links.name)
    asked_at = text(locator, "asked_at", Links.name) or ""
    if urlsplit(asked_at).scheme not in ("http", "https") or not urlsplit(asked_at).hostname:
        raise RecipeError(f"expected the address where links are asked for, not {asked_at!r}", at="links.asked_at")
    items = locator.get("files")
    if not isinstance(items, list | tuple) or not items:
        raise RecipeError("expected a list of files", at="links.files")
    seen: set[str] = set()
    for at, item in enumerate(items):
        where = f"links.files[{at}]"
        _files.mapping(item, FILE_FIELDS, where)
        path = _files.path(item, where)
        if path in seen:
            raise RecipeError(f"two files have the path {path!r}", at=where)
        seen.add(path)
        pattern = text(item, "match", where) or path.rpartition("/")[2]
        yield RemoteFile(
            path=path,
            key=f"links:{path}",
            urls=(f"{asked_at.partition('#')[0]}#{quote(pattern, safe='')}",),
            size=_files.size(item, where),
            checksums=_files.checksums(item, where),
            unpack=_files.unpack(item, path, split=False, where=where),
        )


def wanted(url: str) -> str:
    """The pattern for the name of a file, out of its address."""
    return unquote(url.partition("#")[2])


def best(url: str, links: Iterable[Mailed]) -> Mailed | None:
    """Of the links for the file at an address the one that is good for longest; None where there is none."""
    fitting = [each for each in links if any(fnmatchcase(name, wanted(url)) for name in each.names)]
    return max(fitting, key=lambda each: each.link.expires or float("inf"), default=None)
