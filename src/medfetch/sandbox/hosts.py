"""All that the sandbox stands in for, by the first part of the path, and the sandbox's own addresses.

It must not know sockets.

    /s3/<bucket>, /gcs/<bucket>              Amazon S3 and Google's storage
    /google-storage                          Google's storage by its JSON API; also its tokens
    /nbia/nbia-api/services, /nlst/nbia-api  NBIA and its host for NLST; also /nbia-api at the root
    /hf                                      the Hugging Face Hub and the storage that it leads to
    /physionet                               PhysioNet
    /github/{api,raw,media,site}             GitHub: its interface, files in git and in Git LFS, releases
    /grand-challenge/{api/v1,media,storage}  grand-challenge and the storage it redirects to
    /kaggle/api/v1, /kaggle/storage          Kaggle and the storage it redirects to; also /api/v1 at the root
    /ftp/<host>/<path>                       FTP servers, over HTTP: files, and of folders what MLSD would list
    /gen3/<host>/{user,ga4gh,wts}            commons of Gen3; also /gen3/storage, where their links lead
    /synapse/{repo,auth,file}/v1             Synapse; also /synapse/storage, where its links lead
    /openneuro/crn                           OpenNeuro; its bucket is /s3/openneuro.org
    /redivis/api/v1                          Redivis; also /redivis/storage, where its redirects lead
    /zenodo/api/records, /mendeley           Zenodo, Mendeley Data
    /figshare/{v2,files}, /osf/{v2,v1}       figshare and the OSF; also …/storage, where their redirects lead
    /dataverse/<host>/api, /datacite/dois    installations of Dataverse, likewise; DataCite
    /doi/<doi>                               doi.org, for whoever asks who wrote what
    /box/<host>, /dropbox, /gdrive           links that people share; also where they lead
    /onedrive                                OneDrive's interface and its tokens
    /webdav/<host>/<path>                    clouds that speak WebDAV
    /loris/<host>/api, /xnat/<host>/data     servers of LORIS and of XNAT
    /http/<host>/<path>                      any other host; git repositories, too; and those above by their own names
    /__faults   POST one fault or a list, DELETE all      /__files  POST {"address": …, "size": … or "text": …}
    /__log      GET the recent requests, without secrets  /__carts  POST {"name": [SeriesInstanceUID, …]}
    /__stats    GET the counts                            /__recipes POST one, to have what it wants (``rehearsal``)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from medfetch.sandbox import (
    box,
    common,
    dropbox,
    gcs,
    gdrive,
    github,
    grand_challenge,
    hf,
    kaggle,
    loris,
    onedrive,
    openneuro,
    physionet,
    redivis,
    synapse,
    web,
    webdav,
    xnat,
)
from medfetch.sandbox.archive import opened
from medfetch.sandbox.content import Content
from medfetch.sandbox.datacite import DataCite, Doi
from medfetch.sandbox.dataverse import Dataverse
from medfetch.sandbox.faults import Fault, Faults
from medfetch.sandbox.figshare import Figshare
from medfetch.sandbox.gen3 import Gen3
from medfetch.sandbox.git import Git
from medfetch.sandbox.grand_challenge import GrandChallenge
from medfetch.sandbox.hf import Hub
from medfetch.sandbox.kaggle import Kaggle
from medfetch.sandbox.mendeley import Mendeley
from medfetch.sandbox.messages import Answer, Request, as_json, text
from medfetch.sandbox.nbia import Nbia
from medfetch.sandbox.openneuro import OpenNeuro
from medfetch.sandbox.osf import Osf
from medfetch.sandbox.physionet import PhysioNet
from medfetch.sandbox.record import Entry, Record
from medfetch.sandbox.s3 import Store
from medfetch.sandbox.sigv4 import Account
from medfetch.sandbox.synapse import Synapse
from medfetch.sandbox.zenodo import Zenodo

ENDPOINTS = {
    "idc": "s3", "idc_gcs": "gcs", "s3": "s3", "gcs": "google-storage",
    "tcia": "nbia", "tcia_nlst": "nlst", "http": "http", "datalad": "http", "loris": "loris", "xnat": "xnat",
    "github": "github/api", "github_raw": "github/raw", "github_lfs": "github/media", "github_releases": "github/site",
    "kaggle": "kaggle", "grand_challenge": "grand-challenge",
    "gen3": "gen3", "synapse": "synapse", "synapse_files": "synapse", "redivis": "redivis/api/v1",
    "openneuro": "openneuro", "openneuro_s3": "s3",
    "physionet": "physionet", "physionet_s3": "s3", "hf": "hf",
    "zenodo": "zenodo", "figshare": "figshare/v2", "figshare_files": "figshare", "mendeley": "mendeley",
    "osf": "osf/v2", "osf_files": "osf/v1", "dataverse": "dataverse", "datacite": "datacite", "doi": "doi",
    "box": "box", "dropbox": "dropbox", "dropbox_files": "dropbox", "gdrive": "gdrive", "gdrive_files": "gdrive",
    "onedrive": "onedrive", "onedrive_token": "onedrive", "webdav": "webdav", "ftp": "ftp", "torrent": "http",
}  # fmt: skip
"""Where each of the sources' endpoints is answered."""
AMAZON = Account("AKIASANDBOX", "sandbox-secret-key")
"""The account at AWS that a rehearsal has."""
MADE_UP = {
    "aws": {"id": AMAZON.id, "secret": AMAZON.secret},
    "aws-payer": {"id": AMAZON.id, "secret": AMAZON.secret},
    "dataverse": {"token": common.TOKEN},
    "gcp": {"token": gcs.TOKEN},
    "gcp-payer": {"token": gcs.TOKEN, "project": gcs.PROJECT},
    "github": {"token": github.TOKEN},
    "grand-challenge": {"token": grand_challenge.TOKEN},
    "hf": {"token": hf.TOKEN},
    "kaggle": {"token": kaggle.TOKEN},
    "netrc": {"user": "sandbox", "password": "sandbox-password"},
    "osf": {"token": common.TOKEN},
    "loris": {"user": loris.USER, "password": loris.PASSWORD},
    "xnat": {"user": xnat.USER, "password": xnat.PASSWORD},
    "openneuro": {"token": openneuro.KEY},
    "physionet": {"user": physionet.USER, "password": physionet.PASSWORD},
    "redivis": {"token": redivis.TOKEN},
    "synapse": {"token": synapse.TOKEN},
    "zenodo": {"token": common.TOKEN},
}
"""What opens their gates, so that nobody's own secret has to. Any other host takes any log-in."""
SECRET = ("authorization", "x-dataverse-key")
COMMONS = "sandbox.example"
"""The commons of Gen3 whose key a rehearsal has."""


OWN_NAMES = {
    "api.figshare.com": "figshare", "data.mendeley.com": "mendeley", "dl.dropboxusercontent.com": "dropbox",
    "files.osf.io": "osf", "github.com": "github/site", "huggingface.co": "hf",
    "media.githubusercontent.com": "github", "ndownloader.figshare.com": "figshare", "openneuro.org": "openneuro",
    "physionet.org": "physionet", "raw.githubusercontent.com": "github/raw", "s3.amazonaws.com": "s3",
    "storage.googleapis.com": "google-storage", "zenodo.org": "zenodo", "*.s3.amazonaws.com": "s3/{bucket}",
}  # fmt: skip
"""What answers for hosts that are asked by their own names, as somebody does who has an address from there."""


def _is(name: str, host: str) -> bool:
    return name == host or (host.startswith("*") and name.endswith(host[1:]))


class Hosts:
    def __init__(
        self, cap: int | None, faults: Faults, record: Callable[[], Record], replaced: tuple[str, ...] = ()
    ) -> None:
        self.archive = archive = opened(cap, replaced)
        self.shelf = web.Shelf()
        self.nbia = Nbia(archive)
        self.kaggle = Kaggle()
        self.github = github.GitHub()
        self.grand_challenge = GrandChallenge()
        self.gen3 = Gen3()
        self.synapse = Synapse()
        self.redivis = redivis.Redivis()
        self.box = box.Box()
        self.dropbox = dropbox.Dropbox()
        self.drive = gdrive.Drive()
        self.onedrive = onedrive.OneDrive()
        self.clouds = webdav.Clouds()
        self.hub = Hub()
        self.zenodo = Zenodo()
        self.figshare = Figshare()
        self.mendeley = Mendeley()
        self.osf = Osf()
        self.dataverse = Dataverse()
        self.datacite = DataCite()
        self.doi = Doi()
        self.git = Git(self.shelf)
        self.loris = loris.Loris()
        self.xnat = xnat.Xnat()
        self.openneuro = OpenNeuro(self.shelf)
        self.physionet = PhysioNet(self.shelf)
        self.s3 = Store(archive, self.shelf, google=False)
        self.gcs = gcs.Gcs(self.shelf)
        self.show: Callable[[dict[str, Any], str], dict[str, Any]] | None = None
        """Has what a recipe wants, which takes all of these hosts."""
        self._faults = faults
        self._record = record
        nlst = Nbia(archive, nlst=True, carts=self.nbia.carts)
        self._answers: dict[str, Callable[[Request, str], Answer]] = {
            "s3": self.s3.answer,
            "gcs": Store(archive, self.shelf, google=True).answer,
            "google-storage": self.gcs.answer,
            "nbia": self.nbia.answer,
            "nlst": nlst.answer,
            "nbia-api": lambda request, path: self.nbia.answer(request, f"nbia-api/{path}"),
            "hf": self.hub.answer,
            "loris": self.loris.answer,
            "xnat": self.xnat.answer,
            "openneuro": self.openneuro.answer,
            "physionet": self.physionet.answer,
            "kaggle": self.kaggle.answer,
            "github": self.github.answer,
            "grand-challenge": self.grand_challenge.answer,
            "gen3": self.gen3.answer,
            "synapse": self.synapse.answer,
            "redivis": self.redivis.answer,
            "zenodo": self.zenodo.answer,
            "figshare": self.figshare.answer,
            "mendeley": self.mendeley.answer,
            "osf": self.osf.answer,
            "dataverse": self.dataverse.answer,
            "datacite": self.datacite.answer,
            "doi": self.doi.answer,
            "box": self.box.answer,
            "dropbox": self.dropbox.answer,
            "gdrive": self.drive.answer,
            "onedrive": self.onedrive.answer,
            "webdav": self.clouds.answer,
            "api": lambda request, path: self.kaggle.answer(request, f"api/{path}"),
            "ftp": lambda request, path: web.ftp(self.shelf, request, path),
            "http": self._any_host,
        }

    def answer(self, request: Request) -> Answer:
        first, _, rest = request.path.lstrip("/").partition("/")
        if first not in self._answers:
            return text(f"the sandbox has {', '.join(f'/{name}' for name in self._answers)}\n", 404)
        try:
            return self._answers[first](request, rest)
        except ValueError as error:
            return text(f"{error}\n", 400)

    def _any_host(self, request: Request, path: str) -> Answer:
        """Any host, by its own name."""
        found = self.git.answer(request, path) or web.answer(self.shelf, request, path)
        name, _, rest = path.partition("/")
        if found.status == 404 and (own := next((own for host, own in OWN_NAMES.items() if _is(name, host)), None)):
            first, _, folder = own.format(bucket=name.partition(".")[0]).partition("/")
            return self._answers[first](request, f"{folder}/{rest}".lstrip("/"))
        return found

    def control(self, request: Request) -> Answer | None:
        if not request.path.startswith("/__"):
            return None
        try:
            match (request.method, request.path):
                case ("POST", "/__faults"):
                    rows = json.loads(request.body)
                    self._faults.add(*(Fault(**row) for row in (rows if isinstance(rows, list) else [rows])))
                    return text("")
                case ("DELETE", "/__faults"):
                    self._faults.clear()
                    return text("")
                case ("POST", "/__files"):
                    self.put(**json.loads(request.body))
                    return text("")
                case ("POST", "/__carts"):
                    self.nbia.carts.update({name: tuple(uids) for name, uids in json.loads(request.body).items()})
                    return text("")
                case ("POST", "/__recipes") if self.show:
                    return as_json(self.show(json.loads(request.body), common.here(request)))
                case ("GET", "/__log"):
                    return as_json([_shown(entry) for entry in self._record().log()])
                case ("GET", "/__stats"):
                    return as_json(asdict(self._record().tally()))
        except (LookupError, TypeError, ValueError) as error:
            return text(f"{error}\n", 400)
        return text(f"{request.method} {request.path} is not known here\n", 404)

    def put(self, address: str, text: str | None = None, size: int | None = None) -> None:
        """Shelves a file with this text, or with ``size`` bytes that depend on its address only."""
        if (text is None) == (size is None):
            raise ValueError("give either text or size")
        content = Content.of(text.encode()) if text is not None else Content.noise(size or 0, address)
        self.shelf.put(address, content)


def _shown(entry: Entry) -> dict[str, object]:
    """A request as anybody on this machine may see it: whoever called may have sent secrets of their own."""
    headers = [(name, "…" if name.lower() in SECRET else value) for name, value in entry.headers]
    return {**asdict(entry), "headers": headers, "body": ""}
