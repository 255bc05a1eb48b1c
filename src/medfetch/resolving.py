"""What the routes of a wish have: the entries of a new plan, from the first route of each part that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from medfetch import archives, cache, folders, pins, planning, requirements, sources
from medfetch.cache import Home
from medfetch.config import Settings
from medfetch.errors import Refused, Retryable, Unreachable, UsageProblem
from medfetch.hosts import Hosts
from medfetch.net.stack import ApiNet
from medfetch.pins import Pin
from medfetch.progress import Display, Event, human
from medfetch.types import Entry, Part, Recipe, RemoteFile, Route, Selection
from medfetch.wishes import Wish

if TYPE_CHECKING:
    from medfetch.remote import Way


def check_facets(route: Route, selection: Selection) -> None:
    known = sources.get(route.source).traits.facets
    for facet in selection.facets:
        if facet not in known:
            raise UsageProblem(
                f"{route.source} cannot select by {facet!r}", hint=f"it can select by {', '.join(known)}"
            )


def is_unknown(part: Part) -> bool:
    """Whether nobody knows which files a part has, but those who have got them."""
    return requirements.by_hand(part.routes[0]) and not part.routes[0].locator.get("files")


def known_of(home: Home, part: Part, brought: Iterable[str]) -> dict[str, RemoteFile]:
    """What was brought of such a part, now or before, by path."""
    page = str(next(iter(part.routes[0].locator.values()), "")).partition("#")[0]
    plans = (made for made in planning.all_of(home) if part.name in made.header["parts"])
    before = (entry for made in plans for name, entry in made.entries() if name == part.name)
    found = {entry.path: entry for entry in before if isinstance(entry, RemoteFile)}
    for path in brought:
        found.setdefault(path, RemoteFile(path, f"{part.routes[0].source}:{path}", (f"{page}#{quote(path)}",)))
    return found


def entries(
    routes: dict[str, list[Route]], wish: Wish, settings: Settings, display: Display,
    unknown: Mapping[str, Mapping[str, RemoteFile]], unread: list[RemoteFile],
) -> Iterator[tuple[str, Entry]]:  # fmt: skip
    """(part, entry) of all parts, each from its first route that answers; those that do not are struck out.

    ``unknown``: what is here of parts of which no source knows anything; ``unread`` gets the archives that cannot be
    looked into.
    """
    stop = threading.Event()
    hosts = Hosts(cache.hosts_folder(settings.cache), stop.is_set)
    try:
        for part, ways in routes.items():
            if part in unknown:
                yield from ((part, file) for file in unknown[part].values())
                continue
            while True:
                source = sources.get(ways[0].source)
                net = ApiNet(settings, sources.traits(source, ways[0].locator), hosts, stop, teller(display, part))
                way = partial(_way, source, net, settings, hosts, stop, teller(display, part))
                count = 0
                try:
                    for entry in _listed(source, ways[0], wish, net, way, unread):
                        count += 1
                        display.look()
                        yield part, _as_unit(entry, wish.archives)
                except (Unreachable, Refused, Retryable) as error:
                    if count or len(ways) < 2:
                        raise
                    reason = f"{error.message}; planning with {ways[1].source}"
                    display.show(Event("failover", part, reason=reason, source=ways[0].source))
                    del ways[0]
                    continue
                break
    finally:
        hosts.close()


def noting(
    entries: Iterator[tuple[str, Entry]], recipe: Recipe, noted: list[tuple[Entry, list[Pin]]]
) -> Iterator[tuple[str, Entry]]:  # fmt: skip
    """The entries; what the recipe tells of the files that they are is noted."""
    told = pins.told(recipe.files)
    for part, entry in entries:
        if found := told(entry):
            noted.append((entry, found))
        yield part, entry


def whole_only(unread: list[RemoteFile]) -> str | None:
    """What may hold that which nothing matched."""
    if not unread:
        return None
    path, size = unread[0].path, unread[0].size
    told = f"{path} ({human(size)})" if size is not None else path
    others = f", and so {len(unread) - 1} more" if len(unread) > 1 else ""
    return f"{told} can only be had as a whole{others}: --select path={path}"


def _listed(
    source: sources.Source,
    route: Route,
    wish: Wish,
    net: ApiNet,
    way: Callable[[], Way],
    unread: list[RemoteFile],
) -> Iterator[Entry]:
    """What a route has of a wish: of zips that are unpacked only the members, where only some are meant."""
    selection = folders.inside(wish.selection, route.into)
    if selection and route.unpack:
        # A source that asks for less does not know what is in the archives that it leaves out.
        selection = replace(selection, facets={k: v for k, v in selection.facets.items() if k != "path"})
    found = source.resolve(route.locator, net, selection) if selection else iter(())
    listed = folders.put(archives.unpacking(found, route.unpack), route.into)
    if wish.archives != "unpack" or "path" not in wish.selection.facets:
        return listed
    from medfetch import members  # as in _way

    return members.expand(listed, wish.selection, way(), unread.append)


def _way(
    source: sources.Source, net: ApiNet, settings: Settings, hosts: Hosts, stop: threading.Event,
    tell: Callable[[str], None],
) -> Way:  # fmt: skip
    """How archives are looked into."""
    # Imported here because every command waits for imports, and few plans look into archives.
    from medfetch.fetching import getter_of
    from medfetch.remote import Way

    return Way(getter_of(source, net, settings, hosts, stop), settings, net.traits.ranges, stop, tell)


def _as_unit(entry: Entry, archives: str) -> Entry:
    """An archive kept is another thing to have than the same one unpacked, and has a key of its own."""
    if archives != "unpack" and isinstance(entry, RemoteFile) and entry.unpack:
        return replace(entry, key=f"{archives}:{entry.key}")
    return entry


def teller(display: Display, part: str) -> Callable[[str], None]:
    return lambda reason: display.show(Event("retry", part, reason=reason))
