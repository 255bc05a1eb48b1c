"""What a Croissant describes, as a recipe: FileObjects are files with addresses, what lies in an archive says that it
is unpacked, and what lies in a repository, or in a recipe of medfetch, is had by the source that reads those.

Croissant is JSON-LD (mlcommons.org/croissant/1.1, and 1.0). Read is its usual form, with terms under their usual names,
whatever their prefix. It must not know the network: what is at an address is for the caller to bring.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin, urlsplit

from medfetch import archives, names, recipe_check, recipe_data
from medfetch.errors import RecipeError, UsageProblem
from medfetch.types import Recipe

RECIPE_FORMAT = "application/vnd.medfetch.recipe+json"
"""Of a container that is a recipe: docs/recipes.md, in JSON."""
GIT = "git+https"
"""The format of a container that is a repository, as the Hugging Face Hub's own documents have it."""
ENDINGS = {
    "application/zip": ".zip", "application/x-tar": ".tar", "application/gzip": ".tar.gz",
    "application/x-gzip": ".tar.gz", "application/x-gziptar": ".tar.gz", "application/x-7z-compressed": ".7z",
}  # fmt: skip
"""Of archives, by their format, where their names tell none."""
HOSTS = {"huggingface.co": "hf", "github.com": "github"}
"""Sources of repositories, by host; any other is asked as git (``datalad``)."""
Node = Mapping[str, Any]


def read(text: str, name: str, url: str | None) -> Recipe:
    """The recipe of a document that was read from a file, or at an address.

    ``name``: as the person named it; a query, which may be a secret, is in no recipe. Raises: RecipeError.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        page = text.lstrip().startswith("<")
        raise RecipeError("a web page, not JSON" if page else f"not JSON: {error}", at=name) from None
    try:
        return _Document(content, name, url).recipe()
    except RecipeError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise RecipeError(f"not what Croissant looks like: {error}", at=name) from None


@dataclass(slots=True)
class _Document:
    content: Any
    name: str
    url: str | None
    files: list[dict[str, Any]] = field(default_factory=list)
    """Of an ``http`` route."""
    by_hand: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """Why those, and what else is not had."""
    told: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Size and SHA-256 of files that only a host can list."""
    parts: dict[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """The recipe in the document, where there is one."""

    def recipe(self) -> Recipe:
        nodes = self._nodes()
        within: dict[str, list[Node]] = {}
        for node in nodes:
            for container in _containers(node):
                within.setdefault(container, []).append(node)
            if not _containers(node) and _type(node) == "FileSet":
                self.reasons.append(f"{_title(node)}: it does not say in what it is contained")
        known = {_id(node) for node in nodes}
        for container, inner in within.items():
            if container not in known:
                self.reasons.append(f"{_title(inner[0])}: it is contained in {container!r}, which is not described")
        # The manifest first: its parts keep their names.
        for node in sorted(nodes, key=lambda node: RECIPE_FORMAT not in _list(node.get("encodingFormat"))):
            if _type(node) == "FileObject" and not _containers(node):
                self._top(node, within)
        return self._made()

    def _nodes(self) -> list[Node]:
        if not isinstance(self.content, dict):
            raise RecipeError("expected an object of JSON-LD", at=self.name)
        self.content = _plain(self.content)
        found = self.content.get("distribution")
        nodes: list[Node] = [node for node in _list(found) if isinstance(node, dict)]
        if not nodes:
            raise RecipeError("it has no distribution: nothing is described that could be had", at=self.name)
        return nodes

    # -- containers, and what is in them -------------------------------------------------------------------------------

    def _top(self, node: Node, within: Mapping[str, list[Node]]) -> None:
        """A FileObject that lies in no other; ``within``: what lies in each, by its id."""
        formats, inner = _list(node.get("encodingFormat")), within.get(_id(node), [])
        if RECIPE_FORMAT in formats:
            self._read_manifest(node)
            for each in (each for file_set in inner for each in within.get(_id(file_set), [])):
                self._add_told(each)
        elif GIT in formats:
            self._add_repository(node, inner)
        else:
            self._add_file(node, inner)

    def _read_manifest(self, node: Node) -> None:
        """Raises: RecipeError."""
        head, comma, data = str(node["contentUrl"]).partition(",")
        if not comma or not head.startswith("data:"):
            raise RecipeError("a recipe stands in the document itself (data:)", at=self.name)
        try:
            text = base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote_to_bytes(data)
            content = json.loads(text)
        except (binascii.Error, ValueError) as error:
            raise RecipeError(f"the recipe in it is damaged: {error}", at=self.name) from None
        if node.get("sha256") != hashlib.sha256(text).hexdigest():
            raise RecipeError("the recipe in it is not the one whose SHA-256 is given", at=self.name)
        if problems := recipe_check.check_content(content):
            raise RecipeError(f"the recipe in it cannot be used: {problems[0]}", at=self.name)
        self.manifest = content
        parts = content.get("parts") or ({"all": content} if "routes" in content else {})
        for name, part in parts.items():
            self.parts[name] = {key: part[key] for key in ("summary", "licence", "size", "routes") if key in part}

    def _add_told(self, node: Node) -> None:
        """A file of which it is known how it has to be, once its host has listed it."""
        digest, size = self._digests(node).get("sha256"), _size(node.get("contentSize"))
        if digest and size is not None:
            self.told[str(node.get("contentUrl"))] = size, digest

    def _add_repository(self, node: Node, inner: list[Node]) -> None:
        from medfetch import sources  # as in catalog.load

        address = self._absolute(str(node.get("contentUrl")))
        if (reason := self._unreachable(address)) or not inner:
            self.reasons.append(f"{_title(node)}: {reason or 'nothing of this repository is described'}")
            return
        source = HOSTS.get(urlsplit(address).hostname or "", "datalad")
        patterns: list[str] = []
        for each in inner:
            patterns += map(str, _list(each.get("includes") if _type(each) == "FileSet" else each.get("contentUrl")))
            if _list(each.get("excludes")):
                self.reasons.append(f"{_title(each)}: what it excludes comes, too")
        try:
            locator = sources.get(source).locate(_repository(address))
        except UsageProblem as error:
            self.reasons.append(f"{_title(node)}: {error.message}")
            return
        wanted = list(dict.fromkeys(form for pattern in patterns for form in _forms(pattern)))
        route = {"source": source, **locator, **({"path": wanted} if wanted and "**" not in wanted else {})}
        self._add_part("repository", route)

    def _add_file(self, node: Node, inner: list[Node]) -> None:
        address = self._absolute(str(node.get("contentUrl") or ""))
        path = _path(node, address, packed=bool(inner))
        file: dict[str, Any] = {"path": path, **self._digests(node)}
        if (size := _size(node.get("contentSize"))) is not None:
            file["size"] = size
        if inner and archives.kind(path):
            file["unpack"] = {"into": _folder(path, inner)}
        elif inner:
            self.reasons.append(f"{_title(node)}: what is in it is not unpacked: it is no archive that medfetch knows")
        if reason := self._unreachable(address):
            self.reasons.append(f"{_title(node)}: {reason}")
            self.by_hand.append(file)
        else:
            self.files.append({**file, "url": address.partition("#")[0]})

    def _digests(self, node: Node) -> dict[str, str]:
        """Raises: RecipeError for a digest that is none: nothing is left unverified in silence."""
        found = {}
        for name, length in (("sha256", 64), ("md5", 32)):
            if (value := node.get(name)) is not None:
                if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", value):
                    raise RecipeError(f"{_title(node)}: {name} is {str(value)[:80]!r}, no {name.upper()}", at=self.name)
                found[name] = value.lower()
        return found

    # -- addresses -----------------------------------------------------------------------------------------------------

    def _absolute(self, address: str) -> str:
        """Relative addresses are meant from where the document is."""
        return urljoin(self.url, address) if self.url else address

    def _unreachable(self, address: str) -> str | None:
        """Why an address is not asked; None where it may be."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return f"{address!r} is no address with http:// or https://" if address else "it has no contentUrl"
        if parts.username is not None:
            return f"its address at {parts.hostname} holds a user name"
        # Whoever wrote a document out there shall not choose what this machine asks in here.
        if self.url and is_local(parts.hostname) and not is_local(urlsplit(self.url).hostname or ""):
            return f"{parts.hostname} is on this machine or its network, and the document is not"
        return None

    # -- the recipe ----------------------------------------------------------------------------------------------------

    def _made(self) -> Recipe:
        page = _web(self.content.get("url")) or (self.name.removeprefix(names.CROISSANT) if self.url else None)
        if self.files:
            self._add_part("files", {"source": "http", "files": self.files})
        if self.by_hand and page:
            self._add_part("by-hand", {"source": "manual", "at": page, "files": self.by_hand})
        if not self.parts:
            reasons = self.reasons or ["it describes no file"]
            raise RecipeError(f"nothing of it can be had: {'; '.join(reasons[:10])}", at=self.name)
        content = {
            "id": "croissant", "name": self.name, "summary": f"What {self.name} describes.",
            "access": self.manifest.get("access") or {"level": "open"}, "parts": self.parts,
        }  # fmt: skip
        own = ("version", "licence", "cite", "homepage")
        content |= self._described() | {name: self.manifest[name] for name in own if name in self.manifest}
        if problems := recipe_check.check_content(content):
            raise RecipeError(problems[0], at=self.name)
        made = recipe_data.built(content, {}, self.name)
        # Its content is its identity, so that it may be moved.
        digest = names.digest({**content, "name": "", "files": self.told})
        stem = unquote(self.name.removeprefix(names.CROISSANT).rstrip("/").rpartition("/")[2]).partition(".")[0]
        note = made.access.note if self.manifest else self._note()
        return replace(
            made, id=f"croissant--{names.component(f'{stem}-{digest[:12]}')}", digest=digest,
            access=replace(made.access, note=note), unknown=tuple(self.reasons), files=self.told,
        )  # fmt: skip

    def _add_part(self, name: str, route: Mapping[str, Any]) -> None:
        """A part under that name, or, where another has it, under one like it."""
        taken = itertools.count(2)
        free = name
        while free in self.parts:
            free = f"{name}-{next(taken)}"
        self.parts[free] = {"routes": [route]}

    def _described(self) -> dict[str, Any]:
        """What the document says of the dataset, in a recipe's words."""
        found: dict[str, Any] = {}
        licence = next(iter(_list(self.content.get("license"))), None)
        if isinstance(licence, dict):
            url = _web(licence.get("url"))
            found["licence"] = {"id": str(licence.get("name") or url or "unknown"), **({"url": url} if url else {})}
        elif isinstance(licence, str) and licence:
            found["licence"] = {"id": licence, **({"url": licence} if _web(licence) else {})}
        if page := _web(self.content.get("url")):
            found["homepage"] = page
        if isinstance(self.content.get("description"), str) and self.content["description"].strip():
            found["summary"] = self.content["description"].strip()
        return found

    def _note(self) -> str:
        conditions = self.content.get("conditionsOfAccess")
        said = f" The document says: {conditions}" if isinstance(conditions, str) and conditions else ""
        return f"medfetch knows nothing of its terms: read them where it comes from.{said}"


# -- JSON-LD -----------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """Terms without their prefixes: ``sc:contentUrl`` and ``https://schema.org/contentUrl`` are ``contentUrl``."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key if key.startswith("@") else _term(key): _plain(each) for key, each in value.items()}
    return value


def _term(key: str) -> str:
    return re.split(r"[:/#]", key)[-1]


def _type(node: Node) -> str:
    return _term(str(next(iter(_list(node.get("@type"))), "")))


def _id(node: Node) -> str:
    return str(node.get("@id") or node.get("name"))


def _title(node: Node) -> str:
    return str(node.get("name") or node.get("@id") or "a file without a name")[:200]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _containers(node: Node) -> list[str]:
    """The ids of what a resource is contained in."""
    found = []
    for each in _list(node.get("containedIn")):
        while isinstance(each, dict):
            each = each.get("@id") or each.get("fileObject") or each.get("fileSet") or ""
        found.append(str(each))
    return found


def _web(value: Any) -> str | None:
    return value if isinstance(value, str) and re.match(r"https?://[^\s/]+\S*$", value) else None


# -- files -------------------------------------------------------------------------------------------------------------


def _path(node: Node, address: str, *, packed: bool) -> str:
    """Where a file goes: as medfetch wrote it, else the first of its names that looks like a file's."""
    name, identity = str(node.get("name") or ""), str(node.get("@id") or "")
    if identity in (f"file/{quote(name)}", f"archive/{quote(name)}"):
        return name
    last = names.file_name(urlsplit(address).path)
    candidates = [each.rpartition("/")[2] for each in (name, last, identity)]
    found = next((each for each in candidates if re.fullmatch(r"[^/\\]+\.[A-Za-z0-9]{1,8}", each)), "")
    found = found or (name == identity and names.file_name(name)) or last or names.file_name(name) or "file"
    if packed and not archives.kind(found):
        found += next((ENDINGS[each] for each in _list(node.get("encodingFormat")) if each in ENDINGS), "")
    return found


def _folder(path: str, inner: list[Node]) -> str:
    """The folder that receives an archive's members: a FileSet's name that ends in a slash; else one of the archive's
    name, for two archives may have members of the same names."""
    told = [str(each.get("name")) for each in inner if _type(each) == "FileSet" and str(each.get("name")).endswith("/")]
    if told:
        return told[0].rstrip("/") or "."
    ending = next(ending for ending in sorted(archives.KINDS, key=len, reverse=True) if path.lower().endswith(ending))
    return path[: -len(ending)] or "files"


def _size(told: Any) -> int | None:
    """Bytes, where they are told exactly."""
    found = re.fullmatch(r"\s*([0-9]{1,18})\s*B?\s*", str(told), re.IGNORECASE) if told is not None else None
    return int(found[1]) if found else None


def _repository(address: str) -> str:
    """A repository's address as its source reads it: of a page of one of its revisions, that revision."""
    parts = urlsplit(address)
    if found := re.fullmatch(r"/(?:datasets/)?([^/]+/[^/]+)/(?:tree|resolve|commit)/([^/]+)/?.*", parts.path):
        kind = "datasets/" if parts.path.startswith("/datasets/") else ""
        return f"{parts.scheme}://{parts.netloc}/{kind}{found[1]}@{unquote(found[2])}"
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _forms(pattern: str) -> Iterator[str]:
    """A glob in the form of shell patterns, whose ``*`` takes slashes, too: ``**/`` may stand for no folder."""
    yield pattern
    if pattern.startswith("**/"):
        yield pattern[3:]


def is_local(host: str) -> bool:
    """Whether a host's name alone tells that it is on this machine or in its network; no name is looked up."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return host.rstrip(".").endswith(("localhost", ".local", ".internal")) or "." not in host.rstrip(".")
