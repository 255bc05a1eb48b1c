"""What a .torrent file says (BEP 3, 12, 19, 47): its files, where they lie in the stream of pieces, who has them.

It must not know where the file comes from, or how its content is fetched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bencode2 import BencodeDecodeError, bdecode, bencode

from medfetch.errors import IntegrityError
from medfetch.types import Checksum


@dataclass(frozen=True, slots=True)
class Torrent:
    info_hash: str
    piece: int
    """Bytes of each piece but the last."""
    pieces: bytes
    """SHA-1 of each, in a row."""
    size: int
    """Bytes of all files."""
    files: tuple[File, ...]
    trackers: tuple[str, ...]
    seeds: tuple[str, ...]
    """Web servers that have the files, too."""
    single: bool
    """There is one file, and no folder around it."""
    name: str


@dataclass(frozen=True, slots=True)
class File:
    index: int
    """Counted from 1, as aria2c does."""
    path: str
    start: int
    """Bytes before it in the stream."""
    size: int


def read(content: bytes, info_hash: str) -> Torrent:
    """The torrent of that identity. Raises: IntegrityError where it is another one, or none."""
    try:
        data: dict[bytes, Any] = bdecode(content)
        info = data[b"info"]
        if (found := hashlib.sha1(bencode(info), usedforsecurity=False).hexdigest()) != info_hash:
            raise IntegrityError(f"the .torrent file is of {found}, expected {info_hash}")
        name = info[b"name"].decode()
        files = tuple(_files(info, name))
        size = sum(each[b"length"] for each in info.get(b"files", [info]))
        tiers = [*data.get(b"announce-list", []), [data[b"announce"]] if b"announce" in data else []]
        seeds = data.get(b"url-list", [])
        return Torrent(
            info_hash, info[b"piece length"], info[b"pieces"], size, files,
            tuple(dict.fromkeys(url.decode() for tier in tiers for url in tier)),
            tuple(url.decode() for url in ([seeds] if isinstance(seeds, bytes) else seeds) if url),
            b"files" not in info, name,
        )  # fmt: skip
    except (BencodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"not a .torrent file of version 1: {type(error).__name__}: {error}") from error


def _files(info: dict[bytes, Any], name: str) -> Iterator[File]:
    start = 0
    for index, each in enumerate(info.get(b"files", [info]), 1):
        length = each[b"length"]
        if b"p" not in each.get(b"attr", b""):  # not padding (BEP 47)
            yield File(index, "/".join(part.decode() for part in each.get(b"path", [name.encode()])), start, length)
        start += length


def checksum(torrent: Torrent, file: File) -> Checksum | None:
    """The checksum of a file whose every byte is in pieces of its own; None where it shares one with another."""
    end = file.start + file.size
    first, last = file.start // torrent.piece, -(-end // torrent.piece)
    alone = end == torrent.size or end % torrent.piece == 0
    if not file.size or file.start % torrent.piece or not alone:
        return None
    digests = torrent.pieces[20 * first : 20 * last]
    return Checksum(f"sha1-pieces-{torrent.piece}", hashlib.sha1(digests, usedforsecurity=False).hexdigest())


def seeds(torrent: Torrent, file: File) -> tuple[str, ...]:
    """Where web servers have a file (BEP 19)."""
    inside = quote(torrent.name) if torrent.single else f"{quote(torrent.name)}/{quote(file.path)}"
    return tuple(
        url if torrent.single and not url.endswith("/") else f"{url.rstrip('/')}/{inside}"
        for url in torrent.seeds
        if url.startswith(("https://", "http://"))
    )
