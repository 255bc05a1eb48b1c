"""Whether each path of a plan is one entry's alone. It must not know sources, nor where plans lie."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

from medfetch.errors import RecipeError
from medfetch.types import Entry, Group

PILES = 64
"""Each of which can be looked through without much memory."""


class Places:
    """Of a plan's entries, which are never held whole: eight bytes of each."""

    def __init__(self) -> None:
        self._hashes = [array("q") for _ in range(PILES)]

    def noted(self, entries: Iterable[tuple[str, Entry]]) -> Iterator[tuple[str, Entry]]:
        """(part, entry), as they pass."""
        for part, entry in entries:
            if _is_of_a_path(entry):
                noted = hash(entry.path)
                self._hashes[noted % PILES].append(noted)
            yield part, entry

    def check(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """``entries``: the same once more; they are read only where two may have one path.

        Raises: RecipeError where two of different content have.
        """
        twice = {noted for pile in self._hashes for noted, count in Counter(pile).items() if count > 1}
        if not twice:
            return
        found: dict[str, tuple[str, str]] = {}
        for part, entry in entries:
            if not _is_of_a_path(entry) or hash(entry.path) not in twice:
                continue
            other, key = found.setdefault(entry.path, (part, entry.key))
            if key == entry.key:
                continue
            if other == part:
                raise RecipeError(f"the part {part!r} has two files with the path {entry.path!r}")
            raise RecipeError(
                f"the parts {other!r} and {part!r} both have a file with the path {entry.path!r}",
                hint="`into: folder` in a route gives what comes by it a folder of its own",
            )


def _is_of_a_path(entry: Entry) -> bool:
    """The others are named when they have come: by their content, or by the members that come out of a part of them."""
    if isinstance(entry, Group):
        return True
    in_part = entry.unpack and (entry.unpack.only or entry.unpack.members)
    return not (entry.dicom or in_part)
