"""A gated project by PhysioNet's own client and by wget, as its pages recommend, and by medfetch: the same trees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import sha256, tree
from running import Ran, Run

from medfetch.sandbox import Fault, Sandbox

PASSWORD = "correct-horse-4411"
FILES = {f"files/p{number % 3}/{number:02d} +ä.dcm": 1000 + number for number in range(20)} | {"LICENSE.txt": "licence"}
SUMS = "SHA256SUMS.txt"

OFFICIAL = """
import importlib, sys
client = importlib.import_module("physionet.download")  # the package has a function of that name, too
site, client.S3_BASE_URL, into = sys.argv[1:]
try:
    client.download("cxr", "2.1.0", output_dir=into, base_url=site, retries=0)
except client.DownloadError as error:
    print([path for path, _ in error.failures])
    sys.exit(1)
"""
"""The client's mirror is fixed in its code; nothing else of it is replaced."""


@pytest.fixture
def published(box: Sandbox) -> dict[str, bytes]:
    box.physionet.accounts["ann"] = PASSWORD
    return box.physionet.publish("cxr", "2.1.0", FILES, policy="credentialed", approved=["ann"], spaces=2)


def official(box: Sandbox, into: Path, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_PHYSIONET", sys.executable)
    if subprocess.run([python, "-c", "import physionet.download"], capture_output=True, check=False).returncode:
        pytest.skip(
            "physionet is not installed: make an environment with `pip install physionet==0.2.0` "
            "and name its python in PEER_PHYSIONET"
        )
    mirror = f"{box.endpoints['physionet_s3']}/physionet-open"
    return subprocess.run(
        [python, "-c", OFFICIAL, box.endpoints["physionet"], mirror, str(into)],
        env={"PATH": os.environ["PATH"], "PHYSIONET_USERNAME": "ann", "PHYSIONET_PASSWORD": password},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def wget(box: Sandbox, into: Path, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    if not shutil.which("wget"):
        pytest.skip("wget is not installed: apt-get install wget")
    into.mkdir()
    address = f"{box.endpoints['physionet']}/files/cxr/2.1.0/"
    command = ["wget", "-r", "-N", "-c", "-np", "-nH", "--cut-dirs=4", "--user=ann", f"--password={password}", address]
    return subprocess.run(command, cwd=into, capture_output=True, text=True, timeout=60, check=False)


def medfetch(run: Run, home: Path, password: str = PASSWORD, code: int | None = 0) -> Ran:
    (home / ".netrc").write_text(f"machine physionet.org login ann password {password}\n")
    (home / ".netrc").chmod(0o600)
    return run("get", "physionet:cxr/2.1.0", "--json", code=code)


def tree_of_medfetch(cache: Path) -> dict[str, str]:
    (folder,) = cache.glob("physionet--*/current")
    return tree(folder)


def test_the_same_tree_as_wget(
    box: Sandbox, run: Run, home: Path, cache: Path, tmp_path: Path, published: dict[str, bytes]
) -> None:
    done = wget(box, tmp_path / "wget")
    assert done.returncode == 0, done.stderr
    medfetch(run, home)
    pages = {path for path in tree(tmp_path / "wget") if path.endswith("index.html")}
    theirs = {path: digest for path, digest in tree(tmp_path / "wget").items() if path not in pages}
    assert tree_of_medfetch(cache) == theirs == {path: sha256(data) for path, data in published.items()}


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_same_tree_as_the_official_client(
    box: Sandbox, run: Run, home: Path, cache: Path, tmp_path: Path, published: dict[str, bytes], mirrored: bool
) -> None:
    if mirrored:
        box.physionet.publish("cxr", "2.1.0", FILES, mirrored=True)
    done = official(box, tmp_path)
    assert done.returncode == 0, done.stderr
    medfetch(run, home)
    # It does not keep the list.
    ours = {path: digest for path, digest in tree_of_medfetch(cache).items() if path != SUMS}
    assert ours == tree(tmp_path / "cxr-2.1.0")
    assert len(ours) == len(FILES)


def test_the_same_two_files_are_bad(
    box: Sandbox, run: Run, home: Path, cache: Path, tmp_path: Path, published: dict[str, bytes]
) -> None:
    wrong, missing = "files/p1/04 +ä.dcm", "files/p2/05 +ä.dcm"
    box.add(Fault(match="/04%20", corrupt=3, times=None), Fault(match="/05%20", status=404, times=None))
    ran = medfetch(run, home, code=4)
    assert {failure["path"] for failure in ran.last["failures"]} == {wrong, missing}
    done = official(box, tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == str([wrong, missing])
    ours = {path: digest for path, digest in tree_of_medfetch(cache).items() if path != SUMS}
    assert ours == tree(tmp_path / "cxr-2.1.0")


@pytest.mark.parametrize(
    ("password", "approved", "says"), [("wrong", True, "does not accept"), (PASSWORD, False, "agreement")]
)
def test_where_they_are_refused_medfetch_is_and_says_why(
    box: Sandbox,
    run: Run,
    home: Path,
    tmp_path: Path,
    published: dict[str, bytes],
    password: str,
    approved: bool,
    says: str,
) -> None:
    if not approved:
        box.physionet.publish("cxr", "2.1.0", FILES, policy="credentialed")
    ran = medfetch(run, home, password, code=3)
    assert says in ran.err
    assert PASSWORD not in ran.out + ran.err
    assert wget(box, tmp_path / "wget", password).returncode != 0
    assert official(box, tmp_path, password).returncode != 0
