"""What a recipe says of one file: where it goes, how large it is, its checksums, whether it is unpacked.

It must not know where files come from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from medfetch import archives, checksum
from medfetch.errors import RecipeError
from medfetch.sources._locator import only, text
from medfetch.sources._paths import relative
from medfetch.types import Checksum, Unpack

CHECKSUMS = {"checksums_by", *checksum.HEX_LENGTH}
"""The fields of a file's checksums."""
SIZE = re.compile(r"[0-9]+(\.[0-9]+)? ?[kMGTP]?B")


def mapping(item: Any, fields: set[str], where: str) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise RecipeError(f"expected fields, not {item!r}", at=where)
    only(item, fields, where)
    return item


def path(item: Mapping[str, Any], where: str) -> str:
    path = item.get("path")
    if not isinstance(path, str):
        raise RecipeError(f"expected the path of a file, not {path!r}", at=f"{where}.path")
    return safe(path, f"{where}.path")


def safe(path: str, where: str) -> str:
    try:
        return relative(path)
    except RecipeError as error:
        raise RecipeError(error.message, at=where) from None


def size(item: Mapping[str, Any], where: str) -> int | None:
    size = item.get("size")
    if size is None or (type(size) is int and size >= 0):
        return size
    if isinstance(size, str) and SIZE.fullmatch(size):
        return None
    raise RecipeError(f"expected a number of bytes, or words such as 9.95 GB, not {size!r}", at=f"{where}.size")


def checksums(item: Mapping[str, Any], where: str) -> tuple[Checksum, ...]:
    """Those of a file; ``checksums_by``, whoever computed them, is for readers. Raises: RecipeError."""
    text(item, "checksums_by", where)
    found = []
    for algorithm in checksum.HEX_LENGTH:
        if algorithm in item:
            if not isinstance(item[algorithm], str):
                raise RecipeError("put the checksum in quotes", at=f"{where}.{algorithm}")
            try:
                found.append(checksum.parse(f"{algorithm}:{item[algorithm]}"))
            except RecipeError as error:
                raise RecipeError(error.message, at=f"{where}.{algorithm}") from None
    return tuple(found)


def unpack(item: Mapping[str, Any], path: str, split: bool, where: str) -> Unpack | None:
    wanted = item.get("unpack", False)
    if wanted is False:
        if split:
            raise RecipeError("the pieces of a split zip do not join to a zip: add `unpack: true`", at=where)
        return None
    kind = archives.kind(path)
    if kind is None:
        known = ", ".join(archives.KINDS)
        raise RecipeError(f"{path!r} is no archive to unpack; known: {known}", at=f"{where}.unpack")
    if wanted is True:
        into = path.rpartition("/")[0]
    elif isinstance(wanted, Mapping) and set(wanted) == {"into"} and isinstance(wanted["into"], str):
        into = safe(wanted["into"], f"{where}.unpack") if wanted["into"] not in ("", ".") else ""
    else:
        raise RecipeError(f"expected true or {{into: folder}}, not {wanted!r}", at=f"{where}.unpack")
    return Unpack("split-zip" if split else kind, into)
