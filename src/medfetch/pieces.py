"""Which bytes of a large file are here, piece by piece, on disk beside them. It must not know hosts or requests.

A partial that is filled from one end tells by its length how far it got. One that is filled in several places at once
has a file ``.pieces`` beside it: a head (JSON, padded), and after it, for each piece, how many of its bytes were
written, twice. The first number is good as long as the machine runs: a killed process has left its bytes in the page
cache. The second is written after the bytes were synced, and is good on another machine and after a power cut too.
"""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from medfetch import machine
from medfetch.storage import boot, disk_errors

PIECE = 2 << 20
"""Bytes."""
HEAD = 4096
"""Bytes of the head."""
SYNC_EVERY = 30.0
"""Seconds between two syncs."""
ITEM = 4


def learned_size(path: Path) -> int | None:
    """The size of a file that a former attempt noted; None where there is no such note."""
    try:
        with open(path, "rb") as content:
            size = json.loads(content.read(HEAD))["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return size if isinstance(size, int) else None


class Pieces:
    """The state of one file of ``size`` bytes that is being filled; for many threads, one at a time for each piece."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.count = -(-size // PIECE)
        self.url, self.validator = "", None  # type: str, str | None
        self.got = array("I", bytes(ITEM * self.count))
        self._descriptor = -1
        self._closing, self._syncing = Lock(), Lock()
        self._closed = 0
        """How often: what is being synced meanwhile is of another version then, or of none."""
        self._synced_at = time.monotonic()
        self._error: OSError | None = None

    # -- from and to disk ----------------------------------------------------------------------------------------

    def load(self, length: int) -> None:
        """Takes up what a former attempt wrote, as far as a file of ``length`` bytes can hold it; else nothing."""
        try:
            content = self.path.read_bytes()
            head: dict[str, Any] = json.loads(content[:HEAD])
            numbers = array("I", content[HEAD:])
            if (head["size"], head["piece"], len(numbers)) != (self.size, PIECE, 2 * self.count):
                return
            url, validator = head["url"], head["validator"]
            same = head["boot"] is not None and head["boot"] == boot()
            told = numbers[: self.count] if same else numbers[self.count :]
            if any(count > self.length(number) for number, count in enumerate(told)):
                return
        except (OSError, ValueError, KeyError, TypeError):
            return
        self.url, self.validator = url, validator
        self.fill(length)
        self.got = array("I", map(min, self.got, told))

    def fill(self, length: int) -> None:
        """Counts the first ``length`` bytes as here."""
        for number in range(self.count):
            self.got[number] = max(0, min(self.length(number), length - number * PIECE))

    def begin(self, url: str, validator: str | None) -> None:
        """Writes down which version, under which address, the bytes are of; what is here must have been synced."""
        self.url, self.validator = url, validator
        head = {"url": url, "validator": validator, "size": self.size, "piece": PIECE, "boot": boot()}
        text = json.dumps(head).encode()
        if len(text) > HEAD:  # an address of kilobytes: then nothing is known after a kill
            text = json.dumps({"size": 0}).encode()
        new = self.path.with_suffix(".pieces-new")
        with disk_errors(self.path):
            self.close()
            self._descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.pwrite(self._descriptor, text.ljust(HEAD) + self.got.tobytes() * 2, 0)
            new.replace(self.path)

    def close(self) -> None:
        with self._closing:
            self._closed += 1
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def remove(self) -> None:
        self.close()
        self.path.unlink(missing_ok=True)

    # -- pieces --------------------------------------------------------------------------------------------------

    def length(self, number: int) -> int:
        """Bytes of a piece."""
        return min(PIECE, self.size - number * PIECE)

    def reached(self, number: int) -> int:
        """Where the bytes of a piece that are here end, counted from the beginning of the file."""
        return number * PIECE + self.got[number]

    def missing(self) -> Iterator[int]:
        """The pieces that are not whole."""
        return (number for number, count in enumerate(self.got) if count < self.length(number))

    @property
    def total(self) -> int:
        """Bytes that are here."""
        return sum(self.got)

    def add(self, offset: int, count: int) -> None:
        """Notes bytes that were written at ``offset``; they may reach over the ends of pieces."""
        first, number = offset // PIECE, offset // PIECE
        while count:
            here = min(count, number * PIECE + self.length(number) - offset)
            self.got[number] = offset - number * PIECE + here
            offset, count, number = offset + here, count - here, number + 1
        with disk_errors(self.path):
            os.pwrite(self._descriptor, self.got[first:number].tobytes(), HEAD + first * ITEM)

    def sync(self, path: Path) -> None:
        """Now and then has what was written to ``path`` brought to disk, and notes that it is there; nobody waits.

        Raises: DiskFull, CacheError where the disk did not take it the last time.
        """
        if self._error:
            with disk_errors(path):
                raise self._error
        if time.monotonic() - self._synced_at >= SYNC_EVERY and self._syncing.acquire(blocking=False):
            Thread(target=self._sync, args=(path, self._closed), name="pieces", daemon=True).start()

    def _sync(self, path: Path, closed: int) -> None:
        try:
            written = self.got.tobytes()
            machine.sync_file(path)
            with self._closing:
                if self._closed == closed:
                    os.pwrite(self._descriptor, written, HEAD + self.count * ITEM)
            self._synced_at = time.monotonic()
        except OSError as error:
            self._error = error
        finally:
            self._syncing.release()
