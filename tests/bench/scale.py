"""``python -m bench.scale``: what a dataset costs by the number of its files, when nothing has to be fetched.

Plans a made-up dataset of 10,000 to 1,000,000 files and, with ``--nlst``, the largest collection of the Imaging Data
Commons; puts everything in place (``have.py``); then measures ``get`` with nothing to do, ``status`` and ``verify``.
Prints a table, writes a JSON file, and with ``--document`` table and chart into the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import chart, disks, have, tools
from bench.measure import run

HERE = Path(__file__).parent
COUNTS = (10_000, 100_000, 1_000_000)
LONGEST = 3600.0
FEW_LINKS = 2_000_000
"""Beyond so many files they are links to a few, for want of memory for so many inodes."""
BLOCK, WRITTEN = 4096, 2500
"""Bytes on disk of a small file; and of its name and all that is written down of it."""
BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
VERBS = ("plan", "finish", "again", "status", "verify")


@dataclass(frozen=True, slots=True)
class Dataset:
    name: str
    files: int
    arguments: tuple[str, ...]
    verify: bool


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.scale", description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--nlst", action="store_true", help="also the 21 million instances of NLST: 30 GB of disk")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="where the files go")
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("build/scale.json"),
        help="the file for all numbers; datasets that are in it and not asked for are kept",
    )
    parser.add_argument("--document", type=Path, help="a Markdown file that gets the table, and beside it the chart")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    datasets = [Dataset(f"{count:,} files", count, (f"numbered:{count}",), True) for count in chosen.counts]
    if chosen.nlst:
        datasets.append(Dataset("NLST", 21_088_140, ("nlst",), False))
    done: dict[str, dict[str, Any]] = {}
    if chosen.json.exists():
        done = {each["name"]: each for each in json.loads(chosen.json.read_text())["datasets"]}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    for dataset in datasets:
        done[dataset.name] = measure(dataset, chosen.disk)
        print(table([done[dataset.name]]), flush=True)
        chosen.json.write_text(json.dumps({"machine": tools.machine(), "datasets": list(done.values())}, indent=1))
    if chosen.document:
        publish(chosen.document, sorted(done.values(), key=lambda each: int(each["files"])))


def measure(dataset: Dataset, disk: Path) -> dict[str, Any]:
    """Everything about one dataset, on a disk of its own."""
    done: dict[str, Any] = {"name": dataset.name, "files": dataset.files}
    links = dataset.files > FEW_LINKS
    # With links there are hardly more than the folders.
    inodes = dataset.files // 20 if links else dataset.files * 5 // 4 + 10_000
    with (
        disks.fresh(disk, dataset.files * (WRITTEN if links else WRITTEN + BLOCK), inodes) as cache,
        tempfile.TemporaryDirectory(prefix="bench-source-") as name,
    ):
        environment = {**os.environ, "PYTHONPATH": str(installed(Path(name))), "MEDFETCH_CACHE": str(cache)}

        def medfetch(verb: str) -> dict[str, float]:
            command = [sys.executable, "-m", "medfetch", verb, *dataset.arguments]
            # Nobody answers at the addresses, and every request would be an error here.
            ran = run([*command, "--offline", "--quiet"], cache, environment, LONGEST)
            assert ran.code == 0, ran.said
            return {"seconds": ran.wall, "cpu": ran.cpu, "memory": ran.memory}

        done["plan"] = medfetch("plan")
        done["made"] = have.everything(cache, links=links)
        done["finish"], done["again"], done["status"] = medfetch("get"), medfetch("get"), medfetch("status")
        if dataset.verify:
            done["verify"] = medfetch("verify")
        (home,) = have.homes(cache)
        done["plan_bytes"] = sum(path.stat().st_size for path in home.plans.rglob("*.sqlite"))
        done["ledger_bytes"] = home.ledger.stat().st_size
    return done


def installed(folder: Path) -> Path:
    """The source of numbered files as a package in a folder."""
    (folder / "medfetch_numbered.py").write_text((HERE / "numbered.py").read_text())
    package = folder / "medfetch_numbered-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: medfetch-numbered\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[medfetch.sources]\nnumbered = medfetch_numbered:Numbered\n")
    return folder


def table(measured: list[dict[str, Any]]) -> str:
    lines = [
        "| dataset | plan s | its CPU s | files/s | written down µs/file | finish s | get again s | status s | verify s"
        " | most MB | plan + ledger MB |",
        "|---" * 11 + "|",
    ]
    for each in measured:
        seconds = {verb: f"{each[verb]['seconds']:.2f}" if verb in each else "" for verb in VERBS}
        most = max(each[verb]["memory"] for verb in VERBS if verb in each)
        rate = each["files"] / each["plan"]["seconds"]
        written = each["made"]["written_down"] / each["files"] * 1e6
        lines.append(
            f"| {each['name']} | {seconds['plan']} | {each['plan']['cpu']:.2f} | {rate:,.0f} | {written:.1f} |"
            f" {seconds['finish']} | {seconds['again']} | {seconds['status']} | {seconds['verify']} |"
            f" {most / 1e6:.0f} | {each['plan_bytes'] / 1e6:,.0f} + {each['ledger_bytes'] / 1e6:,.0f} |"
        )
    return "\n".join(lines)


def publish(document: Path, measured: list[dict[str, Any]]) -> None:
    """Puts machine, table and chart into a document, between the lines that are there for them."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{document}: expected the lines {BEGIN} and {END}")
    document.with_name("scale.svg").write_text(chart.svg(list(panels(measured))))
    machine = "\n".join(f"- {name}: {value}" for name, value in tools.machine().items())
    text = f"{machine}\n\n{table(measured)}\n\n![time, memory and room on disk by the number of files](scale.svg)"
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def panels(measured: list[dict[str, Any]]) -> Iterator[chart.Panel]:
    """Time, memory and bytes against the number of files."""
    names = {"plan": "plan", "again": "get, nothing to do", "status": "status", "verify": "verify"}

    def lines(what: str, unit: float) -> dict[str, list[tuple[float, float]]]:
        return {
            name: [(each["files"], each[verb][what] / unit) for each in measured if verb in each]
            for verb, name in names.items()
        }

    yield chart.Panel("seconds", lines("seconds", 1))
    yield chart.Panel("peak memory, MB", lines("memory", 1e6))
    state = {
        name: [(each["files"], each[key] / 1e6) for each in measured]
        for key, name in (("plan_bytes", "plan"), ("ledger_bytes", "ledger"))
    }
    yield chart.Panel("on disk, MB", state)


if __name__ == "__main__":
    main()
