"""``medfetch agree``."""

from __future__ import annotations

import datetime
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict

import click

from medfetch import agreements, dois, requirements, standing
from medfetch.agreements import Agreement
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session
from medfetch.errors import UsageProblem
from medfetch.types import Recipe, Requirement

SOON = 60
"""Days before the end of an agreement in which it is pointed out."""
DAY = click.DateTime(["%Y-%m-%d"])


@click.command("agree")
@click.argument("name", required=False, shell_complete=completion.names)
@click.option("--step", "names", multiple=True, help="A step that you have taken, in place of the terms (repeatable).")
@click.option("--until", type=DAY, metavar="DATE", help="The last day on which it is good, where the terms say so.")
@click.option("--agreed-on", type=DAY, metavar="DATE", help="When it was agreed to, elsewhere; with --as, for scripts.")
@click.option("--as", "person", help="Who agreed: a person's name.")
@click.option("--list", "listing", is_flag=True, help="What was agreed to, and what lapses within 60 days.")
@with_session
def command(
    session: Session, name: str | None, names: tuple[str, ...], until: datetime.datetime | None,
    agreed_on: datetime.datetime | None, person: str | None, listing: bool,
) -> None:  # fmt: skip
    """Record that you agree to a dataset's terms, or that you have taken another step of it.

    It asks, and needs a terminal for that; --yes does not answer. A script can only write down what a person agreed to
    before: it has to name that person and the day.
    """
    if listing:
        _list(session)
        return
    if name is None:
        raise UsageProblem("no dataset was named", hint="medfetch agree --list shows what was agreed to")
    if (agreed_on is None) != (person is None):
        raise UsageProblem("--agreed-on and --as go together", hint="who agreed, and on which day")
    session.in_earnest("an agreement")
    recipe = dois.load(name, session.settings)
    steps = standing.to_declare(recipe, names)
    if not steps:
        session.note(f"{recipe.id}: no step is about terms; --step NAME records another (medfetch access {name})")
        return
    terms = {step.name: requirements.terms_at(recipe, step) for step in steps if step.kind == "terms"}
    digests: dict[str, str] = {}
    if person is None:
        digests = _show(session, recipe, steps, terms)
        person = _ask(session, steps)
    date = agreed_on.date() if agreed_on else agreements.today()
    new = []
    for step in steps:
        at = terms.get(step.name, step.at)
        digest = digests.get(at) if at and step.name in terms else None
        day = until and until.date()
        new.append(agreements.made(recipe.id, step, person, date, at=at, until=day, digest=digest))
    agreements.record(new, session.settings)
    for each in new:
        session.out({"event": "agreement", **asdict(each)}, _sentence(each))


def _show(
    session: Session, recipe: Recipe, steps: list[Requirement], terms: Mapping[str, str | None]
) -> dict[str, str]:
    """Shows what is asked for; the digests, by address, of those texts of terms that could be shown, too."""
    if not sys.stdin.isatty():
        raise UsageProblem(
            "only a person can agree, and here is no terminal to ask at",
            hint="run it in one; a script may record what a person agreed to before: --agreed-on DATE --as PERSON",
        )
    click.echo(f"{recipe.name} ({recipe.id})", err=True)
    digests = {}
    for at in dict.fromkeys(at for at in terms.values() if at):
        click.echo(f"terms: {at}", err=True)
        text = None
        if not session.settings.offline:
            # With it comes the network.
            from medfetch import doors

            text = doors.terms(at, session.settings, session.note)
        click.echo(f"\n{text}\n" if text else "their text cannot be shown here: read it there", err=True)
        if text:
            digests[at] = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    for step in steps:
        click.echo(f"{step.name}: {step.do}\n  {step.at or 'where: unknown'}", err=True)
    return digests


def _ask(session: Session, steps: list[Requirement]) -> str:
    """The name of the person who says yes. Raises: UsageProblem where they do not."""
    past = agreements.read(session.settings)
    person: str = click.prompt("Your name", default=past[-1].person if past else None, err=True)
    terms = all(step.kind == "terms" for step in steps)
    question = "Have you read the terms, and do you agree to them?" if terms else "Have you done this?"
    if not click.confirm(question, default=False, err=True):
        raise UsageProblem("nothing was recorded")
    return person


def _list(session: Session) -> None:
    latest = {(each.dataset, each.step): each for each in agreements.read(session.settings)}
    soon = (agreements.today() + datetime.timedelta(SOON)).isoformat()
    lapsing = 0
    for each in latest.values():
        word = "lapsed" if each.lapsed else "lapses soon" if each.expires and each.expires <= soon else "good"
        lapsing += word != "good"
        session.out({"event": "agreement", **asdict(each), "state": word}, f"{_sentence(each)}: {word}")
    if lapsing:
        session.note(f"{lapsing} of {len(latest)} lapsed or lapse within {SOON} days: medfetch agree NAME renews")
    if not latest:
        session.note("nothing was agreed to yet")


def _sentence(each: Agreement) -> str:
    until = f", good until {each.expires}" if each.expires else ""
    return f"{each.dataset}: {each.step}, {each.person}, {each.date}{until}"
