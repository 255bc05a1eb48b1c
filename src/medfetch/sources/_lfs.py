"""Git LFS: which files of a tree it keeps elsewhere, and what the pointers say that stand in their places.

It must not know hosts.
Read in gitattributes(5) and gitignore(5) of git 2.39, and in git-lfs's docs/spec.md, 2026-11-29.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

ATTRIBUTES = ".gitattributes"
LONGEST_POINTER = 1024
"""Bytes that a pointer has less than, by its specification."""
POINTER = re.compile(
    r"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n(?:ext-.*\n)*"
    r"oid sha256:([0-9a-f]{64})\nsize ([0-9]+)\n"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of a ``.gitattributes`` that says of some files whether Git LFS keeps them."""

    pattern: re.Pattern[str]
    lfs: bool


def rules(text: str, folder: str) -> list[Rule]:
    """Those of the file in a folder, which is empty for the root, else ends in ``/``; later ones go before earlier."""
    found = []
    for line in text.splitlines():
        try:
            words = shlex.split(line) if line.startswith('"') else line.split()
        except ValueError:
            continue
        if len(words) < 2 or words[0].startswith(("#", "[attr]", "!")):
            continue
        for word in words[1:]:
            if re.fullmatch(r"[-!]?filter(=.*)?", word):
                found.append(Rule(_pattern(words[0], folder), word == "filter=lfs"))
    return found


def keeps(rules: list[Rule], path: str) -> bool:
    """Whether the last rule that fits a path says so."""
    return next((rule.lfs for rule in reversed(rules) if rule.pattern.fullmatch(path)), False)


def pointer(text: str) -> tuple[str, int] | None:
    """SHA-256 and bytes of the content that a pointer stands for; None where it is none."""
    found = POINTER.fullmatch(text)
    return (found[1], int(found[2])) if found else None


def _pattern(text: str, folder: str) -> re.Pattern[str]:
    """A pattern without a slash is for a name in any folder; ``**`` stands for folders, ``*`` for no slash."""
    anywhere = "/" not in text
    made = ""
    for piece in re.findall(r"\A\*\*/|/\*\*/|/\*\*\Z|\*+|\?|\[[!^]?\]?[^]]*\]|\\.|.", text.lstrip("/")):
        if piece in ("**/", "/**/"):
            made += f"{'/' if piece.startswith('/') else ''}(?:.*/)?"
        elif piece == "/**":
            made += "/.*"
        elif piece.startswith("*"):
            made += "[^/]*"
        elif piece == "?":
            made += "[^/]"
        elif len(piece) > 2:
            made += "[" + re.sub(r"^[!^]", "^", piece[1:-1]).replace("\\", "\\\\") + "]"
        else:
            made += re.escape(piece[-1])
    return re.compile(f"{re.escape(folder)}{'(?:.*/)?' if anywhere else ''}{made}", re.DOTALL)
