"""What a recipe wants is served: for each of its routes, synthetic content in the shape that the recipe gives it.

It must not know sockets. A part has one content, by whichever of its routes: files that a route names are at their
addresses, with scaled sizes; a host that lists has those of them that the route's patterns fit, and else names that do.
Of what pins the real content, which is not to be had here (sizes, checksums, commits), the answer says what it is here.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from medfetch.sandbox import listings, names, shapes
from medfetch.sandbox.content import Content
from medfetch.sandbox.hosts import Hosts
from medfetch.sandbox.names import several

SCALE = 10_000
LEAST, MOST = 1_000, 100_000
"""Bytes: a file has a ``SCALE``th of its published size, but no less and no more than these."""
UNKNOWN = 2_000
"""Bytes of a file whose size is not published."""
CHECKSUMS = ("md5", "sha1", "sha256", "sha512")
SERIES = 2
"""Told of a part; all of them would be terabytes."""
MAILED = "links.sandbox.example"
"""The host that mailed links lead to."""


class Rehearsal:
    """What the hosts have of recipes."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._lock = threading.Lock()
        self._answers: dict[str, dict[str, Any]] = {}
        self._listed: dict[str, dict[str, bytes]] = {}
        """By host and dataset, all that recipes want of it."""

    def show(self, recipe: Mapping[str, Any], here: str) -> dict[str, Any]:
        """Serves what a recipe wants: ``{"parts": [{"routes": [{"source": …, its own words, "unpack": [{"path": …}],
        "opened_by": [kinds of secrets]}]}]}``.

        Returns the same with the pins that hold here, and ``links``, those that would come by mail; and, where
        ``series`` is true, of parts that are in the archives' index the UIDs of some small series. ``here`` is the
        sandbox's own address.
        """
        with self._lock:
            key = json.dumps([recipe, here], sort_keys=True)
            if key not in self._answers:
                self._answers[key] = self._shown(recipe, here)
            return self._answers[key]

    def _shown(self, recipe: Mapping[str, Any], here: str) -> dict[str, Any]:
        links: list[str] = []
        parts = [{**part, "routes": [dict(route) for route in part["routes"]]} for part in recipe["parts"]]
        for part in parts:
            if recipe.get("series") and (conditions := listings.conditions(part["routes"])):
                part["series"] = self._hosts.archive.smallest(conditions, SERIES)
            content: dict[str, bytes] = {}
            for route in part["routes"]:
                if "files" in route:
                    route["files"] = [self._file(route, item, content, links, here) for item in route["files"]]
            for route in part["routes"]:
                if route["source"] in listings.HOSTS:
                    self._listed.setdefault(listings.dataset(route), {}).update(_listed(route, content))
        # Only now: several parts may be of one dataset.
        for route in (route for part in parts for route in part["routes"] if route["source"] in listings.HOSTS):
            publish = listings.HOSTS[route["source"]]
            route.update(publish(self._hosts, route, self._listed[listings.dataset(route)]))
        return {**recipe, "parts": parts, "links": links}

    def _file(
        self, route: Mapping[str, Any], item: Mapping[str, Any], content: dict[str, bytes], links: list[str], here: str
    ) -> dict[str, Any]:
        """Has a file, or those of a range, where a route says; returns what is true of it here."""
        for each in _numbered(item):
            path = _inside(route, each["path"])
            pieces = each.get("pieces", [each])
            if len(pieces) > 1:
                volumes = _cut(path, _size(each), [several(piece["url"])[0] for piece in pieces])
                content[path] = b"".join(volumes)
            else:
                volumes = [_made(content, path, _size(each))]
            for piece, data in zip(pieces, volumes, strict=True):
                self._serve(route, {**each, **piece}, data, links, here)
        if "range" in item:
            return dict(item)
        made = _pinned(item, content[path])
        if "pieces" in item:
            made["pieces"] = [_pinned(piece, data) for piece, data in zip(pieces, volumes, strict=True)]
        return made

    def _serve(
        self, route: Mapping[str, Any], item: Mapping[str, Any], data: bytes, links: list[str], here: str
    ) -> None:
        if route["source"] in ("http", "ftp"):
            for url in several(item["url"]):
                self._shelve(url, data)
        elif route["source"] == "links":
            [name] = names.of_patterns([item.get("match") or item["path"].rpartition("/")[2]], ["*"])[:1]
            address = f"{MAILED}/{urlsplit(route['asked_at']).hostname}/{name}"
            self._shelve(f"https://{address}", data)
            links.append(f"{here}/http/{quote(address)}")

    def _shelve(self, url: str, data: bytes) -> None:
        parts = urlsplit(url.partition("#")[0])
        query = f"?{parts.query}" if parts.query else ""
        self._hosts.shelf.put(f"{parts.scheme}://{parts.netloc}{unquote(parts.path)}{query}", Content.of(data))


def _listed(route: Mapping[str, Any], content: dict[str, bytes]) -> dict[str, bytes]:
    """What a host lists of a part, by the names that it has there."""
    patterns, archives = several(route.get("path", ())), [each["path"] for each in route.get("unpack", ())]
    folder, place, begin = listings.beginning(route)
    before = _inside(route, place)
    there = [path.removeprefix(before) for path in content if path.startswith(before)]
    found = [name for name in there if name.startswith(begin) and (not patterns or names.fits(name, patterns))]
    missing = [each for each in patterns if not any(names.fits(name, [each]) for name in found)]
    if missing:
        found += names.of_patterns(missing, archives)
    elif not found:
        kind = "release" if "release" in route else route["source"]
        found = [*names.of_prefix(begin, kind), *names.of_archives(archives)]
    return {folder + name: _made(content, before + name, UNKNOWN) for name in found}


def _numbered(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The files of a range, else the one."""
    if "range" not in item:
        yield item
        return
    for number in range(item["range"][0], item["range"][1] + 1):
        urls = [names.filled(url, number) for url in several(item["url"])]
        yield {**item, "path": names.filled(item["path"], number), "url": urls}


def _cut(path: str, size: int, addresses: list[str]) -> list[bytes]:
    """A file in pieces: the volumes of a split zip, where their addresses say that they are, else cut anywhere."""
    if any(urlsplit(url).path.lower().endswith(".z01") for url in addresses):
        return shapes.split_zip(path.removesuffix(".zip"), max(size, LEAST * len(addresses)), len(addresses))
    whole = shapes.made(path, max(size, LEAST * len(addresses)))
    step = -(-len(whole) // len(addresses))
    return [whole[start : start + step] for start in range(0, len(whole), step)]


def _made(content: dict[str, bytes], path: str, size: int) -> bytes:
    """The content of a path: the same by all routes."""
    if path not in content:
        content[path] = shapes.made(path, size)
    return content[path]


def _size(item: Mapping[str, Any]) -> int:
    size = item.get("size")
    return min(MOST, max(LEAST, size // SCALE)) if isinstance(size, int) else UNKNOWN


def _inside(route: Mapping[str, Any], path: str) -> str:
    return f"{route['into']}/{path}" if route.get("into") else path


def _pinned(item: Mapping[str, Any], data: bytes) -> dict[str, Any]:
    """What a recipe says of a file, with the size and the checksums that it has here, where it tells any."""
    made = {name: hashlib.new(name, data).hexdigest() for name in CHECKSUMS if name in item}
    return {**item, **made, **({"size": len(data)} if isinstance(item.get("size"), int) else {})}
