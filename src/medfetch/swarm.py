"""One file out of a torrent's swarm, by aria2c, a program of its own that resumes and verifies the pieces.

It must not know plans, caches or recipes. What it fetches is verified by every piece that the file lies in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from medfetch import config, torrents
from medfetch.errors import DiskFull, Refused, Retryable
from medfetch.storage import disk_errors

ENTRY = "dht.transmissionbt.com:6881"
"""Where the distributed hash table of BitTorrent (BEP 5) is entered: aria2c knows no place of its own."""
POLL = 0.2
"""Seconds between two looks at what has arrived."""
SAVE_EVERY = 10
"""Seconds after which aria2c writes down which pieces it has."""
INSTALL = "aria2c is not on this machine: apt-get install aria2, or brew install aria2"
FULL, UNFINISHED = 9, 7
"""Exit codes of aria2c(1): no room; not all was fetched, as when nobody has sent anything for too long."""


@dataclass(frozen=True, slots=True)
class Magnet:
    """A link to one file of a torrent."""

    info_hash: str
    index: int
    """Of the file, counted from 1."""
    torrent: str
    """Where the .torrent file is."""
    trackers: tuple[str, ...]


def is_magnet(url: str) -> bool:
    return url[:8] == "magnet:?"


def parse(url: str) -> Magnet:
    fields = parse_qs(urlsplit(url).query)
    info_hash = fields["xt"][0].rpartition(":")[2]
    return Magnet(info_hash, int(fields["so"][0]) + 1, fields["xs"][0], tuple(fields.get("tr", ())))


def fetch(
    magnet: Magnet, torrent: Path, folder: Path, *, rate: int | None, patience: float,
    received: Callable[[int], None], stopped: Callable[[], bool],
) -> Path:  # fmt: skip
    """The file, whole and verified, in ``folder``, where an earlier call may have left some of it.

    ``torrent``: the .torrent file. ``rate``: bytes per second. ``patience``: seconds without a byte.
    Raises: Refused where there is no aria2c; IntegrityError for a .torrent file that is another one's; Retryable where
        nobody sends; DiskFull; InterruptedError.
    """
    program = shutil.which("aria2c")
    if program is None:
        raise Refused(INSTALL)
    with disk_errors(folder):
        torrents.read(torrent.read_bytes(), magnet.info_hash)
        folder.mkdir(exist_ok=True)
    command = [
        program, "--no-conf", "--quiet", f"--dir={folder}", f"--select-file={magnet.index}",
        f"--index-out={magnet.index}=file", "--check-integrity=true", "--file-allocation=none", "--seed-time=0",
        "--bt-remove-unselected-file=true", f"--auto-save-interval={SAVE_EVERY}", "--allow-overwrite=true",
        f"--bt-stop-timeout={max(1, round(patience))}", f"--bt-tracker={','.join(magnet.trackers)}",
        f"--max-overall-download-limit={rate or 0}", f"--dht-entry-point={ENTRY}",
        f"--dht-file-path={folder / 'dht.dat'}", f"--stop-with-process={os.getpid()}", str(torrent),
    ]  # fmt: skip
    file = folder / "file"
    here = _stored(file)
    received(here)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=config.for_children(), start_new_session=True,
    ) as process:  # fmt: skip
        try:
            while process.poll() is None:
                if stopped():
                    raise InterruptedError
                try:
                    process.wait(POLL)
                except subprocess.TimeoutExpired:
                    now = _stored(file)
                    received(now - here)
                    here = now
        except BaseException:
            received(-here)
            raise
        finally:
            process.terminate()
        said = process.stdout.read().strip() if process.stdout else ""
    received(-here)
    if process.returncode == FULL:
        raise DiskFull(f"no room for {file}", hint="make room and run it again")
    if process.returncode:
        reason = "nobody has sent anything" if process.returncode == UNFINISHED else said[-200:]
        raise Retryable(f"the swarm of {magnet.info_hash}: {reason or f'aria2c ended with {process.returncode}'}")
    return file


def _stored(file: Path) -> int:
    """Bytes that are on the disk: the file may have holes."""
    try:
        there = file.stat()
    except OSError:
        return 0
    return min(there.st_size, there.st_blocks * 512)
