"""Data under an agreement is closed to other users, and secrets go to their host and nowhere else."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe
from running import Ran, Run

from medfetch.sandbox import Fault, Sandbox

PASSWORD = "correct-horse-battery"
SIGNATURE = "0123abcdSIGNATURE"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
HOST = "data.example.org"
UMASK_022, UMASK_000 = (("sh", "-c", f'umask {umask}; exec "$@"', "sh") for umask in ("022", "000"))


def write_netrc(home: Path, host: str = HOST) -> Path:
    netrc = home / ".netrc"
    netrc.write_text(f"machine {host} login me password {PASSWORD}\n")
    netrc.chmod(0o600)
    return netrc


@pytest.fixture
def locked(home: Path, box: Sandbox) -> str:
    """A recipe of one file behind a log-in, and another in two pieces."""
    for name in ("file", "p1", "p2"):
        box.put(f"https://{HOST}/{name}", name.encode())
    files: list[dict[str, Any]] = [
        {"path": "file", "url": f"https://{HOST}/file", "auth": "basic"},
        {"path": "pieces", "pieces": [{"url": f"https://{HOST}/p{n}"} for n in (1, 2)], "auth": "basic"},
    ]
    return write_recipe(home, "locked", routes=http(*files))


def kept_secret(secrets: tuple[str, ...], ran: Ran, cache: Path) -> None:
    """Fails where one was said or written."""
    for secret in secrets:
        assert secret not in ran.out
        assert secret not in ran.err
        for path in cache.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(("level", "mode"), [("terms", 0o700), ("credentialed", 0o700), ("open", 0o755)])
def test_data_under_an_agreement_is_closed_to_others(
    run: Run, home: Path, box: Sandbox, cache: Path, level: str, mode: int
) -> None:
    box.put("https://host/file", b"x")
    write_recipe(home, "level", access={"level": level}, routes=http({"path": "sub/file", "url": "https://host/file"}))
    if level == "terms":
        run("agree", "level", "--agreed-on", "2026-01-02", "--as", "Ada")
    run("get", "level", wrap=UMASK_022)
    assert stat.S_IMODE((cache / "level" / "current").stat().st_mode) == mode
    # Opened by mistake, the next run closes it.
    (cache / "level" / "current").chmod(0o755)
    run("get", "level")
    assert stat.S_IMODE((cache / "level" / "current").stat().st_mode) == mode


def test_a_password_goes_to_its_host_and_is_written_nowhere(
    run: Run, home: Path, box: Sandbox, cache: Path, locked: str
) -> None:
    write_netrc(home)
    ran = run("get", locked, "-vv", "--json")
    assert tree(cache / locked / "current") == {"file": sha256(b"file"), "pieces": sha256(b"p1p2")}
    assert {entry.header("authorization") for entry in box.log} == {f"Basic {BASIC}"}
    kept_secret((PASSWORD, BASIC), ran, cache)


def test_a_redirect_takes_no_password_along(run: Run, home: Path, box: Sandbox, cache: Path, locked: str) -> None:
    write_netrc(home)
    with Sandbox() as other:
        other.put("https://elsewhere/file", b"file")
        there = f"{other.endpoints['http']}/elsewhere/file?X-Amz-Signature={SIGNATURE}"
        box.add(Fault(match="/file$", redirect=there, times=None))
        ran = run("get", locked, "-vv", "--json")
        assert [entry.header("authorization") for entry in other.log] == [None]
    assert tree(cache / locked / "current")["file"] == sha256(b"file")
    kept_secret((PASSWORD, BASIC, SIGNATURE), ran, cache)


def test_errors_do_not_quote_secrets(run: Run, home: Path, box: Sandbox, cache: Path, locked: str) -> None:
    write_netrc(home)
    with Sandbox(faults=[Fault(status=403, body="expired", times=None)]) as other:
        there = f"{other.endpoints['http']}/elsewhere/file?X-Amz-Signature={SIGNATURE}"
        box.add(Fault(match="/file$", redirect=there, times=None), Fault(match="/p1$", status=401, times=None))
        ran = run("get", locked, "-vv", "--json", code=1)
    assert "403" in ran.err
    assert "401" in ran.err
    kept_secret((PASSWORD, BASIC, SIGNATURE), ran, cache)
    assert tree(cache / locked / "current") == {}


def test_a_signed_address_is_in_no_message_and_no_receipt(run: Run, box: Sandbox) -> None:
    box.put("https://host/file", b"file")
    ran = run("get", f"https://host/file?sig={SIGNATURE}", "-vv", "--json")
    assert box.log[-1].target.endswith(SIGNATURE)
    assert SIGNATURE not in ran.out + ran.err
    assert SIGNATURE not in (Path(ran.last["path"]) / ".medfetch" / "receipt.json").read_text()
    assert SIGNATURE not in run("status", "--json").out


def test_a_log_in_that_is_missing_is_a_step_to_take(run: Run, home: Path, box: Sandbox, locked: str) -> None:
    for other in (None, "another.example.org"):
        if other:
            write_netrc(home, other)
        ran = run("get", locked, "--json", code=3)
        (step,) = ran.last["steps"]
        assert (step["kind"], step["at"]) == ("account", f"https://{HOST}")
        assert f"machine {HOST} login" in ran.err
        assert "~/.netrc" in ran.err
        kept_secret((PASSWORD,), ran, home / "nothing")
    assert box.stats.requests == 0


def test_a_netrc_that_others_can_read_is_refused(run: Run, home: Path, box: Sandbox, locked: str) -> None:
    netrc = write_netrc(home)
    netrc.chmod(0o644)
    ran = run("get", locked, code=2)
    assert f"hint: run: chmod 600 {netrc}" in ran.err
    assert box.stats.requests == 0
    netrc.chmod(0o600)
    netrc.write_text(f"machine {HOST} login me passwort {PASSWORD}\n")
    ran = run("get", locked, code=2)
    assert str(netrc) in ran.err
    assert PASSWORD not in ran.err


def test_a_requirement_stops_the_run_before_anything(run: Run, home: Path, box: Sandbox, cache: Path) -> None:
    step = {"name": "apply", "kind": "application", "do": "Write to the owners.", "at": "https://host/apply"}
    write_recipe(
        home,
        "gated",
        access={"level": "application", "requires": [{**step, "wait": "three weeks"}]},
        routes=http({"path": "file", "url": "https://host/file"}),
    )
    ran = run("get", "gated", "--json", code=3)
    (told,) = ran.last["steps"]
    assert told.items() >= {**step, "wait": "three weeks", "state": "unknown"}.items()
    assert "Write to the owners." in ran.err
    assert "three weeks" in ran.err
    assert box.stats.requests == 0
    assert not (cache / "gated").exists()
