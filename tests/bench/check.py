"""Whether what lies there is what was to be fetched."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from bench.data import Data

SAMPLE = 12
"""Files whose digest is computed after each run; of all of them, numbers and sizes are compared."""


def problem(data: Data, folder: Path) -> str | None:
    """What is wrong; None if nothing is."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    found = {path.as_posix(): (folder / path).stat().st_size for path in paths if ".medfetch" not in path.parts}
    expected = {file.path: file.size for file in data.files}
    if len(found) != len(expected):
        return f"{len(found)} files instead of {len(expected)}"
    if wrong := [path for path, size in expected.items() if found.get(path) != size]:
        return f"{wrong[0]}: {found.get(wrong[0])} bytes instead of {expected[wrong[0]]}, as one of {len(wrong)}"
    for file in random.Random(0).sample(data.files, min(SAMPLE, len(data.files))):
        with open(folder / file.path, "rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != file.sha256:
                return f"{file.path}: wrong bytes"
    return None
