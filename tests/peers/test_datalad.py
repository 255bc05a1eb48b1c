"""A repository made by git-annex and DataLad: cloned and got by them, and by medfetch, leaves the same files."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sources import _annex, _git
from medfetch.types import Traits

FILES = {
    "README": b"read me\n",
    "code/ä b.py": b"print()\n",
    "big.txt": b"x" * 2_000_000,
    "sub-01/notes.tsv": b"a\tb\n",
}
ANNEXED = {
    "sub-01/anat/sub-01_T1w.nii.gz": b"one" * 9000, "sub-02/anat/sub-02_T1w.nii.gz": b"two" * 8000,
    "sub-02/same.nii.gz": b"one" * 9000, "odd & 50%: name.bin": b"odd" * 700, "unlocked.bin": b"loose" * 400,
}  # fmt: skip
BACKENDS = {"sub-02/anat/sub-02_T1w.nii.gz": "SHA256E", "odd & 50%: name.bin": "WORM", "unlocked.bin": "SHA1"}


def git(folder: Path, *arguments: str, **more: str) -> str:
    allowed = ("-c", "annex.security.allowed-ip-addresses=all", "-c", "user.name=n", "-c", "user.email=e@x")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder.parent), "LC_ALL": "C.UTF-8", **more}
    ran = subprocess.run(
        ["git", *allowed, "-c", "core.quotePath=false", *arguments], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, f"git {' '.join(arguments)}: {ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a checkout, some of its files from the web."""
    for program in ("git", "git-annex"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install {program}")
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "annex", "init", "-q", "origin")
    for path, data in {**FILES, **ANNEXED}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    for path in ANNEXED:
        git(folder, "-c", f"annex.backend={BACKENDS.get(path, 'MD5E')}", "annex", "add", "-q", path)
    git(folder, "annex", "unlock", "-q", "unlocked.bin")
    git(folder, "-c", "annex.largefiles=nothing", "add", "--all")
    git(folder, "commit", "-qm", "one")
    git(folder, "update-server-info")
    return folder


@contextmanager
def served(box: Sandbox, folder: Path, host: str) -> Iterator[str]:
    """The repository at this host of the sandbox: its files, as a server of folders has them, and git's protocol."""
    address = f"https://{host}/labs/ds/.git"
    for path in folder.rglob("*"):
        if path.is_file() and (not path.is_symlink() or ".git/annex" not in os.readlink(path)):
            box.put(f"https://{host}/labs/ds/{path.relative_to(folder).as_posix()}", path.read_bytes())
    box.git.serve(address, str(folder))
    yield address


def expected() -> dict[str, str]:
    return {path: sha256(data) for path, data in {**FILES, **ANNEXED}.items()}


def test_the_same_tree(box: Sandbox, run: Run, repository: Path, tmp_path: Path) -> None:
    with served(box, repository, "data.example") as address:
        receipt = run("get", f"datalad:{address}", "--json").last
        ours = tree(Path(receipt["path"]))
        git(tmp_path, "clone", "-q", f"{box.endpoints['datalad']}/data.example/labs/ds/.git", "theirs")
        git(tmp_path / "theirs", "annex", "get", "-q", ".")
    theirs = {path: digest for path, digest in tree(tmp_path / "theirs").items() if not path.startswith(".git/")}
    assert ours == theirs == expected()
    # One key tells no digest.
    assert receipt["assurance"] == {"published": len(expected()) - 1, "size-only": 1}


def test_the_same_tree_by_datalad(box: Sandbox, run: Run, repository: Path, tmp_path: Path) -> None:
    python = os.environ.get("PEER_DATALAD")
    if python is None:
        pytest.skip(
            "datalad is not installed: make an environment with `pip install datalad`; its python: PEER_DATALAD"
        )
    settings = {"annex.security.allowed-ip-addresses": "all", "user.name": "n", "user.email": "e@x"}
    pairs = {f"GIT_CONFIG_KEY_{at}": name for at, name in enumerate(settings)}
    pairs |= {f"GIT_CONFIG_VALUE_{at}": value for at, value in enumerate(settings.values())}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GIT_CONFIG_COUNT": "3",
        "LC_ALL": "C.UTF-8",
        **pairs,
    }
    with served(box, repository, "data.example") as address:
        ours = tree(Path(run("get", f"datalad:{address}", "--json").last["path"]))
        here = f"{box.endpoints['datalad']}/data.example/labs/ds/.git"
        theirs, program = str(tmp_path / "theirs"), "from datalad.cli.main import main; main()"
        for arguments in (["clone", here, theirs], ["get", "-d", theirs, theirs]):
            ran = subprocess.run(
                [python, "-c", program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True,
                timeout=100, check=False,
            )  # fmt: skip
            assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ours == {path: digest for path, digest in tree(tmp_path / "theirs").items() if not path.startswith(".git/")}


def test_addresses_and_exports_that_git_annex_knows(box: Sandbox, repository: Path) -> None:
    """What ``git annex whereis`` says of the web is what is read from the branch."""
    box.put("https://web.example/a b?x=%2F", ANNEXED["sub-01/anat/sub-01_T1w.nii.gz"])
    there = f"{box.endpoints['http']}/web.example/a%20b?x=%2F"
    git(repository, "annex", "addurl", "-q", "--file", "sub-01/anat/sub-01_T1w.nii.gz", there)
    git(repository, "annex", "addurl", "-q", "--relaxed", "--file", "new.bin", f"{there}&gone")
    git(repository, "annex", "rmurl", "new.bin", f"{there}&gone")
    snapshot = fetched(box, repository, "git-annex")
    entries = snapshot.entries(snapshot.commits["git-annex"])
    logs = {entry.path: (entry.data or b"").decode() for entry in entries}
    places = _annex.Places.read(logs)
    key = git(repository, "annex", "lookupkey", "sub-01/anat/sub-01_T1w.nii.gz").strip()
    assert list(places.of(key, "any")) == [there]
    assert list(places.of(f"URL--{there}&gone", "any")) == []


def test_names_and_folders_of_keys(repository: Path) -> None:
    odd = ["WORM-s3-m1--a:b%c&d", "URL--http://h/a%20b:c&d", "MD5E-s1--d41d8cd98f00b204e9800998ecf8427e.nii.gz"]
    for key in [*odd, *(git(repository, "annex", "lookupkey", path).strip() for path in ANNEXED)]:
        said = git(repository, "annex", "examinekey", key, "--format=${hashdirlower}\t${hashdirmixed}\t${objectpath}")
        lower, mixed, path = said.split("\t")
        assert (f"{_annex.lower(key)}/", f"{_annex.mixed(key)}/") == (lower, mixed)
        assert path == f".git/annex/objects/{mixed}{_annex.as_name(key)}/{_annex.as_name(key)}"
        assert _annex.linked(f"../{path}".encode(), link=True) == key
        assert _annex.linked(f"/annex/objects/{_annex.as_name(key)}\n".encode(), link=False) == key


# -- a real server of git ------------------------------------------------------------------------------------------


def test_a_real_server_gives_what_git_has(tmp_path: Path, repository: Path) -> None:
    """``git http-backend``, which filters and gives out old commits."""
    old = git(repository, "rev-parse", "HEAD").strip()
    git(repository, "tag", "-am", "a tag", "1.0.0")
    (repository / "new").write_bytes(b"new")
    git(repository, "add", "new")
    git(repository, "commit", "-qm", "two")
    with http_backend(repository.parent) as base:
        net = PlainNet(Traits())
        address = f"{base}/origin/.git"
        for revision in ("HEAD", "main", "1.0.0", old):
            snapshot = _git.fetch(address, [revision, "git-annex", "none"], net)
            assert set(snapshot.commits) == {revision, "git-annex"}
            listed = git(repository, "ls-tree", "-r", "-z", revision).split("\0")[:-1]
            theirs = {line.partition("\t")[2]: tuple(line.split("\t")[0].split(" ")) for line in listed}
            found = {entry.path: entry for entry in snapshot.entries(snapshot.commits[revision])}
            assert {path: (f"{entry.mode:06o}", "blob", entry.id) for path, entry in found.items()} == theirs
            # The filter is obeyed: what is large did not come along.
            assert [path for path, entry in found.items() if entry.data is None] == ["big.txt"]
            assert found["README"].data == FILES["README"]
            assert snapshot.read(snapshot.commits[revision], "sub-01/notes.tsv") == FILES["sub-01/notes.tsv"]
        with pytest.raises(Exception, match=f"perhaps it has not all of {'a' * 40}"):
            _git.fetch(address, ["a" * 40], net)
        with pytest.raises(Exception, match="no git repository"):
            _git.fetch(f"{base}/none", ["HEAD"], net)


def fetched(box: Sandbox, repository: Path, *revisions: str) -> _git.Snapshot:
    box.git.serve("https://x.example/r", str(repository))
    return _git.fetch(f"{box.endpoints['http']}/x.example/r", list(revisions), PlainNet(Traits()))


class Backend(BaseHTTPRequestHandler):
    """``git http-backend`` as a CGI program."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root),  # type: ignore[attr-defined]
            "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "uploadpack.allowFilter", "GIT_CONFIG_VALUE_0": "true",
            "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*",
        }  # fmt: skip
        said = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=False)
        head, _, rest = said.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nobody reads along."""


@contextmanager
def http_backend(root: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        server.root = root  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
