"""What the verbs share: options, exit codes, signals, and the two ways to speak (to people, to scripts)."""

from __future__ import annotations

import functools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from medfetch import config, logs
from medfetch.cli import completion
from medfetch.config import Settings
from medfetch.errors import AccessRequired, Incomplete, MedfetchError, Stopped, UsageProblem
from medfetch.progress import Display, Lines, Terminal
from medfetch.types import Selection

Function = TypeVar("Function", bound=Callable[..., Any])
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: Stopped.PARKED}


@dataclass(frozen=True, slots=True)
class Session:
    """What every verb is given."""

    settings: Settings
    json: bool
    quiet: bool
    verbose: int
    sandbox: bool

    def display(self) -> Display:
        return Lines() if self.json else Terminal(self.quiet, self.verbose)

    def out(self, content: Any, text: str) -> None:
        """Data, on standard output: a line of JSON, or text."""
        click.echo(json.dumps(content, ensure_ascii=False) if self.json else text)

    def note(self, text: str) -> None:
        """Talk, on standard error."""
        if not self.quiet:
            click.echo(text, err=True)

    @contextmanager
    def reaching(self) -> Iterator[Settings]:
        """The settings for a verb that may use the network; with --sandbox they lead to the stand-in."""
        if not self.sandbox:
            yield self.settings
            return
        from medfetch.sandboxed import sandboxed

        with sandboxed(self.settings) as settings:
            yield settings

    def in_earnest(self, what: str) -> None:
        """Raises: UsageProblem with --sandbox, for what has no rehearsal."""
        if self.sandbox:
            raise UsageProblem(f"{what} is for the real hosts", hint="leave out --sandbox")

    @property
    def resting(self) -> Settings:
        """The settings for a verb that only looks into the cache."""
        return self.settings.as_sandboxed({}) if self.sandbox else self.settings

    def inside(self, folder: Path) -> Path:
        """Where an export is in a folder: a rehearsal's is kept apart, as in a cache."""
        folder = folder.expanduser().absolute()
        return folder / self.resting.cache.name if self.sandbox else folder


def with_session(function: Function) -> Function:
    """Adds the options that mean the same everywhere, and maps errors to exit codes in this one place."""

    @click.option("--cache", type=click.Path(path_type=Path), help="Where datasets are kept.")
    @click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")
    @click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
    @click.option("-v", "--verbose", count=True, help="Say more; twice: every request.")
    @click.option("--offline", is_flag=True, default=None, help="Use no network at all.")
    @click.option("--yes", is_flag=True, help="Ask no questions.")
    @click.option("--sandbox", is_flag=True, help="Rehearse with the stand-in for the archives, in a cache of its own.")
    @functools.wraps(function)
    def wrapped(
        cache: Path | None, as_json: bool, quiet: bool, verbose: int, offline: bool | None, yes: bool, sandbox: bool,
        **arguments: Any,
    ) -> None:  # fmt: skip
        flags = {name: arguments.pop(name, None) for name in ("jobs", "limit_rate")}
        with _exit_codes(as_json), _signals():
            settings = config.load(cache=cache, offline=offline, verbose=verbose or None, **flags)
            logs.start(settings.verbose)
            if "yes" in function.__annotations__:
                arguments["yes"] = yes
            function(Session(settings, as_json, quiet, verbose, sandbox), **arguments)

    return wrapped  # type: ignore[return-value]


@contextmanager
def _exit_codes(as_json: bool) -> Iterator[None]:
    try:
        yield
    except MedfetchError as error:
        tell(error, as_json)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def tell(error: MedfetchError, as_json: bool) -> None:
    """An error for a person, on standard error; with ``as_json`` for a script, too."""
    if as_json:
        click.echo(json.dumps({"event": "failed", **error.as_json()}, ensure_ascii=False))
    click.echo(f"medfetch: {error.message} ({error.kind})", err=True)
    if isinstance(error, AccessRequired):
        for number, step in enumerate(error.steps, 1):
            click.echo(f"  {number}. {step['do']}\n     where: {step['at']}\n     usual wait: {step['wait']}", err=True)
            # What a source has found out at its host has no state of its own.
            if step.get("said"):
                click.echo(f"     {step['state']}: {step['said']}", err=True)
    if isinstance(error, Incomplete):
        for failure in error.failures[:10] if len(error.failures) > 1 else ():  # a single one is in the message
            click.echo(f"  {failure['path']}: {failure['reason']}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGUSR1 end a run in order; a second interrupt ends it at once."""

    def handle(number: int, frame: Any) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise Stopped(
            f"stopped by {signal.Signals(number).name}; what is complete is kept",
            exit_code=SIGNALS[signal.Signals(number)],
            hint="the same command goes on from there",
        )

    before = {each: signal.signal(each, handle) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def with_wish(function: Function) -> Function:
    """Adds the options that choose a part of a dataset; the verb is given a Wish."""

    @click.option(
        "-s", "--select", multiple=True, metavar="KEY=VALUE[,VALUE…]", help="subject, study, series, modality, path …"
    )
    @click.option(
        "--part", "parts", multiple=True, shell_complete=completion.parts, help="Only this part (repeatable)."
    )
    @click.option("--route", shell_complete=completion.routes, help="Only by this source.")
    @click.option("--limit", type=click.IntRange(1), help="Only the first N series or files.")
    @click.option("--refresh", is_flag=True, help="Resolve again where a plan exists.")
    @functools.wraps(function)
    def wrapped(
        session: Session, select: tuple[str, ...], parts: tuple[str, ...], route: str | None, limit: int | None,
        refresh: bool, **arguments: Any,
    ) -> None:  # fmt: skip
        # With it comes all that knows plans, which `list` and `info` need not wait for.
        from medfetch.wishes import Wish

        wish = Wish(Selection(facets(select), limit), parts, route, refresh=refresh)
        function(session, wish=wish, **arguments)

    return wrapped  # type: ignore[return-value]


def facets(select: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """``("subject=A,B", "modality=CT")`` → facet → values; the same facet twice adds up.

    Raises: UsageProblem.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in select:
        facet, equals, values = text.partition("=")
        wanted = tuple(value for value in values.split(",") if value)
        if not equals or not facet or not wanted:
            raise UsageProblem(
                f"--select {text!r} is not KEY=VALUE[,VALUE…]", hint="such as --select subject=LIDC-IDRI-0001"
            )
        found[facet] = found.get(facet, ()) + wanted
    return found
