"""The http source: what a recipe's files become, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from plain_net import NoNet

from medfetch.errors import RecipeError, UsageProblem
from medfetch.sources.http import Http
from medfetch.types import Checksum, RemoteFile, Selection, Unpack

MD5, SHA256 = "d41d8cd98f00b204e9800998ecf8427e", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
URL = "https://host.example/data/a.zip"


def files(*items: Any, **endpoints: str) -> list[RemoteFile]:
    return list(Http().resolve({"files": list(items)}, NoNet(Http.traits, **endpoints), Selection()))


def file(**fields: Any) -> RemoteFile:
    (only,) = files({"path": "in/a.zip", "url": URL, **fields})
    return only


def test_a_plain_file() -> None:
    assert file() == RemoteFile("in/a.zip", URL, (URL,))


def test_mirrors_checksums_and_size() -> None:
    found = file(url=[URL, "https://mirror.example/a.zip"], md5=MD5.upper(), sha256=SHA256, size=12)
    assert found.urls == (URL, "https://mirror.example/a.zip")
    assert found.checksums == (Checksum("md5", MD5), Checksum("sha256", SHA256))
    assert found.key == f"sha256:{SHA256}"
    assert found.size == 12


def test_a_size_in_words_is_nothing_to_verify_by() -> None:
    assert file(size="9.95 GB").size is None


@pytest.mark.parametrize(
    ("path", "unpack", "expected"),
    [
        ("in/a.zip", True, Unpack("zip", "in")),
        ("a.ZIP", True, Unpack("zip", "")),
        ("a.tar", {"into": "images"}, Unpack("tar", "images")),
        ("x/a.tar.gz", {"into": "."}, Unpack("tar", "")),
        ("a.tgz", True, Unpack("tar", "")),
        ("a.tar.bz2", True, Unpack("tar", "")),
        ("a.tar.xz", True, Unpack("tar", "")),
        ("a.7z", True, Unpack("7z", "")),
        ("a.zip", False, None),
    ],
)
def test_archives(path: str, unpack: Any, expected: Unpack | None) -> None:
    assert file(path=path, unpack=unpack).unpack == expected


def test_pieces_are_joined_in_order() -> None:
    pieces = [{"url": f"{URL}.{n:03d}", "md5": MD5, "size": n} for n in (1, 2)]
    (found,) = files({"path": "in/a.zip", "pieces": pieces, "sha256": SHA256, "unpack": True})
    assert found.urls == ()
    assert found.unpack == Unpack("zip", "in")
    assert found.pieces == (
        RemoteFile("in/a.zip.001", f"{URL}.001", (f"{URL}.001",), 1, (Checksum("md5", MD5),)),
        RemoteFile("in/a.zip.002", f"{URL}.002", (f"{URL}.002",), 2, (Checksum("md5", MD5),)),
    )


def test_a_split_zip_goes_to_the_unpacker_as_it_is() -> None:
    urls = ["https://h.example/f/T.z01?download=1", "https://h.example/f/T.z02/content", "https://h.example/f/T.zip"]
    (found,) = files({"path": "in/T.zip", "pieces": [{"url": url} for url in urls], "unpack": True})
    assert found.unpack == Unpack("split-zip", "in")
    assert [piece.path for piece in found.pieces] == ["in/T.z01", "in/T.z02", "in/T.zip"]
    assert found.key == urls[0]


def test_a_range_becomes_files() -> None:
    item = {"path": "case_{n:05d}/img.nii.gz", "url": "https://h.example/{n:05d}_{n}.nii.gz", "range": [0, 209]}
    found = files(item)
    assert len(found) == 210
    assert (found[7].path, found[7].urls) == ("case_00007/img.nii.gz", ("https://h.example/00007_7.nii.gz",))


def test_basic_authentication_names_the_host_and_no_secret() -> None:
    assert file(auth="basic").credential == "netrc:host.example"
    pieces = [{"url": f"{URL}.001"}, {"url": f"{URL}.002"}]
    (found,) = files({"path": "a.bin", "pieces": pieces, "auth": "basic"})
    assert {piece.credential for piece in found.pieces} == {"netrc:host.example"}


def test_a_mirror_of_everything() -> None:
    url = "https://host.example:8443/a b.zip?x=1&y=%20#top"
    (found,) = files({"path": "a", "url": url}, http="http://127.0.0.1:1/http")
    assert found.urls == ("http://127.0.0.1:1/http/host.example:8443/a%20b.zip?x=1&y=%20",)
    assert found.key == url


@pytest.mark.parametrize(
    ("fields", "where", "message"),
    [
        ({"path": None}, "path", "expected the path of a file"),
        ({"path": "../a"}, "path", "component"),
        ({"url": "file:///etc/passwd"}, "url", "expected an address with http"),
        ({"url": "https:///a"}, "url", "expected an address with http"),
        ({"url": "https://me:secret@host.example/a"}, "url", "belong in netrc"),
        ({"url": []}, "url", "expected a text or a list"),
        ({"url": 3}, "url", "expected a text or a list"),
        ({"md5": "xyz"}, "md5", "not 32 hexadecimal digits"),
        ({"md5": 12345}, "md5", "in quotes"),
        ({"size": "much"}, "size", "expected a number of bytes"),
        ({"size": -1}, "size", "expected a number of bytes"),
        ({"size": True}, "size", "expected a number of bytes"),
        ({"path": "a.txt", "unpack": True}, "unpack", "no archive"),
        ({"unpack": "yes"}, "unpack", "expected true or"),
        ({"unpack": {"into": "../.."}}, "unpack", "component"),
        ({"auth": "digest"}, "auth", "expected basic"),
        ({"auth": "basic", "url": [URL, "https://other.example/a"]}, "auth", "for one host"),
        ({"range": [1]}, "range", "expected \\[first, last\\]"),
        ({"range": [2, 1]}, "range", "no range"),
        ({"range": [1, 2]}, "", "need {n}"),
        ({"range": [1, 2], "path": "{n}.zip", "url": "https://h.example/{n}", "md5": MD5}, "", "md5 cannot be"),
        ({"pieces": [{"url": URL}]}, "", "either url or pieces"),
        ({"colour": "red"}, "", "unknown field 'colour'"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], where: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as raised:
        file(**fields)
    assert raised.value.at == ("http.files[0]" + (f".{where}" if where else ""))
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "expected a list of pieces"),
        (["x"], "expected fields"),
        ([{"md5": MD5}], "a piece needs a url"),
        ([{"url": f"{URL}.001", "path": "x"}], "unknown field 'path'"),
        ([{"url": "https://h.example/T.zip"}, {"url": "https://h.example/T.z01"}], "are .z01, .z02"),
        ([{"url": "https://h.example/T.z02"}, {"url": "https://h.example/T.zip"}], "are .z01, .z02"),
        ([{"url": "https://h.example/T.z01"}, {"url": "https://h.example/T.zip"}], "add `unpack: true`"),
    ],
)
def test_what_is_wrong_with_pieces_is_named(pieces: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        files({"path": "T.zip", "pieces": pieces})


def test_neither_address_nor_pieces() -> None:
    with pytest.raises(RecipeError, match="either url or pieces"):
        files({"path": "a"})


def test_two_files_cannot_have_one_path() -> None:
    with pytest.raises(RecipeError, match="two files have the path 'a'"):
        files({"path": "a", "url": URL}, {"path": "a", "url": URL})


@pytest.mark.parametrize("locator", [{}, {"files": []}, {"files": "x"}, {"files": [URL]}, {"file": []}])
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        list(Http().resolve(locator, NoNet(Http.traits), Selection()))


def test_a_typed_address() -> None:
    assert Http().locate("https://h.example/d/a%20b.zip?x=1") == {
        "files": [{"path": "a b.zip", "url": "https://h.example/d/a%20b.zip?x=1"}]
    }
    for text in ("https://h.example/", "host/file.zip", "file:///a"):
        with pytest.raises(UsageProblem):
            Http().locate(text)
