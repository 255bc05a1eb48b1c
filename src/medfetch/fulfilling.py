"""From a plan to its receipt: everything in its place, by one run alone or by tasks side by side.

Alone, a run holds its home all the time. Tasks hold it one at a time, as they enter and as they leave: the first brings
plan, ledger and disk together, all work off shards, each of which one of them holds, and whoever leaves when all have
ended hands them over to the ledger and writes the receipt. It must not know how plans are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfetch import (
    admission,
    below,
    by_hand,
    cache,
    connections,
    durability,
    layers,
    leases,
    packs,
    pins,
    planning,
    presence,
    receipt,
    shares,
    sources,
    space,
    standing,
    storage,
)
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.engines import Engine, local
from medfetch.engines.feed import Feed, Queue, Tasks
from medfetch.errors import Incomplete, Unreachable
from medfetch.jobs import ShardJob
from medfetch.ledger import Ledger
from medfetch.permissions import Readers
from medfetch.planning import Plan, word
from medfetch.presence import Presence
from medfetch.progress import Display, Event, amount, counted, human
from medfetch.reconciling import reconcile
from medfetch.shares import Share
from medfetch.state import Shard
from medfetch.types import Recipe

if TYPE_CHECKING:
    from medfetch import taking

FAILURES = 20
"""So many files that could not be had are named."""
WORTH_FILES, WORTH_BYTES = 100, 100 * 10**6
"""Files, or bytes, for which a further process is started: for less it takes longer to start than to fetch them."""
SLOWEST = 32 * 1024
"""Bytes per second that each connection should have of a limited rate: slower ones are given up as stalled."""


@dataclass(slots=True)
class _Run:
    """What is to be done, and what was heard of it."""

    recipe: Recipe
    made: Plan
    settings: Settings
    display: Display
    given: Home | None = None
    """All of it is taken from there."""
    pack: str | None = None
    """Kept in archives of that format from now on."""
    refuses: taking.Refuses = lambda path, size: None
    engine: Engine = local
    failovers: list[Event] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    """The first of the files that could not be had: {path, reason}."""
    codes: set[int] = field(default_factory=set)
    """The exit codes that all of those stand for."""


def alone(
    recipe: Recipe, made: Plan, settings: Settings, display: Display, readers: Readers, *, given: Home | None = None,
    refuses: taking.Refuses = lambda path, size: None, pack: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Everything of a plan in its place, with nobody else at work in the home; returns the receipt.

    ``given``: all of it is taken from that home. ``refuses``: what the file system cannot hold (``taking``). ``pack``:
    the home is kept in archives of that format (``packs.FORMATS``) from now on; else as it was.
    Raises: UsageProblem, Incomplete, DiskFull, Unreachable, CacheError, Stopped.
    """
    if there := _there(recipe, made, settings, display):
        return there
    cache.prepare(made.home, readers)
    run = _Run(recipe, made, settings, display, given, pack, refuses)
    with readers.only(), presence.alone(made.home, display), closing(Ledger(made.home.ledger)) as ledger:
        tallies = _begin(run, ledger)
        if tallies["done"] == tallies["entries"] and (before := receipt.of_plan(made)):
            seal(made.home, settings, display)
            return before
        with storage.disk_errors(made.home.root), durability.writing(made.home):
            ledger.relax()
            if tallies["done"] < tallies["entries"]:
                try:
                    with presence.announced(made.home, made.id, None, shares.job()) as me:
                        _work_off_alone(run, tallies, me)
                finally:
                    tallies = reconcile(made, ledger, look=False, durable=False)
            if tallies["done"] < tallies["entries"]:
                raise _missing(run, tallies)
            return _seal(run, ledger)


def _there(recipe: Recipe, made: Plan, settings: Settings, display: Display) -> dict[str, Any] | None:
    """The receipt of what is used where it is, in a layer or a cache that may only be read."""
    if layers.is_layer(made.home, settings):
        return below.in_layer(recipe, made, display)
    return below.read_only(made)


def side_by_side(
    recipe: Recipe, made: Plan, settings: Settings, display: Display, readers: Readers, share: Share, engine: Engine,
    pack: str | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """A task's share of a plan, and what others leave; returns the receipt, or None while others are still at work.

    Raises: as ``alone``; Incomplete also where only this task met files that could not be had.
    """
    if there := _there(recipe, made, settings, display):
        return there
    cache.prepare(made.home, readers)
    run = _Run(recipe, made, settings, display, pack=pack, engine=engine)
    with readers.only(), ExitStack() as stay:
        # Runs of another plan write in the ledger when they end.
        with presence.entrance(made.home, display, lambda other: other.plan != made.id) as others:
            before = receipt.of_plan(made)
            if others:
                packs.check(made.home, pack)
                text = f"{standing.label(recipe)}: {amount(made.totals)}; task {share}; {presence.others(others)}"
                display.say("plan", {"dataset": recipe.id, "plan": made.id, **made.totals, "task": str(share)}, text)
            elif _open(run) and before:
                seal(made.home, settings, display)
                return before
            me = stay.enter_context(presence.announced(made.home, made.id, str(share), share.job))
        with storage.disk_errors(made.home.root), durability.writing(made.home):
            while True:
                _work_off_shared(run, share, me)
                with presence.entrance(made.home, display, lambda other: False) as present:
                    left = [path for path in made.shards if not planning.ended(path).exists()]
                    if not left:
                        return _close(run, before, last=len(present) == 1)
                    if all(_is_held(planning.lease(path)) for path in left):
                        break
        if run.failures:
            raise _incomplete(run, "some could not be had", run.failures, run.codes)
        rest = [other for other in present if other.path != me.lease.path]
        text = f"{standing.label(recipe)}: task {share} is done; {presence.others(rest)}"
        done = {"dataset": recipe.id, "task": str(share), "at_work": [other.summary() for other in rest]}
        display.say("done", done, text)
        return None


def _begin(run: _Run, ledger: Ledger) -> dict[str, int]:
    """Brings plan, ledger and disk together; the tallies of what there is. Nobody else is at work.

    Raises: Unreachable, DiskFull where the rest cannot be had.
    """
    made = run.made
    presence.clear(made.home)
    with storage.disk_errors(made.home.root):
        packs.begin(made.home, run.pack)
    tallies = reconcile(made, ledger)
    _compare(run)
    content = {"dataset": run.recipe.id, "plan": made.id, **made.totals, "files_here": tallies["files_here"]}
    here = f"; {counted(tallies['files_here'], 'file')} here" if tallies["files_here"] else ""
    pays = "; your account pays for the download" if made.costs else ""
    run.display.say("plan", content, f"{standing.label(run.recipe)}: {amount(made.totals)}{here}{pays}")
    if tallies["done"] < tallies["entries"]:
        homes = [run.given] if run.given else list(layers.homes(run.recipe, run.settings))
        tallies = below.take(
            run.recipe, made, ledger, homes, run.settings, run.display, tallies, run.refuses, final=bool(run.given)
        )
    if tallies["done"] < tallies["entries"]:
        if run.given:
            raise _missing(run, tallies)
        by_hand.check(run.recipe, made, run.settings)
        if run.settings.offline:
            raise Unreachable(f"{standing.label(run.recipe)} is not complete", hint="leave out --offline")
        space.check(run.recipe, made, tallies)
    return tallies


def _compare(run: _Run) -> None:
    """Raises: Incomplete where what is here is not what a lock says; it is left as it is."""
    made, found = run.made, []
    for count, each in enumerate(pins.differences(made.folder, made.home.ledger), 1):
        run.display.show(Event("failed", each.path, reason=str(each), code=4))
        if count <= FAILURES:
            found.append({"path": each.path, "reason": str(each)})
    if found:
        raise Incomplete(
            f"{standing.label(run.recipe)}: {counted(count, 'file')} here differ from what was locked: "
            f"{found[0]['path']}: {found[0]['reason']}",
            failures=found,
            exit_code=4,
            hint=f"they are left as they are: --cache DIR for another cache, or medfetch rm {run.recipe.id} first",
        )


def _is_held(lease: Path) -> bool:
    return leases.owner(lease) is not None and not leases.is_dead(lease)


def _open(run: _Run) -> bool:
    """The first of several tasks makes everything ready; whether nothing is missing."""
    with closing(Ledger(run.made.home.ledger)) as ledger:
        tallies = _begin(run, ledger)
    for path in run.made.shards:
        if planning.open_in(path)["entries"]:
            planning.ended(path).unlink(missing_ok=True)
        else:
            planning.ended(path).touch()
    return tallies["done"] == tallies["entries"]


def _close(run: _Run, before: dict[str, Any] | None, *, last: bool) -> dict[str, Any]:
    """Every shard has ended: into the ledger with them, and the receipt, unless another task has done so just now.

    Raises: Incomplete.
    """
    made = run.made
    presence.clear(made.home)
    with closing(Ledger(made.home.ledger)) as ledger:
        ledger.relax()
        tallies = reconcile(made, ledger, look=False, durable=False)
        if tallies["done"] < tallies["entries"]:
            raise _missing(run, tallies)
        now = receipt.of_plan(made)
        written = now if now and now != before else _seal(run, ledger)
    for path in made.shards if last else ():
        planning.ended(path).unlink(missing_ok=True)
    return written


def seal(home: Home, settings: Settings, display: Display) -> None:
    """What has come to a packed home goes into archives.

    Only while nobody else is at work there. Raises: IntegrityError, CacheError, DiskFull.
    """
    if packs.format_of(home) is None:
        return
    from medfetch import sealing  # zip and tar, which most homes do not need

    def tell(archives: int, size: int) -> None:
        what = counted(archives, "archive")
        display.say("packing", {"archives": archives, "bytes": size}, f"packing {what}, {human(size)}")

    with storage.disk_errors(home.root), durability.writing(home):
        sealing.seal(home, settings.reserve, tell, display.look)


def _seal(run: _Run, ledger: Ledger) -> dict[str, Any]:
    seal(run.made.home, run.settings, run.display)
    written = receipt_of(run.recipe, run.made, ledger, run.settings, run.failovers)
    # Before the last sync begins: whoever then changes a folder may have to wait for it.
    ledger.close()
    return written


def receipt_of(
    recipe: Recipe, made: Plan, ledger: Ledger, settings: Settings, failovers: list[Event]
) -> dict[str, Any]:
    """Writes the receipt of a plan of which all is there; returns it."""
    # Noted in the ledger now, so that nobody who asks for the status has to wait.
    ledger.count(made.token, made.shards)
    ledger.totals()
    parts = [part for part in recipe.parts if part.name in made.header["parts"]]
    return receipt.write(made, ledger, settings, failovers, standing.rests_on(recipe, parts, settings))


def _open_ways(recipe: Recipe, made: Plan, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The plan's ways without those that wait for a step, by part; the first of them was judged when it was planned."""
    found = dict(made.header["routes"])
    for part in (part for part in recipe.parts if part.name in made.header["routes"]):
        may = admission.ways(recipe, part, settings)
        closed = [word(way.source, way.locator, way.into) for way in part.routes if way not in may]
        first, *others = found[part.name]
        found[part.name] = [
            first, *(way for way in others if word(**way) not in closed)
        ]  # fmt: skip
    return found


def _jobs(run: _Run, numbers: list[int], files: int, size: int, *, shared: bool = False) -> list[ShardJob]:
    """One for each of these shards, in their order, with its part of the connections; ``files`` and ``size``: how much
    that is."""
    made, settings = run.made, run.settings
    routes = _open_ways(run.recipe, made, settings)
    worth = settings.processes
    if not made.totals["unknown_sizes"]:
        worth = 1 + max(files // WORTH_FILES, size // WORTH_BYTES)
    processes = min(settings.processes, len(numbers), worth)
    ways = [ways[0] for ways in routes.values()]
    borne = max(sources.traits(sources.get(way["source"]), way["locator"]).connections for way in ways)
    if settings.limit_rate:
        borne = min(borne, settings.limit_rate // SLOWEST)
    # More connections than a host bears would only wait for each other.
    most = max(1, min(settings.jobs or connections.MOST, borne) // processes)
    start = most if settings.jobs else min(most, connections.START)
    told = replace(settings, processes=processes)
    return [
        ShardJob(made.home, made.id, number, "", start, most, told, routes, made.header["archives"], shared)
        for number in numbers
    ]  # fmt: skip


def _work_off_alone(run: _Run, tallies: Mapping[str, int], me: Presence) -> None:
    open_in = {number: planning.open_in(path) for number, path in enumerate(run.made.shards)}
    # The largest first, so that all processes end at about the same time.
    order = sorted(open_in, key=lambda number: (open_in[number]["bytes"], open_in[number]["files"]), reverse=True)
    files, size = (sum(each[what] for each in open_in.values()) for what in ("files", "bytes"))
    jobs = _jobs(run, [number for number in order if open_in[number]["entries"]], files, size)
    _work_off(run, Queue(jobs), jobs[0].settings.processes, tallies, me)


def _work_off_shared(run: _Run, share: Share, me: Presence) -> None:
    """This task's share, and then what others leave; returns when all that is left is held by somebody who lives."""
    made = run.made
    sizes, owners = made.sizes, shares.cut(made.sizes, share.of)
    left = [number for number, path in enumerate(made.shards) if not planning.ended(path).exists()]
    if not left:
        return
    left.sort(key=lambda number: (sizes[number][1], sizes[number][0]), reverse=True)
    by_share: list[list[ShardJob]] = [[] for _ in range(share.of)]
    files, size = (sum(sizes[number][what] for number in left) for what in (0, 1))
    jobs = _jobs(run, left, files // share.of, size // share.of, shared=True)
    for job in jobs:
        by_share[(owners[job.number] - share.number) % share.of].append(job)
    _work_off(run, Tasks(by_share), jobs[0].settings.processes, {}, me)


def _work_off(run: _Run, feed: Feed, processes: int, tallies: Mapping[str, int], me: Presence) -> None:
    def show(event: Event) -> None:
        me.hear(event)
        if event.kind == "failover":
            run.failovers.append(event)
        elif event.kind == "failed":
            run.codes.add(event.code)
            if len(run.failures) < FAILURES:
                run.failures.append({"path": event.path, "reason": event.reason})
        run.display.show(event)

    def look(shards: list[int]) -> None:
        me.look(shards)
        run.display.look()

    run.display.start(run.made.header["dataset"], {**run.made.totals, **tallies})
    try:
        run.engine.run(feed, processes, show, look)
    finally:
        run.display.stop()


def _missing(run: _Run, tallies: Mapping[str, int]) -> Incomplete:
    """What is said where nobody else is at work and not all is here."""
    failures: list[dict[str, Any]] = []
    codes: set[int] = set()
    for path in run.made.shards:
        with closing(Shard(path, watching=True)) as shard:
            for entry, reason, code in shard.failures(FAILURES):
                codes.add(code)
                failures.append({"path": entry, "reason": reason})
    missing = tallies["entries"] - tallies["done"]
    return _incomplete(run, f"{missing} of {tallies['entries']} could not be had", failures, codes)


def _incomplete(run: _Run, what: str, failures: list[dict[str, Any]], codes: set[int]) -> Incomplete:
    # Wrong bytes are the gravest; "no host answered" is said only where that was all.
    code = 4 if 4 in codes else 6 if codes == {6} else 1
    first = f": {failures[0]['path']}: {failures[0]['reason']}" if failures else ""
    return Incomplete(
        f"{standing.label(run.recipe)}: {what}{first}",
        failures=failures[:FAILURES],
        exit_code=code,
        hint=f"the rest is kept; the same command goes on from there{by_hand.or_there(run.recipe, run.made)}",
    )
