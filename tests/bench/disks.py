"""Where the files go: a file system that is made anew for every run, where that is possible.

ext4 does not use the inodes of lately deleted files and searches past them, so that a second run in the same file
system takes seconds longer than the first. It must not know what is written there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.data import MIB

IN_MEMORY, ON_DISK = Path("/dev/shm"), Path("/var/tmp")
TIMES = 3
"""So many times the data must fit into memory: the server's, the file system, its page cache."""

ROOM = 3
"""So many times what is written the file system has room for."""


def place(needed: int) -> Path:
    """Where file systems for so many bytes are best made: in memory, if it is large enough, for the disk of a virtual
    machine is twice as fast at one moment as at another."""
    if not IN_MEMORY.is_dir() or not can_mount():
        return ON_DISK
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return IN_MEMORY if int(lines["MemAvailable"].split()[0]) << 10 >= TIMES * needed else ON_DISK


def can_mount() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and Path("/dev/loop-control").exists()


@contextmanager
def fresh(where: Path, size: int, inodes: int | None = None) -> Iterator[Path]:
    """An empty folder for so many bytes, and so many files where they are smaller than 16 KiB: a new ext4 on a loop
    device as root on Linux, else just a new folder."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as name:
        folder = Path(name)
        if not can_mount():
            yield folder
            return
        image, mounted = folder / "image", folder / "mounted"
        mounted.mkdir()
        with open(image, "wb") as file:
            # Where less is free than twice what is not written yet, ext4 has writers wait until it is
            # (ext4_nonda_switch in fs/ext4/inode.c): most of a second for a large file.
            file.truncate(size * ROOM + 512 * MIB)
        # What a disk in use has long done must not go on in the background while we measure.
        number = ["-N", str(inodes)] if inodes else []
        _call("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", *number, image)
        _call("mount", "-o", "loop", image, mounted)
        try:
            shutil.rmtree(mounted / "lost+found")
            yield mounted
        finally:
            # Lazily, for who was killed may hold it for a moment more.
            _call("umount", "--lazy", mounted)


@contextmanager
def folder(where: Path) -> Iterator[Path]:
    """Just an empty folder."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=where) as name:
        yield Path(name)


def _call(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)
