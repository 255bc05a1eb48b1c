from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from dicom_samples import instance
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medfetch.dicom import HEAD, sop_instance_uid
from medfetch.errors import IntegrityError

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.298806137288633453246975630178"
GOOD = instance(UID)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name
)
@pytest.mark.parametrize("uid", ["1.2", UID, "2.25." + "9" * 59])
def test_agrees_with_pydicom(syntax: str, uid: str, tmp_path: Path) -> None:
    path = tmp_path / "any name"
    path.write_bytes(instance(uid, syntax=syntax))
    assert sop_instance_uid(path.read_bytes()[:HEAD]) == uid == read_file_meta_info(path).MediaStorageSOPInstanceUID


def test_agrees_with_pydicom_on_the_files_that_pydicom_is_tested_with() -> None:
    compared = 0
    for path in sorted((Path(pydicom.__file__).parent / "data/test_files").rglob("*")):
        try:
            expected = str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
        except (pydicom.errors.InvalidDicomError, AttributeError, IsADirectoryError):
            expected = ""
        if expected:
            assert sop_instance_uid(path.read_bytes()[:HEAD]) == expected, path.name
            compared += 1
        elif path.is_file():
            with pytest.raises(IntegrityError):
                sop_instance_uid(path.read_bytes()[:HEAD])
    assert compared > 50


def test_big_endian_data_still_has_a_little_endian_header() -> None:
    assert sop_instance_uid(GOOD.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")[:HEAD]) == UID


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"", "no DICM"),
        (b"<!DOCTYPE html><title>Log in</title>" * 20, "no DICM"),
        (GOOD[128:], "no DICM"),
        (GOOD[:132], "names no instance"),
        (GOOD[:140], "names no instance"),
        (GOOD[: GOOD.index(UID.encode()) + 20].ljust(2), "names no instance|1.3.6"),
        (GOOD.replace(UID.encode(), b"../../../etc/passwd".ljust(len(UID))), "names no instance"),
        (GOOD.replace(b"UI\x40\0" + UID.encode(), b"UI\x42\0" + UID.encode() + b"11"), "names no instance"),
        (GOOD.replace(UID.encode(), b"\xff" * len(UID)), "names no instance"),
        (GOOD.replace(UID.encode(), b"1" * 63 + b"\\"), "names no instance"),
        (GOOD.replace(b"\2\0\3\0UI", b"\2\0\4\0UI"), "names no instance"),
        (GOOD.replace(b"\2\0\3\0UI", b"\2\0\3\0OB"), "names no instance|broken"),
    ],
)
def test_refuses_what_names_no_instance(head: bytes, says: str) -> None:
    with pytest.raises(IntegrityError, match=says):
        sop_instance_uid(head[:HEAD])


@given(at=st.integers(132, 400), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_a_safe_name_or_an_error(at: int, bit: int) -> None:
    broken = bytearray(GOOD)
    broken[at] ^= 1 << bit
    try:
        uid = sop_instance_uid(bytes(broken[:HEAD]))
    except IntegrityError:
        return
    assert uid.replace(".", "").isdigit()


def test_a_cut_header_is_never_taken_for_a_shorter_name() -> None:
    end = GOOD.index(UID.encode()) + len(UID)
    for cut in range(end):
        with pytest.raises(IntegrityError):
            sop_instance_uid(GOOD[:cut])
    assert sop_instance_uid(GOOD[:end]) == UID
    assert pydicom.dcmread(io.BytesIO(GOOD)).SOPInstanceUID == UID
