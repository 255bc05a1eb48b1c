"""The source ``ftp``, against real servers: what is listed, what is fetched, and what happens when it goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from datasets import sha256, tree, write_recipe
from ftp_servers import VSFTPD, Behaviour, pyftpd, vsftpd
from plain_net import PlainNet
from running import Run

from medfetch.errors import RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Sandbox
from medfetch.sources.ftp import Ftp
from medfetch.types import Selection

pytestmark = pytest.mark.long

FILES = {
    "readme.txt": b"read me",
    "empty.txt": b"",
    "2015/a b.nii.gz": os.urandom(70_000),
    "2015/deep/täst.bin": bytes(range(256)) * 300,
    "2015/deep/other.txt": b"other",
    "2016/c.bin": os.urandom(3000),
}
REAL = {"MEDFETCH_ENDPOINT_FTP": "", "MEDFETCH_TRIES": "3"}
"""Not the sandbox's stand-in, but the addresses themselves."""

needs_vsftpd = pytest.mark.skipif(VSFTPD is None, reason="needs vsftpd: apt-get install vsftpd")


@pytest.fixture
def served(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    for name, data in FILES.items():
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_bytes(data)
    return folder


@contextmanager
def _pyftpd(folder: Path, work: Path) -> Iterator[int]:
    with pyftpd(folder, Behaviour()) as port:
        yield port


@contextmanager
def _pyftpd_without_mlsd_and_epsv(folder: Path, work: Path) -> Iterator[int]:
    with pyftpd(folder, Behaviour(lacks=("MLSD", "EPSV", "MDTM"))) as port:
        yield port


SERVERS = [
    pytest.param(_pyftpd, id="pyftpdlib"),
    pytest.param(_pyftpd_without_mlsd_and_epsv, id="pyftpdlib, LIST and PASV"),
    pytest.param(vsftpd, id="vsftpd", marks=needs_vsftpd),
]


@pytest.mark.parametrize("server", SERVERS)
def test_a_folder_comes_as_it_is(run: Run, served: Path, tmp_path: Path, server: Callable[..., Iterator[int]]) -> None:
    with server(served, tmp_path) as port:  # type: ignore[attr-defined]
        url = f"ftp://127.0.0.1:{port}/data/"
        plan = run("plan", url, "--json", **REAL).last
        assert (plan["files"], plan["bytes"], plan["unknown_sizes"]) == (6, sum(map(len, FILES.values())), 0)
        receipt = run("get", url, "--json", **REAL).last
        assert tree(Path(receipt["path"])) == {name: sha256(data) for name, data in FILES.items()}
        assert receipt["assurance"] == {"size-only": 6}
        assert receipt["from"][0]["host"] == f"127.0.0.1:{port}"
        one = run("get", f"ftp://127.0.0.1:{port}/data/2015/a%20b.nii.gz", "--json", **REAL).last
        assert tree(Path(one["path"])) == {"a b.nii.gz": sha256(FILES["2015/a b.nii.gz"])}
        assert one["assurance"] == {"first-seen": 1}
    # What is there needs no server.
    run("get", url, **REAL)


def test_patterns_choose_and_spare_folders(run: Run, served: Path, home: Path) -> None:
    behaviour = Behaviour()
    with pyftpd(served, behaviour) as port:
        url = f"ftp://127.0.0.1:{port}/data/"
        write_recipe(home, "some", routes=[{"source": "ftp", "folder": url, "path": ["2015/deep", "*.txt"]}])
        write_recipe(home, "one", routes=[{"source": "ftp", "folder": url, "path": "2016"}])
        wanted = {"readme.txt", "empty.txt", "2015/deep/täst.bin", "2015/deep/other.txt"}
        assert set(tree(Path(run("get", "some", "--json", **REAL).last["path"]))) == wanted
        assert run("plan", "some", "-s", "path=2015/deep/o*", "--json", **REAL).last["files"] == 1
        behaviour.commands.clear()
        run("get", "one", **REAL)
        assert not [line for line in behaviour.commands if "2015" in line]


def test_no_more_connections_than_the_host_bears(run: Run, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(60):
        (many / f"{number:02d}.bin").write_bytes(bytes([number]) * 20_000)
    behaviour = Behaviour(rate=200_000)
    with pyftpd(many, behaviour) as port:
        receipt = run("get", f"ftp://127.0.0.1:{port}/", "--json", **REAL).last
    assert receipt["files"] == 60
    # Two connections, each with one for data.
    assert 0 < behaviour.most <= 4
    # One log-in serves many files.
    assert sum(line.startswith("USER") for line in behaviour.commands) < 12


def test_what_was_cut_is_gone_on_with(run: Run, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "big.bin").write_bytes(data)
    behaviour = Behaviour(cuts=[1_000_000, 700_000])
    with pyftpd(tmp_path, behaviour) as port:
        receipt = run("get", f"ftp://127.0.0.1:{port}/big.bin", "--json", **REAL).last
    assert tree(Path(receipt["path"])) == {"big.bin": sha256(data)}
    assert [line for line in behaviour.commands if line.startswith("REST")] == ["REST 1000000", "REST 1700000"]
    assert behaviour.sent == len(data)


@pytest.mark.parametrize(
    ("server", "options"),
    [
        pytest.param("pyftpdlib", {}, id="pyftpdlib"),
        pytest.param("vsftpd", {"anon_max_rate": 1_000_000}, id="vsftpd", marks=needs_vsftpd),
    ],
)
def test_killed_it_goes_on_from_what_is_there(
    run: Run, cache: Path, tmp_path: Path, server: str, options: dict[str, int]
) -> None:
    data = os.urandom(4_000_000)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/big.bin").write_bytes(data)
    behaviour = Behaviour(rate=1_000_000)
    opened = (
        pyftpd(tmp_path / "there", behaviour)
        if server == "pyftpdlib"
        else vsftpd(tmp_path / "there", tmp_path, **options)
    )
    with opened as port:
        url = f"ftp://127.0.0.1:{port}/"
        process = run.start("get", url, **REAL)
        until(lambda: sum(path.stat().st_size for path in cache.rglob("*.part")) > 1_500_000)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
        kept = sum(path.stat().st_size for path in cache.rglob("*.part"))
        behaviour.sent = 0
        receipt = run("get", url, "--json", **REAL).last
    assert tree(Path(receipt["path"])) == {"big.bin": sha256(data)}
    if server == "pyftpdlib":
        assert behaviour.sent <= len(data) - kept + 4096
    else:
        assert f"REST {kept}" in (tmp_path / "vsftpd.log").read_text()


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_another_version_is_not_joined_to_the_first(run: Run, cache: Path, tmp_path: Path) -> None:
    first, second = os.urandom(4_000_000), os.urandom(4_000_000)
    (tmp_path / "there").mkdir()
    (tmp_path / "there/big.bin").write_bytes(first)
    behaviour = Behaviour(cuts=[2_000_000, *[1] * 8])
    with pyftpd(tmp_path / "there", behaviour) as port:
        url = f"ftp://127.0.0.1:{port}/big.bin"
        run("get", url, code=1, **{**REAL, "MEDFETCH_TRIES": "1"})
        behaviour.cuts.clear()
        assert list(cache.rglob("*.part"))
        (tmp_path / "there/big.bin").write_bytes(second)
        os.utime(tmp_path / "there/big.bin", (1_700_000_000, 1_700_000_000))
        receipt = run("get", url, "--json", **REAL).last
    assert tree(Path(receipt["path"])) == {"big.bin": sha256(second)}


@pytest.mark.parametrize(
    ("command", "replies", "code", "said"),
    [
        ("RETR", ["450 Busy just now.", "@"], 0, ""),
        ("USER", ["421 There are too many connections.", "@"], 0, ""),
        ("PASS", ["530 Sorry, the maximum number of clients is already connected.", "@"], 0, ""),
        ("RETR", ["421 Going down."], 1, "421: Going down."),
        ("RETR", ["550 Permission denied."], 1, "550: Permission denied."),
        ("PASS", ["530 Login incorrect."], 1, "530: Login incorrect."),
    ],
)
def test_errors_by_their_class(run: Run, served: Path, command: str, replies: list[str], code: int, said: str) -> None:
    behaviour = Behaviour()
    with pyftpd(served, behaviour) as port:
        refused = [reply for reply in replies if reply != "@"]
        behaviour.refuses = {command: [*refused, *([""] if "@" in replies else [])]}
        ran = run("get", f"ftp://127.0.0.1:{port}/data/readme.txt", code=code, **REAL)
    assert said in ran.err
    asked = sum(line.startswith(command) for line in behaviour.commands)
    assert asked == (1 if replies[0].startswith("5") and "@" not in replies else 2 if "@" in replies else 3)


def test_what_is_not_there_is_said(run: Run, served: Path) -> None:
    with pyftpd(served, Behaviour()) as port:
        assert "550" in run("get", f"ftp://127.0.0.1:{port}/data/nothing.bin", code=1, **REAL).err
        assert "550" in run("get", f"ftp://127.0.0.1:{port}/nowhere/", code=1, **REAL).err
    assert "cannot be reached" in run("get", f"ftp://127.0.0.1:{port}/data/", code=6, **REAL).err


def test_a_server_that_falls_silent_is_given_up(run: Run) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        url = f"ftp://127.0.0.1:{silent.getsockname()[1]}/a.bin"
        ran = run("get", url, code=None, **{**REAL, "MEDFETCH_TRIES": "1", "MEDFETCH_PATIENCE": "2"})
    assert ran.code in (1, 6)
    assert "stalled" in ran.err


def test_by_ipv6(run: Run, served: Path) -> None:
    behaviour = Behaviour()
    with pyftpd(served, behaviour, "::1") as port:
        receipt = run("get", f"ftp://[::1]:{port}/data/", "--json", **REAL).last
    assert receipt["files"] == 6
    assert any(line.startswith("EPSV") for line in behaviour.commands)


@needs_vsftpd
def test_ftps_is_encrypted_and_verified(run: Run, served: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    options = {
        "ssl_enable": "YES", "implicit_ssl": "YES", "allow_anon_ssl": "YES", "force_anon_data_ssl": "YES",
        "force_anon_logins_ssl": "YES", "rsa_cert_file": tmp_path / "server.pem", "ssl_ciphers": "HIGH",
    }  # fmt: skip
    with vsftpd(served, tmp_path, **options) as port:
        url = f"ftps://127.0.0.1:{port}/data/"
        refused = run("get", f"ftp:{url}", code=1, **REAL).err
        assert "certificate" in refused
        receipt = run("get", f"ftp:{url}", "--json", MEDFETCH_CA_BUNDLE=str(tmp_path / "ca.pem"), **REAL).last
    assert tree(Path(receipt["path"])) == {name: sha256(data) for name, data in FILES.items()}


def test_files_of_a_recipe_are_verified(run: Run, served: Path, home: Path) -> None:
    data = FILES["2015/a b.nii.gz"]
    with pyftpd(served, Behaviour()) as port:
        url = f"ftp://127.0.0.1:{port}/data/2015/a b.nii.gz".replace(" ", "%20")
        for name, digest in (("right", sha256(data)), ("wrong", "0" * 64)):
            write_recipe(
                home, name, routes=[{"source": "ftp", "files": [{"path": "a.bin", "url": url, "sha256": digest}]}]
            )
        assert run("get", "right", "--json", **REAL).last["assurance"] == {"published": 1}
        run("get", "wrong", code=4, **REAL)


def test_the_sandbox_stands_in_for_it(run: Run, box: Sandbox) -> None:
    for name, data in FILES.items():
        box.put(f"ftp://ftp.example.org/data/{name}", data)
    receipt = run("get", "ftp://ftp.example.org/data/", "--json").last
    assert tree(Path(receipt["path"])) == {name: sha256(data) for name, data in FILES.items()}


# -- listings ----------------------------------------------------------------------------------------------------


class Lists(PlainNet):
    def __init__(self, **folders: bytes) -> None:
        super().__init__(Ftp.traits)
        self.folders = folders

    def listing(self, url: str) -> bytes:
        return self.folders[url.rstrip("/").rpartition("/")[2]]


def listed(**folders: bytes) -> dict[str, int | None]:
    files = Ftp().resolve({"folder": "ftp://h.example/top"}, Lists(**folders), Selection())
    return {file.path: file.size for file in files}


@pytest.mark.parametrize(
    "text",
    [
        b"type=cdir;modify=20200101000000; .\r\ntype=file;size=12;modify=20200101000000; a b.txt\r\n"
        b"Type=OS.unix=slink:/x;size=3; link\r\ntype=dir; sub\r\n",
        b"total 8\r\n-rw-r--r--    1 ftp      ftp            12 Sep 03  2020 a b.txt\r\n"
        b"lrwxrwxrwx    1 ftp      ftp             3 Sep 03 12:00 link -> x\r\n"
        b"drwxr-xr-x+   2 ftp      ftp          4096 Sep  3 12:00 sub\r\n",
        b"-rw-r--r--   1 owner           12 Sep 03  2020 a b.txt\r\ndrwxr-xr-x   2 owner   4096 Jan 13  2019 sub\r\n",
        b"09-03-20  12:00PM                   12 a b.txt\r\n09-03-2020  01:13AM       <DIR>          sub\r\n",
    ],
    ids=["MLSD", "ls -l", "ls without group", "Microsoft"],
)
def test_the_dialects_of_listings(text: bytes) -> None:
    assert listed(top=text, sub=b"") == {"a b.txt": 12}


def test_names_that_are_not_utf_8_are_asked_for_as_they_are() -> None:
    files = list(
        Ftp().resolve({"folder": "ftp://h.example/top"}, Lists(top=b"type=file;size=1; t\xe4st\r\n"), Selection())
    )
    assert [(file.path, file.urls) for file in files] == [("täst", ("ftp://h.example/top/t%E4st",))]


def test_what_is_no_listing_is_not_taken_for_one() -> None:
    with pytest.raises(Retryable, match="no line of a listing"):
        listed(top=b"<html>Please log in</html>\r\n")
    with pytest.raises(RecipeError, match=r"\.\./x"):
        listed(top=b"type=file;size=1; ../x\r\n")
    with pytest.raises(Retryable, match="circle"):
        listed(top=b"type=dir; top\r\n")


def test_what_can_be_typed() -> None:
    assert Ftp().locate("//h.example/a/") == {"folder": "ftp://h.example/a/"}
    assert Ftp().locate("ftps://h.example/a/b%20c") == {"files": [{"path": "b c", "url": "ftps://h.example/a/b%20c"}]}
    for text in ("h.example/a", "//user:word@h.example/a", "http://h.example/a"):
        with pytest.raises(UsageProblem):
            Ftp().locate(text)
