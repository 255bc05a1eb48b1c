"""Files of a torrent, known by its info-hash: from its web seeds where they can be verified, else from its swarm.

It must not know how a swarm is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from medfetch import torrents
from medfetch.errors import RecipeError, UsageProblem
from medfetch.patterns import fits
from medfetch.sources import Net
from medfetch.sources._locator import only, strings, text
from medfetch.sources._paths import relative
from medfetch.torrents import File, Torrent
from medfetch.types import RemoteFile, Selection, Traits


class Torrents:
    """Locator: ``info_hash``, 40 hexadecimal digits; ``torrent``, where the .torrent file is; ``trackers``, besides
    those in it; ``path``: patterns of files or folders. The folder that a torrent has around its files is left out.

    A file's last address is a magnet link to it alone (BEP 9 and 53: ``so``), with the .torrent file as its source
    (``xs``). A web seed is one where all of the file's bytes are in pieces of its own: only then can they be verified.
    """

    name: ClassVar[str] = "torrent"
    traits: ClassVar[Traits] = Traits(endpoints={"torrent": ""}, connections=2, program="aria2c")

    def locate(self, text: str) -> dict[str, Any]:
        raise UsageProblem(
            "a torrent is named in a recipe, by its info_hash and the address of its .torrent file",
            hint="docs/recipes.md",
        )

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[RemoteFile]:
        only(locator, {"info_hash", "torrent", "trackers", "path"}, self.name)
        info_hash, at = text(locator, "info_hash", self.name) or "", text(locator, "torrent", self.name) or ""
        if not re.fullmatch("[0-9a-f]{40}", info_hash):
            raise RecipeError(f"expected 40 hexadecimal digits, not {info_hash!r}", at="torrent.info_hash")
        if urlsplit(at).scheme not in ("http", "https"):
            raise RecipeError(f"expected the address of a .torrent file, not {at!r}", at="torrent.torrent")
        torrent = torrents.read(net.get(_address(at, net)).content, info_hash)
        trackers = dict.fromkeys((*strings(locator, "trackers", self.name), *torrent.trackers))
        patterns = strings(locator, "path", self.name)
        for file in torrent.files:
            if not patterns or fits(file.path, patterns):
                yield _file(torrent, file, _address(at, net), tuple(trackers), net)


def _address(url: str, net: Net) -> str:
    """The address; where ``torrent`` is replaced, below that."""
    return f"{net.endpoint('torrent')}/{url.partition('://')[2]}" if net.replaced("torrent") else url


def _file(torrent: Torrent, file: File, at: str, trackers: tuple[str, ...], net: Net) -> RemoteFile:
    asked = [("so", str(file.index - 1)), ("xs", at), *(("tr", url) for url in trackers)]
    magnet = "&".join(
        [f"magnet:?xt=urn:btih:{torrent.info_hash}", *(f"{key}={quote(url, safe='')}" for key, url in asked)]
    )
    checksum = torrents.checksum(torrent, file)
    seeds = tuple(_address(url, net) for url in torrents.seeds(torrent, file)) if checksum else ()
    return RemoteFile(
        path=relative(file.path),
        key=f"btih:{torrent.info_hash}/{file.path}",
        urls=(*seeds, magnet),
        size=file.size,
        checksums=(checksum,) if checksum else (),
    )
