"""A dataset of every kind of work: small files, large ones, archives, series as instances and as zips made on the fly.

It must not know what is done to those who fetch it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import http, sha256, tarred, write_recipe, zipped

from medfetch.sandbox import Sandbox
from medfetch.sandbox.archive import opened

NAME = "mixed"
CAP = 20_000
"""Bytes of a DICOM instance, at the most."""


@dataclass(frozen=True)
class Amounts:
    """How much of everything; ``large_bytes`` for each large file (from 64 MiB on they come in several ranges)."""

    small: int = 400
    large: int = 2
    large_bytes: int = 24_000_000
    archives: int = 4
    singly: int = 2
    """Patients whose series come as instances."""
    zips: int = 40
    """Patients whose radiographs come as zips."""


def put(box: Sandbox, recipes: Path, amounts: Amounts) -> dict[str, str]:
    """Puts the dataset on the sandbox and its recipe into a folder; SHA-256 of every file of its tree by path."""
    draw = random.Random(7)
    wanted: dict[str, str] = {}
    parts: dict[str, Any] = {}
    # The large ones first: they are under way all the time, while everything else comes and goes.
    parts["large"] = _blobs(box, "large", [amounts.large_bytes] * amounts.large, wanted)
    files = []
    for number in range(amounts.archives):
        members = {f"m{each}": draw.randbytes(50_000) for each in range(20)}
        name, data = (f"{number}.zip", zipped(**members)) if number % 2 else (f"{number}.tar.gz", tarred(**members))
        url = f"https://archives.example/{name}"
        box.put(url, data)
        into = f"archives/{number}"
        files.append({"path": name, "url": url, "size": len(data), "sha256": sha256(data), "unpack": {"into": into}})
        wanted |= {f"{into}/{member}": sha256(content) for member, content in members.items()}
    parts["archives"] = {"routes": http(*files)}
    for part, first, count in (("singly", 1, amounts.singly), ("zips", 101, amounts.zips)):
        patients = [f"LIDC-IDRI-{number:04d}" for number in range(first, first + count)]
        modalities = ["DX", "CR"] if part == "zips" else ["CT"]
        source, collection = ("tcia", "LIDC-IDRI") if part == "zips" else ("idc", "lidc_idri")
        route = {"source": source, "collection": collection, "patient": patients, "modality": modalities}
        parts[part] = {"routes": [route]}
        wanted |= _series(patients, modalities)
    parts["small"] = _blobs(box, "small", [draw.randint(1, 60_000) for _ in range(amounts.small)], wanted)
    write_recipe(recipes, NAME, parts=parts)
    return wanted


def _blobs(box: Sandbox, part: str, sizes: list[int], wanted: dict[str, str]) -> dict[str, Any]:
    """A part of files of such sizes; notes their digests."""
    files = []
    for number, size in enumerate(sizes):
        path, url = f"{part}/{number:04d}.bin", f"https://{part}.example/{number:04d}.bin"
        wanted[path] = sha256(box.put(url, size=size))
        files.append({"path": path, "url": url, "size": size, "sha256": wanted[path]})
    return {"routes": http(*files)}


def _series(patients: list[str], modalities: list[str]) -> dict[str, str]:
    archive = opened(CAP)
    found = (
        (patient, series)
        for patient in patients
        for modality in modalities
        for series in archive.select(
            {"PatientID": patient, "Collection": "lidc-idri", "Modality": modality}, "analysis_result_id IS NULL"
        )
    )
    return {
        f"{patient}/{series.study}/{series.uid}/{file.uid}.dcm": sha256(file.content().whole())
        for patient, series in found
        for file in archive.instances(series)
    }
