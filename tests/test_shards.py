"""Tasks of a job array on one cache: each its share, then what others leave; whoever is last writes the receipt."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import http, sha256, tree, write_recipe
from running import Run
from test_kill import children, only_right, runs, until

from medfetch import shares
from medfetch.errors import UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.shares import Share

NAME = "scans"
FILES, SIZE = 120, 50_000
CAP = 8
"""Connections that a host of plain addresses is given at the most; four tasks would like twice as many."""
SLOW = Fault(match=r"\.bin$", rate=100_000, times=None)
FINE_SHARDS = "import medfetch.planning as planning\nplanning.SHARD_FILES, planning.SMALLEST = 8, 1\n"
OTHER_MACHINES = """
import os, platform
import medfetch.leases as leases
platform.node = lambda: os.environ.get("NODE", "node")
leases.HEARTBEAT, leases.STALE = 0.3, 2.5
"""
"""Tasks on machines that cannot look at each other's processes; a dead one is known by its silence."""
NO_LOCKS = """
import fcntl
import medfetch.storage as storage, medfetch.database as database
storage.is_network = database.is_network = lambda path: True
"""
"""Their cache lies on a file system whose locks are not to be trusted."""


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


@pytest.fixture
def wanted(home: Path, box: Sandbox) -> dict[str, str]:
    """A dataset of many small shards: SHA-256 by path."""
    (home / "sitecustomize.py").write_text(FINE_SHARDS)
    return put(home, box)


def put(home: Path, box: Sandbox, count: int = FILES) -> dict[str, str]:
    files = []
    for number in range(count):
        url = f"https://host{number % 4}.example/{number:03d}.bin"
        digest = sha256(box.put(url, size=SIZE))
        files.append({"path": f"{number:03d}.bin", "url": url, "size": SIZE, "sha256": digest})
    write_recipe(home, NAME, parts={"all": {"routes": http(*files)}})
    return {each["path"]: each["sha256"] for each in files}


def task(run: Run, home: Path, number: int, of: int, **more: str) -> subprocess.Popen[str]:
    settings = {"PYTHONPATH": str(home), "MEDFETCH_PROCESSES": "1", "MEDFETCH_JOBS": "4", "NODE": f"n{number % 4}"}
    return run.start("get", NAME, "--shard", f"{number}/{of}", "--json", **{**settings, **more})


def ended(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, object]], str]:
    out, err = process.communicate(timeout=100)
    assert "Traceback" not in err, err
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def at_work(tasks: dict[int, subprocess.Popen[str]]) -> list[int]:
    return [number for number, process in tasks.items() if process.poll() is None]


def root(cache: Path) -> Path:
    return cache / NAME / "current"


# -- what is told of a task --------------------------------------------------------------------------------------


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in [*os.environ]:
        if name.startswith(("SLURM_", "PBS_", "LSB_", "SGE_", "JOB_")):
            monkeypatch.delenv(name)
    yield monkeypatch


@pytest.mark.parametrize(
    ("text", "variables", "share"),
    [
        ("0/1", {}, Share(0, 1)),
        ("7/8", {"PBS_JOBID": "5.host"}, Share(7, 8, "5.host")),
        ("7/8", {"JOB_ID": "3", "SGE_TASK_ID": "undefined"}, Share(7, 8, "3")),
        (
            "auto",
            {
                "SLURM_JOB_ID": "20",
                "SLURM_ARRAY_JOB_ID": "17",
                "SLURM_ARRAY_TASK_ID": "5",
                "SLURM_ARRAY_TASK_COUNT": "4",
                "SLURM_ARRAY_TASK_MIN": "1",
                "SLURM_ARRAY_TASK_STEP": "2",
            },
            Share(2, 4, "17_5"),
        ),
        (
            "auto/4",
            {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "3"},
            Share(1, 4, "17_9"),
        ),
        ("auto/4", {"PBS_ARRAY_INDEX": "4", "PBS_JOBID": "6[4].host"}, Share(0, 4, "6[4].host")),
        ("auto/4", {"PBS_ARRAYID": "3"}, Share(3, 4)),
        ("auto", {"LSB_JOBINDEX": "3", "LSB_JOBINDEX_END": "6", "LSB_JOBID": "9"}, Share(2, 6, "9[3]")),
        (
            "auto",
            {
                "JOB_ID": "8",
                "SGE_TASK_ID": "5",
                "SGE_TASK_FIRST": "1",
                "SGE_TASK_LAST": "8",
                "SGE_TASK_STEPSIZE": "2",
            },
            Share(2, 4, "8.5"),
        ),
        ("auto/8", {"JOB_COMPLETION_INDEX": "7"}, Share(7, 8)),
    ],
)
def test_a_share_is_what_the_scheduler_tells(
    text: str, variables: dict[str, str], share: Share, told: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        told.setenv(name, value)
    assert shares.parse(text) == share


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("", {}),
        ("3", {}),
        ("8/8", {}),
        ("-1/8", {}),
        ("0/0", {}),
        ("auto/0", {"JOB_COMPLETION_INDEX": "0"}),
        ("auto", {}),
        ("auto", {"JOB_COMPLETION_INDEX": "0"}),
        ("auto", {"PBS_ARRAY_INDEX": "1"}),
        ("auto", {"LSB_JOBINDEX": "0", "LSB_JOBINDEX_END": "0"}),
        ("auto", {"SGE_TASK_ID": "undefined", "JOB_ID": "3"}),
    ],
)
def test_what_is_no_share_is_refused(text: str, variables: dict[str, str], told: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        told.setenv(name, value)
    with pytest.raises(UsageProblem, match="--shard"):
        shares.parse(text)


def test_shares_have_about_the_same_work() -> None:
    draw = random.Random(1)
    sizes = [(draw.randint(1, 500), draw.randint(0, 10**9)) for _ in range(200)]
    owners = shares.cut(sizes, 8)
    loads = [
        sum(size + files * shares.PER_FILE for own, (files, size) in zip(owners, sizes, strict=True) if own == share)
        for share in range(8)
    ]
    assert set(owners) == set(range(8))
    assert max(loads) < 1.05 * min(loads)
    assert shares.cut(sizes[:3], 8) != [0, 0, 0]


# -- side by side ------------------------------------------------------------------------------------------------


def test_tasks_share_the_work_and_the_last_writes_the_receipt(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str]
) -> None:
    single = run("get", NAME, "--json", "--cache", cache.with_name("alone")).last
    sent = box.stats.data_bytes
    box.add(SLOW)
    tasks = [task(run, home, number, 4) for number in range(4)]
    outcomes = [ended(process) for process in tasks]
    assert [code for code, _, _ in outcomes] == [0] * 4, outcomes
    receipts = [events[-1] for _, events, _ in outcomes if events[-1]["event"] == "receipt"]
    assert receipts
    assert {receipt["tree"] for receipt in receipts} == {single["tree"]}
    for _, events, _ in outcomes:
        assert events[-1]["event"] == "receipt" or events[-1]["at_work"], events[-1]
    # All have worked, and nothing was fetched twice.
    assert box.stats.data_bytes - sent == FILES * SIZE
    assert all(any(event["event"] in ("progress", "start") for event in events) for _, events, _ in outcomes)
    assert tree(root(cache)) == wanted
    inner = root(cache) / ".medfetch"
    left = [path for folder in ("tasks", "partial") for path in (inner / folder).iterdir()]
    assert [*left, *inner.glob("**/*.lease")] == []
    asked = box.stats.requests
    assert run("get", NAME, "--json").last["tree"] == single["tree"]
    assert ended(task(run, home, 2, 4))[1][-1]["tree"] == single["tree"]
    assert box.stats.requests == asked


MODES = {"one machine": "", "other machines": OTHER_MACHINES, "no locks": OTHER_MACHINES + NO_LOCKS}


@pytest.mark.parametrize(
    "mode",
    ["one machine", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("other machines", "no locks"))],
)
def test_tasks_that_are_killed_are_taken_over(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str], mode: str
) -> None:
    (home / "sitecustomize.py").write_text(FINE_SHARDS + MODES[mode])
    box.add(SLOW)
    draw = random.Random(20_261_129)
    tasks = {number: task(run, home, number, 4) for number in range(4)}
    here, orphans = 0, []
    for number in range(6):
        sent = box.stats.data_bytes
        # Fewer may be left than that.
        until(lambda sent=sent: box.stats.data_bytes > sent + 300_000 or not at_work(tasks), "bytes, or the end")
        time.sleep(draw.uniform(0, 0.3))
        victim = draw.choice(at_work(tasks) or [0])
        orphans += children(tasks[victim])
        # By turns all of a task, or its coordinator only.
        tasks[victim].kill() if number % 2 else os.killpg(tasks[victim].pid, signal.SIGKILL)
        tasks[victim].communicate(timeout=60)
        found = only_right(root(cache), wanted)
        assert found >= here
        here = found
        # Three of them run again, once even twice at the same time; others help.
        if number % 2 == 0:
            tasks[victim] = task(run, home, victim, 4)
        if number == 2:
            tasks[9] = task(run, home, victim, 4)
        if here == FILES:
            break
    assert here > 0
    until(lambda: not any(map(runs, orphans)), "workers end with their parent")
    outcomes = [ended(process) for process in tasks.values() if process.returncode != -signal.SIGKILL]
    assert [code for code, _, _ in outcomes] == [0] * len(outcomes), outcomes
    # Whoever ended last may have been killed after the others had left the rest to it.
    code, events, err = ended(task(run, home, 0, 4))
    assert (code, events[-1]["event"], events[-1]["files"]) == (0, "receipt", FILES), err
    assert tree(root(cache)) == wanted
    print(f"{box.stats.data_bytes / (FILES * SIZE) - 1:.1%} sent twice")
    assert box.stats.most_connections <= CAP
    # Of each task that was killed at the most what its four connections had under way.
    assert box.stats.data_bytes - FILES * SIZE <= 6 * 4 * SIZE
    assert run("status", NAME, "--json").last["state"] == "complete"
    assert list((root(cache) / ".medfetch" / "partial").iterdir()) == []


def test_killed_while_it_seals_the_next_one_seals(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str]
) -> None:
    dies = "import os, medfetch.receipt as receipt\nreceipt.write = lambda *_: os.kill(os.getpid(), 9)\n"
    (home / "sitecustomize.py").write_text(FINE_SHARDS + dies)
    assert ended(task(run, home, 0, 2))[0] == -signal.SIGKILL
    asked = box.stats.requests
    (home / "sitecustomize.py").write_text(FINE_SHARDS)
    code, events, _ = ended(task(run, home, 1, 2))
    assert (code, events[-1]["event"], events[-1]["files"]) == (0, "receipt", FILES)
    assert box.stats.requests == asked
    assert tree(root(cache)) == wanted


def test_files_that_cannot_be_had_are_told_by_whoever_met_them(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str]
) -> None:
    box.add(Fault(match="/007.bin", status=404, times=None), SLOW)
    outcomes = [ended(process) for process in [task(run, home, number, 2) for number in range(2)]]
    codes = sorted(code for code, _, _ in outcomes)
    assert codes in ([0, 1], [1, 1]), outcomes
    failed = [events[-1] for code, events, _ in outcomes if code]
    assert all("007.bin" in each["message"] for each in failed)
    # The same file is not asked for by each in turn.
    assert len([entry for entry in box.log if "/007.bin" in entry.target]) == 1
    box.clear()
    code, events, _ = ended(task(run, home, 0, 2))
    assert (code, events[-1]["event"]) == (0, "receipt")
    assert tree(root(cache)) == wanted


def test_a_plain_get_waits_for_tasks_and_tasks_for_it(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str]
) -> None:
    box.add(SLOW)
    tasks = [task(run, home, number, 2) for number in range(2)]
    until(lambda: box.stats.data_bytes > 500_000, "bytes")
    plain = run.start("get", NAME, "--json", PYTHONPATH=str(home))
    assert "waiting for another medfetch, task" in json.loads(plain.stdout.readline())["reason"]
    for process in tasks:
        process.kill()
        process.communicate(timeout=60)
    # Now it is alone, and a task waits for it.
    until(lambda: (root(cache) / ".medfetch" / "get.lease").exists(), "the plain run's lease")
    late = task(run, home, 0, 2)
    assert any("waiting for another medfetch" in line for line in iter(late.stdout.readline, ""))
    box.clear()
    for process in (plain, late):
        code, events, err = ended(process)
        assert (code, events[-1]["event"]) == (0, "receipt"), err
    assert tree(root(cache)) == wanted
    assert box.stats.data_bytes - FILES * SIZE <= 2 * 4 * SIZE


def test_status_shows_who_is_at_work_and_who_died(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str]
) -> None:
    (home / "sitecustomize.py").write_text(
        FINE_SHARDS + OTHER_MACHINES + "import medfetch.presence as presence\npresence.NEWS_EVERY = 0.1\n"
    )
    box.add(Fault(match=r"\.bin$", rate=20_000, times=None))
    variables = {"SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "0"}
    tasks = [task(run, home, 0, 2, **variables), task(run, home, 1, 2)]

    def found() -> list[dict[str, object]]:
        return run("status", NAME, "--json", PYTHONPATH=str(home), NODE="login").last.get("runs", [])

    until(lambda: sum(bool(each["bytes"]) for each in found()) == 2, "two at work")
    first, second = sorted(found(), key=lambda each: str(each["task"]))
    assert (first["host"], first["pid"], first["task"], first["job"], first["alive"]) == (
        "n0", tasks[0].pid, "0/2", "17_0", True,
    )  # fmt: skip
    assert (second["host"], second["pid"], second["task"], second["job"]) == ("n1", tasks[1].pid, "1/2", None)
    assert first["shards"]
    assert isinstance(first["rate"], int)
    status = run("status", NAME, PYTHONPATH=str(home), NODE="login")
    assert f"at work: task 0/2 on n0 (process {tasks[0].pid}, job 17_0) since" in status.out
    os.killpg(tasks[0].pid, signal.SIGKILL)
    tasks[0].communicate(timeout=60)
    until(lambda: any(not each["alive"] for each in found()), "the dead one")
    assert (
        f"dead: task 0/2 on n0 (process {tasks[0].pid}, job 17_0), silent for"
        in run("status", NAME, PYTHONPATH=str(home), NODE="login").out
    )
    box.clear()
    assert ended(tasks[1])[0] == 0
    assert run("status", NAME, "--json").last["runs"] == []
    assert tree(root(cache)) == wanted


def test_parked_it_begins_nothing_and_lets_end_what_is_nearly_here(
    run: Run, home: Path, cache: Path, box: Sandbox, wanted: dict[str, str]
) -> None:
    box.add(SLOW)
    process = task(run, home, 0, 2)
    until(lambda: box.stats.data_bytes > 500_000, "bytes")
    process.send_signal(signal.SIGUSR1)
    begun = box.stats.requests
    code, events, err = ended(process)
    assert (code, events[-1]["error"]) == (75, "Stopped"), err
    # What was under way has come whole; of what was asked for since, only what crossed the signal.
    assert list((root(cache) / ".medfetch" / "partial").iterdir()) == []
    assert box.stats.requests <= begun + 4
    assert len(only_right_names(root(cache), wanted)) == box.stats.data_bytes // SIZE
    assert not list((root(cache) / ".medfetch" / "tasks").iterdir())
    box.clear()
    assert ended(task(run, home, 0, 2))[1][-1]["event"] == "receipt"
    assert box.stats.data_bytes == FILES * SIZE


def only_right_names(folder: Path, wanted: dict[str, str]) -> set[str]:
    only_right(folder, wanted)
    return set(tree(folder))


def test_the_plan_is_made_once(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    """A host that has to be asked for the list is asked by one of them."""
    box.add(Fault(match="nbia-api/services", stall=1.0, times=None))
    name = ("tcia:LIDC-IDRI", "-s", "subject=LIDC-IDRI-0101,LIDC-IDRI-0102", "--json")
    tasks = [run.start("get", *name, "--shard", f"{number}/3", PYTHONPATH=str(home)) for number in range(3)]
    outcomes = [ended(process) for process in tasks]
    assert [code for code, _, _ in outcomes] == [0] * 3, outcomes
    lists = [entry.target for entry in box.log if "getSeries" in entry.target]
    assert len(lists) == len(set(lists)), lists
    said = [str(event.get("reason")) for _, events, _ in outcomes for event in events if event["event"] == "note"]
    assert any("which makes the plan" in reason for reason in said)


def test_what_does_not_go_with_shards_is_refused(run: Run, home: Path, wanted: dict[str, str]) -> None:
    assert "medfetch plan --refresh" in run("get", NAME, "--shard", "0/2", "--refresh", code=2).err
    assert "I from 0 to N-1" in run("get", NAME, "--shard", "2/2", code=2).err


def test_plan_write_says_where(run: Run, home: Path, cache: Path, wanted: dict[str, str]) -> None:
    ran = run("plan", NAME, "--write", "--json", PYTHONPATH=str(home))
    assert ran.last["shards"] == len(list(root(cache).glob(".medfetch/plans/*/*.sqlite"))) > 8
    assert f"{ran.last['shards']} shards for get --shard" in run("plan", NAME, "--write").out
