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
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

from medfetch import archives, names, recipe_check, recipe_data
from medfetch import croissant_terms as terms
from medfetch.errors import RecipeError, UsageProblem
from medfetch.types import Recipe

RECIPE_FORMAT = "application/vnd.medfetch.recipe+json"
"""Of a container that is a recipe: docs/recipes.md, in JSON."""
GIT = "git+https"
"""The format of a container that is a repository, as the Hugging Face Hub's own documents have it."""
HERE = "on this machine or its network, and the document is not"
HOSTS = {"huggingface.co": "hf", "github.com": "github"}
"""Sources of repositories, by host; any other is asked as git (``datalad``)."""


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
        within: dict[str, list[terms.Node]] = {}
        for node in nodes:
            for container in terms.containers(node):
                within.setdefault(container, []).append(node)
            if not terms.containers(node) and terms.kind(node) == "FileSet":
                self.reasons.append(f"{terms.title(node)}: it does not say in what it is contained")
        known = {terms.identity(node) for node in nodes}
        for container, inner in within.items():
            if container not in known:
                self.reasons.append(
                    f"{terms.title(inner[0])}: it is contained in {container!r}, which is not described"
                )
        # The manifest first: its parts keep their names.
        for node in sorted(nodes, key=lambda node: RECIPE_FORMAT not in terms.listed(node.get("encodingFormat"))):
            if terms.kind(node) == "FileObject" and not terms.containers(node):
                self._top(node, within)
        return self._made()

    def _nodes(self) -> list[terms.Node]:
        if not isinstance(self.content, dict):
            raise RecipeError("expected an object of JSON-LD", at=self.name)
        self.content = terms.plain(self.content)
        found = self.content.get("distribution")
        nodes: list[terms.Node] = [node for node in terms.listed(found) if isinstance(node, dict)]
        if not nodes:
            raise RecipeError("it has no distribution: nothing is described that could be had", at=self.name)
        return nodes

    # -- containers, and what is in them -------------------------------------------------------------------------------

    def _top(self, node: terms.Node, within: Mapping[str, list[terms.Node]]) -> None:
        """A FileObject that lies in no other; ``within``: what lies in each, by its id."""
        formats, inner = terms.listed(node.get("encodingFormat")), within.get(terms.identity(node), [])
        if RECIPE_FORMAT in formats:
            self._read_manifest(node)
            for each in (each for file_set in inner for each in within.get(terms.identity(file_set), [])):
                self._add_told(each)
        elif GIT in formats:
            self._add_repository(node, inner)
        else:
            self._add_file(node, inner)

    def _read_manifest(self, node: terms.Node) -> None:
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
        if inside := next(filter(self._is_inside, _hosts(content)), None):
            raise RecipeError(f"the recipe in it asks {inside}, {HERE}", at=self.name)
        self.manifest = content
        parts = content.get("parts") or ({"all": content} if "routes" in content else {})
        for name, part in parts.items():
            self.parts[name] = {key: part[key] for key in ("summary", "licence", "size", "routes") if key in part}

    def _add_told(self, node: terms.Node) -> None:
        """A file of which it is known how it has to be, once its host has listed it."""
        digest, size = self._digests(node).get("sha256"), terms.size_of(node.get("contentSize"))
        if digest and size is not None:
            self.told[str(node.get("contentUrl"))] = size, digest

    def _add_repository(self, node: terms.Node, inner: list[terms.Node]) -> None:
        from medfetch import sources  # as in catalog.load

        address = self._absolute(str(node.get("contentUrl")))
        if (reason := self._unreachable(address)) or not inner:
            self.reasons.append(f"{terms.title(node)}: {reason or 'nothing of this repository is described'}")
            return
        source = HOSTS.get(urlsplit(address).hostname or "", "datalad")
        patterns: list[str] = []
        for each in inner:
            patterns += map(
                str, terms.listed(each.get("includes") if terms.kind(each) == "FileSet" else each.get("contentUrl"))
            )
            if terms.listed(each.get("excludes")):
                self.reasons.append(f"{terms.title(each)}: what it excludes comes, too")
        try:
            locator = sources.get(source).locate(terms.repository(address))
        except UsageProblem as error:
            self.reasons.append(f"{terms.title(node)}: {error.message}")
            return
        wanted = list(dict.fromkeys(form for pattern in patterns for form in terms.forms(pattern)))
        route = {"source": source, **locator, **({"path": wanted} if wanted and "**" not in wanted else {})}
        self._add_part("repository", route)

    def _add_file(self, node: terms.Node, inner: list[terms.Node]) -> None:
        address = self._absolute(str(node.get("contentUrl") or ""))
        path = terms.path_of(node, address, packed=bool(inner))
        file: dict[str, Any] = {"path": path, **self._digests(node)}
        if (size := terms.size_of(node.get("contentSize"))) is not None:
            file["size"] = size
        if inner and archives.kind(path):
            file["unpack"] = {"into": terms.folder_of(path, inner)}
        elif inner:
            self.reasons.append(
                f"{terms.title(node)}: what is in it is not unpacked: it is no archive that medfetch knows"
            )
        if reason := self._unreachable(address):
            self.reasons.append(f"{terms.title(node)}: {reason}")
            self.by_hand.append(file)
        else:
            self.files.append({**file, "url": address.partition("#")[0]})

    def _digests(self, node: terms.Node) -> dict[str, str]:
        """Raises: RecipeError for a digest that is none: nothing is left unverified in silence."""
        found = {}
        for name, length in (("sha256", 64), ("md5", 32)):
            if (value := node.get(name)) is not None:
                if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", value):
                    raise RecipeError(
                        f"{terms.title(node)}: {name} is {str(value)[:80]!r}, no {name.upper()}", at=self.name
                    )
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
        return f"{parts.hostname} is {HERE}" if self._is_inside(parts.hostname) else None

    def _is_inside(self, host: str) -> bool:
        """Whether a host is in here, and the document out there, whose author shall not choose what is asked here."""
        return bool(self.url) and is_local(host) and not is_local(urlsplit(self.url or "").hostname or "")

    # -- the recipe ----------------------------------------------------------------------------------------------------

    def _made(self) -> Recipe:
        page = terms.web(self.content.get("url")) or (self.name.removeprefix(names.CROISSANT) if self.url else None)
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
        licence = next(iter(terms.listed(self.content.get("license"))), None)
        if isinstance(licence, dict):
            url = terms.web(licence.get("url"))
            found["licence"] = {"id": str(licence.get("name") or url or "unknown"), **({"url": url} if url else {})}
        elif isinstance(licence, str) and licence:
            found["licence"] = {"id": licence, **({"url": licence} if terms.web(licence) else {})}
        if page := terms.web(self.content.get("url")):
            found["homepage"] = page
        if isinstance(self.content.get("description"), str) and self.content["description"].strip():
            found["summary"] = self.content["description"].strip()
        return found

    def _note(self) -> str:
        conditions = self.content.get("conditionsOfAccess")
        said = f" The document says: {conditions}" if isinstance(conditions, str) and conditions else ""
        return f"medfetch knows nothing of its terms: read them where it comes from.{said}"


def _hosts(value: Any, name: str = "") -> Iterator[str]:
    """All hosts that are named anywhere in a recipe."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _hosts(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _hosts(each, name)
    elif isinstance(value, str) and name == "host":
        yield value.partition(":")[0]
    elif isinstance(value, str) and "://" in value:
        yield from filter(None, [urlsplit(value).hostname])


def is_local(host: str) -> bool:
    """Whether a host's name alone tells that it is on this machine or in its network; no name is looked up."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return host.rstrip(".").endswith(("localhost", ".local", ".internal")) or "." not in host.rstrip(".")
