"""``medfetch recipe``."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path

import click

from medfetch import __version__, catalog, dois, recipe_folders
from medfetch.cli.common import Session, with_session
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.recipe_schema import schema
from medfetch.types import Recipe


@click.group("recipe")
def command() -> None:
    """Check recipes, rehearse them, ask the hosts whether they are still true, begin new ones, fetch newer ones."""


@command.command("check")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@with_session
def check(session: Session, paths: tuple[Path, ...]) -> None:
    """Check recipe files, or all built-in ones, without the network; exit 2 where something is wrong."""
    problems = 0
    for problem in catalog.check(paths or (recipe_folders.builtin(),)):
        problems += 1
        where = f"{problem.file}:{problem.line}:{problem.column}"
        hint = f" ({problem.hint})" if problem.hint else ""
        content = dataclasses.asdict(problem) | {"file": str(problem.file)}
        session.out(content, f"{where}: {problem.field}: {problem.message}{hint}")
    if problems:
        session.note(f"{problems} problems")
        sys.exit(2)
    session.note("no problems")


@command.command("probe")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All recipes.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a report; - to print it.")
@click.option(
    "--slow", type=click.FloatRange(min=0), metavar="SECONDS", help="An answer that takes longer is slow (30)."
)
@with_session
def probe(
    session: Session, names: tuple[str, ...], everything: bool, markdown: Path | None, slow: float | None
) -> None:
    """Ask the hosts whether recipes are still true: addresses, sizes, digests, licences, gates. No file is fetched.

    Exit 0 if all is ok or not checkable; 1 if anything is gone, changed, gated, moved, unreachable, slow, or behind
    a check for robots.
    """
    if markdown and session.json:
        raise UsageProblem("--json and --markdown are two formats", hint="choose one of them")
    if everything == bool(names):
        raise UsageProblem("expected either names or --all", hint="medfetch recipe probe NAME…, or … --all")
    # With it comes the network.
    from medfetch import probe as probing
    from medfetch.probe import report

    findings = []
    with session.reaching() as settings:
        if settings.offline:
            raise UsageProblem("a probe asks the hosts", hint="leave out --offline")
        recipes = _recipes(names, settings)
        for finding in probing.probe(recipes, settings, session.note, slow=probing.SLOW if slow is None else slow):
            findings.append(finding)
            if session.json:
                session.out({"event": "finding", **finding.as_dict()}, "")
            elif session.verbose:
                session.note(f"{finding.dataset}, {finding.what}: {finding.outcome}")
    fine = probing.all_fine(findings)
    if session.json:
        session.out({"event": "summary", "ok": fine, "counts": report.counted(findings)}, "")
    elif markdown:
        page = report.markdown(findings, f"medfetch {__version__}")
        if str(markdown) == "-":
            click.echo(page, nl=False)
        else:
            try:
                markdown.write_text(page, encoding="utf-8")
            except OSError as error:
                raise UsageProblem(f"{markdown} cannot be written: {error.strerror}") from error
            session.note(report.summary(findings))
    else:
        for line in report.text(findings, everything=bool(session.verbose)):
            click.echo(line)
    if not fine:
        sys.exit(1)


def _recipes(names: tuple[str, ...], settings: Settings) -> list[Recipe]:
    """Those that are named, or all."""
    return catalog.search(extra=settings.recipes) if not names else [dois.load(name, settings) for name in names]


@command.command("rehearse")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All recipes.")
@click.option("--all-parts", is_flag=True, help="The parts too that are only fetched when asked for by name.")
@with_session
def rehearse(session: Session, names: tuple[str, ...], everything: bool, all_parts: bool) -> None:
    """Go through recipes from plan to receipt, by each of their routes, against a stand-in that has what they want.

    Nobody's cache, agreements and secrets are touched. Exit 1 if something that a program fetches is not complete and
    verified by each route, or if nobody says what a person has to do for the rest.
    """
    if everything == bool(names):
        raise UsageProblem("expected either names or --all", hint="medfetch recipe rehearse NAME…, or … --all")
    from medfetch.cli import rehearse as table

    if table.show(session, _recipes(names, session.settings), all_parts):
        sys.exit(1)


@command.command("new")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="A new file, or a folder for it.")
@with_session
def new(session: Session, name: str, output: Path | None) -> None:
    """Begin a recipe for SOURCE:LOCATOR, an address or a doi:, from what its host says; the rest is listed as unknown.

    It is printed, or written to a file that is not there yet; there, the file's name is the id.
    """
    recipe_id = None
    if output and not output.is_dir():
        recipe_id = output.stem
        if output.exists():
            raise UsageProblem(f"{output} is there already, and is left as it is", hint="choose another name")
        if output.suffix not in (".yaml", ".yml") or not re.fullmatch(schema()["$defs"]["id"]["pattern"], recipe_id):
            raise UsageProblem(f"{output.name!r} is no name for a recipe", hint="such as my-dataset.yaml: it is the id")
    from medfetch import drafts

    with session.reaching() as settings:
        recipe = dois.load(name, settings)
        if recipe.name != recipe.origin:
            raise UsageProblem(f"there is a recipe already: {recipe.id}", hint=f"medfetch info {recipe.id}")
        made = drafts.draft(recipe, settings, session.note, recipe_id=recipe_id)
    if output is None:
        click.echo(made.text, nl=False)
        return
    path = output / f"{made.id}.yaml" if output.is_dir() else output
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(made.text)
    except FileExistsError:
        raise UsageProblem(f"{path} is there already, and is left as it is", hint="choose another name") from None
    except OSError as error:
        raise UsageProblem(f"{path} cannot be written: {error.strerror}") from error
    session.out({"event": "draft", "path": str(path), "unknown": list(made.unknown)}, str(path))
    session.note(f"not told, and listed as unknown: {', '.join(made.unknown)}")
    for problem in catalog.check([path]):
        session.note(f"{path}:{problem.line}: {problem.field}: {problem.message}")


@command.command("update")
@click.option("--from", "address", metavar="URL|DIR", help="An index (https, or a file), a folder, or a repository.")
@click.option("--commit", metavar="ID", help="Of a git repository: the recipes as they were at this commit.")
@click.option("--rollback", is_flag=True, help="Go back to the recipes before the last update.")
@click.option("--reset", is_flag=True, help="Go back to the recipes that came with medfetch, and forget all updates.")
@with_session
def update(session: Session, address: str | None, commit: str | None, rollback: bool, reset: bool) -> None:
    """Fetch newer recipes, without a newer medfetch: from the signed index that the settings name, or from elsewhere.

    They are checked, and then go before those that came with medfetch and behind your own. Exit 4 for a signature that
    is not right, and for recipes older than were here before: then nothing is changed.
    """
    session.in_earnest("recipe update")
    if rollback + reset + bool(address or commit) > 1:
        raise UsageProblem("--rollback, --reset, and --from are three things", hint="choose one of them")
    # With it comes the network.
    from medfetch.updates import installing, obtaining

    if rollback or reset:
        outcome = (installing.rollback if rollback else installing.reset)(session.settings)
    else:
        outcome = installing.install(obtaining.obtain(address, commit, session.settings), session.settings)
    told = [f"{len(ids)} {word}: {', '.join(ids)}" for word, ids in outcome.differences.items() if ids]
    whose = "those that came with medfetch" if outcome.builtin else f"from {outcome.origin}"
    session.out(outcome.as_dict(), "\n".join([f"recipes number {outcome.number}, {whose}", *told]))
    for problem in outcome.left_out:
        session.note(f"left out: {problem.file}: {problem.field}: {problem.message}")
    if outcome.left_out:
        session.note("of these, what was there before counts; a newer medfetch may know them")
