"""What it takes to have a dataset, in a word each: by which way, after which wait, with whose checksums.

It must not know this machine or the network.
"""

from __future__ import annotations

from medfetch import requirements
from medfetch.checksum import HEX_LENGTH
from medfetch.types import Recipe, Route

TELLING = {
    "dataverse", "datalad", "figshare", "gcs", "gen3", "github", "hf", "idc", "kaggle", "mendeley", "onedrive",
    "openneuro", "osf", "physionet", "redivis", "s3", "synapse", "tcia", "torrent", "xnat", "zenodo",
}  # fmt: skip
"""Sources whose hosts tell checksums, with a list or with the bytes."""
SILENT = {"aspera", "box", "dropbox", "ftp", "gdrive", "grand-challenge", "http", "links", "loris", "manual", "webdav"}
"""Those whose hosts tell none, or of few files."""


def way(recipe: Recipe) -> str:
    """``open``, ``steps`` or ``hand``: what it takes to have all parts that come without --part."""
    parts = requirements.chosen(recipe)
    if not parts or not all(any(not requirements.by_hand(route) for route in part.routes) for part in parts):
        return "hand"
    return "steps" if requirements.steps(recipe, parts) else "open"


def wait(recipe: Recipe) -> float | None:
    """Days that the longest step usually takes, 0 where none is known to take any; None where somebody decides and no
    source says how long that takes."""
    steps = requirements.steps(recipe, requirements.chosen(recipe))
    if any(step.kind in requirements.SOMEBODY_DECIDES and not step.wait for step in steps):
        return None
    return max((requirements.days(step.wait) or 0.0 for step in steps), default=0.0)


def sums(recipe: Recipe) -> str:
    """Where the checksums of what comes without --part are from.

    ``recipe``, ``others'`` (in the recipe, computed by others than the publisher), ``host``, or several of these with
    commas; ``none``; ``partly`` where only some files have one; ``unknown`` of a source that nothing is known of, and
    empty where there is no route.
    """
    found = {_sums_of(part.routes[0]) if part.routes else "" for part in requirements.chosen(recipe)}
    if len(found) == 1:
        return found.pop()
    return "partly" if found & {"none", "partly", "", "unknown"} else ", ".join(sorted(found))


def _sums_of(route: Route) -> str:
    files = route.locator.get("files", ())
    pieces = [piece for file in files for piece in file.get("pieces", [file])]
    told = [not set(HEX_LENGTH).isdisjoint(piece) for piece in pieces]
    if told and all(told):
        return "others'" if any("checksums_by" in file for file in files) else "recipe"
    if route.source in TELLING:
        return "host"
    if any(told):
        return "partly"
    return "none" if route.source in SILENT else "unknown"
