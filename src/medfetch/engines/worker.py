"""A worker process: takes shard jobs from a pipe, sends events back. Ends when its parent does.

Started as ``python -m medfetch.engines.worker PIPE RATE``, two descriptors, the second that of ``pace.shared_file``; a
module of its own, so that a person's script is not imported a second time, as multiprocessing's spawn would. Or forked
(``early``).
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import queue
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from medfetch import cache, logs
from medfetch.credentials.guard import redacted
from medfetch.errors import MedfetchError
from medfetch.hosts import Hosts
from medfetch.jobs import ShardJob
from medfetch.pace import Pace
from medfetch.progress import Counting
from medfetch.work import Stops, run_shards

REPORT_EVERY = 0.2
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3), in glibc's malloc.h."""
KEPT, ALONE = 64 << 20, 4 << 20
"""Bytes of free memory that stay with the process; bytes from which a piece of memory is asked for by itself."""


def main(pipe: int, rate: int) -> None:
    connection = Connection(pipe)
    sending = threading.Lock()
    stops = Stops()
    jobs: queue.SimpleQueue[ShardJob | None] = queue.SimpleQueue()

    def send(message: Any) -> None:
        with sending:
            connection.send(message)

    def listen() -> None:
        """The parent's words: jobs, "stop", "park", or its end, after which nobody may write for it."""
        try:
            while (message := connection.recv()) is not None:
                if message == "stop":
                    stops.now.set()
                elif message == "park":
                    stops.parked.set()
                else:
                    jobs.put(message)
            jobs.put(None)
        except (EOFError, OSError):
            os._exit(1)

    _keep_memory()
    # What is imported stays: to look through it again and again for garbage took a twentieth of the time.
    gc.freeze()
    # The parent decides what an interrupt at the terminal means, or a scheduler's warning to all processes of a job.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stops.now.set())
    threading.Thread(target=listen, daemon=True).start()
    reporter = Counting(send)

    def report() -> None:
        while True:
            time.sleep(REPORT_EVERY)
            reporter.flush()

    threading.Thread(target=report, daemon=True).start()
    asked = False

    def more(*, wait: bool = False) -> ShardJob | None:
        """A further job; without ``wait`` only if there is one by now."""
        nonlocal asked
        if not asked:
            asked = True
            send("more")
        with suppress(queue.Empty):
            if job := jobs.get(block=wait):
                asked = False
                return job
            jobs.put(None)  # the end is for whoever asks next, too
        return None

    def ended(number: int, through: bool) -> None:
        send(("ended" if through else "passed", number))

    hosts: Hosts | None = None
    while job := more(wait=True):
        logs.start(job.settings.verbose)
        hosts = hosts or Hosts(cache.hosts_folder(job.home.cache), stops.now.is_set)
        pace = Pace(job.settings.limit_rate, stops.now, rate)
        error: BaseException | None = None
        try:
            run_shards(job, more, ended, reporter, stops, pace, hosts)
        except (MedfetchError, InterruptedError) as failure:
            error = failure
        except Exception as bug:  # must end the run with a message, not with a worker that dies again and again
            logging.getLogger("medfetch.worker").debug("", exc_info=True)
            error = MedfetchError(redacted(f"{type(bug).__name__}: {bug}"), hint="-vv shows where")
        reporter.flush()
        if error:
            send(("failed", error))
    if hosts:
        hosts.close()


def _keep_memory() -> None:
    """Else glibc gives back the memory of received blocks and asks for it again: a page fault for each 4 KiB."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, ALONE)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
