"""Plans of whole collections hold what the index holds, counted here by SQL, and cost little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import idc_index_data
import pytest
from running import Medfetch, Run

from medfetch.sandbox import Sandbox

MOST_MEMORY = 400_000
"""Kilobytes that a run may have resident, its index query and its plan counted."""
MEASURED = "import os, resource, sys; code = os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:]); \
print('kilobytes', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(code)"


def counted(condition: str) -> dict[str, int]:
    """Series, instances and bytes of the index under an SQL condition."""
    index = str(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
    # The index has sizes in millions of bytes with six decimals.
    row = duckdb.execute(
        "SELECT count(*), sum(instanceCount), sum(CAST(round(series_size_MB * 1000000) AS BIGINT))"
        f" FROM read_parquet(?) WHERE {condition}",
        [index],
    ).fetchone()
    assert row is not None
    return {"series": row[0], "instances": int(row[1]), "bytes": int(row[2])}


def facts(planned: dict[str, Any]) -> dict[str, int]:
    return {key: planned[key] for key in ("series", "instances", "bytes")}


def test_lidc_idri_is_exactly_the_collections_own_data(run: Run, box: Sandbox) -> None:
    planned = run("plan", "lidc-idri", "--offline", "--json").last
    assert facts(planned) == counted("collection_id = 'lidc_idri' AND analysis_result_id IS NULL")
    assert planned["index"] == idc_index_data.__version__
    if planned["index"] == "25.0.5":
        assert (planned["series"], planned["instances"]) == (1_308, 244_527)
    assert list(planned["parts"]) == ["images"]
    assert planned["not_included"] == ["nodules", "qin-lungct-seg", "annotations"]
    assert (planned["files"], planned["unknown_sizes"]) == (planned["instances"], 0)
    assert box.stats.requests == 0


@pytest.mark.parametrize(
    ("part", "result"), [("nodules", "dicom_lidc_idri_nodules"), ("qin-lungct-seg", "qin_lungct_seg")]
)
def test_analysis_results_are_parts_of_their_own(run: Run, part: str, result: str) -> None:
    planned = run("plan", "lidc-idri", "--part", part, "--offline", "--json").last
    assert facts(planned) == counted(f"collection_id = 'lidc_idri' AND analysis_result_id = '{result}'")


def test_nlst_is_planned_whole_in_little_memory(run: Run, cache: Path) -> None:
    ran = run("plan", "nlst", "--offline", "--json", wrap=(sys.executable, "-c", MEASURED))
    assert facts(ran.last) == counted("collection_id = 'nlst' AND analysis_result_id IS NULL")
    if ran.last["index"] == "25.0.5":
        assert (ran.last["series"], ran.last["instances"]) == (204_346, 21_088_140)
    kilobytes = int(ran.err.split("kilobytes ")[1].split()[0])
    assert kilobytes < MOST_MEMORY
    # A second time it is read from disk, and nothing of it is held whole.
    again = run("plan", "nlst", "--offline", "--json", wrap=(sys.executable, "-c", MEASURED))
    assert again.last == {**ran.last, "free_bytes": again.last["free_bytes"]}
    assert int(again.err.split("kilobytes ")[1].split()[0]) <= kilobytes


def test_the_entries_of_a_plan_add_up_to_its_totals(run: Run) -> None:
    events = run("plan", "pancreas-ct", "--offline", "--files", "--json").lines
    planned, entries = events[0], events[1:]
    assert {entry["event"] for entry in entries} == {"entry"}
    assert len({entry["path"] for entry in entries}) == len(entries) == planned["series"]
    assert sum(entry["files"] for entry in entries) == planned["instances"]
    assert sum(entry["bytes"] for entry in entries) == planned["bytes"]


BUILD = """
import sys
from pathlib import Path
from medfetch import cache, locks, config
from medfetch.locks import using
[locked] = locks.read(Path("medfetch.lock")).datasets
settings = config.load()
recipe = using.recipe_of(locked, settings)
home = cache.home(Path("again"), recipe.id, recipe.version)
cache.prepare(home)
print(using.build(locked, home, settings).totals["entries"])
"""


@pytest.mark.long
def test_nlst_is_locked_and_planned_from_the_lock_in_little_memory(run: Medfetch, home: Path) -> None:
    run("plan", "nlst", "--offline")
    for command in ((sys.executable, "-c", MEASURED, sys.executable, "-m", "medfetch", "lock", "nlst", "--offline"),
                    (sys.executable, "-c", MEASURED, sys.executable, "-c", BUILD)):  # fmt: skip
        done = subprocess.run(command, cwd=home, env=run.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert int(done.stderr.split()[-1]) < 100_000
    assert int(done.stdout) == counted("collection_id = 'nlst' AND analysis_result_id IS NULL")["series"]
    [listed] = (home / "medfetch.lock.files").iterdir()
    assert listed.stat().st_size < 20_000_000
