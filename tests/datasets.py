"""Trees, recipes and archives for the tests of the whole, and what the sandbox means a subject's files to be."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import yaml
from running import CAP

from medfetch.sandbox.archive import opened

COLLECTION = "lidc-idri"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a dataset by its path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: sha256(path.read_bytes()) for name, path in names.items() if not name.startswith(".medfetch/")}


def write_recipe(folder: Path, recipe_id: str, **content: Any) -> str:
    """Puts a recipe where medfetch looks; returns its id."""
    recipe = {"id": recipe_id, "name": recipe_id, "summary": "A test.", "access": {"level": "open"}, **content}
    (folder / f"{recipe_id}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return recipe_id


def http(*files: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"source": "http", "files": list(files)}]


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def of_subject(subject: str, cap: int = CAP) -> dict[str, str]:
    """What ``tree`` must be for a subject of LIDC-IDRI, by the sandbox's own books."""
    archive = opened(cap)
    series = archive.select({"PatientID": subject, "Collection": COLLECTION}, "analysis_result_id IS NULL")
    return {
        f"{subject}/{each.study}/{each.uid}/{file.uid}.dcm": sha256(file.content().whole())
        for each in series
        for file in archive.instances(each)
    }
