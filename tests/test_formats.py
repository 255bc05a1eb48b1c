"""What every released medfetch has written is read, verified, completed and reported by this one; what a newer one has
written is left as it is, and said to want an upgrade. The policy is docs/versioning.md."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from format_samples import ETAG, FILES, HOST, LARGE, NUMBER, SAMPLES, TABLE, answer, environment
from servers import Server, serve

from medfetch import agreements, catalog, recipe_folders
from medfetch.cli import group
from medfetch.config import Settings
from medfetch.updates import index

RELEASES = sorted(path.name for path in SAMPLES.iterdir())


class Kept:
    """The samples of a release, copied to where they may be written."""

    def __init__(self, release: str, folder: Path) -> None:
        self.folder = shutil.copytree(SAMPLES / release, folder / release)

    def run(self, *arguments: str, proxy: str | None = None, code: int = 0) -> Result:
        """``medfetch`` in this process; without a proxy it is offline."""
        done = CliRunner().invoke(group, list(arguments), env=environment(self.folder, proxy))
        assert done.exit_code == code, done.output
        return done

    def home(self, name: str) -> Path:
        [version] = (self.folder / "cache" / name).iterdir()
        return version

    def receipt(self, name: str) -> dict[str, object]:
        content: dict[str, object] = json.loads((self.home(name) / ".medfetch" / "receipt.json").read_text())
        return content


@pytest.fixture(params=RELEASES)
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    for name in ("http_proxy", "MEDFETCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return Kept(request.param, tmp_path)


def test_there_are_samples_of_the_first_release() -> None:
    assert "0.1.0" in RELEASES


def test_a_cache_is_reported_verified_and_complete(kept: Kept) -> None:
    before = kept.receipt("whole")
    lines = map(json.loads, kept.run("status", "--json").stdout.splitlines())
    states = {line["dataset"]: line for line in lines}
    told = {name: state["plans"][0]["state"] for name, state in states.items()}
    assert told == {"whole": "complete", "half": "partial", "packed": "complete"}
    assert states["whole"]["files"] == before["files"] == 4
    for name in ("whole", "packed"):
        assert '"bad": 0' in kept.run("verify", name, "--json").stdout
    packed = json.loads(kept.run("get", "packed", "--json").stdout.splitlines()[-1])
    assert (packed["files"], packed["tree"]) == (4, kept.receipt("packed")["tree"])
    assert kept.run("path", "whole").stdout.strip() == str(kept.home("whole"))
    kept.run("path", "half", code=1)
    got = json.loads(kept.run("get", "whole", "--json").stdout.splitlines()[-1])
    assert (got["event"], got["tree"], got["agreements"]) == ("receipt", before["tree"], before["agreements"])


def test_what_had_begun_is_completed(kept: Kept) -> None:
    with Server() as server:
        answer(server, {"table.csv": serve(TABLE, etag=ETAG), "large.bin": serve(LARGE, etag=ETAG)})
        kept.run("get", "half", proxy=f"http://127.0.0.1:{server.port}")
        # What was here is not fetched again.
        assert server.of(f"{HOST}/table.csv") == []
        assert server.sent(f"{HOST}/large.bin") < len(LARGE)
    assert (kept.home("half") / "large.bin").read_bytes() == LARGE
    assert kept.receipt("half")["files"] == 2 and kept.receipt("half")["format"] == 1
    kept.run("verify", "half")


def test_a_damaged_file_is_mended(kept: Kept) -> None:
    (kept.home("whole") / "table.csv").write_bytes(b"something else")
    kept.run("verify", "whole", code=4)
    with Server() as server:
        answer(server, {"table.csv": serve(FILES["table.csv"])})
        kept.run("verify", "whole", "--repair", proxy=f"http://127.0.0.1:{server.port}")
    assert (kept.home("whole") / "table.csv").read_bytes() == TABLE


def test_recipes_agreements_and_updates(kept: Kept) -> None:
    assert list(catalog.check([kept.folder / "recipes"])) == []
    settings = Settings(kept.folder / "cache", data=kept.folder / "data")
    [agreed] = agreements.read(settings)
    assert (agreed.dataset, agreed.step, agreed.person, agreed.date) == (
        "whole",
        "whole-terms",
        "A. Person",
        "2026-11-20",
    )
    there = recipe_folders.updated(settings.data)
    assert there and catalog.load("updated", [there]).summary == "An updated recipe."
    raw, signed = (kept.folder / "recipes.json").read_bytes(), (kept.folder / "recipes.json.sig").read_bytes()
    found = index.opened(raw, signed, [(kept.folder / "recipes.pub").read_text().strip()], "here")
    assert found.number == NUMBER and list(found.files) == ["http/updated.yaml"]


def test_a_lock_is_reproduced(kept: Kept) -> None:
    lock = kept.folder / "medfetch.lock"
    assert lock.is_file(), "python tests/format_samples.py"
    kept.run("get", "--locked", str(lock))
    lock.write_text(lock.read_text().replace("lock: 1\n", "lock: 2\n"))
    assert "upgrade" in kept.run("get", "--locked", str(lock), code=2).output


# -- what a newer one has written ---------------------------------------------------------------------------------


def raised(path: Path) -> None:
    """The number of a JSON file's or a database's format, one higher than it is."""
    if path.suffix == ".sqlite":
        with closing(sqlite3.connect(path)) as database:
            [found] = database.execute("PRAGMA user_version").fetchone()
            database.execute(f"PRAGMA user_version = {found + 1}")
            database.execute("PRAGMA journal_mode = DELETE")
        return
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": content["format"] + 1}))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "which",
    [
        lambda kept: kept.home("whole") / ".medfetch" / "ledger.sqlite",
        lambda kept: next(kept.home("whole").glob(".medfetch/plans/*/00000.sqlite")),
        lambda kept: next(kept.home("whole").glob(".medfetch/plans/*/plan.json")),
        lambda kept: next(kept.home("whole").glob(".medfetch/plans/*/receipt.json")),
        lambda kept: kept.folder / "data" / "recipes" / "updated.json",
    ],
    ids=["ledger", "shard", "plan", "receipt", "updated recipes"],
)
def test_a_newer_format_wants_an_upgrade_and_is_left_as_it_is(kept: Kept, which: Callable[[Kept], Path]) -> None:
    path = which(kept)
    raised(path)
    before = snapshot(kept.folder)
    for command in ("get", "status", *(["verify"] if path.name == "ledger.sqlite" else [])):
        done = CliRunner().invoke(group, [command, "whole"], env=environment(kept.folder, None))
        assert done.exit_code in (1, 2), (command, done.output)
        assert "newer medfetch" in done.output and "pip install --upgrade" in done.output, (command, done.output)
    assert snapshot(kept.folder) == before
    CliRunner().invoke(group, ["gc"], env=environment(kept.folder, None))
    assert snapshot(kept.home("whole")) == {
        name.removeprefix("cache/whole/1.0/"): content
        for name, content in before.items()
        if name.startswith("cache/whole/1.0/")
    }


def test_a_newer_way_to_pack_wants_an_upgrade(kept: Kept) -> None:
    (kept.home("packed") / ".medfetch" / "packed.json").write_text('{"format": "crate"}')
    before = snapshot(kept.home("packed"))
    for command in ("get", "verify", "status"):
        assert "newer medfetch" in kept.run(command, "packed", code=1).output, command
    assert snapshot(kept.home("packed")) == before


def test_a_newer_recipe_wants_an_upgrade(kept: Kept) -> None:
    path = kept.folder / "recipes" / "whole.yaml"
    path.write_text(path.read_text() + "format: 2\nholograms: true\n")
    before = snapshot(kept.folder)
    for command in (["get", "whole"], ["info", "whole"], ["list"], ["recipe", "check", str(path)]):
        done = kept.run(*command, code=2)
        assert "format 2" in done.output and "upgrade" in done.output and "holograms" not in done.output
    assert snapshot(kept.folder) == before
