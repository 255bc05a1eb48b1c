"""``medfetch sources``: what there is, and what third parties' packages bring or fail to bring."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from running import Run

from medfetch import sources
from medfetch.credentials import checked
from medfetch.errors import UsageProblem

SOUND = '''
"""Scans of a ward: by number."""
from medfetch.types import Traits


class Ward:
    name = "ward"
    traits = Traits(endpoints={"ward": "https://ward.example"}, logins=("netrc:HOST",),
                    program="ward-get", ranges=False)
'''


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of two packages, of which one cannot be imported."""
    info = tmp_path / "ward_tools-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ward-tools\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[medfetch.sources]\nward = ward:Ward\nwing = wing:Wing\n")
    (tmp_path / "ward.py").write_text(SOUND)
    (tmp_path / "wing.py").write_text("import no_such_library\n")
    return tmp_path


def test_third_parties_are_told_with_where_they_come_from(run: Run, packages: Path) -> None:
    told = run("sources", "--json", PYTHONPATH=str(packages), MEDFETCH_ENDPOINT_WARD="http://127.0.0.1:9")
    assert told.code == 0
    found = {each["name"]: each for each in map(json.loads, told.out.splitlines())}
    assert list(found) == sorted({*sources.BUILTIN, "ward", "wing"})
    ward = found["ward"]
    assert (ward["from"], ward["summary"], ward["logins"]) == (
        "ward-tools 1.2", "Scans of a ward: by number", ["netrc:HOST"],
    )  # fmt: skip
    assert (ward["program"], ward["installed"], ward["resumes"]) == ("ward-get", False, False)
    assert ward["endpoints"] == {"ward": "http://127.0.0.1:9"}
    assert (found["wing"]["loads"], found["wing"]["from"]) == (False, "ward-tools 1.2")
    assert "no_such_library" in found["wing"]["error"]
    people = run("sources", PYTHONPATH=str(packages)).out
    assert "needs ward-get, which is not installed" in people
    assert all(line.startswith(name) for line, name in zip(people.splitlines(), found, strict=True))


@pytest.mark.parametrize("name", sources.BUILTIN)
def test_what_a_source_needs_can_be_given(name: str) -> None:
    traits = sources.get(name).traits
    for login in traits.logins:
        checked(login.replace("HOST", "host.example"))  # or it raises
    with pytest.raises(UsageProblem):
        checked("no-such-login")
