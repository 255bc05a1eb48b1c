"""Charts of datasets and of runs: what they count, in the terminal and as pictures; how a run's journal stays small."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from datasets import http as http_route
from datasets import write_recipe
from running import Run

from medfetch import catalog, journal, runner, survey
from medfetch.cache import Home
from medfetch.charts import Bars, Chart, course, holdings, terminal
from medfetch.journal import Journal, Past
from medfetch.sources import Counts, get
from medfetch.types import Group, RemoteFile, Selection

SVG = "{http://www.w3.org/2000/svg}"
CHART = Chart(
    "Lungs & $lobes$ <a>", "version 1", "3 series",
    (Bars("Series by modality", "modality", "series", (("CT", 1000), ("MR", 1), ("US", 0))),), ("Not all of it.",),
)  # fmt: skip


def rows(chart: Chart | None, title: str) -> dict[str, float | None]:
    assert chart
    return dict(next(panel.rows for panel in chart.panels if panel.title == title))


def test_series_are_counted_as_the_index_has_them() -> None:
    recipe = catalog.load("lidc-idri")
    chart = holdings.of(recipe, survey.of_recipe(recipe), runner.index_version())
    assert rows(chart, "Series by modality") == {"CT": 1018, "DX": 237, "CR": 53}
    assert sum(size or 0 for size in rows(chart, "Size by modality").values()) == 133_146_249_040
    assert rows(chart, "Subjects by modality")["CT"] == 1010
    assert sum(number or 0 for number in rows(chart, "Size of a series").values()) == 1308
    assert chart and chart.told == f"no version named; idc-index-data {runner.index_version()}"


def test_summed_up_by_the_index_or_one_by_one_it_is_the_same() -> None:
    source, locator = get("idc"), {"collection": "ct_lymph_nodes"}
    assert isinstance(source, Counts)
    one, other = survey.Survey(), survey.Survey()
    one.add_alike(source.count(locator))
    other.add(source.resolve(locator, survey.NOBODY, Selection()))
    assert one == other
    assert one.number > 100


def test_files_are_counted_by_kind_and_folder() -> None:
    found = survey.Survey()
    found.add(RemoteFile(f"train/{n}/scan.nii.gz", f"a{n}", size=15_000_000) for n in range(20))
    found.add(RemoteFile(f"test/{n}/mask.v2.SEG", f"b{n}", size=None) for n in range(3))
    found.add([RemoteFile("README", "c", size=10), RemoteFile("notes.1.2", "d", size=10)])
    recipe = catalog.load("kits19")
    chart = holdings.of(recipe, found, None, parts=False)
    assert rows(chart, "Files by kind") == {".nii.gz": 20, ".seg": 3, "no ending": 2}
    assert rows(chart, "Size by folder") == {"train": 300_000_000, ".": 20}
    assert rows(chart, "Size of a file")["10–100 MB"] == 20
    assert chart and chart.summary == "25 files, 300.0 MB and 3 of unknown size"
    assert chart.notes == ("The sizes leave out the 3 whose size is unknown.",)


def test_series_of_unknown_size_are_series_all_the_same() -> None:
    found = survey.Survey()
    found.add([Group("a", "a", facets={"modality": "CT", "subject": "p"}), Group("b", "b", size=5)])
    chart = holdings.of(catalog.load("kits19"), found, None, parts=False)
    assert rows(chart, "Series by modality") == {"CT": 1, "unknown": 1}
    assert rows(chart, "Size of a series") == {"5–10 B": 1}


def test_of_nothing_there_is_no_chart(run: Run) -> None:
    recipe = catalog.load("drive")
    assert holdings.of(recipe, survey.of_recipe(recipe), None) is None
    assert "medfetch plan" not in run("info", "drive", "--plot", code=2).err  # by hand
    assert "medfetch plan mimic-cxr-jpg --plot" in run("info", "mimic-cxr-jpg", "--plot", code=2).err
    run("plan", "lidc-idri", "--limit", "1")
    assert "no journal" in run("status", "lidc-idri", "--plot", code=2).err
    run("plan", "kits19", "--limit", "1")
    assert run("status", "--plot").err.count("no journal") == 2


@pytest.mark.parametrize("width", [20, 80, 300])
def test_bars_fit_into_the_terminal(width: int) -> None:
    drawn = list(terminal.lines(CHART, width, "utf-8"))
    room = min(max(width, terminal.NARROWEST), terminal.WIDEST)
    bars = {line.split()[0]: line for line in drawn if line.startswith("  ")}
    assert max(map(len, bars.values())) in (room - 1, room)
    assert bars["MR"].endswith("▏") and bars["US"].split() == ["US", "0"]
    plain = "".join(terminal.lines(CHART, width, "ascii"))
    assert "#" in plain and plain.isascii()


def test_pictures_are_the_same_each_time_and_say_what_they_show(run: Run, home: Path) -> None:
    for name in ("one.svg", "two.svg", "three.png"):
        assert run("info", "lidc-idri", f"--plot={name}").out == f"{name}\n"
    first = (home / "one.svg").read_bytes()
    assert first == (home / "two.svg").read_bytes()
    assert (home / "three.png").read_bytes().startswith(b"\x89PNG")
    svg = ElementTree.fromstring(first)
    assert svg.get("role") == "img"
    assert svg.findtext(f"{SVG}title") == "LIDC-IDRI (lidc-idri)"
    assert "Series by modality (series): CT 1,018, DX 237, CR 53." in (svg.findtext(f"{SVG}desc") or "")
    words = "".join(svg.itertext())  # text is text, not outlines
    assert all(word in words for word in ("modality", "GB", "subjects", "idc-index-data"))


def test_what_a_name_says_is_text_in_a_picture(tmp_path: Path) -> None:
    from medfetch.charts import figure

    figure.write(CHART, tmp_path / "chart.svg")
    assert CHART.title in [element.text for element in ElementTree.parse(tmp_path / "chart.svg").iter(f"{SVG}text")]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--plot=x.pdf", "lidc-idri"), 2, "--plot=FILE.svg or --plot=FILE.png"),
        (("--plot", "lidc-idri"), 2, "--plot alone, for the terminal, comes last"),
        (("lidc-idri", "--plot=none/x.svg"), 1, "none/x.svg cannot be written"),
    ],
)
def test_what_is_no_picture_is_said(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    assert said in " ".join(run("info", *arguments, code=code).err.split())


def test_without_matplotlib_it_says_what_to_install(run: Run, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "matplotlib.py").write_text("raise ImportError")
    ran = run("info", "lidc-idri", "--plot=x.svg", code=2, PYTHONPATH=str(tmp_path / "none"))
    assert "pip install 'medfetch[plot]'" in ran.err
    assert "█" in run("info", "lidc-idri", "--plot", PYTHONPATH=str(tmp_path / "none")).out


def test_plans_of_several_have_a_picture_each(run: Run, home: Path) -> None:
    files = [
        {"path": f"{kind}/{n}.{kind}", "url": f"http://h.example/{n}", "size": n} for n in range(9) for kind in "ab"
    ]
    names = [write_recipe(home, name, parts={"all": {"routes": http_route(*files)}}) for name in ("one", "two")]
    run("plan", *names, "--plot=plan.svg")
    assert sorted(path.name for path in home.glob("*.svg")) == ["plan-one.svg", "plan-two.svg"]
    chart = run("plan", names[0], "--plot", "--json").last["chart"]
    assert [panel["title"] for panel in chart["panels"]][:2] == ["Files by kind", "Size by kind"]
    assert chart["panels"][0]["rows"] == [[".a", 9], [".b", 9]]


def test_a_run_leaves_a_journal_that_status_draws(run: Run, cache: Path) -> None:
    run("get", "lidc-idri", "--select", "subject=LIDC-IDRI-0001", "--limit", "1")
    (kept,) = journal.read(Home(cache / "lidc-idri" / "current"))
    seconds, size, files, failed, _ = kept.rows[-1]
    assert seconds > 0 and size > 0 and files > 1 and failed == 0
    lines = run("status", "lidc-idri", "--plot", "--json").lines
    assert lines[-1]["chart"]["panels"][0]["title"] == "Rate"
    assert "lidc-idri: rate and failures" in run("status", "lidc-idri", "--plot").out


def test_a_long_run_has_a_short_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(journal.time, "monotonic", lambda: now)
    home = Home(tmp_path / "d" / "v")
    home.inner.mkdir(parents=True)
    kept = Journal(home, plan="p")
    for second in range(20_000):
        now = 1000.0 + second
        kept.note(1000 * second, second, second // 100, 0)
    kept.note(1000 * second, second, 199, 0, last=True)
    (past,) = journal.read(home)
    assert journal.ROWS / 2 <= len(past.rows) <= journal.ROWS
    assert past.rows[0] == (0.0, 0, 0, 0, 0) and past.rows[-1][:4] == (19_999.0, 19_999_000, 19_999, 199)
    assert all(row[1] == 1000 * row[0] for row in past.rows)
    chart = course.of("d", None, [past], 20)
    assert {round(rate or 0) for rate in rows(chart, "Rate").values()} == {1000}
    assert sum(failed or 0 for failed in rows(chart, "Failures").values()) == 199


def test_journals_are_of_the_newest_runs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT", 3)
    home = Home(tmp_path / "d" / "v")
    home.inner.mkdir(parents=True)
    for number in range(1, 6):
        monkeypatch.setattr(journal.time, "time", lambda number=number: float(number))
        Journal(home).note(number, 0, 0, 0, last=True)
    Journal(home).note(0, 0, 0, 0, last=True)  # nothing to do
    (home.journal / "99.json").write_text('{"since": 1')
    assert [run.since for run in journal.read(home)] == [3.0, 4.0, 5.0]


def test_where_nothing_ran_there_is_a_gap_and_tasks_add_up() -> None:
    def past(since: float, rate: int) -> Past:
        return Past(since, ((0.0, 0, 0, 0, 0), (100.0, 100 * rate, 1, 0, 2)), {})

    chart = course.of("d", "1", [past(0, 5), past(0, 7), past(10_000, 3)], 20)
    assert chart and chart.summary == "3 runs, 3 min at work, 0 failures, 6 attempts repeated"
    (rate, repeated) = chart.panels
    values = [value for _, value in rate.rows]
    assert values[10] is None
    assert values[:10] == pytest.approx([12.0] * 10) and values[11:] == pytest.approx([3.0] * 10)
    assert rate.rows[10][0] == "nothing ran for 2 h 45 min"
    assert sum(value or 0 for _, value in repeated.rows) == 6
