"""The stand-in for S3: listings in pages, objects with ranges and conditions, errors in XML."""

from __future__ import annotations

import hashlib
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from asking import ask

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import Archive

CT = "37cf5cd8-d103-4cd0-a446-960bc0ed92a3"
BUCKET = "/s3/idc-open-data"


def texts(xml: bytes, name: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(xml).iter() if each.tag.rpartition("}")[2] == name]


def test_a_series_is_listed_in_pages_in_order(shared: Sandbox, archive: Archive) -> None:
    keys: list[str] = []
    etags: list[str] = []
    token, pages = "", 0
    while True:
        target = f"{BUCKET}?list-type=2&prefix={CT}%2F&max-keys=50&encoding-type=url"
        page = ask(shared, target + (f"&continuation-token={quote(token)}" if token else "")).body
        keys += texts(page, "Key")
        etags += texts(page, "ETag")
        pages += 1
        assert texts(page, "KeyCount") == [str(len(texts(page, "Key")))]
        if texts(page, "IsTruncated") == ["false"]:
            break
        (token,) = texts(page, "NextContinuationToken")
    assert (pages, len(keys)) == (3, 133)
    assert keys == sorted({f"{CT}/{file.uuid}.dcm" for file in archive.instances(archive.find(CT))})
    assert etags[0] == f'"{hashlib.md5(ask(shared, f"{BUCKET}/{keys[0]}").body).hexdigest()}"'


def test_folders_are_common_prefixes(shared: Sandbox) -> None:
    first = ask(shared, f"{BUCKET}?list-type=2&delimiter=%2F&max-keys=2").body
    folders = texts(first, "Prefix")[1:]
    assert len(folders) == 2
    (token,) = texts(first, "NextContinuationToken")
    second = ask(shared, f"{BUCKET}?list-type=2&delimiter=%2F&max-keys=2&continuation-token={quote(token)}").body
    assert folders < texts(second, "Prefix")[1:]
    within = ask(shared, f"{BUCKET}?list-type=2&delimiter=%2F&prefix={CT[:30]}").body
    assert (texts(within, "Prefix"), texts(within, "Key")) == ([CT[:30], f"{CT}/"], [])


def test_the_part_of_a_key_behind_the_folder_is_matched_too(shared: Sandbox, archive: Archive) -> None:
    name = archive.instances(archive.find(CT))[0].uuid
    page = ask(shared, f"{BUCKET}?list-type=2&prefix={CT}/{name[:13]}").body
    assert texts(page, "Key") == [f"{CT}/{name}.dcm"]
    assert texts(ask(shared, f"{BUCKET}?list-type=2&prefix={'0' * 36}/").body, "KeyCount") == ["0"]


def test_objects_put_on_the_shelf_are_listed_with_their_names_encoded(box: Sandbox) -> None:
    for key in ("b/ü+ &.txt", "b/1", "c"):
        box.put(f"s3://open/{key}", key.encode())
    page = ask(box, "/s3/open?list-type=2&prefix=b/&encoding-type=url").body
    assert texts(page, "Key") == ["b/1", quote("b/ü+ &.txt")]
    assert texts(ask(box, "/s3/open?list-type=2&prefix=b/").body, "Key") == ["b/1", "b/ü+ &.txt"]
    assert ask(box, "/s3/open/" + quote("b/ü+ &.txt")).body == "b/ü+ &.txt".encode()
    page = ask(box, "/s3/open?list-type=2&delimiter=/").body
    assert (texts(page, "Prefix"), texts(page, "Key")) == (["", "b/"], ["c"])


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/s3/no-such-bucket?list-type=2", 404, "NoSuchBucket"),
        ("/s3/no-such-bucket/key", 404, "NoSuchBucket"),
        (f"{BUCKET}/{CT}/x.dcm", 404, "NoSuchKey"),
        (f"{BUCKET}/nonsense", 404, "NoSuchKey"),
        (f"/s3/idc-open-data-cr/{CT}/x.dcm", 404, "NoSuchKey"),
        (BUCKET, 501, "NotImplemented"),
    ],
)
def test_errors_are_xml(shared: Sandbox, target: str, status: int, code: str) -> None:
    reply = ask(shared, target)
    assert (reply.status, texts(reply.body, "Code")) == (status, [code])


def test_google_has_the_same_bytes_under_its_own_bucket_names(shared: Sandbox, archive: Archive) -> None:
    series = archive.select({"Collection": "acrin_6698", "Modality": "MR"}, "aws_bucket = 'idc-open-data-two'")
    series = series or archive.select({"Modality": "MR"}, "aws_bucket = 'idc-open-data-two' AND instanceCount < 50")
    key = f"{series[0].uuid}/{archive.instances(series[0])[0].uuid}.dcm"
    amazon, google = ask(shared, f"/s3/idc-open-data-two/{key}"), ask(shared, f"/gcs/idc-open-idc1/{key}")
    assert amazon.status == google.status == 200
    assert amazon.body == google.body
    assert google.headers["x-goog-hash"].startswith("md5=")
    assert ask(shared, f"/gcs/idc-open-data-two/{key}").status == 404


def test_prior_versions_are_still_there(shared: Sandbox) -> None:
    replaced = "865d8361-5242-42b9-a7d3-a53178a868a8"
    page = ask(shared, f"/s3/idc-open-data-two?list-type=2&prefix={replaced}/").body
    assert len(texts(page, "Key")) == 55


def test_ranges_and_conditions(box: Sandbox) -> None:
    data = box.put("s3://open/file", size=1000)
    url = "/s3/open/file"
    whole = ask(box, url)
    etag, modified = whole.headers["ETag"], whole.headers["Last-Modified"]
    assert (whole.status, whole.body, whole.headers["Accept-Ranges"]) == (200, data, "bytes")
    assert etag == f'"{hashlib.md5(data).hexdigest()}"'
    head = ask(box, url, "HEAD")
    assert (head.status, head.headers["Content-Length"], head.headers["ETag"], head.body) == (200, "1000", etag, b"")

    for asked, got, said in [
        ("bytes=0-9", data[:10], "bytes 0-9/1000"),
        ("bytes=990-", data[990:], "bytes 990-999/1000"),
        ("bytes=-5", data[-5:], "bytes 995-999/1000"),
        ("bytes=10-5000", data[10:], "bytes 10-999/1000"),
    ]:
        part = ask(box, url, Range=asked)
        assert (part.status, part.body, part.headers["Content-Range"]) == (206, got, said)
    for ignored in ("bytes=0-9,20-29", "bytes=-", "lines=1-2"):
        assert ask(box, url, Range=ignored).status == 200
    beyond = ask(box, url, Range="bytes=1000-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, "bytes */1000")

    for good in (etag, modified):
        assert ask(box, url, Range="bytes=5-", If_Range=good).status == 206
    for bad in ('"other"', f"W/{etag}", "Sun, 01 Jan 2022 00:00:00 GMT"):
        again = ask(box, url, Range="bytes=5-", If_Range=bad)
        assert (again.status, again.body) == (200, data)
    assert ask(box, url, If_None_Match=etag).status == 304
    assert ask(box, url, If_Match='"other"').status == 412
    assert ask(box, url, If_Match=etag).status == 200
