from __future__ import annotations

import gzip
import tracemalloc
import zipfile
from pathlib import Path

import nibabel
import numpy
import pydicom
import pytest
from dicom_samples import COMPRESSED, SERIES, instance
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medfetch.verify import check_content, check_dicom, check_gzip, check_nifti, check_zip, looks_like

SOP = f"{SERIES}.1"
HTML = "an HTML page (a login page?)"
XML = "an XML error document"
JSON = "a JSON error message"
EMPTY = "an empty body"


# -- what came instead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "path", "is_"),
    [
        (b"<!DOCTYPE html><html>", "a.zip", HTML),
        (b"\xef\xbb\xbf\r\n  <!doctype HTML PUBLIC '-//W3C//DTD'>", "ct.nii.gz", HTML),
        (b"<html lang=en>", "scan", HTML),
        (b"<HTML><HEAD>", "labels.csv", HTML),
        (b"<head><title>403</title>", "a.dcm", 'an HTML page called "403"'),
        (b"<html><title lang=en>\n A &amp; \xe2\x80\xaeB </title>", "a.dcm", 'an HTML page called "A & B"'),
        (b"<html><title> </title>", "a.dcm", HTML),
        (b"<!-- saved -->\n<!-- by --><html>", "a.mha", HTML),
        (b"<?xml version='1.0'?>\n<!DOCTYPE html PUBLIC", "a.tar", HTML),
        (b"<!DOCTYPE html>", "index.html", None),
        (b"<!DOCTYPE html>", "a/INDEX.HTM", None),
        (b"<htmlish", "a.zip", None),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "a.zip", XML),
        (b"<Error><Code>NoSuchKey</Code></Error>", "A.DCM", XML),
        (b"<?xml version='1.0'?><LidcReadMessage>", "069.xml", None),
        (b"<?xml version='1.0'?><GIFTI>", "lh.pial.gii", None),
        (b'{"error": "not found"}', "ct.nii.gz", JSON),
        (b' {\n "message": "login"}', "a.png", JSON),
        (b'[{"code": 1}]', "a.7z", JSON),
        (b'{"Modality": "MR"}', "sub-01_bold.json", None),
        (b'{"a": 1}', "CITATION", None),
        (b"{\\rtf1", "a.dat", None),
        (b"", "a.nii", EMPTY),
        (b"", "a.txt", None),
        (b"", "__init__.py", None),
        (b"PK\3\4", "a.zip", None),
        (b"\x1f\x8b\x08", "a.nii.gz", None),
        (bytes(128) + b"DICM", "1.2.3.dcm", None),
        (b"ObjectType = Image\n", "a.mhd", None),
    ],
)
def test_what_came_instead_of_data(head: bytes, path: str, is_: str | None) -> None:
    assert looks_like(head, path) == is_


@given(st.binary(max_size=300))
def test_real_heads_are_never_mistaken(tail: bytes) -> None:
    for magic, path in ((b"PK\3\4", "a.zip"), (b"\x1f\x8b", "a.gz"), (bytes(132), "a.dcm"), (b"\\\1\0\0", "a.nii")):
        assert looks_like(magic + tail, path) is None


def test_a_page_with_a_very_long_comment_does_not_hang() -> None:
    assert looks_like(b"<!--" + b"- -->" * 20_000 + b"<p>", "a.zip") is None


# -- DICOM -----------------------------------------------------------------------------------------------------------

KINDS = {
    "explicit": instance(SOP, syntax=ExplicitVRLittleEndian),
    "implicit": instance(SOP, syntax=ImplicitVRLittleEndian),
    "deflated": instance(SOP, syntax=DeflatedExplicitVRLittleEndian),
    "encapsulated": instance(SOP, syntax=COMPRESSED),
    "open-ended sequences": instance(SOP, open_ended=True),
    "structure set": instance(SOP, image=False),
    "open-ended structure set": instance(SOP, image=False, open_ended=True),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
def test_a_whole_instance_is_fine(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{SOP}.dcm"
    path.write_bytes(KINDS[kind])
    assert check_dicom(path) is None
    assert check_dicom(path, series=SERIES, sop=SOP) is None
    assert check_content(path, f"P1/{SERIES}/{SOP}.dcm", series=SERIES) is None


@each_kind
def test_another_instance_or_series_is_told(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(KINDS[kind])
    assert check_dicom(path, sop="1.2") == f"its SOPInstanceUID is {SOP}, not 1.2"
    assert check_dicom(path, series="1.2", sop=SOP) == f"its SeriesInstanceUID is {SERIES}, not 1.2"
    assert check_content(path, "1.2.dcm", series=SERIES) == f"its SOPInstanceUID is {SOP}, not 1.2"
    assert check_content(path, "IM1.dcm") is None, "a name that nobody promised"


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@each_kind
def test_a_cut_instance_is_told_wherever_it_is_cut(kind: str, tmp_path: Path) -> None:
    path, whole = tmp_path / "x", KINDS[kind]
    header = range(min(900, len(whole)))
    rest = range(900, len(whole), 97)
    undetectable = set()
    for length in [*header, *rest, len(whole) - 1]:
        path.write_bytes(whole[:length])
        if check_dicom(path) is None:
            undetectable.add(length)
    if "structure set" not in kind:
        assert undetectable == set()
    else:
        assert len(undetectable) < 10, "only between two elements"


def test_other_bytes_are_no_dicom(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"", b"x" * 1000, bytes(1000), bytes(128) + b"DICM", b"<html>" * 100):
        path.write_bytes(data)
        assert check_dicom(path) is not None


def test_files_that_pydicom_is_tested_with(tmp_path: Path) -> None:
    folder = Path(pydicom.__file__).parent / "data/test_files"
    for name in ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "rtdose.dcm", "image_dfl.dcm", "rtplan.dcm"):
        assert check_dicom(folder / name) is None, name
    for name in ("MR_small_bigendian.dcm", "liver_1frame.dcm", "SC_rgb_rle_2frame.dcm", "MR_small_padded.dcm"):
        assert check_dicom(folder / name) is None, name
    assert "cut" in str(check_dicom(folder / "MR_truncated.dcm"))
    assert "cut" in str(check_dicom(folder / "rtplan_truncated.dcm"))


def test_large_pixel_data_is_not_held_in_memory(tmp_path: Path) -> None:
    small = KINDS["explicit"]
    size = 50_000_000
    header = small[:-2048]
    assert header.endswith((2048).to_bytes(4, "little"))
    path = tmp_path / "x"
    path.write_bytes(header[:-4] + size.to_bytes(4, "little"))
    with open(path, "ab") as file:
        file.truncate(len(header) + size)
    check_dicom(path)
    tracemalloc.start()
    assert check_dicom(path) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    with open(path, "ab") as file:
        file.truncate(len(header) + size - 1)
    assert "cut" in str(check_dicom(path))


# -- NIfTI, gzip, zip ------------------------------------------------------------------------------------------------


def nifti(kind: type = nibabel.Nifti1Image, dtype: str = "int16", shape: tuple[int, ...] = (5, 6, 7)) -> bytes:
    rng = numpy.random.default_rng(1)
    image = kind(rng.integers(0, 100, shape).astype(dtype), numpy.eye(4), dtype=dtype)
    return image.to_bytes()


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize(("dtype", "shape"), [("uint8", (3,)), ("int16", (5, 6, 7)), ("float64", (2, 3, 4, 5))])
def test_nifti(kind: type, dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    whole = nifti(kind, dtype, shape)
    path = tmp_path / "partial"
    path.write_bytes(whole)
    assert check_nifti(path) is None
    assert check_content(path, "ct.nii") is None
    for length in (0, 3, 200, 347, 352, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert check_content(path, "ct.nii") is not None, length
    for data in (whole, whole + b"more"):
        path.write_bytes(gzip.compress(data))
        assert check_content(path, "ct.nii.gz") is None
    path.write_bytes(gzip.compress(whole[:-1]))
    said = check_content(path, "ct.nii.gz")
    assert said == f"is cut: its header tells of {len(whole):,} bytes, and there are {len(whole) - 1:,}"


def test_big_endian_nifti(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(numpy.ones((2, 3), "int16"), numpy.eye(4), nibabel.Nifti1Header(endianness=">"))
    whole = image.to_bytes()
    assert whole[:4] == b"\0\0\1\\"
    path = tmp_path / "x"
    path.write_bytes(whole)
    assert check_nifti(path) is None
    path.write_bytes(whole[:-1])
    assert "cut" in str(check_nifti(path))


def test_nifti_with_nonsense_in_its_header(tmp_path: Path) -> None:
    path = tmp_path / "x"
    whole = nifti()
    for position, junk in ((70, b"\xff\x7f"), (40, b"\7\0\xff\xff"), (108, b"\0\0\xc0\x7f"), (344, b"oops")):
        path.write_bytes(whole[:position] + junk + whole[position + len(junk) :])
        assert check_nifti(path) is not None, position


@given(position=st.integers(0, 351), byte=st.integers(0, 255))
def test_a_changed_nifti_header_never_raises(
    position: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.nii"
    whole = bytearray(nifti())
    whole[position] = byte
    path.write_bytes(whole)
    check_nifti(path)


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "x"
    whole = gzip.compress(bytes(range(256)) * 100)
    path.write_bytes(whole)
    assert check_gzip(path) is None
    path.write_bytes(whole + whole)
    assert check_gzip(path) is None
    for name in ("a.csv.gz", "a.TGZ"):
        path.write_bytes(whole[:-1])
        assert "broken gzip" in str(check_content(path, name))
    flipped, wrong_crc = bytearray(whole), bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    wrong_crc[-8] ^= 1
    for bad in (flipped, wrong_crc, b"not gzip"):
        path.write_bytes(bad)
        assert "broken gzip" in str(check_gzip(path))


def test_zip(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scan.raw", b"abcdefgh")
        archive.writestr("other.raw", b"12345678")
    whole = path.read_bytes()
    assert check_zip(path) is None
    path.write_bytes(whole.replace(b"1234", b"4321"))
    assert check_content(path, "a.zip") == "is a broken zip file: its member 'other.raw' is corrupt"
    path.write_bytes(whole[:-5])
    assert "broken zip" in str(check_content(path, "a.npz"))
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(encrypted)
    assert check_zip(path) is None


def test_npz(tmp_path: Path) -> None:
    numpy.savez_compressed(tmp_path / "a.npz", volume=numpy.zeros((10, 10)))
    assert check_content(tmp_path / "a.npz", "a.npz") is None


@pytest.mark.parametrize("name", ["a.zip", "a.nii.gz", "a.dcm", "a.csv", "scan"])
def test_a_login_page_is_called_what_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"<!DOCTYPE html><title>Log in</title>")
    assert check_content(tmp_path / "x", name) == 'is an HTML page called "Log in"'


def test_what_it_cannot_judge_passes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"anything")
    assert check_content(tmp_path / "x", "notes.txt") is None
    assert check_content(tmp_path / "x", "image.mha") is None


def test_a_missing_file_is_not_a_problem_of_content(tmp_path: Path) -> None:
    for check in (check_dicom, check_nifti, check_gzip, check_zip):
        with pytest.raises(FileNotFoundError):
            check(tmp_path / "missing")
