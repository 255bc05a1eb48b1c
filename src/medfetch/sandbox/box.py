"""A stand-in for Box's shared pages: files, folders of 20 items a page, static links, and signed links to the storage.

It must not know sockets. The state in a page has the fields that public downloaders read.

    /<host>/{s,v}/<name>[/{folder,file}/<id>]   a shared page       /<host>/shared/static/<name>   a static link
    /<host>/index.php?rm=box_download_…         leads to storage    /storage/<signature>           which has the file
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, text

PAGE = 20
PATH = re.compile(r"(?P<host>[^/]+)/(?P<share>[sv]/[^/]+)(?:/(?P<kind>file|folder)/(?P<id>[0-9]+))?/?")


@dataclass(slots=True)
class _Node:
    name: str
    key: int
    content: Content | None = None
    """None of a folder."""
    below: list[_Node] = field(default_factory=list)


class Box:
    """What is shared, by the address of its page. ``uses`` says how often a signed link is good; ``wrong_folder`` has
    every page show the root, as Box's list by itself does."""

    def __init__(self) -> None:
        self.uses: int | None = None
        self.wrong_folder = False
        self._shares: dict[str, _Node] = {}
        self._names: dict[str, _Node] = {}
        self._nodes: dict[int, _Node] = {}
        self._static: dict[str, tuple[str, Content]] = {}
        self._links: dict[str, list[Any]] = {}
        self._number = itertools.count(1000)

    def share(self, link: str, name: str, files: Mapping[str, bytes] | bytes) -> str:
        """Shares a file, or a folder of files by path, at ``https://host/s/…`` or ``/v/…``; the link."""
        root = self._node(name, Content.of(files) if isinstance(files, bytes) else None)
        for path, data in {} if isinstance(files, bytes) else files.items():
            self._put(root, path.split("/"), data)
        self._shares[link.removeprefix("https://")] = root
        self._names[_shared_name(link)] = root
        return link

    def static(self, link: str, name: str, data: bytes) -> str:
        """Has a file at ``https://host/shared/static/…``; the link."""
        self._static[link.removeprefix("https://")] = name, Content.of(data)
        return link

    def answer(self, request: Request, path: str) -> Answer:
        if path.startswith("storage/"):
            return self._stored(path.removeprefix("storage/"))
        if path in self._static:
            return self._leads(request, *self._static[path])
        if path.endswith("/index.php"):
            return self._download(request)
        found = PATH.fullmatch(path)
        root = self._shares.get(f"{found['host']}/{found['share']}") if found else None
        if found is None or root is None:
            return text("<html><title>Box | 404 Page Not Found</title></html>", 404, "text/html")
        return self._page(root, found, int(request.query.get("page") or 1))

    def _node(self, name: str, content: Content | None) -> _Node:
        node = _Node(name, next(self._number), content)
        self._nodes[node.key] = node
        return node

    def _put(self, folder: _Node, parts: list[str], data: bytes) -> None:
        name, *rest = parts
        if not rest:
            folder.below.append(self._node(name, Content.of(data)))
            return
        inside = next((each for each in folder.below if each.name == name), None)
        if inside is None:
            inside = self._node(name, None)
            folder.below.append(inside)
        self._put(inside, rest, data)

    def _page(self, root: _Node, found: re.Match[str], page: int) -> Answer:
        link = f"https://{found['host']}/{found['share']}"
        shown = root if found["id"] is None or self.wrong_folder else self._nodes[int(found["id"])]
        item = {
            "sharedName": _shared_name(link), "itemType": "folder" if shown.content is None else "file",
            "itemID": shown.key, "name": shown.name, "canDownload": True,
        }  # fmt: skip
        state: dict[str, Any] = {"/app-api/enduserapp/shared-item": item}
        if shown.content is None:
            rows = sorted(shown.below, key=lambda each: each.name)
            state["/app-api/enduserapp/shared-folder"] = {
                "currentFolderID": shown.key, "currentFolderName": shown.name, "folderItemCount": len(rows),
                "pageCount": max(1, -(-len(rows) // PAGE)),
                "items": [_item(each) for each in rows[(page - 1) * PAGE : page * PAGE]],
            }  # fmt: skip
        script = f"Box.config = {{}};</script><script>Box.postStreamData = {json.dumps(state)};"
        page_text = f"<!DOCTYPE html><html><title>{shown.name} | Powered by Box</title><script>{script}</script></html>"
        return text(page_text, kind="text/html")

    def _download(self, request: Request) -> Answer:
        key = request.query.get("file_id", "f_0").removeprefix("f_")
        node = self._nodes.get(int(key))
        known = request.query.get("shared_name") in self._names
        if node is None or node.content is None or not known:
            return text("<html><title>Box | 404 Page Not Found</title></html>", 404, "text/html")
        return self._leads(request, node.name, node.content)

    def _leads(self, request: Request, name: str, content: Content) -> Answer:
        signature = f"b1!{next(self._number):032x}"
        self._links[signature] = [name, content, self.uses]
        host, _, port = (request.header("host") or "").partition(":")
        # Another origin, which is the other name of this machine.
        other = "127.0.0.1" if host == "localhost" else "localhost"
        return replace(text("", 302), headers={"Location": f"http://{other}:{port}/box/storage/{signature}"})

    def _stored(self, signature: str) -> Answer:
        link = self._links.get(signature)
        if link is None or link[2] == 0:
            return text("", 403)  # what Box's storage answers then could not be established
        if link[2] is not None:
            link[2] -= 1
        name, content, _ = link
        return messages.file(content, f'"{content.md5()}"').with_headers(
            {"Content-Disposition": messages.disposition(name)}
        )


def _item(node: _Node) -> dict[str, Any]:
    kind = "folder" if node.content is None else "file"
    size = node.content.size if node.content else sum(each.content.size for each in node.below if each.content)
    return {"typedID": f"{kind[0]}_{node.key}", "type": kind, "id": node.key, "name": node.name, "itemSize": size}


def _shared_name(link: str) -> str:
    """By which downloads know a share; a vanity link has one of its own."""
    kind, name = link.split("/")[3:5]
    return name if kind == "s" else f"{sum(map(ord, name)):032x}"
