"""Data under an agreement is closed to other users, and secrets go to their host and nowhere else."""

from __future__ import annotations

import base64
import grp
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from datasets import http, sha256, tree, write_recipe, zipped
from running import Ran, Run

from medfetch import leases
from medfetch.permissions import Readers
from medfetch.sandbox import Fault, Sandbox

PASSWORD = "correct-horse-battery"
SIGNATURE = "0123abcdSIGNATURE"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
HOST = "data.example.org"
GROUP = (os.getgroups() or [os.getgid()])[-1]
"""One that whoever runs the tests is in; where there are several, not the one that new files get anyway."""
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


def modes(folder: Path) -> tuple[set[int], set[int]]:
    """Those of folders and of files, from the folder itself downwards."""
    paths = [folder, *folder.rglob("*")]
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    return {found[path] for path in paths if path.is_dir()}, {found[path] for path in paths if path.is_file()}


@pytest.fixture
def agreed(home: Path, box: Sandbox) -> str:
    """A recipe of data under an agreement: a file in a folder, and an archive."""
    box.put("https://host/file", b"scan")
    box.put("https://host/more.zip", zipped(**{"in/side": b"inside"}))
    files = [
        {"path": "sub/file", "url": "https://host/file", "sha256": sha256(b"scan")},
        {"path": "more.zip", "url": "https://host/more.zip", "unpack": {"into": "more"}},
    ]
    return write_recipe(home, "agreed", access={"level": "credentialed"}, routes=http(*files))


def test_nobody_else_can_read_it_whatever_the_umask(
    run: Run, agreed: str, cache: Path, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    run("get", agreed, "--to", tmp_path / "there" / "to", wrap=UMASK_000)
    assert modes(cache / agreed) == ({0o700}, {0o600})
    assert modes(tmp_path / "there" / "to") == ({0o700}, {0o600})
    assert tree(tmp_path / "there" / "to") == tree(cache / agreed / "current")
    # What is made again is made likewise.
    (cache / agreed / "current" / "sub" / "file").write_bytes(b"scam")
    run("verify", agreed, "--repair", wrap=UMASK_000)
    run("gc", wrap=UMASK_000)
    assert tree(cache / agreed / "current")["sub/file"] == sha256(b"scan")
    assert modes(cache / agreed / "current") == ({0o700}, {0o600})
    # The limits of hosts stay everybody's who shares the cache, as the umask says.
    assert modes(cache / ".medfetch")[0] == {0o777}


def test_nobody_else_can_read_a_copy_on_another_disk(run: Run, agreed: str, cache: Path, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=other) as there:
        run("get", agreed, "--to", f"{there}/to", wrap=UMASK_000)
        assert modes(Path(there, "to")) == ({0o700}, {0o600})
        assert tree(Path(there, "to")) == tree(cache / agreed / "current")
        group = grp.getgrgid(GROUP).gr_name
        run("get", agreed, "--to", f"{there}/again", wrap=UMASK_000, MEDFETCH_GROUPS=f"http={group}")
        assert modes(Path(there, "again")) == ({0o2750}, {0o640})
        assert {path.stat().st_gid for path in Path(there, "again").rglob("*")} == {GROUP}


def test_a_lease_is_as_open_as_its_folder(tmp_path: Path) -> None:
    for mode, expected in ((0o755, 0o644), (0o700, 0o600)):
        tmp_path.chmod(mode)
        with Readers(private=True).only():
            lease = leases.take(tmp_path / "lease")
        assert lease
        assert stat.S_IMODE(lease.path.stat().st_mode) == expected
        lease.release()


def test_a_group_that_the_agreement_covers_can_read_it(
    run: Run, agreed: str, cache: Path, home: Path, tmp_path: Path
) -> None:
    run("get", agreed, wrap=UMASK_000)
    settings = {"MEDFETCH_CONFIG": str(home / "config.yaml")}
    (home / "config.yaml").write_text(f"cache.groups: {{http: {grp.getgrgid(GROUP).gr_name}}}\n")
    # Now and for all that was there.
    run("get", agreed, "--to", tmp_path / "to", wrap=UMASK_000, **settings)
    for folder in (cache / agreed / "current", tmp_path / "to"):
        assert modes(folder) == ({0o2750}, {0o640})
        assert {path.stat().st_gid for path in folder.rglob("*")} == {GROUP}
    run("rm", agreed, "--yes")
    run("get", agreed, wrap=("sh", "-c", 'umask 077; exec "$@"', "sh"), **settings)
    assert modes(cache / agreed) == ({0o2750}, {0o640})
    assert {path.stat().st_gid for path in (cache / agreed, *(cache / agreed).rglob("*"))} == {GROUP}


def test_a_group_that_cannot_be_used_is_an_error_before_a_byte(run: Run, agreed: str, box: Sandbox) -> None:
    assert "no group 'no-such-group'" in run("get", agreed, code=2, MEDFETCH_GROUPS="http=no-such-group").err
    strange = [each.gr_name for each in grp.getgrall() if each.gr_gid not in (os.getgid(), *os.getgroups())]
    assert "you are not in the group" in run("get", agreed, code=2, MEDFETCH_GROUPS=f"agreed={strange[0]}").err
    assert "such as" in run("get", agreed, code=2, MEDFETCH_GROUPS="http").err
    assert box.stats.requests == 0


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
