"""Synapse with its gates: folders in pages, bundles, signed links to another origin, conditions, codes of failure.

It must not know sockets. Protocol: as synapseclient 4.14.0 asks and understands it; the words of refusals are assumed.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.signed import Signing, elsewhere

TOKEN = "sandbox-token"
MODEL = "org.sagebionetworks.repo.model"
PAGE = 50


@dataclass(frozen=True)
class Entity:
    """A folder, or a file with its content."""

    id: str
    name: str
    parent: str | None
    content: Content | None
    unmet: Sequence[str]
    """Names of the conditions that were not met."""
    met: Sequence[str]
    """Names of those that were."""
    failure: str | None = None
    """What the file service says in place of a link."""
    external: str | None = None
    """Where its owner keeps it, outside Synapse."""

    @property
    def kind(self) -> str:
        return f"{MODEL}.FileEntity" if self.content else f"{MODEL}.Folder"

    @property
    def conditions(self) -> list[str]:
        """All, numbered from 1."""
        return [*self.met, *self.unmet]

    @property
    def handle(self) -> str:
        return f"9{self.id.removeprefix('syn')}"


class Synapse(Signing[Content]):
    """Entities by id."""

    def __init__(self) -> None:
        super().__init__(life=900.0)
        self._entities: dict[str, Entity] = {}
        self._ids = itertools.count(100)

    def folder(
        self,
        key: str,
        files: Mapping[str, bytes],
        *,
        unmet: Sequence[str] = (),
        met: Sequence[str] = (),
        failures: Mapping[str, str] | None = None,
        external: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Has a folder with these files, in folders of their own where their paths say so; returns the files' ids.

        ``unmet`` and ``met`` are conditions for all of it; by path, ``failures`` are codes, and ``external`` addresses
        of files that Synapse does not have itself.
        """
        self._entities[key] = Entity(key, key, None, None, unmet, met)
        folders, ids = {"": key}, {}
        for path, data in files.items():
            *parents, name = path.split("/")
            for depth in range(1, len(parents) + 1):
                if (above := "/".join(parents[:depth])) not in folders:
                    parent = folders["/".join(parents[: depth - 1])]
                    folders[above] = self._add(Entity("", parents[depth - 1], parent, None, unmet, met))
            more = (failures or {}).get(path), (external or {}).get(path)
            ids[path] = self._add(Entity("", name, folders["/".join(parents)], Content.of(data), unmet, met, *more))
        return ids

    def _add(self, entity: Entity) -> str:
        key = f"syn{next(self._ids)}"
        self._entities[key] = replace(entity, id=key)
        return key

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``repo/v1/…``, ``auth/v1/…`` or ``file/v1/…`` of the services, or ``storage/…``."""
        if path.startswith("storage/"):
            return self._stored(request)
        known = request.header("authorization")
        if known is not None and known != f"Bearer {TOKEN}":
            return _refused(401, "Invalid access token")
        body = json.loads(request.body or b"{}")
        match path.split("/"):
            case [_, "v1", "userProfile"]:
                return as_json({"ownerId": "1", "userName": "sandbox"})
            case ["repo", "v1", "entity", "children"]:
                return self._children(body)
            case ["repo", "v1", "entity", key, "accessRequirement"] if key in self._entities:
                names = self._entities[key].conditions
                return as_json({"results": [{"id": at, "name": name} for at, name in enumerate(names, 1)]})
            case ["repo", "v1", "entity", key, "bundle2"] | ["repo", "v1", "entity", key, "version", "1", "bundle2"]:
                found = self._entities.get(key)
                return as_json(_bundle(found)) if found else _refused(404, f"Entity {key} cannot be found.")
            case ["repo", "v1", "entity", key] if key in self._entities:
                return as_json(_bundle(self._entities[key])["entity"])
            case ["file", "v1", "fileHandle", "batch"]:
                asked = body["requestedFiles"]
                return as_json({"requestedFiles": [self._handle(request, row, known) for row in asked]})
        return _refused(404, f"no {path}")

    def _children(self, body: Mapping[str, Any]) -> Answer:
        rows = sorted((each for each in self._entities.values() if each.parent == body["parentId"]), key=_by_name)
        kept = [each for each in rows if ("file" if each.content else "folder") in body["includeTypes"]]
        start = int(body.get("nextPageToken") or 0)
        page = [
            {"name": each.name, "id": each.id, "type": each.kind, "versionNumber": 1, "versionLabel": "1",
             "isLatestVersion": True, "benefactorId": 1, "createdOn": "", "modifiedOn": "", "createdBy": "1",
             "modifiedBy": "1"} for each in kept[start : start + PAGE]
        ]  # fmt: skip
        more = str(start + PAGE) if start + PAGE < len(kept) else None
        return as_json({"page": page, "nextPageToken": more})

    def _handle(self, request: Request, row: Mapping[str, Any], known: str | None) -> dict[str, Any]:
        told = {"fileHandleId": row["fileHandleId"]}
        entity = self._entities.get(row["associateObjectId"])
        if entity is None or entity.content is None or entity.handle != row["fileHandleId"]:
            return {**told, "failureCode": "NOT_FOUND"}
        if entity.failure or entity.unmet or known is None:
            return {**told, "failureCode": entity.failure or "UNAUTHORIZED"}
        address = entity.external or self._link(request, entity)
        return {**told, "fileHandle": _file_handle(entity), "preSignedURL": address}

    def _link(self, request: Request, entity: Entity) -> str:
        assert entity.content is not None
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return (
            f"{elsewhere(request)}/synapse/storage/{quote(entity.name)}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-Date={date}&X-Amz-Expires={max(1, round(self.life))}&X-Amz-Signature={self.sign(entity.content)}"
        )

    def _stored(self, request: Request) -> Answer:
        content = self.signed(request.query.get("X-Amz-Signature", ""))
        if content is None:
            return text("<Error><Code>AccessDenied</Code></Error>", 403, "application/xml")
        return messages.file(content, f'"{content.md5()}"')


def _by_name(entity: Entity) -> str:
    return entity.name


def _bundle(entity: Entity) -> dict[str, Any]:
    told = {"id": entity.id, "name": entity.name, "concreteType": entity.kind, "etag": "e",
            "parentId": entity.parent or "syn1", "versionNumber": 1, "versionLabel": "1",
            "isLatestVersion": True}  # fmt: skip
    if entity.content:
        told["dataFileHandleId"] = entity.handle
    level = "RESTRICTED_BY_TERMS_OF_USE" if entity.unmet else "OPEN"
    return {
        "entity": told,
        "entityType": "file" if entity.content else "folder",
        "annotations": {"id": entity.id, "etag": "e", "annotations": {}},
        "fileHandles": [_file_handle(entity)] if entity.content and not entity.unmet else [],
        "restrictionInformation": {
            "restrictionLevel": level,
            "hasUnmetAccessRequirement": bool(entity.unmet),
            "restrictionDetails": [
                {"accessRequirementId": at, "isApproved": at <= len(entity.met), "isMet": at <= len(entity.met)}
                for at, _ in enumerate(entity.conditions, 1)
            ],
        },
    }


def _file_handle(entity: Entity) -> dict[str, Any]:
    assert entity.content is not None
    if entity.external:
        return {"id": entity.handle, "concreteType": f"{MODEL}.file.ExternalFileHandle", "fileName": entity.name,
                "externalURL": entity.external, "etag": "e"}  # fmt: skip
    return {"id": entity.handle, "concreteType": f"{MODEL}.file.S3FileHandle", "contentMd5": entity.content.md5(),
            "fileName": entity.name, "contentSize": entity.content.size, "storageLocationId": 1, "etag": "e",
            "contentType": "application/octet-stream", "bucketName": "b", "key": "k", "isPreview": False}  # fmt: skip


def _refused(status: int, reason: str) -> Answer:
    return replace(as_json({"reason": reason}), status=status)
