"""``medfetch catalog``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from medfetch import catalog, page
from medfetch.charts import Chart
from medfetch.cli.common import Session, with_session
from medfetch.config import Settings
from medfetch.errors import CacheError, MedfetchError, Stopped, UsageProblem
from medfetch.page import content
from medfetch.types import Recipe, Verdict


@click.command("catalog")
@click.option("--html", type=click.Path(path_type=Path, file_okay=False), help="Write index.html into this folder.")
@click.option("--serve", is_flag=True, help="Show it with this machine's state, on loopback, until interrupted.")
@click.option("--port", type=click.IntRange(0, 65535), help="For --serve; else a free one is taken.")
@click.option("--check", is_flag=True, help="With --serve: ask the hosts first whether they would let you in.")
@with_session
def command(session: Session, html: Path | None, serve: bool, port: int | None, check: bool) -> None:
    """Make a page of all recipes to search, filter, compare and select, with the steps of access and the commands.

    With --json alone it prints what the page shows."""
    if serve and html:
        raise UsageProblem("--html writes a file, --serve shows a page", hint="choose one of them")
    if not serve and (port is not None or check):
        raise UsageProblem(f"{'--check' if check else '--port'} is for --serve", hint="medfetch catalog --serve")
    recipes = catalog.search(extra=session.settings.recipes)
    if serve:
        _serve(session, recipes, port or 0, check)
    elif html:
        _write(session, recipes, html.expanduser())
    elif session.json:
        session.out(content.of(recipes, holdings_of(recipes))[0], "")
    else:
        raise UsageProblem("a page, or a server?", hint="medfetch catalog --html DIR, or --serve")


def _write(session: Session, recipes: list[Recipe], folder: Path) -> None:
    try:
        path = page.write(content.of(recipes, holdings_of(recipes))[0], folder)
    except OSError as error:
        raise CacheError(f"{folder} cannot be written to: {error.strerror}") from error
    size = path.stat().st_size
    session.out({"page": str(path), "datasets": len(recipes), "bytes": size}, str(path))


def _serve(session: Session, recipes: list[Recipe], port: int, check: bool) -> None:
    # With it comes what looks into the cache, and the network.
    from medfetch.page.server import Server

    with session.reaching() as settings:
        verdicts = _ask(session, settings, recipes) if check else None
        holds = holdings_of(recipes)
        with (
            Server(port, lambda: page.render(_with_state(recipes, holds, settings, verdicts))) as server,
            suppress(Stopped),
        ):
            session.out({"address": server.address}, server.address)
            session.note("Ctrl-C ends it; whoever has this address sees what is on this machine, but no secret")
            server.serve_forever()
        session.note("ended")


def _ask(session: Session, settings: Settings, recipes: list[Recipe]) -> dict[str, Verdict]:
    if settings.offline:
        raise UsageProblem("--check asks the hosts", hint="leave out --offline")
    from medfetch import doors, rehearsal

    staged = [rehearsal.stage(recipe, settings).recipe for recipe in recipes]
    return doors.ask_all(staged, settings, session.note)


def holdings_of(recipes: list[Recipe]) -> dict[str, Chart]:
    """What there is of each dataset, where that is known without asking a host."""
    from medfetch import runner, survey
    from medfetch.charts import holdings

    found, index = {}, runner.index_version()
    for recipe in recipes:
        with suppress(MedfetchError):  # get, plan and recipe check say what is wrong with a route
            if chart := holdings.of(recipe, survey.of_recipe(recipe), index):
                found[recipe.id] = chart
    return found


def _with_state(
    recipes: list[Recipe], holds: dict[str, Chart], settings: Settings, verdicts: dict[str, Verdict] | None
) -> dict[str, Any]:
    from medfetch.page import machine

    shown, steps = content.of(recipes, holds)
    return {**shown, "machine": machine.look(recipes, steps, settings, verdicts)}
