"""``medfetch status``."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from medfetch import cache, catalog, database, dois, journal, layers, standing, upkeep
from medfetch.cache import Home
from medfetch.charts import course
from medfetch.cli import completion, plots
from medfetch.cli.common import Session, with_session
from medfetch.config import Settings
from medfetch.errors import MedfetchError, UsageProblem
from medfetch.progress import counted, human
from medfetch.types import Recipe

IN_TERMINAL, IN_PICTURE = 20, 120
"""Bars over time."""


@click.command("status")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@plots.option("Also how runs went: rate, failures and retries by time.")
@with_session
def command(session: Session, names: tuple[str, ...], plot: Path | None) -> None:
    """Show what is in the cache: complete, partial (and what is missing), stale; which runs are at work on it, on any
    machine; and agreements that have lapsed."""
    settings = session.resting
    if names:
        recipes = [dois.load(name, settings) for name in names]
        found: list[tuple[str, Home, Recipe | None]] = [(r.id, layers.where(r, settings), r) for r in recipes]
    else:
        homes = [home for folder in (settings.cache, *settings.cache_layers) for home in cache.homes(folder)]
        found = [(home.root.parent.name, home, _known(home.root.parent.name, settings)) for home in homes]
    for name, home, recipe in found:
        content = _status(home, recipe, settings)
        if content is None:
            session.out({"dataset": name, "state": "absent"}, f"{name}: not in the cache")
            continue
        what = f"{content['state']}, {counted(content['files'], 'file')}, {human(content['bytes'])}"
        below = " (a layer, which is only read)" if content["layer"] else ""
        packed = f", in {content['packed']} archives," if content["packed"] else ""
        lines = [f"{name}: {what}{packed} in {home.root}{below}"]
        for each in content["plans"]:
            asked = ", ".join(f"{facet}={','.join(values)}" for facet, values in each["select"].items()) or "everything"
            stale = f"; stale: {each['stale']} (get --refresh)" if each["stale"] else ""
            here = counted(each["files_here"], "file")
            left = human(each["bytes"] - each["bytes_done"])
            some = f"{here} here, {each['missing']:,} of {each['entries']:,} series or files missing ({left})"
            missing = some if each["missing"] else "nothing missing"
            lines.append(f"  {'+'.join(each['parts'])}, {asked}: {each['state']}, {missing}{stale}")
            lines += [f"    {failure}" for failure in each["failures"]]
        lines += [_line(run) for run in content["runs"]]
        over = standing.lapsed(name, recipe, settings)
        lines += [f"  lapsed on {each.expires}: {each.step} (medfetch agree {name})" for each in over]
        content["lapsed"] = [{"step": each.step, "expires": each.expires} for each in over]
        session.out({"dataset": name, **content}, "\n".join(lines))
        if plot:
            _plot(session, name, home, recipe, plot, several=len(found) > 1)


def _plot(session: Session, name: str, home: Home, recipe: Recipe | None, plot: Path, *, several: bool) -> None:
    version = recipe.version if recipe else home.root.name
    bars = IN_TERMINAL if plot == plots.TERMINAL else IN_PICTURE
    chart = course.of(name, version, journal.read(home), bars)
    nothing = f"{name}: no journal of a run is kept"
    if several and chart is None:
        session.note(nothing)
        return
    file = plots.of_several(plot, name, several)
    plots.show(session, file, name, chart, UsageProblem(nothing, hint="medfetch get writes one"))


def _line(run: dict[str, Any]) -> str:
    """A run that is at work, or died at it: who, where, since when, how fast, on what."""
    who = f"task {run['task']}" if run["task"] else "a run"
    job = f", job {run['job']}" if run["job"] else ""
    if not run["alive"]:
        return f"  dead: {who} on {run['host']} (process {run['pid']}{job}), silent for {run['silent']:.0f} s"
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(run["since"]))
    rate = f", {human(run['rate'])}/s" if run["rate"] is not None else ""
    shards = f", {counted(len(run['shards']), 'shard')} in work" if run["shards"] is not None else ""
    done = f"{counted(run['files'], 'file')}, {human(run['bytes'])}{rate}{shards}"
    return f"  at work: {who} on {run['host']} (process {run['pid']}{job}) since {since}: {done}"


def _status(home: Home, recipe: Recipe | None, settings: Settings) -> dict[str, Any] | None:
    """None where nothing is there, or nothing of a layer that can be read."""
    if not layers.is_layer(home, settings):
        return {**upkeep.status(home, recipe), "layer": None} if cache.is_there(home) else None
    with suppress(*layers.UNREADABLE), database.untouched(home.root):
        return {**upkeep.look(home, recipe), "layer": str(home.cache)}
    return None


def _known(name: str, settings: Settings) -> Recipe | None:
    try:
        return catalog.load(name, settings.recipes)
    except MedfetchError:
        return None
