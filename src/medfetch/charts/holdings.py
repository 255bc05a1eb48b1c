"""What a dataset has, as a chart. It must not know where that was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from medfetch.charts import BYTES, Bars, Chart, value
from medfetch.progress import counted
from medfetch.survey import NAMED, STEPS, Count, Survey, step
from medfetch.types import Recipe

ROWS = 12
"""Most bars of a panel; the smallest are summed up in the last one."""
STEPS_SHOWN = 9
"""Most bars of a histogram in steps of 1, 2, 5."""
INDEXED = "idc"
"""The source whose answers depend on the installed index."""


def of(recipe: Recipe, survey: Survey, index: str | None, *, parts: bool = True) -> Chart | None:
    """The chart of a survey; None where nothing is known.

    ``index``: the version of the index. ``parts``: also what the recipe says of its parts, the others included.
    """
    panels = [*_of_series(survey), *_of_files(survey), *(_of_parts(recipe, bool(survey.told_by)) if parts else ())]
    if not panels:
        return None
    version = f"version {recipe.version}" if recipe.version else "no version named"
    read = f"idc-index-data {index}" if INDEXED in survey.told_by and index else "as the recipe says"
    if survey.told_by - {INDEXED} and not parts:
        read = f"by {', '.join(sorted(survey.told_by))}" + (
            f", idc-index-data {index}" if INDEXED in survey.told_by else ""
        )
    name = recipe.name if recipe.name in (recipe.id, recipe.origin) else f"{recipe.name} ({recipe.id})"
    return Chart(name, f"{version}; {read}", _summary(recipe, survey), tuple(panels), tuple(_notes(survey)))


def _summary(recipe: Recipe, survey: Survey) -> str:
    series = sum(count.number for count in survey.modalities.values())
    files = survey.instances + sum(count.number for count in survey.kinds.values())
    told = [counted(len(survey.subjects), "subject")] if survey.subjects else []
    told += [f"{series:,} series"] if series else []
    told += [counted(files, "file")] if files else []
    size = survey.bytes or (0 if survey.told_by else recipe.size or 0)
    known = [value(size, BYTES)] if size else []
    unknown = [f"{survey.unknown_sizes:,} of unknown size"] if survey.unknown_sizes else []
    return ", ".join([*told, " and ".join([*known, *unknown]) or "size unknown"])


def _notes(survey: Survey) -> list[str]:
    notes = []
    if survey.unknown_sizes:
        notes.append(f"The sizes leave out the {survey.unknown_sizes:,} whose size is unknown.")
    if survey.silent and survey.told_by:
        notes.append(f"Not counted, for only its host tells: {', '.join(survey.silent)}.")
    return notes


def _of_series(survey: Survey) -> list[Bars]:
    if not survey.modalities:
        return []
    panels = [
        _counts("Series by modality", "modality", "series", survey.modalities),
        _bytes("Size by modality", "modality", survey.modalities),
    ]
    if survey.subjects:
        people = {name: len(count.subjects) for name, count in survey.modalities.items()}
        panels.append(_bars("Subjects by modality", "modality", "subjects", people, rest=False))
    panels.append(_histogram("Size of a series", "series", survey.series_sizes))
    if survey.subjects:
        each = Counter(step(size) for size in survey.subjects.values())
        panels.append(_histogram("Size per subject", "subjects", each))
    return [panel for panel in panels if panel.rows]


def _of_files(survey: Survey) -> list[Bars]:
    number = sum(count.number for count in survey.kinds.values())
    if not number:
        return []
    if number <= NAMED:
        sizes = {path: size for path, size in survey.files.items() if size}
        return [_bars("Size of each file", "file", BYTES, sizes)] if sizes else []
    panels = [_counts("Files by kind", "kind", "files", survey.kinds), _bytes("Size by kind", "kind", survey.kinds)]
    # A folder for each subject says nothing.
    folders = next((counts for counts in survey.folders if 1 < len(counts) <= ROWS), {})
    if folders:
        panels += [_counts("Files by folder", "folder", "files", folders), _bytes("Size by folder", "folder", folders)]
    panels.append(_histogram("Size of a file", "files", survey.file_sizes))
    return [panel for panel in panels if panel.rows]


def _of_parts(recipe: Recipe, more: bool) -> list[Bars]:
    sizes = {part.name: part.size for part in recipe.parts if part.size}
    if len(sizes) > 1 or (sizes and not more):
        return [_bars("Size by part", "part", BYTES, sizes)]
    return []


def _counts(title: str, by: str, unit: str, counts: Mapping[str, Count]) -> Bars:
    return _bars(title, by, unit, {name: count.number for name, count in counts.items()})


def _bytes(title: str, by: str, counts: Mapping[str, Count]) -> Bars:
    return _bars(title, by, BYTES, {name: count.bytes for name, count in counts.items() if count.bytes})


def _bars(title: str, by: str, unit: str, values: Mapping[str, int], *, rest: bool = True) -> Bars:
    """Largest first; ``rest``: the sum of those for which there is no room means something."""
    largest = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    rows: list[tuple[str, float | None]] = [*largest]
    if len(rows) > ROWS:
        others = largest[ROWS - 1 :]
        rows[ROWS - 1 :] = [(f"{len(others):,} others", sum(size for _, size in others) if rest else None)]
    return Bars(title, by, unit, tuple(rows))


def _histogram(title: str, unit: str, sizes: Counter[int]) -> Bars:
    """How many have which size: in steps of 1, 2, 5, or of powers of ten where those would be too many."""
    if not sizes:
        return Bars(title, "size", unit, ())
    width = 1 if max(sizes) - min(sizes) < STEPS_SHOWN else 3
    first, last = (at - at % width for at in (min(sizes), max(sizes)))
    rows = [
        (_between(STEPS[at], STEPS[at + width]), sum(sizes[at + more] for more in range(width)))
        for at in range(first, last + 1, width)
    ]
    return Bars(title, "size", unit, tuple(rows))


def _between(low: int, high: int) -> str:
    """``20–50 MB``, ``500 kB – 1 MB``."""
    words = [_round(size) for size in (low, high)]
    (first, unit), (last, other) = words
    return f"{first}–{last} {unit}" if unit == other else f"{first} {unit} – {last} {other}"


def _round(size: int) -> tuple[str, str]:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return str(size), unit
        size //= 1000
    return str(size), "TB"
