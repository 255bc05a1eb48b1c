"""What a person has to do before bytes may flow, and in which order. It must not know this machine or the network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from medfetch.progress import human
from medfetch.types import Level, Part, Recipe, Requirement, Route

BY_HAND = ("aspera", "manual")
"""The sources of which no program fetches anything."""
DOWNLOAD = "download"
"""The kind of step that is a person's download; no recipe has it."""
SHOWN = 10
"""Files that such a step names."""
RECEIVE = "ascli faspex5 packages receive --url="
"""How IBM's aspera-cli fetches a package, and how it gets ``ascp`` (TCIA_Aspera_CLI_Downloads.ipynb in
kirbyju/TCIA_Notebooks, read 2026-11-29)."""
WORDS = {
    "a": 1, "an": 1, "every": 1, "each": 1, "per": 1, "one": 1, "two": 2, "couple": 2, "three": 3, "few": 3, "four": 4,
    "several": 5, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12,
}  # fmt: skip
DAYS = {"minute": 0.0, "hour": 1 / 24, "day": 1.0, "week": 7.0, "month": 30.0, "year": 365.0}
NUMBER = rf"\d[\d,.]*|\b(?:{'|'.join(WORDS)})\b"
SPAN = re.compile(
    rf"({NUMBER})(?:\s*(?:-|–|to|or)\s*({NUMBER}))?\s+(?:of\s+|working\s+|business\s+)*({'|'.join(DAYS)})s?\b",
    re.IGNORECASE,
)
SOMEBODY_DECIDES = {"application": 7.0, "approval": 7.0, "payment": 7.0}
"""Days that a step of unknown wait is taken for, to put it in order and for nothing else."""


def steps(recipe: Recipe, parts: Iterable[Part]) -> list[Requirement]:
    """The steps for a recipe's parts, each once: the recipe's own, then those of each part's first route.

    Terms that no step speaks of, log-ins of single addresses, links that come by mail, what a download costs, and what
    only a person can fetch, are steps too.
    """
    found = {step.name: step for step in recipe.access.requires}
    parts = list(parts)
    for part in parts:
        for route in ways(part)[:1]:
            found.update({step.name: step for step in route.requires})
            found.update({step.name: step for step in (*_logins(route.locator), *_charges(recipe.id, route))})
    if all(step.kind != "link" for step in found.values()):
        found.update({step.name: step for part in parts for step in _links(recipe.id, part)})
    before = tuple(found)
    found.update({step.name: step for part in parts for step in _downloads(recipe, part, before)})
    if recipe.access.level == Level.TERMS and all(step.kind != "terms" for step in found.values()):
        agree = "Read the terms of use, and agree to them or leave the data."
        at = recipe.access.terms or recipe.homepage
        found[f"{recipe.id}-terms"] = Requirement(f"{recipe.id}-terms", "terms", agree, at)
    return list(found.values())


def of_all_ways(recipe: Recipe, parts: Iterable[Part]) -> list[Requirement]:
    """The steps for a recipe's parts by whichever of their routes, each once.

    Also those of each by itself: terms that no step speaks of are a step of one part where another part's step does.
    """
    ways = [replace(part, routes=(way,)) for part in parts for way in part.routes]
    alone = [step for way in ways for step in steps(recipe, [way])]
    return list({step.name: step for step in (*steps(recipe, ways), *alone)}.values())


def label(recipe: Recipe) -> str:
    """What a person calls it: the id, or for want of a recipe what was typed."""
    return recipe.name if recipe.name == recipe.origin else recipe.id


def terms_at(recipe: Recipe, step: Requirement) -> str | None:
    """Where the terms stand that a step is about; what a route alone wants has its own."""
    of_routes = {each.name for part in recipe.parts for way in part.routes for each in way.requires}
    return step.at if step.name in of_routes else recipe.access.terms or step.at


def chosen(recipe: Recipe) -> list[Part]:
    """The parts that are meant where nobody names any."""
    return [part for part in recipe.parts if part.default] or list(recipe.parts)


def _logins(locator: Mapping[str, Any]) -> Iterable[Requirement]:
    """The log-ins of an ``http`` route's files."""
    for file in locator.get("files", ()):
        if file.get("auth") == "basic":
            for each in file.get("pieces", [file]):
                for url in each["url"] if isinstance(each["url"], list) else [each["url"]]:
                    yield _login(str(urlsplit(url).hostname))


def _links(dataset: str, part: Part) -> Iterable[Requirement]:
    """The links that a part's first route waits for."""
    for route in ways(part)[:1]:
        if route.source == "links":
            do = "Ask for the links, and give what is in the mail: --links FILE, or - to paste it."
            yield Requirement(f"{dataset}-links", "link", do, route.locator["asked_at"])


def ways(part: Part) -> tuple[Route, ...]:
    """A part's routes by program; where it has none, those by hand."""
    return tuple(route for route in part.routes if not by_hand(route)) or part.routes


def by_hand(route: Route) -> bool:
    """Whether no program fetches what comes by a route: a person brings it (``medfetch import``)."""
    return route.source in BY_HAND


def _downloads(recipe: Recipe, part: Part, after: tuple[str, ...]) -> Iterable[Requirement]:
    """What a person has to fetch, where a part's first route is by hand."""
    for route in ways(part)[:1]:
        if by_hand(route):
            own = f"-{part.name}" if len(recipe.parts) > 1 else ""
            yield Requirement(f"{recipe.id}{own}-download", DOWNLOAD, *_download(recipe, part, route), after=after)


def _download(recipe: Recipe, part: Part, route: Route) -> tuple[str, str | None]:
    """What to do, and where."""
    files = [_named(file) for file in route.locator.get("files", ())]
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    what = f"{', '.join(files[:SHOWN])}{more}" if files else "what is there"
    asked = f" --part {part.name}" if not part.default or (len(recipe.parts) > 1 and not files) else ""
    if recipe.access.level == Level.CLOSED and not files:
        note = recipe.access.note or "Nobody is known to be let in."
        return f"It is closed. {note} What you have already, medfetch import {label(recipe)}{asked} FILE… takes in", (
            route.locator.get("at")
        )
    then = f"then give medfetch the files: medfetch import {label(recipe)}{asked} FILE…"
    if route.source == "manual":
        return f"Download {what} in a browser; {then}", route.locator.get("at")
    package = route.locator["package"]
    url = package if "faspex" in package else "THE LINK BEHIND THE PAGE'S DOWNLOAD BUTTON"
    return f"Fetch {what} with Aspera: {RECEIVE}'{url}'; {then}", package


def _named(file: Mapping[str, Any]) -> str:
    size = file.get("size")
    return f"{file['path']} ({human(size) if isinstance(size, int) else size})" if size else str(file["path"])


def costs(route: Route) -> bool:
    """Whether whoever downloads by a route is charged for it."""
    return bool(route.locator.get("requester_pays"))


def _charges(dataset: str, route: Route) -> Iterable[Requirement]:
    """The account that is charged, and that the person means to pay."""
    if costs(route) and route.source == "gcs":
        account = "Have a Google account and a project there that has billing, and log in for programs."
        pay = "Say that you pay: Google charges your project for each request, and for all that is downloaded."
        at = "https://cloud.google.com/docs/authentication/provide-credentials-adc"
        yield Requirement("google-account", "account", account, at, credential="gcp-payer")
        at = "https://cloud.google.com/storage/docs/requester-pays"
        yield Requirement(f"{dataset}-charges", "payment", pay, at, after=("google-account",))
    elif costs(route):
        account = "Have an AWS account, with its keys where AWS's own tools find them (aws configure)."
        pay = "Say that you pay: Amazon charges your AWS account for each request, and for all that is downloaded."
        yield Requirement("aws-account", "account", account, "https://aws.amazon.com/", credential="aws")
        at = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html"
        yield Requirement(f"{dataset}-charges", "payment", pay, at, after=("aws-account",))


def _login(host: str) -> Requirement:
    line = f"machine {host} login USER password PASSWORD"
    do = f"Sign up there, and add a line to ~/.netrc (mode 600): {line}"
    return Requirement(f"login-{host}", "account", do, f"https://{host}", credential=f"netrc:{host}")


def in_order(steps: Iterable[Requirement]) -> list[Requirement]:
    """Each after those that it waits for; otherwise first whatever the longest wait hangs on."""
    left = list(dict.fromkeys(steps))
    longest = {step: _longest(step, left) for step in left}
    done: list[Requirement] = []
    while left:
        waiting = {step.name for step in left}
        ready = [step for step in left if not waiting & set(step.after)] or left
        done.append(max(ready, key=longest.__getitem__))  # of equals the first
        left.remove(done[-1])
    return done


def _longest(step: Requirement, all_steps: list[Requirement]) -> float:
    """Days from the beginning of a step to the end of the last that hangs on it."""
    others = [each for each in all_steps if each is not step]
    return taken_for(step) + max((_longest(each, others) for each in others if step.name in each.after), default=0.0)


def taken_for(step: Requirement) -> float:
    """Days that a step is taken to last, to put it in order and for nothing else."""
    wait = days(step.wait)
    return SOMEBODY_DECIDES.get(step.kind, 0.0) if wait is None else wait


def days(text: str | None) -> float | None:
    """The longest span of time that a text such as "2-4 weeks" speaks of, in days; None where it speaks of none."""
    return max(_spans(text), default=None)


def good_for(lapses: str | None) -> float | None:
    """The shortest span of time of such a text: nobody shall be told that an agreement is good for longer."""
    return min(_spans(lapses), default=None)


def _spans(text: str | None) -> list[float]:
    return [_number(last or first) * DAYS[unit.lower()] for first, last, unit in SPAN.findall(text or "")]


def _number(text: str) -> float:
    return float(WORDS[text.lower()] if text.lower() in WORDS else text.replace(",", "").rstrip("."))


def as_dict(step: Requirement) -> dict[str, Any]:
    """A requirement for people's scripts; what is unknown says so."""
    return {
        "name": step.name, "kind": step.kind, "do": step.do, "at": step.at or "unknown", "wait": step.wait or "unknown",
        "sign": step.sign or "unknown", "lapses": step.lapses or "unknown",
    }  # fmt: skip
