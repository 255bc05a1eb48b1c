"""A stand-in for OneDrive as people without an account see it: a token for whoever asks, shares, what is in them.

It must not know sockets. Items have the fields that public programs read. A token opens what is in a share only
after it has opened the share, as OneDrive does.

    POST /token                                   GET /shares/<u!…>/driveitem
    GET /drives/<drive>/items/<id>[/children]     GET /storage/<id>, where download links lead
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json

DRIVE = "0DBF39BBC36D89AA"


@dataclass(slots=True)
class _Item:
    name: str
    key: str
    share: str
    content: Content | None = None
    below: list[_Item] = field(default_factory=list)


class OneDrive:
    """What is shared, by link. ``page`` is how many items a list shows at once; ``hashes`` which digests it tells."""

    def __init__(self) -> None:
        self.page = 200
        self.hashes = ("quickXorHash",)
        self._shares: dict[str, _Item] = {}
        self._items: dict[str, _Item] = {}
        self._opened: dict[str, set[str]] = {}
        self._number = itertools.count(100)

    def share(self, link: str, name: str, files: Mapping[str, bytes] | bytes) -> str:
        """Shares a file, or a folder of files by path; the link."""
        share = "u!" + base64.urlsafe_b64encode(link.encode()).decode().rstrip("=")
        root = self._item(name, share, Content.of(files) if isinstance(files, bytes) else None)
        for path, data in {} if isinstance(files, bytes) else files.items():
            folder = root
            *folders, last = path.split("/")
            for part in folders:
                inside = next((each for each in folder.below if each.name == part), None)
                if inside is None:
                    inside = self._item(part, share, None)
                    folder.below.append(inside)
                folder = inside
            folder.below.append(self._item(last, share, Content.of(data)))
        self._shares[share] = root
        return link

    def answer(self, request: Request, path: str) -> Answer:
        if path == "token" and request.method == "POST":
            return self._token(request)
        scheme, _, token = (request.header("authorization") or "").partition(" ")
        parts = path.split("/")
        if parts[0] == "storage" and (item := self._items.get(parts[1])) and item.content:
            return messages.file(item.content, f'"{item.content.md5()}"')
        if scheme != "Badger" or token not in self._opened:
            return _refused(401, "unauthenticated")
        match parts:
            case ["shares", share, "driveitem"]:
                if share not in self._shares:
                    return _refused(404, "itemNotFound")
                if request.header("prefer") != "autoredeem":
                    return _refused(403, "accessDenied")
                self._opened[token].add(share)
                return as_json(self._told(request, self._shares[share]))
            case ["drives", drive, "items", key, *rest] if drive == DRIVE and key in self._items:
                item = self._items[key]
                if item.share not in self._opened[token]:
                    return _refused(403, "accessDenied")
                return self._children(request, item) if rest == ["children"] else as_json(self._told(request, item))
        return _refused(404, "itemNotFound")

    def _token(self, request: Request) -> Answer:
        if not json.loads(request.body).get("appId"):
            return _refused(400, "invalidRequest")
        token = f"sandbox-{next(self._number)}"
        self._opened[token] = set()
        return as_json({"authScheme": "badger", "token": token, "expiryTimeUtc": "2099-01-01T00:00:00Z"})

    def _item(self, name: str, share: str, content: Content | None) -> _Item:
        item = _Item(name, f"{DRIVE}!s{next(self._number)}", share, content)
        self._items[item.key] = item
        return item

    def _children(self, request: Request, folder: _Item) -> Answer:
        start = int(request.query.get("$skiptoken") or 0)
        stop = start + self.page
        page: dict[str, Any] = {"value": [self._told(request, item) for item in folder.below[start:stop]]}
        if stop < len(folder.below):
            path = request.target.partition("?")[0]
            page["@odata.nextLink"] = f"http://{request.header('host')}{path}?%24top=200&%24skiptoken={stop}"
        return as_json(page)

    def _told(self, request: Request, item: _Item) -> dict[str, Any]:
        told = {"id": item.key, "name": item.name, "parentReference": {"driveId": DRIVE, "driveType": "personal"}}
        if item.content is None:
            return {**told, "folder": {"childCount": len(item.below)}, "size": 0}
        data = item.content.whole()
        digests = {
            "sha1Hash": hashlib.sha1(data, usedforsecurity=False).hexdigest().upper(),
            "sha256Hash": hashlib.sha256(data).hexdigest().upper(),
            "quickXorHash": quick_xor(data),
        }
        hashes = {name: digests[name] for name in self.hashes}
        address = f"http://{request.header('host')}/onedrive/storage/{item.key}"
        return {
            **told, "size": len(data), "file": {"mimeType": "application/octet-stream", "hashes": hashes},
            "@content.downloadUrl": address,
        }  # fmt: skip


def quick_xor(data: bytes) -> str:
    """QuickXorHash in base64, bit by bit as Microsoft describes it: each byte goes 11 bits further round 160 bits."""
    bits = 0
    for at, byte in enumerate(data):
        place = at * 11 % 160
        spread = byte << place
        bits ^= (spread | spread >> 160) & ((1 << 160) - 1)
    return base64.b64encode((bits ^ len(data) << 96).to_bytes(20, "little")).decode()


def _refused(status: int, code: str) -> Answer:
    return replace(as_json({"error": {"code": code, "message": code}}), status=status)
