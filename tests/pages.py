"""The commands that a page of the documentation shows, as one script, and what they have to print.

CONTRIBUTING.md says how a page marks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
RUN = ("", "bash", "python")
"""Languages of blocks that are run; a session's own commands have none."""
SHOWN = ("text", "yaml", "toml", "json", "{toctree}")
BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>[^\n]*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)
FILE = re.compile(r"# (?P<name>[\w.-]+\.\w+)\n(?P<content>.*)", re.DOTALL)
BETWEEN = "\x1e"
"""What the script prints before each block."""


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences."""

    line: int
    note: str
    language: str
    code: str

    @property
    def is_run(self) -> bool:
        return self.language in RUN and not self.note.startswith("not run: ")

    @property
    def file(self) -> tuple[str, str] | None:
        """Name and content, where the block is a file."""
        found = FILE.fullmatch(self.code)
        return (found["name"], self.code) if found else None

    @property
    def is_dialogue(self) -> bool:
        return bool(re.search(r"^\$ ", self.code, re.MULTILINE))

    @property
    def printed(self) -> list[str]:
        """The lines that have to come, in that order."""
        return [line for line in self.code.splitlines() if not line.startswith("$ ")] if self.is_dialogue else []

    def script(self) -> str:
        """For bash, in the session of the page's other blocks."""
        code = self.code
        if self.is_dialogue:
            code = "".join(f"{line[2:]}\n" for line in code.splitlines() if line.startswith("$ "))
        if self.file:
            code = f"cat > {self.file[0]} <<'END'\n{code}END\n"
        elif self.language:
            # A script of its own, whose end is not that of the session.
            code = f"{self.language} - <<'END'\n{code}END\n"
        if self.note.startswith("exit "):
            code = f"code=0\n{{\n{code}}} || code=$?\ntest $code = {self.note.removeprefix('exit ')}\n"
        return code

    def differs(self, output: str) -> str:
        """The first line that has to come and does not; "" if all do. Blanks and line breaks do not count."""
        at, told = 0, " ".join(output.split())
        for line in self.printed:
            wanted = ".*?".join(re.escape(" ".join(piece.split())) for piece in line.split("…"))
            if not (found := re.compile(wanted).search(told, at)):
                return line
            at = found.end()
        return ""


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(text):
        yield Block(text.count("\n", 0, found.start()) + 1, found["note"] or "", found["language"], found["code"])


def script(found: Sequence[Block], replaced: Sequence[tuple[str, str]]) -> str:
    """All that is run of a page; ``replaced``: what is written otherwise than on the page."""
    text = "".join(f"printf '{BETWEEN}'\n{block.script()}" for block in found)
    for old, new in replaced:
        assert old in text, f"{old!r} is no longer on the page"
        text = text.replace(old, new)
    return f"set -euo pipefail\nexec 2>&1\n{text}"
