"""Asks hosts what they tell before a byte: whether this person may have a dataset, and what its terms say.

It must not know what is on this machine, or what follows from an answer.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import urlsplit

from medfetch import cache, requirements, sources
from medfetch.config import Settings
from medfetch.errors import MedfetchError, Retryable, Unreachable, UsageProblem
from medfetch.hosts import Hosts
from medfetch.net.stack import ApiNet
from medfetch.sources import Preflight
from medfetch.types import Door, Part, Recipe, Route, Traits, Verdict

LONGEST_TERMS = 10**6
"""Bytes of a page that may still be terms of use."""


def can_ask(parts: Iterable[Part]) -> bool:
    """Whether for one of some parts the source of the first route can ask its host."""
    names = {part.routes[0].source for part in parts if part.routes}
    return any(isinstance(sources.get(name), Preflight) for name in names & set(sources.names()))


def ask(parts: Sequence[Part], settings: Settings, said: Callable[[str], None]) -> Verdict | None:
    """What the hosts say about some parts of a dataset: the first answer that is not "open"; None if none was asked.

    Of a part's routes one that is open is enough. ``said`` is told of what is tried again.
    Raises: UsageProblem for what is wrong on this machine, such as a file of secrets that others can read.
    """
    stop = threading.Event()
    with closing(Hosts(cache.hosts_folder(settings.cache), stop.is_set)) as hosts:
        verdicts = [_of_part(part.routes, settings, hosts, stop, said) for part in parts]
    told = [verdict for verdict in verdicts if verdict]
    return next((verdict for verdict in told if verdict.door != Door.OPEN), told[0] if told else None)


def ask_all(recipes: Iterable[Recipe], settings: Settings, said: Callable[[str], None]) -> dict[str, Verdict]:
    """What the hosts say about the default parts of some datasets, one after the other; not where the answer costs."""
    verdicts = {}
    for recipe in recipes:
        try:
            verdict = ask(_free(requirements.chosen(recipe)), settings, said)
        except UsageProblem as error:
            said(
                f"the host of {recipe.name} was not asked: {error.message}" + (f" ({error.hint})" if error.hint else "")
            )
            continue
        if verdict:
            verdicts[recipe.id] = verdict
    return verdicts


def _free(parts: Iterable[Part]) -> list[Part]:
    return [
        replace(part, routes=tuple(route for route in part.routes if not requirements.costs(route))) for part in parts
    ]


def _of_part(
    routes: Sequence[Route], settings: Settings, hosts: Hosts, stop: threading.Event, said: Callable[[str], None]
) -> Verdict | None:
    first = None
    for route in routes:
        try:
            source = sources.get(route.source)
            if not isinstance(source, Preflight):
                return None  # it may be open for all that is known
            verdict = source.preflight(route.locator, ApiNet(settings, source.traits, hosts, stop, said))
        except UsageProblem:
            raise
        except (Unreachable, Retryable) as error:
            verdict = Verdict(Door.DOWN, error.message)
        except MedfetchError as error:
            verdict = Verdict(Door.UNCLEAR, error.message)
        if verdict.door == Door.OPEN:
            return verdict
        first = first or verdict
    return first


def terms(url: str, settings: Settings, said: Callable[[str], None]) -> str | None:
    """The text at an address, where it is plain text or a page of modest size; else None.

    Where one is led to another page, such as one for logging in, that is not the terms. ``said`` as in ``ask``.
    """
    stop = threading.Event()
    with closing(Hosts(cache.hosts_folder(settings.cache), stop.is_set)) as hosts:
        net = ApiNet(settings, Traits(endpoints={"http": ""}), hosts, stop, said)
        if net.replaced("http"):
            url = f"{net.endpoint('http')}/{url.partition('://')[2]}"
        try:
            answer = net.get(url)
        except MedfetchError as error:
            said(error.message)
            return None
    if _page(answer.url) != _page(url):
        return None
    kind, _, charset = answer.headers.get("Content-Type", "").lower().partition(";")
    if len(answer.content) > LONGEST_TERMS or kind.strip() not in ("text/plain", "text/html"):
        return None
    text = answer.text if "charset" in charset else answer.content.decode(errors="replace")
    if kind.strip() == "text/html":
        text = _Page.text(text)
    lines = ("".join(each for each in line if each.isprintable()).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line) or None


def _page(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


class _Page(HTMLParser):
    """The words of a web page."""

    UNSEEN = ("script", "style", "head", "noscript", "template")
    BLOCKS = ("p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "dt", "dd")

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._unseen = 0

    @classmethod
    def text(cls, html: str) -> str:
        page = cls()
        page.feed(html)
        page.close()
        return "".join(page._pieces)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen += tag in self.UNSEEN
        if tag in self.BLOCKS:
            self._pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in self.UNSEEN))
        if tag in self.BLOCKS:
            self._pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._pieces.append(re.sub(r"\s+", " ", data))
