"""Many files that are all here: nothing is asked, and what is lost among them is found. Sizes are those of a test; the
benchmark of scale measures the same with a million."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import chart, have
from bench.scale import installed
from running import Run

FILES = 3000


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Where the source of numbered files is, at whose addresses nobody answers."""
    folder = tmp_path / "source"
    folder.mkdir()
    return str(installed(folder))


@pytest.fixture
def here(run: Run, cache: Path, source: str) -> Path:
    """The home of so many files that came earlier."""
    planned = run("plan", f"numbered:{FILES}", "--json", PYTHONPATH=source).last
    have.everything(cache, links=False)
    return Path(planned["path"])


def test_a_get_with_nothing_to_do_asks_nobody(run: Run, here: Path, source: str) -> None:
    first, second = (run("get", f"numbered:{FILES}", "--json", PYTHONPATH=source).last for _ in range(2))
    assert (first["files"], first["bytes"]) == (FILES, FILES * len(have.CONTENT))
    assert second == first
    status = run("status", "--json", PYTHONPATH=source).last
    assert (status["state"], status["files"], status["bytes"]) == ("complete", first["files"], first["bytes"])


def test_one_lost_file_among_many_is_missed(run: Run, here: Path, source: str) -> None:
    run("get", f"numbered:{FILES}", PYTHONPATH=source)
    (here / "000001" / "000001234.dcm").unlink()
    (here / "000002" / "000002000.dcm").write_bytes(b"other")
    folder = here / "000000" / "000000007.dcm"
    folder.unlink()
    folder.mkdir()
    run("get", f"numbered:{FILES}", "--offline", PYTHONPATH=source, code=6)
    (plan,) = run("status", "--json", PYTHONPATH=source).last["plans"]
    assert (plan["state"], plan["missing"], plan["files_here"]) == ("partial", 3, FILES - 3)


def test_verify_names_what_is_wrong_in_the_order_of_paths(run: Run, here: Path, source: str) -> None:
    wrong = ["000000/000000000.dcm", "000000/000000256.dcm", "000001/000001999.dcm", "000002/000002999.dcm"]
    for path in wrong:
        (here / path).write_bytes(b"8 bytes!")
    events = run("verify", f"numbered:{FILES}", "--json", PYTHONPATH=source, code=4).lines
    assert [event["path"] for event in events if event["event"] == "file"] == wrong
    found = next(event for event in events if event["event"] == "verify")
    assert (found["files"], found["bad"]) == (FILES, len(wrong))


def test_a_chart_has_every_line_within_its_frame() -> None:
    drawn = chart.svg([chart.Panel("seconds", {"a & b": [(10_000, 0.3), (1_000_000, 3.0)], "c": [(10_000, 12)]})])
    assert "a &amp; b" in drawn
    points = [pair.split(",") for line in drawn.split('points="')[1:] for pair in line.partition('"')[0].split()]
    assert len(points) == 3
    assert all(chart.LEFT <= float(x) <= chart.WIDTH - chart.RIGHT for x, _ in points)
    assert all(chart.TOP <= float(y) <= chart.HEIGHT - chart.BOTTOM for _, y in points)
