"""``get --dask``: the same dataset as by one machine, whatever becomes of the workers; no secret in what is sent."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from datasets import http, of_subject, sha256, tree, write_recipe
from running import CAP, Run
from test_kill import only_right, runs, until

from medfetch.sandbox import Fault, Sandbox

pytest.importorskip("dask_jobqueue", reason='pip install "medfetch[dask]"')

from distributed import LocalCluster

NAME = "scans"
FILES, SIZE = 40, 50_000
SLOW = Fault(match=r"\.bin$", rate=100_000, times=None)
FINE_SHARDS = "import medfetch.planning as planning\nplanning.SHARD_FILES, planning.SMALLEST = 4, 1\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """A scheduler that runs already, with two workers, each a process of its own that is replaced when it dies."""
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=CAP) as box:
        yield box


@pytest.fixture
def wanted(home: Path, box: Sandbox) -> dict[str, str]:
    """A dataset of many small shards: SHA-256 by path."""
    (home / "sitecustomize.py").write_text(FINE_SHARDS)
    files = []
    for number in range(FILES):
        url = f"https://host{number % 4}.example/{number:03d}.bin"
        digest = sha256(box.put(url, size=SIZE))
        files.append({"path": f"{number:03d}.bin", "url": url, "size": SIZE, "sha256": digest})
    write_recipe(home, NAME, parts={"all": {"routes": http(*files)}})
    return {each["path"]: each["sha256"] for each in files}


@pytest.fixture
def root(cache: Path) -> Path:
    return cache / NAME / "current"


def get(run: Run, home: Path, where: str, *arguments: str) -> subprocess.Popen[str]:
    return run.start("get", NAME, "--dask", where, "--json", *arguments, PYTHONPATH=str(home), MEDFETCH_JOBS="8")


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, object]], str]:
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err, err
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def workers(cluster: LocalCluster) -> set[int]:
    """Their process ids."""
    return {nanny.pid for nanny in cluster.workers.values() if nanny.pid}


def test_workers_are_killed_and_replaced_and_nothing_is_missing(
    run: Run, home: Path, box: Sandbox, wanted: dict[str, str], root: Path, cluster: LocalCluster
) -> None:
    box.add(SLOW)
    process = get(run, home, cluster.scheduler_address)
    until(lambda: only_right(root, wanted) > 4, "some files")
    status = json.loads(run("status", NAME, "--json").out)
    assert {each["task"] for each in status["runs"] if each["task"] != "0/1"} == {"0 (Dask)", "1 (Dask)"}
    before = set(cluster.scheduler.workers)
    os.kill(next(iter(workers(cluster))), signal.SIGKILL)
    until(lambda: len(set(cluster.scheduler.workers) - before) == 1, "another worker in its place")
    box.clear()
    code, lines, err = ended(process)
    assert code == 0, err
    assert tree(root) == wanted
    assert lines[-1]["event"] == "receipt" and lines[-1]["files"] == FILES
    assert any(line["event"] == "progress" for line in lines)
    # Of each connection of the killed one, what it had not written down.
    assert box.stats.data_bytes - FILES * SIZE <= 8 * SIZE
    assert not any(each["alive"] for each in json.loads(run("status", NAME, "--json").out)["runs"])
    asked = box.stats.requests
    assert ended(get(run, home, cluster.scheduler_address))[0] == 0
    assert box.stats.requests == asked


@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long), (signal.SIGUSR1, 75)]
)
def test_a_signal_saves_what_the_workers_have(
    run: Run, home: Path, box: Sandbox, wanted: dict[str, str], root: Path, cluster: LocalCluster,
    number: int, code: int,
) -> None:  # fmt: skip
    box.add(SLOW)
    process = get(run, home, cluster.scheduler_address)
    until(lambda: only_right(root, wanted) > 4, "some files")
    process.send_signal(number)
    assert ended(process)[0] == code
    # Nobody works on: all workers have let go of their shards, and are there for others.
    assert list(root.glob(".medfetch/plans/*/*.lease")) == []
    assert len(workers(cluster)) == 2
    there = only_right(root, wanted)
    assert there < FILES
    box.clear()
    sent = box.stats.data_bytes
    run("get", NAME)
    assert tree(root) == wanted
    # What was under way is gone on with; nothing complete is fetched again.
    assert box.stats.data_bytes - sent <= (FILES - there) * SIZE


@pytest.mark.long
def test_workers_of_this_machine_come_and_go(
    run: Run, home: Path, box: Sandbox, wanted: dict[str, str], root: Path
) -> None:
    box.add(SLOW)
    process = get(run, home, "local", "--workers", "0-2", "--limit-rate", "1M")
    until(lambda: only_right(root, wanted) > 4, "some files")
    children = _descendants(process.pid)
    # As from a terminal: the workers get it, too, and leave it to the coordinator.
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process)[0] == 130
    until(lambda: not any(map(runs, children)), "its workers end with it")
    assert list(root.glob(".medfetch/plans/*/*.lease")) == []
    box.clear()
    run("get", NAME)
    assert tree(root) == wanted


@pytest.mark.long
def test_the_first_example_of_its_page(run: Run, cache: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "dask.md").read_text(encoding="utf-8")
    (example,) = [line for line in page.splitlines() if line.startswith("medfetch get") and "--dask local" in line]
    run(*shlex.split(example, comments=True)[1:])
    assert tree(cache / "lidc-idri" / "current") == of_subject("LIDC-IDRI-0001")


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, each.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def test_failures_are_told_as_by_one_machine(
    run: Run, home: Path, box: Sandbox, wanted: dict[str, str], root: Path, cluster: LocalCluster
) -> None:
    box.add(Fault(match=r"007\.bin$", status=404, times=None))
    code, lines, _ = ended(get(run, home, cluster.scheduler_address))
    assert code == 1
    assert [each["path"] for each in lines[-1]["failures"]] == ["007.bin"]
    assert only_right(root, wanted) == FILES - 1


@pytest.mark.long
def test_who_may_read_is_the_coordinators_to_say(
    run: Run, home: Path, wanted: dict[str, str], root: Path, cluster: LocalCluster
) -> None:
    # Dask's workers have the umask of whoever started them.
    process = run.start(
        "get", NAME, "--dask", cluster.scheduler_address, "--json", wrap=("sh", "-c", 'umask 027; exec "$@"', "sh")
    )
    assert ended(process)[0] == 0
    assert {(root / name).stat().st_mode & 0o777 for name in wanted} == {0o640}


# -- secrets -----------------------------------------------------------------------------------------------------


def test_no_secret_travels_to_the_scheduler(
    run: Run, home: Path, wanted: dict[str, str], root: Path, cluster: LocalCluster
) -> None:
    secret = "s3cretOfThisPerson"
    (home / ".netrc").write_text(f"machine host1.example login me password {secret}\n")
    (home / ".netrc").chmod(0o600)
    host, port = cluster.scheduler_address.removeprefix("tcp://").split(":")
    with _Listening(host, int(port)) as between:
        process = run.start(
            "get", NAME, "--dask", between.address, "--json", HF_TOKEN=secret, KAGGLE_API_TOKEN=secret,
            NETRC=str(home / ".netrc"), PYTHONPATH=str(home),
        )  # fmt: skip
        code, _, err = ended(process)
    assert code == 0, err
    assert NAME.encode() in between.heard and b"ShardJob" in between.heard
    assert secret.encode() not in between.heard


class _Listening:
    """Stands between medfetch and the scheduler, and hears all that medfetch sends."""

    def __init__(self, host: str, port: int) -> None:
        self.to = host, port
        self.heard = bytearray()

    def __enter__(self) -> _Listening:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listener.accept()
                theirs = socket.create_connection(self.to)
                threading.Thread(target=self._pass, args=(ours, theirs, self.heard), daemon=True).start()
                threading.Thread(target=self._pass, args=(theirs, ours, bytearray()), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, heard: bytearray) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                heard += block
                sink.sendall(block)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


# -- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--dask", "everywhere"], 2, "neither local, slurm"),
        (["--dask", "local", "--workers", "many"], 2, "neither N nor MIN-MAX"),
        (["--dask", "local", "--workers", "3-2"], 2, "neither N nor MIN-MAX"),
        (["--dask", "local", "--workers", "0"], 2, "neither N nor MIN-MAX"),
        (["--dask", "local", "--shard", "0/2"], 2, "two ways to share the work"),
        (["--workers", "2"], 2, "--workers is for --dask"),
        (["--dask", "local", "--links", "-"], 2, "not sent to Dask's workers"),
    ],
)
def test_bad_input(run: Run, wanted: dict[str, str], arguments: list[str], code: int, said: str) -> None:
    assert said in run("get", NAME, *arguments, code=code).err


def test_without_dask_it_says_what_to_install(run: Run, home: Path, wanted: dict[str, str]) -> None:
    (home / "sitecustomize.py").write_text("import sys\nsys.modules['distributed'] = None\n")
    ran = run("get", NAME, "--dask", "local", code=1, PYTHONPATH=str(home))
    assert 'pip install "medfetch[dask]"' in ran.err
    run("get", NAME, PYTHONPATH=str(home))


def test_a_scheduler_that_is_not_there(run: Run, home: Path, wanted: dict[str, str]) -> None:
    (home / "sitecustomize.py").write_text("import medfetch.engines.pools as pools\npools.REACH_WITHIN = 0.5\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ran = run("get", NAME, "--dask", f"tcp://127.0.0.1:{port}", code=6, PYTHONPATH=str(home))
    assert f"127.0.0.1:{port}" in ran.err


def test_workers_of_another_medfetch_end_the_run(
    run: Run, home: Path, wanted: dict[str, str], cluster: LocalCluster
) -> None:
    (home / "sitecustomize.py").write_text("import medfetch\nmedfetch.__version__ = '0.0.9'\n")
    ran = run("get", NAME, "--dask", cluster.scheduler_address, code=1, PYTHONPATH=str(home))
    assert "this run is of 0.0.9" in ran.err and "all workers need the same medfetch" in ran.err


@pytest.mark.long
def test_workers_without_medfetch_end_the_run(run: Run, wanted: dict[str, str]) -> None:
    without = "import sys; sys.modules['medfetch'] = None"
    with LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", preload=without) as cluster:
        ran = run("get", NAME, "--dask", cluster.scheduler_address, code=1)
    assert "a Dask worker cannot work" in ran.err and "No module named 'medfetch" in ran.err


def test_nothing_is_asked_of_dask_where_it_is_not_wanted(tmp_path: Path) -> None:
    code = "import sys, medfetch.cli.get; sys.exit('distributed' in sys.modules or 'dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0
