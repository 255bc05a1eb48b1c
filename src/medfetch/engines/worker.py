"""A worker process: takes shard jobs from a pipe, sends events back. Ends when its parent does.

Started as ``python -m medfetch.engines.worker PIPE RATE``, two descriptors, the second that of ``pace.shared_file``; a
module of its own, so that a person's script is not imported a second time, as multiprocessing's spawn would.
"""

from __future__ import annotations

import gc
import logging
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from medfetch import leases, logs
from medfetch.credentials.guard import redacted
from medfetch.errors import MedfetchError
from medfetch.pace import Pace
from medfetch.progress import Counting, Event
from medfetch.shard import ShardJob, run_shard

REPORT_EVERY = 0.2
POLL = 0.5


def main(pipe: int, rate: int) -> None:
    connection = Connection(pipe)
    sending = threading.Lock()
    stop = threading.Event()
    jobs: queue.SimpleQueue[ShardJob | None] = queue.SimpleQueue()

    def send(message: Any) -> None:
        with sending:
            connection.send(message)

    def listen() -> None:
        """The parent's words: jobs, "stop", or its end, after which nobody may write for it."""
        try:
            while (message := connection.recv()) is not None:
                stop.set() if message == "stop" else jobs.put(message)
            jobs.put(None)
        except (EOFError, OSError):
            os._exit(1)

    # What is imported stays: to look through it again and again for garbage took a twentieth of the time.
    gc.freeze()
    # The parent decides what an interrupt at the terminal means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=listen, daemon=True).start()
    reporter = Counting(send)

    def report() -> None:
        while True:
            time.sleep(REPORT_EVERY)
            reporter.flush()

    threading.Thread(target=report, daemon=True).start()
    while (job := jobs.get()) is not None:
        logs.start(job.settings.verbose)
        error = _run(job, reporter, stop, Pace(job.settings.limit_rate, stop, rate))
        reporter.flush()
        send(("end", job.number, error))


def _run(job: ShardJob, reporter: Counting, stop: threading.Event, pace: Pace) -> BaseException | None:
    """Runs a shard under its lease; the error that ended it early, if any."""
    lease = None
    try:
        while (lease := leases.take(job.path.with_suffix(".lease"))) is None:
            reporter.emit(Event("note", reason=f"waiting for another process that works on {job.path.name}"))
            if stop.wait(POLL):
                return InterruptedError()
        run_shard(replace(job, token=lease.token), reporter, stop, pace)
    except (MedfetchError, InterruptedError) as error:
        return error
    except Exception as error:  # a bug must end the run with a message, not with a worker that dies again and again
        logging.getLogger("medfetch.worker").debug("shard %s", job.path, exc_info=True)
        return MedfetchError(redacted(f"{job.path.name}: {type(error).__name__}: {error}"), hint="-vv shows where")
    finally:
        if lease:
            lease.release()
    return None


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
