"""The Python side: what ``import medfetch`` offers. The command line is a thin skin over the same runner."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from medfetch import (
    agreements,
    config,
    dois,
    doors,
    exports,
    mail,
    permissions,
    rehearsal,
    requirements,
    runner,
    standing,
    wishes,
)
from medfetch.agreements import Agreement
from medfetch.config import Settings
from medfetch.errors import UsageProblem
from medfetch.locks import using
from medfetch.packs import FORMATS
from medfetch.planning import Plan
from medfetch.progress import Calling, Cancelling, Display, Terminal
from medfetch.sandboxed import sandboxed
from medfetch.standing import Overview
from medfetch.types import Recipe, Selection
from medfetch.wishes import Wish

Select = Mapping[str, str | Iterable[str]]
Progress = bool | Callable[[dict[str, Any]], None]


def get(
    name: str | Recipe,
    *,
    select: Select | None = None,
    part: str | Iterable[str] = (),
    route: str | None = None,
    limit: int | None = None,
    unpack: bool = True,
    keep_archives: bool = False,
    refresh: bool = False,
    links: str | Path | None = None,
    export: str | Path | None = None,
    locked: str | Path | None = None,
    pack: str | None = None,
    sandbox: bool = False,
    progress: Progress = True,
    cancel: threading.Event | None = None,
    **settings: Any,
) -> Path:
    """Fetches a dataset, or goes on with it, and returns its folder: complete and verified.

    Args:
        name: what ``medfetch get`` takes (an id, ``source:locator``, a manifest's path …), or a Recipe.
        select: facet → value or values (shell patterns), such as ``{"subject": ["LIDC-IDRI-0001"]}``.
        part: parts by name; without, the default ones.
        route: the only source to use.
        limit: the first so many series or files.
        refresh: resolve again where a plan exists.
        links: a mail with the dataset's links, where they come by mail: its text, or the Path of a file.
        export: a folder that ``export`` has made: all comes from there, and no host is asked.
        locked: a lock in which the dataset is: exactly what it pins, whatever its hosts have now.
        pack: ``zip`` or ``tar``: keep the dataset in few archives; ``medfetch.open`` reads what is in them.
        sandbox: rehearse against the embedded stand-in for the archives, in a cache of its own.
        settings: ``cache``, ``offline``, ``jobs``, ``limit_rate`` … as in docs/settings.md.

        progress: a bar on standard error, if it is a terminal; or a function, which is called in this thread with what
            ``medfetch get --json`` prints: ``{"event": "plan"|"start"|"progress"|"retry"|"failed"…, …}``, several
            times a second while bytes arrive. What it raises ends the run in order, and is raised here.
        cancel: if another thread sets it, the run saves its state and ends within 5 seconds, with Stopped.

    It may be called by several threads and processes at once, for the same dataset too (docs/pipelines.md).

    Raises: MedfetchError; its class and ``exit_code`` say what kind of trouble it is.
    """
    if pack not in (None, *FORMATS):
        raise UsageProblem(f"pack={pack!r}: expected {' or '.join(FORMATS)}")
    wish = replace(
        _wish(select, part, route, limit, refresh), archives=_archives(unpack, keep_archives), pack=pack,
        own=pack is not None,
    )  # fmt: skip
    with ExitStack() as stack:
        resolved = _settings(stack, sandbox, settings)
        if export is not None:
            return _from_export(name, wish, Path(export).absolute(), resolved, _display(progress, cancel))
        if locked is not None:
            if replace(wish, pack=None) != Wish() or not isinstance(name, str):
                raise UsageProblem("the lock says what is fetched, and how", hint="with locked give the name alone")
            asked = using.wanted(Path(locked), [name], resolved)
        else:
            asked = [(_recipe(name, resolved), wish)]
        display = _display(progress, cancel)
        for recipe, own in asked:
            told = _mailed(links, recipe, own, resolved)
            with permissions.TURNS.turn(runner.readers_of(recipe, told), display.look):
                made = runner.make_plan(recipe, own, told, display)
                runner.fulfil(recipe, made, told, display, pack=pack)
        return made.home.root


def _from_export(name: str | Recipe, wish: Wish, folder: Path, settings: Settings, display: Display) -> Path:
    recipe = name if isinstance(name, Recipe) else exports.named(name, folder, settings)
    with permissions.TURNS.turn(runner.readers_of(recipe, settings), display.look):
        for _ in exports.take_in(recipe, wish, folder, settings, display):
            pass
    return runner.home_of(recipe, settings).root


def export(
    name: str | Recipe,
    folder: str | Path,
    *,
    select: Select | None = None,
    part: str | Iterable[str] = (),
    limit: int | None = None,
    unguarded: bool = False,
    progress: bool = True,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Copies a dataset that is in the cache into a folder: ``get(…, export=folder)`` takes it in on another machine.

    Args:
        unguarded: data under an agreement may go to a disk that cannot keep others from reading them.

    Returns: the receipts of what is there then. Raises: MedfetchError.
    """
    resolved = config.load(**settings)
    wish = _wish(select, part, None, limit, False)
    recipe = _recipe(name, resolved)
    target = Path(folder).absolute()
    with permissions.TURNS.turn(runner.readers_of(recipe, resolved)):
        return exports.export(recipe, wish, target, resolved, _display(progress), unguarded=unguarded)


def plan(
    name: str | Recipe,
    *,
    select: Select | None = None,
    part: str | Iterable[str] = (),
    route: str | None = None,
    limit: int | None = None,
    refresh: bool = False,
    links: str | Path | None = None,
    sandbox: bool = False,
    **settings: Any,
) -> Plan:
    """What ``get`` would fetch; no data is. ``Plan.totals`` counts series, files and bytes, ``Plan.entries()`` streams.

    Raises: MedfetchError.
    """
    with ExitStack() as stack:
        resolved = _settings(stack, sandbox, settings)
        wish = _wish(select, part, route, limit, refresh)
        recipe = _recipe(name, resolved)
        stack.enter_context(permissions.TURNS.turn(runner.readers_of(recipe, resolved)))
        return runner.make_plan(recipe, wish, _mailed(links, recipe, wish, resolved), _display(False))


def access(names: Iterable[str | Recipe], *, check: bool = False, **settings: Any) -> Overview:
    """What has to be done before some datasets can be had, each step once and in order, and how it stands.

    Args:
        names: what ``medfetch access`` takes, or Recipes.
        check: ask the hosts, too, one after the other.

    Raises: MedfetchError; a host that does not answer is no error.
    """
    resolved = config.load(**settings)
    recipes = [_recipe(name, resolved) for name in names]
    verdicts = doors.ask_all(recipes, resolved, lambda reason: None) if check else {}
    return standing.overview(recipes, resolved, verdicts)


def agree(
    name: str | Recipe, *, person: str, date: datetime.date, steps: Iterable[str] = (),
    until: datetime.date | None = None, **settings: Any,
) -> list[Agreement]:  # fmt: skip
    """Writes down what a person agreed to on a day: a dataset's terms, or the steps that are named.

    Args:
        until: the last day on which it is good, where the recipe does not say so.

    Raises: MedfetchError.
    """
    resolved = config.load(**settings)
    recipe = _recipe(name, resolved)
    declared = standing.to_declare(recipe, tuple(steps))
    new = []
    for step in declared:
        at = requirements.terms_at(recipe, step) if step.kind == "terms" else step.at
        new.append(agreements.made(recipe.id, step, person, date, at=at, until=until))
    agreements.record(new, resolved)
    return new


def _recipe(name: str | Recipe, settings: Settings) -> Recipe:
    """The recipe of that name; in a rehearsal, as the sandbox has it."""
    recipe = name if isinstance(name, Recipe) else dois.load(name, settings)
    return rehearsal.stage(recipe, settings).recipe


def _mailed(links: str | Path | None, recipe: Recipe, wish: Wish, settings: Settings) -> Settings:
    """The settings with the links that are good for what is wanted."""
    if links is None:
        return settings
    if settings.sandbox:
        raise UsageProblem("links of a mail lead to their own hosts", hint="leave out sandbox")
    try:
        text = links.read_text(encoding="utf-8", errors="replace") if isinstance(links, Path) else links
    except OSError as error:
        raise UsageProblem(f"{links} cannot be read: {error.strerror}") from error
    found = mail.read(text)
    if not found:
        raise UsageProblem(
            "there is no link in what was given as links", hint="the text of the mail, or its file's Path"
        )
    return replace(settings, links=mail.fit(wishes.chosen_parts(recipe, wish), found).good)


def _wish(
    select: Select | None, part: str | Iterable[str], route: str | None, limit: int | None, refresh: bool
) -> Wish:
    facets = {
        facet: (values,) if isinstance(values, str) else tuple(values) for facet, values in (select or {}).items()
    }
    parts = (part,) if isinstance(part, str) else tuple(part)
    return Wish(Selection(facets, limit), parts, route, refresh=refresh)


def _archives(unpack: bool, keep: bool) -> str:
    return "as-is" if not unpack else "keep" if keep else "unpack"


def _settings(stack: ExitStack, sandbox: bool, flags: dict[str, Any]) -> Settings:
    settings = config.load(**flags)
    return stack.enter_context(sandboxed(settings)) if sandbox else settings


def _display(progress: Progress, cancel: threading.Event | None = None) -> Display:
    display: Display = Calling(progress) if callable(progress) else Terminal(quiet=not progress)
    return Cancelling(display, cancel) if cancel else display
