"""``medfetch cluster script``: what it writes is what schedulers read, and its jobs fetch and verify the dataset."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from datasets import http, sha256, tree, write_recipe
from running import Run

from medfetch import forecast, planning
from medfetch.cache import Home
from medfetch.cli import group
from medfetch.sandbox import Sandbox
from medfetch.types import RemoteFile, Selection

NAME = "scans"
ROOT = Path(__file__).parents[1]
SHELL = ("slurm", "pbs", *(pytest.param(name, marks=pytest.mark.long) for name in ("lsf", "sge")))
JOB = re.compile(r"<<'JOB'[^\n]*\n(.*?)^JOB$", re.DOTALL | re.MULTILINE)
SUBMITTER = """#!/bin/bash
# Stands in for a scheduler's command: notes its arguments and the job that it is given.
number=$(($(cat "$NOTES/count" 2>/dev/null || echo 0) + 1))
echo "$number" >"$NOTES/count"
printf '%s\\n' "$@" >"$NOTES/$number.arguments"
cat >"$NOTES/$number.job"
echo "{answer}"
"""
COMMANDS = {
    "slurm": ("sbatch", "17", "--dependency=afterany:17"),
    "pbs": ("qsub", "17[].host", "depend=afterany:17[].host"),
    "lsf": ("bsub", "Job <17> is submitted to queue <normal>.", "ended(17)"),
    "sge": ("qsub", "17.1-2:1", "17"),
}
"""Of each scheduler: its command, what that answers, and how the second job must name the first."""
FIRST_TASK = {
    "slurm": {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "2"},
    "pbs": {"PBS_ARRAY_INDEX": "0", "PBS_O_WORKDIR": "/"},
    "lsf": {"LSB_JOBID": "17", "LSB_JOBINDEX": "1", "LSB_JOBINDEX_END": "2"},
    "sge": {"JOB_ID": "17", "SGE_TASK_ID": "1", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "2", "SGE_TASK_STEPSIZE": "1"},
}


@pytest.fixture
def wanted(home: Path, box: Sandbox) -> dict[str, str]:
    """A dataset: SHA-256 by path."""
    files = []
    for number in range(3):
        url = f"https://host.example/{number}.bin"
        files.append({"path": f"{number}.bin", "url": url, "size": 1000, "sha256": sha256(box.put(url, size=1000))})
    write_recipe(home, NAME, parts={"all": {"routes": http(*files)}})
    return {each["path"]: each["sha256"] for each in files}


def job(run: Run, script: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs one job as a node would: with the scheduler's variables and little else."""
    kept = {name: run.environment[name] for name in ("PATH", "HOME", "MEDFETCH_BACKOFF")}  # type: ignore[attr-defined]
    return subprocess.run(
        ["bash"], input=script, env={**kept, **more}, cwd=cwd, capture_output=True, text=True, timeout=100
    )


def checked(script: str) -> None:
    """By the shell itself, and by shellcheck where it is there."""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    if shutil.which("shellcheck"):
        done = subprocess.run(
            ["shellcheck", "-S", "warning", "-s", "bash", "-"], input=script, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("scheduler", SHELL)
def test_its_jobs_fetch_and_verify(
    run: Run, home: Path, tmp_path: Path, wanted: dict[str, str], cache: Path, scheduler: str
) -> None:
    file = tmp_path / "job.sh"
    told = run("cluster", "script", NAME, "--scheduler", scheduler, "--tasks", "2", "--queue", "dtn", "-o", file)
    assert f"bash {file}" in told.out
    script = file.read_text()
    checked(script)
    array, verify = JOB.findall(script)
    checked(array), checked(verify)
    # A Python that is a child of the batch shell would not be told that its time is up.
    assert re.fullmatch(r"exec medfetch get scans --shard auto(/2)?", array.splitlines()[-1])

    command, answer, dependency = COMMANDS[scheduler]
    bin_, notes = tmp_path / "bin", tmp_path / "notes"
    bin_.mkdir(), notes.mkdir()
    (bin_ / command).write_text(SUBMITTER.replace("{answer}", answer))
    (bin_ / command).chmod(0o755)
    path = f"{bin_}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(file)], env={"PATH": path, "NOTES": str(notes)}, capture_output=True, text=True, check=True
    )
    assert "medfetch status scans" in done.stdout
    assert dependency in (notes / "2.arguments").read_text().splitlines()
    assert [(notes / f"{number}.job").read_text() for number in (1, 2)] == [array, verify]

    task = job(run, array, home, **FIRST_TASK[scheduler])
    assert task.returncode == 0, task.stderr
    assert tree(cache / NAME / "current") == wanted
    after = job(run, verify, home, PBS_O_WORKDIR="/")
    assert after.returncode == 0, after.stderr
    assert "3 files, 0 bad" in after.stdout


def test_the_last_job_says_what_is_missing(run: Run, home: Path, wanted: dict[str, str]) -> None:
    _, verify = JOB.findall(run("cluster", "script", NAME, "--scheduler", "slurm").out)
    done = job(run, verify, home)
    assert done.returncode == 6 and "not complete" in done.stderr
    assert "3 of 3 series or files missing" in done.stdout


def test_what_slurm_is_told(run: Run, wanted: dict[str, str], cache: Path) -> None:
    script = run(
        "cluster", "script", NAME, "--scheduler", "slurm", "--tasks", "3", "--partition", "dtn", "--account", "lab7",
        "--time", "2:30", "--jobs", "5", "--select", "path=1*,2.bin",
    ).out  # fmt: skip
    lines = script.splitlines()
    for line in (
        "#SBATCH --array=0-2%3", "#SBATCH --partition=dtn", "#SBATCH --account=lab7", "#SBATCH --time=02:30:00",
        "#SBATCH --requeue --open-mode=append", "#SBATCH --signal=B:USR1@120", f"export MEDFETCH_CACHE={cache}",
    ):  # fmt: skip
        assert line in lines
    assert "exec medfetch get scans '--select=path=1*,2.bin' --jobs=5 --shard auto" in lines


def test_what_a_person_may_have_to_add_is_there(run: Run, wanted: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{NAME}\n")
    script = run("cluster", "script", "-r", tmp_path / "list.txt", "--scheduler", "pbs").out
    checked(script)
    # Not read by PBS as they are.
    assert {"##PBS -q NAME", "##PBS -A NAME"} < set(script.splitlines())
    assert "# Change this, unless all nodes see the folder of the cache." in script.splitlines()
    # Where one dataset lacks a file, the others of the list are fetched all the same.
    assert f"exec medfetch get -r {tmp_path}/list.txt --keep-going --shard 0/1" in script.splitlines()


def test_kubernetes_gets_a_claim_and_two_jobs(run: Run, home: Path, wanted: dict[str, str], cache: Path) -> None:
    text = run("cluster", "script", NAME, "--scheduler", "k8s", "--tasks", "2").out
    claim, get, verify = yaml.safe_load_all(text)
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert re.fullmatch("[0-9]+Gi", claim["spec"]["resources"]["requests"]["storage"])
    assert get["spec"]["completionMode"] == "Indexed"
    assert (get["spec"]["completions"], get["spec"]["parallelism"]) == (2, 2)
    assert verify["spec"]["suspend"] is True
    for each in (get, verify):
        assert (each["apiVersion"], each["kind"]) == ("batch/v1", "Job")
        assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", each["metadata"]["name"])
        pod = each["spec"]["template"]["spec"]
        # A Job's pods may not restart always, which is what they would do if nothing was said.
        assert pod["restartPolicy"] == "Never"
        (container,) = pod["containers"]
        assert container["name"] and container["image"]
        (mount,), (volume,) = container["volumeMounts"], pod["volumes"]
        assert mount["name"] == volume["name"]
        assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
        assert {"name": "MEDFETCH_CACHE", "value": mount["mountPath"]} in container["env"]
        values = {each["name"]: each["value"] for each in container["env"]} | {"MEDFETCH_CACHE": str(cache)}
        # What its container would run, as it would be told.
        environment = {**run.environment, **values, "JOB_COMPLETION_INDEX": "1"}  # type: ignore[attr-defined]
        command = shlex.join(container["command"])
        path = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
        done = subprocess.run(["sh", "-c", f"{path} {command}"], env=environment, cwd=home, capture_output=True)
        assert done.returncode == 0, done.stderr
    assert tree(cache / NAME / "current") == wanted


@pytest.mark.long
def test_kubernetes_would_take_it(run: Run, wanted: dict[str, str], tmp_path: Path) -> None:
    if not shutil.which("kubernetes-validate"):
        pytest.skip("needs Kubernetes's schemas: pip install kubernetes-validate")
    run("cluster", "script", NAME, "--scheduler", "k8s", "-o", tmp_path / "fetch.yaml")
    done = subprocess.run(
        ["kubernetes-validate", "--strict", tmp_path / "fetch.yaml"], capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("passed for resource") == 3


class Stage:
    """Where the commands of a page are run as they are written, with a stand-in for the scheduler's."""

    def __init__(self, run: Run, folder: Path, command: str) -> None:
        bin_, self.notes = folder / "bin", folder / "notes"
        bin_.mkdir(), self.notes.mkdir()
        (bin_ / command).write_text(SUBMITTER.replace("{answer}", "17[].host"))
        (bin_ / "medfetch").write_text(f'#!/bin/sh\nexec {sys.executable} -m medfetch "$@"\n')
        for each in bin_.iterdir():
            each.chmod(0o755)
        path = {"PATH": f"{bin_}:{os.environ['PATH']}", "NOTES": str(self.notes)}
        self.environment = {**run.environment, **path}  # type: ignore[attr-defined]

    def play(self, page: str, folder: Path) -> str:
        """Its examples, in that folder; what was said."""
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        examples = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        done = subprocess.run(
            ["bash", "-euc", "".join(examples)], env=self.environment, cwd=folder, stdin=subprocess.DEVNULL, text=True,
            capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def told(self, number: int) -> list[str]:
        return (self.notes / f"{number}.arguments").read_text().splitlines()


@pytest.mark.long
def test_the_page_on_pbs_as_written(run: Run, home: Path, tmp_path: Path) -> None:
    stage = Stage(run, tmp_path, "qsub")
    said = stage.play("pbs.md", home)
    jobs = [(stage.notes / f"{number}.job").read_text() for number in (1, 2)]
    assert jobs == JOB.findall((home / "fetch.sh").read_text())
    assert {"#PBS -q dtn", "#PBS -A lab7", "#PBS -l walltime=12:00:00"} < set(jobs[0].splitlines())
    assert "submitted 17[].host" in said and "images, everything: planned" in said


@pytest.mark.long
def test_the_page_on_kubernetes_as_written(run: Run, home: Path, tmp_path: Path) -> None:
    stage = Stage(run, tmp_path, "kubectl")
    stage.play("kubernetes.md", home)
    _, get, verify = yaml.safe_load_all((home / "fetch.yaml").read_text())
    apply, wait, patch, logs = map(stage.told, range(1, 5))
    assert apply == ["apply", "-f", "fetch.yaml"]
    assert wait[0] == "wait" and wait[-1] == f"job/{get['metadata']['name']}"
    assert patch[0] == "patch" and patch[1] == logs[1] == f"job/{verify['metadata']['name']}"
    assert json.loads(patch[-1])["spec"].items() <= {"suspend": not verify["spec"]["suspend"]}.items()


def test_it_says_when_more_nodes_are_pointless(run: Run, wanted: dict[str, str]) -> None:
    ran = run("cluster", "script", NAME, "--scheduler", "slurm")
    assert "http allows 8 connections a site: one node is enough" in ran.err
    assert "one node is enough" in ran.out
    assert "#SBATCH --array=0-0%1" in ran.out
    assert "2.0 MB/s each, a guess" in ran.out
    told = json.loads(run("cluster", "script", NAME, "--scheduler", "slurm", "--json").out)
    assert (told["tasks"], told["at_once"], told["seconds"]) == (1, 1, 3600)


def test_the_time_comes_from_what_is_known_of_a_host(tmp_path: Path) -> None:
    # PhysioNet's site, and its mirror at Amazon, which bears more.
    site, mirror = "https://physionet.org/files/a/1.0/x", "https://physionet-open.s3.amazonaws.com/a/1.0/x"
    plans = [
        planning.build(
            Home(tmp_path / name), name, [("all", RemoteFile("x", "x", (url,), 36_000_000))], Selection(),
            header=lambda: {"routes": {"all": [{"source": "physionet", "locator": {"project": "a"}}]}},
            make_way=lambda: None,
        )
        for name, url in (("site", site), ("mirror", mirror))
    ]  # fmt: skip
    slow, fast = forecast.loads(plans)
    assert (slow.connections, slow.rate, slow.known, slow.seconds) == (8, 45_000, True, 100.0)
    assert (fast.connections, fast.rate, fast.known) == (32, forecast.GUESS, False)
    assert forecast.useful([slow]) == 1 and forecast.useful([slow, fast]) == 4


def test_a_long_download_is_a_chain_of_tasks(run: Run, home: Path, wanted: dict[str, str]) -> None:
    # 2.88 TB by 8 connections at 2 MB/s each: 50 hours, and 75 to be sure.
    file = {"path": "a", "url": "https://host.example/a", "size": 2_880_000_000_000}
    write_recipe(home, "long", parts={"all": {"routes": http(file)}})
    script = run("cluster", "script", "long", "--scheduler", "slurm").out
    assert "Expected, if that is so: 50 hours" in script
    assert "#SBATCH --array=0-3%1" in script and "#SBATCH --time=24:00:00" in script
    assert "#SBATCH --array=0-14%1" in run("cluster", "script", "long", "--scheduler", "slurm", "--time", "5").out


def test_names_are_only_names(run: Run, home: Path, tmp_path: Path, wanted: dict[str, str], cache: Path) -> None:
    recipe = home / f"{NAME}.yaml"
    odd = home / "my $(touch broken) 'scans'\".yaml"
    odd.write_text(recipe.read_text())
    script = run("cluster", "script", odd.name, "--scheduler", "slurm").out
    checked(script)
    array, _ = JOB.findall(script)
    assert job(run, array, tmp_path, **FIRST_TASK["slurm"]).returncode == 0
    assert tree(cache / NAME / "current") == wanted
    assert not list(tmp_path.rglob("broken"))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([NAME], 2, "Missing option '--scheduler'"),
        ([NAME, "--scheduler", "cron"], 2, "'cron' is not one of"),
        (["--scheduler", "slurm"], 2, "no dataset was named"),
        ([NAME, "--scheduler", "slurm", "--time", "0:01"], 2, "five minutes or more"),
        ([NAME, "--scheduler", "slurm", "--time", "soon"], 2, "is not HOURS[:MINUTES]"),
        ([NAME, "--scheduler", "slurm", "--sandbox"], 2, "a job script is for the real hosts"),
        ([NAME, "--scheduler", "slurm", "-o", "/dev/null/x"], 1, "/dev/null/x cannot be written"),
    ],
)
def test_bad_input(run: Run, wanted: dict[str, str], arguments: list[str], code: int, said: str) -> None:
    # In this process, for so many starts take their time.
    went = CliRunner().invoke(group, ["cluster", "script", *arguments], env=run.environment)  # type: ignore[attr-defined]
    assert went.exit_code == code and said in went.output
