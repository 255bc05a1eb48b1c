"""The examples do what they say, with the stand-in for the archives in the place of the archives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from running import Run

from medfetch.sandbox import Sandbox

EXAMPLES = Path(__file__).parents[1] / "examples"
SUBJECT = "LIDC-IDRI-0001"


def peer(name: str, what: str) -> Path:
    """The Python of an environment that has a program."""
    if not (python := os.environ.get(f"PEER_{name}")):
        pytest.skip(f"needs {what}: a Python that has it, named in PEER_{name}")
    return Path(python)


def environment(home: Path, cache: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "MEDFETCH_CACHE": str(cache), "MEDFETCH_RESERVE": "0"}


def python(home: Path, cache: Path, name: str, *arguments: str) -> str:
    """Runs an example by our own Python, with the libraries of a peer's."""
    peers = peer("TORCH", "torch (for CPUs) and monai")
    (packages,) = peers.parents[1].glob("lib/python*/site-packages")
    ran = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], env={**environment(home, cache), "PYTHONPATH": str(packages)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.long
@pytest.mark.parametrize("pack", [(), ("--pack", "zip")])
def test_pytorch_reads_slices(home: Path, cache: Path, pack: tuple[str, ...]) -> None:
    assert python(home, cache, "pytorch_slices.py", SUBJECT, "--sandbox", *pack) == "133 slices of (512, 512)\n"
    packed = list((cache / ".sandbox" / "lidc-idri" / "current").glob("*.zip"))
    assert bool(packed) == bool(pack)


@pytest.mark.long
def test_monai_reads_volumes(home: Path, cache: Path) -> None:
    assert python(home, cache, "monai_volumes.py", SUBJECT, "--sandbox") == "(1, 1, 64, 64, 32)\n"


@pytest.mark.long
def test_snakemake_fetches_and_counts(home: Path, cache: Path) -> None:
    snakemake = peer("SNAKEMAKE", "snakemake").with_name("snakemake")
    command = [snakemake, "-s", EXAMPLES / "Snakefile", "--cores", "2", "--config", "options=--sandbox"]
    ran = subprocess.run(
        [*command, f"subjects={SUBJECT}"], env=environment(home, cache), cwd=home, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert (home / "results" / f"{SUBJECT}.txt").read_text().startswith(f"{SUBJECT}: 135 slices, sha256:")
    assert ran.stderr.count("Finished jobid") == 3


def test_the_commands_of_the_workflow_run(run: Run, box: Sandbox, home: Path, cache: Path) -> None:
    workflow = yaml.safe_load((EXAMPLES / "github-actions.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    (command,) = [step["run"] for step in steps if step.get("run", "").startswith("medfetch")]
    kept = workflow["jobs"]["test"]["env"]["MEDFETCH_CACHE"].removeprefix("${{ github.workspace }}/")
    assert [step["with"]["path"] for step in steps if step.get("uses", "").startswith("actions/cache")] == [kept]
    box.put("https://host/x.bin", b"x")
    (home / "datasets.txt").write_text("https://host/x.bin\n")
    run(*command.split()[1:], MEDFETCH_CACHE=str(home / kept))
    assert list((home / kept).glob("*/*/*.zip"))


def test_the_page_names_every_example() -> None:
    page = (EXAMPLES.parent / "docs" / "pipelines.md").read_text()
    assert set(re.findall(r"\(\.\./examples/([^)]+)\)", page)) == {path.name for path in EXAMPLES.iterdir()}
