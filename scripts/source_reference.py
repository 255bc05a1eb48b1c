"""Writes docs/source-reference.md, from what the sources say of themselves, to standard output (``make docs``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medfetch import known_sources, requirements, sources
from medfetch.config import Settings
from medfetch.known_sources import Known
from medfetch.types import Traits

HEAD = """\
# The sources

Written by `make docs` from what the sources say of themselves. `medfetch sources` shows the same, with the packages
that third-party ones come from and the endpoints as they are set on this machine.

What a recipe says of a route is in [the recipe reference](recipe-reference.md), and with more words in [how to write a
recipe](recipes.md#what-a-route-needs); where log-ins are looked for, in [credentials](credentials.md); how a source is
written, in [how to write a source](sources.md).

- **connections**: at once to one host, over all processes on one cache.
- **resumes**: whether a file that was interrupted goes on from where it was; else from its beginning.

| source | is for | connections | resumes |
| --- | --- | --- | --- |
"""


def page() -> str:
    known = [each for each in known_sources.known(Settings(Path("cache"))) if each.name in sources.BUILTIN]
    return "".join([HEAD, *map(_row, known), *(piece for each in known for piece in _section(each))])


def _row(each: Known) -> str:
    traits = _traits(each)
    told = f"{traits.connections} | {'yes' if traits.ranges else 'no'}"
    if each.name in requirements.BY_HAND:
        told = "by a person | "
    return f"| [`{each.name}`](#{each.name}) | {each.summary} | {told} |\n"


def _section(each: Known) -> Iterator[str]:
    traits = _traits(each)
    yield f"\n## {each.name}\n\n{each.summary}.\n\n"
    yield f"- `--select`: {_words(traits.facets)}\n"
    if traits.logins:
        yield f"- log-in, where one is wanted: {_words(traits.logins)}\n"
    if traits.program:
        yield f"- needs the program {traits.program}\n"
    if traits.host_connections:
        known = ", ".join(f"{host} {count}" for host, count in sorted(traits.host_connections.items()))
        yield f"- connections to hosts that are known: {known}\n"
    if traits.endpoints:
        yield f"- endpoints: {_words(tuple(traits.endpoints))}\n"


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "nothing"


def _traits(each: Known) -> Traits:
    assert each.traits, each.error
    return each.traits


if __name__ == "__main__":
    print(page(), end="")
