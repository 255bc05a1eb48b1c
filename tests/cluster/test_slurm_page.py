"""The page on Slurm, as it is written, on a real one; its tasks are killed, parked and requeued on the way."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from datasets import of_subject, tree
from lab import INSTANCE, Box, Slurm, at_work, until
from running import Medfetch

from medfetch import cache, presence

PAGE = (Path(__file__).parents[2] / "docs" / "slurm.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
"""By their language; the commands have none."""
SUBJECTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0002")
FOUR = (*SUBJECTS, "LIDC-IDRI-0003", "LIDC-IDRI-0004")
SLOW = {"match": r"\.dcm$", "rate": 4_000, "times": None}


def wanted(*subjects: str) -> dict[str, str]:
    return {name: digest for subject in subjects for name, digest in of_subject(subject, INSTANCE).items()}


def test_a_script_fetches_what_one_machine_would(slurm: Slurm, box: Box, medfetch: Medfetch, tmp_path: Path) -> None:
    on_cluster = Slurm(medfetch.environment)
    said = on_cluster("bash", "-euc", f"cd {tmp_path}\n{BLOCKS['']}")
    verify = re.findall(r"^(?:Submitted batch job|submitted) ([0-9]+)", said, re.MULTILINE)[0]
    until(lambda: not on_cluster.queue(), "both jobs are through")
    assert (
        f"{len(wanted(*SUBJECTS))} files, 0 bad" in (tmp_path / f"medfetch-lidc-idri-verify-{verify}.log").read_text()
    )
    assert tree(cache.home(tmp_path / "cache", "lidc-idri", None).root) == wanted(*SUBJECTS)
    assert box.most_connections <= 64


@pytest.mark.long
def test_a_script_survives_what_befalls_its_tasks(slurm: Slurm, box: Box, medfetch: Medfetch, tmp_path: Path) -> None:
    on_cluster = Slurm(medfetch.environment)
    home = cache.home(tmp_path / "cache", "lidc-idri", None)
    box.ask("POST", "__faults", SLOW)
    # As many large series as there are tasks: each has something to do for long.
    page = BLOCKS[""].replace(",".join(SUBJECTS), ",".join(FOUR))
    assert page != BLOCKS[""]
    said = on_cluster("bash", "-euc", f"cd {tmp_path}\n{page}")
    verify, array = re.findall(r"^(?:Submitted batch job|submitted) ([0-9]+)", said, re.MULTILINE)
    until(lambda: len(at_work(home)) == 4, "all tasks at work")
    killed, parked, requeued, left = sorted(tasks := at_work(home))
    os.kill(tasks[killed].said["pid"], signal.SIGKILL)
    # As --signal=B: does before the time is up.
    on_cluster("scancel", "--batch", "--signal=USR1", parked)
    on_cluster("scontrol", "requeue", requeued)
    until(lambda: at_work(home).keys() <= {requeued, left}, "two are gone")
    box.ask("DELETE", "__faults")
    until(lambda: not on_cluster.queue(), "both jobs are through")

    def log(job: str) -> str:
        return (tmp_path / f"medfetch-lidc-idri-{job}.log").read_text()

    assert f"{len(wanted(*FOUR))} files, 0 bad" in log(f"verify-{verify}")
    assert tree(home.root) == wanted(*FOUR)
    assert "stopped by SIGUSR1" in log(parked) and "stopped by SIGTERM" in log(requeued)
    # What was said first is kept, and it said its first word again.
    assert len(re.findall("^lidc-idri: ", log(requeued), re.MULTILINE)) >= 2
    assert box.most_connections <= 64
    assert {each.partition("_")[0] for each in tasks} == {array}


@pytest.mark.long
def test_a_job_whose_time_is_up_starts_itself_again(slurm: Slurm, box: Box, medfetch: Medfetch, tmp_path: Path) -> None:
    on_cluster = Slurm(medfetch.environment)
    home = cache.home(tmp_path / "cache", "lidc-idri", None)
    script = BLOCKS["bash"].replace("medfetch get lidc-idri", f"medfetch get lidc-idri --select subject={SUBJECTS[0]}")
    assert script != BLOCKS["bash"]
    box.ask("POST", "__faults", SLOW)
    job = on_cluster("sbatch", "--parsable", f"--chdir={tmp_path}", "--time=10", give=script)
    until(lambda: bool(presence.runs(home)), "it is at work")
    on_cluster("scancel", "--batch", "--signal=USR1", job)
    until(lambda: not presence.runs(home), "it has parked")
    box.ask("DELETE", "__faults")
    until(lambda: not on_cluster.queue(), "it is through")
    log = (tmp_path / f"slurm-{job}.out").read_text()
    assert "stopped by SIGUSR1" in log and "lidc-idri: complete" in log
    assert tree(home.root) == wanted(SUBJECTS[0])
