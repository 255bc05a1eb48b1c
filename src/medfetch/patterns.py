"""Which paths a person or a recipe means by patterns. It must not know what lies there."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the shell patterns fits a path, or a folder above it."""
    return any(fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern.rstrip('/')}/*") for pattern in patterns)
