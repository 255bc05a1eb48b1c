"""Small DICOM files for tests, made with pydicom."""

from __future__ import annotations

import io

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage

SERIES = "1.2.826.0.1.3680043.8.498.7"
COMPRESSED = "1.2.840.10008.1.2.4.50"


def instance(
    sop: str,
    series: str = SERIES,
    *,
    syntax: str = ExplicitVRLittleEndian,
    image: bool = True,
    open_ended: bool = False,
) -> bytes:
    """A CT slice of 32 × 32, or a structure set; ``open_ended`` gives its sequences no length."""
    kind = CTImageStorage if image else RTStructureSetStorage
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = kind, sop, syntax
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID, data.SeriesInstanceUID = kind, sop, series
    data.PatientID, data.Modality = "P1", "CT" if image else "RTSTRUCT"
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.is_undefined_length_sequence_item = open_ended
    data.ReferencedStudySequence = Sequence([item, item])
    data["ReferencedStudySequence"].is_undefined_length = open_ended
    if image:
        data.Rows = data.Columns = 32
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        pixels = bytes(range(256)) * 8
        data.PixelData = encapsulate([pixels]) if syntax == COMPRESSED else pixels
        data["PixelData"].is_undefined_length = syntax == COMPRESSED
    else:
        data.StructureSetLabel = "lungs"
        data.ROIContourSequence = Sequence([item])
        data["ROIContourSequence"].is_undefined_length = open_ended
    written = io.BytesIO()
    data.save_as(written, enforce_file_format=True)
    return written.getvalue()
