"""Lists that portals export: NBIA's ``.tcia``, the Imaging Data Commons' s5cmd files, tables with UIDs, Gen3's objects.

It reads files and nothing else: what the series and objects are, and where, is for the sources to find out.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medfetch.errors import RecipeError

UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
"""DICOM PS3.5 section 9.1: digits and dots, no component with a leading zero, at most 64 characters."""
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
IDC_BUCKETS = {
    "idc-open-data",
    "idc-open-data-cr",
    "idc-open-data-two",
    "idc-open-cr",
    "idc-open-idc1",
    "public-datasets-idc",
}
"""The public buckets of the Imaging Data Commons on AWS and Google, today's and former ones."""
UID_COLUMNS = {"seriesinstanceuid", "seriesuid"}
"""Column titles, lower case, without spaces and punctuation."""
OBJECT_COLUMNS = {
    "object_id": ("object_id", "guid", "did"),
    "file_name": ("file_name", "filename"),
    "file_size": ("file_size", "filesize", "size"),
    "md5sum": ("md5sum", "md5", "md5_hash", "md5hash", "file_md5sum", "hash"),
    "commons_url": ("commons_url",),
}
"""What is told of an object of a Gen3 commons, under the names of its portals' exports first, then of gen3 4.28.5's own
tables (tools/utils.py) and of indexd's records."""
DOWNLOAD_AGAIN = "the file may be damaged or cut short: export it again from the portal"
S3_SOURCE = "public buckets of others are s3:bucket/prefix"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest asks for."""

    path: Path
    series: Mapping[str, int]
    """Series, each with the line it stands in: SeriesInstanceUIDs, in s5cmd manifests CRDC series UUIDs."""
    host: str | None = None
    """``nbia`` or ``nlst``, where the manifest says so."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What a manifest of a Gen3 commons asks for."""

    path: Path
    host: str
    """Of the commons."""
    rows: tuple[Mapping[str, Any], ...]
    """Each with ``object_id``, and as far as told ``file_name``, ``file_size`` (bytes) and ``md5sum``."""


def read_series_list(path: Path) -> Manifest:
    """A .tcia manifest, or a .csv or .tsv table.

    Raises:
        RecipeError: it cannot be read, is of neither kind, or is damaged; names file and line.
    """
    suffix = path.suffix.lower()
    if suffix == ".tcia":
        return read_tcia(path)
    if suffix in {".csv", ".tsv"}:
        return read_table(path)
    raise RecipeError("not a list of series; expected .tcia, .csv or .tsv", at=str(path))


def read_tcia(path: Path) -> Manifest:
    """A manifest of NBIA's data retriever: ``name=value`` lines, the last ``ListOfSeriesToDownload=``, then the UIDs.

    Raises:
        RecipeError: as ``read_series_list``.
    """
    lines = _lines(path)
    header: dict[str, str] = {}
    series: dict[str, int] = {}
    in_list = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if in_list:
            series.setdefault(_uid(line.strip(), f"{path}:{number}"), number)
            continue
        name, equals, value = line.strip().partition("=")
        if not equals:
            raise RecipeError(
                f"expected name=value, found {line.strip()[:80]!r}", at=f"{path}:{number}", hint=DOWNLOAD_AGAIN
            )
        in_list = name == "ListOfSeriesToDownload"
        if not in_list:
            header[name] = value
        elif value:
            series.setdefault(_uid(value, f"{path}:{number}"), number)
    end = f"{path}:{max(len(lines), 1)}"
    if not in_list:
        raise RecipeError("the manifest ends before its ListOfSeriesToDownload=", at=end, hint=DOWNLOAD_AGAIN)
    if not series:
        raise RecipeError("the manifest ends before its first series", at=end, hint=DOWNLOAD_AGAIN)
    server = urlsplit(header.get("downloadServerUrl", "")).hostname
    if not server:
        raise RecipeError("the manifest names no downloadServerUrl", at=f"{path}:1", hint=DOWNLOAD_AGAIN)
    return Manifest(path, series, "nlst" if server.startswith("nlst.") else "nbia")


def read_s5cmd(path: Path) -> Manifest:
    """An s5cmd manifest of the Imaging Data Commons: lines ``cp s3://bucket/series-uuid/* folder``.

    Flags and the folders to copy to are passed over: medfetch has its own layout.

    Raises:
        RecipeError: it cannot be read, is damaged, names a bucket that is not the Imaging Data Commons', or single
            instances; names file and line.
    """
    series: dict[str, int] = {}
    for number, line in enumerate(_lines(path), 1):
        at = f"{path}:{number}"
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise RecipeError(f"{error} in {line.strip()[:80]!r}", at=at, hint=DOWNLOAD_AGAIN) from None
        addresses = [word for word in words if word.startswith(("s3://", "gs://"))]
        if not {"cp", "sync"} & set(words) or len(addresses) != 1:
            raise RecipeError(f"expected `cp s3://bucket/series/* folder`, found {line.strip()[:80]!r}", at=at)
        bucket, _, key = addresses[0][5:].partition("/")
        if bucket not in IDC_BUCKETS:
            raise RecipeError(f"{bucket!r} is not a bucket of the Imaging Data Commons", at=at, hint=S3_SOURCE)
        uuid, slash, rest = key.partition("/")
        if not UUID.fullmatch(uuid) or not slash or rest not in ("", "*"):
            raise RecipeError(f"expected a whole series, <uuid>/*, found {key!r}", at=at, hint=DOWNLOAD_AGAIN)
        series.setdefault(uuid, number)
    if not series:
        raise RecipeError("no line copies a series", at=str(path), hint=DOWNLOAD_AGAIN)
    return Manifest(path, series)


def read_table(path: Path) -> Manifest:
    """A CSV or TSV file with a title row and a column ``SeriesInstanceUID`` or ``Series UID``, however it is spaced.

    Raises:
        RecipeError: as ``read_series_list``.
    """
    rows = _rows(path)
    titles: list[str] = next(rows, [])
    columns = [at for at, title in enumerate(titles) if re.sub(r"[^a-z]", "", title.lower()) in UID_COLUMNS]
    if len(columns) != 1:
        raise RecipeError(
            f"expected one column SeriesInstanceUID, found the columns {', '.join(titles)[:200] or 'none'}",
            at=f"{path}:1",
        )
    series: dict[str, int] = {}
    for row in rows:
        at = f"{path}:{rows.line_num}"
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= columns[0]:
            raise RecipeError(f"the row ends before its column {titles[columns[0]]!r}", at=at)
        series.setdefault(_uid(row[columns[0]].strip(), at), rows.line_num)
    if not series:
        raise RecipeError("the table has no rows", at=str(path))
    return Manifest(path, series)


def lists_objects(path: Path) -> bool:
    """Whether a .csv or .tsv table is of objects of a commons, and not of series. Raises: RecipeError."""
    titles: set[str] = {title.strip().lower() for title in next(_rows(path), [])}
    uids = {re.sub(r"[^a-z]", "", title) for title in titles} & UID_COLUMNS
    return bool(titles & set(OBJECT_COLUMNS["object_id"])) and not uids


def read_objects(path: Path) -> Objects:
    """The objects of a manifest of a Gen3 commons: a list in JSON, as its portal exports it, or a .csv or .tsv table.

    Raises:
        RecipeError: it cannot be read, is none, or does not say of which commons it is; names file and row.
    """
    found = []
    hosts: dict[str, str] = {}
    for at, row in _object_rows(path):
        told = {name: _first(row, names) for name, names in OBJECT_COLUMNS.items()}
        identifier, commons = str(told["object_id"] or "").strip(), told.pop("commons_url")
        if not identifier:
            raise RecipeError("expected an object_id, a guid or a did", at=at, hint=DOWNLOAD_AGAIN)
        # "drs://host/id" names a commons, too; "drs://dg.4503:id", a compact one, does not.
        of = re.match(r"drs://([^/:]+)/", identifier)
        for host in filter(None, (_host(commons), of and of[1])):
            hosts.setdefault(host, at)
        size = _size(told["file_size"], at)
        texts = {name: str(told[name]).strip() for name in ("file_name", "md5sum") if told[name]}
        found.append({"object_id": identifier, **texts, **({} if size is None else {"file_size": size})})
    if not found:
        raise RecipeError("the manifest has no rows", at=str(path), hint=DOWNLOAD_AGAIN)
    if len(hosts) > 1:
        one, other = list(hosts)[:2]
        raise RecipeError(f"of {other}, and others of {one}: one manifest, one commons", at=hosts[other])
    if not hosts:
        hint = 'write it into a row, such as "commons_url": "data.midrc.org" (a column of that name in a table)'
        raise RecipeError("the manifest does not say of which commons it is", at=str(path), hint=hint)
    return Objects(path, next(iter(hosts)), tuple(found))


def _object_rows(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Where each row stands, and what is in it."""
    if path.suffix.lower() != ".json":
        rows = _rows(path)
        titles = [title.strip().lower() for title in next(rows, [])]
        for row in rows:
            if any(cell.strip() for cell in row):
                yield f"{path}:{rows.line_num}", dict(zip(titles, row, strict=False))
        return
    try:
        content = json.loads("\n".join(_lines(path)))
    except json.JSONDecodeError as error:
        raise RecipeError(f"not JSON: {error.msg}", at=f"{path}:{error.lineno}", hint=DOWNLOAD_AGAIN) from None
    if not isinstance(content, list):
        raise RecipeError("expected a list of objects, as the portal of a Gen3 commons exports it", at=str(path))
    for number, row in enumerate(content, 1):
        at = f"{path}, object {number}"
        if not isinstance(row, dict):
            raise RecipeError(f"expected an object, found {str(row)[:80]!r}", at=at, hint=DOWNLOAD_AGAIN)
        yield at, row


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _host(commons: Any) -> str | None:
    text = str(commons or "").strip().rstrip("/")
    return urlsplit(text).netloc or text or None


def _size(told: Any, at: str) -> int | None:
    """Bytes; None where they are not told, for which gen3 writes -1."""
    if told is None or str(told).strip() == "-1":
        return None
    if isinstance(told, bool) or not re.fullmatch(r"[0-9]{1,18}", str(told).strip()):
        raise RecipeError(f"expected a number of bytes as file_size, found {str(told)[:80]!r}", at=at)
    return int(told)


def _rows(path: Path) -> Any:
    return csv.reader(_lines(path), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise RecipeError("not a text file", at=str(path), hint=DOWNLOAD_AGAIN) from None
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}", at=str(path)) from None
    if text.lstrip().startswith("<"):
        raise RecipeError("a web page, not a manifest", at=f"{path}:1", hint="log in to the portal and export it again")
    return text.splitlines()


def _uid(text: str, at: str) -> str:
    if not UID.fullmatch(text) or len(text) > 64:
        raise RecipeError(f"expected a SeriesInstanceUID, found {text[:80]!r}", at=at, hint=DOWNLOAD_AGAIN)
    return text
