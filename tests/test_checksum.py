"""Digests: those that git knows files by, CRC32C, and OneDrive's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from medfetch.checksum import Hasher, git_blob, hash_file
from medfetch.errors import RecipeError
from medfetch.types import Checksum

HELLO = "ce013625030ba8dba906f756967f9e9ca394464a"
"""``git hash-object`` of "hello" and a line feed."""


def test_a_git_blob_id_is_checked_as_git_makes_it(tmp_path: Path) -> None:
    hasher = Hasher([git_blob(HELLO.upper(), 6)])
    for piece in (b"hel", b"lo\n"):
        hasher.update((piece,), len(piece))
    assert hasher.mismatch() is None
    (tmp_path / "file").write_bytes(b"jello\n")
    expected = Checksum("git-sha1-6", HELLO)
    wrong = hash_file(tmp_path / "file", [expected]).mismatch()
    assert wrong and wrong[0] == expected


@pytest.mark.parametrize("content", [b"", b"\0blob", bytes(range(256)) * 9000])
def test_it_is_what_git_says(tmp_path: Path, content: bytes) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not installed: apt-get install git")
    (tmp_path / "file").write_bytes(content)
    said = subprocess.run(["git", "hash-object", tmp_path / "file"], capture_output=True, text=True, check=True).stdout
    assert hash_file(tmp_path / "file", [git_blob(said.strip(), len(content))]).mismatch() is None


@pytest.mark.parametrize(
    ("content", "value"),
    [(bytes(32), "8a9136aa"), (b"\xff" * 32, "62a8ab43"), (bytes(range(32)), "46dd794e"), (b"123456789", "e3069283")],
)
def test_crc32c_is_that_of_rfc_3720(tmp_path: Path, content: bytes, value: str) -> None:
    """Its appendix B.4; the last is the check value that catalogues of such codes give."""
    expected = Checksum("crc32c", value)
    hasher = Hasher([expected])
    hasher.update([content[:5], bytearray(content[5:])], len(content))
    assert hasher.mismatch() is None
    (tmp_path / "file").write_bytes(content + b"!")
    wrong = hash_file(tmp_path / "file", [expected]).mismatch()
    assert wrong and wrong[0] == expected


def test_what_is_no_blob_id_is_refused() -> None:
    with pytest.raises(RecipeError):
        git_blob("123", 6)


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        (b"", "0000000000000000000000000000000000000000"),
        (b"\x22", "2200000000000000000000000100000000000000"),
        (b"medfetch" * 20, "7f7f7f7f7f7f7f7f7f7f7f7fdf7f7f7f7f7f7f7f"),
        (bytes(range(256)) * 1001, "4241847d28ac65c03b93e142875568d9d6c26b26"),
    ],
)
def test_quickxor_is_onedrives(data: bytes, digest: str) -> None:
    """As rclone 1.60 computes it (``rclone hashsum quickxor``); however the bytes come."""
    for step in (1 + len(data), 7, 160, 161):
        hasher = Hasher((Checksum("quickxor", digest),))
        for at in range(0, len(data), step):
            hasher.update((data[at : at + step],), len(data[at : at + step]))
        assert hasher.mismatch() is None
