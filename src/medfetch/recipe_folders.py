"""Where recipes lie: those that came with medfetch, and newer ones that were fetched since (``updates``).

It must not know what a recipe is. Read at every start, so it imports little.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medfetch.errors import UPGRADE, UsageProblem

FORMAT = 1
"""Of the file that says which updated recipes count."""
NUMBER = "NUMBER"
"""The file of a folder of recipes with the number of its state: a higher one is newer."""


def builtin() -> Path:
    """The directory of the recipes that come with medfetch: a checkout's, else the copy in the wheel."""
    here = Path(__file__).resolve()
    checkout = here.parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "recipes").is_dir():
        return checkout / "recipes"
    return here.parent / "recipes"


def number(folder: Path) -> int:
    """The number of a folder of recipes.

    Raises: UsageProblem where it has none.
    """
    try:
        text = (folder / NUMBER).read_text(encoding="ascii").strip()
        if not text.isdecimal() or int(text) < 1:
            raise ValueError
    except (OSError, ValueError):
        raise UsageProblem(
            f"{folder} has no file {NUMBER} with a number from 1 on",
            hint="it says which of two sets is newer",
        ) from None
    return int(text)


def place(data: Path) -> Path:
    """Where updated recipes are kept, in the user's data directory."""
    return data / "recipes"


def state_file(data: Path) -> Path:
    return place(data) / "updated.json"


def state(data: Path) -> Mapping[str, Any]:
    """What was updated: ``sets``, the one that counts first, then the one before it; and ``highest``, the newest that
    was ever here.

    Raises: UsageProblem where it cannot be read, or was written by a newer medfetch.
    """
    path = state_file(data)
    otherwise = f"or remove {path}: then the recipes that came with medfetch count"
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {"format": FORMAT, "sets": [], "highest": None}
    except (OSError, ValueError) as error:
        raise UsageProblem(f"{path} cannot be read: {error}", hint=f"mend it, {otherwise}") from error
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT:
        newer = f"{path} was written by a newer medfetch (format {found}, not {FORMAT})"
        raise UsageProblem(newer, hint=f"{UPGRADE}, {otherwise}")
    try:
        for each in content["sets"]:
            _ = each["number"] + 0, each["folder"] + "", each["digest"] + ""
        _ = content["highest"]
    except (LookupError, TypeError):
        raise UsageProblem(f"{path} does not say which recipes were updated", hint=f"mend it, {otherwise}") from None
    return content  # type: ignore[no-any-return]


def updated(data: Path) -> Path | None:
    """The folder of the updated recipes that count; None where there are none, or those of medfetch are as new.

    Raises: UsageProblem, as ``state``.
    """
    sets = state(data)["sets"]
    if not sets or sets[0]["number"] <= number(builtin()):
        return None
    folder = place(data) / sets[0]["folder"]
    return folder if folder.is_dir() else None
