"""What others can check: trees against receipts, RO-Crates and lists of digests."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe
from in_process import Command
from rocrate.rocrate import ROCrate
from running import Medfetch, Run

from medfetch import receipt_check
from medfetch.sandbox import Sandbox

FILES = {"a/one #1.nii": b"one" * 5_000, "a-b": b"minus", "a.b": b"dot", "zö 100%/odd": b"odd"}


@pytest.fixture
def run(run: Medfetch, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Command(run, monkeypatch)


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    files = []
    for number, (path, data) in enumerate(FILES.items()):
        box.put(f"https://host/{number}", data)
        files.append({"path": path, "url": f"https://host/{number}"})
    licence = {"id": "CC-BY-4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}
    cite = ["doi:10.5281/zenodo.4600654", "doi:10.1234/paper"]
    return write_recipe(home, "few", routes=http(*files), licence=licence, cite=cite, homepage="https://host/")


def test_a_tree_is_what_a_receipt_is_of(run: Run, home: Path, cache: Path, name: str, tmp_path: Path) -> None:
    receipt = run("get", name, "--json").last
    mine, theirs = cache / name / "current" / ".medfetch" / "receipt.json", home / "their.json"
    assert "4 files" in run("verify", "--receipt", mine).out
    # Somebody else's, who has it from elsewhere and by another plan.
    theirs.write_text(json.dumps({**receipt, "plan": "0" * 16, "path": "/elsewhere", "from": []}))
    assert run("verify", "--receipt", theirs, "--json").last["tree"] == receipt["tree"]
    # In any folder, whatever it is that has put it there.
    shutil.copytree(cache / name / "current", tmp_path / "copy", ignore=shutil.ignore_patterns(".medfetch"))
    run("verify", "--receipt", theirs, tmp_path / "copy")
    (tmp_path / "copy" / "more").touch()
    assert "5 files" in run("verify", "--receipt", theirs, tmp_path / "copy", code=4).out
    (cache / name / "current" / "a-b").write_bytes(b"minuz")
    found = run("verify", "--receipt", theirs, "--json", code=4)
    assert [line["path"] for line in found.lines if line["event"] == "file"] == ["a-b"]
    (cache / name / "current" / "a-b").unlink()
    assert "a-b: missing" in run("verify", "--receipt", mine, code=4).out


def test_what_cannot_be_compared_says_so(run: Run, home: Path, cache: Path, name: str, tmp_path: Path) -> None:
    receipt = run("get", name, "--json").last
    path = home / "receipt.json"
    for content, said in (
        ("", "cannot be read"),
        ("[]", "is no receipt"),
        ('{"@graph": []}', "no file with its sha256"),
    ):
        path.write_text(content)
        assert said in run("verify", "--receipt", path, code=2).err
    bad = {"@type": "File", "@id": "../x", "contentSize": "1", "sha256": "0" * 64}
    path.write_text(json.dumps({"@graph": [bad]}))
    assert "'../x' cannot be checked" in run("verify", "--receipt", path, code=2).err
    path.write_text(json.dumps(receipt))
    run("verify", code=2)
    run("verify", name, "--receipt", path, "--repair", code=2)
    assert "is no folder" in run("verify", "--receipt", path, home / "none", code=2).err
    path.write_text(json.dumps({**receipt, "sandbox": True}))
    assert "is not of this cache" in run("verify", "--receipt", path, code=2).err
    shutil.rmtree(cache, ignore_errors=True)  # the mark of what is not synced may just be going
    path.write_text(json.dumps(receipt))
    assert "nothing of few is in the cache" in run("verify", "--receipt", path, code=1).err


def test_of_several_plans_the_one_that_is_meant(run: Run, home: Path, name: str) -> None:
    part = run("get", name, "-s", "path=a-b", "--json").last
    (home / "part.json").write_text(json.dumps(part))
    (home / "all.json").write_text(json.dumps(run("get", name, "--json").last))
    assert run("verify", "--receipt", "part.json", "--json").last["files"] == 1
    assert run("verify", "--receipt", "all.json", "--json").last["files"] == len(FILES)


def test_files_come_in_the_order_of_receipts(tmp_path: Path) -> None:
    for path in ("a/b", "a/b-/c", "a-/d", "a.e/f", "a/.medfetch/kept", ".medfetch/not", "ä/g", "b"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = [path for path, _ in receipt_check.walked(tmp_path)]
    assert found == sorted(found) and len(found) == 7 and ".medfetch/not" not in found


def crate_of(folder: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((folder / "ro-crate-metadata.json").read_text())
    assert content["@context"] == "https://w3id.org/ro/crate/1.2/context"
    ids = [entity["@id"] for entity in content["@graph"]]
    assert len(set(ids)) == len(ids)
    return {entity["@id"]: entity for entity in content["@graph"]}


def test_an_ro_crate_is_read_by_others_and_checked(run: Run, home: Path, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "crate"
    receipt = run("get", name, "--to", folder, "--json").last
    run("export", name, folder, "--format", "ro-crate")
    assert tree(folder).keys() - FILES.keys() == {"ro-crate-metadata.json"}
    # By the package of the RO-Crate people.
    crate = ROCrate(folder)
    root = crate.root_dataset
    assert crate.version == "1.2" and root["name"] == name
    assert {file["name"]: file["sha256"] for file in root["hasPart"]} == {p: sha256(d) for p, d in FILES.items()}
    assert {file["name"]: file["contentSize"] for file in root["hasPart"]} == {p: str(len(d)) for p, d in FILES.items()}
    assert root["license"].id == "https://creativecommons.org/licenses/by/4.0/" and root["license"]["name"]
    assert [each["value"] for each in root["identifier"]] == [receipt["tree"]]
    assert [each.id for each in root["citation"]] == [
        "https://doi.org/10.5281/zenodo.4600654",
        "https://doi.org/10.1234/paper",
    ]
    crate.write(tmp_path / "again")
    # What the specification wants: every reference leads somewhere, and of the root what it must have.
    entities = crate_of(folder)
    assert {"@type", "name", "description", "datePublished", "license"} <= entities["./"].keys()
    for entity in entities.values():
        for value in entity.values():
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    assert each["@id"] in entities or each["@id"].startswith("https://w3id.org/ro/crate/")
    # And by ourselves, wherever it lies.
    shutil.move(folder, tmp_path / "moved")
    file = tmp_path / "moved" / "ro-crate-metadata.json"
    assert run("verify", "--receipt", file, "--json").last["bad"] == 0
    (tmp_path / "moved" / "a.b").write_bytes(b"tod")
    assert (
        f"a.b: sha256 {sha256(b'tod')} (3 bytes), expected sha256 {sha256(b'dot')}"
        in run("verify", "--receipt", file, code=4).out
    )


def test_a_crate_without_a_licence_and_of_a_part(run: Run, home: Path, box: Sandbox, capsys: Any) -> None:
    box.put("https://host/x", b"x")
    files = [{"path": path, "url": "https://host/x"} for path in ("x", "y")]
    bare = write_recipe(home, "bare", routes=http(*files), access={"level": "open", "note": "Ask Ada."})
    assert "not complete" in run("export", bare, "--format", "ro-crate", code=1).err
    run("get", bare, "-s", "path=x")
    graph = json.loads(run("export", bare, "--format", "ro-crate").out)["@graph"]
    root = next(entity for entity in graph if entity["@id"] == "./")
    assert (
        "not known" in root["license"] and "path=x" in root["description"] and "Ask Ada." in root["conditionsOfAccess"]
    )
    assert len(root["hasPart"]) == 1
    run("export", bare, code=2)


def test_sha256sum_checks_the_list(run: Run, cache: Path, name: str, tmp_path: Path) -> None:
    run("get", name)
    (tmp_path / "sums").write_text(run("export", name, "--format", "sha256sums").out)
    command = ["sha256sum", "--check", "--strict", tmp_path / "sums"]
    done = subprocess.run(command, cwd=cache / name / "current", capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == len(FILES), done.stderr
    run("export", name, tmp_path / "folder", "--format", "sha256sums")
    assert (tmp_path / "folder" / "SHA256SUMS").read_text() == (tmp_path / "sums").read_text()
