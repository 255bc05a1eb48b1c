"""Which series exist: the index of the Imaging Data Commons, asked in SQL and kept by the neighbourhood.

It must not know HTTP, nor how an instance's bytes are made.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
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

    def __init__(self, cap: int | None = None, replaced: Iterable[str] = ()) -> None:
        """``replaced``: SeriesInstanceUIDs that have got another content since the index was made."""
        self.cap = cap
        self._replaced = frozenset(replaced)
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
        if key in self._new_versions:
            return self._new_versions[key]
        if (series := self._kept.get(key)) is None:
            with self._lock:
                series = self._kept.get(key) or self._load(key)
        return series

    @cached_property
    def _versions(self) -> list[tuple[Series, Series]]:
        """Of each series that was replaced, what it was and what it is."""
        found = []
        for uid in sorted(self._replaced):
            with self._lock:
                old = self._load(uid)
            if old is None:
                raise ValueError(f"there is no series {uid}")
            new = str(uuid.uuid5(uuid.UUID(old.uuid), "replaced"))
            found.append((old, replace(old, uuid=new, description=f"{old.description} (replaced)"[-64:])))
        return found

    @cached_property
    def _new_versions(self) -> dict[str, Series]:
        """By UID and by their new UUIDs; under the old ones the buckets keep what was there before."""
        return {key: new for _, new in self._versions for key in (new.uid, new.uuid)}

    def publish(self, folder: Path) -> None:
        """Writes a release of the index, as a package that takes the place of the installed one for whoever has the
        folder on their path; of the series' collections only, and what was replaced among the prior versions."""
        package = folder / "idc_index_data"
        package.mkdir(parents=True)
        now = (
            "CASE crdc_series_uuid " + " ".join("WHEN ? THEN ?" for _ in self._versions) + " ELSE crdc_series_uuid END"
        )
        pairs = [version.uuid for both in self._versions for version in both]
        names, uuids = [old.collection for old, _ in self._versions], pairs[::2]
        index, prior = (self._files[name] for name in ("index", "prior"))
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"COPY (SELECT * REPLACE ({now} AS crdc_series_uuid) FROM read_parquet(?) WHERE list_contains(?,"
                f" collection_id)) TO '{package / 'index.parquet'}'",
                [*pairs, index, names],
            )
            cursor.execute(
                "COPY (SELECT * FROM read_parquet(?) WHERE list_contains(?, collection_id) UNION ALL BY NAME"
                " SELECT collection_id, PatientID, SeriesInstanceUID, StudyInstanceUID, Modality, aws_bucket,"
                " aws_bucket AS gcs_bucket, crdc_series_uuid, series_size_MB, series_aws_url,"
                " series_revised_idc_version AS min_idc_version, 99 AS max_idc_version FROM read_parquet(?)"
                f" WHERE list_contains(?, crdc_series_uuid)) TO '{package / 'prior.parquet'}'",
                [prior, names, index, uuids],
            )
        (package / "__init__.py").write_text(
            '"""Made by the medfetch sandbox."""\nfrom pathlib import Path\n__version__ = "99.0.0"\n'
            'IDC_INDEX_PARQUET_FILEPATH = Path(__file__).with_name("index.parquet")\n'
            'PRIOR_VERSIONS_INDEX_PARQUET_FILEPATH = Path(__file__).with_name("prior.parquet")\n'
        )
        about = folder / "idc_index_data-99.0.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: idc-index-data\nVersion: 99.0.0\n")

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
def opened(cap: int | None, replaced: tuple[str, ...] = ()) -> Archive:
    """One archive for all sandboxes of a process that are alike: what one has read, the others need not."""
    return Archive(cap, replaced)


def _series(row: tuple[Any, ...]) -> Series:
    values: list[Any] = ["" if value is None else value for value in row]
    return Series(*values)


@lru_cache(maxsize=512)
def _by_uuid(series: Series, cap: int | None) -> Mapping[str, Instance]:
    files = {file.uuid: file for file in (instance(series, n, cap) for n in range(1, series.count + 1))}
    return dict(sorted(files.items()))
