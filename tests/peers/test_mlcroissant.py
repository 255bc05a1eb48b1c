"""Croissants by medfetch, read by mlcroissant, which MLCommons keeps: valid, for every recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, write_recipe, zipped
from running import Run

from medfetch import catalog, requirements
from medfetch.formats import Dataset
from medfetch.formats.croissant import document
from medfetch.sandbox import Sandbox

SUBJECT = "LIDC-IDRI-0001"
# All in one process: it takes longer to import than to read them.
OFFICIAL = """
import json, sys
import mlcroissant
told = {}
for name, content in json.load(open(sys.argv[1])).items():
    try:
        metadata = mlcroissant.Dataset(content).metadata
        told[name] = {
            "warnings": sorted(metadata.ctx.issues.warnings),
            "version": str(metadata.ctx.conforms_to.value),
            "resources": {each.id: list(each.contained_in or []) for each in metadata.distribution},
        }
    except mlcroissant.ValidationError as error:
        told[name] = {"error": str(error)}
print(json.dumps(told))
"""
UNKNOWN = ("datePublished", "license", "schema.org/version", "MAJOR.MINOR.PATCH")
"""What it would like to have of each dataset, and recipes do not always say."""


def official(documents: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    python = os.environ.get("PEER_MLCROISSANT", sys.executable)
    if subprocess.run([python, "-c", "import mlcroissant"], capture_output=True, check=False).returncode:
        pytest.skip(
            "mlcroissant is not installed: make an environment with `pip install mlcroissant==1.1.1` "
            "and name its python in PEER_MLCROISSANT"
        )
    (folder / "documents.json").write_text(json.dumps(documents))
    ran = subprocess.run(
        [python, "-c", OFFICIAL, str(folder / "documents.json")],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told: dict[str, dict[str, Any]] = json.loads(ran.stdout)
    return told


def check(told: dict[str, dict[str, Any]], documents: dict[str, Any]) -> None:
    assert {name: each["error"] for name, each in told.items() if "error" in each} == {}
    for name, each in told.items():
        assert [w for w in each["warnings"] if not any(word in w for word in UNKNOWN)] == [], name
        assert each["version"] == "http://mlcommons.org/croissant/1.1"
        containers = {
            node["@id"]: [node["containedIn"]["@id"]] if "containedIn" in node else []
            for node in documents[name]["distribution"]
        }
        assert each["resources"] == containers, name


def test_every_recipe_with_a_route(tmp_path: Path) -> None:
    recipes = [replace(each, parts=tuple(requirements.chosen(each))) for each in catalog.search()]
    documents = {each.id: document(Dataset(each, (), ())) for each in recipes if any(p.routes for p in each.parts)}
    assert len(documents) > 100
    check(official(documents, tmp_path), documents)


def test_what_is_planned_and_what_is_here(run: Run, box: Sandbox, home: Path, tmp_path: Path) -> None:
    content = zipped(**{"a b/one ä.nii": b"one", "two.nii.gz": b"two"})
    for path in ("more.zip", "scan #1.zip"):
        box.put(f"https://host/{path.replace(' #', '')}", content)
    files = [
        {"path": "scan #1.zip", "url": "https://host/scan1.zip", "sha256": sha256(content), "unpack": {"into": "a b"}},
        {"path": "more.zip", "url": "https://host/more.zip", "md5": "0" * 32},
    ]
    name = write_recipe(home, "both", parts={
        "one": {"routes": http(files[0])}, "two": {"routes": http({**files[1], "path": "x y.zip"}), "default": False},
    })  # fmt: skip

    def exported(*arguments: object) -> Any:
        return json.loads(run("export", *arguments, "--format", "croissant").out)

    subject = ("lidc-idri", "-s", f"subject={SUBJECT}")
    documents = {
        "series planned": exported(*subject),
        "planned": exported(name),
        "other": exported(name, "--part", "two"),
    }
    run("get", *subject)
    run("get", name)
    documents |= {"series": exported("lidc-idri"), "here": exported(name)}
    check(official(documents, tmp_path), documents)
    assert len(documents["series"]["distribution"]) > 100
