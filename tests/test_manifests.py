"""Manifests, good and damaged: what is read of them, and that errors name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medfetch.errors import RecipeError
from medfetch.manifests import lists_objects, read_objects, read_s5cmd, read_series_list

HEAD = """downloadServerUrl=https://public.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet
includeAnnotation=true
noOfrRetry=4
databasketId=manifest-1.tcia
manifestVersion=3.0
ListOfSeriesToDownload=
"""
ONE, TWO = "1.3.6.1.4.1.14519.5.2.1.6279.6001.1", "1.3.6.1.4.1.14519.5.2.1.6279.6001.2"
UUID, OTHER = "0011e3a7-1111-4222-8333-0123456789ab", "0011e3a7-1111-4222-8333-0123456789ac"


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "series"),
    [
        ("cart.tcia", f"{HEAD}{ONE}\n{TWO}\n", {ONE: 7, TWO: 8}),
        ("no-newline.tcia", f"{HEAD}{ONE}\n{TWO}", {ONE: 7, TWO: 8}),
        ("windows.TCIA", f"{HEAD}\n{TWO}\n{TWO}\n".replace("\n", "\r\n"), {TWO: 8}),
        ("byte-order-mark.tcia", f"\ufeff{HEAD}{ONE}\n", {ONE: 7}),
        ("short-header.tcia", f"{HEAD.splitlines()[0]}\nListOfSeriesToDownload={ONE}\n", {ONE: 2}),
        ("long-header.tcia", f"{HEAD.splitlines()[0]}\nnew=1\n{HEAD}{ONE}\n", {ONE: 9}),
        ("list.csv", f"Collection,Series Instance UID\nC,{ONE}\nC,{TWO}\n", {ONE: 2, TWO: 3}),
        ("quoted.csv", f'"SeriesInstanceUID","Note"\n"{ONE}","two\nlines"\n"{TWO}",\n\n', {ONE: 3, TWO: 4}),
        ("list.tsv", f"Series UID\tNote\n{ONE}\ta,b\n", {ONE: 2}),
    ],
)
def test_series_lists(tmp_path: Path, name: str, content: str, series: dict[str, int]) -> None:
    assert read_series_list(written(tmp_path, name, content)).series == series


@pytest.mark.parametrize(("server", "host"), [("nbia", "nbia"), ("public", "nbia"), ("nlst", "nlst")])
def test_the_server_tells_the_host(tmp_path: Path, server: str, host: str) -> None:
    path = written(tmp_path, "cart.tcia", HEAD.replace("public", server) + ONE)
    assert read_series_list(path).host == host


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("empty.tcia", "", "empty.tcia:1: the manifest ends before its ListOfSeriesToDownload="),
        ("half.tcia", HEAD[: len(HEAD) // 2], "half.tcia:2: expected name=value, found 'includ'"),
        ("header-only.tcia", HEAD, "header-only.tcia:6: the manifest ends before its first series"),
        ("no-list.tcia", HEAD.rpartition("List")[0], "no-list.tcia:5: the manifest ends before its ListOf"),
        ("cut-uid.tcia", f"{HEAD}{ONE}\n1.3.6.", "cut-uid.tcia:8: expected a SeriesInstanceUID, found '1.3.6.'"),
        ("zero.tcia", f"{HEAD}1.03.6\n", "zero.tcia:7: expected a SeriesInstanceUID"),
        ("long.tcia", f"{HEAD}{ONE}{'1' * 64}\n", "long.tcia:7: expected a SeriesInstanceUID"),
        ("no-server.tcia", f"x=1\nListOfSeriesToDownload=\n{ONE}\n", "no-server.tcia:1: the manifest names no downl"),
        ("page.tcia", "\n<!DOCTYPE html><html>", "page.tcia:1: a web page, not a manifest"),
        ("page.csv", "<html><title>Log in", "page.csv:1: a web page, not a manifest"),
        ("zip.tcia", b"PK\x03\x04\xff\xfe", "zip.tcia: not a text file"),
        (
            "list.csv",
            "Patient,Study\n1,2\n",
            "list.csv:1: expected one column SeriesInstanceUID, found the columns Pat",
        ),
        ("nothing.csv", "", "nothing.csv:1: expected one column SeriesInstanceUID, found the columns none"),
        ("twice.csv", "Series UID,SeriesInstanceUID\n", "twice.csv:1: expected one column"),
        ("no-rows.csv", "SeriesInstanceUID\n\n", "no-rows.csv: the table has no rows"),
        ("bad-row.csv", f"SeriesInstanceUID\n{ONE}\nn/a\n", "bad-row.csv:3: expected a SeriesInstanceUID, found 'n/a'"),
        ("short-row.csv", "A,Series UID\n1\n", "short-row.csv:2: the row ends before its column 'Series UID'"),
        ("list.xlsx", b"PK", "list.xlsx: not a list of series; expected .tcia, .csv or .tsv"),
    ],
)
def test_damaged_series_lists(tmp_path: Path, name: str, content: str | bytes, error: str) -> None:
    with pytest.raises(RecipeError) as raised:
        read_series_list(written(tmp_path, name, content))
    assert raised.value.message.startswith(f"{tmp_path}/{error}")
    assert raised.value.exit_code == 2


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone\.tcia: cannot be read: No such file"):
        read_series_list(tmp_path / "gone.tcia")


@pytest.mark.parametrize(
    ("content", "series"),
    [
        (f"cp s3://idc-open-data/{UUID}/* .\n", {UUID: 1}),
        (f"# To download, run:\n# s5cmd --no-sign-request run x\n\ncp s3://idc-open-data-cr/{UUID}/* ./a\n", {UUID: 4}),
        (f'cp --show-progress "s3://idc-open-data-two/{UUID}/*" "with space"\n', {UUID: 1}),
        (f"--endpoint-url https://storage.googleapis.com cp s3://public-datasets-idc/{UUID}/* .", {UUID: 1}),
        (f"sync s3://idc-open-data/{UUID}/* .\ncp s3://idc-open-cr/{OTHER}/ .\n", {UUID: 1, OTHER: 2}),
        (f"cp s3://idc-open-data/{UUID}/* a\ncp s3://idc-open-data/{UUID}/* b\n", {UUID: 1}),
    ],
)
def test_s5cmd_manifests(tmp_path: Path, content: str, series: dict[str, int]) -> None:
    assert read_s5cmd(written(tmp_path, "list.s5cmd", content)).series == series


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", ": no line copies a series"),
        ("# only a comment\n", ": no line copies a series"),
        (f"#\ncp s3://other-bucket/{UUID}/* .", ":2: 'other-bucket' is not a bucket of the Imaging Data Commons"),
        (f"cp s3://idc-open-data/{UUID}/{OTHER}.dcm .", ":1: expected a whole series, <uuid>/*, found"),
        (f"cp s3://idc-open-data/{UUID[:20]}", ":1: expected a whole series"),
        ("rm s3://idc-open-data/x/*", ":1: expected `cp s3://bucket/series/* folder`, found 'rm"),
        (f"cp s3://idc-open-data/{UUID}/* s3://mine/", ":1: expected `cp"),
        ("cp", ":1: expected `cp s3://bucket/series/* folder`, found 'cp'"),
        (f'cp "s3://idc-open-data/{UUID}/*', ":1: No closing quotation"),
        ("<html>", ":1: a web page, not a manifest"),
    ],
)
def test_damaged_s5cmd_manifests(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(RecipeError) as raised:
        read_s5cmd(written(tmp_path, "list.s5cmd", content))
    assert raised.value.message.startswith(f"{tmp_path}/list.s5cmd{error}")


COMMONS = "data.midrc.org"
MD5 = "65196806d31002bd48abed020d861cf1"
FULL = {"object_id": "dg.MD1R/a", "file_name": "a.zip", "file_size": 12, "md5sum": MD5}


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        (
            "m.json",
            [{**FULL, "commons_url": COMMONS, "case_ids": ["x"]}, {"object_id": "dg.MD1R/b"}],
            [FULL, {"object_id": "dg.MD1R/b"}],
        ),
        ("url.json", [{**FULL, "commons_url": f"https://{COMMONS}/"}], [FULL]),
        ("id.JSON", [{"object_id": f"drs://{COMMONS}/dg.MD1R/a"}], [{"object_id": f"drs://{COMMONS}/dg.MD1R/a"}]),
        (
            "indexd.json",
            [{"did": "dg.MD1R/a", "size": 12, "hash": MD5, "commons_url": COMMONS}],
            [{"object_id": "dg.MD1R/a", "file_size": 12, "md5sum": MD5}],
        ),
        (
            "unset.json",
            [{"object_id": "a", "file_size": -1, "file_name": None, "commons_url": COMMONS}],
            [{"object_id": "a"}],
        ),
        ("m.csv", f"GUID,md5,size,file_name,commons_url\ndg.MD1R/a,{MD5},12,a.zip,{COMMONS}\n\n", [FULL]),
        (
            "m.tsv",
            f"object_id\tfile_size\tcommons_url\ndg.MD1R/a\t12\t{COMMONS}\ndg.MD1R/b\n",
            [{"object_id": "dg.MD1R/a", "file_size": 12}, {"object_id": "dg.MD1R/b"}],
        ),
    ],
)
def test_manifests_of_a_commons(tmp_path: Path, name: str, content: Any, rows: list[dict[str, Any]]) -> None:
    path = written(tmp_path, name, content if isinstance(content, str) else json.dumps(content))
    found = read_objects(path)
    assert (found.host, list(found.rows)) == (COMMONS, rows)
    assert path.suffix.lower() == ".json" or lists_objects(path)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("m.json", "[{]", "m.json:1: not JSON: "),
        ("m.json", '[\n{"object_id": "a"},\n', "m.json:2: not JSON: "),
        ("m.json", '{"object_id": "a"}', "m.json: expected a list of objects"),
        ("m.json", "[]", "m.json: the manifest has no rows"),
        ("m.json", '["a"]', "m.json, object 1: expected an object, found 'a'"),
        ("m.json", '[{"object_id": "a"}, {"file_name": "b"}]', "m.json, object 2: expected an object_id"),
        ("m.json", '[{"object_id": "a"}]', "m.json: the manifest does not say of which commons it is"),
        ("m.json", '[{"object_id": "drs://dg.4503:a"}]', "m.json: the manifest does not say of which commons it is"),
        ("m.json", '[{"did": "a", "commons_url": "x.org", "size": 1.5}]', "m.json, object 1: expected a number"),
        (
            "m.json",
            '[{"did": "drs://x.org/a"}, {"did": "drs://y.org/b"}]',
            "m.json, object 2: of y.org, and others of x.org",
        ),
        ("m.json", "<html>", "m.json:1: a web page, not a manifest"),
        ("m.csv", "guid,commons_url\na,x.org\n,x.org\n", "m.csv:3: expected an object_id"),
    ],
)
def test_damaged_manifests_of_a_commons(tmp_path: Path, name: str, content: str, error: str) -> None:
    with pytest.raises(RecipeError) as raised:
        read_objects(written(tmp_path, name, content))
    assert raised.value.message.startswith(f"{tmp_path}/{error}")


@pytest.mark.parametrize("titles", ["SeriesInstanceUID", "guid,SeriesInstanceUID", "PatientID,Study"])
def test_tables_that_are_of_series_stay_so(tmp_path: Path, titles: str) -> None:
    assert not lists_objects(written(tmp_path, "list.csv", f"{titles}\n"))
