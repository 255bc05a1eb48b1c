"""How long plans would take at the pace of their hosts, and how many tasks side by side are of use.

Few hosts say what they give to a connection: what is guessed is said to be. It must not know schedulers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from medfetch import sources
from medfetch.hosts import host_of
from medfetch.planning import Plan
from medfetch.progress import human
from medfetch.types import Entry, Group

GUESS = 2_000_000
"""Bytes per second of a connection to a host of which nothing is known; nobody has measured them."""
OF_A_TASK = 8
"""Connections of which one task makes good use; another task is worth its node where a host bears as many again."""
SAMPLE = 10_000
"""Entries of a plan that are looked at for the hosts of its parts."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to come from one host."""

    source: str
    bytes: int
    connections: int
    """At once, of all who share a cache."""
    rate: int
    """Bytes per second of each."""
    known: bool
    """Whether the rate is known, rather than guessed."""

    @property
    def seconds(self) -> float:
        return self.bytes / (self.connections * self.rate)

    def __str__(self) -> str:
        rate = f"{human(self.rate)}/s each, {'which is known of it' if self.known else 'a guess'}"
        return f"{human(self.bytes)} from {self.source}: {self.connections} connections at {rate}"


def loads(plans: Iterable[Plan]) -> list[Load]:
    """What comes from which source, by the first way of each part; one that nothing is known of is guessed."""
    found: dict[tuple[str, int, int, bool], int] = {}
    for made in plans:
        hosts = _hosts(made)
        for part, counts in made.header["parts"].items():
            way = made.header["routes"][part][0]
            traits = sources.traits(sources.get(way["source"]), way["locator"])
            host = hosts.get(part, "")
            rate = traits.host_rates.get(host)
            key = (way["source"], traits.host_connections.get(host, traits.connections), rate or GUESS, bool(rate))
            found[key] = found.get(key, 0) + counts["bytes"]
    return [Load(source, size, connections, rate, known) for (source, connections, rate, known), size in found.items()]


def _hosts(made: Plan) -> dict[str, str]:
    """By part, the host of its first file whose address is known beforehand."""
    found: dict[str, str] = {}
    for part, entry in islice(made.entries(), SAMPLE):
        if part not in found and (urls := _urls(entry)):
            found[part] = host_of(urls[0])
    return found


def _urls(entry: Entry) -> tuple[str, ...]:
    if isinstance(entry, Group):
        return entry.archive.urls if entry.archive else ()
    return entry.urls or (entry.pieces[0].urls if entry.pieces else ())


def useful(found: Iterable[Load]) -> int:
    """Tasks at once from which on more would only wait for each other's connections."""
    return max([1, *(math.ceil(load.connections / OF_A_TASK) for load in found)])
