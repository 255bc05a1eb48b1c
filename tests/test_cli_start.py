"""The command line starts without what it does not need yet, and behaves in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {
    "boto3", "dask", "distributed", "duckdb", "idc_index", "idc_index_data", "IPython", "jsonschema", "kaggle",
    "nibabel", "numpy", "pandas", "plotly", "py7zr", "pydicom", "requests", "tcia_utils", "tqdm", "urllib3",
}  # fmt: skip
"""What no start must wait for."""
OF_THE_RUNNER = {"multiprocessing", "pycurl", "sqlite3"}
"""What nothing but work in the cache needs."""
COMPILED = SLOW | OF_THE_RUNNER | {"yaml"}
"""What nobody needs either for recipes that have not changed."""
IMPORTED = """
import json, runpy, sys
sys.argv[0] = "medfetch"
try:
    runpy.run_module("medfetch", run_name="__main__")
except SystemExit as exit:
    code = exit.code or 0
json.dump({"code": code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}, sys.stderr)
"""


def environment(tmp_path: Path) -> dict[str, str]:
    """This process's, without settings of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDFETCH_")}
    return {**kept, "MEDFETCH_CACHE": str(tmp_path / "cache"), "MEDFETCH_CONFIG": str(tmp_path / "none.yaml")}


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        (["--help"], SLOW | OF_THE_RUNNER),
        (["--version"], SLOW | OF_THE_RUNNER),
        (["list"], COMPILED),
        (["list", "lung", "--json"], COMPILED),
        (["list", "https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX"], COMPILED),
        (["info", "lidc-idri"], COMPILED),
        (["get", "--help"], SLOW),
        (["status", "lidc-idri"], SLOW),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_start_imports_little(command: list[str], unneeded: set[str], tmp_path: Path) -> None:
    # Recipes are parsed and checked where they were not before.
    for name in ("list", "info lidc-idri"):
        subprocess.run([sys.executable, "-m", "medfetch", *name.split()], env=environment(tmp_path), check=True)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *command], env=environment(tmp_path), capture_output=True, text=True
    )
    result = json.loads(done.stderr)
    assert result["code"] == 0
    assert done.stdout
    assert unneeded & set(result["modules"]) == set()


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["--help"], 0, "Exit codes"),
        (["--version"], 0, "medfetch "),
        (["list"], 0, "lidc-idri"),
        ([], 2, "Usage: medfetch"),
        (["fetch"], 2, "No such command 'fetch'"),
        (["list", "--no-such-option"], 2, "No such option"),
        (["info"], 2, "Missing argument 'NAME'"),
        (["info", "no-such-dataset"], 2, "no-such-dataset"),
        (["get"], 2, "no dataset was named"),
        (["get", "lidc-idri", "--select", "subject"], 2, "KEY=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_exit_codes_without_a_terminal(command: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "medfetch", *command],
        env=environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code
    # Data goes to standard output, talk to standard error, and neither has colours for a terminal.
    assert said in (done.stderr if code else done.stdout)
    assert "Traceback" not in done.stderr and "\x1b" not in done.stdout + done.stderr
    assert not (done.stdout if code else done.stderr)


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    for command in (["list"], ["info", "lidc-idri"], ["status"], ["status", "lidc-idri"]):
        subprocess.run([sys.executable, "-m", "medfetch", *command], env=environment(tmp_path), check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_early_is_no_error_to_speak_of(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "medfetch", "list"],
        env={**environment(tmp_path), "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        assert process.stdout.read(1)
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode in (0, 1)


def test_settings_that_do_not_exist_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "medfetch", "list"],
        env={**environment(tmp_path), "MEDFETCH_JOSB": "3"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "josb" in done.stderr and "docs/settings.md" in done.stderr
