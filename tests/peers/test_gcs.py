"""Buckets of Google's storage by google-cloud-storage, Google's own client, and by medfetch: the same trees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from google_account import account
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.gcs import PROJECT, TOKEN

FILES = {
    "a+b.nii": b"1" * 500,
    "case 1/é山%.nii": b"2" * 70_000,
    "q?x=1&y#z;'~(1)=.bin": b"3",
    "composed.nii": b"4" * 99,
}
HERE = """
import json, pathlib, sys
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.oauth2.credentials import Credentials
bucket, folder, token, project = json.loads(sys.argv[1])
client = storage.Client("none", Credentials(token) if token else AnonymousCredentials())
for blob in client.bucket(bucket, user_project=project).list_blobs(prefix="data set/", page_size=2):
    path = pathlib.Path(folder, blob.name.removeprefix("data set/"))
    path.parent.mkdir(parents=True, exist_ok=True)
    blob.download_to_filename(str(path))
"""


def official(box: Sandbox, *arguments: str | None) -> None:
    python = os.environ.get("PEER_GCS", sys.executable)
    if subprocess.run([python, "-c", "import google.cloud.storage"], capture_output=True, check=False).returncode:
        pytest.skip(
            "google-cloud-storage is not installed: make an environment with `pip install google-cloud-storage==3.17.1`"
            " and name its python in PEER_GCS"
        )
    subprocess.run(
        [python, "-c", HERE, json.dumps(arguments)],
        env={"PATH": os.environ["PATH"], "STORAGE_EMULATOR_HOST": box.endpoints["gcs"]}, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["public", "private", "paid"])
def test_medfetch_leaves_the_tree_that_googles_client_leaves(
    box: Sandbox, run: Run, home: Path, tmp_path: Path, kind: str
) -> None:
    for name, data in FILES.items():
        box.put(f"gs://bucket/data set/{name}", data)
    box.gcs.compose("gs://bucket/data set/composed.nii")
    route = {"source": "gcs", "bucket": "bucket", "prefix": "data set/"}
    if kind != "public":
        box.gcs.close("bucket", requester_pays=kind == "paid")
    if kind == "paid":
        route |= {"requester_pays": True}
    write_recipe(home, "ours", parts={"all": {"routes": [route]}})
    if kind == "paid":
        run("agree", "ours", "--step", "ours-charges", "--agreed-on", "2026-11-20", "--as", "Ada Lovelace")
    official(
        box,
        "bucket",
        str(tmp_path / "theirs"),
        None if kind == "public" else TOKEN,
        PROJECT if kind == "paid" else None,
    )
    receipt = run("get", "ours", "--json", **account(box, home)).last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs") == {name: sha256(FILES[name]) for name in FILES}
