"""Files that no program fetches: what a recipe says of them, and why nobody gets a link to one.

It must not know who brings them, or how they are recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from medfetch.errors import RecipeError, Refused
from medfetch.sources import _files
from medfetch.sources._locator import only, text
from medfetch.types import Link, RemoteFile

FILE_FIELDS = {"path", "size", "unpack", *_files.CHECKSUMS}


def files(name: str, page: str, locator: Mapping[str, Any]) -> Iterator[RemoteFile]:
    """The files of a locator of the source ``name``, whose field ``page`` says where a person gets them; none where
    they are not known.

    A file's address is that page with the file's path behind ``#``: a name, behind which no program finds it.
    Raises: RecipeError.
    """
    only(locator, {page, "files"}, name)
    at = text(locator, page, name) or ""
    if urlsplit(at).scheme not in ("http", "https") or not urlsplit(at).hostname:
        raise RecipeError(f"expected the address of a page, not {at!r}", at=f"{name}.{page}")
    items = locator.get("files", ())
    if not isinstance(items, list | tuple):
        raise RecipeError("expected a list of files", at=f"{name}.files")
    seen: set[str] = set()
    for number, item in enumerate(items):
        where = f"{name}.files[{number}]"
        path = _files.path(_files.mapping(item, FILE_FIELDS, where), where)
        if path in seen:
            raise RecipeError(f"two files have the path {path!r}", at=where)
        seen.add(path)
        digests = _files.checksums(item, where)
        yield RemoteFile(
            path=path,
            key=next((str(each) for each in digests if each.algorithm == "sha256"), f"{name}:{path}"),
            urls=(f"{at.partition('#')[0]}#{quote(path)}",),
            size=_files.size(item, where),
            checksums=digests,
            unpack=_files.unpack(item, path, split=False, where=where),
        )


def refuse(url: str) -> Link:
    """Raises: Refused, always."""
    page, _, path = url.partition("#")
    raise Refused(f"no program fetches {unquote(path)}: get it from {page}, and bring it with medfetch import")
