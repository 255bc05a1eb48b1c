"""Mixed datasets for a long time, against a host with 2 % of every fault: no wrong byte, memory and descriptors flat.

    make soak MINUTES=30

Two clients at once: one fetches the mixed dataset again and again within one process (what leaks from run to run?),
the other one large dataset in a single run that is ended when the time is over (what leaks in its workers?).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datasets import http, sha256, tree, write_recipe

from medfetch.sandbox import Fault, Sandbox
from soak.kills import environment
from soak.mixed import CAP, Amounts, put
from soak.usage import Watch, flat

CHANCE = 0.02
DATA = r"/http/(?!steady)|\.dcm$|getImageWithMD5Hash"
"""What has a published checksum; without one nobody can tell wrong bytes of the right length."""
RATE = 1_500_000
"""Bytes a second of the single long run."""
STEADY = 40_000
"""Bytes of each of its files, on average."""

WRONG: list[dict[str, object]] = [{"corrupt": 1000}, {"changed": True}, {"rotate": 7}]
BROKEN: list[dict[str, object]] = [
    {"cut": 9000},
    {"cut": 5000, "reset": True},
    {"refuse": True},
    {"stall": 3.0},
    {"pause": 3.0},
    {"status": 503},
    {"status": 500},
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"asked": ""},
    {"asked": "bytes=0-"},
    {"weak": True},
    {"drop": ("Content-Length",)},
    {"chunked": True},
    {"http10": True},
]


def faults() -> list[Fault]:
    made = [Fault(match=DATA, chance=CHANCE, seed=seed, times=None, **each) for seed, each in enumerate(WRONG)]  # type: ignore[arg-type]
    made += [Fault(chance=CHANCE, seed=100 + seed, times=None, **each) for seed, each in enumerate(BROKEN)]  # type: ignore[arg-type]
    return made


def steady(box: Sandbox, folder: Path, minutes: float) -> dict[str, str]:
    """A dataset that takes at least so long; SHA-256 by path."""
    wanted = {}
    count = int(minutes * 60 * RATE / STEADY)
    for number in range(count):
        data = box.put(f"https://steady.example/{number}.bin", size=1 + 2 * STEADY * (number % 100) // 99)
        wanted[f"{number}.bin"] = sha256(data)
    file = {"path": "{n}.bin", "url": "https://steady.example/{n}.bin", "range": [0, count - 1]}
    write_recipe(folder, "steady", parts={"all": {"routes": http(file)}})
    return wanted


def soak(minutes: float, folder: Path) -> bool:
    """Whether all went well; says how it went."""
    with Sandbox(max_instance_bytes=CAP) as box:
        mixed = put(box, folder, Amounts(small=600, large=1, large_bytes=80_000_000, archives=4, singly=3, zips=30))
        long = steady(box, folder, minutes)
        box.add(*faults())
        around = {**os.environ, **environment(folder, box, MEDFETCH_PATIENCE="2", MEDFETCH_TRIES="12")}
        around["PYTHONPATH"] = os.pathsep.join(sys.path)
        (folder / "long.log").touch()
        with (
            (folder / "long.log").open("w") as log,
            subprocess.Popen(
                [sys.executable, "-m", "soak.client", str(folder)],
                env=around, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            ) as client,
            subprocess.Popen(
                [sys.executable, "-m", "medfetch", "get", "steady", "--json", "--limit-rate", str(RATE)],
                env=around, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            ) as single,
        ):  # fmt: skip
            watches = [Watch(client.pid, tree=False), Watch(single.pid, tree=True)]
            for watch in watches:
                watch.start()
            good = _rounds(client, mixed, minutes)
            for watch in watches:
                watch.stop()
            client.kill()
            single.terminate()
            code = single.wait()
        if code not in (0, 143):
            print((folder / "long.log").read_text()[-1000:])
        found = tree(folder / "cache/steady/current")
        wrong = found.items() - long.items()
        print(f"the single run ended with {code}: {len(found)} of {len(long)} files here, {len(wrong)} of them wrong")
        good &= code in (0, 143) and not wrong
        stats = box.stats
        print(f"the host answered {stats.requests} requests with {stats.bytes / 1e6:.0f} MB")
    good &= flat("the process of many runs", watches[0].samples)
    good &= flat("the processes of one long run", watches[1].samples)
    return good


def _rounds(client: subprocess.Popen[str], wanted: dict[str, str], minutes: float) -> bool:
    """Compares the tree of each round, until the time is over."""
    assert client.stdin and client.stdout
    ends, number, good = time.monotonic() + minutes * 60, 0, True
    while time.monotonic() < ends and (line := client.stdout.readline()):
        number += 1
        told = json.loads(line)
        found = tree(Path(told["path"]))
        print(f"round {number}: {told['seconds']:.1f} s, {len(found)} files", *told["again"], sep="; ", flush=True)
        if found != wanted:
            wrong = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
            print(f"  wrong or missing: {len(wrong)}: {wrong[:5]}")
            good = False
        client.stdin.write("\n")
        client.stdin.flush()
    if client.poll() is not None:
        print(f"the client ended by itself with {client.returncode}")
        good = False
    return good


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        good = soak(parser.parse_args().minutes, Path(name))
    print("all is well" if good else "not all is well")
    sys.exit(not good)


if __name__ == "__main__":
    main()
