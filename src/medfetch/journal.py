"""How a run went: bytes, files, failures and retries by time, kept after its end. It must not know what was fetched.

A run notes its sums every second. When there are ``ROWS`` of them, every other one is dropped, and from then on they
are noted half as often: so a run of a week has as many rows as one of ten minutes, and none is written for each file.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from medfetch import storage
from medfetch.cache import Home
from medfetch.errors import CacheError

ROWS = 512
EVERY = 1.0
"""Seconds between two rows, at the beginning."""
WRITTEN_EVERY = 10.0
"""Seconds after which a run that is killed has lost no more of its journal."""
KEPT = 200
"""Runs of a dataset whose journals are kept, the newest ones: 4 MB at the most."""

Row = tuple[float, int, int, int, int]
"""Seconds since the run began; bytes, files, failures and retries until then."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is kept of a run."""

    since: float
    """Seconds since 1970."""
    rows: tuple[Row, ...]
    said: Mapping[str, Any]
    """Its plan, and its task and job if it was one of several."""


class Journal:
    """Of the run that is this process."""

    def __init__(self, home: Home, **about: Any) -> None:
        self._since, self._began = time.time(), time.monotonic()
        self._path = home.journal / f"{int(self._since * 1000):014d}-{secrets.token_hex(4)}.json"
        self._about = about
        self._rows: list[Row] = [(0.0, 0, 0, 0, 0)]
        self._every, self._written = EVERY, 0.0

    def note(self, size: int, files: int, failed: int, retried: int, *, last: bool = False) -> None:
        """The sums as they are now. To be called often: mostly it only looks at the time."""
        now = time.monotonic() - self._began
        if now - self._rows[-1][0] < self._every and not last:
            return
        self._rows.append((round(now, 2), size, files, failed, retried))
        if len(self._rows) >= ROWS:
            self._rows = self._rows[::2]
            self._every *= 2
        if last or now - self._written >= WRITTEN_EVERY:
            self._written = now
            self._write()

    def _write(self) -> None:
        if not any(self._rows[-1][1:]):
            return  # a run that had nothing to do is not worth a file
        content = {**self._about, "since": self._since, "rows": [" ".join(map(str, row)) for row in self._rows]}
        with suppress(OSError):  # news, without which the run goes on
            self._path.parent.mkdir(exist_ok=True)
            storage.write_json(self._path, content, durable=False)
            for old in sorted(self._path.parent.glob("[!.]*.json"))[:-KEPT]:
                old.unlink(missing_ok=True)


def read(home: Home) -> list[Past]:
    """The runs of a home, oldest first; what cannot be read is left out."""
    found = []
    for path in sorted(home.journal.glob("[!.]*.json")):
        with suppress(CacheError, KeyError, ValueError, TypeError, AttributeError):
            said = storage.read_json(path)
            found.append(Past(float(said.pop("since")), tuple(map(_row, said.pop("rows"))), said))
    return found


def _row(text: str) -> Row:
    seconds, *sums = text.split()
    size, files, failed, retried = map(int, sums)
    return float(seconds), size, files, failed, retried
