"""What this process may use of the machine, and what it must not wait for. It knows nothing of medfetch."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path


def processors() -> int:
    """How many this process may use: in a cluster's job fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def sync(*what: str | Path) -> bool:
    """Brings what was written to disk, as sync(1) with these arguments does; False where there is no such program, or
    somebody has killed it.

    It is a process of its own, for one that waits for the disk cannot end, and ours may have to.

    Raises: OSError.
    """
    if (program := shutil.which("sync")) is None or sys.platform != "linux":
        return False
    done = subprocess.run(
        [program, *what], stdin=subprocess.DEVNULL, capture_output=True, text=True, start_new_session=True
    )
    if done.returncode > 0:
        raise OSError(errno.EIO, done.stderr.strip() or os.strerror(errno.EIO), str(what[-1]))
    return done.returncode == 0


def sync_file(path: Path) -> None:
    """What was written to a file so far reaches the disk. Raises: OSError."""
    if not sync(path):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
