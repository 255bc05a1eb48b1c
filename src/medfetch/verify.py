"""Whether a file's content is what its name says: not a login page, and whole DICOM, NIfTI, gzip or zip.

It must not know plans, caches or hosts. Problems are returned as text; pydicom and nibabel are imported on first use.
"""

from __future__ import annotations

import gzip
import html
import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from medfetch.checksum import BLOCK
from medfetch.credentials.guard import redacted
from medfetch.errors import MedfetchError
from medfetch.unpack.zip import BROKEN, read_zip

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_HTML = re.compile(
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_XML = re.compile(rb"\s*<(\?xml|error)\b", re.IGNORECASE)
_JSON = re.compile(rb'\s*(\{\s*"|\[\s*[\[{"])')
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PAGES = {".html", ".htm", ".xhtml", ".shtml", ".php", ".asp", ".aspx", ".jsp"}
_BINARY = {
    *(".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".z01", ".zip", ".zst"),
    *(".dcm", ".dicom", ".hdr", ".ima", ".img", ".mgh", ".mgz", ".mha", ".mhd", ".nii", ".nrrd", ".raw"),
    *(".czi", ".mrxs", ".ndpi", ".scn", ".svs", ".tif", ".tiff", ".vsi"),
    *(".avi", ".bmp", ".gif", ".jpeg", ".jpg", ".mov", ".mp4", ".pdf", ".png", ".wav"),
    *(".dat", ".edf", ".feather", ".fits", ".h5", ".hdf5", ".mat", ".npy", ".npz", ".parquet", ".pickle", ".pkl"),
    *(".bin", ".ckpt", ".docx", ".onnx", ".pt", ".pth", ".xls", ".xlsx"),
}
_PIXELS = range(0x7FE0_0008, 0x7FE0_0011)
"""Float, double and integer pixel data (PS3.6)."""
_PIXELS_ELSEWHERE = 0x0028_7FE0
_ROWS, _SOP_INSTANCE, _SERIES = 0x0028_0010, 0x0008_0018, 0x0020_000E
_IN_MEMORY = 1 << 16
"""Bytes; the values of longer DICOM elements are skipped."""
_PREAMBLE = 132
_UNDEFINED = 0xFFFFFFFF
_NIFTI_HEADERS = {348: "Nifti1Header", 540: "Nifti2Header"}
_CORRUPT_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)


def looks_like(head: bytes, path: str) -> str | None:
    """What came in place of data, given the first bytes and the path; None if they may well be the data.

    An HTML page is judged under every name but a page's, XML, JSON and nothing only under the names of binary formats.
    """
    text = head.removeprefix(_BYTE_ORDER_MARK)
    if _NOT_TEXT.search(text):
        return None
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in _PAGES and _HTML.match(text):
        return _named(text)
    if suffix not in _BINARY:
        return None
    if not head:
        return "an empty body"
    if _XML.match(text):
        return "an XML error document"
    if _JSON.match(text):
        return "a JSON error message"
    return None


def _named(page: bytes) -> str:
    """A page by its title, which often says why it came: a login, a quota that is used up."""
    found = _TITLE.search(page)
    title = redacted(html.unescape(found[1].decode("utf-8", "replace"))) if found else ""
    printable = "".join(sign for sign in " ".join(title.split()) if sign.isprintable())
    return f'an HTML page called "{printable}"' if printable else "an HTML page (a login page?)"


Content = Path | BinaryIO
"""A file by its path, or one that is open, from its beginning to its end; it stays open."""


@contextmanager
def _opened(content: Content) -> Iterator[BinaryIO]:
    if isinstance(content, Path):
        with open(content, "rb") as file:
            yield file
    else:
        content.seek(0)
        yield content


def check_content(content: Content, name: str, *, series: str | None = None) -> str | None:
    """What is wrong with ``content``, which belongs under ``name``; None if nothing is.

    With ``series``, a ``.dcm`` file is one that was named after its instance, and both UIDs must be those.
    """
    with _opened(content) as file:
        if instead := looks_like(file.read(BLOCK), name):
            return f"is {instead}"
    lower = name.lower()
    if lower.endswith(".dcm"):
        return check_dicom(content, series=series, sop=PurePosixPath(name).stem if series else None)
    if lower.endswith((".nii", ".nii.gz")):
        return check_nifti(content)
    if lower.endswith((".gz", ".tgz")):
        return check_gzip(content)
    if lower.endswith((".zip", ".npz")):
        return check_zip(content)
    return None


def check_dicom(content: Content, *, series: str | None = None, sop: str | None = None) -> str | None:
    """Whether a file is DICOM to its end, of that series and instance. Long values are not held in memory."""
    import pydicom

    try:
        with _opened(content) as file:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[_SOP_INSTANCE, _SERIES, _ROWS])
            found = {tag: _uid(header, tag) for tag in (_SOP_INSTANCE, _SERIES)}
            if found[_SOP_INSTANCE] is None:
                return "its SOPInstanceUID is missing"
            for tag, word, planned in ((_SOP_INSTANCE, "SOPInstanceUID", sop), (_SERIES, "SeriesInstanceUID", series)):
                if planned not in (None, found[tag]):
                    return f"its {word} is {found[tag] or 'missing'}, not {planned}"
            return _cut_dicom(file, header)
    except Exception as error:  # pydicom raises whatever damaged bytes lead it to
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return f"is no readable DICOM file: {error or type(error).__name__}"


def _uid(header: FileDataset, tag: int) -> str | None:
    """A UID as it stands in the file: pydicom warns on standard error of those that are not well-formed."""
    value: Any = header.get_item(tag).value if tag in header else None
    return bytes(value).rstrip(b"\0 ").decode("ascii", "replace") if value else None


def _cut_dicom(file: BinaryIO, header: FileDataset) -> str | None:
    """Walks all elements: pydicom alone takes what there is of the last one, and a seek beyond the end, for good."""
    from pydicom.dataelem import RawDataElement
    from pydicom.filereader import data_element_generator
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return None  # it could only be read because all of it could be inflated
    size = file.seek(0, 2)
    file.seek(_PREAMBLE)
    for _ in data_element_generator(file, False, True, stop_when=lambda tag, *_: tag.group != 2):
        pass
    implicit, little = map(bool, header.original_encoding)
    end, pixels = file.tell(), False
    for element in data_element_generator(file, implicit, little, defer_size=_IN_MEMORY):
        end = file.tell()
        if isinstance(element, RawDataElement) and element.length != _UNDEFINED:
            end = element.value_tell + element.length
        if end > size:
            return f"is cut: element {element.tag} ends at byte {end:,} of {size:,}"
        pixels |= element.tag in _PIXELS or element.tag == _PIXELS_ELSEWHERE
    if pixels:
        return None
    if end != size:
        return f"is cut in the header of the element at byte {end:,}"
    if _ROWS in header or "Image Storage" in header.file_meta.MediaStorageSOPClassUID.name:
        return "is cut: it is an image and has no pixels"
    return None


def check_nifti(content: Content) -> str | None:
    """Whether a NIfTI-1 or -2 file, gzipped or not, has a sound header and all the voxels that it tells of."""
    import nibabel

    with _opened(content) as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.open(raw) if zipped else raw  # noqa: SIM115 raw is closed by whoever opened it
        try:
            lead = file.read(4)
            sizes = {int.from_bytes(lead, "little"), int.from_bytes(lead, "big")} & _NIFTI_HEADERS.keys()
            if not sizes:
                return "is no NIfTI file: its header has no known size"
            file.seek(0)
            header = getattr(nibabel, _NIFTI_HEADERS[sizes.pop()]).from_fileobj(file)
            shape = header.get_data_shape()
            if any(length < 0 for length in shape):
                return f"is no readable NIfTI file: its shape is {shape}"
            voxels = math.prod(shape) * header.get_data_dtype().itemsize
            needed = int(header.get_data_offset()) + voxels
            if zipped:
                length = file.tell() + sum(len(block) for block in iter(lambda: file.read(BLOCK), b""))
            else:
                length = raw.seek(0, os.SEEK_END)
        except _CORRUPT_GZIP as error:
            return f"is a broken gzip file: {error}"
        except (
            nibabel.spatialimages.HeaderDataError,
            nibabel.wrapstruct.WrapStructError,
            ValueError,
            TypeError,
        ) as error:
            return f"is no readable NIfTI file: {error}"
    if length < needed:
        return f"is cut: its header tells of {needed:,} bytes, and there are {length:,}"
    return None


def check_gzip(content: Content) -> str | None:
    """Whether a gzip file can be read to its end and has the checksums that it carries."""
    try:
        with _opened(content) as packed, gzip.open(packed) as file:
            while file.read(BLOCK):
                pass
    except _CORRUPT_GZIP as error:
        return f"is a broken gzip file: {error}"
    return None


def check_zip(content: Content) -> str | None:
    """Whether all members of a zip can be read and have the checksums that it carries."""
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_opened(content))
            # Whoever opens it closes it again: but not this one.
            starts, opened = (0, file.seek(0, os.SEEK_END)), lambda patch: nullcontext(file)
            bad = stack.enter_context(read_zip(starts, opened, "it")).testzip()
    except MedfetchError:
        return None  # encrypted, or packed in a way that cannot be read here: nothing is known to be wrong
    except BROKEN as error:
        return f"is a broken zip file: {error}"
    return f"is a broken zip file: its member {bad!r} is corrupt" if bad is not None else None
