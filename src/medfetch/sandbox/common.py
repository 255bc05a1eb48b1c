"""What the stand-ins for general repositories share. It must not know what each of them says."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medfetch.sandbox import messages
from medfetch.sandbox.content import Content
from medfetch.sandbox.messages import Answer, Request, as_json

TOKEN = "sandbox-token"
"""What opens their gates."""


def contents(files: Mapping[str, bytes]) -> dict[str, Content]:
    return {path: Content.of(data) for path, data in files.items()}


def folders_of(files: Mapping[str, Content]) -> list[str]:
    """All folders, the deepest first: their order means nothing."""
    parents = {path.rsplit("/", depth)[0] for path in files for depth in range(1, path.count("/") + 1)}
    return sorted(parents, key=lambda folder: (-folder.count("/"), folder))


def number_of(name: str) -> int:
    """A number that stands for a name."""
    return zlib.crc32(name.encode()) & 0x3FFFFFF


def here(request: Request) -> str:
    """The sandbox, as whoever asks calls it."""
    return f"http://{request.header('host')}"


def sent(content: Content) -> Answer:
    return messages.file(content, f'"{content.md5()}"')


def refused(status: int, **said: Any) -> Answer:
    return replace(as_json({"status": status, **said}), status=status)
