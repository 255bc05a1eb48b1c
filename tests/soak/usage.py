"""Memory and descriptors of a process and its descendants, sampled, and whether they stay flat. Linux only.

It must not know what the processes do.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
WARM_UP = 0.1
"""Share of the samples that come before anything is compared."""
GROWTH = 1.10
"""The last third may be so many times the first."""


@dataclass(frozen=True)
class Sample:
    seconds: float
    memory: int
    """Resident bytes."""
    descriptors: int


@dataclass
class Watch:
    """Samples a process once a second, with all its descendants or alone."""

    pid: int
    tree: bool
    samples: list[Sample] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._sample, daemon=True).start()

    def stop(self) -> None:
        self._over.set()

    def _sample(self) -> None:
        began = time.monotonic()
        while not self._over.wait(1):
            pids = _descendants(self.pid) if self.tree else [self.pid]
            memory = descriptors = 0
            for pid in pids:
                with suppress(OSError):  # it ended meanwhile
                    memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                    descriptors += len(os.listdir(f"/proc/{pid}/fd"))
            if memory:
                self.samples.append(Sample(time.monotonic() - began, memory, descriptors))


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{each}/task"):
                found += map(int, Path(f"/proc/{each}/task/{task}/children").read_text().split())
    return found


def flat(what: str, samples: list[Sample]) -> bool:
    """Says how memory and descriptors developed, and whether both stayed flat: medians of the first and last third."""
    steady = samples[int(len(samples) * WARM_UP) :]
    third = len(steady) // 3
    if third < 5:
        print(f"{what}: {len(samples)} samples are too few to tell")
        return False
    good = True
    times = [each.seconds for each in steady]
    for name, unit, values in (
        ("memory", "MB", [each.memory / 1e6 for each in steady]),
        ("descriptors", "", [float(each.descriptors) for each in steady]),
    ):
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        slope = statistics.linear_regression(times, values).slope * 60
        fits = last <= first * GROWTH
        good &= fits
        print(
            f"{what}: {name} {first:.1f} {unit} in the first third, {last:.1f} in the last, most {max(values):.1f},"
            f" {slope:+.3f} a minute{'' if fits else ': IT GROWS'}"
        )
    return good
