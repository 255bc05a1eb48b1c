"""What every source promises (``medfetch.sources``), asked of each in the same way."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
import torrent_files
from plain_net import PlainNet
from requests import PreparedRequest
from responses.matchers import query_param_matcher

from medfetch import sources
from medfetch.errors import RecipeError, UsageProblem
from medfetch.planning import matches
from medfetch.sandbox.git import Git
from medfetch.sandbox.messages import Request
from medfetch.sandbox.web import Shelf
from medfetch.sources import Members
from medfetch.sources._paths import relative
from medfetch.types import Group, RemoteFile, Selection

S3_PAGE = """<ListBucketResult><IsTruncated>{more}</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>
<Contents><Key>{key}</Key><Size>3</Size><ETag>"900150983cd24fb0d6963f7d28e17f72"</ETag></Contents></ListBucketResult>"""
S3_KEYS = ["folder/a/b.nii", "folder/a/b.nii.gz", "folder/c"]
NBIA = "https://nbia.cancerimagingarchive.net/nbia-api/services/v4"


@dataclass(frozen=True)
class Case:
    typed: str | None
    """``source:TEXT``; None where only a recipe can say it."""
    locator: dict[str, Any]
    """With more than one entry."""
    bad: dict[str, Any]
    before: int = 1
    """Requests that the first entry may take."""


CASES = {
    "aspera": Case(
        None,
        {"package": "https://h.example/p", "files": [{"path": "b/a.svs"}, {"path": "a.zip", "unpack": True}]},
        {"package": "h.example"},
    ),
    "dataverse": Case(
        "d.example/10.1234/A@1.0",
        {"host": "d.example", "doi": "10.1234/A", "version": "1.0"},
        {"host": "d.example", "doi": "10.1234/A", "version": "latest"},
    ),
    "figshare": Case("1/2", {"article": 1, "version": 2}, {"article": "1"}),
    "box": Case("https://c.box.com/s/n", {"link": "https://c.box.com/s/n"}, {"link": "https://box.example/s/n"}),
    "dropbox": Case(
        "https://www.dropbox.com/s/a/a.zip?dl=0",
        {"link": ["https://www.dropbox.com/s/a/a.zip?dl=0", "https://www.dropbox.com/scl/fi/b/b.nii?rlkey=k"]},
        {"link": "https://www.dropbox.com/home"},
    ),
    "gdrive": Case(f"https://drive.google.com/drive/folders/{'f' * 33}", {"folder": "f" * 33}, {"folder": "x"}),
    # Which protocol, which commits, and what is in them.
    "datalad": Case(
        "https://h.example/r", {"repository": "https://h.example/r"}, {"repository": "r"}, before=3
    ),
    # The newest commit, then its tree.
    "github": Case("o/r", {"repository": "o/r"}, {"repository": "r"}, before=2),
    # The archive, then the first pages of its items and of its images.
    "grand-challenge": Case("a", {"archive": "a"}, {"archive": "a/b"}, before=3),
    # The commit, then the first page of its tree.
    "hf": Case("o/d", {"dataset": "o/d"}, {"dataset": "d"}, before=2),
    "http": Case(
        "https://h.example/a.zip",
        {"files": [{"path": "b/{n}.nii", "url": "https://h.example/{n}", "range": [9, 11]},
                   {"path": "a.zip", "url": "https://h.example/a.zip", "unpack": True}]},
        {"files": [{"path": "../a", "url": "https://h.example/a"}]},
    ),
    "idc": Case("lidc_idri", {"collection": "lidc_idri", "patient": ["LIDC-IDRI-0002", "LIDC-IDRI-0001"]}, {"x": 1}),
    "kaggle": Case("o/d/versions/3", {"dataset": "o/d", "version": 3}, {"dataset": "o/d", "competition": "c"}),
    "ftp": Case("//h.example/d/", {"folder": "ftp://h.example/d/"}, {"folder": "https://h.example/d/"}),
    "gcs": Case("bucket/folder/", {"bucket": "bucket", "prefix": "folder/"}, {"bucket": "../x"}),
    "gen3": Case(
        "c.example/dg.1/a",
        {"host": "c.example", "objects": ["dg.1/a", "dg.1/b"]},
        {"host": "c.example", "objects": ["a"], "manifest": [{"object_id": "a"}]},
    ),
    "links": Case(
        None,
        {"asked_at": "https://h.example/", "files": [{"path": "b/a.nii"}, {"path": "a.zip", "unpack": True}]},
        {"asked_at": "https://h.example/", "files": [{"path": "../a"}]},
    ),
    "manual": Case(
        None,
        {"at": "https://h.example/", "files": [{"path": "b/a.nii"}, {"path": "a.zip", "unpack": True}]},
        {"at": "https://h.example/", "files": [{"path": "../a"}]},
    ),
    # The folders, then the files in the first one.
    "mendeley": Case("abcd1234/2", {"dataset": "abcd1234", "version": 2}, {"dataset": "../x"}, before=2),
    # What kind of thing it is, then the first page of its files.
    "osf": Case("abcde", {"project": "abcde"}, {"project": "abcd"}, before=2),
    # A token, the share, and the first page of what is in it.
    "onedrive": Case("https://1drv.ms/f/c/1/a", {"link": "https://1drv.ms/f/c/1/a"}, {"link": "https://h/"}, before=3),
    # The projects, then the images of the first.
    "loris": Case("h.example", {"host": "h.example"}, {"host": "h"}, before=2),
    # The newest snapshot, then its files.
    "openneuro": Case("ds000001", {"dataset": "ds000001"}, {"dataset": "1"}, before=2),
    "physionet": Case("p", {"project": "p", "version": "1.0"}, {"project": "p", "path": []}),
    # The dataset, the first page of its tables, and the list of the first one's files.
    "redivis": Case("o.d:abcd:v1_0", {"dataset": "o.d:abcd", "version": "v1_0"}, {"dataset": "d"}, before=3),
    "s3": Case("bucket/folder/", {"bucket": "bucket", "prefix": "folder/"}, {"bucket": "../x"}),
    # The folder, the first page of what is in it, and its first file.
    "synapse": Case("syn1", {"id": "syn1"}, {"id": "1"}, before=3),
    "zenodo": Case("3", {"record": 3}, {"record": "3"}),
    "torrent": Case(
        None,
        {"info_hash": torrent_files.INFO_HASH, "torrent": "https://h.example/a.torrent"},
        {"info_hash": "0" * 39, "torrent": "https://h.example/a.torrent"},
    ),
    # The subjects, the sessions of the first, and its files.
    "xnat": Case("h.example/P", {"host": "h.example", "project": "P"}, {"host": "h.example"}, before=3),
    "tcia": Case("C1", {"collection": "C1"}, {"collection": "C1", "host": "elsewhere"}),
    "webdav": Case("https://c.example/s/token", {"share": "https://c.example/s/token"}, {"share": "c.example"}),
}  # fmt: skip


def list_one(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
    """S3's answer, with one key a page; each series of the Imaging Data Commons has one instance."""
    asked = parse_qs(urlsplit(str(request.url)).query)
    prefix = asked["prefix"][0]
    keys = [key for key in S3_KEYS if key.startswith(prefix)] or [f"{prefix}i.dcm"]
    at = int(asked.get("continuation-token", ["0"])[0])
    return 200, {}, S3_PAGE.format(more=str(at + 1 < len(keys)).lower(), next=at + 1, key=keys[at])


def list_one_at_google(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
    """The answer of Google's storage, with one object a page."""
    asked = parse_qs(urlsplit(str(request.url)).query)
    keys = [key for key in S3_KEYS if key.startswith(asked["prefix"][0])]
    at = int(asked.get("pageToken", ["0"])[0])
    item = {"name": keys[at], "size": "3", "generation": "1", "md5Hash": "kAFQmDzST7DWlj99KOF/cg=="}
    more = {"nextPageToken": str(at + 1)} if at + 1 < len(keys) else {}
    return 200, {}, json.dumps({"items": [item], **more})


def grand_challenge(mock: responses.RequestsMock) -> None:
    """An archive of one item, with an image and a DICOM set."""
    api, media = "https://grand-challenge.org/api/v1", "https://grand-challenge.org/media"
    keys = [f"{digit * 8}-1111-1111-1111-111111111111" for digit in "abcd"]
    images = [
        {"pk": keys[2], "dicom_image_set": None, "files": [{"pk": keys[0], "file": f"{media}/i.mha"}]},
        {"pk": keys[3], "dicom_image_set": {"image_set_id": "x"}, "files": []},
    ]
    values = [
        {"pk": at, "interface": {"relative_path": f"images/{at}"}, "image": f"{api}/cases/images/{image['pk']}/"}
        for at, image in enumerate(images)
    ]
    instance = {"sop_instance_uid": "1.2", "get_instance": {"method": "GET", "url": f"{media}/s", "headers": {}}}
    mock.get(f"{api}/archives/", json.dumps({"next": None, "results": [{"pk": keys[0]}]}))
    mock.get(f"{api}/archives/items/", json.dumps({"next": None, "results": [{"pk": keys[1], "values": values}]}))
    mock.get(f"{api}/cases/images/", json.dumps({"next": None, "results": images}))
    mock.get(f"{api}/cases/images/{keys[3]}/dicom/instances/", json.dumps({"instances": [instance]}))


def synapse(mock: responses.RequestsMock) -> None:
    """A folder of two files."""
    api = "https://repo-prod.prod.sagebase.org/repo/v1/entity"
    page = [{"id": key, "name": "n", "type": "x.FileEntity", "versionNumber": 1} for key in ("syn2", "syn3")]
    mock.post(f"{api}/syn1/bundle2", json.dumps({"entity": {"concreteType": "x.Folder"}}))
    mock.post(f"{api}/children", json.dumps({"page": page, "nextPageToken": None}))
    for key in ("syn2", "syn3"):
        handle = {"id": "7", "fileName": f"{key}.nii", "contentSize": 3, "contentMd5": "0" * 32}
        bundle = {"entity": {"id": key, "name": "n", "dataFileHandleId": "7"}, "fileHandles": [handle]}
        mock.post(f"{api}/{key}/version/1/bundle2", json.dumps(bundle))


def redivis(mock: responses.RequestsMock) -> None:
    """A dataset with two tables of files, the same in both, and one of rows."""
    api = "https://redivis.com/api/v1"
    mock.get(f"{api}/datasets/o.d%3Aabcd%3Av1_0", json.dumps({"accessLevel": "data"}))
    tables = [
        {"name": name, "qualifiedReference": f"o.d:abcd:v1_0.{name}", "isFileIndex": name != "c", "numRows": 2}
        for name in "abc"
    ]
    mock.get(f"{api}/datasets/o.d%3Aabcd%3Av1_0/tables", json.dumps({"results": tables, "nextPageToken": None}))
    for table in "ab":
        rows = [{"file_id": f"{table}{name}", "file_name": f"{name}/x.png", "size": 3} for name in "ba"]
        mock.get(f"{api}/tables/o.d%3Aabcd%3Av1_0.{table}/rows", "\n".join(json.dumps(row) for row in rows))


def repositories(mock: responses.RequestsMock) -> None:
    """Two files each, and where there are folders one of them in one."""
    data = [{"id": key, "filename": name, "filesize": 3, "md5": key * 32} for key, name in (("1", "a"), ("2", "c"))]
    rows = [{"label": row["filename"], "dataFile": row, "directoryLabel": "b"} for row in data]
    mock.get(
        "https://d.example/api/datasets/:persistentId/versions/1.0", json.dumps({"data": {"files": rows}})
    )  # fmt: skip
    rows = [{"id": key, "name": f"{key}.nii", "size": 3, "computed_md5": str(key) * 32} for key in (1, 2)]
    mock.get("https://api.figshare.com/v2/articles/1/versions/2/files", json.dumps(rows))
    api = "https://data.mendeley.com/public-api/datasets/abcd1234"
    mock.get(f"{api}/folders/2", json.dumps([{"id": "f", "name": "folder"}]))
    for folder in ("root", "f"):
        details = {"sha256_hash": "0" * 64, "download_url": f"https://data.mendeley.com/public-files/{folder}"}
        row = {"id": folder, "filename": "a.nii", "size": 3, "content_details": details}
        mock.get(
            f"{api}/files", json.dumps([row]), match=[query_param_matcher({"folder_id": folder}, strict_match=False)]
        )
    api = "https://api.osf.io/v2"
    mock.get(f"{api}/guids/abcde/", json.dumps({"data": {"type": "nodes"}}))
    told = [{"name": "a", "kind": "file", "path": "/1"}, {"name": "b", "kind": "folder", "path": "/2/"}]
    for place, each in (("/", told), ("/2/", [{"name": "c", "kind": "file", "path": "/3"}])):
        page = {"data": [{"attributes": row} for row in each], "links": {"next": None}}
        mock.get(f"{api}/nodes/abcde/files/osfstorage{place}", json.dumps(page))
    files = [{"key": name, "size": 3, "checksum": f"md5:{digit * 32}"} for name, digit in (("a", "0"), ("b", "1"))]
    mock.get("https://zenodo.org/api/records/3", json.dumps({"id": 3, "files": files}))


def shares(mock: responses.RequestsMock) -> None:
    """Folders of two files each; at Dropbox two links."""
    rows = [{"type": "file", "id": key, "name": f"{key}.nii", "itemSize": 3} for key in (1, 2)]
    state = {
        "/app-api/enduserapp/shared-item": {"sharedName": "n", "itemType": "folder"},
        "/app-api/enduserapp/shared-folder": {"items": rows, "pageCount": 1},
    }
    mock.get("https://c.box.com/s/n", f"<script>Box.postStreamData = {json.dumps(state)};</script>")
    for path in ("s/a/a.zip", "scl/fi/b/b.nii"):
        told = {"Content-Disposition": f'attachment; filename="{path[-5:]}"'}
        mock.get(f"https://www.dropbox.com/{path}", b"abc", headers=told)
    entry = '<a href="https://drive.google.com/file/d/{0}/view"><div class="flip-entry-title">{0}.nii</div></a>'
    entries = "".join(entry.format(letter * 33) for letter in "ba")
    mock.get("https://drive.google.com/embeddedfolderview", f'<div class="flip-entries">{entries}</div>')
    mock.post("https://api-badgerp.svc.ms/v1.0/token", json.dumps({"token": "t"}))
    drive, parent = "https://my.microsoftpersonalcontent.com/_api/v2.0", {"driveId": "d"}
    folder = {"id": "f", "name": "f", "folder": {}, "parentReference": parent}
    mock.get(f"{drive}/shares/u!aHR0cHM6Ly8xZHJ2Lm1zL2YvYy8xL2E/driveitem", json.dumps(folder))
    items = [{"id": key, "name": f"{key}.nii", "size": 3, "file": {}, "parentReference": parent} for key in "ba"]
    mock.get(f"{drive}/drives/d/items/f/children", json.dumps({"value": items}))
    dav = "".join(
        f"<response><href>/public.php/dav/files/token/{name}</href><propstat><prop><getcontentlength>3"
        "</getcontentlength></prop><status>HTTP/1.1 200 OK</status></propstat></response>"
        for name in ("", "b.nii", "a.nii")
    ).replace("<getcontentlength>3", "<resourcetype><collection/></resourcetype><getcontentlength>", 1)
    dav = f'<multistatus xmlns="DAV:">{dav}</multistatus>'
    mock.add("PROPFIND", "https://c.example/public.php/dav/files/token/", dav, status=207)


def openneuro(request: PreparedRequest) -> tuple[int, dict[str, str], str]:
    """OpenNeuro's answer: a snapshot of two files."""
    query = json.loads(str(request.body, "utf-8") if isinstance(request.body, bytes) else str(request.body))["query"]
    if "latestSnapshot" in query:
        return 200, {}, json.dumps({"data": {"dataset": {"latestSnapshot": {"tag": "1.0.0"}}}})
    there = "https://s3.amazonaws.com/openneuro.org/ds000001"
    rows = [
        {"id": id, "filename": path, "size": 3, "annexed": "-" in id, "urls": [f"{there}/{path}?versionId=1"]}
        for path, id in {"sub-1/anat/a.nii": f"MD5E-s3--{'0' * 32}.nii", "README": "1" * 40}.items()
    ]
    return 200, {}, json.dumps({"data": {"snapshot": {"files": rows}}})


def git(mock: responses.RequestsMock) -> None:
    """A repository with a file of git and one of git-annex."""
    host = Git(Shelf())
    host.publish("https://h.example/r", {"README": b"r"}, {"sub-1/anat/a.nii": b"abc"})

    def answer(request: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        body = request.body or b""
        parts = urlsplit(str(request.url))
        asked = Request(
            str(request.method), f"{parts.path}?{parts.query}", tuple(request.headers.items()),
            body.encode() if isinstance(body, str) else body,
        )  # fmt: skip
        told = host.answer(asked, f"h.example{parts.path}")
        assert told is not None
        return told.status, dict(told.headers), told.content.whole()

    for method, what in (("GET", "info/refs"), ("POST", "git-upload-pack")):
        mock.add_callback(method, f"https://h.example/r/{what}", answer)


@pytest.fixture(autouse=True)
def hosts() -> Iterator[None]:
    """The hosts' answers, small."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for bucket in ("bucket", "idc-open-data"):
            mock.add_callback("GET", f"https://{bucket}.s3.amazonaws.com/", list_one)
        mock.add_callback("GET", "https://storage.googleapis.com/storage/v1/b/bucket/o", list_one_at_google)
        files = [{"name": name, "totalBytes": 3} for name in ("a.csv", "b/c.nii")]
        mock.get("https://www.kaggle.com/api/v1/datasets/list/o/d", json.dumps({"datasetFiles": files}))
        hub = "https://huggingface.co/api/datasets/o/d"
        mock.get(f"{hub}/revision/main", json.dumps({"sha": "a" * 40, "gated": False}))
        rows = [
            {"type": "file", "path": path, "oid": digit * 40, "size": 3} for path, digit in (("a", "0"), ("b/c", "1"))
        ]
        mock.get(f"{hub}/tree/{'a' * 40}", json.dumps(rows))
        mock.get("http://h.example/d/", "type=dir; sub\r\ntype=file;size=3; a.nii\r\n")
        mock.get("http://h.example/d/sub/", "type=file;size=3; b c.nii\r\n")
        mock.get("https://h.example/a.torrent", torrent_files.CONTENT)
        repository = "https://api.github.com/repos/o/r"
        mock.get(f"{repository}/commits/HEAD", json.dumps({"sha": "a" * 40}))
        blobs = [{"path": path, "type": "blob", "mode": "100644", "sha": "b" * 39 + path, "size": 3} for path in "ac"]
        mock.get(f"{repository}/git/trees/{'a' * 40}", json.dumps({"tree": blobs, "truncated": False}))
        git(mock)
        mock.get("https://h.example/api/v0.0.3/projects", json.dumps({"Projects": {"p": {}}}))
        images = [{"Link": f"/candidates/{each}/V1/images/t1.mnc", "ScanType": "t1"} for each in ("123456", "123457")]
        mock.get("https://h.example/api/v0.0.3/projects/p/images", json.dumps({"Images": images}))
        for what, found in {
            "projects/P/subjects": [{"ID": "S1", "label": "one"}],
            "projects/P/subjects/S1/experiments": [{"ID": "E1", "label": "two", "xsiType": "xnat:mrSessionData"}],
            "experiments/E1/scans/ALL/files": [
                {"URI": f"/data/experiments/E1/scans/3/resources/7/files/{name}", "Size": "3", "collection": "DICOM",
                 "digest": "0" * 32} for name in ("a.dcm", "b.dcm")
            ],
        }.items():  # fmt: skip
            mock.get(f"https://h.example/data/{what}", json.dumps({"ResultSet": {"Result": found}}))
        grand_challenge(mock)
        mock.add_callback("POST", "https://openneuro.org/crn/graphql", openneuro)
        redivis(mock)
        repositories(mock)
        shares(mock)
        synapse(mock)
        for each in "ab":
            drs = {"id": each, "name": "same.dcm", "size": 3, "checksums": [{"type": "md5", "checksum": each * 32}]}
            mock.get(f"https://c.example/ga4gh/drs/v1/objects/dg.1/{each}", json.dumps(drs))
        physionet = "https://physionet-open.s3.amazonaws.com"
        mock.get(f"{physionet}/p/1.0/SHA256SUMS.txt", f"{'0' * 64} a.dat\n{'1' * 64} b/c.hea\n")
        mock.get(physionet, S3_PAGE.format(more="false", next="", key="p/1.0/a.dat"))
        mock.get("https://physionet.org/api/v1/projects/p/versions/", json.dumps([{"version": "1.0"}]))
        row = {"StudyInstanceUID": "1.2", "Collection": "C1", "PatientID": "P/1", "Modality": "CT"}
        rows = [{**row, "SeriesInstanceUID": uid} for uid in ("1.2.4", "1.2.3")]
        mock.get(f"{NBIA}/getSeries", json.dumps(rows))
        mock.get(f"{NBIA}/getSOPInstanceUIDs", json.dumps([{"SOPInstanceUID": "1.2.3.1"}]))
        yield


@pytest.fixture(params=sources.BUILTIN)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def resolved(name: str, net: PlainNet | None = None) -> Iterator[RemoteFile | Group]:
    source = sources.get(name)
    return source.resolve(CASES[name].locator, net or PlainNet(source.traits), Selection())


def test_it_knows_its_name(name: str) -> None:
    assert sources.get(name).name == name


def test_it_resolves_lazily(name: str) -> None:
    net = PlainNet(sources.get(name).traits)
    entries = resolved(name, net)
    assert iter(entries) is entries
    assert net.asked == []
    next(entries)
    assert len(net.asked) <= CASES[name].before


def test_it_resolves_twice_alike(name: str) -> None:
    first, second = list(resolved(name)), list(resolved(name))
    assert first == second
    assert len(first) > 1


def test_its_paths_are_unique_and_safe(name: str) -> None:
    paths = [entry.path for entry in resolved(name)]
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert relative(path) == path


def test_its_keys_are_unique(name: str) -> None:
    keys = [entry.key for entry in resolved(name)]
    assert len(set(keys)) == len(keys)


def test_its_entries_survive_pickling(name: str) -> None:
    entries = list(resolved(name))
    assert pickle.loads(pickle.dumps(entries)) == entries


def test_it_tells_only_the_facets_that_it_can_select_by(name: str) -> None:
    facets = set(sources.get(name).traits.facets)
    for entry in resolved(name):
        assert set(entry.facets) <= facets
        assert all(isinstance(value, str) and value for value in entry.facets.values())


def test_a_selection_by_a_facet_keeps_what_has_it(name: str) -> None:
    """Asking for less must not lose what was asked for, nor change it."""
    source = sources.get(name)
    entries = list(resolved(name))
    for facet, value in {**entries[0].facets, "path": entries[0].path}.items():
        selection = Selection({facet: (value,)})
        narrowed = source.resolve(CASES[name].locator, PlainNet(source.traits), selection)
        wanted = [entry for entry in entries if matches(entry, selection)]
        assert wanted
        assert wanted == [entry for entry in narrowed if matches(entry, selection)]


def test_what_is_resolved_can_be_fetched(name: str) -> None:
    """By addresses, in pieces, or by its members; these are in the group's folder and tell its facets."""
    source = sources.get(name)
    for entry in resolved(name):
        if isinstance(entry, RemoteFile):
            assert entry.urls or entry.pieces
            continue
        assert isinstance(source, Members)
        entry = Group(entry.path, entry.key, None, facets=entry.facets, context=entry.context)
        for member in source.members(entry, PlainNet(source.traits)):
            assert member.urls
            assert member.path == entry.path and member.dicom
            assert member.facets == entry.facets


def test_offline_means_without_the_network(name: str) -> None:
    source = sources.get(name)
    net = PlainNet(source.traits)
    list(resolved(name, net))
    assert (net.asked == []) == source.traits.offline


def test_it_reads_what_people_type(name: str) -> None:
    source = sources.get(name)
    if (typed := CASES[name].typed) is not None:
        next(source.resolve(source.locate(typed), PlainNet(source.traits), Selection()))
    with pytest.raises(UsageProblem):
        source.locate("")


@pytest.mark.parametrize("locator", [{}, {"no such field": "x"}, None])
def test_it_refuses_bad_locators(name: str, locator: dict[str, Any] | None) -> None:
    source = sources.get(name)
    with pytest.raises(RecipeError):
        list(source.resolve(CASES[name].bad if locator is None else locator, PlainNet(source.traits), Selection()))
