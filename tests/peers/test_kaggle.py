"""Kaggle's own clients, kaggle and kagglehub, and medfetch on the sandbox: the same trees, and shut where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.kaggle import KEY, REFRESH, TOKEN, USER

FILES = {f"train/{number % 3}/x {number:02d}+ä.nii": f"slice {number}".encode() * 50 for number in range(30)}
FEW = {"table.csv": b"a,b\n" + b"1,2\n" * 500, "images/1.nii": b"n" * 900}

HERE = """
import sys
from kagglesdk import kaggle_env
for name in kaggle_env._env_to_endpoint:
    kaggle_env._env_to_endpoint[name] = sys.argv[1]
"""
"""The clients' ports on this machine, 80 and 7777, are fixed; nothing else of them is replaced."""
CLIENT = f"{HERE}\nimport kaggle.cli\nsys.argv[:2] = ['kaggle']\nkaggle.cli.main()\n"
HUB = f"{HERE}\nimport kagglehub\ngetattr(kagglehub, sys.argv[2])(*sys.argv[3:])\n"


@pytest.fixture
def shown(box: Sandbox) -> Sandbox:
    box.kaggle.dataset("owner/many", FILES, version=3)
    box.kaggle.dataset("owner/few", FEW, version=2, wrapped=frozenset({"table.csv"}))
    box.kaggle.dataset("owner/hidden", FEW, private=True)
    box.kaggle.competition("scans", FILES)
    box.kaggle.competition("ruled", FILES, entered=False)
    return box


def python(package: str, version: str) -> str:
    """An environment that has one of the clients."""
    variable = f"PEER_{package.upper()}"
    found = os.environ.get(variable, sys.executable)
    if subprocess.run(
        [found, "-c", f"import {package}"], capture_output=True, check=False, env={"HOME": "/"}
    ).returncode:
        pytest.skip(
            f"{package} is not installed: make an environment with `pip install {package}=={version} six` and name its"
            f" python in {variable}"
        )
    return found


def kaggle(box: Sandbox, into: Path, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    found = python("kaggle", "2.2.4")
    into.mkdir(exist_ok=True)
    environment = {"HOME": str(into.parent), "KAGGLE_API_ENVIRONMENT": "LOCALHOST", "PATH": os.environ["PATH"]}
    return subprocess.run(
        [found, "-c", CLIENT, f"http://localhost:{box.port}", *arguments],
        env=environment | ({"KAGGLE_API_TOKEN": token} if token else {}),
        cwd=into, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def kagglehub(box: Sandbox, cache: Path, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    found = python("kagglehub", "1.0.2")
    environment = {"HOME": str(cache.parent), "KAGGLE_API_ENVIRONMENT": "TEST", "KAGGLEHUB_CACHE": str(cache)}
    return subprocess.run(
        [found, "-c", HUB, f"http://localhost:{box.port}", *arguments],
        env=environment | {"KAGGLE_API_TOKEN": token, "PATH": os.environ["PATH"]},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ours(run: Run, name: str, *more: str) -> dict[str, bytes]:
    root = Path(run("get", f"kaggle:{name}", *more, "--json", KAGGLE_API_TOKEN=TOKEN).last["path"])
    return {path: (root / path).read_bytes() for path in tree(root)}


# -- what they leave ----------------------------------------------------------------------------------------------


def test_a_whole_dataset(shown: Sandbox, run: Run, tmp_path: Path) -> None:
    assert ours(run, "owner/many") == FILES
    hub = kagglehub(shown, tmp_path / "hub", "dataset_download", "owner/many")
    assert content(tmp_path / "hub/datasets/owner/many/versions/3") == FILES, hub.stderr
    client = kaggle(shown, tmp_path / "client", "datasets", "download", "owner/many", "--unzip")
    assert content(tmp_path / "client") == FILES, client.stderr


def test_a_whole_competition(shown: Sandbox, run: Run, tmp_path: Path) -> None:
    assert ours(run, "competitions/scans") == FILES
    hub = kagglehub(shown, tmp_path / "hub", "competition_download", "scans")
    assert content(tmp_path / "hub/competitions/scans") == FILES, hub.stderr
    client = kaggle(shown, tmp_path / "client", "competitions", "download", "scans")
    packed = ours(run, "competitions/scans", "--no-unpack")["scans.zip"]
    assert content(tmp_path / "client") == {"scans.zip": packed}, client.stderr


def test_a_single_file_that_storage_has_zipped(shown: Sandbox, run: Run, tmp_path: Path) -> None:
    assert ours(run, "owner/few", "--select", "path=table.csv") == {"table.csv": FEW["table.csv"]}
    hub = kagglehub(shown, tmp_path / "hub", "dataset_download", "owner/few", "table.csv")
    found = content(tmp_path / "hub/datasets/owner/few/versions/2")
    assert found == {"table.csv": FEW["table.csv"]}, hub.stderr
    # The command leaves the zip.
    kaggle(shown, tmp_path / "client", "datasets", "download", "owner/few", "-f", "table.csv")
    assert list(content(tmp_path / "client")) == ["table.csv.zip"]


def test_a_user_name_and_a_key(shown: Sandbox, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / ".kaggle"
    folder.mkdir()
    keys = folder / "kaggle.json"
    keys.write_text(f'{{"username": "{USER}", "key": "{KEY}"}}')
    keys.chmod(0o600)
    client = kaggle(shown, tmp_path / "client", "competitions", "download", "scans", token="")
    assert list(content(tmp_path / "client")) == ["scans.zip"], client.stderr
    receipt = run("get", "kaggle:competitions/scans", "--json", KAGGLE_CONFIG_DIR=str(folder)).last
    assert receipt["files"] == len(FILES)


@pytest.mark.parametrize("refresh", [REFRESH, "revoked"])
def test_a_log_in_whose_token_is_over(shown: Sandbox, run: Run, home: Path, tmp_path: Path, refresh: str) -> None:
    """Both get a new one for what the log-in left, or neither. The client then puts it there, or removes all of it."""
    kept = home / ".kaggle" / "credentials.json"
    kept.parent.mkdir()
    over = {"refresh_token": refresh, "access_token": "over", "access_token_expiration": "2026-01-01T00:00:00+00:00"}
    kept.write_text(json.dumps({**over, "username": USER, "scopes": []}))
    kept.chmod(0o600)
    good = refresh == REFRESH
    said = run("get", "kaggle:competitions/scans", "--json", code=0 if good else 3)
    assert json.loads(kept.read_text())["access_token"] == "over"
    client = kaggle(shown, home / "client", "competitions", "download", "scans", token="")
    assert list(content(home / "client")) == ["scans.zip"] * good, client.stderr
    assert kept.exists() is good
    assert said.last["files"] == len(FILES) if good else "kaggle auth login --force" in said.err
    assert not good or json.loads(kept.read_text())["access_token"] == TOKEN


def test_the_files_that_the_client_lists(shown: Sandbox, tmp_path: Path) -> None:
    client = kaggle(shown, tmp_path / "client", "datasets", "files", "owner/many", "--csv", "--page-size", "20")
    assert client.stdout.count(".nii") == 20, client.stderr
    assert "Next Page Token = 20" in client.stdout


# -- where they are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "token", "at"),
    [
        ("competitions/ruled", TOKEN, "https://www.kaggle.com/competitions/ruled/rules"),
        ("competitions/scans", "a-wrong-token", "https://www.kaggle.com/settings"),
        ("competitions/nothing", TOKEN, "https://www.kaggle.com/competitions/nothing"),
        ("owner/hidden", "a-wrong-token", "https://www.kaggle.com/settings"),
    ],
)
def test_refused(shown: Sandbox, run: Run, tmp_path: Path, name: str, token: str, at: str) -> None:
    kind, slug = ("competitions", name.split("/")[1]) if name.startswith("competitions/") else ("datasets", name)
    client = kaggle(shown, tmp_path / "client", kind, "download", slug, token=token)
    hub = kagglehub(shown, tmp_path / "hub", f"{kind[:-1]}_download", slug, token=token)
    assert (client.returncode, hub.returncode) == (1, 1)
    assert content(tmp_path / "client") == {}
    said = run("get", f"kaggle:{name}", code=3, KAGGLE_API_TOKEN=token).err
    assert at in said
    # The official command names an address only where nobody is logged in.
    assert (at in client.stdout + client.stderr) is (token != TOKEN)
    assert shown.stats.data_bytes == 0


def test_a_wrong_byte_that_the_command_does_not_see(shown: Sandbox, run: Run, tmp_path: Path) -> None:
    shown.add(Fault(match="/storage/", corrupt=60))
    client = kaggle(shown, tmp_path / "client", "datasets", "download", "owner/few", "-f", "images/1.nii")
    assert client.returncode == 0, client.stderr
    assert content(tmp_path / "client")["1.nii"] != FEW["images/1.nii"]
    shown.add(Fault(match="/storage/", corrupt=60))
    assert ours(run, "owner/few", "--select", "path=images/1.nii") == {"images/1.nii": FEW["images/1.nii"]}
