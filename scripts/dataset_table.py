"""Writes docs/datasets.md, from the built-in recipes, to standard output (``make docs``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from medfetch import catalog, requirements
from medfetch.checksum import HEX_LENGTH
from medfetch.progress import human
from medfetch.types import Level, Part, Recipe, Route

HEAD = """\
# The datasets

Written by `make docs` from the recipes, which say where and when each of these facts was read: `medfetch info NAME`.
`medfetch list` filters and sorts the same; `medfetch list URL` says which dataset an address leads to.

"""
LEGEND = """
In the table:

- **people**: subjects, where that was established; **size**: to download, of the parts that come without `--part`.
- **access**: the [level](recipes.md); **wait**: the longest that a step usually takes; unknown where somebody decides
  and no source says how long that takes.
- **by**: the sources of the routes, best first; `manual` is a person with a browser.
- **sums**: where checksums come from: the recipe (*others'*: computed by others than the publisher), the host when it
  is asked, none, or partly where only some files have one.
- **status**: and the day on which it was so.
"""
BY_HAND = {"aspera", "manual"}
"""Sources that no program of ours can ask."""
TELLING = {
    "dataverse", "datalad", "figshare", "gcs", "gen3", "github", "hf", "idc", "kaggle", "mendeley", "onedrive",
    "openneuro", "osf", "physionet", "redivis", "s3", "synapse", "tcia", "torrent", "xnat", "zenodo",
}  # fmt: skip
"""Sources whose hosts tell checksums, with a list or with the bytes."""
SILENT = {"aspera", "box", "dropbox", "ftp", "gdrive", "grand-challenge", "http", "links", "loris", "manual", "webdav"}
"""Those whose hosts tell none, or of few files."""


def page() -> str:
    recipes = catalog.search()
    return "".join([HEAD, *_summary(recipes), LEGEND, "\n", *_table(recipes)])


def _summary(recipes: list[Recipe]) -> Iterable[str]:
    ways = Counter(map(_way, recipes))
    whole = sum(not set(_sums(recipe).split(", ")) - {"recipe", "others'", "host"} for recipe in recipes)
    partly = sum(_sums(recipe) == "partly" for recipe in recipes)
    sizes = [recipe.size for recipe in recipes if recipe.size]
    levels = Counter(recipe.access.level for recipe in recipes)
    yield f"**{len(recipes)} datasets.**\n\n"
    yield f"- {ways['open']} are to be had by program at once; {ways['steps']} by program after steps that a person\n"
    yield f"  takes (an account, terms, an application); {ways['hand']} by hand, or not at all, as far as is known.\n"
    yield f"- By access: {', '.join(f'{level.value} {levels[level]}' for level in Level if levels[level])}.\n"
    yield f"- Of {whole} all files have checksums, of {partly} some.\n"
    yield f"- The {len(sizes)} whose size is known are {human(sum(sizes))} together.\n"


def _table(recipes: Iterable[Recipe]) -> Iterable[str]:
    yield "| dataset | modality | people | size | access | wait | by | sums | status |\n"
    yield "| --- | --- | ---: | ---: | --- | --- | --- | --- | --- |\n"
    for recipe in recipes:
        cells = (
            _linked(recipe),
            ", ".join(recipe.modality),
            f"{recipe.subjects:,}" if recipe.subjects else "",
            human(recipe.size) if recipe.size else "",
            recipe.access.level.value,
            _wait(recipe),
            ", ".join(dict.fromkeys(route.source for part in _chosen(recipe) for route in part.routes)),
            _sums(recipe),
            " ".join(recipe.status.values()) or "unknown",
        )
        yield "".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n"


def _linked(recipe: Recipe) -> str:
    if not recipe.homepage:
        return recipe.id
    escaped = recipe.homepage.translate({ord(sign): f"%{ord(sign):02X}" for sign in "()|"})
    return f"[{recipe.id}]({escaped})"


def _chosen(recipe: Recipe) -> list[Part]:
    return requirements.chosen(recipe)


def _way(recipe: Recipe) -> str:
    """``open``, ``steps`` or ``hand``: what it takes to have all parts that come without --part."""
    parts = _chosen(recipe)
    if not parts or not all({route.source for route in part.routes} - BY_HAND for part in parts):
        return "hand"
    return "steps" if requirements.steps(recipe, parts) else "open"


def _wait(recipe: Recipe) -> str:
    steps = requirements.steps(recipe, _chosen(recipe))
    if any(step.kind in requirements.SOMEBODY_DECIDES and not step.wait for step in steps):
        return "unknown"
    waits = [days for step in steps if (days := requirements.days(step.wait)) is not None]
    return f"{max(waits):.0f} days" if waits else ""


def _sums(recipe: Recipe) -> str:
    found = {_sums_of(part.routes[0]) if part.routes else "" for part in _chosen(recipe)}
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


if __name__ == "__main__":
    print(page(), end="")
