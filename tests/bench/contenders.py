"""Who is measured: how each program is told to fetch the same files, at its best that we found.

It must not know how it is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.data import Data
from bench.servers import HOST
from bench.tools import find

HERE = Path(__file__).parent
Argument = str | Path


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: Data
    origin: str
    port: int
    authority: Path | None
    connections: int
    limit_connections: int
    limited: bool
    """Whether one connection is slower than the machine."""
    target: Path
    """An empty folder on the file system that is measured."""
    scratch: Path
    """A folder for input files, which are written before the time is taken."""
    tools: Path
    """Where the compiled programs are."""

    @property
    def list(self) -> Path:
        """A line ``PATH SIZE SHA256`` for each file."""
        return self.write("list", "".join(f"{file.path} {file.size} {file.sha256}\n" for file in self.data.files))

    @property
    def single(self) -> bool:
        return len(self.data.files) == 1

    def write(self, name: str, text: str) -> Path:
        path = self.scratch / name
        path.write_text(text)
        return path

    def url(self, path: str) -> str:
        return f"{self.origin}/data/{path}"

    def trusting(self, option: str) -> list[Argument]:
        """A peer's option for the certificate to trust, if there is one."""
        return [option, self.authority] if self.authority else []


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    verifies: bool
    command: Callable[[Job], list[Argument]]
    """Writes its input files, and returns what is to be run with the target as the current folder."""
    before: Callable[[Job], list[Argument]] | None = None
    """Run, and measured, by itself before ``command``."""
    environment: Callable[[Job], Mapping[str, str]] = lambda job: {}
    below: str = ""
    """Where its files are, below the target."""


# -- medfetch --------------------------------------------------------------------------------------------------------


def _medfetch(verb: str) -> Callable[[Job], list[Argument]]:
    return lambda job: [sys.executable, "-m", "medfetch", verb, job.scratch / "bench.yaml", "--cache", job.target]


def _listed(job: Job) -> list[Argument]:
    """A recipe whose route is a listing, as those of the archives are (source.py)."""
    job.write("medfetch_bench.py", (HERE / "source.py").read_text())
    package = job.scratch / "medfetch_bench-1.dist-info"
    package.mkdir(exist_ok=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: medfetch-bench\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[medfetch.sources]\nbench = medfetch_bench:Bench\n")
    job.write("bench.yaml", f"{RECIPE}  - {{source: bench, list: '{job.list}', origin: '{job.origin}/data/'}}\n")
    return _medfetch("plan")(job)


def _yaml(job: Job) -> list[Argument]:
    """A recipe that names every file with its size and digest."""
    files = "".join(
        f'      - {{path: {file.path}, url: "{job.url(file.path)}", size: {file.size}, sha256: "{file.sha256}"}}\n'
        for file in job.data.files
    )
    job.write("bench.yaml", f"{RECIPE}  - source: http\n    files:\n{files}")
    return _medfetch("get")(job)


BEARS = 64
"""Connections that the server is said to bear, where it is not slow by intent: medfetch finds out how many help."""
RECIPE = "id: bench\nname: Bench\nsummary: Made up.\naccess: {level: open}\nroutes:\n"


def _medfetch_environment(job: Job) -> dict[str, str]:
    trusted = {"MEDFETCH_CA_BUNDLE": str(job.authority)} if job.authority else {}
    bears = job.connections if job.limited else BEARS
    return {"PYTHONPATH": str(job.scratch), "BENCH_CONNECTIONS": str(bears), **trusted}


# -- peers -----------------------------------------------------------------------------------------------------------


def _limit(job: Job) -> list[Argument]:
    count = str(job.limit_connections)
    return [job.tools / "limit", job.list, HOST, str(job.port), "/data/", count, *job.trusting("")[1:]]


def _requests(job: Job) -> list[Argument]:
    # Its best number of threads where the server is near; where it is far, threads wait and do not harm each other.
    count = "8" if job.connections < 64 else str(job.connections)
    return [sys.executable, HERE / "plain_requests.py", job.list, job.origin, count, *job.trusting("")[1:]]


def _curl(job: Job) -> list[Argument]:
    files = "".join(f'url = "{job.url(file.path)}"\noutput = "{file.path}"\n' for file in job.data.files)
    config = job.write("curl", f"create-dirs\nhttp1.1\n{files}")
    many = [] if job.single else ["--parallel", "--parallel-max", str(job.connections)]
    return ["curl", "--fail", *many, *job.trusting("--cacert"), "-K", config]


def _wget2(job: Job) -> list[Argument]:
    urls = job.write("wget2", "".join(f"{job.url(file.path)}\n" for file in job.data.files))
    return ["wget2", f"--max-threads={job.connections}", "--no-http2", "-nH", "-x", "--cut-dirs=1", "--progress=none",
            "-q", *job.trusting("--ca-certificate"), "-i", urls]  # fmt: skip


def _rclone(job: Job) -> list[Argument]:
    # It asks for each file's size first (HEAD); told not to (--http-no-head), it takes four times as long.
    count = str(job.connections)
    how = ["--multi-thread-streams", count, "--multi-thread-cutoff", "16M"] if job.limited else []
    return ["rclone", "copy", "--config", "/dev/null", "--http-url", f"{job.origin}/data/", ":http:", ".", *how,
            "--transfers", count, "--checkers", count, *job.trusting("--ca-cert")]  # fmt: skip


def _s5cmd(job: Job) -> list[Argument]:
    how = ["--endpoint-url", job.origin, "--no-sign-request", "--numworkers", str(job.connections)]
    return [find("s5cmd") or "s5cmd", *how, "cp", "s3://data/*", "."]


def _s5cmd_environment(job: Job) -> dict[str, str]:
    trusted = {"AWS_CA_BUNDLE": str(job.authority)} if job.authority else {}
    return {"AWS_REGION": "us-east-1", **trusted}


def _aria2(checksums: bool) -> Callable[[Job], list[Argument]]:
    def command(job: Job) -> list[Argument]:
        lines = "".join(
            f"{job.url(file.path)}\n out={file.path}\n" + f" checksum=sha-256={file.sha256}\n" * checksums
            for file in job.data.files
        )
        count = str(job.connections)
        how = ["-x16", "-s", count, "-k1M"] if job.single else ["-j", count, "-x1", "-s1"]
        return ["aria2c", "--no-conf", "-i", job.write("aria2", lines), *how, "--file-allocation=none",
                "--console-log-level=warn", *job.trusting("--ca-certificate")]  # fmt: skip

    return command


CONTENDERS = {
    each.name: each
    for each in (
        Contender("medfetch", True, _medfetch("get"), _listed, _medfetch_environment, "bench/current"),
        Contender("medfetch-yaml", True, _yaml, None, _medfetch_environment, "bench/current"),
        Contender("limit", True, _limit),
        Contender("rclone", False, _rclone),
        Contender("wget2", False, _wget2),
        Contender("curl", False, _curl),
        Contender("s5cmd", False, _s5cmd, None, _s5cmd_environment),
        Contender("aria2 sha256", True, _aria2(True)),
        Contender("aria2", False, _aria2(False)),
        Contender("requests", True, _requests),
    )
}
