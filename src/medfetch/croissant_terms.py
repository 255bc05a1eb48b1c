"""The terms of a Croissant, whatever their prefix, and what its resources are called.

Read is JSON-LD in its usual form, not what any processor of it would make of any form. It must not know recipes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from medfetch import archives, names

ENDINGS = {
    "application/zip": ".zip", "application/x-tar": ".tar", "application/gzip": ".tar.gz",
    "application/x-gzip": ".tar.gz", "application/x-gziptar": ".tar.gz", "application/x-7z-compressed": ".7z",
}  # fmt: skip
"""Of archives, by their format, where their names tell none."""
Node = Mapping[str, Any]


def plain(value: Any) -> Any:
    """Terms without their prefixes: ``sc:contentUrl`` and ``https://schema.org/contentUrl`` are ``contentUrl``."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key if key.startswith("@") else term(key): plain(each) for key, each in value.items()}
    return value


def term(key: str) -> str:
    return re.split(r"[:/#]", key)[-1]


def kind(node: Node) -> str:
    return term(str(next(iter(listed(node.get("@type"))), "")))


def identity(node: Node) -> str:
    return str(node.get("@id") or node.get("name"))


def title(node: Node) -> str:
    return str(node.get("name") or node.get("@id") or "a file without a name")[:200]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def containers(node: Node) -> list[str]:
    """The ids of what a resource is contained in."""
    found = []
    for each in listed(node.get("containedIn")):
        while isinstance(each, dict):
            each = each.get("@id") or each.get("fileObject") or each.get("fileSet") or ""
        found.append(str(each))
    return found


def web(value: Any) -> str | None:
    return value if isinstance(value, str) and re.match(r"https?://[^\s/]+\S*$", value) else None


def path_of(node: Node, address: str, *, packed: bool) -> str:
    """Where a file goes: as medfetch wrote it, else the first of its names that looks like a file's."""
    name, identity = str(node.get("name") or ""), str(node.get("@id") or "")
    if identity in (f"file/{quote(name)}", f"archive/{quote(name)}"):
        return name
    last = names.file_name(urlsplit(address).path)
    candidates = [each.rpartition("/")[2] for each in (name, last, identity)]
    found = next((each for each in candidates if re.fullmatch(r"[^/\\]+\.[A-Za-z0-9]{1,8}", each)), "")
    found = found or (name == identity and names.file_name(name)) or last or names.file_name(name) or "file"
    if packed and not archives.kind(found):
        found += next((ENDINGS[each] for each in listed(node.get("encodingFormat")) if each in ENDINGS), "")
    return found


def folder_of(path: str, inner: list[Node]) -> str:
    """The folder that receives an archive's members: a FileSet's name that ends in a slash; else one of the archive's
    name, for two archives may have members of the same names."""
    told = [str(each.get("name")) for each in inner if kind(each) == "FileSet" and str(each.get("name")).endswith("/")]
    if told:
        return told[0].rstrip("/") or "."
    ending = next(ending for ending in sorted(archives.KINDS, key=len, reverse=True) if path.lower().endswith(ending))
    return path[: -len(ending)] or "files"


def size_of(told: Any) -> int | None:
    """Bytes, where they are told exactly."""
    found = re.fullmatch(r"\s*([0-9]{1,18})\s*B?\s*", str(told), re.IGNORECASE) if told is not None else None
    return int(found[1]) if found else None


def repository(address: str) -> str:
    """A repository's address as its source reads it: of a page of one of its revisions, that revision."""
    parts = urlsplit(address)
    if found := re.fullmatch(r"/(?:datasets/)?([^/]+/[^/]+)/(?:tree|resolve|commit)/([^/]+)/?.*", parts.path):
        kind = "datasets/" if parts.path.startswith("/datasets/") else ""
        return f"{parts.scheme}://{parts.netloc}/{kind}{found[1]}@{unquote(found[2])}"
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def forms(pattern: str) -> Iterator[str]:
    """A glob in the form of shell patterns, whose ``*`` takes slashes, too: ``**/`` may stand for no folder."""
    yield pattern
    if pattern.startswith("**/"):
        yield pattern[3:]
