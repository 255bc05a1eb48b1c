"""Which paths a person or a recipe means by patterns. It must not know what lies there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

TOKEN = re.compile(r"\[!?\]?[^\]]*\]|.", re.DOTALL)
"""A class of letters, or one letter, as fnmatch reads patterns."""


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the shell patterns fits a path, or a folder above it."""
    return any(fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern.rstrip('/')}/*") for pattern in patterns)


def within(folder: str, patterns: Iterable[str]) -> tuple[str, ...]:
    """Patterns that fit a path in a folder, relative to it, where the given ones fit it with the folder before it."""
    whole = [each for pattern in patterns for each in (pattern, f"{pattern.rstrip('/')}/*")]
    whole = [re.sub(r"\*+", "*", pattern) for pattern in whole]  # each more would multiply the ways to take a text
    return tuple(dict.fromkeys(rest for pattern in whole for rest in _after(pattern, f"{folder}/") if rest))


def _after(pattern: str, text: str) -> Iterator[str]:
    """What is left of a pattern when it has taken a text: several where a ``*`` may have taken more or less of it."""
    if not text:
        yield pattern
    elif pattern.startswith("*"):
        yield from _after(pattern[1:], text)
        yield from _after(pattern, text[1:])
    elif (first := TOKEN.match(pattern)) and fnmatchcase(text[0], first[0]):
        yield from _after(pattern[first.end() :], text[1:])
