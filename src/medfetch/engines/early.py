"""Workers forked at the start of a run, as long as this process has no thread: later that would not be safe.

A new interpreter needs a tenth of a second for what a worker imports, and memory for it; a forked one shares both. They
wait for ``engines.local`` to take them, and end with this process. It knows nothing of what workers do.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What the parent has handlers for, which are not a worker's."""


class Forked:
    """What is forked, as a ``subprocess.Popen``."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self.pid = process.pid

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked worker", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


_waiting: list[tuple[Forked, Connection]] = []


@contextmanager
def workers(count: int) -> Iterator[None]:
    """So many wait meanwhile, where they can be forked."""
    if _safe():
        # With it comes pycurl, and libcurl.
        from medfetch.engines import worker

        # What has been imported stays, and shared: to look through it for garbage would write to all of it.
        gc.freeze()
        with suppress(OSError):  # a limit of processes: engines.local tells of it, if it needs more than there are
            for _ in range(count):
                _fork(worker.main)
    try:
        yield
    finally:
        while _waiting:
            process, connection = _waiting.pop()
            connection.close()
            process.kill()
            process.wait()


def take(rate: int) -> tuple[Forked, Connection] | None:
    """One of those that wait, and the pipe to it; it is handed the descriptor ``rate``, and the umask, which may be
    another by now. None if there is none."""
    while _waiting:
        process, connection = _waiting.pop()
        try:
            send_handle(connection, rate, process.pid)
            connection.send(_umask())
        except OSError:  # somebody has killed it
            connection.close()
            process.wait()
        else:
            return process, connection
    return None


def _safe() -> bool:
    """Whether there is no thread yet, and the system bears it: macOS' libraries do not."""
    with suppress(OSError):  # a system without /proc
        return sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1 and _umask() is not None
    return False


def _umask() -> int | None:
    """Read without being changed for a moment, as umask(2) would for all threads; None before Linux 4.7."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["Umask"], 8) if "Umask" in lines else None


def _fork(main: Callable[[int, int], None]) -> None:
    ours, theirs = Pipe()

    def work() -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL if each == signal.SIGTERM else signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # Else the others would not notice that their parent has ended.
        for parents in (ours, *(connection for _, connection in _waiting)):
            parents.close()
        try:
            rate = recv_handle(theirs)
            os.umask(theirs.recv())
        except (EOFError, OSError):  # nobody has had a use for it
            return
        main(theirs.fileno(), rate)

    process = get_context("fork").Process(target=work, daemon=True)
    # None may come before the child knows what to do with it: its parent's handlers are not for it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    _waiting.append((Forked(process), ours))
