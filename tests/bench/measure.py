"""One program from its start to its end: wall time, processor time and memory of it and all its children.

It must not know what the program does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.05
"""Seconds between two looks at the memory, at least …"""
SHARE = 0.02
"""… and so many that the looks take no more than this share of a processor: they walk through all pages."""
TAIL = 2000
"""Characters of what a program said that are kept."""


@dataclass(frozen=True, slots=True)
class Measured:
    wall: float
    """Seconds, as is ``cpu``: of the program and every process that it started and waited for, user and system."""
    cpu: float
    memory: int
    """Bytes: the highest sum seen over all its processes at one moment, where pages shared by n count one n-th."""
    code: int
    said: str


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], limit: float) -> Measured:
    """Runs a program in a terminal of its own, so that its progress is shown; kills it after ``limit`` seconds."""
    master, terminal = os.openpty()
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    said, peak, over = bytearray(), [0], threading.Event()
    reader = threading.Thread(target=_drain, args=(master, said), daemon=True)
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, over, started + limit), daemon=True)
    reader.start()
    watcher.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        over.set()
        watcher.join()
        # Who is left, because it was interrupted or left children behind, would disturb the next.
        _kill(process.pid)
    reader.join(timeout=5)
    return Measured(
        wall, used.ru_utime + used.ru_stime, peak[0], process.returncode, said[-TAIL:].decode("utf-8", "replace")
    )


def _drain(master: int, said: bytearray) -> None:
    # The last process that holds the terminal closes it; Linux then says EIO.
    with suppress(OSError):
        while block := os.read(master, 65536):
            said += block
            del said[:-TAIL]
    os.close(master)


def _watch(process: int, peak: list[int], over: threading.Event, deadline: float) -> None:
    pause = INTERVAL
    while not over.wait(pause):
        looked = time.thread_time()
        peak[0] = max(peak[0], sum(_memory(each) for each in tree(process)))
        pause = max(INTERVAL, (time.thread_time() - looked) / SHARE)
        if time.perf_counter() > deadline:
            _kill(process)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def tree(process: int) -> Iterator[int]:
    """A process, its children, theirs …"""
    yield process
    with suppress(OSError):
        for task in os.listdir(f"/proc/{process}/task"):
            for child in Path(f"/proc/{process}/task/{task}/children").read_text().split():
                yield from tree(int(child))


def _memory(process: int) -> int:
    """Bytes of its proportional set size."""
    with suppress(OSError), open(f"/proc/{process}/smaps_rollup") as file:
        return next((int(line.split()[1]) << 10 for line in file if line.startswith("Pss:")), 0)
    return 0
