"""Synthetic series: their identity and sizes are the index's, and other people's software can read them."""

from __future__ import annotations

import io

import pydicom
import pytest

from medfetch.sandbox import dicom
from medfetch.sandbox.archive import Archive

CT = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"  # LIDC-IDRI-0001, 133 slices of 512 × 512


SMALLEST_OF_EACH_MODALITY = (
    "SeriesInstanceUID IN (SELECT min_by(SeriesInstanceUID, series_size_MB / instanceCount)"
    " FROM read_parquet($index) GROUP BY Modality)"
)


@pytest.fixture(scope="module")
def index() -> Archive:
    return Archive()


def test_sizes_of_a_series_add_up_to_what_the_index_says(index: Archive) -> None:
    series = index.find(CT)
    files = index.instances(series)
    assert len(files) == series.count == 133
    assert sum(file.content().size for file in files) == series.bytes == 70_018_838
    assert index.size(series) == series.bytes
    assert sum(len(file.content().whole()) for file in files[-3:]) == sum(file.size for file in files[-3:])


def test_every_modality_gives_readable_files_of_the_planned_size(index: Archive) -> None:
    kinds = index.select({}, SMALLEST_OF_EACH_MODALITY)
    assert len(kinds) > 20
    for series in kinds:
        last = dicom.instance(series, series.count, cap=50_000)
        first = dicom.instance(series, 1, cap=None if series.bytes < 10_000_000 else 50_000)
        for file in {first, last}:
            data = file.content().whole()
            assert len(data) == file.size
            dataset = pydicom.dcmread(io.BytesIO(data))
            assert (dataset.PatientID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality) == (
                series.patient,
                series.study,
                series.uid,
                series.modality,
            )
            assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == file.uid
            assert dataset.SOPClassUID == series.sop_class
            assert dataset.InstanceNumber == file.number


@pytest.mark.parametrize(
    ("number", "cap", "shape"), [(1, None, (512, 512)), (133, None, (512, 512)), (7, 20_000, (97, 97))]
)
def test_pixels_decode(index: Archive, number: int, cap: int | None, shape: tuple[int, int]) -> None:
    data = dicom.instance(index.find(CT), number, cap).content().whole()
    pixels = pydicom.dcmread(io.BytesIO(data)).pixel_array
    assert pixels.shape == shape
    assert pixels.std() > 1000


def test_instances_differ_and_are_the_same_every_time(index: Archive) -> None:
    files = index.instances(index.find(CT))
    digests = [dicom.md5(file) for file in files]
    assert len(set(digests)) == len({file.uid for file in files}) == len({file.uuid for file in files}) == 133
    dicom._template.cache_clear()
    again = Archive()
    assert [file.content().md5() for file in again.instances(again.find(CT))] == digests


def test_a_cap_shrinks_and_a_header_needs_its_room(index: Archive) -> None:
    series = index.find(CT)
    small = Archive(20_000)
    assert {file.size for file in small.instances(series)} == {20_000}
    assert small.size(series) == 133 * 20_000
    with pytest.raises(ValueError, match="cannot be as small"):
        dicom.instance(series, 1, 500).content()


def test_large_objects_have_the_etag_of_a_multipart_upload(index: Archive) -> None:
    series = index.find(CT)
    large = dicom.Instance(series, 1, dicom.MULTIPART * 2 + 2)
    assert dicom.etag(large).endswith('-3"')
    assert dicom.etag(dicom.instance(series, 1)) == f'"{dicom.md5(dicom.instance(series, 1))}"'


def test_content_reads_alike_from_any_offset(index: Archive) -> None:
    content = dicom.Instance(index.find(CT), 1, 2_500_000).content()
    whole = content.whole()
    head = len(content.head)
    for start, stop in [(0, 10), (head - 1, head + 1), (head, head), (1_048_570, 1_048_590), (2_097_140, 2_500_000)]:
        assert b"".join(content.read(start, stop)) == whole[start:stop]
