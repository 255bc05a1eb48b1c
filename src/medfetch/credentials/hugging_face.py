"""Hugging Face's token as huggingface_hub 1.33.0 finds it: HF_TOKEN, HUGGING_FACE_HUB_TOKEN, then its file.

Read in its utils/_auth.py and constants.py, 2026-11-20. It must not know what the token is used for.
"""

from __future__ import annotations

import os
from pathlib import Path

from medfetch.config import Settings, variable
from medfetch.credentials import reading
from medfetch.credentials.kinds import Found, Token


def look(_: str, settings: Settings) -> Found | None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if value := (variable(name) or "").strip():
            return Found(Token(value), name)
    path = token_file()
    value = (reading.text(path) or "").strip()
    return Found(Token(value), reading.place(path)) if value else None


def token_file() -> Path:
    """Where ``hf auth login`` keeps the token."""
    if told := variable("HF_TOKEN_PATH"):
        return _expanded(told)
    cache = variable("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(variable("HF_HOME") or f"{cache}/huggingface") / "token"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()
