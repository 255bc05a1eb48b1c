"""``medfetch access``."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterator

import click

from medfetch import catalog, dois, standing
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.standing import Overview, Prospect, Standing
from medfetch.types import Door, Recipe, Verdict

WIDE = 80
COLUMNS = {
    "step": "step", "kind": "kind", "do": "what to do", "at": "where", "wait": "usual wait", "sign": "who signs",
    "lapses": "good for", "state": "state", "said": "why", "after": "after", "opens": "datasets",
}  # fmt: skip
IN_MARKDOWN = ("step", "do", "at", "wait", "sign", "lapses", "state", "opens")


@click.command("access")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@click.option("--all", "everything", is_flag=True, help="Of all recipes.")
@click.option("--check", is_flag=True, help="Ask the hosts whether they would let you in.")
@click.option("--csv", "as_csv", is_flag=True, help="A table for a spreadsheet.")
@click.option("--markdown", is_flag=True, help="A table for a data management plan or an ethics form.")
@with_session
def command(
    session: Session, names: tuple[str, ...], everything: bool, check: bool, as_csv: bool, markdown: bool
) -> None:
    """Show what has to be requested, where, how long it takes, and which of it is done: each step once, in order."""
    if as_csv + markdown + session.json > 1:
        raise UsageProblem("--json, --csv and --markdown are three formats", hint="choose one of them")
    verdicts: dict[str, Verdict] = {}
    with session.reaching() as settings:
        recipes = _recipes(settings, names, everything)
        if check:
            if settings.offline:
                raise UsageProblem("--check asks the hosts", hint="leave out --offline")
            # With it comes the network.
            from medfetch import doors, rehearsal

            recipes = [rehearsal.stage(recipe, settings).recipe for recipe in recipes]
            verdicts = doors.ask_all(recipes, settings, session.note)
        overview = standing.overview(recipes, settings, verdicts)
    if session.json:
        for number, each in enumerate(overview.steps, 1):
            session.out({"event": "step", "number": number, **each.as_dict()}, "")
        for dataset in overview.datasets:
            session.out({"event": "dataset", **_content(dataset)}, "")
        return
    click.echo(_csv(overview) if as_csv else _markdown(overview) if markdown else _text(overview), nl=False)


def _recipes(settings: Settings, names: tuple[str, ...], everything: bool) -> list[Recipe]:
    if everything and names:
        raise UsageProblem("--all is all recipes, and some are named, too", hint="leave out one of them")
    if everything:
        return catalog.search(extra=settings.recipes)
    if not names:
        raise UsageProblem("no dataset was named", hint="medfetch access --all is about all of them")
    return [dois.load(name, settings) for name in names]


def _content(dataset: Prospect) -> dict[str, object]:
    verdict = dataset.verdict
    return {
        "dataset": dataset.dataset, "steps": list(dataset.steps), "to_take": list(dataset.to_take),
        "note": dataset.note or None, "further": list(dataset.further),
        "host": verdict and {"says": verdict.door.value, "means": verdict.said, "at": verdict.at},
    }  # fmt: skip


def _text(overview: Overview) -> str:
    lines = []
    if overview.steps:
        lines.append(f"{'#':>3}  {'step':<34} {'state':<9} usual wait")
    for number, each in enumerate(overview.steps, 1):
        lines += _step(number, each)
    lines += ["", "datasets"] if lines else []
    for dataset in overview.datasets:
        lines += _filled(f"{dataset.label}: {_prospect(dataset)}", "  ", "      ")
        if dataset.verdict:
            lines += _filled(f"the host says: {dataset.verdict.door}. {dataset.verdict.said}", "      ")
            lines += [f"      {dataset.verdict.at}"] if dataset.verdict.at else []
    return "\n".join(lines) + "\n"


def _step(number: int, each: Standing) -> Iterator[str]:
    wait = each.step.wait or "unknown"
    first = f"{number:>3}  {each.step.name:<34} {each.state:<9} "
    yield first + wait if len(first + wait) <= WIDE else f"{first}(below)"
    yield from _filled(each.step.do)
    # On a line of its own: an address that is broken leads nowhere.
    yield f"     {each.step.at or 'where: unknown'}"
    if len(first + wait) > WIDE:
        yield from _filled(f"usual wait: {wait}")
    if each.step.sign:
        yield from _filled(f"must sign: {each.step.sign}")
    if each.step.lapses:
        yield from _filled(f"good for: {each.step.lapses}")
    if each.said:
        yield from _filled(f"{each.state}: {each.said}")
    yield from _filled(f"for: {', '.join(each.opens)}")


def _filled(text: str, first: str = "     ", others: str | None = None) -> list[str]:
    others = first if others is None else others
    return textwrap.wrap(
        text, WIDE, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _prospect(dataset: Prospect) -> str:
    shut = dataset.verdict is not None and dataset.verdict.door != Door.OPEN
    if dataset.to_take:
        done = f"still to take: {', '.join(dataset.to_take)}"
    elif shut:
        done = "no step is known to be missing"
    elif dataset.steps:
        done = "nothing more to do"
    else:
        done = "" if dataset.note else "needs nothing"
    further = f"further steps for {', '.join(f'--part {name}' for name in dataset.further)}" if dataset.further else ""
    return "; ".join(text for text in (done, dataset.note, further) if text)


def _rows(overview: Overview) -> Iterator[dict[str, str]]:
    for each in overview.steps:
        content = each.as_dict()
        lists = {"step": each.step.name, "after": ", ".join(each.step.after), "opens": ", ".join(each.opens)}
        yield {column: str({**content, **lists}[column]) for column in COLUMNS}


def _csv(overview: Overview) -> str:
    """Steps, then the datasets that have none: a table in which they were missing would not tell that."""
    out = io.StringIO()
    table = csv.DictWriter(out, ["number", *COLUMNS], restval="", lineterminator="\n")
    table.writer.writerow(["number", *COLUMNS.values()])
    table.writerows({"number": number, **row} for number, row in enumerate(_rows(overview), 1))
    table.writerows({"do": _prospect(each), "opens": each.label} for each in overview.datasets if not each.steps)
    return out.getvalue()


def _markdown(overview: Overview) -> str:
    lines = []
    if overview.steps:
        head = ["#", *(COLUMNS[column] for column in IN_MARKDOWN)]
        lines = [_row(head), _row(["---"] * len(head))]
    for number, row in enumerate(_rows(overview), 1):
        cells = {**row, "at": f"<{row['at']}>" if "://" in row["at"] else row["at"]}
        lines.append(_row([str(number), *(cells[column].replace("|", "\\|") for column in IN_MARKDOWN)]))
    without = [
        f"- {each.label}: {_prospect(each)}"
        for each in overview.datasets
        if not each.steps or each.note or each.further
    ]
    return "\n".join([*lines, *([""] if lines and without else []), *without]) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()) for cell in cells)} |"
