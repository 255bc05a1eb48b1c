"""Reads the links out of a mail, and tells how they fit a recipe's files. It must not know the network or the cache."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from medfetch.sources import _signed, links
from medfetch.types import Link, Mailed, Part, Recipe

LINK = re.compile(r"https?://[^\s\"'<>`|\\^{}]+")
OUTPUT = re.compile(r"\s(?:--output|--output-document|-o|-O)[ =]+[\"']?(?!https?:)([^\s\"']+)")
"""How curl, and wget with ``-O``, are told the name of a file."""
AFTER_A_LINK = ".,;:!?)]*"
"""Signs that end a sentence, not an address."""
SAVED = re.compile(r"^(MIME-Version|Content-Transfer-Encoding):", re.IGNORECASE | re.MULTILINE)
"""A mail as it was saved, which may break lines in the midst of a link."""
FILE_NAME = re.compile(r"filename=\"?([^\";]+)")


@dataclass(frozen=True, slots=True)
class Fit:
    """How links fit the files of some parts."""

    good: tuple[Mailed, ...]
    """Of each file that has one the link that is good for longest."""
    files: int
    without: tuple[str, ...]
    """Paths of files that have no link."""
    over: tuple[str, ...]
    """Paths of files whose links have expired."""
    until: float | None
    """When the first of the good ones is over, in seconds since 1970; None where none says so."""


def read(text: str) -> tuple[Mailed, ...]:
    """The links of a mail, each once: in curl's or wget's commands, one a line, in prose, in a saved mail."""
    found: dict[str, set[str]] = {}
    for line in _body(text).replace("\\\n", " ").splitlines():
        addresses = [_unwrapped(html.unescape(each).rstrip(AFTER_A_LINK)) for each in LINK.findall(line)]
        outputs = OUTPUT.findall(line) if len(addresses) == 1 else []
        for address in addresses:
            found.setdefault(address, set()).update(_names(address), (each.rpartition("/")[2] for each in outputs))
    return tuple(
        Mailed(Link(address, _signed.expiry(address)), tuple(sorted(names - {""}))) for address, names in found.items()
    )


def _unwrapped(address: str) -> str:
    """A link itself, where the receiver's mail server has put one of Outlook's Safe Links in its place."""
    parts = urlsplit(address)
    if not (parts.hostname or "").endswith(".safelinks.protection.outlook.com"):
        return address
    inner = parse_qs(parts.query).get("url", [""])[0]
    return inner if inner.startswith(("https://", "http://")) else address


def _names(address: str) -> Iterator[str]:
    """What a link's file may be called: the end of its path, and what storage is asked to call it."""
    parts = urlsplit(address)
    yield unquote(parts.path.rpartition("/")[2])
    for values in parse_qs(parts.query).values():
        yield from FILE_NAME.findall(values[0])


def _body(text: str) -> str:
    """The words of a mail that was saved, else what was pasted."""
    if not SAVED.search(text.partition("\n\n")[0].replace("\r", "")):
        return text.replace("\r\n", "\n")
    import email  # it takes long, and few links are in mails that were saved
    import email.policy

    message = email.message_from_string(text, policy=email.policy.default)
    return "\n".join(part.get_content() for part in message.walk() if part.get_content_maintype() == "text")


def fit(parts: Iterable[Part], given: Iterable[Mailed]) -> Fit:
    """How links fit the files of some parts' ``links`` routes. Raises: RecipeError."""
    given = tuple(given)
    good, without, over, files = [], [], [], 0
    for path, address in _wanted(parts):
        files += 1
        found = links.best(address, given)
        if found is None:
            without.append(path)
        elif found.link.expired:
            over.append(path)
        else:
            good.append(found)
    ends = [each.link.expires for each in good if each.link.expires is not None]
    return Fit(tuple(good), files, tuple(without), tuple(over), min(ends, default=None))


def strangers(recipes: Iterable[Recipe], given: Iterable[Mailed]) -> list[str]:
    """Links that fit no file of any part, by host and path: their queries are secrets. Raises: RecipeError."""
    wanted = [address for recipe in recipes for _, address in _wanted(recipe.parts)]
    alone = [each for each in given if not any(links.best(address, [each]) for address in wanted)]
    found = (urlsplit(each.link.url) for each in alone)
    return [f"{parts.hostname}{parts.path}" for parts in found if parts.path.strip("/") or parts.query]


def _wanted(parts: Iterable[Part]) -> Iterator[tuple[str, str]]:
    """Path and address of each file that comes by mailed links."""
    for part in parts:
        for route in part.routes:
            if route.source == links.Links.name:
                for file in links.files(route.locator):
                    yield file.path, file.urls[0]
