"""How the hosts that list are given what recipes want of them: by source, one way each. It must not know sockets.

Each takes the hosts, a route and the files of its dataset by the names that they have there; it returns which of the
route's words are others here: commits, of which nobody can choose the digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from medfetch.sandbox.content import Content
from medfetch.sandbox.hosts import AMAZON, Hosts
from medfetch.sandbox.names import fits, several
from medfetch.sandbox.physionet import USER

Route = Mapping[str, Any]
Files = Mapping[str, bytes]
OF_A_PART = ("path", "files", "unpack", "into", "table", "prefix", "opened_by", "subdatasets")
"""A route's words that are about a part, not about the dataset at its host."""
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "idc": {
        "collection": "collection_id", "source_doi": "source_DOI", "series": "SeriesInstanceUID",
        "patient": "PatientID", "study": "StudyInstanceUID", "modality": "Modality", "body_part": "BodyPartExamined",
    },
    "tcia": {
        "series": "SeriesInstanceUID", "modality": "Modality", "body_part": "BodyPartExamined", "patient": "PatientID",
    },
}  # fmt: skip
"""Columns of the index by the words of the routes to the archives."""
ANNEXED = (".nii.gz", ".nii", ".mgz", ".mnc", ".gz", ".zip", ".tiff", ".mp4")


def dataset(route: Route) -> str:
    """A name for what a host has under one roof."""
    return json.dumps({name: value for name, value in route.items() if name not in OF_A_PART}, sort_keys=True)


def conditions(routes: Sequence[Route]) -> list[tuple[str, list[str]]]:
    """What the index has of the series that all of a part's routes to the archives mean: values by column."""
    found: list[tuple[str, list[str]]] = []
    for route in (route for route in routes if route["source"] in COLUMNS):
        for word, column in COLUMNS[route["source"]].items():
            if word in route:
                found.append((column, several(route[word])))
        if route["source"] == "tcia" and "collection" in route:
            names = [each.replace("-", "_").replace(" ", "_") for each in several(route["collection"])]
            found.append(("collection_id", names))
        result = route.get("analysis_result", "any" if {"source_doi", "series"} & set(route) else "none")
        if route["source"] == "idc" and result != "any":
            found.append(("analysis_result_id", [] if result == "none" else [result]))
    return found


def beginning(route: Route) -> tuple[str, str, str]:
    """The folder at the host, the one that takes its place in the paths, and how names begin in it."""
    if route["source"] in ("s3", "gcs"):
        folder, slash, rest = str(route.get("prefix", "")).rpartition("/")
        return folder + slash, "", rest
    if route["source"] == "redivis":
        table = several(route.get("table", "files"))[0]
        return f"{table}/", f"{table.partition(':')[0]}/", ""
    return "", "", ""


def _box(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    for link, name, what in _links(route, files):
        hosts.box.share(link, name, what)
    return {}


def _dataverse(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.dataverse.publish(route["host"], route["doi"], files, version=route.get("version", "1.0"))
    return {}


def _datalad(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    address = route["repository"]
    modules = {}
    for pattern in several(route.get("subdatasets", ())):
        inside = {path: data for path, data in files.items() if fits(path, [pattern])}
        folder = pattern.replace("*", "1")
        named = {path.removeprefix(f"{folder}/"): data for path, data in inside.items()}
        modules[folder] = (f"{address}-{folder}", _repository(hosts, f"{address}-{folder}", named))
        files = {path: data for path, data in files.items() if path not in inside}
    commit = _repository(hosts, address, files, modules)
    return {"commit": commit} if "commit" in route else {}


def _repository(
    hosts: Hosts, address: str, files: Files, modules: Mapping[str, tuple[str, str]] | None = None
) -> str:  # fmt: skip
    """Has a repository whose large files lie elsewhere, and where its host shows a repository's small ones."""
    parts = urlsplit(address)
    annexed = {path: data for path, data in files.items() if path.endswith(ANNEXED)}
    small = {path: data for path, data in files.items() if path not in annexed}
    web = {path: f"https://annex.sandbox.example/{parts.netloc}{parts.path}/{path}" for path in annexed}
    commit = hosts.git.publish(address, small, annexed, submodules=modules, web=web)
    for path, url in web.items():
        hosts.shelf.put(url, Content.of(annexed[path]))
    for path, data in small.items():
        if parts.netloc == "github.com":
            raw = f"https://raw.githubusercontent.com{parts.path.removesuffix('.git')}/{commit}/{path}"
        else:
            raw = f"{address.removesuffix('.git')}/raw/{commit}/{path}"
        hosts.shelf.put(raw, Content.of(data))
    return commit


def _dropbox(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    for link, name, what in _links(route, files):
        hosts.dropbox.share(link, name, what)
    return {}


def _figshare(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.figshare.publish(route["article"], files, version=route.get("version"))
    return {}


def _gcs(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    for name, data in files.items():
        hosts.shelf.put(f"gs://{route['bucket']}/{name}", Content.of(data))
    if route.get("requester_pays"):
        hosts.gcs.close(route["bucket"], requester_pays=True, public=True)
    return {}


def _gdrive(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    for item in route.get("files", ()):
        hosts.drive.file(item["path"].rpartition("/")[2], files[item["path"]], key=item["id"])
    if "folder" in route:
        hosts.drive.folder(_nested(files), key=route["folder"])
    return {}


def _nested(files: Files) -> dict[str, Any]:
    """Files by path as folders within folders."""
    root: dict[str, Any] = {}
    for path, data in files.items():
        folder = root
        *folders, name = path.split("/")
        for each in folders:
            folder = folder.setdefault(each, {})
        folder[name] = data
    return root


def _github(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    if "release" in route:
        hosts.github.release(route["repository"], route["release"], files)
        return {}
    commit, _ = hosts.github.publish(route["repository"], files)
    return {"commit": commit} if "commit" in route else {}


def _grand_challenge(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    items: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        folder, _, name = path.rpartition("/")
        items.setdefault(folder, {})[name] = data
    hosts.grand_challenge.archive(route["archive"], list(items.values()))
    return {}


def _hf(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    gated = "manual" if "hf" in route["opened_by"] else False
    commit, _ = hosts.hub.publish(route["dataset"], files, gated=gated, approved=[USER])
    return {"revision": commit} if "revision" in route else {}


def _kaggle(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    if "competition" in route:
        hosts.kaggle.competition(route["competition"], files)
    else:
        hosts.kaggle.dataset(route["dataset"], files, version=route.get("version", 1))
    return {}


def _loris(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.loris.publish(route["host"], route.get("project", "sandbox"), files)
    return {}


def _mendeley(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.mendeley.publish(route["dataset"], files, version=route.get("version"))
    return {}


def _onedrive(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    for link, name, what in _links(route, files):
        hosts.onedrive.share(link, name, what)
    return {}


def _openneuro(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.openneuro.publish(route["dataset"], route.get("version", "1.0.0"), files)
    return {}


def _osf(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.osf.publish(route["project"], files, storage=route.get("storage", "osfstorage"))
    return {}


def _physionet(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    gated = "physionet" in route["opened_by"]
    project, version = route["project"], route.get("version", "1.0.0")
    if gated:
        hosts.physionet.publish(project, version, files, policy="credentialed", approved=[USER])
    else:
        hosts.physionet.publish(project, version, files, mirrored=True)
    return {}


def _redivis(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    tables: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        table, _, name = path.partition("/")
        tables.setdefault(table, {})[name] = data
    reference, version = route["dataset"], route.get("version", "v1_0")
    hosts.redivis.dataset(f"{reference if ':' in reference else f'{reference}:abcd'}:{version}", tables)
    return {}


def _s3(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    for key, data in files.items():
        hosts.shelf.put(f"s3://{route['bucket']}/{key}", Content.of(data))
    if "aws" in route["opened_by"] or route.get("requester_pays"):
        region, pays = route.get("region", "us-east-1"), bool(route.get("requester_pays"))
        hosts.s3.close(route["bucket"], AMAZON, region=region, requester_pays=pays)
    return {}


def _synapse(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.synapse.folder(route["id"], files)
    return {}


def _webdav(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    parts = urlsplit(route["share"])
    _, mark, token = parts.path.rpartition("/s/")
    if mark:
        hosts.clouds.share(parts.netloc, token.strip("/"), files)
    else:
        hosts.clouds.folder(parts.netloc, parts.path.strip("/"), files)
    return {}


def _xnat(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.xnat.publish(route["host"], route["project"], files)
    return {}


def _zenodo(hosts: Hosts, route: Route, files: Files) -> dict[str, Any]:
    hosts.zenodo.publish(route["record"], files)
    return {}


def _links(route: Route, files: Files) -> list[tuple[str, str, Files | bytes]]:
    """Shared links, with what each is called and leads to: of several, one file each in the order of ``files``; of a
    single one, all of it."""
    links = several(route["link"])
    paths = [item["path"] for item in route.get("files", ())]
    if len(links) > 1 or len(paths) == 1:
        paths = paths or list(files)
        return [(link, path.rpartition("/")[2], files[path]) for link, path in zip(links, paths, strict=False)]
    return [(links[0], "shared", files)]


HOSTS: Mapping[str, Callable[[Hosts, Route, Files], dict[str, Any]]] = {
    "box": _box,
    "datalad": _datalad,
    "dataverse": _dataverse,
    "dropbox": _dropbox,
    "figshare": _figshare,
    "gcs": _gcs,
    "gdrive": _gdrive,
    "github": _github,
    "grand-challenge": _grand_challenge,
    "hf": _hf,
    "kaggle": _kaggle,
    "loris": _loris,
    "mendeley": _mendeley,
    "onedrive": _onedrive,
    "openneuro": _openneuro,
    "osf": _osf,
    "physionet": _physionet,
    "redivis": _redivis,
    "s3": _s3,
    "synapse": _synapse,
    "webdav": _webdav,
    "xnat": _xnat,
    "zenodo": _zenodo,
}
"""By source."""
