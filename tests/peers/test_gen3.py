"""Objects of a Gen3 commons by its own client, gen3 (``drs-pull manifest``), and by medfetch: the same trees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import sha256, tree
from running import Run

from medfetch.sandbox import Fault, Sandbox

HOST = "commons.example.org"
FILES = {f"dg.1/{number:02d}": (f"scan {number:02d}.nii.gz", b"%d" % number * 900) for number in range(12)}

HERE = """
import sys
import requests
base, host = sys.argv[1:3]
asked = requests.Session.request
def here(session, method, url, **more):
    for scheme in ("https", "http"):
        url = url.replace(f"{scheme}://{host}/", f"{base}/{host}/")
    return asked(session, method, url, **more)
requests.Session.request = here
sys.argv[:3] = ["gen3"]
from gen3.cli.__main__ import main
main()
"""
"""The client asks the commons over https; nothing else of it is replaced."""


@pytest.fixture
def manifest(box: Sandbox, home: Path) -> Path:
    """A commons with some objects, the key of a person, and what the portal exports."""
    for identifier, (name, data) in FILES.items():
        box.gen3.put(HOST, identifier, data, name=name)
    (home / ".gen3").mkdir()
    (home / ".gen3" / "credentials.json").write_text(json.dumps(box.gen3.key(HOST)))
    (home / ".gen3" / "credentials.json").chmod(0o600)
    path = home / "manifest.json"
    path.write_text(json.dumps([{"object_id": identifier, "commons_url": HOST} for identifier in FILES]))
    return path


def official(box: Sandbox, manifest: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_GEN3", sys.executable)
    if subprocess.run([python, "-c", "import gen3.cli"], capture_output=True, check=False).returncode:
        pytest.skip(
            "gen3 is not installed: make an environment with `pip install gen3==4.28.5` and name its python in"
            " PEER_GEN3"
        )
    command = [python, "-c", HERE, box.endpoints["gen3"], HOST, "--endpoint", HOST]
    return subprocess.run(
        [*command, "drs-pull", "manifest", str(manifest), str(folder), "--no-progress"],
        env={"PATH": os.environ["PATH"], "HOME": str(manifest.parent)},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def test_the_same_tree(box: Sandbox, run: Run, manifest: Path, tmp_path: Path) -> None:
    done = official(box, manifest, tmp_path / "theirs")
    assert tree(tmp_path / "theirs") == {name: sha256(data) for name, data in FILES.values()}, done.stderr[-3000:]
    receipt = run("get", str(manifest), "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert receipt["assurance"] == {"published": len(FILES)}


@pytest.mark.parametrize("why", ["the key is over", "no approval"])
def test_where_it_is_refused_medfetch_is_and_says_why(
    box: Sandbox, run: Run, manifest: Path, tmp_path: Path, why: str
) -> None:
    if why == "no approval":
        for identifier, (name, data) in FILES.items():
            box.gen3.put(HOST, identifier, data, name=name, approved=False)
    else:
        box.gen3.lapsed = [HOST]
    done = official(box, manifest, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists() or tree(tmp_path / "theirs") == {}
    # It says so, or only its log does, and ends as though all were well.
    assert done.returncode in (0, 1)
    ran = run("get", str(manifest), code=3)
    assert "the API key is wrong, or it has expired, or you have no approval" in " ".join(ran.err.split())


def test_a_wrong_byte_that_the_client_does_not_see(box: Sandbox, run: Run, manifest: Path, tmp_path: Path) -> None:
    box.add(Fault(match="/storage/.*03", corrupt=60))
    official(box, manifest, tmp_path / "theirs")
    name, data = FILES["dg.1/03"]
    assert tree(tmp_path / "theirs")[name] != sha256(data)
    box.add(Fault(match="/storage/.*03", corrupt=60))
    receipt = run("get", str(manifest), "--json").last
    assert tree(Path(receipt["path"]))[name] == sha256(data)
