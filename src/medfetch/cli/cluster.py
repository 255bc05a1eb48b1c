"""``medfetch cluster``."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from medfetch import forecast, runner, schedulers, standing
from medfetch.cli.common import Session, with_session, with_wish
from medfetch.cli.wanted import wanted
from medfetch.config import Settings
from medfetch.errors import CacheError, UsageProblem
from medfetch.forecast import Load
from medfetch.planning import Plan
from medfetch.progress import amount, counted
from medfetch.schedulers import Array
from medfetch.types import Recipe
from medfetch.wishes import Wish

HOUR = 3600
MARGIN = 1.5
"""Of the expected time, so much is asked for: hosts are slower at times."""
LONGEST = 24
"""Hours that a task may take, where nobody says otherwise; most partitions let jobs run as long."""
MOST = 1000
"""Tasks: Slurm's MaxArraySize is 1001 unless a site says otherwise."""


@click.group("cluster")
def command() -> None:
    """Bulk downloads on clusters."""


@command.command("script")
@click.argument("names", nargs=-1)
@click.option("-r", "files", type=click.Path(path_type=Path), multiple=True, help="A list of datasets, text or YAML.")
@click.option("--scheduler", type=click.Choice([*schedulers.WRITERS]), required=True, help="Whom the jobs are for.")
@click.option("--tasks", type=click.IntRange(1), help="Tasks at once; as many as are of use, if not given.")
@click.option("--partition", "--queue", "queue", help="The partition or queue of nodes that reach the internet.")
@click.option("--account", help="The account or project that is charged.")
@click.option("--time", "clock", metavar="HOURS[:MINUTES]", help="That a task may take; as expected, up to 24 hours.")
@click.option("--jobs", help="Connections of each task at once; as many as help, if not given.")
@click.option("-o", "output", type=click.Path(path_type=Path), help="The file to write, in place of standard output.")
@with_session
@with_wish
def script(
    session: Session, wish: Wish, names: tuple[str, ...], files: tuple[Path, ...], scheduler: str, tasks: int | None,
    queue: str | None, account: str | None, clock: str | None, output: Path | None,
) -> None:  # fmt: skip
    """Write a job array that fetches datasets, to be read and changed before it is submitted. The plan is made now."""
    session.in_earnest("a job script")
    display, settings = session.display(), session.settings
    chosen = wanted(names, files, wish, settings)
    plans = [runner.make_plan(recipe, own, settings, display) for recipe, own in chosen]
    labels = [standing.label(recipe) for recipe, _ in chosen]
    size, notes = _size(plans, labels, _minutes(clock) if clock else None, tasks)
    get = _get(names, files, wish, settings)
    homes = [*map(_name, names), *(_home(recipe) for recipe, _ in chosen[len(names) :])]
    array = Array(
        name=re.sub(r"[^a-z0-9]+", "-", f"medfetch-{chosen[0][0].id}".lower())[:40].strip("-"),
        get=get,
        verify=(("medfetch", "status", *homes), (*get, "--offline"), ("medfetch", "verify", *homes)),
        environment=_environment(settings),
        path=str(Path(sys.executable).parent),
        queue=queue,
        account=account,
        **size,
    )
    text = schedulers.WRITERS[scheduler](array)
    for note in notes:
        session.note(note)
    content = {"tasks": array.tasks, "at_once": array.at_once, "seconds": array.seconds, "notes": notes}
    if output is None:
        session.out({**content, "script": text}, text.rstrip())
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CacheError(f"{output} cannot be written: {error.strerror}") from error
    how = "kubectl apply -f" if scheduler == "k8s" else "bash"
    session.out({**content, "file": str(output)}, f"{output}: read it, change it, and then: {how} {output}")


def _size(
    plans: list[Plan], labels: list[str], minutes: int | None, tasks: int | None
) -> tuple[dict[str, Any], list[str]]:
    """How many tasks, for how long, and what that comes from; and what of it a person should hear at once."""
    found = forecast.loads(plans)
    seconds = sum(load.seconds for load in found)
    asked = MARGIN * seconds
    useful = min(forecast.useful(found), sum(made.header["shards"] for made in plans))
    at_once = tasks or useful
    each = 60 * minutes if minutes else HOUR * min(LONGEST, max(1, math.ceil(asked / HOUR)))
    number = min(MOST, at_once * max(1, math.ceil(asked / each)))
    notes = _notes(found, useful, at_once)
    unknown = sum(made.totals["unknown_sizes"] for made in plans)
    about = [
        *(f"{label}: {amount(made.totals)}" for label, made in zip(labels, plans, strict=True)),
        *map(str, found),
        *([f"{counted(unknown, 'file')} of unknown size: it will take longer than is expected."] if unknown else []),
        f"Expected, if that is so: {_duration(seconds)}; asked for is half as much again. Whoever knows the rate better"
        " changes the time, and the number of tasks.",
        f"{counted(number, 'task')}, {at_once} at once, of {_duration(each)} each: what one does not end, others and"
        " those that come later go on with; those that find nothing left end at once.",
        *notes,
        "Where a user may have one job at a time, as on many data-transfer nodes: --tasks 1. One task with many"
        " connections does as well.",
    ]
    size = sum(made.totals["bytes"] for made in plans)
    return {"bytes": size, "tasks": number, "at_once": at_once, "seconds": each, "about": tuple(about)}, notes


def _environment(settings: Settings) -> dict[str, str]:
    """What jobs have to know of this one's settings; log-ins they find where this one did."""
    found = {"MEDFETCH_CACHE": str(settings.cache), "MEDFETCH_PROCESSES": str(schedulers.CORES)}
    if settings.recipes:
        found["MEDFETCH_RECIPES"] = os.pathsep.join(map(str, settings.recipes))
    for endpoint, address in sorted(settings.endpoints.items()):
        found[f"MEDFETCH_ENDPOINT_{endpoint.upper()}"] = address
    return found


def _notes(found: Iterable[Load], useful: int, at_once: int) -> list[str]:
    """What its hosts' limits mean for the number of nodes."""
    limits = ", ".join(f"{load.source} allows {load.connections} connections a site" for load in found)
    if useful == 1:
        return [f"{limits}: one node is enough, more would only wait for each other."]
    if at_once > useful:
        return [f"{limits}: more than {counted(useful, 'task')} at once are of no use."]
    return []


def _get(names: tuple[str, ...], files: tuple[Path, ...], wish: Wish, settings: Settings) -> tuple[str, ...]:
    """The same wish as a command, whatever folder it is begun in."""
    options = [word for file in files for word in ("-r", str(file.absolute()))]
    options += [f"--select={facet}={','.join(values)}" for facet, values in wish.selection.facets.items()]
    options += [f"--part={part}" for part in wish.parts]
    options += [f"--route={wish.route}"] * (wish.route is not None)
    options += [f"--limit={wish.selection.limit}"] * (wish.selection.limit is not None)
    options += [f"--jobs={settings.jobs}"] * (settings.jobs is not None)
    # What one dataset lacks is no reason to leave out the others.
    options += ["--keep-going"] * (len(names) > 1 or bool(files))
    return ("medfetch", "get", *map(_name, names), *options)


def _name(name: str) -> str:
    return str(Path(name).absolute()) if Path(name).is_file() else name


def _home(recipe: Recipe) -> str:
    """What names a dataset that was found in a list."""
    return recipe.origin if recipe.origin == recipe.name else recipe.id


def _minutes(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)(?::([0-5][0-9]))?(?::00)?", text)
    minutes = 60 * int(match[1]) + int(match[2] or 0) if match else 0
    if minutes < 5:
        raise UsageProblem(f"--time {text!r} is not HOURS[:MINUTES], of five minutes or more", hint="such as 12:00")
    return minutes


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return counted(minutes, "minute")
    hours = math.ceil(minutes / 60)
    return f"{hours} hours" if hours < 72 else f"{math.ceil(hours / 24)} days"
