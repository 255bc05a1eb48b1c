"""WebDAV with rclone: medfetch against the server that it can be, and its client against the sandbox's cloud."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server

import pytest
import requests
from datasets import sha256, tree
from running import Run

from medfetch.sandbox import Sandbox

FILES = {
    "read me.txt": b"read me",
    "images/sub-01/ä+b%20c.nii.gz": b"n" * 40_000_000,
    "images/sub-01/b#1?.nii": b"b" * 70_000,
    **{f"images/sub-02/{number:03d}.png": b"%d" % number * 30 for number in range(60)},
}
USER, PASSWORD = "anna", "open sesame"


def rclone() -> str:
    program = shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed: apt-get install rclone")
    return program


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[str]:
    """The address of ``rclone serve webdav`` over a folder."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [rclone(), "serve", "webdav", str(folder), "--addr", f"127.0.0.1:{port}", "--config", "/dev/null", *more]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                try:
                    requests.options(f"http://127.0.0.1:{port}/", timeout=10)
                    break
                except requests.exceptions.ConnectionError:
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "served" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "served"


def test_what_rclone_serves(run: Run, folder: Path) -> None:
    with serving(folder) as address:
        receipt = run("get", f"webdav:{address}", "--json", MEDFETCH_ENDPOINT_WEBDAV="").last
    assert tree(Path(receipt["path"])) == tree(folder)
    assert receipt["assurance"] == {"size-only": len(FILES)}


def test_a_folder_of_it_with_a_password(run: Run, folder: Path, home: Path) -> None:
    netrc = home / ".netrc"
    netrc.touch(0o600)
    netrc.write_text(f'machine 127.0.0.1 login {USER} password "{PASSWORD}"\n')
    with serving(folder, "--user", USER, "--pass", PASSWORD) as address:
        receipt = run("get", f"webdav:{address}/images/sub-01/", "--json", MEDFETCH_ENDPOINT_WEBDAV="").last
        netrc.unlink()
        refused = run("get", f"webdav:{address}/images", code=3, MEDFETCH_ENDPOINT_WEBDAV="")
    assert tree(Path(receipt["path"])) == tree(folder / "images" / "sub-01")
    assert "medfetch login netrc:127.0.0.1" in " ".join(refused.err.split())


def test_its_client_gets_the_same_tree(box: Sandbox, run: Run, tmp_path: Path) -> None:
    """From a public share, in the way that is older than Nextcloud 29, the only one that it knows."""
    link = box.clouds.share("cloud.example", "BIMCV-1", FILES)
    into = tmp_path / "theirs"
    remote = f":webdav,url='{box.endpoints['webdav']}/cloud.example/public.php/webdav',vendor=nextcloud,user=BIMCV-1:"
    command = [rclone(), "copy", remote, str(into), "--config", "/dev/null"]
    done = subprocess.run(
        [*command, "--header", "X-Requested-With: XMLHttpRequest"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    receipt = run("get", f"webdav:{link}", "--json").last
    assert tree(Path(receipt["path"])) == tree(into) == {name: sha256(data) for name, data in FILES.items()}
    assert receipt["assurance"] == {"published": len(FILES)}
