"""The cache as a file system of fsspec: ``medfetch://lidc-idri/LIDC-IDRI-0001/…``, loose files and archives alike.

fsspec finds it by its entry point, and imports it when such an address is used. It can be pickled, and used by threads
and forked processes, for nothing of it is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from fsspec.spec import AbstractFileSystem

from medfetch import cache, opening
from medfetch.cache import Home
from medfetch.errors import NotHere


class MedfetchFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec comes without types
    """Datasets as folders: by the name that ``medfetch get`` takes, if it has no ``/``, or that of their folder.

    Args:
        settings: ``cache`` … as in docs/settings.md; ``sandbox=True`` for what was rehearsed.

    What is listed is what is complete and verified. ``info`` tells each file's SHA-256.
    """

    protocol = "medfetch"
    root_marker = ""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        own = {name: value for name, value in settings.items() if name not in FSSPEC}
        self._settings = opening.load_settings(tuple(sorted(own.items())))
        self._homes: dict[str, Home] = {}

    # -- where things are ----------------------------------------------------------------------------------------

    def _split(self, path: str) -> tuple[str, str]:
        name, _, inside = str(self._strip_protocol(path)).partition("/")
        return name, inside

    def _home(self, name: str) -> Home:
        if name not in self._homes:
            self._homes[name] = opening.home_of(name, self._settings)
        return self._homes[name]

    # -- what is there -------------------------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **more: Any) -> list[Any]:
        """What is in a folder. Raises: NotHere."""
        name, inside = self._split(path)
        found = [_folder(each) for each in self._datasets()] if not name else self._children(name, inside)
        return found if detail else [each["name"] for each in found]

    def _datasets(self) -> list[str]:
        homes = [home for each in (self._settings.cache, *self._settings.cache_layers) for home in cache.homes(each)]
        return sorted({home.root.parent.name for home in homes})

    def _children(self, name: str, inside: str) -> list[dict[str, Any]]:
        with opening.ledger_of(self._home(name), self._settings) as ledger:
            found = [
                _folder(f"{name}/{path}") if size is None else _file(f"{name}/{path}", size)
                for path, size in ledger.children(inside)
            ]
        return found or [self.info(f"{name}/{inside}")]

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        """What is known of a file or folder. Raises: NotHere."""
        name, inside = self._split(path)
        if not name:
            return _folder("")
        with opening.ledger_of(self._home(name), self._settings) as ledger:
            if not inside:
                return _folder(name)
            if file := ledger.look(inside):
                return _file(f"{name}/{inside}", file.size) | {"sha256": file.sha256}
            if any(True for _ in ledger.children(inside)):
                return _folder(f"{name}/{inside}")
        raise NotHere(f"{name} has no {inside!r} in {self._home(name).root}", hint=f"medfetch get {name}")

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **more: Any
    ) -> Any:
        """All files under a folder. As fsspec's own, but by one query, however many folders there are."""
        name, inside = self._split(path)
        if not name or maxdepth is not None or withdirs:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **more)
        try:
            found = {each["name"]: each for each in self._under(name, inside)}
        except FileNotFoundError:
            found = {}
        return found if detail else list(found)

    def _under(self, name: str, inside: str) -> Iterator[dict[str, Any]]:
        with opening.ledger_of(self._home(name), self._settings) as ledger:
            if inside and (file := ledger.look(inside)):
                yield _file(f"{name}/{inside}", file.size)
            for path, size in ledger.under(inside):
                yield _file(f"{name}/{path}", size)

    def checksum(self, path: str) -> int:
        """The SHA-256 of a file, as a number. Raises: NotHere, IsADirectoryError."""
        info = self.info(path)
        if info["type"] == "directory":
            raise IsADirectoryError(path)
        return int(info["sha256"], 16)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def _open(self, path: str, mode: str = "rb", **more: Any) -> BinaryIO:
        name, inside = self._split(path)
        if mode != "rb":
            # What fsspec's own file systems raise that are only read.
            raise NotImplementedError("what medfetch has fetched is only read")
        return opening.at(self._home(name), inside, name, self._settings)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **more: Any) -> bytes:
        with self._open(path) as file:
            return _part(file, start, end)

    def cat_ranges(
        self, paths: Sequence[str], starts: Any, ends: Any, max_gap: int | None = None, on_error: str = "return",
        **more: Any,
    ) -> list[Any]:  # fmt: skip
        """Parts of files; each file is opened once."""
        starts = starts if isinstance(starts, Sequence) else [starts] * len(paths)
        ends = ends if isinstance(ends, Sequence) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("paths, starts and ends must be of one length")
        found: list[Any] = [None] * len(paths)
        for path in dict.fromkeys(paths):
            wanted = [number for number, each in enumerate(paths) if each == path]
            try:
                with self._open(path) as file:
                    for number in wanted:
                        found[number] = _part(file, starts[number], ends[number])
            except OSError as error:
                if on_error == "raise":
                    raise
                for number in wanted:
                    found[number] = error
        return found


FSSPEC = {"use_listings_cache", "listings_expiry_time", "max_paths", "skip_instance_cache", "asynchronous", "loop"}
"""What fsspec itself may be told where a file system is made."""


def _part(file: BinaryIO, start: int | None, end: int | None) -> bytes:
    """Bytes from one place to another, which are counted from the end where they are negative."""
    size = file.seek(0, 2)
    first, last, _ = slice(start, end).indices(size)
    file.seek(first)
    return file.read(max(0, last - first))


def _file(name: str, size: int) -> dict[str, Any]:
    return {"name": name, "size": size, "type": "file"}


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}
