"""The catalogue as one page: all recipes, to search, filter, compare and select, without a network or a server.

    cli → recipes → content (what the page shows) → one HTML file
                  → machine (the same, and how it stands here) → server, on loopback

The files beside this one are put together as they are: ``index.html`` with the styles, the scripts in the order of
``SCRIPTS``, and the content as JSON. It must not know the network or what a source's locator means.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = (
    "elements.js", "catalogue.js", "find.js", "steps.js", "address.js", "selection.js", "list.js", "charts.js",
    "dataset.js", "compare.js", "chosen.js", "machine.js", "main.js",
)  # fmt: skip
NAME = "index.html"


def render(content: Mapping[str, Any]) -> str:
    """The page that shows some content (``page.content``).

    Recipes may be anybody's: what they say is data for the scripts, which make text of it and never markup. The page's
    own policy allows no other script, style or request, and no text that becomes markup.
    """
    style, theme = _text("page.css"), _text("theme.js")
    script = "".join(_text(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_digest(theme)} {_digest(script)}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    # Without "<" nothing in it ends the element that holds it.
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    pieces = {"policy": policy, "style": style, "theme": theme, "data": data, "script": script}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: pieces[match[1]], _text(NAME))


def write(content: Mapping[str, Any], folder: Path) -> Path:
    """Writes the page into a folder, which is made; an older one is replaced in one step.

    Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    beside = folder / f".{NAME}.{os.getpid()}"
    beside.write_text(render(content), encoding="utf-8")
    beside.replace(path)
    return path


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a policy names an inline script or style (CSP level 3, 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
