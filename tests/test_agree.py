"""What a person agreed to: asked for at a terminal, written down for good, shown, renewed, and named by receipts."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import http, write_recipe
from running import Medfetch, Ran, Run

import medfetch
from medfetch import agreements
from medfetch.errors import UsageProblem
from medfetch.sandbox import Fault, Sandbox

TODAY = datetime.date.today()
BEFORE = ("--agreed-on", "2026-01-02", "--as", "Ada Lovelace")
PAGE = (
    "<html><head><title>no</title><script>var no;</script></head><body><h1>Terms</h1><p>Be  <b>kind</b>, é\x1b[2J.</p>"
)


@pytest.fixture
def name(home: Path, box: Sandbox) -> str:
    """A dataset under terms, which its host gives as a page."""
    box.put("https://host/file", b"scan")
    box.put("https://host/terms.html", PAGE.encode())
    access = {"level": "terms", "terms": "https://host/terms.html"}
    return write_recipe(home, "scans", access=access, routes=http({"path": "file", "url": "https://host/file"}))


def ledger(home: Path) -> Path:
    return home / ".local" / "share" / "medfetch" / "agreements.jsonl"


def records(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger(home).read_text().splitlines()]


def at_terminal(run: Run, *arguments: object, typed: str, code: int = 0) -> Ran:
    """A run that can ask a person, who types this."""
    assert isinstance(run, Medfetch)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        done = subprocess.run(
            [sys.executable, "-m", "medfetch", *map(str, arguments)],
            cwd=run.folder, env=run.environment, stdin=theirs, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def test_terms_are_asked_for_before_data_and_the_receipt_names_the_agreement(
    run: Run, home: Path, box: Sandbox, name: str
) -> None:
    (step,) = run("get", name, "--yes", "--json", code=3).last["steps"]
    assert (step["name"], step["kind"], step["at"]) == ("scans-terms", "terms", "https://host/terms.html")
    assert box.stats.requests == 0
    ran = at_terminal(run, "agree", name, "--json", typed="Ada Lovelace\ny\n")
    assert "Terms\nBe kind, é[2J.\n" in ran.err
    assert "\x1b" not in ran.err and "var no" not in ran.err
    (record,) = records(home)
    digest = hashlib.sha256("Terms\nBe kind, é[2J.".encode()).hexdigest()
    assert record.items() >= {
        "dataset": "scans", "step": "scans-terms", "kind": "terms", "person": "Ada Lovelace", "date": str(TODAY),
        "at": "https://host/terms.html", "digest": f"sha256:{digest}", "expires": None,
    }.items()  # fmt: skip
    assert run("get", name, "--json").last["agreements"] == [record]


@pytest.mark.parametrize("typed", ["Ada\nn\n", "Ada\n\n"])
def test_who_does_not_say_yes_has_not_agreed(run: Run, home: Path, name: str, typed: str) -> None:
    assert "nothing was recorded" in at_terminal(run, "agree", name, "--yes", typed=typed, code=2).err
    assert not ledger(home).exists()


def test_without_a_terminal_nobody_agrees(run: Run, home: Path, name: str, box: Sandbox) -> None:
    for more in ((), ("--yes",)):
        assert "only a person can agree" in run("agree", name, *more, code=2).err
    for half in (BEFORE[:2], BEFORE[2:]):
        assert "go together" in run("agree", name, *half, code=2).err
    assert "in the future" in run("agree", name, "--agreed-on", "2999-01-01", "--as", "Ada", code=2).err
    assert "no name" in run("agree", name, "--agreed-on", "2026-01-02", "--as", " ", code=2).err
    assert not ledger(home).exists()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=404),
        Fault(headers={"Content-Type": "application/pdf"}),
        Fault(body="x" * 1_000_001),
        Fault(body=""),
        Fault(redirect="/http/host/login?next=terms", times=1),
    ],
)
def test_terms_that_cannot_be_shown_are_only_pointed_at(
    run: Run, home: Path, box: Sandbox, name: str, fault: Fault
) -> None:
    box.put("https://host/login", b"<p>Log in first.</p>")
    box.add(fault)
    ran = at_terminal(run, "agree", name, typed="Ada\ny\n")
    assert "https://host/terms.html" in ran.err
    assert "cannot be shown here" in ran.err and "Log in first" not in ran.err
    assert records(home)[0]["digest"] is None


def test_offline_nothing_is_asked_for(run: Run, home: Path, box: Sandbox, name: str) -> None:
    at_terminal(run, "agree", name, "--offline", typed="Ada\ny\n")
    assert box.stats.requests == 0
    assert records(home)[0]["digest"] is None


def test_the_ledger_only_grows_and_is_its_owners(run: Run, home: Path, name: str) -> None:
    umask = ("sh", "-c", 'umask 000; exec "$@"', "sh")
    run("agree", name, *BEFORE, wrap=umask)
    first = ledger(home).read_bytes()
    run("agree", name, "--agreed-on", "2026-02-03", "--as", "Grace", wrap=umask)
    assert ledger(home).read_bytes().startswith(first)
    assert [each["person"] for each in records(home)] == ["Ada Lovelace", "Grace"]
    assert stat.S_IMODE(ledger(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(ledger(home).parent.stat().st_mode) == 0o700
    assert [each["person"] for each in run("get", name, "--json").last["agreements"]] == ["Grace"]


def test_it_lies_where_the_person_wants_it(run: Run, name: str, tmp_path: Path) -> None:
    run("agree", name, *BEFORE, MEDFETCH_DATA=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "agreements.jsonl").exists()
    run("agree", name, *BEFORE, XDG_DATA_HOME=str(tmp_path / "xdg"))
    assert (tmp_path / "xdg" / "medfetch" / "agreements.jsonl").exists()
    (tmp_path / "file").touch()
    assert "cannot be written" in run("agree", name, *BEFORE, code=2, MEDFETCH_DATA=str(tmp_path / "file" / "x")).err


@pytest.mark.parametrize("line", ["{", "[]", '{"dataset": "scans"}', '{"dataset": "scans", "more": 1}'])
def test_a_damaged_ledger_is_named_with_its_line(run: Run, home: Path, name: str, line: str) -> None:
    run("agree", name, *BEFORE)
    with ledger(home).open("a") as file:
        file.write(f"{line}\n")
    assert f"{ledger(home)}: line 2" in run("get", name, code=2).err


def test_what_lapses_is_pointed_out_and_what_has_lapsed_is_refused(
    run: Run, home: Path, cache: Path, name: str
) -> None:
    soon = TODAY + datetime.timedelta(30)
    run("agree", name, *BEFORE, "--until", soon)
    run("get", name)
    ran = run("agree", "--list", "--json")
    assert [(each["step"], each["state"]) for each in ran.lines] == [("scans-terms", "lapses soon")]
    assert "renews" in ran.err
    assert run("status", name, "--json").last["lapsed"] == []
    run("agree", name, *BEFORE, "--until", TODAY - datetime.timedelta(1))
    assert [each["state"] for each in run("agree", "--list", "--json").lines] == ["lapsed"]
    assert "lapsed on" in run("status").out
    (step,) = run("get", name, "--json", code=3).last["steps"]
    assert step["state"] == "lapsed"
    bad = cache / name / "current" / "file"
    bad.write_bytes(b"scam")
    assert run("verify", name, "--repair", "--json", code=3).last["steps"][0]["state"] == "lapsed"
    assert bad.read_bytes() == b"scam"  # what cannot be had again is not thrown away
    run("agree", name, *BEFORE, "--until", TODAY)  # the last day counts
    run("verify", name, "--repair")
    assert [each["state"] for each in run("agree", "--list", "--json").lines] == ["lapses soon"]
    run("get", name)


def test_each_record_has_the_address_of_its_own_terms(run: Run, home: Path, box: Sandbox) -> None:
    for page in ("terms", "rules"):
        box.put(f"https://host/{page}.html", f"<p>The {page}.</p>".encode())
    sign, rules = (
        {"name": name, "kind": "terms", "do": "Agree.", "at": f"https://host/{page}"}
        for name, page in (("sign", "form"), ("rules", "rules.html"))
    )
    ways = [{**http({"path": "b", "url": "https://host/b"})[0], "requires": [rules]}]
    parts = {"a": {"routes": http({"path": "a", "url": "https://host/a"})}, "b": {"default": False, "routes": ways}}
    access = {"level": "credentialed", "requires": [sign], "terms": "https://host/terms.html"}
    write_recipe(home, "two", access=access, parts=parts)
    ran = at_terminal(run, "agree", "two", typed="Ada\ny\n")
    assert "The terms." in ran.err and "The rules." in ran.err and "https://host/form" in ran.err
    told = {each["step"]: (each["at"], each["digest"]) for each in records(home)}
    assert told == {
        step: (f"https://host/{page}.html", f"sha256:{hashlib.sha256(f'The {page}.'.encode()).hexdigest()}")
        for step, page in (("sign", "terms"), ("rules", "rules"))
    }
    run("agree", "two", "--step", "sign", *BEFORE)
    assert records(home)[-1]["at"] == "https://host/terms.html"


def test_what_has_lapsed_is_pointed_out_without_its_recipe(run: Run, home: Path, name: str) -> None:
    run("agree", name, *BEFORE)
    run("get", name)
    run("agree", name, *BEFORE, "--until", TODAY - datetime.timedelta(1))
    (home / f"{name}.yaml").rename(home / f"{name}.gone")
    assert [each["step"] for each in run("status", "--json").last["lapsed"]] == ["scans-terms"]


def test_terms_that_are_a_step_of_one_part_alone_can_be_agreed_to(run: Run, home: Path, box: Sandbox) -> None:
    """Another part's step is about terms: for all parts together, none is missing."""
    own = {"name": "own-terms", "kind": "terms", "do": "Accept.", "at": "https://host/own"}
    parts: dict[str, Any] = {
        name: {"routes": http({"path": name, "url": f"https://host/{name}"})} for name in ("one", "two")
    }
    parts["one"]["routes"][0]["requires"] = [own]
    for part in parts:
        box.put(f"https://host/{part}", b"scan")
    write_recipe(home, "apart", access={"level": "terms", "terms": "https://host/terms"}, parts=parts)
    refused = run("get", "apart", "--part", "two", code=3)
    assert "medfetch agree apart" in refused.err
    run("agree", "apart", *BEFORE)
    assert {record["step"] for record in records(home)} == {"own-terms", "apart-terms"}
    run("get", "apart", "--part", "two")
    run("get", "apart")


def test_how_long_it_is_good_comes_from_the_recipe(run: Run, home: Path) -> None:
    training = {"name": "course", "kind": "training", "do": "Learn.", "lapses": "1,095 days (three years)"}
    write_recipe(home, "course", access={"level": "credentialed", "requires": [training]})
    run("agree", "course", "--step", "course", *BEFORE)
    assert records(home)[0]["expires"] == "2029-01-01"


def test_steps_of_which_nobodys_word_tells(run: Run, home: Path, name: str) -> None:
    token = {"name": "token", "kind": "token", "do": "Make one.", "credential": "kaggle"}
    write_recipe(home, "tokens", access={"level": "account", "requires": [token]})
    assert "medfetch login kaggle" in run("agree", "tokens", "--step", "token", *BEFORE, code=2).err
    assert "scans-terms" in run("agree", name, "--step", "nothing", *BEFORE, code=2).err
    assert "no step is about terms" in run("agree", "tokens", *BEFORE).err
    assert "agree --list" in run("agree", code=2).err
    assert not ledger(home).exists()


def test_what_is_complete_needs_the_agreement_but_no_log_in(run: Run, home: Path, box: Sandbox) -> None:
    box.put("https://host/file", b"scan")
    netrc = home / ".netrc"
    netrc.write_text("machine host login me password secret\n")
    netrc.chmod(0o600)
    file = {"path": "file", "url": "https://host/file", "auth": "basic"}
    write_recipe(home, "both", access={"level": "terms"}, routes=http(file))
    run("agree", "both", *BEFORE)
    run("get", "both")
    netrc.unlink()
    asked = box.stats.requests
    run("get", "both")
    assert box.stats.requests == asked
    ledger(home).unlink()
    (step,) = run("get", "both", "--json", code=3).last["steps"]
    assert step["name"] == "both-terms"


def test_from_python(tmp_path: Path, home: Path, name: str) -> None:
    settings = {"data": tmp_path / "data", "recipes": [home]}
    (made,) = medfetch.agree(name, person="Ada", date=datetime.date(2026, 1, 2), **settings)
    assert (made.step, made.date) == ("scans-terms", "2026-01-02")
    (step,) = medfetch.access([name], **settings).steps
    assert step.state == "declared"
    with pytest.raises(UsageProblem, match="future"):
        medfetch.agree(name, person="Ada", date=agreements.today() + datetime.timedelta(1), **settings)
