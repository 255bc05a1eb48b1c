"""Asks the index of the Imaging Data Commons, which idc-index-data ships as Parquet files, without loading it.

It must not know what becomes of the rows.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ROWS_AT_ONCE = 2048
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "1GB",
    "temp_directory": "",
    "autoinstall_known_extensions": False,
}
"""Two threads answer for the largest collection, 204,346 series, in half a second and 110 MB."""


@dataclass(frozen=True, slots=True)
class Series:
    """A row of the index; in this order the columns of ``_query``."""

    collection: str
    patient: str
    study: str
    series: str
    modality: str | None
    body_part: str | None
    instances: int | None
    """None for a prior version: that index does not count."""
    megabytes: float
    """Millions of bytes: exact to the byte today, rounded to 0.01 for a prior version."""
    bucket: str
    gcs_bucket: str | None
    uuid: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A column must have one of these values; no values: it must be empty."""

    column: str
    values: tuple[str, ...]

    @property
    def sql(self) -> str:
        # Written out, not passed as parameters: only then does DuckDB skip the row groups that cannot match.
        return f"{self.column} IN ({_literals(self.values)})" if self.values else f"{self.column} IS NULL"


def find(conditions: Sequence[Condition], named: Condition | None) -> Iterator[Series]:
    """The series that meet all conditions, ordered by patient, study and series, streamed.

    ``named`` lists series by ``SeriesInstanceUID`` or ``crdc_series_uuid``. What today's release no longer serves is
    then looked up among the prior versions: by UUID exactly that version, by UID the newest, unless today's release
    has the series. Prior versions have no body part and no DOI, so conditions on these leave them out.
    """
    every = [*conditions, *([named] if named else [])]
    with contextlib.closing(_connect()) as connection:
        answer = connection.execute(_query(every, named))
        while rows := answer.fetchmany(ROWS_AT_ONCE):
            yield from (Series(*row) for row in rows)


def alike(
    conditions: Sequence[Condition], named: Condition | None
) -> Iterator[tuple[str | None, str, int, list[float]]]:
    """What ``find`` would give, summed up: (modality, patient, instances, millions of bytes of each series)."""
    each = _query([*conditions, *([named] if named else [])], named)
    sql = f"""SELECT Modality, PatientID, coalesce(sum(instanceCount), 0)::BIGINT, list(series_size_MB) FROM ({each})
        GROUP BY Modality, PatientID ORDER BY Modality, PatientID"""
    with contextlib.closing(_connect()) as connection:
        answer = connection.execute(sql)
        while rows := answer.fetchmany(ROWS_AT_ONCE):
            yield from rows


@dataclass(frozen=True, slots=True)
class Description:
    """What the index says of all series that meet some conditions; in this order the columns of ``describe``."""

    collections: tuple[str, ...]
    licences: tuple[str, ...]
    dois: tuple[str, ...]
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    patients: int
    size: int
    """Bytes."""


def describe(conditions: Sequence[Condition]) -> Description:
    """Of today's release only: of prior versions the index tells no licence."""
    today, _ = _files()
    where = " AND ".join(each.sql for each in conditions) or "true"
    columns = ("collection_id", "license_short_name", "source_DOI", "Modality", "BodyPartExamined")
    lists = ", ".join(f"list_sort(list(DISTINCT {column}) FILTER ({column} IS NOT NULL))" for column in columns)
    sql = f"""SELECT {lists}, count(DISTINCT PatientID), coalesce(sum(series_size_MB), 0) FROM {today} WHERE {where}"""
    with contextlib.closing(_connect()) as connection:
        rows = connection.execute(sql).fetchall()
    *words, patients, megabytes = rows[0]
    collections, licences, dois, modalities, body_parts = (tuple(each or ()) for each in words)
    return Description(collections, licences, dois, modalities, body_parts, patients, round(megabytes * 1e6))


def unknown(named: Condition) -> list[str]:
    """Those of the named series that no release of the index has, sorted."""
    today, prior = _files()
    sql = f"""SELECT value FROM (SELECT unnest([{_literals(named.values)}]) AS value)
        WHERE value NOT IN (SELECT {named.column} FROM {today})
        AND value NOT IN (SELECT {named.column} FROM {prior}) ORDER BY value"""
    with contextlib.closing(_connect()) as connection:
        return [value for (value,) in connection.execute(sql).fetchall()]


def close_collections(names: Iterable[str]) -> list[str]:
    """Names of collections that look like the given ones."""
    today, _ = _files()
    with contextlib.closing(_connect()) as connection:
        known = [name for (name,) in connection.execute(f"SELECT DISTINCT collection_id FROM {today}").fetchall()]
    typed = [name.lower().replace("-", "_").replace(" ", "_") for name in names]
    return [match for name in typed for match in difflib.get_close_matches(name, sorted(known), 3)]


def release() -> str:
    """The version of the installed index."""
    import idc_index_data

    return f"idc-index-data {idc_index_data.__version__}"


def _query(conditions: Sequence[Condition], named: Condition | None) -> str:
    today, prior = _files()
    columns = """collection_id, PatientID, StudyInstanceUID, SeriesInstanceUID, Modality, BodyPartExamined,
        instanceCount, series_size_MB, aws_bucket, gcs_bucket, crdc_series_uuid"""
    rows = f"SELECT *, NULL AS gcs_bucket FROM {today}"
    if named:
        # A version has one row for each bucket it has been in, and a series may have had several versions: the last.
        rows += f""" UNION ALL BY NAME SELECT * FROM {prior}
            WHERE {named.sql} AND {named.column} NOT IN (SELECT {named.column} FROM {today})
            QUALIFY row_number() OVER (
                PARTITION BY {named.column} ORDER BY max_idc_version DESC, crdc_series_uuid, gcs_bucket) = 1"""
    where = " AND ".join(each.sql for each in conditions) or "true"
    order = "PatientID, StudyInstanceUID, SeriesInstanceUID, crdc_series_uuid"
    return f"SELECT {columns} FROM ({rows}) WHERE {where} ORDER BY {order}"


def _literals(values: Iterable[str]) -> str:
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


def _files() -> tuple[str, str]:
    """Today's index and that of prior versions, as SQL names them."""
    import idc_index_data

    paths = (idc_index_data.IDC_INDEX_PARQUET_FILEPATH, idc_index_data.PRIOR_VERSIONS_INDEX_PARQUET_FILEPATH)
    return _literals([str(paths[0])]), _literals([str(paths[1])])


def _connect() -> Any:
    import duckdb

    return duckdb.connect(config=SETTINGS)
