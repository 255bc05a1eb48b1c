"""Synthetic DICOM files with the identity the index gives them: valid headers by pydicom, noise for pixels.

It must not know HTTP, nor where a series' description comes from.

The header of a series is written once as a template; an instance's own UID, number and position have fixed
widths in it and are patched in, which is a hundred times faster than writing each header anew.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from math import isqrt

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from medfetch.sandbox.content import PERIOD, Content

SMALLEST = 2048
"""Bytes that every header fits into."""
MULTIPART = 64 << 20
"""Bytes from which an object counts as uploaded in parts: its ETag is then no MD5, as on S3."""
_UID = str(generate_uid(entropy_srcs=["the template"]))
_NUMBER = b"\x20\x00\x13\x00IS\x06\x00000000"
_POSITION = b"\\000000"


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What the index says of one series."""

    collection: str
    uid: str
    study: str
    patient: str
    modality: str
    sop_class: str
    pixels: bool
    """False for reports, structure sets and the like."""
    count: int
    bytes: int
    uuid: str
    bucket: str
    doi: str = ""
    licence: str = ""
    body_part: str = ""
    manufacturer: str = ""
    model: str = ""
    number: str = ""
    description: str = ""
    date: str = ""
    study_description: str = ""
    study_date: str = ""
    sex: str = ""
    age: str = ""
    third_party: bool = False


@dataclass(frozen=True, slots=True)
class Instance:
    series: Series
    number: int
    """From 1."""
    size: int
    """Bytes."""

    @property
    def uid(self) -> str:
        """SOPInstanceUID."""
        return str(generate_uid(entropy_srcs=[self.series.uid, str(self.number)]))

    @property
    def uuid(self) -> str:
        """The file's name in the Imaging Data Commons."""
        return str(uuid.uuid5(uuid.UUID(self.series.uuid), str(self.number)))

    def content(self) -> Content:
        uid = self.uid
        number = b"%06d" % self.number
        head = (
            _template(self.series, self.size)
            .replace(_UID.encode(), uid.encode())
            .replace(_NUMBER, _NUMBER[:-6] + number)
            .replace(_POSITION, b"\\" + number)
        )
        return Content(head, self.size, int(uid[-12:]) % PERIOD)


def instance(series: Series, number: int, cap: int | None = None) -> Instance:
    """The ``number``-th of a series: all have the same even size, the last takes the rest; ``cap`` shrinks them."""
    size = series.bytes // series.count & ~1
    if number == series.count:
        size = series.bytes - size * (series.count - 1)
    return Instance(series, number, size if cap is None else min(size, cap))


@lru_cache(maxsize=100_000)
def md5(file: Instance) -> str:
    return file.content().md5()


def etag(file: Instance) -> str:
    """What S3 would say, quoted: the MD5, or something else for large objects."""
    if file.size < MULTIPART:
        return f'"{md5(file)}"'
    name = hashlib.md5(file.uid.encode(), usedforsecurity=False).hexdigest()
    return f'"{name}-{-(-file.size // MULTIPART)}"'


@lru_cache(maxsize=512)
def _template(series: Series, size: int) -> bytes:
    """All of the file up to its noise."""
    available = size - len(_header(series, 0, 0)) - 12
    if available < 0:
        raise ValueError(f"an instance of series {series.uid} cannot be as small as {size} bytes")
    side = isqrt(available // 2)
    noise = 2 * side * side if series.pixels else available
    head = _header(series, side, available - noise)
    if series.pixels:
        return head + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, noise)
    return head + struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, noise)


def _header(series: Series, side: int, filler: int) -> bytes:
    """Preamble, file meta and all elements but the last; ``filler`` bytes of padding make the size come out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(series.sop_class)
    meta.MediaStorageSOPInstanceUID = UID(_UID)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Without these two, pydicom writes its own version there, and the bytes would change with it.
    meta.ImplementationClassUID = generate_uid(entropy_srcs=["medfetch sandbox"])
    meta.ImplementationVersionName = "MEDFETCH_SANDBOX"
    values: dict[str, object] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": series.sop_class,
        "SOPInstanceUID": _UID,
        "StudyDate": series.study_date.replace("-", ""),
        "Modality": series.modality,
        "Manufacturer": series.manufacturer[:64],
        "SeriesDescription": series.description[:64],
        "PatientName": series.patient,
        "PatientID": series.patient,
        "BodyPartExamined": series.body_part,
        "StudyInstanceUID": series.study,
        "SeriesInstanceUID": series.uid,
        "InstanceNumber": "000000",
        "ImageComments": "Synthetic: noise made by the medfetch sandbox",
    }
    if series.pixels:
        values |= {
            "SliceThickness": "1",
            "ImagePositionPatient": ["0", "0", "000000"],
            "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": side,
            "Columns": side,
            "PixelSpacing": ["1", "1"],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": 15,
            "PixelRepresentation": 1,
            "RescaleIntercept": "0",
            "RescaleSlope": "1",
        }
    dataset = Dataset()
    for keyword, value in values.items():
        # Real archives hold values that the standard forbids; the sandbox repeats what the index says.
        dataset.add(DataElement(Tag(keyword), dictionary_VR(keyword), value, validation_mode=config.IGNORE))
    dataset.private_block(0x0029, "MEDFETCH SANDBOX", create=True).add_new(0x01, "OB", bytes(filler))
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
