"""Large files in several ranges, by ``medfetch`` itself from nginx: whole, killed, on another machine, cleared away."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from datasets import http, tree, write_recipe
from running import Medfetch, Run
from test_segments import wait_until

from medfetch.pieces import HEAD, PIECE

SIZE = (72 << 20) + 12345
BODY = random.Random(3).randbytes(SIZE)
SHA256 = hashlib.sha256(BODY).hexdigest()
NAME = "slides"
CONFIGURATION = """
daemon off; master_process off; error_log stderr; pid {folder}/pid;
events {{ worker_connections 200; }}
http {{
    log_format ranges '$status $body_bytes_sent $http_range $http_if_range';
    access_log {folder}/access.log ranges;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/served;
        if (-f {folder}/slow) {{ set $limit_rate 3m; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    folder: Path
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def lines(self) -> list[list[str]]:
        """Status, bytes of body, Range and If-Range of each request that is over."""
        return [line.split(" ") for line in (self.folder / "access.log").read_text().splitlines()]


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    program = shutil.which("nginx")
    if not program:
        pytest.skip("nginx is not installed (apt install nginx-light)")
    folder = tmp_path / "nginx"
    (folder / "served").mkdir(parents=True)
    (folder / "served" / "slide.svs").write_bytes(BODY)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    with subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port))
            yield Nginx(folder, port)
        finally:
            process.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def medfetch(home: Path, cache: Path) -> Run:
    """The real command, with no endpoint replaced."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    settings = {"CACHE": cache, "RECIPES": home, "BACKOFF": 0.01, "RESERVE": 0}
    return Medfetch(home, environment | {f"MEDFETCH_{name}": str(value) for name, value in settings.items()})


def slide(home: Path, url: str) -> str:
    file = {"path": "slide.svs", "url": url, "size": SIZE, "sha256": SHA256}
    return write_recipe(home, NAME, parts={"all": {"routes": http(file)}})


def test_a_large_file_comes_in_several_ranges_of_one_version(
    medfetch: Run, home: Path, cache: Path, nginx: Nginx
) -> None:
    receipt = medfetch("get", slide(home, nginx.url("slide.svs")), "--json").last
    folder = cache / NAME / "current"
    assert tree(folder) == {"slide.svs": SHA256}
    assert (receipt["bytes"], receipt["assurance"]) == (SIZE, {"published": 1})
    assert list((folder / ".medfetch" / "partial").iterdir()) == []
    wait_until(lambda: sum(int(count) for _, count, *_ in nginx.lines()) == SIZE)
    lines = nginx.lines()
    assert len(lines) > 2
    assert {status for status, *_ in lines} == {"206"}
    first = [if_range for _, _, span, if_range in lines if span.startswith("bytes=0-")]
    assert first == ["-"]
    assert len({if_range for _, _, _, if_range in lines} - {"-"}) == 1
    assert [if_range for _, _, _, if_range in lines].count("-") == 1


def test_an_address_of_unknown_size(medfetch: Run, nginx: Nginx) -> None:
    ran = medfetch("get", nginx.url("slide.svs"), "--sha256", SHA256, "--json")
    assert tree(Path(ran.last["path"])) == {"slide.svs": SHA256}
    wait_until(lambda: sum(int(count) for status, count, *_ in nginx.lines() if status == "206") == SIZE)


def killed_midway(medfetch: Run, name: str, partial: Path, nginx: Nginx) -> int:
    """Kills a run when some pieces are here; the bytes that are noted."""
    slow = nginx.folder / "slow"
    slow.touch()
    with medfetch.start("get", name) as process:
        wait_until(lambda: here(partial) > SIZE // 8)
        os.killpg(process.pid, signal.SIGKILL)
    slow.unlink()
    return here(partial)


def here(partial: Path) -> int:
    for path in partial.glob("*.pieces"):
        numbers = array("I", path.read_bytes()[HEAD:])
        return sum(numbers[: -(-SIZE // PIECE)])
    return 0


@pytest.mark.parametrize("machine", ["this", "another"])
def test_a_killed_run_is_gone_on_with(medfetch: Run, home: Path, cache: Path, nginx: Nginx, machine: str) -> None:
    name, folder = slide(home, nginx.url("slide.svs")), cache / NAME / "current"
    noted = killed_midway(medfetch, name, folder / ".medfetch" / "partial", nginx)
    assert noted < SIZE
    wait_until(lambda: not connections(nginx.port))
    before = len(nginx.lines())
    if machine == "another":
        # The same folder on a network file system: what the machine that died had not synced is gone.
        for path in (folder / ".medfetch" / "partial").glob("*"):
            stem, _, _ = path.name.partition(".")
            path.rename(path.with_name(f"{stem}.elsewhere-1-1{path.suffix}"))
        (pieces,) = (folder / ".medfetch" / "partial").glob("*.pieces")
        content = pieces.read_bytes()
        pieces.write_bytes(content.replace(Path("/proc/sys/kernel/random/boot_id").read_bytes().strip(), 36 * b"0"))
        noted = 0
    medfetch("get", slide(home, nginx.url("slide.svs")))
    assert tree(folder) == {"slide.svs": SHA256}
    wait_until(lambda: sum(int(count) for _, count, *_ in nginx.lines()[before:]) == SIZE - noted)
    assert {status for status, *_ in nginx.lines()[before:]} == {"206"}


def connections(port: int) -> bool:
    """Whether the server still has connections; the line of a request is written when it is over."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01" for line in table)


def test_gc_clears_pieces_away_and_counts_them(medfetch: Run, home: Path, cache: Path, nginx: Nginx) -> None:
    name, partial = slide(home, nginx.url("slide.svs")), cache / NAME / "current" / ".medfetch" / "partial"
    killed_midway(medfetch, name, partial, nginx)
    left = [path.stat().st_size for path in partial.iterdir()]
    assert {path.suffix for path in partial.iterdir()} == {".part", ".pieces"}
    freed = medfetch("gc", "--json").last
    assert (freed["files"], freed["bytes"]) == (len(left), sum(left))
    assert not partial.exists() or list(partial.iterdir()) == []
