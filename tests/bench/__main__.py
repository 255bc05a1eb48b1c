"""``python -m bench``: what is asked for, in turn; tables on standard output, everything in a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import check, disks, report, servers, tools
from bench.contenders import CONTENDERS, Contender, Job
from bench.data import Data, make
from bench.measure import Measured, run
from bench.report import US, Result
from bench.workloads import WORKLOADS, Workload

LONGEST = 900.0
"""Seconds after which a run is killed."""
SUMS = {
    "sha256sum": ("sha256sum", "--quiet", "-c", "sums"),
    "openssl": ("xargs", "-a", "paths", "openssl", "dgst", "-sha256", "-r"),
}
"""What else computes digests, for those who do not; done once, in the first round."""

NewFolder = Callable[[], AbstractContextManager[Path]]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="medfetch and its peers, side by side on this machine.")
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="1: as many files as the goals are about")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, help="only these")
    parser.add_argument("--data", type=Path, default=Path("/dev/shm"), help="where the server's files lie")
    parser.add_argument("--disk", type=Path, help="where the files go; in memory where there is enough")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="the file for all numbers")
    parser.add_argument("--no-install", action="store_true", help="do not install what is missing")
    chosen = parser.parse_args()
    if unknown := set(chosen.workloads) - set(WORKLOADS):
        parser.error(f"no workload {', '.join(sorted(unknown))}; known: {', '.join(WORKLOADS)}")
    return chosen


def main() -> None:
    chosen = options()
    # What is mounted and who was started must go, whoever ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for advice in [] if chosen.no_install else tools.install():
        say(f"missing; some contenders will fail: {advice}")
    if absent := [program for program in ("nginx", "gcc") if not tools.find(program)]:
        sys.exit(f"nothing can be measured without {' and '.join(absent)}")
    about = {"machine": tools.machine(), "scale": chosen.scale, "workloads": {}}
    print("\n".join(f"{name}: {value}" for name, value in about["machine"].items()), flush=True)
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-tools-") as name:
        folder = Path(name)
        tools.compiled("limit", folder, "-lssl", "-lcrypto")
        tools.compiled("link", folder)
        for name in chosen.workloads or WORKLOADS:
            about["workloads"][name] = measure(WORKLOADS[name], chosen, folder)
            chosen.json.write_text(json.dumps(about, indent=1))


def measure(workload: Workload, chosen: argparse.Namespace, compiled: Path) -> dict[str, object]:
    """All rounds of a workload; prints its table."""
    shape = workload.scaled(chosen.scale)
    needed = shape.count * (shape.smallest + shape.largest) // (1 if workload.tmpfs else 2)
    if shutil.disk_usage(chosen.data).free < needed:
        sys.exit(
            f"{chosen.data} has less than {needed / 1e9:.1f} GB free: name another folder with --data, or a --scale"
        )
    disk = chosen.data if workload.tmpfs else chosen.disk or disks.place(needed)
    say(f"{workload.name}: {workload.what}, written to {disk}; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-data-", dir=chosen.data) as name:
        folder = Path(name)
        folder.chmod(0o755)
        data = make(shape, folder / "data")
        (folder / "server").mkdir()
        link = compiled / "link"
        with servers.serving(
            data, folder / "server", tls=workload.tls, link=link, delay=workload.delay, rate=workload.rate
        ) as server:
            results = list(rounds(workload, chosen, disk, data, server, compiled))
    made = report.rows(workload, data.size, results)
    floor = data.size / (workload.connections * workload.rate) if workload.rate else 0.0
    reached = report.goals(workload, made, floor)
    print(f"\n{workload.name}: {workload.what} ({len(data.files):,} files, {data.size / 1e9:.2f} GB)\n")
    print(report.table(made), report.goals_text(reached), sep="\n", flush=True)
    return {
        "files": len(data.files),
        "bytes": data.size,
        "disk": str(disk),
        "floor": floor,
        "goals": reached,
        "rows": [report.as_json(row) for row in made],
        "runs": [report.as_json(result) for result in results],
    }


def rounds(
    workload: Workload, chosen: argparse.Namespace, disk: Path, data: Data, server: servers.Server, compiled: Path
) -> Iterator[Result]:
    names = [name for name in (US, *workload.contenders) if not chosen.contenders or name in chosen.contenders]
    new: NewFolder = partial(disks.folder, chosen.data) if workload.tmpfs else partial(disks.fresh, disk, data.size)
    for number in range(chosen.rounds):
        for name in random.sample(names, len(names)):
            with new() as target, tempfile.TemporaryDirectory(prefix="bench-job-") as scratch:
                job = Job(
                    data, server.origin, server.port, server.authority, workload.connections,
                    workload.limit_connections, bool(workload.rate), target, Path(scratch), compiled,
                )  # fmt: skip
                result = once(workload, CONTENDERS[name], job, server, number)
            said = result.problem or f"{result.wall:.2f} s, {result.memory / 1e6:.0f} MB"
            say(f"  round {number + 1}: {name}: {said}; load {os.getloadavg()[0]:.1f}")
            yield result


def once(workload: Workload, contender: Contender, job: Job, server: servers.Server, number: int) -> Result:
    """One contender, once, and what it left behind checked."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(job.scratch),
        "LC_ALL": "C.UTF-8",
        "TERM": "xterm",
        **contender.environment(job),
    }
    command = contender.command(job)
    server.sent()
    before: Measured | None = None
    blank = Result(workload.name, contender.name, number, contender.verifies, 0, 0, 0, 0, 0, 0)
    try:
        if contender.before:
            before = run(contender.before(job), job.target, environment, LONGEST)
            if before.code:
                return replace(blank, problem=f"in the step before, {failure(before)}")
        measured = run(command, job.target, environment, LONGEST)
    except OSError as error:
        return replace(blank, problem=str(error))
    sent = server.sent()
    result = replace(
        blank, wall=measured.wall, cpu=measured.cpu, memory=measured.memory, sent=sent.bytes, requests=sent.requests,
        connections=sent.connections, before=before.wall if before else None,
    )  # fmt: skip
    folder = job.target / contender.below
    if measured.code:
        return replace(result, problem=failure(measured))
    if problem := check.problem(job.data, folder):
        return replace(result, problem=problem)
    return result if contender.verifies or number else replace(result, sums=sums(job, folder, environment))


def failure(measured: Measured) -> str:
    """In one line."""
    return f"exit {measured.code}: {' '.join(measured.said[-300:].split())}"


def sums(job: Job, folder: Path, environment: dict[str, str]) -> dict[str, tuple[float, float]]:
    """How long it takes to compute the digests of all files afterwards: wall and processor seconds by program."""
    sums = job.write("sums", "".join(f"{file.sha256}  {file.path}\n" for file in job.data.files))
    paths = job.write("paths", "".join(f"{file.path}\n" for file in job.data.files))
    files = {"sums": str(sums), "paths": str(paths)}
    done = {
        name: run([files.get(word, word) for word in command], folder, environment, LONGEST)
        for name, command in SUMS.items()
    }
    return {name: (measured.wall, measured.cpu) for name, measured in done.items() if not measured.code}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
