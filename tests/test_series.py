from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_samples import SERIES, instance

from medfetch.errors import DiskFull, IntegrityError
from medfetch.unpack import Series, extract_series

UIDS = [f"{SERIES}.{number}" for number in range(1, 5)]
FILES = {f"1-{number}.dcm": instance(uid) for number, uid in enumerate(UIDS, 1)}
ROOMY = 1 << 40


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def listing(files: dict[str, bytes]) -> bytes:
    return "".join(["Filename,MD5Hash\n", *(f"{name},{md5(data)}\n" for name, data in files.items())]).encode()


def make(path: Path, files: dict[str, bytes], listed: bytes | None) -> Path:
    """A zip as NBIA makes it: the instances, the list of their MD5s, a licence."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        if listed is not None:
            archive.writestr("md5hashes.csv", listed)
        archive.writestr("LICENSE", b"CC BY 3.0")
    return path


def unpack(path: Path, free: Callable[[], int] = lambda: ROOMY) -> Series:
    series = extract_series([path], path.parent / "staging", free_bytes=free)
    for member in series.members:
        data = member.staged.read_bytes()
        assert data in FILES.values()
        assert (member.size, member.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        if member.checked:
            assert str(member.checked) == f"md5:{md5(data)}"
    return series


def names(series: Series) -> list[str]:
    return [member.name for member in series.members]


def test_instances_get_their_names_and_match_the_list(tmp_path: Path) -> None:
    series = unpack(make(tmp_path / "s.zip", FILES, listing(FILES)))
    assert names(series) == [f"{uid}.dcm" for uid in UIDS]
    assert all(member.checked for member in series.members)
    assert series.problems == ()


UPPER = "".join(f"{name},{md5(data).upper()}\r\n" for name, data in FILES.items())
QUOTED = "".join(f'"{name}", "{md5(data)}"\n' for name, data in FILES.items())
TURNED = "n,MD5Hash,Filename\n" + "".join(f"{md5(data)},{name},7\n" for name, data in FILES.items())
FOLDERS = "Filename,MD5Hash\n" + "".join(f"{SERIES}/{name},{md5(data)}\n" for name, data in FILES.items())


@pytest.mark.parametrize("text", [UPPER, QUOTED, TURNED, FOLDERS, "\ufeff" + UPPER, UPPER + "\n\n,\nx\n"])
def test_lists_of_other_shapes(text: str, tmp_path: Path) -> None:
    series = unpack(make(tmp_path / "s.zip", FILES, text.encode()))
    assert [bool(member.checked) for member in series.members] == [True] * 4
    assert series.problems == ()


def test_members_with_what_nbia_puts_in_front_of_their_names(tmp_path: Path) -> None:
    prefixed = {f"{SERIES}^{name}": data for name, data in FILES.items()}
    series = unpack(make(tmp_path / "s.zip", prefixed, listing(FILES)))
    assert all(member.checked for member in series.members)
    assert series.problems == ()


def test_without_a_list_nothing_is_said_to_be_checked(tmp_path: Path) -> None:
    series = unpack(make(tmp_path / "s.zip", FILES, None))
    assert len(series.members) == 4
    assert not any(member.checked for member in series.members)
    assert series.problems == ()


def test_an_instance_that_is_not_listed_is_kept_unchecked(tmp_path: Path) -> None:
    some = {name: FILES[name] for name in list(FILES)[:3]}
    series = unpack(make(tmp_path / "s.zip", FILES, listing(some)))
    assert [bool(member.checked) for member in series.members] == [True, True, True, False]


def test_an_instance_without_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    series = unpack(make(tmp_path / "s.zip", {"IM000001": FILES["1-1.dcm"]}, None))
    assert names(series) == [f"{UIDS[0]}.dcm"]


def test_the_good_are_kept_and_the_bad_are_told(tmp_path: Path) -> None:
    sent = dict(FILES)
    sent["1-2.dcm"] = FILES["1-2.dcm"][:-1] + b"!"
    sent["1-3.dcm"] = b"<html>Service unavailable</html>"
    listed = listing(FILES | {"1-5.dcm": b"never sent"})
    archive = make(tmp_path / "s.zip", sent, listed)
    series = unpack(archive)
    assert names(series) == [f"{UIDS[0]}.dcm", f"{UIDS[3]}.dcm"]
    changed, page, missing = series.problems
    assert changed.startswith("1-2.dcm: ")
    assert md5(FILES["1-2.dcm"]) in changed
    assert "1-3.dcm: not a DICOM file" in page
    assert missing == "1-5.dcm: is in md5hashes.csv and not in the zip"


def corrupt(path: Path, name: str) -> None:
    whole = bytearray(path.read_bytes())
    at = whole.index(name.encode())
    whole[at + len(name) + 20] ^= 0xFF
    path.write_bytes(whole)


def test_a_corrupt_member_does_not_spoil_the_others(tmp_path: Path) -> None:
    archive = make(tmp_path / "s.zip", FILES, listing(FILES))
    corrupt(archive, "1-2.dcm")
    series = unpack(archive)
    assert names(series) == [f"{uid}.dcm" for uid in UIDS if uid != UIDS[1]]
    (problem,) = series.problems
    assert problem.startswith("1-2.dcm: ")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    archive = make(tmp_path / "s.zip", FILES, None)
    whole = bytearray(archive.read_bytes())
    entry = whole.index(b"PK\1\2")
    struct.pack_into("<I", whole, entry + 24, 1 << 20)
    archive.write_bytes(whole)
    series = unpack(archive)
    assert len(series.members) == 3
    assert "1,048,576 bytes" in series.problems[0]


def test_two_members_that_are_the_same_instance(tmp_path: Path) -> None:
    twice = {"1-1.dcm": FILES["1-1.dcm"], "1-2.dcm": FILES["1-1.dcm"]}
    series = unpack(make(tmp_path / "s.zip", twice, listing(twice)))
    assert names(series) == [f"{UIDS[0]}.dcm"]
    assert "1-2.dcm: " in series.problems[0]
    assert "twice" in series.problems[0]


def test_names_in_the_zip_are_never_used(tmp_path: Path) -> None:
    series = unpack(make(tmp_path / "s.zip", {"../../evil.dcm": FILES["1-1.dcm"]}, None))
    assert names(series) == [f"{UIDS[0]}.dcm"]
    assert not list(tmp_path.rglob("evil*"))


def test_annotations_and_other_files_are_left_out(tmp_path: Path) -> None:
    files = FILES | {"annotation.xml": b"<LidcReadMessage/>", "readme.txt": b""}
    series = unpack(make(tmp_path / "s.zip", files, listing(files)))
    assert len(series.members) == 4
    assert series.problems == ()


@pytest.mark.parametrize("broken", [b"", b"<html>Log in</html>", b"PK\3\4"])
def test_what_is_no_zip_is_an_error(broken: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.zip").write_bytes(broken)
    with pytest.raises(IntegrityError, match=r"^s\.zip: broken archive"):
        unpack(tmp_path / "s.zip")


def test_a_cut_zip_is_an_error(tmp_path: Path) -> None:
    archive = make(tmp_path / "s.zip", FILES, listing(FILES))
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(IntegrityError):
        unpack(archive)


def test_a_list_that_is_corrupt_is_an_error(tmp_path: Path) -> None:
    archive = make(tmp_path / "s.zip", FILES, listing(FILES))
    corrupt(archive, "md5hashes.csv")
    with pytest.raises(IntegrityError):
        unpack(archive)


def test_an_absurd_list_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medfetch.unpack.series.LONGEST_LIST", 10)
    with pytest.raises(IntegrityError, match="too many for a list"):
        unpack(make(tmp_path / "s.zip", FILES, listing(FILES)))


def test_no_space(tmp_path: Path) -> None:
    archive = make(tmp_path / "s.zip", FILES, listing(FILES))
    with pytest.raises(DiskFull):
        unpack(archive, lambda: sum(map(len, FILES.values())) - 1)
    assert not list((tmp_path / "staging").rglob("*"))


def test_stopped(tmp_path: Path) -> None:
    archive = make(tmp_path / "s.zip", FILES, None)
    answers = iter([False, True])
    with pytest.raises(InterruptedError):
        extract_series([archive], tmp_path / "staging", free_bytes=lambda: ROOMY, stop=lambda: next(answers))
