"""``medfetch get``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

from medfetch import admission, by_hand, exports, runner, shares, standing, upkeep
from medfetch.cli import completion, links
from medfetch.cli.common import Session, tell, with_session, with_wish
from medfetch.cli.wanted import in_export, wanted
from medfetch.config import Settings
from medfetch.engines import Engine, early, local, pools
from medfetch.engines.dask import Dask
from medfetch.engines.pools import Pool
from medfetch.errors import AccessRequired, MedfetchError, UsageProblem
from medfetch.packs import FORMATS
from medfetch.planning import Plan
from medfetch.progress import Display, counted, human
from medfetch.shares import Share
from medfetch.types import Recipe
from medfetch.wishes import Wish


class _Command(click.Command):
    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        # Its value is optional, and whatever follows it else would be taken for that.
        return super().parse_args(context, ["--pack=zip" if each == "--pack" else each for each in arguments])


@click.command("get", cls=_Command)
@click.argument("names", nargs=-1, shell_complete=completion.names)
@click.option("-r", "files", type=click.Path(path_type=Path), multiple=True, help="A list of datasets, text or YAML.")
@links.option
@click.option("--sha256", help="The digest that a plain http(s) address must have.")
@click.option("--jobs", help="Connections at once; as many as help, if not given.")
@click.option("--limit-rate", help="Bytes per second, such as 20M.")
@click.option("--no-unpack", is_flag=True, help="Leave archives as they are.")
@click.option("--keep-archives", is_flag=True, help="Unpack archives and keep them too.")
@click.option("--keep-going", is_flag=True, help="Of several datasets, fetch those that can be had.")
@click.option(
    "--shard", metavar="I/N|auto[/N]", help="Task I (from 0) of N that share the work; auto: as the scheduler tells."
)
@click.option(
    "--dask", metavar="ADDRESS|local|slurm|pbs|lsf|sge", help="Work on the workers of a Dask scheduler, or on new ones."
)
@click.option("--workers", metavar="N|MIN-MAX", help="With --dask: how many, or a range in which they come and go.")
@click.option(
    "--pack",
    type=click.Choice(FORMATS),
    metavar="[=zip|tar]",
    help="Keep the dataset in few uncompressed archives; zip, if neither is said.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Also place the files in this folder.")
@click.option(
    "--from", "export", type=click.Path(path_type=Path), help="From what medfetch export has made; asks no host."
)
@click.option(
    "--locked", "lock", type=click.Path(path_type=Path), help="Exactly what a lock pins: all of it, or what is named."
)
@with_session
@with_wish
def command(
    session: Session, wish: Wish, names: tuple[str, ...], files: tuple[Path, ...], sha256: str | None,
    mail: TextIO | None, no_unpack: bool, keep_archives: bool, keep_going: bool, shard: str | None,
    dask: str | None, workers: str | None, pack: str | None, to: Path | None, export: Path | None, lock: Path | None,
) -> None:  # fmt: skip
    """Fetch datasets. The same command again goes on from where it ended, and asks nothing if all is there."""
    archives = "as-is" if no_unpack else "keep" if keep_archives else "unpack"
    wish = replace(wish, archives=archives, own=bool(to or pack), pack=pack)
    share = shares.parse(shard) if shard is not None else None
    pool = _pool(session, share, mail, dask, workers)
    if share and wish.refresh:
        raise UsageProblem(
            "--refresh is for one run, not for each task", hint="medfetch plan --refresh, and then get --shard"
        )
    if (share or pool) and export is not None:
        raise UsageProblem(
            "--from takes all that is there in one run", hint=f"leave out {'--shard' if share else '--dask'}"
        )
    if lock and (files or sha256 or export or replace(wish, own=False, pack=None) != Wish()):
        raise UsageProblem("the lock says what is fetched, and how", hint="with --locked only names choose some of it")
    if not pool and export is None:
        # Now, before there is any thread; most runs take no more of them.
        click.get_current_context().with_resource(early.workers(min(2, session.settings.processes)))
    display = session.display()
    problems: list[MedfetchError] = []
    if export is not None:
        _get_from(session, wish, names, files, session.inside(export), display, to, keep_going)
        return
    with session.reaching() as settings:
        chosen = []
        refused: list[AccessRequired] = []
        asked = _locked(lock, names, wish, settings) if lock else wanted(names, files, wish, settings, sha256)
        for recipe, own, told in links.given(mail, asked, settings, display):
            # All plans before the first byte: a requirement that is not met is told before a night's download.
            try:
                if refused and not keep_going:
                    runner.check(recipe, own, told, display)
                    continue
                made = runner.make_plan(recipe, own, told, display)
                by_hand.look(recipe, made, told, display, runner.readers_of(recipe, told))
                chosen.append((recipe, replace(own, refresh=False), told))
            except AccessRequired as error:
                refused.append(error)
            except MedfetchError as error:
                if not keep_going:
                    raise
                problems.append(error)
        if refused and not keep_going:
            raise admission.together(refused)
        problems += refused
        with _engine(pool) as engine:
            for recipe, own, told in chosen:
                try:
                    _get_one(session, recipe, own, told, display, share, engine, to)
                except MedfetchError as error:
                    if not keep_going or error.exit_code in (5, 75, 130, 143):
                        raise
                    problems.append(error)
    for problem in problems[:-1]:
        tell(problem, session.json)
    if problems:
        raise problems[-1]


def _locked(lock: Path, names: tuple[str, ...], wish: Wish, settings: Settings) -> list[tuple[Recipe, Wish]]:
    from medfetch.locks import using  # few runs have a lock

    asked = using.wanted(lock, names, settings)
    return [(recipe, replace(own, own=own.own or wish.own, pack=wish.pack)) for recipe, own in asked]


def _get_from(
    session: Session, wish: Wish, names: tuple[str, ...], files: tuple[Path, ...], export: Path, display: Display,
    to: Path | None, keep_going: bool,
) -> None:  # fmt: skip
    """What is in an export."""
    settings = session.resting
    problems: list[MedfetchError] = []
    refused: list[AccessRequired] = []
    chosen = []
    for recipe, own in in_export(names, files, wish, settings, export):
        try:
            exports.check(recipe, own, export, settings)
            chosen.append((recipe, own))
        except AccessRequired as error:
            refused.append(error)
    if refused and not keep_going:
        raise admission.together(refused)
    problems += refused
    for recipe, own in chosen:
        try:
            for made, receipt in exports.take_in(recipe, own, export, settings, display):
                _place(session, recipe, made, settings, to)
                _tell(session, recipe, own, receipt, display)
        except MedfetchError as error:
            if not keep_going or error.exit_code in (5, 75, 130, 143):
                raise
            problems.append(error)
    for problem in problems[:-1]:
        tell(problem, session.json)
    if problems:
        raise problems[-1]


def _pool(
    session: Session, share: Share | None, mail: TextIO | None, dask: str | None, workers: str | None
) -> Pool | None:
    """The workers that --dask means. Raises: UsageProblem, MedfetchError where Dask is not installed."""
    if dask is None:
        if workers is not None:
            raise UsageProblem("--workers is for --dask")
        return None
    if share:
        raise UsageProblem("--shard and --dask are two ways to share the work", hint="choose one of them")
    if mail:
        raise UsageProblem("links of a mail are not sent to Dask's workers", hint="leave out --dask")
    return pools.pool(dask, workers, session.resting.cache)


@contextmanager
def _engine(pool: Pool | None) -> Iterator[Engine]:
    if pool is None:
        yield local
        return
    with closing(Dask(pool)) as engine:
        yield engine


def _get_one(
    session: Session, recipe: Recipe, wish: Wish, settings: Settings, display: Display, share: Share | None,
    engine: Engine, to: Path | None,
) -> None:  # fmt: skip
    if isinstance(engine, Dask):
        # Others may help, too; and each worker has as many connections as it can use, unless their number is given.
        share, settings = Share(0, 1, shares.job()), replace(settings, processes=engine.processes(settings.jobs))
    receipt: dict[str, Any] | None = runner.get(recipe, wish, settings, display, share, engine)
    if receipt is None:
        return
    if to is not None:
        _place(session, recipe, runner.make_plan(recipe, wish, settings, display), settings, to)
    _tell(session, recipe, wish, receipt, display)


def _place(session: Session, recipe: Recipe, made: Plan, settings: Settings, to: Path | None) -> None:
    if to is not None:
        count = upkeep.copy_to(made, to, runner.readers_of(recipe, settings))
        session.note(f"{count:,} files placed in {to}")


def _tell(session: Session, recipe: Recipe, wish: Wish, receipt: dict[str, Any], display: Display) -> None:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in receipt["assurance"].items())
    display.say(
        "receipt",
        receipt,
        f"{standing.label(recipe)}: complete, {counted(receipt['files'], 'file')}, {human(receipt['bytes'])} ({kinds})",
    )
    for each in recipe.unknown if recipe.name == recipe.origin else ():
        session.note(f"not had: {each}")
    others = [part.name for part in recipe.parts if part.name not in receipt["parts"]]
    if others and not wish.parts:
        session.note(f"not fetched: {', '.join(others)} (--part NAME)")
    if not session.json:
        click.echo(receipt["path"])
