"""A secret from a vault's own program, as ``credentials.command`` says: ``pass show medfetch/{name}``.

It is run without a shell, and gets neither input nor the secrets of our environment; what it prints is shown nowhere.
It must not know where else a secret may be.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time

from medfetch import config
from medfetch.config import Settings
from medfetch.credentials.kinds import Found, from_text
from medfetch.errors import UsageProblem

PATIENCE = 120
"""Seconds; a vault may have to ask a person first."""
KEPT = 60.0
"""Seconds until it is asked again: of many datasets each wants to know whether the same secret is there."""
log = logging.getLogger("medfetch.credentials")
_lock = threading.Lock()
_told: dict[tuple[str, ...], tuple[Found | None, float]] = {}


def look(name: str, settings: Settings) -> Found | None:
    """What the command prints for a name; None where it prints nothing, or ends with an error, which is told.

    Raises: UsageProblem where it cannot be run, does not end, or prints no secret of that kind.
    """
    if not settings.credentials_command:
        return None
    words = tuple(word.replace("{name}", name) for word in settings.credentials_command)
    with _lock:
        found, until = _told.get((*words, name), (None, 0.0))
        if until < time.monotonic():
            found = _asked(words, name)
            _told[*words, name] = found, time.monotonic() + KEPT
    return found


def _asked(words: tuple[str, ...], name: str) -> Found | None:
    program, *arguments = words
    try:
        ran = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=config.for_children(), timeout=PATIENCE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UsageProblem(f"credentials.command: {program} did not end within {PATIENCE} s") from None
    except OSError as error:
        raise UsageProblem(f"credentials.command: {program} cannot be run: {error.strerror}") from None
    if ran.returncode:
        # Vaults do not tell "there is none" from "locked": so it is told, and taken for the former.
        log.warning("credentials.command: %s ended with %d for %s", program, ran.returncode, name)
        return None
    if not ran.stdout.strip():
        return None
    try:
        return Found(from_text(name.partition(":")[0], ran.stdout.decode()), f"what {program} printed")
    except ValueError as error:  # also what is not UTF-8, whose own text would quote it
        expected = "not a text in UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise UsageProblem(f"credentials.command: {program} printed no secret for {name}: {expected}") from None
