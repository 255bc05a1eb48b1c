"""What NBIA (The Cancer Imaging Archive) answers: lists in JSON, series as zips made while they are sent.

It must not know sockets. Protocol: NBIA Search REST API v4 (v1 for shared carts), as tcia-utils 3.3 asks it; the
members' names and ``md5hashes.csv`` are those of NBIA's public source code.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from medfetch.sandbox.archive import COLUMNS, Archive
from medfetch.sandbox.dicom import Instance, Series, md5
from medfetch.sandbox.messages import Answer, Request, as_json, text

DOI = "10.7937/"
"""Beginning of TCIA's own DOIs: NBIA does not have what others added to the Imaging Data Commons."""
LICENCES = {
    f"CC {terms} {version}": (
        f"Creative Commons {title} {version} {scope} License",
        f"{scheme}://creativecommons.org/licenses/{terms.lower()}/{version}/",
    )
    for terms, title in (("BY", "Attribution"), ("BY-NC", "Attribution-NonCommercial"))
    for version, scope, scheme in (("3.0", "Unported", "http"), ("4.0", "International", "https"))
}
VALUES = {
    "getModalityValues": "Modality",
    "getBodyPartValues": "BodyPartExamined",
    "getManufacturerValues": "Manufacturer",
}


@dataclass(frozen=True, slots=True)
class Nbia:
    """One of NBIA's two hosts."""

    archive: Archive
    nlst: bool = False
    """The one of the National Lung Screening Trial, which has nothing else; the other has all but that."""
    carts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """SeriesInstanceUIDs by the name of the shared cart."""

    @property
    def holds(self) -> str:
        """What this host has, as an SQL condition."""
        return f"source_DOI LIKE '{DOI}%' AND (collection_id = 'nlst') = {self.nlst}"

    def find(self, uid: str) -> Series | None:
        """A series, if this host has it."""
        series = self.archive.find(uid)
        here = series and series.doi.startswith(DOI) and (series.collection == "nlst") == self.nlst
        return series if here else None

    def answer(self, request: Request, path: str) -> Answer:
        """``path``: ``nbia-api/services/v4/getSeries``."""
        version, _, service = path.removeprefix("nbia-api/services/").partition("/")
        query = request.query
        if version == "v1" and service == "getContentsByName":
            uids = self.carts.get(query.get("name", ""), ())
            return _rows([self._row(series) for uid in uids if (series := self.find(uid))])
        if version != "v4":
            return text("", 404)
        if request.method == "POST" and service == "getSeriesMetadata":
            return self._metadata(parse_qs(request.body.decode()).get("list", [""])[0].split(","))
        if service in ("getImage", "getImageWithMD5Hash", "getSingleImage"):
            return self._bytes(service, query)
        return self._list(service, query)

    def _list(self, service: str, query: Mapping[str, str]) -> Answer:
        conditions = {name: value for name, value in query.items() if name in COLUMNS and value}
        if service == "getCollectionValues":
            return _rows([{"Collection": name} for name in self.archive.collections(self.holds)])
        if service in ("getSeriesSize", "getSOPInstanceUIDs"):
            series = self.find(query.get("SeriesInstanceUID", ""))
            if series is None:
                return _rows([])
            if service == "getSOPInstanceUIDs":
                return _rows([{"SOPInstanceUID": file.uid} for file in self.archive.instances(series)])
            return _rows([{"ObjectCount": series.count, "TotalSizeInBytes": str(self.archive.size(series))}])
        if service not in ("getSeries", "getPatient", "getPatientStudy", *VALUES):
            return text("", 404)
        found = self.archive.select(conditions, self.holds)
        if service == "getSeries":
            return _rows([self._row(each) for each in found])
        if service == "getPatient":
            return _rows([self._patient(each) for each in {each.patient: each for each in found}.values()])
        if service == "getPatientStudy":
            studies = {each.study: each for each in found}
            return _rows(
                [{"PatientID": each.patient, **self._patient(each), **_study(each)} for each in studies.values()]
            )
        name = VALUES[service]
        return _rows([{name: value} for value in sorted({str(self._row(each).get(name, "")) for each in found})])

    def _bytes(self, service: str, query: Mapping[str, str]) -> Answer:
        series = self.find(query.get("SeriesInstanceUID", ""))
        if series is None:
            return text("")
        files = self.archive.instances(series)
        if service == "getSingleImage":
            content = next((file.content() for file in files if file.uid == query.get("SOPInstanceUID")), None)
            return text("") if content is None else Answer(200, {"Content-Type": "application/dicom"}, content)
        width = max(3, len(str(len(files))))
        name = f"1-%0{width}d.dcm" if query.get("NewFileNames") == "Yes" else "%08d.dcm"
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{series.uid}.zip"',
        }
        return Answer(200, headers, stream=_zip(files, name, service == "getImageWithMD5Hash", _licence(series)))

    def _metadata(self, uids: list[str]) -> Answer:
        buffer = io.StringIO()
        rows = [self._described(series) for uid in uids if (series := self.find(uid.strip()))]
        if not rows:
            return text("")
        writer = csv.DictWriter(buffer, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text(buffer.getvalue(), kind="text/csv")

    def _row(self, series: Series) -> dict[str, object]:
        """A series as getSeries shows it; what is unknown is left out, as NBIA does."""
        licence, address = LICENCES.get(series.licence, (series.licence, ""))
        row = {
            "SeriesInstanceUID": series.uid,
            "StudyInstanceUID": series.study,
            "Modality": series.modality,
            "SeriesDate": _date(series.date),
            "SeriesDescription": series.description,
            "BodyPartExamined": series.body_part,
            "SeriesNumber": int(series.number) if series.number.isdigit() else "",
            "Collection": self.archive.collection_name(series.collection),
            "PatientID": series.patient,
            "Manufacturer": series.manufacturer,
            "ManufacturerModelName": series.model,
            "ImageCount": series.count,
            "TimeStamp": "2023-01-01 00:00:00.0",
            "LicenseName": licence,
            "LicenseURI": address,
            "CollectionURI": f"https://doi.org/{series.doi}",
            "FileSize": self.archive.size(series),
            "DateReleased": "2023-01-01 00:00:00.0",
            "StudyDesc": series.study_description,
            "StudyDate": _date(series.study_date),
            "ThirdPartyAnalysis": "YES" if series.third_party else "NO",
        }
        return {name: value for name, value in row.items() if value != ""}

    def _described(self, series: Series) -> dict[str, object]:
        """A series as getSeriesMetadata shows it."""
        row = self._row(series)
        return {
            "Patient ID": series.patient,
            "Patient Name": series.patient,
            "Patient Sex": series.sex,
            "Study Instance UID": series.study,
            "Study Date": series.study_date,
            "Study Description": series.study_description,
            "Patient Age": series.age,
            "Series Instance UID": series.uid,
            "Project": row["Collection"],
            "Modality": series.modality,
            "Series Date": series.date,
            "Series Description": series.description,
            "Body Part Examined": series.body_part,
            "Series Number": series.number,
            "Manufacturer": series.manufacturer,
            "Manufacturer Model Name": series.model,
            "Image Count": series.count,
            "License Name": row.get("LicenseName", ""),
            "License URI": row.get("LicenseURI", ""),
            "Collection URI": row["CollectionURI"],
            "File Size": row["FileSize"],
            "Date Released": row["DateReleased"],
            "Third Party Analysis": row["ThirdPartyAnalysis"],
        }

    def _patient(self, series: Series) -> dict[str, object]:
        row = {
            "PatientId": series.patient,
            "PatientName": series.patient,
            "PatientSex": series.sex,
            "Collection": self.archive.collection_name(series.collection),
        }
        return {name: value for name, value in row.items() if value}


def _study(series: Series) -> dict[str, object]:
    row = {
        "StudyInstanceUID": series.study,
        "StudyDate": _date(series.study_date),
        "StudyDescription": series.study_description,
        "PatientAge": series.age,
    }
    return {name: value for name, value in row.items() if value}


def _date(day: str) -> str:
    return f"{day} 00:00:00.0" if day else ""


def _rows(rows: list[dict[str, object]]) -> Answer:
    """A list as NBIA sends it: where nothing was found, an empty body."""
    return as_json(rows) if rows else text("", kind="application/json")


def _licence(series: Series) -> str:
    name, address = LICENCES.get(series.licence, (series.licence, ""))
    return f"These files are synthetic. The series they stand for is under: {name} {address}\n"


class _Outlet(io.RawIOBase):
    """Where the zip is written to: keeps what has come until it is sent."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._waiting.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        pieces, self._waiting = self._waiting, []
        return b"".join(pieces)


def _zip(files: list[Instance], name: str, hashes: bool, licence: str) -> Iterator[bytes]:
    """As Java's ZipOutputStream writes to a client: deflated, sizes behind the members; noise is only wrapped."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=0) as archive:
        lines = ["Filename,MD5Hash"]
        for file in files:
            member = name % file.number
            with archive.open(member, "w", force_zip64=file.size > 1 << 31) as target:
                for piece in file.content().read(0, file.size):
                    target.write(piece)
                    yield outlet.taken()
            lines.append(f"{member},{md5(file)}")
        extra = {"LICENSE": licence} | ({"md5hashes.csv": "\n".join(lines) + "\n"} if hashes else {})
        for member, content in extra.items():
            with archive.open(member, "w") as target:
                target.write(content.encode())
    yield outlet.taken()
