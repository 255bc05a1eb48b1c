"""medfetch's own file of secrets: what ``medfetch login`` keeps. It must not know where else one may be."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from medfetch.config import Settings
from medfetch.credentials import reading
from medfetch.credentials.kinds import Found, Typed, as_json, from_json
from medfetch.errors import UsageProblem


def look(name: str, settings: Settings) -> Found | None:
    """Raises: UsageProblem where others could read the file, or it is damaged."""
    path = settings.credentials_file
    content = _content(path).get(name)
    if content is None:
        return None
    try:
        return Found(from_json(name.partition(":")[0], content), str(path))
    except (AttributeError, ValueError):
        raise UsageProblem(f"{path}: {name} is damaged", hint=f"run: medfetch login {name}") from None


def keep(name: str, secret: Typed, settings: Settings) -> None:
    """Puts a secret under that name, in place of what was there. Raises: UsageProblem."""
    path = settings.credentials_file
    _write(path, {**_content(path), name: as_json(secret)})


def forget(name: str, settings: Settings) -> bool:
    """Whether there was one. Raises: UsageProblem."""
    path = settings.credentials_file
    content = _content(path)
    there = content.pop(name, None) is not None
    if there:
        _write(path, content)
    return there


def _content(path: Path) -> dict[str, Any]:
    return reading.json_object(path, private=True) or {}


def _write(path: Path, content: dict[str, Any]) -> None:
    """All at once, and never readable by others: mkstemp makes files that are its owner's alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, temporary = tempfile.mkstemp(prefix=".credentials-", dir=path.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(json.dumps(content, indent=1) + "\n")
                file.flush()
                os.fsync(number)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}") from None
