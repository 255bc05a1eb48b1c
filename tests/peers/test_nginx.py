"""Plain HTTP against a real nginx, side by side with curl and aria2: the same trees, ranges, log-ins, refusals."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import Run

NAMES = ["a.bin", "sub/b c.bin", "sub/50%.bin", "ä/é.bin", "plus+.bin"]
PASSWORD = "correct-horse-7731"


@dataclass(frozen=True)
class Nginx:
    port: int
    root: Path
    log: Path

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def asked(self) -> list[str]:
        """``STATUS BYTES RANGE URI`` of each request."""
        return self.log.read_text().splitlines()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    folder = tmp_path / "nginx"
    (folder / "www").mkdir(parents=True)
    (folder / "www").chmod(0o755)
    hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True)
    (folder / "users").write_text(f"someone:{hashed.stdout}")
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "n.conf").write_text(
        f"""{"user root;" if os.getuid() == 0 else ""}
        daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 128; }}
        http {{
          {temporary}
          log_format asked '$status $body_bytes_sent $http_range $request_uri';
          access_log {folder}/access.log asked;
          limit_req_zone $binary_remote_addr zone=few:1m rate=20r/s;
          server {{
            listen 127.0.0.1:{port}; root {folder}/www;
            location /locked/ {{ auth_basic closed; auth_basic_user_file {folder}/users; }}
            location /slow/ {{ limit_rate 400k; }}
            location /few/ {{ limit_req zone=few burst=2 nodelay; limit_req_status 429; }}
            location /whole/ {{ max_ranges 0; limit_rate 400k; }}
          }}
        }}"""
    )
    log = folder / "access.log"
    with subprocess.Popen(
        [program, "-p", str(folder), "-c", str(folder / "n.conf"), "-e", str(folder / "error.log")]
    ) as process:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield Nginx(port, folder / "www", log)
        process.terminate()


def put(nginx: Nginx, path: str, size: int) -> bytes:
    content = random.Random(path).randbytes(size)
    file = nginx.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return content


def recipe(home: Path, *files: str) -> None:
    """A recipe called ``mine`` of http files, each a YAML flow mapping."""
    listed = "\n".join(f"      - {file}" for file in files)
    (home / "mine.yaml").write_text(
        f"""id: mine
name: Mine
summary: Files of a test.
modality: [CT]
anatomy: [lung]
tasks: [segmentation]
licence: {{id: CC0-1.0}}
status: {{is: available, as_of: 2026-11-20}}
access: {{level: open}}
routes:
  - source: http
    files:
{listed}
evidence:
  - {{fact: everything, source: this test, read: 2026-11-20}}
"""
    )


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".medfetch" not in path.parts
    }


def test_the_same_tree_as_curl_and_aria2(nginx: Nginx, run: Run, home: Path, cache: Path, tmp_path: Path) -> None:
    from urllib.parse import quote

    expected = {name: hashlib.sha256(put(nginx, name, 50_000)).hexdigest() for name in NAMES}
    addresses = {name: nginx.address(quote(name)) for name in NAMES}
    recipe(home, *(f'{{path: "{name}", url: "{address}"}}' for name, address in addresses.items()))
    run("get", "mine", MEDFETCH_ENDPOINT_HTTP="")
    assert tree(cache / "mine" / "current") == expected
    for peer in ("curl", "aria2c"):
        if not shutil.which(peer):
            pytest.skip(f"{peer} is not installed: apt-get install {peer.removesuffix('c')}")
        for name, address in addresses.items():
            target = tmp_path / peer / name
            target.parent.mkdir(parents=True, exist_ok=True)
            to = ["-o", str(target)] if peer == "curl" else ["-d", str(target.parent), "-o", target.name]
            subprocess.run([peer, *to, address], check=True, capture_output=True)
        assert tree(tmp_path / peer) == expected


def kill_half_way(run: Run, cache: Path, at_least: int) -> int:
    """Starts a get, kills it when so many bytes lie in its partial, and says how many did."""
    process = run.start("get", "mine", MEDFETCH_ENDPOINT_HTTP="")
    size = 0
    while size < at_least:
        assert process.poll() is None, process.communicate()
        size = sum(path.stat().st_size for path in (cache / "mine").glob("*/.medfetch/partial/*.part"))
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return sum(path.stat().st_size for path in (cache / "mine").glob("*/.medfetch/partial/*.part"))


def test_a_killed_download_goes_on_by_range(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    content = put(nginx, "slow/big.bin", 1_500_000)
    recipe(home, f'{{path: big.bin, url: "{nginx.address("slow/big.bin")}"}}')
    kept = kill_half_way(run, cache, 500_000)
    run("get", "mine", MEDFETCH_ENDPOINT_HTTP="")
    assert (cache / "mine/current/big.bin").read_bytes() == content
    status, sent, span, _ = nginx.asked()[-1].split(" ", 3)
    assert (status, span, int(sent)) == ("206", f"bytes={kept}-", 1_500_000 - kept)


def test_a_server_without_ranges_starts_again(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    content = put(nginx, "whole/big.bin", 1_200_000)
    recipe(home, f'{{path: big.bin, url: "{nginx.address("whole/big.bin")}"}}')
    kept = kill_half_way(run, cache, 300_000)
    run("get", "mine", MEDFETCH_ENDPOINT_HTTP="")
    assert (cache / "mine/current/big.bin").read_bytes() == content
    assert nginx.asked()[-1] == f"200 1200000 bytes={kept}- /whole/big.bin"


def test_a_file_that_changed_meanwhile_is_not_glued_together(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    put(nginx, "slow/big.bin", 1_500_000)
    recipe(home, f'{{path: big.bin, url: "{nginx.address("slow/big.bin")}"}}')
    kill_half_way(run, cache, 500_000)
    other = random.Random("other").randbytes(1_500_000)
    (nginx.root / "slow/big.bin").write_bytes(other)
    os.utime(nginx.root / "slow/big.bin", (1, 1))
    run("get", "mine", MEDFETCH_ENDPOINT_HTTP="")
    assert (cache / "mine/current/big.bin").read_bytes() == other
    assert nginx.asked()[-1].startswith("200 1500000 bytes=")


def test_basic_auth_from_netrc(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    content = put(nginx, "locked/a.bin", 10_000)
    recipe(home, f'{{path: a.bin, url: "{nginx.address("locked/a.bin")}", auth: basic}}')
    missing = run("get", "mine", code=3, MEDFETCH_ENDPOINT_HTTP="")
    assert "machine 127.0.0.1 login" in missing.err and not nginx.asked()
    netrc = home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login someone password wrong\n")
    netrc.chmod(0o600)
    wrong = run("get", "mine", code=1, MEDFETCH_ENDPOINT_HTTP="")
    assert "401" in wrong.err and "wrong" in wrong.err
    netrc.write_text(f"machine 127.0.0.1 login someone password {PASSWORD}\n")
    right = run("get", "mine", "-vv", "--json", MEDFETCH_ENDPOINT_HTTP="")
    assert (cache / "mine/current/a.bin").read_bytes() == content
    written = [path.read_bytes() for path in cache.rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in each for each in [*written, right.out.encode(), right.err.encode()])


def test_429_is_waited_for(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    names = [f"few/{number}.bin" for number in range(30)]
    expected = {name: hashlib.sha256(put(nginx, name, 1_000)).hexdigest() for name in names}
    recipe(home, *(f'{{path: "{name}", url: "{nginx.address(name)}"}}' for name in names))
    run("get", "mine", MEDFETCH_ENDPOINT_HTTP="", MEDFETCH_BACKOFF="0.1", MEDFETCH_TRIES="20")
    assert tree(cache / "mine" / "current") == expected
    assert any(line.startswith("429 ") for line in nginx.asked())


def test_members_of_a_zip_cost_what_they_are(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    content = {f"Task0{task}/{n}.raw": random.Random(f"{task}{n}").randbytes(400_000) for task in "123" for n in "abc"}
    with zipfile.ZipFile(nginx.root / "all.zip", "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    recipe(home, f'{{path: all.zip, url: "{nginx.address("all.zip")}", unpack: {{into: data}}}}')
    run("get", "mine", "--select", "path=data/Task02/*", MEDFETCH_ENDPOINT_HTTP="")
    wanted = {f"data/{name}": hashlib.sha256(data).hexdigest() for name, data in content.items() if "Task02" in name}
    assert tree(cache / "mine/current") == wanted
    answers = [line.split(" ", 3) for line in nginx.asked()]
    assert {status for status, *_ in answers} == {"206"}
    assert sum(int(sent) for _, sent, *_ in answers) < 3 * 400_000 + 140_000


def test_members_of_a_zip_on_a_server_without_ranges(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    (nginx.root / "whole").mkdir(exist_ok=True)
    with zipfile.ZipFile(nginx.root / "whole" / "all.zip", "w") as archive:
        archive.writestr("a.raw", random.Random(1).randbytes(3_000_000))
        archive.writestr("b.raw", b"b")
    recipe(home, f'{{path: all.zip, url: "{nginx.address("whole/all.zip")}", unpack: true}}')
    ran = run("get", "mine", "--select", "path=b.raw", code=1, MEDFETCH_ENDPOINT_HTTP="")
    assert "sends no part of all.zip, only all of it (3.0 MB)" in ran.err
    assert not (cache / "mine").exists()
    assert all(int(line.split(" ")[1]) < 3_000_000 for line in nginx.asked())


def test_members_of_a_split_zip_behind_a_log_in(nginx: Nginx, run: Run, home: Path, cache: Path) -> None:
    """As ANHIR's."""
    if not shutil.which("zip"):
        pytest.skip("zip is not installed: apt-get install zip")
    content = {name: put(nginx, f"locked/{name}", 150_000) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")}
    subprocess.run(["zip", "-q", "-s", "200k", "all.zip", *content], cwd=nginx.root / "locked", check=True)
    volumes = ["all.z01", "all.z02", "all.zip"]
    pieces = ", ".join(f'{{url: "{nginx.address(f"locked/{name}")}"}}' for name in volumes)
    recipe(home, f"{{path: images/all.zip, pieces: [{pieces}], auth: basic, unpack: {{into: images}}}}")
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login someone password {PASSWORD}\n")
    netrc.chmod(0o600)
    expected = {f"images/{name}": hashlib.sha256(data).hexdigest() for name, data in content.items()}
    run("get", "mine", "--select", "path=images/b.jpg", MEDFETCH_ENDPOINT_HTTP="")
    assert tree(cache / "mine/current") == {"images/b.jpg": expected["images/b.jpg"]}
    assert sum(int(line.split(" ")[1]) for line in nginx.asked()) < 150_000 + 140_000
    run("get", "mine", MEDFETCH_ENDPOINT_HTTP="")
    assert tree(cache / "mine/current") == expected
