"""S3 listings: pages, odd keys, ETags, and answers that are no listing."""

from __future__ import annotations

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st
from plain_net import PlainNet

from medfetch.errors import Retryable
from medfetch.sources import _listing
from medfetch.sources._listing import Object, Page, bucket_address, list_objects, object_address, parse_page
from medfetch.types import Checksum, Traits

ADDRESS = "https://bucket.s3.amazonaws.com"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def page(*keys: str, token: str | None = None, encoded: bool = False, namespace: str = "2006-03-01") -> str:
    contents = "".join(
        f"<Contents><Key>{key}</Key><ETag>&quot;{MD5}&quot;</ETag><Size>{at}</Size></Contents>"
        for at, key in enumerate(keys)
    )
    return (
        f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/{namespace}/"><Name>bucket</Name>'
        + ("<EncodingType>url</EncodingType>" if encoded else "")
        + (f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "")
        + f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>{contents}</ListBucketResult>"
    )


def test_a_page() -> None:
    expected = Page((Object("a/1 &.dcm", 0, f'"{MD5}"'), Object("b", 1, f'"{MD5}"')), None)
    assert parse_page(page("a/1 &amp;.dcm", "b").encode(), ADDRESS) == expected


def test_keys_are_decoded_only_if_the_answer_says_that_they_are_encoded() -> None:
    assert parse_page(page("a%2Bb+c%25%C3%A9", encoded=True).encode(), ADDRESS).objects[0].key == "a+b c%é"
    assert parse_page(page("a%2Bb+c").encode(), ADDRESS).objects[0].key == "a%2Bb+c"


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>Log in</body></html>",
        b"",
        b"{}",
        page("a").encode()[:-30],
        page("a").replace("<Size>0</Size>", "").encode(),
        page("a").replace("<Size>0<", "<Size>many<").encode(),
        page("a", token="t").replace("<NextContinuationToken>t</NextContinuationToken>", "").encode(),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes) -> None:
    with pytest.raises(Retryable, match="did not answer with the list of a bucket"):
        parse_page(body, ADDRESS)


@responses.activate
def test_pages_are_asked_for_as_they_are_needed_and_folders_left_out() -> None:
    asks = responses.matchers.query_param_matcher
    first = {"list-type": "2", "prefix": "p/", "encoding-type": "url"}
    responses.get(f"{ADDRESS}/", page("p/", "p/a", token="next="), match=[asks(first)])
    responses.get(f"{ADDRESS}/", page("p/b"), match=[asks({**first, "continuation-token": "next="})])
    net = PlainNet(Traits())
    objects = list_objects(net, ADDRESS, "p/")
    assert next(objects).key == "p/a"
    assert len(net.asked) == 1
    assert [each.key for each in objects] == ["p/b"]


@responses.activate
def test_a_listing_that_turns_in_circles_ends() -> None:
    responses.get(f"{ADDRESS}/", page("a", token="same"))
    with pytest.raises(Retryable, match="again and again"):
        list(list_objects(PlainNet(Traits()), ADDRESS, ""))


@responses.activate
def test_the_wrong_region() -> None:
    responses.get(f"{ADDRESS}/", "<Error/>", status=301, headers={"x-amz-bucket-region": "eu-west-1"})
    with pytest.raises(_listing.WrongRegion) as raised:
        list(list_objects(PlainNet(Traits()), ADDRESS, ""))
    assert raised.value.region == "eu-west-1"


@pytest.mark.parametrize(
    ("etag", "checksums"),
    [
        (f'"{MD5}"', (Checksum("md5", MD5),)),
        (f'"{MD5.upper()}"', (Checksum("md5", MD5),)),
        (f'"{MD5}-12"', ()),
        (f'W/"{MD5}"', ()),
        ('"CJDE5pX4/oYDEAE="', ()),
        ("", ()),
    ],
)
def test_only_the_etag_of_a_whole_upload_is_an_md5(etag: str, checksums: tuple[Checksum, ...]) -> None:
    assert _listing.published_md5(etag) == checksums


def test_addresses() -> None:
    assert bucket_address("https://{bucket}.s3.amazonaws.com", "b") == "https://b.s3.amazonaws.com"
    assert bucket_address("http://127.0.0.1:1/s3", "b") == "http://127.0.0.1:1/s3/b"
    assert object_address("http://h/b", "a+b c/ü%?#.x~") == "http://h/b/a%2Bb%20c/%C3%BC%25%3F%23.x~"


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_an_address_leads_back_to_its_key(key: str) -> None:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(object_address("http://h/b", key))
    assert unquote(parts.path) == f"/b/{key}"
    assert not parts.query and not parts.fragment
