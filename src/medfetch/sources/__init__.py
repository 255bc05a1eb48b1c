"""What a source is, and how one is found by name.

A source translates between a host and the types of ``types.py``. It opens no file, sleeps nowhere,
retries nothing, and knows no secret: all it may touch of the network is the ``Net`` it is handed.
It must not import ``net``, ``state``, ``cache``, ``cli`` or another source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from medfetch import __version__
from medfetch.errors import UsageProblem
from medfetch.types import About, Alike, Entry, Group, Link, Mailed, Peek, RemoteFile, Selection, Traits, Verdict

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Net(Protocol):
    """All that a source may touch of the network; retries, pacing, credentials and logging are inside."""

    def endpoint(self, name: str) -> str:
        """The base address of one of the source's ``Traits.endpoints``, or its replacement. No trailing slash."""

    def replaced(self, name: str) -> bool:
        """Whether that endpoint was set by the person (a mirror, the sandbox) rather than by the source."""

    def get(
        self, url: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        """GET → ``requests.Response`` with a status below 400.

        ``credential`` names the secret to send along (``credentials``), which the source itself never sees; it goes to
        the hosts of the source's endpoints only, and not along with a redirect to another.

        Raises: Refused (with the host's status), Retryable (after retries), Unreachable (when offline, too).
        """

    def post(
        self, url: str, data: Any = None, json: Any = None, *, headers: Mapping[str, str] | None = None,
        credential: str | None = None,
    ) -> Any:  # fmt: skip
        """POST, likewise."""

    def peek(self, url: str, *, headers: Mapping[str, str] | None = None) -> Peek:
        """What a GET would bring: its head, and the page where that is all. No byte of a file is read.

        Raises: likewise.
        """

    def propfind(
        self, url: str, properties: str, *, headers: Mapping[str, str] | None = None, credential: str | None = None
    ) -> Any:
        """PROPFIND of WebDAV (RFC 4918, 9.1) for a folder and what is in it; ``properties`` is its body.

        Raises: likewise.
        """

    def redirect(self, url: str, *, credential: str | None = None) -> str:
        """Where a GET is redirected to, without going there: the address itself where it is not. Raises: likewise."""

    def listing(self, url: str) -> bytes:
        """What an FTP server lists of a folder, whose address ends in ``/``: by MLSD (RFC 3659), or, where it does not
        know that, by LIST in a form of its own. Raises: as ``get``.
        """

    def has(self, credential: str) -> bool:
        """Whether there is a secret of that name on this machine."""

    def mailed(self) -> tuple[Mailed, ...]:
        """The links that the person was sent, and gave for this run (``--links``)."""


class Source(Protocol):
    """One kind of host."""

    name: ClassVar[str]
    """The ``source:`` of a route."""
    traits: ClassVar[Traits]

    def locate(self, text: str) -> dict[str, Any]:
        """``source:TEXT`` as a person types it → the locator a recipe's route would have.

        Raises: UsageProblem, saying what was expected.
        """

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[Entry]:
        """Everything under a locator that the selection wants, lazily and in a stable order.

        ``selection`` may be used to ask the host for less; the caller filters again, and applies ``limit``.
        May be called twice. Paths are unique; those of two routes for the same content are the same.
        Raises: RecipeError for a bad locator; what Net raises.
        """


@runtime_checkable
class Members(Protocol):
    """A source whose groups are listed when their turn comes."""

    def members(self, group: Group, net: Net) -> Iterator[RemoteFile]:
        """The files of a group, in a stable order."""


@runtime_checkable
class Links(Protocol):
    """A source whose files' addresses are names, behind which it gets a link when a file's turn comes."""

    def link(self, url: str, net: Net) -> Link:
        """The link behind one of the ``RemoteFile.urls`` that the source made."""


@runtime_checkable
class Preflight(Protocol):
    """A source that can ask its host, before a byte is requested, whether this person may have a dataset."""

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        """Raises nothing for what a ``Door`` stands for; Unreachable and the like may be left to the caller."""


@runtime_checkable
class Describes(Protocol):
    """A source whose host says more of a dataset than its files: what it is called, under which licence it is."""

    def about(self, locator: Mapping[str, Any], net: Net) -> About:
        """Raises: as ``resolve``."""


@runtime_checkable
class Counts(Protocol):
    """A source that can sum up its series without making each of them an entry, and without the network."""

    def count(self, locator: Mapping[str, Any]) -> Iterator[Alike]:
        """What ``resolve`` would yield of a locator, in a stable order. Raises: RecipeError for a bad locator."""


def traits(source: Source, locator: Mapping[str, Any]) -> Traits:
    """A source's traits, with the number of connections that a route says its hosts bear."""
    told = locator.get("connections")
    return replace(source.traits, connections=told) if isinstance(told, int) else source.traits


BUILTIN = {
    "aspera": "medfetch.sources.aspera:Aspera",
    "box": "medfetch.sources.box:Box",
    "datalad": "medfetch.sources.datalad:DataLad",
    "dataverse": "medfetch.sources.dataverse:Dataverse",
    "dropbox": "medfetch.sources.dropbox:Dropbox",
    "figshare": "medfetch.sources.figshare:Figshare",
    "ftp": "medfetch.sources.ftp:Ftp",
    "gcs": "medfetch.sources.gcs:Gcs",
    "gdrive": "medfetch.sources.gdrive:GoogleDrive",
    "gen3": "medfetch.sources.gen3:Gen3",
    "github": "medfetch.sources.github:GitHub",
    "grand-challenge": "medfetch.sources.grand_challenge:GrandChallenge",
    "hf": "medfetch.sources.hf:HuggingFace",
    "http": "medfetch.sources.http:Http",
    "idc": "medfetch.sources.idc:Idc",
    "kaggle": "medfetch.sources.kaggle:Kaggle",
    "links": "medfetch.sources.links:Links",
    "loris": "medfetch.sources.loris:Loris",
    "manual": "medfetch.sources.manual:Manual",
    "mendeley": "medfetch.sources.mendeley:Mendeley",
    "onedrive": "medfetch.sources.onedrive:OneDrive",
    "openneuro": "medfetch.sources.openneuro:OpenNeuro",
    "osf": "medfetch.sources.osf:Osf",
    "physionet": "medfetch.sources.physionet:PhysioNet",
    "redivis": "medfetch.sources.redivis:Redivis",
    "s3": "medfetch.sources.s3:S3",
    "synapse": "medfetch.sources.synapse:Synapse",
    "tcia": "medfetch.sources.tcia:Tcia",
    "torrent": "medfetch.sources.torrent:Torrents",
    "webdav": "medfetch.sources.webdav:WebDav",
    "xnat": "medfetch.sources.xnat:Xnat",
    "zenodo": "medfetch.sources.zenodo:Zenodo",
}
ENTRY_POINTS = "medfetch.sources"


@cache
def _plugins() -> tuple[EntryPoint, ...]:
    """Third-party sources; to look for them takes 20 ms, and every shard asks."""
    from importlib.metadata import entry_points  # for what asks for no source it only takes time

    return tuple(entry_points(group=ENTRY_POINTS))


def names() -> list[str]:
    """Built-in and third-party sources, sorted."""
    return sorted({*BUILTIN, *(point.name for point in _plugins())})


def origin(name: str) -> str:
    """The packages that a source comes from, each with its version: more than one only where two claim its name."""
    claims = [f"medfetch {__version__}"] * (name in BUILTIN)
    claims += [
        f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        for point in _plugins()
        if point.name == name
    ]
    return " and ".join(claims)


def get(name: str) -> Source:
    """The source of that name, imported on first use.

    Raises:
        UsageProblem: no such source, two packages claim the name, or a third-party one fails to import.
    """
    plugins = [point for point in _plugins() if point.name == name]
    if len(plugins) + (name in BUILTIN) > 1:
        claims = ["medfetch"] * (name in BUILTIN) + [point.value for point in plugins]
        raise UsageProblem(f"the source {name!r} is claimed by {' and '.join(claims)}", hint="uninstall one of them")
    if plugins:
        try:
            return plugins[0].load()()  # type: ignore[no-any-return]
        except Exception as error:
            raise UsageProblem(f"the source {name!r} ({plugins[0].value}) failed to load: {error}") from error
    if name not in BUILTIN:
        raise UsageProblem(f"there is no source {name!r}", hint=f"known sources: {', '.join(names())}")
    module, _, attribute = BUILTIN[name].partition(":")
    return getattr(import_module(module), attribute)()  # type: ignore[no-any-return]
