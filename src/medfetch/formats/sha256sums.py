"""The digests of a dataset's files, as sha256sum(1) and its like check them in its folder: ``sha256sum -c``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from medfetch.formats import Dataset, opened
from medfetch.ledger import Placed

NAME = "SHA256SUMS"


def write(dataset: Dataset, to: Path | None) -> None:
    """Raises: MedfetchError where not all of it is in the cache; CacheError, DiskFull."""
    dataset.check_complete()
    with opened(to, NAME) as out:
        out.writelines(lines(dataset.files()))


def lines(files: Iterable[Placed]) -> Iterator[str]:
    """A line for each file; names with a line break or a backslash are escaped as sha256sum does it."""
    for file in files:
        path = file.path.replace("\\", "\\\\").replace("\n", "\\n")
        yield f"{'' if path == file.path else chr(92)}{file.sha256}  {path}\n"
