"""Every command that the README and the documentation show, run as it is written, against the sandbox.

Only folders are others (those of the pages are in ``/data`` and ``/media``), and the group ``lab`` is one that is
there. What would take a day is asked for in part (``REPLACED``).
"""

from __future__ import annotations

import grp
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from datasets import of_subject, sha256, tree, zipped
from pages import BETWEEN, PAGES, ROOT, RUN, SHOWN, blocks, script
from running import CAP
from test_recipe_update import new_key, published

from medfetch.recipe_folders import NUMBER, builtin
from medfetch.recipe_folders import number as number_of
from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import opened
from medfetch.updates import index

QUICK = ("docs/quickstart.md", "docs/access.md", "docs/credentials.md", "docs/import.md", "docs/sources.md")
WHOLE = ("docs/quickstart.md",)
"""Pages that show sizes, for which instances are as large as they are in earnest."""
HOST = "data.midrc.org"
SCANS = zipped(**{"scan.nii": b"n" * 500})
FROM_OTHERS = """medfetch get -r datasets.yaml
there=$(medfetch path lidc-idri)
cp -r "$there" /data/copy
cp "$there/.medfetch/receipt.json" ."""
INSTANCE = "LIDC-IDRI-0001/<an instance>"
"""Stands for one of the stand-in's."""
OTHER_MACHINE = "export MEDFETCH_CACHE=/data/other MEDFETCH_OFFLINE=1"
REPLACED: dict[str, list[tuple[str, str]]] = {
    "README.md": [
        ("medfetch get lidc-idri   ", "medfetch get lidc-idri --limit 3"),
        ("modality=RTSTRUCT", "modality=RTSTRUCT --limit 5"),
        ("totalsegmentator --select path='*/liver.nii.gz'", "totalsegmentator --sandbox --select path='*/scan-1.nii'"),
        ("--part annotations", "--part annotations --sandbox"),
        (
            "medfetch get croissant:",
            "medfetch export lidc-idri --limit 2 --format croissant > croissant.json\nmedfetch get croissant:",
        ),
        ("9f86d0…", sha256(SCANS)),
        ("~/.config/fish/completions/medfetch.fish", "medfetch.fish"),
    ],
    "docs/air-gapped.md": [
        ("medfetch get lidc-idri --from", f"{OTHER_MACHINE}\nmedfetch get lidc-idri --from")
    ],
    "docs/croissant.md": [
        ("croissant:croissant.json", "croissant:croissant.json --limit 2"),
        ("medfetch cite medfetch.lock", "medfetch lock lidc-idri -o medfetch.lock\nmedfetch cite medfetch.lock"),
    ],
    "docs/packing.md": [
        ("lidc-idri --pack  ", "lidc-idri --select subject=LIDC-IDRI-0001 --pack"),
        ("get lidc-idri   ", "get lidc-idri --select subject=LIDC-IDRI-0001"),
        ("LIDC-IDRI-0001/1.3.6…/1.3.6…/1.2.8….dcm", INSTANCE),
    ],
    "docs/pipelines.md": [
        ("LIDC-IDRI-0001/….dcm", INSTANCE),
        ('"lidc-idri", progress', '"lidc-idri", limit=2, progress'),
    ],
    "docs/reproduce.md": [
        ("medfetch lock --upgrade", "cp medfetch.lock old.lock\nmedfetch lock --upgrade"),
        ("medfetch verify --receipt receipt.json   ", f"{FROM_OTHERS}\nmedfetch verify --receipt receipt.json   "),
        ("lidc-idri --to crate", "lidc-idri --select subject=LIDC-IDRI-0001 --to crate"),
    ],
    "docs/credentials.md": [("medfetch login kaggle ", "medfetch login kaggle < token ")],
}  # fmt: skip
"""What is run otherwise than it is shown: less of what is large, the digest of what is there."""


def _readme(home: Path, box: Sandbox) -> dict[str, str]:
    """Manifests, of two series each, and the files that somebody has fetched by hand."""
    box.zenodo.publish(4600654, {"scan.nii": b"n" * 100})
    box.put("https://example.org/scans.zip", SCANS)
    series = opened(CAP).select(
        {"PatientID": "LIDC-IDRI-0002", "Collection": "lidc-idri"}, "analysis_result_id IS NULL"
    )
    head = "downloadServerUrl=https://public.cancerimagingarchive.net/nbia-download/servlet/DownloadServlet\n"
    uids = "".join(f"{each.uid}\n" for each in series)
    (home / "cart.tcia").write_text(f"{head}ListOfSeriesToDownload=\n{uids}")
    (home / "cohort.s5cmd").write_text("".join(f"cp s3://{each.bucket}/{each.uuid}/* .\n" for each in series))
    box.gen3.put(HOST, "dg.MD1R/a", b"scan", name="a.dcm")
    (home / "manifest.json").write_text(json.dumps([{"object_id": "dg.MD1R/a", "commons_url": HOST}]))
    (home / ".gen3").mkdir()
    (home / ".gen3" / "credentials.json").write_text(json.dumps(box.gen3.key(HOST)))
    (home / ".gen3" / "credentials.json").chmod(0o600)
    (home / "wanted.txt").write_text("zenodo:4600654\n")
    return _downloads(home, box)


def _downloads(home: Path, box: Sandbox) -> dict[str, str]:
    (home / "Downloads").mkdir()
    (home / "Downloads" / "RETOUCH-TrainingSet-Cirrus.zip").write_bytes(SCANS)
    return {}


def _credentials(home: Path, box: Sandbox) -> dict[str, str]:
    (home / "token").write_text("KGAT_0123456789abcdef\n")
    (home / "user-and-password").write_text("ada:difference engine\n")
    return {}


def _reproduce(home: Path, box: Sandbox) -> dict[str, str]:
    (home / "datasets.yaml").write_text("- {name: lidc-idri, select: {subject: LIDC-IDRI-0001}}\n")
    return {}


def _contributing(home: Path, box: Sandbox) -> dict[str, str]:
    """A recipe that somebody has written."""
    folder = home / "recipes" / "http"
    folder.mkdir(parents=True)
    text = (ROOT / "recipes" / "http" / "acdc.yaml").read_text(encoding="utf-8")
    (folder / "example.yaml").write_text(text.replace("id: acdc", "id: example", 1), encoding="utf-8")
    return {}


def _source(home: Path, box: Sandbox) -> dict[str, str]:
    """The source's host, and what ``pip install`` would note of its package."""
    files = {"sub-1/scan.nii": b"1" * 1000, "sub-2/scan.nii": b"2" * 2000}
    rows = [{"path": path, "size": len(data), "sha256": sha256(data)} for path, data in files.items()]
    box.put("https://ward.example/ct/index.json", json.dumps(rows).encode())
    for path, data in files.items():
        box.put(f"https://ward.example/ct/{path}", data)
    info = home / "medfetch_ward-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: medfetch-ward\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[medfetch.sources]\nward = medfetch_ward:Ward\n")
    return {"PYTHONPATH": str(home), "MEDFETCH_ENDPOINT_WARD": f"{box.endpoints['http']}/ward.example"}


def _newer_recipes(home: Path, box: Sandbox) -> dict[str, str]:
    """An index, its key, and a folder with recipes that are newer still."""
    folder, key = home / "medfetch", new_key()
    shutil.copytree(builtin(), folder)
    for number in (number_of(folder) + 1, number_of(folder) + 2):
        (folder / NUMBER).write_text(f"{number}\n")
        if not (home / "recipes.json").exists():
            published(home, index.of_folder(folder), key)
    return {"MEDFETCH_RECIPES_FROM": "recipes.json", "MEDFETCH_RECIPES_KEYS": index.public(key)}


PREPARED: dict[str, Callable[[Path, Sandbox], dict[str, str]]] = {
    "README.md": _readme,
    "CONTRIBUTING.md": _contributing,
    "docs/credentials.md": _credentials,
    "docs/import.md": _downloads,
    "docs/newer-recipes.md": _newer_recipes,
    "docs/reproduce.md": _reproduce,
    "docs/sources.md": _source,
}
"""What a page takes for granted in the folder where its commands are run; returns further environment."""


def _air_gapped(folder: Path, printed: list[str]) -> None:
    there = folder / "data" / "other" / "lidc-idri" / "current"
    assert printed[1].endswith(f"{there}\n")
    assert tree(there) == of_subject("LIDC-IDRI-0001")


def _shared_caches(folder: Path, printed: list[str]) -> None:
    assert printed[-1].endswith(f"{folder}/data/mirror/lidc-idri/current\n")
    assert tree(folder / "data" / "medfetch" / "lidc-idri" / "current") == of_subject("LIDC-IDRI-0001")
    assert not (folder / "home" / "cache").exists()


AFTER = {"docs/air-gapped.md": _air_gapped, "docs/shared-caches.md": _shared_caches}
"""What is there then; given the folder of all, and what each block printed."""
NAMES = {str(page.relative_to(ROOT)): page for page in PAGES}


@pytest.mark.parametrize("name", NAMES)
def test_every_block_is_run_or_says_why_not(name: str) -> None:
    found = list(blocks(NAMES[name]))
    assert sum(line.startswith("```") for line in NAMES[name].read_text(encoding="utf-8").splitlines()) == 2 * len(
        found
    )
    for block in found:
        where = f"{name}:{block.line}"
        assert block.language in RUN + SHOWN, (
            f"{where}: {block.language} is neither run nor only shown (CONTRIBUTING.md)"
        )
        assert re.fullmatch(r"(not run: .{5,}|exit \d+|)", block.note), f"{where}: {block.note}"


def _run_pages() -> Iterator[object]:
    for name, page in NAMES.items():
        if any(block.is_run for block in blocks(page)):
            yield pytest.param(name, marks=() if name in QUICK else pytest.mark.long)


@pytest.mark.parametrize("name", [*_run_pages()])
def test_the_commands_of_a_page_do_what_it_says(name: str, tmp_path: Path) -> None:
    found = [block for block in blocks(NAMES[name]) if block.is_run]
    text = re.sub(r"/(data|media)/", rf"{tmp_path}/\1/", script(found, REPLACED.get(name, []))).replace("sudo ", "")
    if INSTANCE in text:
        text = text.replace(INSTANCE, next(iter(of_subject("LIDC-IDRI-0001"))))
    text = text.replace("-g lab ", f"-g {grp.getgrgid(os.getgid()).gr_name} ")
    home = tmp_path / "home"
    for folder in ("bin", "data", "media", "home"):
        (tmp_path / folder).mkdir()
    for program, module in {"medfetch": "-m medfetch", "python": ""}.items():
        (tmp_path / "bin" / program).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (tmp_path / "bin" / program).chmod(0o755)
    with Sandbox(max_instance_bytes=None if name in WHOLE else CAP) as box:
        environment = {
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(home), "LC_ALL": "C.UTF-8",
            "MEDFETCH_CACHE": str(tmp_path / "cache"), "MEDFETCH_RESERVE": "0", **box.environment,
            # A machine at Amazon has keys of its own, and one at Google an account.
            "AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true",
            **PREPARED.get(name, lambda home, box: {})(home, box),
        }  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", text], env=environment, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    _, *outputs = done.stdout.split(BETWEEN)
    assert done.returncode == 0, f"{name}:{found[len(outputs) - 1].line}: {outputs[-1]}{done.stderr}"
    assert "Traceback" not in done.stdout
    for block, output in zip(found, outputs, strict=True):
        assert not block.differs(output), f"{name}:{block.line}: {block.differs(output)!r} does not come:\n{output}"
    if name in AFTER:
        AFTER[name](tmp_path, outputs)
