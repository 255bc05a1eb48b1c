"""Keeps the secrets that this process has found out of its texts and of its core file. It must not know whose they are.

Nothing else prints a secret either; this is for what others say: a host that quotes our token, a library's exception.
"""

from __future__ import annotations

import base64
import html
import json
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, quote_plus

from medfetch.credentials.kinds import AccessKey, ApiKey, GoogleLogin, Kept, Login, RefreshToken, Token

SHORTEST = 6
"""Characters; to look for what is shorter would make every text unreadable."""
PR_SET_DUMPABLE = 4
"""linux/prctl.h"""

_lock = threading.Lock()
_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def watch(secret: Kept) -> None:
    """From now on this secret is taken out of texts, and the process leaves no core file."""
    global _pattern
    match secret:
        case Login(user, password):
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            words = {password, pair}
        case Token(value) | RefreshToken(value):
            words = {value}
        case ApiKey(key):
            words = {key}
        case AccessKey(_, key, session):
            words = {key, session or key}
        case GoogleLogin():
            words = set()  # its tokens are watched as they come
    found = {form for word in words for form in _forms(word) if len(word) >= SHORTEST}
    with _lock:
        if found <= _known:
            return
        if not _known:
            _leave_no_core()
        _known.update(found)
        _pattern = None


def _forms(word: str) -> Iterator[str]:
    """A word as it stands in a text, an address, JSON, a web page, a traceback."""
    yield word
    yield quote(word, safe="")
    yield quote_plus(word)
    for ascii_only in (True, False):
        yield json.dumps(word, ensure_ascii=ascii_only)[1:-1]
    yield html.escape(word)
    yield repr(word)[1:-1]


def redacted(text: str) -> str:
    """A text with every known secret replaced by ``***``."""
    global _pattern
    with _lock:
        if not _known:
            return text
        # Only now: there may be thousands, found one by one.
        if _pattern is None:
            _pattern = re.compile("|".join(sorted(map(re.escape, _known), key=len, reverse=True)))
        pattern = _pattern
    return pattern.sub("***", text)


def _leave_no_core() -> None:
    # Either may be forbidden, or be unknown to the system.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        import ctypes

        # The limit does not hold for core files that go to a program; this does, and closes /proc/PID/mem too.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
