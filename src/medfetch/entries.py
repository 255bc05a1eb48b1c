"""Planned entries as text, and back: what stands in the shards. It must not know databases."""

from __future__ import annotations

import json
from dataclasses import astuple
from hashlib import sha256
from typing import Any

from medfetch.types import Checksum, Entry, Excerpt, Group, Packed, RemoteFile, Unpack

# One encoder for all: json.dumps with options makes a new one each time.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_quoted = json.encoder.encode_basestring


def _file_text(file: RemoteFile) -> str:
    """A file without what is empty. What nearly every file has is written straight: a third of a plan's time."""
    text = f'{{"path":{_quoted(file.path)},"key":{_quoted(file.key)},"urls":[{",".join(map(_quoted, file.urls))}]'
    if file.size is not None:
        text += f',"size":{file.size}'
    if file.checksums:
        digests = [_quoted(f"{each.algorithm}:{each.hex}") for each in file.checksums]
        text += f',"checksums":[{",".join(digests)}]'
    if file.pieces:
        text += f',"pieces":[{",".join(map(_file_text, file.pieces))}]'
    if file.etag or file.facets or file.unpack or file.dicom or file.credential or file.excerpt:
        optional = {
            "etag": file.etag,
            "facets": file.facets,
            "unpack": file.unpack and _told(file.unpack),
            "excerpt": file.excerpt and astuple(file.excerpt),
            "dicom": file.dicom,
            "credential": file.credential,
        }
        text += f",{_encode({name: value for name, value in optional.items() if value})[1:-1]}"
    return f"{text}}}"


def _told(unpack: Unpack) -> dict[str, Any]:
    told = {"kind": unpack.kind, "into": unpack.into, "only": unpack.only}
    return told | ({"members": [astuple(each) for each in unpack.members]} if unpack.members else {})


def _group_text(group: Group) -> str:
    content = {"path": group.path, "key": group.key, "files": group.files, "size": group.size}
    text = _encode({**content, "facets": group.facets, "context": group.context})
    return f'{text[:-1]},"archive":{_file_text(group.archive)}}}' if group.archive else text


def unit(entry: Entry) -> str:
    """What an entry is known by in shards and ledger: this content in this place."""
    return sha256(f"{entry.key}\0{entry.path}".encode()).hexdigest()[:32]


def files(entry: Entry) -> int | None:
    """How many files it is, as far as that is known; an archive counts as one, members that are fetched singly do."""
    if isinstance(entry, Group):
        return entry.files
    return len(entry.unpack.members) if entry.unpack and entry.unpack.members else 1


def dump(entry: Entry) -> str:
    """A planned entry as one line of JSON."""
    return _group_text(entry) if isinstance(entry, Group) else _file_text(entry)


def load(body: str) -> Entry:
    """The entry that ``dump`` wrote."""
    content = json.loads(body)
    return _file(content) if "urls" in content else _group(content)


def _file(content: dict[str, Any]) -> RemoteFile:
    get = content.get
    unpack, excerpt = get("unpack"), get("excerpt")
    return RemoteFile(
        path=content["path"],
        key=content["key"],
        urls=tuple(content["urls"]),
        size=get("size"),
        checksums=tuple([Checksum(*each.split(":", 1)) for each in get("checksums", ())]),
        etag=get("etag"),
        facets=get("facets", {}),
        unpack=_unpack(unpack) if unpack else None,
        dicom=get("dicom", False),
        credential=get("credential"),
        pieces=tuple(map(_file, get("pieces", ()))),
        excerpt=Excerpt(*excerpt) if excerpt else None,
    )


def _unpack(content: dict[str, Any]) -> Unpack:
    only, members = content.get("only", ()), content.get("members", ())
    return Unpack(content["kind"], content["into"], tuple(map(tuple, only)), tuple(Packed(*each) for each in members))


def _group(content: dict[str, Any]) -> Group:
    if "archive" in content:
        content["archive"] = _file(content["archive"])
    return Group(**content)
