"""``medfetch list`` and ``medfetch info``: which recipes are shown, in which order, and what of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from running import Run

RECIPES = {
    "aa-large": """\
modality: [MR, PET]
anatomy: [lymph nodes]
tasks: [segmentation]
subjects: 12
size: 3 TB
licence: {id: CC-BY-4.0}
access: {level: open}
status: {is: available, as_of: 2026-11-20}
homepage: https://aa.example.org/
also: ["ftp://old.example.org"]
routes: [{source: tcia, collection: A}]
""",
    "bb-small": """\
modality: [CT]
subjects: 1234
size: 10 MB
licence: {id: CC-BY-NC-4.0}
access: {level: application}
status: {is: gated, as_of: 2026-11-20}
parts:
  images:
    summary: The scans, of which there are so many that to tell what they are takes more than one line of the terminal.
    size: 10 MB
    unpacked: 20 MB
    routes:
      - {source: tcia, collection: A}
      - {source: http, third_party: true, files: [{path: a, url: "https://h.example.org/a"}]}
  more:
    default: false
    licence: {id: CC0-1.0}
    routes: [{source: idc, collection: a}]
evidence: [{fact: all, source: "https://bb.example.org/read", read: 2026-11-20}]
unknown: [what is in more]
""",
    "cc-unknown": "modality: [CT]\naccess: {level: closed}\n",
}


@pytest.fixture
def mine(home: Path) -> None:
    """Recipes of one's own, all with one word in their summary."""
    for name, text in RECIPES.items():
        (home / f"{name}.yaml").write_text(f"id: {name}\nname: Of {name}\nsummary: Quokkas.\n{text}")


def ids(run: Run, *options: str) -> list[str]:
    return [each["id"] for each in run("list", "quokkas", *options, "--json").lines]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["aa-large", "bb-small", "cc-unknown"]),
        (["--modality", "PET"], ["aa-large"]),
        (["--modality", "pet", "--modality", "CT"], ["aa-large", "bb-small", "cc-unknown"]),
        (["--modality", "CT", "--access", "closed"], ["cc-unknown"]),
        (["--access", "closed", "--access", "open"], ["aa-large", "cc-unknown"]),
        (["--anatomy", "lymph nodes"], ["aa-large"]),
        (["--anatomy", "Lymph-Nodes"], ["aa-large"]),
        (["--task", "segmentation"], ["aa-large"]),
        (["--source", "http"], ["bb-small"]),
        (["--licence", "cc-by-4.0"], ["aa-large"]),
        (["--licence", "CC-BY-*"], ["aa-large", "bb-small"]),
        (["--licence", "CC0-1.0"], ["bb-small"]),  # of a part
        (["--status", "gated"], ["bb-small"]),
        (["--status", "unknown"], ["cc-unknown"]),  # where nothing is said of it
        (["--max-size", "1G"], ["bb-small"]),
        (["--sort", "size"], ["bb-small", "aa-large", "cc-unknown"]),
        (["--sort", "size", "--reverse"], ["aa-large", "bb-small", "cc-unknown"]),
        (["--sort", "subjects"], ["aa-large", "bb-small", "cc-unknown"]),
        (["--sort", "modality"], ["bb-small", "cc-unknown", "aa-large"]),
        (["--sort", "access"], ["aa-large", "bb-small", "cc-unknown"]),
        (["--sort", "access", "--reverse"], ["cc-unknown", "bb-small", "aa-large"]),
        (["--reverse"], ["cc-unknown", "bb-small", "aa-large"]),
    ],
)
def test_filters_and_orders(options: list[str], found: list[str], mine: None, run: Run) -> None:
    assert ids(run, *options) == found


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        (["--status", "gatet"], "'gatet' is not a known status", "did you mean gated?"),
        (["--source", "htp"], "'htp' is not a known source", "did you mean http"),
        (["--licence", "CC-BY-5.0"], "'CC-BY-5.0' is not a known licence", "did you mean CC-BY-"),
        (["--sort", "colour"], "'colour' is not one of", ""),
        (["--modality", "CT", "--modality", "MRI"], "'MRI' is not a known modality", "did you mean fMRI or MR?"),
    ],
)
def test_words_that_nobody_knows(options: list[str], said: str, hint: str, mine: None, run: Run) -> None:
    told = run("list", *options, code=2)
    assert said in told.err and hint in told.err and not told.out


@pytest.mark.parametrize("address", ["http://www.aa.example.org", "ftp://old.example.org/", "old.example.org/"])
def test_an_address_is_looked_for(address: str, mine: None, run: Run) -> None:
    assert [each["id"] for each in run("list", address, "--json").lines] == ["aa-large"]
    told = run("list", address, "--modality", "CT")
    assert told.out == "" and told.err == "no recipe matches\n"


def test_a_row_says_what_it_is_sorted_by(mine: None, run: Run) -> None:
    assert run("list", "quokkas").out.splitlines() == [
        "aa-large          3.0 TB  open         Quokkas.",
        "bb-small         10.0 MB  application  Quokkas.",
        "cc-unknown  size unknown  closed       Quokkas.",
    ]
    assert "1,234  Quokkas." in run("list", "quokkas", "--sort", "subjects").out.splitlines()[1]
    assert "MR, PET  Quokkas." in run("list", "quokkas", "--sort", "modality").out.splitlines()[2]


def test_json_tells_all_that_can_be_asked_for(mine: None, run: Run) -> None:
    found = run("list", "quokkas", "--json").lines[1]
    assert found["status"] == {"is": "gated", "as_of": "2026-11-20"}
    assert (found["sources"], found["licence"]) == (["http", "idc", "tcia"], ["CC-BY-NC-4.0", "CC0-1.0"])
    assert (found["subjects"], found["size"], found["parts"]) == (1234, 10_000_000, ["images", "more"])


def test_info_is_a_page_that_fits(mine: None, run: Run) -> None:
    page = run("info", "bb-small").out
    assert all(len(line) <= 100 for line in page.splitlines())
    images, rest, note, more_title, more = page[page.index("parts\n") :].splitlines()[1:6]
    assert re.match(r"  images  10\.0 MB  tcia, then http \(third party\)  The scans, of which", images)
    indent = images.index("The scans")
    assert rest[:indent].isspace() and rest[indent] != " " and "Unpacked 20.0 MB." in rest + note
    assert more_title == "parts that come only with --part"
    assert re.match(r"  more +idc +Licence: CC0-1\.0\.", more)
    assert "  all: https://bb.example.org/read (2026-11-20)\n" in page and page.endswith("unknown\n  what is in more\n")
    assert "  also       ftp://old.example.org\n" in run("info", "aa-large").out
    assert "also" not in page


def test_info_for_scripts(mine: None, run: Run) -> None:
    told = json.loads(run("info", "aa-large", "--json").out)
    assert told["also"] == ["ftp://old.example.org"] and told["homepage"] == "https://aa.example.org/"
