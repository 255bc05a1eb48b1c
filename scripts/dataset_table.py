"""Writes docs/datasets.md, from the built-in recipes, to standard output (``make docs``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from medfetch import catalog, outlook, requirements
from medfetch.progress import human
from medfetch.types import Level, Recipe

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


def page() -> str:
    recipes = catalog.search()
    return "".join([HEAD, *_summary(recipes), LEGEND, "\n", *_table(recipes)])


def _summary(recipes: list[Recipe]) -> Iterable[str]:
    ways = Counter(map(outlook.way, recipes))
    whole = sum(not set(outlook.sums(recipe).split(", ")) - {"recipe", "others'", "host"} for recipe in recipes)
    partly = sum(outlook.sums(recipe) == "partly" for recipe in recipes)
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
            ", ".join(dict.fromkeys(route.source for part in requirements.chosen(recipe) for route in part.routes)),
            outlook.sums(recipe),
            " ".join(recipe.status.values()) or "unknown",
        )
        yield "".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n"


def _linked(recipe: Recipe) -> str:
    if not recipe.homepage:
        return recipe.id
    escaped = recipe.homepage.translate({ord(sign): f"%{ord(sign):02X}" for sign in "()|"})
    return f"[{recipe.id}]({escaped})"


def _wait(recipe: Recipe) -> str:
    days = outlook.wait(recipe)
    return "unknown" if days is None else f"{days:.0f} days" if days else ""


if __name__ == "__main__":
    print(page(), end="")
