"""Kills a run of a mixed dataset again and again, at all moments of its life, and counts what the host sent twice.

PYTHONPATH=tests python -m soak.kills --kills 200
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from datasets import tree
from running import Medfetch

from medfetch.sandbox import Fault, Sandbox
from soak.mixed import CAP, NAME, Amounts, put

SLOW = r"/http/|\.dcm$"
"""What is slowed, so that runs do not end by themselves: not the interfaces, and not the zips that NBIA makes on the
fly, which cannot be gone on from (it has no ranges), while a life here is a moment."""
ZIPS = "getImage"
SEED = 20_261_120
SECONDS = 60
"""No life needs so long to come to the moment of its death."""


@dataclass(frozen=True)
class Outcome:
    """What came of it; bytes of bodies, as the host sent them."""

    kills: int
    needed: int
    """Sent to a run that nobody disturbed."""
    before: int
    """Sent before the last life, which nobody ended."""
    twice: int
    zips: int
    """… of these, by zips that are made on the fly: they begin anew, also those that came within the last second before
    a kill, for which there is neither size nor digest."""

    @property
    def share(self) -> float:
        """Sent twice of what can be gone on from."""
        return (self.twice - self.zips) / self.needed


def environment(folder: Path, box: Sandbox, **more: str) -> dict[str, str]:
    """Everything that a run gets from outside."""
    settings = {"CACHE": folder / "cache", "RECIPES": folder, "BACKOFF": 0.01, "PROCESSES": 2, "RESERVE": 0}
    named = {f"MEDFETCH_{name}": str(value) for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", **named, **box.environment, **more}


def endure(kills: int, amounts: Amounts, rate: int, folder: Path, longest: float = 1.0) -> Outcome:
    """Kills so many runs, each at most ``longest`` seconds after its moment, against a host that gives each connection
    ``rate`` bytes a second; then lets one end.

    Raises: AssertionError for a wrong file at its final name, a file lost, or a run that fails by itself.
    """
    with Sandbox(max_instance_bytes=CAP) as box:
        wanted = put(box, folder, amounts)
        # Not forked: among the children would be one that is none of the run.
        medfetch = Medfetch(folder, environment(folder, box), forks=False)
        medfetch("get", NAME, "-q", "--cache", folder / "undisturbed")
        assert tree(folder / "undisturbed" / NAME / "current") == wanted
        needed, zips = box.stats.data_bytes, _zips(box)
        moments = random.Random(SEED)
        box.add(Fault(match=SLOW, rate=rate, times=None))
        root = folder / "cache" / NAME / "current"
        here = 0
        for number in range(kills):
            _one_life(medfetch, box, number, moments, longest)
            found = tree(root)
            wrong = {path for path, digest in found.items() if wanted.get(path) != digest}
            assert not wrong, f"after {number + 1} kills wrong at their final names: {sorted(wrong)[:5]}"
            assert len(found) >= here, f"after {number + 1} kills {here - len(found)} files were lost"
            here = len(found)
        before = box.stats.data_bytes - needed
        box.clear()
        medfetch("get", NAME, "-q")
        assert tree(root) == wanted
        assert not list((root / ".medfetch" / "partial").iterdir())
        return Outcome(kills, needed, before, box.stats.data_bytes - 2 * needed, _zips(box) - 2 * zips)


def _zips(box: Sandbox) -> int:
    """Bytes sent as zips."""
    return sum(entry.sent for entry in box.log if ZIPS in entry.target)


def _one_life(medfetch: Medfetch, box: Sandbox, number: int, moments: random.Random, longest: float) -> None:
    """A third dies anywhere, two thirds once bytes arrive; by turns all of the run, its coordinator, first a worker."""
    process = medfetch.start("get", NAME, "-q")
    try:
        if number % 3:
            sent = box.stats.data_bytes
            _until(lambda: box.stats.data_bytes > sent or process.poll() is not None)
        time.sleep(moments.uniform(0, longest))
        if number % 4 == 3:
            for worker in _children(process)[:1]:
                os.kill(worker, signal.SIGKILL)
            time.sleep(moments.uniform(0, longest))
        process.kill() if number % 2 else os.killpg(process.pid, signal.SIGKILL)
        # Workers have the same standard error: this waits for their end, too.
        out, err = process.communicate(timeout=SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, f"it ended by itself, after {number} kills: {out}{err}"


def _children(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < deadline, f"nothing came within {SECONDS} s"
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rate", type=int, default=60_000, help="bytes a second for each connection")
    options = parser.parse_args()
    amounts = Amounts(small=3000, large=2, large_bytes=128_000_000, archives=20, singly=8, zips=150)
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        outcome = endure(options.kills, amounts, options.rate, Path(name))
    megabytes = [each / 1e6 for each in (outcome.needed, outcome.before, outcome.twice, outcome.zips)]
    print(
        f"{outcome.kills} kills in {time.monotonic() - began:.0f} s, no wrong byte. Of {megabytes[0]:.1f} MB,"
        f" {megabytes[1]:.1f} MB came before the last life. Sent twice: {megabytes[2]:.2f} MB; {megabytes[3]:.2f} MB of"
        f" it as zips that no host can go on with, else {outcome.share:.2%}"
    )
    if outcome.share >= 0.01:
        sys.exit("expected less than 1 % of what can be gone on with")


if __name__ == "__main__":
    main()
