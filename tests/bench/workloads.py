"""What is measured: shapes of data, ways to the server, contenders, and the goals.

It must not know how anything of it is run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.data import MIB, Shape

KIB = 1 << 10
ARIA2 = ("aria2 sha256", "aria2")
PEERS = ("rclone", "wget2", "curl", "s5cmd", *ARIA2, "requests")


@dataclass(frozen=True, slots=True)
class Goal:
    """medfetch's wall time is at most so many times that of another."""

    contender: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    what: str
    shape: Shape
    contenders: tuple[str, ...]
    """Besides medfetch."""
    connections: int = 16
    """Of each peer that can be told."""
    limit_connections: int = 8
    """Of the smallest possible receiver, which is at its best with these on this kind of machine."""
    tls: bool = False
    tmpfs: bool = False
    rate: int = 0
    """Bytes per second that the server gives to one connection; 0: all it can."""
    delay: float = 0.0
    """Seconds that everything is under way, in each direction."""
    goals: tuple[Goal, ...] = field(default=())

    def scaled(self, scale: float) -> Shape:
        """A smaller shape: fewer files, or a smaller single one."""
        if self.shape.count > 1:
            return Shape(max(1, round(self.shape.count * scale)), self.shape.smallest, self.shape.largest)
        return Shape(1, max(1, int(self.shape.smallest * scale)), max(1, int(self.shape.largest * scale)))


SMALL = Shape(20_000, 60 * KIB, 600 * KIB)
MEDIUM = Shape(300, 16 * MIB, 16 * MIB)
LARGE = Shape(1, 4096 * MIB, 4096 * MIB)
FAR = Shape(4_000, 60 * KIB, 600 * KIB)
RATE = 8 * MIB
DELAY = 0.025

WORKLOADS = {
    each.name: each
    for each in (
        Workload("small", "20,000 files of 60–600 KiB", SMALL, ("limit", "medfetch-yaml", *PEERS),
                 goals=(Goal("rclone", 1.0), Goal("wget2", 1.4), Goal("limit", 1.35), Goal("requests", 1 / 3))),
        Workload("tmpfs-small", "20,000 files of 60–600 KiB, onto tmpfs", SMALL,
                 ("limit", "rclone", "wget2", "curl", *ARIA2), tmpfs=True, goals=(Goal("aria2 sha256", 1 / 3),)),
        Workload("tls-small", "20,000 files of 60–600 KiB, over TLS", SMALL, ("limit", *PEERS), tls=True,
                 goals=(Goal("rclone", 1.05),)),
        Workload("medium", "300 files of 16 MiB", MEDIUM, ("limit", *PEERS), goals=(Goal("rclone", 1.05),)),
        Workload("tls-medium", "300 files of 16 MiB, over TLS", MEDIUM, ("limit", *PEERS), tls=True),
        Workload("large", "one file of 4 GiB", LARGE, ("limit", "rclone", "curl", "wget2", "s5cmd", *ARIA2),
                 limit_connections=1, goals=(Goal("rclone", 1.0), Goal("limit", 0.85), Goal("aria2 sha256", 1 / 4.5))),
        Workload("tls-large", "one file of 4 GiB, over TLS", LARGE, ("limit", "rclone", "curl", "s5cmd", *ARIA2),
                 tls=True, limit_connections=1, goals=(Goal("rclone", 1.05),)),
        Workload("throttled", "one file of 4 GiB at 8 MiB/s a connection", LARGE, ("rclone", *ARIA2),
                 rate=RATE, goals=(Goal("floor", 1.03),)),
        Workload("tls-throttled", "one file of 4 GiB at 8 MiB/s a connection, over TLS", LARGE,
                 ("rclone", *ARIA2), tls=True, rate=RATE, goals=(Goal("floor", 1.03),)),
        Workload("far", "4,000 files of 60–600 KiB, 50 ms away", FAR, ("limit", *PEERS), connections=64,
                 limit_connections=64, delay=DELAY, goals=(Goal("limit", 1.08), Goal("rclone", 0.65))),
        Workload("tls-far", "4,000 files of 60–600 KiB, 50 ms away, over TLS", FAR, ("limit", *PEERS),
                 connections=64, limit_connections=64, delay=DELAY, tls=True),
    )
}  # fmt: skip
