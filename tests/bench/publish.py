"""``python -m bench.publish DOCUMENT FILE…``: puts the tables of benchmarks' JSON files into a Markdown document.

Where two files have the same workload, the later one's is taken. It must not know how anything was measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench import report
from bench.workloads import WORKLOADS

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main(document: Path, files: list[Path]) -> None:
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{document}: expected the lines {BEGIN} and {END}")
    read = [json.loads(file.read_text()) for file in files]
    measured = {name: made for each in read for name, made in each["workloads"].items()}
    text = "\n\n".join(section(name, measured[name]) for name in WORKLOADS if name in measured)
    document.write_text(f"{before}{BEGIN}\n\n{machine(read[-1])}\n\n{text}\n\n{END}{after}")


def machine(made: dict[str, Any]) -> str:
    scale = [f"- scale: {made['scale']}"] * (made["scale"] != 1)
    return "\n".join([*(f"- {name}: {value}" for name, value in made["machine"].items()), *scale])


def section(name: str, made: dict[str, Any]) -> str:
    rows = [report.Row(**row) for row in made["rows"]]
    size = f"{made['files']:,} files, {made['bytes'] / 1e9:.2f} GB, {max(row.runs for row in rows)} rounds"
    size += f", written below {made['disk']}"
    below = f"{report.table(rows)}\n{report.goals_text(made['goals'])}".strip()
    return f"### {name}: {WORKLOADS[name].what}\n\n{size}.\n\n{below}"


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {Path(sys.argv[0]).name} DOCUMENT FILE…")
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
