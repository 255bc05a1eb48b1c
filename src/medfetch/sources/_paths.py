"""Names from hosts, made safe to be paths: as one component, injectively; or as a whole, by refusing what is unsafe.

It must not know which host a name came from, and touches no file system.
"""

from __future__ import annotations

import re
import unicodedata

from medfetch.errors import RecipeError

LONGEST_COMPONENT = 255
"""Bytes: what ext4, XFS, APFS, Lustre and NFS allow for one name."""
OWN_FOLDER = ".medfetch"
"""A dataset's own state lives here, so no file of the dataset may."""
ORDINARY = re.compile(r"[A-Za-z0-9_-]([A-Za-z0-9._ =-]*[A-Za-z0-9_-])?")
"""Most names of patients and all UIDs: a plan has a million of them, and looking at each character takes seconds."""
ORDINARY_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._ =+-]{0,254}(/[A-Za-z0-9_-][A-Za-z0-9._ =+-]{0,254})*")
"""Most paths, likewise."""
INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that a person cannot see or that break a terminal: controls, formats, lone surrogates."""


def component(text: str) -> str:
    """One path component for a name: two different names never give the same one, and most stay as they are.

    Percent-encoded are ``/``, ``\\``, ``%`` itself, invisible characters, and a space or dot at either end; the
    empty name is a lone ``%``, which nothing else becomes.

    Raises:
        RecipeError: the result is longer than 255 bytes.
    """
    if len(text) <= LONGEST_COMPONENT and ORDINARY.fullmatch(text):
        return text
    last = len(text) - 1
    result = "".join(
        _encode(character) if _unsafe(character) or (character in " ." and at in (0, last)) else character
        for at, character in enumerate(text)
    )
    return _short_enough(result or "%", text)


def relative(path: str) -> str:
    """The path itself, if it is safe to use as it is: relative, within its folder, each component visible and short.

    Raises:
        RecipeError: it is not; the message quotes the path.
    """
    if ORDINARY_PATH.fullmatch(path):
        return path
    parts = path.split("/")
    if path.startswith("/"):
        raise RecipeError(f"the path {path!r} is absolute; expected one relative to the dataset")
    if any(part in ("", ".", "..") for part in parts):
        raise RecipeError(f"the path {path!r} has an empty, '.' or '..' component")
    if parts[0] == OWN_FOLDER:
        raise RecipeError(f"the path {path!r} is in {OWN_FOLDER}/, which is medfetch's own")
    for part in parts:
        if "\\" in part or any(unicodedata.category(character) in INVISIBLE for character in part):
            raise RecipeError(f"the path {path!r} has a backslash or an invisible character")
        _short_enough(part, path)
    return path


def _unsafe(character: str) -> bool:
    return character in "/\\%" or unicodedata.category(character) in INVISIBLE


def _encode(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _short_enough(part: str, whole: str) -> str:
    length = len(part.encode("utf-8"))
    if length > LONGEST_COMPONENT:
        raise RecipeError(f"{whole!r} needs a file name of {length} bytes; file systems allow {LONGEST_COMPONENT}")
    return part
