"""Planned entries as text, and back: what stands in the shards. It must not know databases."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from medfetch.types import Checksum, Entry, Group, RemoteFile, Unpack


def _plain_file(file: RemoteFile) -> dict[str, Any]:
    """A file as JSON types, without what is empty."""
    content: dict[str, Any] = {"path": file.path, "key": file.key, "urls": file.urls}
    optional = {
        "size": file.size,
        "checksums": [{"algorithm": checksum.algorithm, "hex": checksum.hex} for checksum in file.checksums],
        "etag": file.etag,
        "facets": file.facets,
        "unpack": file.unpack and {"kind": file.unpack.kind, "into": file.unpack.into},
        "dicom": file.dicom,
        "credential": file.credential,
        "pieces": [_plain_file(piece) for piece in file.pieces],
    }
    content.update((name, value) for name, value in optional.items() if value or (value == 0 and value is not False))
    return content


def _plain_group(group: Group) -> dict[str, Any]:
    content: dict[str, Any] = {"path": group.path, "key": group.key, "files": group.files, "size": group.size}
    content |= {"facets": group.facets, "context": group.context}
    if group.archive:
        content["archive"] = _plain_file(group.archive)
    return content


# One encoder for all: json.dumps with options makes a new one each time, which costs a third of a plan.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def unit(entry: Entry) -> str:
    """What an entry is known by in shards and ledger: this content in this place."""
    return hashlib.sha256(f"{entry.key}\0{entry.path}".encode()).hexdigest()[:32]


def dump(entry: Entry) -> str:
    """A planned entry as one line of JSON."""
    return _encode(_plain_group(entry) if isinstance(entry, Group) else _plain_file(entry))


def load(body: str) -> Entry:
    """The entry that ``dump`` wrote."""
    content = json.loads(body)
    return _file(content) if "urls" in content else _group(content)


def _file(content: dict[str, Any]) -> RemoteFile:
    content = content | {
        "urls": tuple(content["urls"]),
        "checksums": tuple(Checksum(**checksum) for checksum in content.get("checksums", ())),
        "pieces": tuple(_file(piece) for piece in content.get("pieces", ())),
    }
    if "unpack" in content:
        content["unpack"] = Unpack(**content["unpack"])
    return RemoteFile(**content)


def _group(content: dict[str, Any]) -> Group:
    if "archive" in content:
        content["archive"] = _file(content["archive"])
    return Group(**content)
