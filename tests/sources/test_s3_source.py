"""The s3 source, against a real server that speaks S3 (moto), and its addresses against S3's rules."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from plain_net import PlainNet
from test_listing import page

from medfetch.errors import RecipeError, UsageProblem
from medfetch.sources.s3 import S3
from medfetch.types import Checksum, RemoteFile, Selection

ODD_KEYS = ["d/a+b.nii", "d/100%.txt", "d/with space/é山.dcm", "d/q?x=1&y#z;'~(1)=.bin", "d/%2B"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where moto listens, with a bucket of odd keys, which it lists two at a time."""
    moto = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
    boto3 = pytest.importorskip("boto3", reason="pip install boto3")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    listening = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    listening.start()
    try:
        address = "http://{}:{}".format(*listening.get_host_and_port())
        client = boto3.client(
            "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        client.create_bucket(Bucket="odd", ACL="public-read")
        for key in [*ODD_KEYS, "d/", "data.csv"]:
            client.put_object(Bucket="odd", Key=key, Body=key.encode(), ACL="public-read")
        yield address
    finally:
        listening.stop()
        monkeypatch.undo()


def resolve(net: PlainNet, selection: Selection | None = None, **locator: Any) -> list[RemoteFile]:
    return list(S3().resolve(locator, net, selection or Selection()))


def test_every_key_can_be_fetched_at_its_address(server: str) -> None:
    net = PlainNet(S3.traits, s3=server)
    found = resolve(net, bucket="odd", prefix="d/")
    assert len(net.asked) == 3
    assert sorted(each.path for each in found) == sorted(key.removeprefix("d/") for key in ODD_KEYS)
    for each in found:
        body = requests.get(each.urls[0], timeout=30).content
        assert body == f"d/{each.path}".encode()
        assert each.size == len(body)
        assert each.checksums == (Checksum("md5", hashlib.md5(body, usedforsecurity=False).hexdigest()),)


def test_a_prefix_is_the_beginning_of_keys(server: str) -> None:
    net = PlainNet(S3.traits, s3=server)
    assert sorted(each.path for each in resolve(net, bucket="odd", prefix="d"))[-1] == "data.csv"


@pytest.mark.parametrize(
    ("patterns", "prefix"),
    [
        (("sub-01/*.nii",), "data/sub-01/"),
        (("sub-01/anat", "sub-02/anat"), "data/sub-0"),
        (("*.nii",), "data/"),
        (("sub-[12]/x",), "data/sub-"),
    ],
)
@responses.activate
def test_paths_that_begin_alike_shorten_the_listing(patterns: tuple[str, ...], prefix: str) -> None:
    responses.get("https://b-1.s3.amazonaws.com/", page(), match=[
        responses.matchers.query_param_matcher({"prefix": prefix}, strict_match=False)
    ])  # fmt: skip
    assert resolve(PlainNet(S3.traits), Selection({"path": patterns}), bucket="b-1", prefix="data/") == []


@pytest.mark.parametrize(
    ("path", "selected", "asked", "found"),
    [
        (["sub-01", "*.tsv"], (), "data/", ["sub-01/a.nii", "sub-01/b.nii", "x.tsv"]),
        ("sub-01/", (), "data/sub-01/", ["sub-01/a.nii", "sub-01/b.nii"]),
        (["sub-01/*", "sub-02/*"], ("sub-01/b*",), "data/sub-01/b", ["sub-01/b.nii"]),
    ],
)
@responses.activate
def test_a_route_of_some_paths(path: Any, selected: tuple[str, ...], asked: str, found: list[str]) -> None:
    keys = [f"data/{each}" for each in ("sub-01/a.nii", "sub-01/b.nii", "sub-03/../a", "x.tsv")]
    responses.get("https://b-1.s3.amazonaws.com/", page(*(key for key in keys if key.startswith(asked))), match=[
        responses.matchers.query_param_matcher({"prefix": asked}, strict_match=False)
    ])  # fmt: skip
    selection = Selection({"path": selected} if selected else {})
    assert [
        each.path for each in resolve(PlainNet(S3.traits), selection, bucket="b-1", prefix="data/", path=path)
    ] == found


@responses.activate
def test_paths_that_nothing_fits_are_an_error() -> None:
    responses.get("https://b-1.s3.amazonaws.com/", page("data/x"))
    with pytest.raises(UsageProblem, match="s3://b-1/data/ and fits the route's path"):
        resolve(PlainNet(S3.traits), bucket="b-1", prefix="data/", path="*.nii")


@responses.activate
def test_an_empty_prefix_is_an_error_and_an_empty_selection_is_not() -> None:
    responses.get("https://b-1.s3.amazonaws.com/", page())
    with pytest.raises(UsageProblem, match="no object's key begins with s3://b-1/typo/"):
        resolve(PlainNet(S3.traits), bucket="b-1", prefix="typo/")
    assert resolve(PlainNet(S3.traits), Selection({"path": ("x",)}), bucket="b-1") == []


@pytest.mark.parametrize("key", ["d/../secret", "d//x", "/x", "d/a&#10;b", ".medfetch/x", "d/" + "x" * 256])
@responses.activate
def test_unsafe_keys_are_named(key: str) -> None:
    responses.get("https://b-1.s3.amazonaws.com/", page(key))
    with pytest.raises(RecipeError, match="s3://b-1 has an object that cannot be a file here"):
        resolve(PlainNet(S3.traits), bucket="b-1")


@pytest.mark.parametrize(
    ("locator", "address"),
    [
        ({"bucket": "b-1"}, "https://b-1.s3.amazonaws.com/"),
        ({"bucket": "b-1", "region": "eu-west-1"}, "https://b-1.s3.eu-west-1.amazonaws.com/"),
        ({"bucket": "openneuro.org"}, "https://s3.amazonaws.com/openneuro.org"),
        ({"bucket": "a.b", "region": "us-west-2"}, "https://s3.us-west-2.amazonaws.com/a.b"),
    ],
)
@responses.activate
def test_where_buckets_are(locator: dict[str, str], address: str) -> None:
    responses.get(address, page("x"))
    (found,) = resolve(PlainNet(S3.traits), **locator)
    assert found.urls == (f"{address.rstrip('/')}/x",)


@responses.activate
def test_the_region_is_found_out_once() -> None:
    responses.get("https://b-1.s3.amazonaws.com/", "", status=301, headers={"x-amz-bucket-region": "eu-west-1"})
    responses.get("https://b-1.s3.eu-west-1.amazonaws.com/", page("x"))
    (found,) = resolve(PlainNet(S3.traits), bucket="b-1")
    assert found.urls == ("https://b-1.s3.eu-west-1.amazonaws.com/x",)


@responses.activate
def test_the_region_of_a_signature_is_found_out() -> None:
    """S3 names it to whoever signs for another one."""
    said = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'"
    denied = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    malformed = f"<Error><Code>AuthorizationHeaderMalformed</Code><Message>{said}</Message></Error>"
    signed = {"match": [responses.matchers.header_matcher({"Authorization": "AWS4"})]}
    responses.get("https://b-1.s3.amazonaws.com/", malformed, status=400, **signed)
    responses.get("https://b-1.s3.amazonaws.com/", denied, status=403)
    responses.get("https://b-1.s3.eu-west-1.amazonaws.com/", page("x"), **signed)
    net = PlainNet(S3.traits)
    net.secrets["aws"] = "AWS4"
    (found,) = resolve(net, bucket="b-1")
    assert (found.urls, found.credential) == (("https://b-1.s3.eu-west-1.amazonaws.com/x",), "aws")


@pytest.mark.parametrize(
    "locator",
    [
        {"bucket": "b-1", "requester_pays": "yes"},
        {},
        {"bucket": "UPPER"},
        {"bucket": "b"},
        {"bucket": "b-1", "key": "x"},
    ],
)
def test_bad_locators(locator: dict[str, str]) -> None:
    with pytest.raises(RecipeError):
        resolve(PlainNet(S3.traits), **locator)


def test_a_typed_bucket() -> None:
    assert S3().locate("openneuro.org/ds002236/") == {"bucket": "openneuro.org", "prefix": "ds002236/"}
    assert S3().locate("//b-1") == {"bucket": "b-1"}
    with pytest.raises(UsageProblem):
        S3().locate("")
