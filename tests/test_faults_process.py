"""What befalls the processes of a run, through the command line: stopped, ended, killed singly; a clock that jumps."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import COLLECTION, http, of_subject, sha256, tarred, tree, write_recipe, zipped
from running import Medfetch, Run
from servers import Asked, Server, Step, cut, reply, serve
from test_kill import children, only_right, until

from medfetch.sandbox import Fault, Sandbox

NAME = "scans"
LARGE, SMALL, COUNT = 3_000_000, 30_000, 40
CAP = 5_000
NAMES = [f"{number:02d}.bin" for number in range(COUNT)]


def content(name: str, size: int = SMALL) -> bytes:
    """Bytes of its own for each file."""
    return random.Random(name).randbytes(size)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=CAP) as box:
        yield box


@pytest.fixture
def medfetch(home: Path, cache: Path) -> Run:
    """The real command, with no endpoint replaced."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    settings = {"CACHE": cache, "RECIPES": home, "TRIES": 3, "BACKOFF": 0.01, "PATIENCE": 1, "RESERVE": 0}
    return Medfetch(home, environment | {f"MEDFETCH_{name}": str(value) for name, value in settings.items()})


def known(path: str, url: str, data: bytes) -> dict[str, Any]:
    return {"path": path, "url": url, "size": len(data), "sha256": sha256(data)}


def dataset(home: Path, *files: dict[str, Any]) -> str:
    return write_recipe(home, NAME, parts={"all": {"routes": http(*files)}})


def in_place(cache: Path) -> dict[str, str]:
    return tree(cache / NAME / "current")


# -- stopped and ended --------------------------------------------------------------------------------------------


def test_stopped_for_a_while_it_goes_on(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    """As a laptop's lid does it: the hosts hang up meanwhile."""
    large = content("large.bin", LARGE)
    good = serve(large, etag='"v1"')
    held, stopped = threading.Event(), threading.Event()

    def script(asked: Asked) -> Iterable[Step]:
        yield from cut(good, LARGE // 2)(asked)
        held.set()
        # Not a reset, which would throw away what has come and was not read yet.
        stopped.wait(60)

    files = [known("large.bin", server.script("/large.bin", script, good), large)]
    files += [known(name, server.script(f"/{name}", serve(content(name), keep=True)), content(name)) for name in NAMES]
    process = medfetch.start("get", dataset(home, *files), "--json")
    assert held.wait(60)
    os.killpg(process.pid, signal.SIGSTOP)
    stopped.set()
    time.sleep(1.5)  # longer than the patience that it has with a silent host
    os.killpg(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert in_place(cache) == {each["path"]: each["sha256"] for each in files}
    twice = sum(asked.sent for asked in server.asked) - LARGE - COUNT * SMALL
    assert twice < LARGE // 10
    assert all(len(server.of(f"/{name}")) == 1 for name in NAMES)


def test_a_signal_under_mixed_load_keeps_what_came(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    members = {f"m{number}": content(f"m{number}", 100_000) for number in range(8)}
    archives = {"a.zip": zipped(**members), "b.tar.gz": tarred(**members)}
    data = {"large.bin": content("large.bin", 4 * LARGE), **{name: content(name) for name in NAMES}, **archives}
    for name, body in data.items():
        box.put(f"https://host/{name}", body)
    unpacked = {name: {"unpack": {"into": name.partition(".")[0]}} for name in archives}
    files = [{**known(name, f"https://host/{name}", body), **unpacked.get(name, {})} for name, body in data.items()]
    name = dataset(home, *files)
    wanted = {name: sha256(body) for name, body in data.items() if name not in archives}
    wanted |= {f"{folder}/{member}": sha256(body) for folder in "ab" for member, body in members.items()}
    total = sum(map(len, data.values()))
    box.add(Fault(rate=1_000_000, times=None))
    process = run.start("get", name, "--json", MEDFETCH_JOBS="8")
    until(lambda: box.stats.data_bytes > 4_000_000, "some bytes")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert json.loads(out.splitlines()[-1])["exit"] == 143
    only_right(cache / NAME / "current", wanted)
    box.clear()
    run("get", name)
    assert in_place(cache) == wanted
    assert box.stats.data_bytes - total < 0.03 * total


def test_workers_are_killed_one_by_one_and_the_others_go_on(run: Medfetch, box: Sandbox, cache: Path) -> None:
    subjects = [f"LIDC-IDRI-{number:04d}" for number in range(1, 13)]
    wanted = {path: digest for subject in subjects for path, digest in of_subject(subject, CAP).items()}
    folder = cache / COLLECTION / "current"
    box.add(Fault(match=r"\.dcm$", rate=50_000, times=None))
    process = run.anew().start(
        "get", COLLECTION, "-s", f"subject={','.join(subjects)}", "--route", "idc", "--json", MEDFETCH_JOBS="8"
    )
    killed: list[int] = []
    for _ in range(3):
        seen = box.stats.data_bytes
        until(lambda seen=seen: box.stats.data_bytes > seen + 200_000, "some bytes")
        workers = [pid for pid in children(process) if pid not in killed]
        assert len(workers) == 2
        killed.append(workers[0])
        os.kill(workers[0], signal.SIGKILL)
    box.clear()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    notes = [event["reason"] for event in map(json.loads, out.splitlines()) if event["event"] == "note"]
    assert [note for note in notes if "died" in note] == [
        f"worker {pid} died; its work is taken over" for pid in killed
    ]
    assert tree(folder) == wanted
    total = sum((folder / path).stat().st_size for path in wanted)
    assert box.stats.data_bytes - total < 0.03 * total


# -- a clock that jumps -------------------------------------------------------------------------------------------


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t which, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, __func__);
    int failed = real(which, now);
    if (!failed && which == CLOCK_REALTIME) {
        long seconds = 0;
        FILE *said = fopen(getenv("CLOCK_SAID"), "r");
        if (said) {
            if (fscanf(said, "%ld", &seconds) != 1) seconds = 0;
            fclose(said);
        }
        now->tv_sec += seconds;
    }
    return failed;
}
"""
"""For LD_PRELOAD: a time of day that is off by the seconds in a file; the time that passes stays right. (libfaketime
breaks the sleeping of Python 3.11.)"""


@pytest.fixture
def clock(home: Path) -> tuple[dict[str, str], Path]:
    """Variables for a run whose time of day is off by the seconds in a file."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed: apt-get install gcc libc6-dev")
    source, library, said = home / "clock.c", home / "clock.so", home / "clock"
    source.write_text(CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    said.write_text("0")
    return {"LD_PRELOAD": str(library), "CLOCK_SAID": str(said)}, said


@pytest.mark.parametrize("jump", [-200_000, 200_000])
def test_the_clock_jumps_while_a_host_is_waited_for(
    medfetch: Run, home: Path, cache: Path, server: Server, clock: tuple[dict[str, str], Path], jump: int
) -> None:
    environment, said = clock

    def busy(asked: Asked) -> Iterable[Step]:
        yield from reply("429 Too Many Requests", b"", "Retry-After: 1")(asked)
        said.write_text(str(jump))

    files = [known(name, server.script(f"/{name}", serve(content(name), keep=True)), content(name)) for name in NAMES]
    server.script(f"/{NAMES[9]}", busy, serve(content(NAMES[9]), keep=True))
    name = dataset(home, *files)
    medfetch("get", name, "--json", MEDFETCH_JOBS="4", **environment)
    assert in_place(cache) == {name: sha256(content(name)) for name in NAMES}
    assert len(server.asked) == COUNT + 1
    # Back again: what is complete stays so.
    said.write_text("0")
    medfetch("get", name, **environment)
    assert len(server.asked) == COUNT + 1
