"""Reads the files that hold secrets. It must not know which, and its errors quote none of their content."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from medfetch.errors import UsageProblem

LARGEST = 1 << 20
"""Bytes; what is larger is no file of secrets."""


def text(path: Path, *, private: bool = False) -> str | None:
    """The content of a file; None where there is none.

    Raises: UsageProblem where it cannot be read; with ``private`` also where others could, or own it.
    """
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                return None
            if private and state.st_mode & 0o077:
                raise UsageProblem(f"{path} can be read by other users", hint=f"run: chmod 600 {path}")
            if private and state.st_uid != os.geteuid():
                raise UsageProblem(f"{path} belongs to another user", hint="what is in it may not be yours")
            return file.read(LARGEST).decode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageProblem(f"{path}: not a text in UTF-8") from None


def json_object(path: Path, *, private: bool = False) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is no file.

    Raises: UsageProblem, also for anything else in it.
    """
    content = text(path, private=private)
    if content is None:
        return None
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageProblem(f"{path}: expected a JSON object")
    return value


def place(path: Path) -> str:
    """A file for a person; tools that read theirs even if others can, too, are followed, but that is said."""
    return f"{path} (others can read it: chmod 600 {path})" if path.stat().st_mode & 0o077 else str(path)
