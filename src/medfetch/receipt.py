"""The receipt: what is in the cache, whence, when, under which terms, and how sure we are. It must not know the net."""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medfetch import __version__, storage
from medfetch.agreements import Agreement
from medfetch.config import Settings
from medfetch.ledger import Ledger
from medfetch.planning import Plan
from medfetch.progress import Event

FORMAT = 1
"""Of a receipt (docs/versioning.md)."""
IMPORTED = "import"
"""The source of what a person has brought: in the place of a host stands the name of what they gave."""


def of_plan(plan: Plan) -> dict[str, Any] | None:
    """The receipt of a plan, None where it was never complete. Raises: CacheError, also for one of a newer medfetch."""
    content = storage.read_json(path := plan.folder / "receipt.json")
    storage.check_format(content, FORMAT, path)
    return content if isinstance(content, dict) else None


def through(plan: Plan) -> list[str]:
    """The caches and exports that files of a plan were taken from, instead of from a host."""
    return list(storage.read_json(plan.folder / "through.json") or ())


def note_through(plan: Plan, folder: Path) -> None:
    """Writes down, before the first file is placed, that some come from there."""
    before = through(plan)
    if str(folder) not in before:
        storage.write_json(plan.folder / "through.json", [*before, str(folder)])


def write(
    plan: Plan, ledger: Ledger, settings: Settings, failovers: list[Event], agreements: list[Agreement]
) -> dict[str, Any]:
    """Writes the receipt of a complete plan, beside the plan and as the home's latest; returns it.

    ``agreements`` are those that it rests on.
    """
    files, size = 0, 0
    assurance: Counter[str] = Counter()
    origins: dict[tuple[str, str], list[int]] = {}
    tree = hashlib.sha256()
    for file in ledger.files_of_plan(plan.shards):
        files += 1
        size += file.size
        assurance[file.assurance.value] += 1
        counts = origins.setdefault((file.source, file.host), [0, 0])
        counts[0] += 1
        counts[1] += file.size
        tree.update(f"{file.sha256} {file.size} {file.path}\n".encode())
    header = plan.header
    content = {
        "format": FORMAT,
        "dataset": header["dataset"],
        "version": header["version"],
        "name": header["name"],
        "path": str(plan.home.root),
        "sandbox": settings.sandbox,
        "files": files,
        "bytes": size,
        "assurance": dict(assurance),
        "from": [
            {"source": source, "file" if source == IMPORTED else "host": host, "files": count, "bytes": amount}
            for (source, host), (count, amount) in sorted(origins.items())
        ],
        "through": through(plan),
        "failovers": [{"path": event.path, "from": event.source, "why": event.reason} for event in failovers[:100]],
        "failovers_total": len(failovers),
        "tree": f"sha256:{tree.hexdigest()}",
        "select": header["select"],
        "limit": header["limit"],
        "parts": sorted(header["parts"]),
        "licence": header["licence"],
        "agreements": [asdict(agreement) for agreement in agreements],
        "cite": header["cite"],
        "recipe": header["recipe"],
        "lock": header.get("lock"),
        "plan": plan.id,
        "index": header["index"],
        "planned": header["made"],
        "completed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "tool": f"medfetch {__version__}",
    }
    # The end of the run waits for the disk, as long as it is worth while (``durability``).
    storage.write_json(plan.folder / "receipt.json", content, durable=False)
    storage.write_json(plan.home.receipt, content, durable=False)
    return content
