"""An embedded stand-in for the archives, on loopback: real index, synthetic images, faults on request.

It must not know medfetch's own sources, plans or transfers: it is what they are tested against.

    with Sandbox(max_instance_bytes=20_000, faults=[Fault(match="/s3/", status=503)]) as box:
        subprocess.run(["medfetch", "get", "lidc-idri"], env={**os.environ, **box.environment})
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from medfetch.errors import UsageProblem
from medfetch.sandbox import examples
from medfetch.sandbox.box import Box
from medfetch.sandbox.content import Content
from medfetch.sandbox.datacite import DataCite, Doi
from medfetch.sandbox.dataverse import Dataverse
from medfetch.sandbox.dicom import SMALLEST
from medfetch.sandbox.dropbox import Dropbox
from medfetch.sandbox.faults import Fault, Faults
from medfetch.sandbox.figshare import Figshare
from medfetch.sandbox.gcs import Gcs
from medfetch.sandbox.gdrive import Drive
from medfetch.sandbox.gen3 import Gen3
from medfetch.sandbox.git import Git
from medfetch.sandbox.github import GitHub
from medfetch.sandbox.grand_challenge import GrandChallenge
from medfetch.sandbox.hf import Hub
from medfetch.sandbox.hosts import COMMONS, ENDPOINTS, MADE_UP, Hosts
from medfetch.sandbox.kaggle import Kaggle
from medfetch.sandbox.loris import Loris
from medfetch.sandbox.mendeley import Mendeley
from medfetch.sandbox.onedrive import OneDrive
from medfetch.sandbox.openneuro import OpenNeuro
from medfetch.sandbox.osf import Osf
from medfetch.sandbox.physionet import PhysioNet
from medfetch.sandbox.record import Entry, Tally
from medfetch.sandbox.redivis import Redivis
from medfetch.sandbox.rehearsal import Rehearsal
from medfetch.sandbox.s3 import Store
from medfetch.sandbox.server import Server
from medfetch.sandbox.synapse import Synapse
from medfetch.sandbox.webdav import Clouds
from medfetch.sandbox.xnat import Xnat
from medfetch.sandbox.zenodo import Zenodo

__all__ = ["Entry", "Fault", "Sandbox", "Tally", "serve"]

LOOPBACK = ("127.0.0.1", "localhost")


class Sandbox:
    """A sandbox in this process, in threads of its own; a context manager.

    ``port`` 0 takes a free one. ``max_instance_bytes`` shrinks DICOM instances that the index says are larger.
    ``rate`` is in bytes a second for each connection, ``latency`` in seconds before each answer. ``replaced``:
    SeriesInstanceUIDs that have got another content since the index was made (``publish_index``).

    Raises: UsageProblem if the port is taken or ``max_instance_bytes`` is less than a DICOM header needs.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        max_instance_bytes: int | None = None,
        rate: int | None = None,
        latency: float = 0.0,
        faults: Iterable[Fault] = (),
        replaced: Iterable[str] = (),
    ) -> None:
        if max_instance_bytes is not None and max_instance_bytes < SMALLEST:
            raise UsageProblem(f"max_instance_bytes is {max_instance_bytes}, expected at least {SMALLEST}")
        self._faults = Faults(tuple(faults))
        # DICOM elements have even lengths, and so have files made of them.
        cap = max_instance_bytes and max_instance_bytes & ~1
        self._hosts = Hosts(cap, self._faults, lambda: self._server.record, tuple(replaced))
        self._hosts.show = Rehearsal(self._hosts).show
        try:
            self._server = Server(port, self._hosts, self._faults, rate, latency)
        except OSError as error:
            raise UsageProblem(f"port {port} cannot be used: {error}", hint="0 takes a free one") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="sandbox", daemon=True)

    def __enter__(self) -> Sandbox:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server and all its connections; a second time it does nothing."""
        if not self._server.stopping.is_set():
            self._server.stop()
            self._thread.join()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def address(self) -> str:
        """Its own, where it can be told what to have."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoints(self) -> dict[str, str]:
        """Base addresses by the names that the sources give their endpoints."""
        return {name: f"{self.address}/{path}" for name, path in ENDPOINTS.items()}

    @property
    def made_up(self) -> dict[str, dict[str, str]]:
        """What opens the gates here, by the names that medfetch gives to the hosts' secrets."""
        return {**MADE_UP, "gen3": self.gen3.key(COMMONS)}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point medfetch here."""
        return {f"MEDFETCH_ENDPOINT_{name.upper()}": address for name, address in self.endpoints.items()}

    @property
    def box(self) -> Box:
        """What people share at Box; nothing at the beginning, as of the next four."""
        return self._hosts.box

    @property
    def dropbox(self) -> Dropbox:
        """At Dropbox."""
        return self._hosts.dropbox

    @property
    def drive(self) -> Drive:
        """At Google Drive."""
        return self._hosts.drive

    @property
    def onedrive(self) -> OneDrive:
        """At OneDrive."""
        return self._hosts.onedrive

    @property
    def clouds(self) -> Clouds:
        """In clouds that speak WebDAV."""
        return self._hosts.clouds

    @property
    def hub(self) -> Hub:
        """Datasets of the Hugging Face Hub can be published there."""
        return self._hosts.hub

    @property
    def loris(self) -> Loris:
        """Its servers; none at the beginning."""
        return self._hosts.loris

    @property
    def xnat(self) -> Xnat:
        """Its servers; none at the beginning."""
        return self._hosts.xnat

    @property
    def openneuro(self) -> OpenNeuro:
        """Its datasets; none at the beginning."""
        return self._hosts.openneuro

    @property
    def physionet(self) -> PhysioNet:
        """Projects can be published there, and people approved."""
        return self._hosts.physionet

    @property
    def kaggle(self) -> Kaggle:
        """What Kaggle shows, and to whom; nothing at the beginning."""
        return self._hosts.kaggle

    @property
    def git(self) -> Git:
        """Repositories at any host, below ``/http``; none at the beginning."""
        return self._hosts.git

    @property
    def github(self) -> GitHub:
        """Its repositories; none at the beginning."""
        return self._hosts.github

    @property
    def grand_challenge(self) -> GrandChallenge:
        """Its archives; none at the beginning."""
        return self._hosts.grand_challenge

    @property
    def gen3(self) -> Gen3:
        """Commons, and what is in them; nothing at the beginning."""
        return self._hosts.gen3

    @property
    def gcs(self) -> Gcs:
        """Google's buckets, which can be closed to all but one account."""
        return self._hosts.gcs

    @property
    def s3(self) -> Store:
        """Amazon's buckets, which can be closed to all but some."""
        return self._hosts.s3

    @property
    def synapse(self) -> Synapse:
        """Its folders; none at the beginning."""
        return self._hosts.synapse

    def show_examples(self) -> None:
        """Has something behind each gate."""
        examples.show(self._hosts)

    @property
    def redivis(self) -> Redivis:
        """Its datasets; none at the beginning."""
        return self._hosts.redivis

    @property
    def zenodo(self) -> Zenodo:
        """Its records; none at the beginning, as of those that follow."""
        return self._hosts.zenodo

    @property
    def figshare(self) -> Figshare:
        return self._hosts.figshare

    @property
    def mendeley(self) -> Mendeley:
        return self._hosts.mendeley

    @property
    def osf(self) -> Osf:
        return self._hosts.osf

    @property
    def dataverse(self) -> Dataverse:
        """Datasets in installations of Dataverse."""
        return self._hosts.dataverse

    @property
    def datacite(self) -> DataCite:
        """Where DOIs lead."""
        return self._hosts.datacite

    @property
    def doi(self) -> Doi:
        """Who wrote what has a DOI: ``describe``."""
        return self._hosts.doi

    @property
    def log(self) -> list[Entry]:
        """The recent requests, oldest first, once running answers are out (or go on for long)."""
        return self._server.record.log()

    @property
    def stats(self) -> Tally:
        """Counts since the start, likewise."""
        return self._server.record.tally()

    def add(self, *faults: Fault) -> None:
        """Faults for the requests to come, after those that are pending."""
        self._faults.add(*faults)

    def clear(self) -> None:
        """Forgets pending faults."""
        self._faults.clear()

    def put(self, address: str, data: bytes | None = None, *, size: int | None = None) -> bytes:
        """Has a file at ``https://host/path`` (under ``/http``), ``s3://bucket/key`` or ``gs://bucket/name``.

        Returns its bytes. Without ``data`` it is ``size`` bytes that depend on nothing but the address.
        """
        content = Content.noise(size or 0, address) if data is None else Content.of(data)
        self._hosts.shelf.put(address, content)
        return content.whole()

    def publish_index(self, folder: Path) -> None:
        """Writes the release of the Imaging Data Commons' index that knows of ``replaced`` series: a package for
        ``PYTHONPATH``, with their collections only."""
        self._hosts.archive.publish(folder)

    def share(self, cart: str, series: Iterable[str]) -> None:
        """Has a shared cart of that name at NBIA, with these SeriesInstanceUIDs."""
        self._hosts.nbia.carts[cart] = tuple(series)


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    max_instance_bytes: int | None = None,
    rate: int | None = None,
    latency: float = 0.0,
) -> None:
    """Runs a sandbox until SIGINT or SIGTERM, after printing the variables that point medfetch at it.

    Raises: UsageProblem for a host that others can reach, and as ``Sandbox``.
    """
    if host not in LOOPBACK:
        raise UsageProblem(f"the sandbox listens on loopback only, not on {host}", hint="leave --host out")
    over = threading.Event()
    with Sandbox(port, max_instance_bytes=max_instance_bytes, rate=rate, latency=latency) as box:
        before: dict[int, Any] = {
            number: signal.signal(number, lambda *_: over.set()) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            box.show_examples()
            for name, value in {**box.environment, **_variables()}.items():
                sys.stdout.write(f"export {name}={value}\n")
            sys.stdout.flush()
            over.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _variables() -> dict[str, str]:
    """The hosts' own variables with the sandbox's secrets, so that a person's own go nowhere; a commons has none."""
    tokens = {
        "KAGGLE_API_TOKEN": "kaggle", "GRAND_CHALLENGE_AUTHORIZATION": "grand-challenge", "HF_TOKEN": "hf",
        "SYNAPSE_AUTH_TOKEN": "synapse", "REDIVIS_API_TOKEN": "redivis", "OSF_TOKEN": "osf", "ZENODO_TOKEN": "zenodo",
        "OPENNEURO_API_KEY": "openneuro", "GITHUB_TOKEN": "github",
    }  # fmt: skip
    login = MADE_UP["physionet"]
    return {name: MADE_UP[kind]["token"] for name, kind in tokens.items()} | {
        "PHYSIONET_USERNAME": login["user"], "PHYSIONET_PASSWORD": login["password"],
    }  # fmt: skip
