"""Dask's workers, and how one comes by them: a scheduler that runs already, this machine, or a cluster's scheduler.

What is begun here talks by TLS with certificates of its own: whoever reaches a Dask scheduler could otherwise have it
run what they like, in the name of the person whose log-ins lie there.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medfetch import cache, storage
from medfetch.errors import MedfetchError, Unreachable, UsageProblem

if TYPE_CHECKING:
    from distributed import Client

JOBQUEUE = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
"""Clusters of dask-jobqueue by what they are called here; its settings for them are under the same names."""
NO_REQUEUE = {"slurm": ["--no-requeue"], "pbs": ["-r n"], "sge": ["-r n"]}
"""A worker that is lost is replaced by Dask, not by its scheduler as well."""
CORES, MEMORY = 1, "2 GB"
"""Of each worker's job, where dask-jobqueue is not told otherwise: a worker is one process that mostly waits."""
WORKERS = 4
DASHBOARD = "127.0.0.1:0"
"""Of a scheduler that is begun here: for this machine only, on any port that is free."""
REACH_WITHIN = 30.0
"""Seconds to reach a scheduler that is said to run."""
DEATHS = 100
"""Workers that may be lost over one shard: they are preempted, and the shard goes on from there."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers that are wanted: where, and from ``least`` to ``most`` of them."""

    where: str
    """``local``, a key of JOBQUEUE, or the address of a Dask scheduler."""
    least: int
    most: int
    """Of a scheduler that runs already: by so many workers a rate is shared."""
    cache: Path

    @property
    def hint(self) -> str:
        """Where to look when none comes."""
        if self.where in JOBQUEUE:
            return f"look at the queue, and at the logs in {_folder(self.cache)}"
        return f"does the scheduler {self.where} have any?"


def pool(where: str, workers: str | None, cache_folder: Path) -> Pool:
    """What ``--dask`` and ``--workers`` say.

    Raises: UsageProblem for what cannot be meant, MedfetchError where Dask is not installed.
    """
    needed = ["distributed"] + ["dask_jobqueue"] * (where in JOBQUEUE)
    if missing := [name for name in needed if find_spec(name) is None]:
        raise MedfetchError(f"--dask needs {' and '.join(missing)}", hint='pip install "medfetch[dask]"')
    if where not in ("local", *JOBQUEUE) and not re.fullmatch(r"(?:[a-z]+://)?[^\s/:]+:[0-9]+|[a-z]+://\S+", where):
        raise UsageProblem(
            f"--dask {where!r} is neither local, {', '.join(JOBQUEUE)}, nor an address",
            hint="such as tls://node17:8786, as the scheduler says it when it starts",
        )
    match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", workers or str(WORKERS))
    least, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 <= least <= most or not most:
        raise UsageProblem(f"--workers {workers!r} is neither N nor MIN-MAX", hint="such as --workers 8, or 0-16")
    return Pool(where, least, most, cache_folder)


def _folder(cache_folder: Path) -> Path:
    """For certificates and logs of workers; all nodes see it, as the cache that it is in."""
    return cache_folder / cache.INNER / "dask"


@contextmanager
def opened(wanted: Pool) -> Iterator[Client]:
    """A client of the workers; those that were begun for it end with it.

    Raises: Unreachable, MedfetchError.
    """
    import dask
    import distributed

    # What they have to say of workers that come and go, also while they are begun, is no news here.
    for name in ("asyncio", "tornado", "distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("asyncio", "tornado", "distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    with ExitStack() as rest:
        rest.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}))
        try:
            address: Any = wanted.where
            if wanted.where == "local":
                address = rest.enter_context(_here(wanted))
            elif wanted.where in JOBQUEUE:
                address = rest.enter_context(_on_cluster(wanted))
            yield rest.enter_context(distributed.Client(address, timeout=REACH_WITHIN, set_as_default=False))
        except (OSError, ValueError, RuntimeError) as error:
            # TimeoutError is an OSError; RuntimeError is a scheduler's command that failed.
            what = str(error) or type(error).__name__
            raise Unreachable(f"--dask {wanted.where}: {what}", hint=wanted.hint) from None


def _here(wanted: Pool) -> Any:
    from distributed import LocalCluster

    cluster = LocalCluster(
        n_workers=0, threads_per_worker=1, memory_limit=0, host="127.0.0.1", dashboard_address=DASHBOARD, security=True,
        silence_logs=logging.CRITICAL,
    )  # fmt: skip
    # Python's own helper: to start it takes back, in the thread that does, what is set next.
    resource_tracker.ensure_running()
    cluster.sync(_leave_interrupts)
    if wanted.least < wanted.most:
        cluster.adapt(minimum=wanted.least, maximum=wanted.most)
    else:
        cluster.scale(wanted.most)
    return cluster


async def _leave_interrupts() -> None:
    """In the thread that starts workers, which inherit it: what Ctrl-C means is the coordinator's to say."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _on_cluster(wanted: Pool) -> Any:
    """Workers as jobs. What the person has told dask-jobqueue (~/.config/dask/jobqueue.yaml) goes before."""
    import dask
    import dask_jobqueue

    def told(key: str) -> Any:
        return dask.config.get(f"jobqueue.{wanted.where}.{key}", None)

    folder = _folder(wanted.cache)
    with storage.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    cluster = getattr(dask_jobqueue, JOBQUEUE[wanted.where])(
        cores=told("cores") or CORES,
        processes=told("processes") or 1,
        memory=told("memory") or MEMORY,
        # By exec: a child of the batch shell would be killed at once where it should be told to end.
        python=told("python") or f"exec {sys.executable}",
        job_extra_directives=[*NO_REQUEUE.get(wanted.where, []), *(told("job-extra-directives") or [])],
        log_directory=told("log-directory") or str(folder),
        shared_temp_directory=told("shared-temp-directory") or str(folder),
        scheduler_options={"dashboard_address": DASHBOARD, **(told("scheduler-options") or {})},
        job_name=f"medfetch-{wanted.where}",
        security=True,
        silence_logs=logging.CRITICAL,
    )
    # Also where their number is fixed: one that is lost is then replaced.
    cluster.adapt(minimum_jobs=wanted.least, maximum_jobs=wanted.most)
    return cluster
