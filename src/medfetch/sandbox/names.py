"""Names that a recipe's patterns mean, for files that nobody has named. It must not know hosts.

A file's name has an ending that begins with a letter, or is in capitals (``README``); all else is a folder's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

FILE = re.compile(r"(.*/)?([^/]+\.([A-Za-z][A-Za-z0-9]{0,8}|7z)|[A-Z][A-Z0-9_]+)")
FOLDERS = (".zarr", ".git")
"""Endings of folders."""
NUMBER = re.compile(r"\{n(?::0([1-9])d)?\}")
CLASS = re.compile(r"\[(!?)(\]?[^\]]*)\]")
USUAL = ("README.md", "images/scan-1.nii.gz", "labels.csv")
OF_SOURCE: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        ("openneuro", "datalad"), ("dataset_description.json", "README", "sub-01/anat/sub-01_T1w.nii.gz")
    ),
    # These have no folders.
    **dict.fromkeys(("figshare", "release", "zenodo"), ("README.md", "scan-1.nii.gz", "labels.csv")),
    "loris": ("100001/V1/scan_1.mnc", "100001/V2/scan_1.mnc"),
    "xnat": ("S1/S1_MR1/1/NIFTI/scan.nii.gz",),
}  # fmt: skip
"""What there is where a route does not say: by source (``release``: of GitHub), else ``USUAL``."""


def several(value: Any) -> list[str]:
    """One text or a list of them, as recipes may have it."""
    return [value] if isinstance(value, str) else list(value)


def fits(path: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern fits the path, or a folder above it."""
    return any(fnmatchcase(path, each) or fnmatchcase(path, f"{each.rstrip('/')}/*") for each in patterns)


def of_patterns(patterns: Sequence[str], archives: Sequence[str]) -> list[str]:
    """Names that patterns fit; ``archives`` are the patterns of what is unpacked."""
    found = []
    for pattern in patterns:
        literal = _literal(pattern.rstrip("/"))
        if is_file(literal):
            found.append(literal)
        elif pattern.endswith("*"):
            found.append(f"{literal}.zip" if fits(f"{literal}.zip", archives) else f"{literal}.nii.gz")
        else:
            found += [f"{literal}/scan-1.nii.gz", f"{literal}/notes.txt"]
    return found


def of_archives(patterns: Sequence[str]) -> list[str]:
    """A name for each pattern of what is unpacked, where nothing else says what there is."""
    return [name if is_file(name := _literal(each)) else f"{name}.zip" for each in patterns]


def of_prefix(rest: str, source: str) -> list[str]:
    """Names that begin like the last part of a bucket's prefix, which may be empty."""
    if rest and is_file(rest):
        return [rest]
    if rest.endswith(("_", "-")):
        return [f"{rest}1.nii.gz", f"{rest}2.nii.gz"]
    return [f"{rest}/{name}" if rest else name for name in OF_SOURCE.get(source, USUAL)]


def is_file(name: str) -> bool:
    return bool(FILE.fullmatch(name)) and not name.endswith(FOLDERS)


def filled(template: str, number: int) -> str:
    """A template with the number of a range in place of ``{n}``, or with its digits ``{n:03d}``."""
    return NUMBER.sub(lambda found: f"{number:0{found[1] or 1}d}", template)


def _literal(pattern: str) -> str:
    """A text that a shell pattern fits."""

    def one(found: re.Match[str]) -> str:
        return next(sign for sign in "0a_" if fnmatchcase(sign, found[0])) if found[1] else found[2][0]

    return CLASS.sub(one, pattern).replace("*", "1").replace("?", "1")
