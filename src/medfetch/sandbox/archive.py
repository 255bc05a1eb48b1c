"""Which series exist: the index of the Imaging Data Commons, asked in SQL and kept by the neighbourhood.

It must not know HTTP, nor how an instance's bytes are made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import duckdb
import idc_index_data

from medfetch.sandbox.dicom import Instance, Series, instance

NEIGHBOURS = 5_000
"""Series read at one miss: a download goes through a collection patient by patient."""
KEPT = 100_000
"""Series kept in memory."""

# The index gives sizes as millions of bytes with six decimals, so this is exact.
_SERIES = """
    SELECT collection_id, SeriesInstanceUID, StudyInstanceUID, PatientID, Modality, SOPClassUID,
        PhotometricInterpretation IS NOT NULL, instanceCount, CAST(round(series_size_MB * 1e6) AS BIGINT),
        crdc_series_uuid, aws_bucket, source_DOI, license_short_name, BodyPartExamined, Manufacturer,
        ManufacturerModelName, SeriesNumber, SeriesDescription, SeriesDate, StudyDescription, StudyDate,
        PatientSex, PatientAge, analysis_result_id IS NOT NULL
    FROM read_parquet($index)
"""
# Of series that were replaced, only size and place are known; they count as slices of half a megabyte.
_REPLACED = """
    SELECT collection_id, SeriesInstanceUID, StudyInstanceUID, PatientID, Modality, '1.2.840.10008.5.1.4.1.1.7',
        true, CAST(greatest(1, round(series_size_MB * 2)) AS BIGINT),
        CAST(greatest(2048, round(series_size_MB * 1e6)) AS BIGINT) // 2 * 2, crdc_series_uuid, aws_bucket
    FROM read_parquet($prior) WHERE crdc_series_uuid = $key
"""
COLUMNS = {
    "Collection": "collection_id",
    "PatientID": "PatientID",
    "StudyInstanceUID": "StudyInstanceUID",
    "SeriesInstanceUID": "SeriesInstanceUID",
    "Modality": "Modality",
    "BodyPartExamined": "BodyPartExamined",
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "ManufacturerModelName",
}
"""What series can be asked by, under NBIA's names."""


class Archive:
    """The index and, for each series it lists, its synthetic instances (``cap``: at most so many bytes each)."""

    def __init__(self, cap: int | None = None) -> None:
        self.cap = cap
        self._lock = threading.Lock()
        self._connection = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": False})
        self._kept: dict[str, Series] = {}
        self._names: dict[str, str] = {}
        self._files = {
            "index": str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH),
            "prior": str(idc_index_data.PRIOR_VERSIONS_INDEX_PARQUET_FILEPATH),
            "collections": str(idc_index_data.INDEX_METADATA["collections_index"]["parquet_filepath"]),
        }

    def find(self, key: str) -> Series | None:
        """The series with that SeriesInstanceUID or, of any version, that UUID."""
        if (series := self._kept.get(key)) is None:
            with self._lock:
                series = self._kept.get(key) or self._load(key)
        return series

    def select(self, conditions: Mapping[str, str], where: str = "true") -> list[Series]:
        """Current series whose ``COLUMNS`` have these values, by patient, study and series."""
        clauses = [f"{COLUMNS[name]} = ${name}" for name in conditions]
        values = dict(conditions)
        if "Collection" in values:
            values["Collection"] = values["Collection"].lower().replace("-", "_").replace(" ", "_")
        rows = self._ask(
            f"{_SERIES} WHERE {' AND '.join([where, *clauses])} "
            "ORDER BY PatientID, StudyInstanceUID, SeriesInstanceUID",
            "index",
            **values,
        )
        return [_series(row) for row in rows]

    def smallest(self, conditions: Sequence[tuple[str, Sequence[str]]], count: int) -> list[str]:
        """SeriesInstanceUIDs of so many current series with the fewest instances, of those whose columns have one of
        these values; no values: nothing. They will be asked for: their neighbours need not be read with them."""
        clauses, values = ["true"], {}
        for number, (column, wanted) in enumerate(conditions):
            if wanted:
                clauses.append(f"list_contains($v{number}, lower({column}))")
                values[f"v{number}"] = [each.lower() for each in wanted]
            else:
                clauses.append(f"{column} IS NULL")
        rows = self._ask(
            f"{_SERIES} WHERE {' AND '.join(clauses)} ORDER BY instanceCount, SeriesInstanceUID LIMIT {count}",
            "index",
            **values,
        )
        found = [_series(row) for row in rows]
        with self._lock:
            self._keep(found)
        return [series.uid for series in found]

    def uuids(self, bucket: str, prefix: str, after: str) -> Iterator[str]:
        """UUIDs of the current series in a bucket that begin with ``prefix``, from ``after`` on, in order."""
        while True:
            rows = self._ask(
                "SELECT crdc_series_uuid FROM read_parquet($index) WHERE aws_bucket = $bucket AND"
                " crdc_series_uuid >= $after AND starts_with(crdc_series_uuid, $prefix) ORDER BY 1 LIMIT 1001",
                "index",
                bucket=bucket,
                prefix=prefix,
                after=after,
            )
            yield from (uuid for (uuid,) in rows[:1000])
            if len(rows) <= 1000:
                return
            after = rows[1000][0]

    def collection_name(self, collection: str) -> str:
        """A collection's name as NBIA writes it: ``lidc_idri`` → ``LIDC-IDRI``."""
        if not self._names:
            rows = self._ask("SELECT collection_id, collection_name FROM read_parquet($collections)", "collections")
            self._names = dict(rows)
        return self._names.get(collection, collection)

    def collections(self, where: str) -> list[str]:
        """Names of the collections that have series for which the SQL condition holds."""
        rows = self._ask(
            f"SELECT DISTINCT collection_id FROM read_parquet($index) WHERE {where}",
            "index",
        )
        return sorted(self.collection_name(collection) for (collection,) in rows)

    def instances(self, series: Series) -> list[Instance]:
        return [instance(series, number, self.cap) for number in range(1, series.count + 1)]

    def size(self, series: Series) -> int:
        """Bytes of all its instances."""
        usual, last = (instance(series, number, self.cap).size for number in (1, series.count))
        return usual * (series.count - 1) + last

    def by_uuid(self, series: Series) -> Mapping[str, Instance]:
        """A series' instances under the UUIDs that name their files, in the order of S3: by name."""
        return _by_uuid(series, self.cap)

    def _load(self, key: str) -> Series | None:
        """Reads the series and its neighbours: its patient's, then the following patients'."""
        column = "crdc_series_uuid" if "-" in key else "SeriesInstanceUID"
        rows = self._ask(
            f"WITH found AS (SELECT collection_id AS its_collection, PatientID AS its_patient"
            f" FROM read_parquet($index) WHERE {column} = $key)"
            f" {_SERIES} JOIN found ON collection_id = its_collection AND PatientID >= its_patient"
            f" ORDER BY PatientID, {column} <> $key LIMIT {NEIGHBOURS}",
            "index",
            key=key,
        )
        if not rows and column == "crdc_series_uuid":
            # Its SeriesInstanceUID belongs to the current version, so it is known by its UUID only.
            replaced = self._ask(_REPLACED, "prior", key=key)
            self._kept.update((key, _series(row)) for row in replaced)
        if len(self._kept) > 2 * KEPT:
            self._kept.clear()
        self._keep(map(_series, rows))
        return self._kept.get(key)

    def _keep(self, found: Iterable[Series]) -> None:
        for series in found:
            self._kept.setdefault(series.uuid, series)
            self._kept.setdefault(series.uid, series)

    def _ask(self, sql: str, *files: str, **values: str | list[str]) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            return cursor.execute(sql, {name: self._files[name] for name in files} | values).fetchall()


@cache
def opened(cap: int | None) -> Archive:
    """One archive for all sandboxes of a process that shrink alike: what one has read, the others need not."""
    return Archive(cap)


def _series(row: tuple[Any, ...]) -> Series:
    values: list[Any] = ["" if value is None else value for value in row]
    return Series(*values)


@lru_cache(maxsize=512)
def _by_uuid(series: Series, cap: int | None) -> Mapping[str, Instance]:
    files = {file.uuid: file for file in (instance(series, n, cap) for n in range(1, series.count + 1))}
    return dict(sorted(files.items()))
