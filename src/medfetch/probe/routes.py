"""Whether a route of a recipe still leads to what the recipe says.

It must not know any single source: what a host is asked is each source's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TypeVar

from medfetch import requirements, sources
from medfetch.errors import MedfetchError
from medfetch.probe import addresses, judging, licences
from medfetch.probe.asking import WEB, Run, Watched
from medfetch.probe.findings import Outcome, Verdict, worst
from medfetch.sources import Describes, Links, Members, Preflight, Source
from medfetch.types import Door, Entry, Group, Level, Part, Recipe, RemoteFile, Route, Selection

LISTED = 5000
"""Entries of a list that are read at the most; of a longer one these are the first pages."""
SAMPLE = 10
"""Addresses of a recipe's own list that are asked, evenly spread over it."""
OF_A_LIST = 2
"""Files of a host's list that are asked for: the first and the last."""
BEGINNINGS = ("at", "asked_at", "package")
"""Fields of a locator that hold the page where a person begins, because no program can."""
OWN_LISTS = ("http", "links")
"""Sources whose files stand in the recipe."""
T = TypeVar("T")


def check(recipe: Recipe, part: Part, route: Route, run: Run, memory: dict[object, object]) -> tuple[Verdict, Watched]:
    """What is true of a route, and the network that was asked, with what it noted."""
    alone = replace(part, routes=(route,))
    gated = recipe.access.level != Level.OPEN or bool(requirements.steps(recipe, [alone]))
    beginning = next((str(route.locator[field]) for field in BEGINNINGS if field in route.locator), None)
    if beginning:
        net = run.net(WEB, memory)
        return _attempt(lambda: _by_hand(beginning, net), gated), net
    if route.source not in sources.names():
        return (Outcome.UNCHECKED, f"this medfetch has no source {route.source}"), run.net(WEB, memory)
    source = sources.get(route.source)
    net = run.net(source.traits, memory)
    if requirements.costs(route):
        return (Outcome.UNCHECKED, "whoever asks is charged, so nobody was asked"), net
    checking = _Checking(recipe, part, route, source, net, gated)
    return _attempt(checking.own_list if route.source in OWN_LISTS else checking.host, gated), net


def _attempt(check: Callable[[], Verdict], gated: bool) -> Verdict:
    try:
        return check()
    except MedfetchError as error:
        return judging.of_error(error, gated=gated)


def _by_hand(url: str, net: Watched) -> Verdict:
    verdict = addresses.page(url, net, gated=True)
    if verdict[0] is not Outcome.OK:
        return verdict
    return Outcome.UNCHECKED, "the page where a person begins answers; what is behind it no program can see"


@dataclass(frozen=True, slots=True)
class _Checking:
    """One route, and who is asked about it."""

    recipe: Recipe
    part: Part
    route: Route
    source: Source
    net: Watched
    gated: bool

    def own_list(self) -> Verdict:
        """The addresses that stand in the recipe; of many, some."""
        files = [each for each in self._listed(None) if isinstance(each, RemoteFile)]
        every = [(each, url) for file in files for each in file.pieces or (file,) for url in each.urls]
        some = spread(every, SAMPLE)
        verdicts = [_attempt(partial(self._file, file, url), self.gated) for file, url in some]
        outcome, said = worst(verdicts)
        if len(some) < len(every):
            said += f"; {len(some)} of its {len(every)} addresses were asked"
        return outcome, said

    def host(self) -> Verdict:
        """What a host lists, beside the recipe; a few of its files; its licence and version."""
        if isinstance(self.source, Preflight):
            answer = self.source.preflight(self.route.locator, self.net)
            if answer.door != Door.OPEN:
                verdicts = [judging.of_door(answer, gated=self.gated)]
                with suppress(MedfetchError):  # what is behind the door need not be told
                    verdicts += self._described()
                return worst(verdicts)
        # An index on this machine may be read to its end.
        most = None if self.source.traits.offline else LISTED
        entries = self._listed(most and most + 1)
        whole, entries = most is None or len(entries) <= most, entries[:most]
        files, size = _count(entries)
        listed = f"{'' if whole else 'the first pages: '}{_things(entries, files)}"
        listed += f", {size:,} bytes" if size is not None else ", sizes not told"
        verdicts = [*self._compared(entries), *self._described(), *self._sampled(entries)]
        if whole:
            verdicts += addresses.of_size(f"the list ({listed})", self.part.size, size)
        return worst([*verdicts, (Outcome.OK, f"lists {listed}")])

    def _listed(self, most: int | None) -> list[Entry]:
        return list(islice(self.source.resolve(self.route.locator, self.net, Selection()), most))

    def _compared(self, entries: Sequence[Entry]) -> Iterator[Verdict]:
        """What other routes of the part say of files with the same path: routes of one part mean the same content."""
        known = self._known()
        for entry in entries:
            if isinstance(entry, RemoteFile) and (before := known.get(entry.path)):
                yield from addresses.of_size(entry.path, before.size, entry.size)
                yield from addresses.of_checksums(entry.path, before.checksums, entry.checksums)

    def _known(self) -> dict[str, RemoteFile]:
        found: dict[str, RemoteFile] = {}
        for route in self.part.routes:
            if route.source in OWN_LISTS:
                listed = sources.get(route.source).resolve(route.locator, self.net, Selection())
                found.update({file.path: file for file in listed if isinstance(file, RemoteFile)})
        return found

    def _sampled(self, entries: Sequence[Entry]) -> Iterator[Verdict]:
        """Whether some of what is listed can be had."""
        for entry in spread(entries, OF_A_LIST):
            yield _attempt(partial(self._entry, entry), self.gated)

    def _entry(self, entry: Entry) -> Verdict:
        if isinstance(entry, Group):
            # An archive that a host makes for each request would be made for nothing.
            if entry.archive or not isinstance(self.source, Members):
                return Outcome.OK, "listed"
            entry = next(iter(self.source.members(entry, self.net)))
        if not self.source.traits.ranges or not entry.urls:
            return Outcome.OK, "listed"
        return self._file(entry, entry.urls[0])

    def _file(self, file: RemoteFile, url: str) -> Verdict:
        headers: dict[str, str] = {}
        credential = file.credential
        if isinstance(self.source, Links):
            link = self.source.link(url, self.net)
            url, headers, credential = link.url, dict(link.headers), link.credential
        if credential and not self.net.has(credential):
            credential = None
        if not url.startswith(("http:", "https:")):
            return Outcome.UNCHECKED, f"only http is asked here, not {url.partition(':')[0]}"
        return addresses.file(file, url, self.net, gated=self.gated, headers=headers, credential=credential)

    def _described(self) -> list[Verdict]:
        """Licence and version, where the host tells them."""
        if not isinstance(self.source, Describes):
            return []
        about = self.source.about(self.route.locator, self.net)
        found: list[Verdict] = []
        licence = self.part.licence or self.recipe.licence
        if about.licence or about.licence_url:
            told = [text for text in (about.licence, about.licence_url) if text]
            meant = list((licence or {}).values())
            same = [licences.same(one, other) for one in told for other in meant]
            if not meant:
                found.append((Outcome.CHANGED, f"its licence is {told[0]}; the recipe names none"))
            elif True not in same and False in same:
                found.append((Outcome.CHANGED, f"its licence is {told[0]} now; the recipe says {meant[0]}"))
            elif True not in same:
                said = f"its licence is {told[0]!r}; whether that is {meant[0]}, a person sees"
                found.append((Outcome.UNCHECKED, said))
        if about.newest and about.newest != about.version:
            said = f"there is a newer version, {about.newest}; the route has {about.version or 'another'}"
            found.append((Outcome.CHANGED, said))
        return found


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of some, evenly over all, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(at * (len(items) - 1) / (most - 1))] for at in range(most)]


def _count(entries: Sequence[Entry]) -> tuple[int | None, int | None]:
    """Files and bytes of a list; None where not all are told."""
    files = [entry.files if isinstance(entry, Group) else 1 for entry in entries]
    sizes = [entry.size for entry in entries]
    return _total(files), _total(sizes)


def _total(numbers: Sequence[int | None]) -> int | None:
    told = [number for number in numbers if number is not None]
    return sum(told) if len(told) == len(numbers) else None


def _things(entries: Sequence[Entry], files: int | None) -> str:
    groups = sum(isinstance(entry, Group) for entry in entries)
    counted = f"{files:,} files" if files is not None else f"{len(entries) - groups:,} files"
    return f"{groups:,} groups, {counted}" if groups else counted
