"""Addresses as everybody has them: a lock must lead nobody to another person's mirror, nor past their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from medfetch import sources
from medfetch.config import Settings
from medfetch.types import Entry, Group, RemoteFile

BUCKET = "{bucket}"
SCHEMES = {"ftp": "ftp"}
"""Of sources without a base address whose files are not all at https."""


class Addresses:
    """Those of a source, whose base addresses settings may replace."""

    def __init__(self, source: str, settings: Settings) -> None:
        usual = sources.get(source).traits.endpoints
        own = [(base, settings.endpoints[name]) for name, base in usual.items() if name in settings.endpoints]
        # Where there is no base address, every address fits: it comes last.
        self._pairs = sorted(own, key=lambda pair: len(pair[0]), reverse=True)
        self._scheme = SCHEMES.get(source, "https")

    def public(self, entry: Entry) -> Entry:
        """The entry with everybody's addresses."""
        return _changed(entry, lambda url: self._moved(url, [(own, usual) for usual, own in self._pairs]))

    def own(self, entry: Entry) -> Entry:
        """The entry with the addresses that the settings want."""
        return _changed(entry, lambda url: self._moved(url, self._pairs))

    def _moved(self, url: str, pairs: list[tuple[str, str]]) -> str:
        for before, after in pairs:
            if BUCKET in before + after:
                # A base without a place for the bucket is followed by it (``sources._listing.bucket_address``).
                before, after = (base if BUCKET in base else f"{base}/{BUCKET}" for base in (before, after))
            base = re.escape(before).replace(re.escape(BUCKET), "(?P<bucket>[^/]+)")
            if found := re.fullmatch(f"{base}/(?P<rest>.*)" if before else "[a-z]+://(?P<rest>.*)", url, re.DOTALL):
                told = found.groupdict()
                base = after.replace(BUCKET, told.get("bucket", ""))
                return f"{base}/{told['rest']}" if after else f"{self._scheme}://{told['rest']}"
        return url


def _changed(entry: Entry, change: Callable[[str], str]) -> Entry:
    if isinstance(entry, Group):
        return replace(entry, archive=_file(entry.archive, change)) if entry.archive else entry
    return _file(entry, change)


def _file(file: RemoteFile, change: Callable[[str], str]) -> RemoteFile:
    pieces = tuple(_file(piece, change) for piece in file.pieces)
    return replace(file, urls=tuple(map(change, file.urls)), pieces=pieces)
