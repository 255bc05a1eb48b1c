"""What recipe files say, kept from run to run, so that only what has changed is parsed and checked again.

An entry holds as long as the file has the same bytes: all of them are read and hashed, which takes less than a
hundredth of the time that YAML takes. An index that is missing, damaged, of another version or not to be written costs
that time and nothing else. It must not know what a recipe is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

MAKERS = ("yaml_marks.py", "recipe_check.py", "recipe_schema.py", "recipe.schema.json", "sources/__init__.py")
"""What content and verdicts depend on, besides the file: of other code, other entries."""


class Index:
    """Entries by the path of the file: SHA-256 of its bytes, its content, and what it was found right by."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._maker = _maker()
        self._changed = False
        self._entries: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(file.read_bytes())
            if isinstance(kept, dict) and kept.get("maker") == self._maker:
                self._entries = kept["entries"]

    def read(self, path: Path) -> Any:
        """The content of a YAML file.

        Raises: OSError; ValueError if it is no YAML, or not UTF-8.
        """
        raw = path.read_bytes()
        if entry := self._entry(path, raw):
            return entry["content"]
        # With it comes PyYAML, which most starts have no use for.
        from medfetch.yaml_marks import parse

        content = parse(raw)
        if _is_json(content):
            self._entries[str(path.absolute())] = {"sha256": hashlib.sha256(raw).hexdigest(), "content": content}
            self._changed = True
        return content

    def is_right(self, path: Path, by: str) -> bool:
        """Whether the file, as it is now, was found right by that measure.

        Raises: OSError.
        """
        entry = self._entry(path, path.read_bytes())
        return bool(entry and entry.get("right_by") == by)

    def note_right(self, path: Path, by: str) -> None:
        """Remembers that the file, as ``read`` last found it, is right by a measure."""
        if entry := self._entries.get(str(path.absolute())):
            entry["right_by"] = by
            self._changed = True

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *raised: object) -> None:
        """Keeps what is new. Of two processes that do so at once, the later one's index stays, whole."""
        if not self._changed:
            return
        import tempfile

        entries = {key: entry for key, entry in self._entries.items() if Path(key).exists()}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(prefix=f"{self._file.name}.", dir=self._file.parent)
            try:
                with open(handle, "w", encoding="ascii") as file:
                    json.dump({"maker": self._maker, "entries": entries}, file, separators=(",", ":"))
                os.replace(beside, self._file)
            except OSError:
                os.unlink(beside)
                raise

    def _entry(self, path: Path, raw: bytes) -> Any:
        entry = self._entries.get(str(path.absolute()))
        return entry if entry and entry["sha256"] == hashlib.sha256(raw).hexdigest() else None


def _maker() -> str:
    here = Path(__file__).parent
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in MAKERS)).hexdigest()


def _is_json(content: Any) -> bool:
    """Whether the content comes back from JSON as it was; YAML has dates, bytes and keys that are numbers, too."""
    try:
        return bool(json.loads(json.dumps(content)) == content)
    except (TypeError, ValueError, RecursionError):
        return False
