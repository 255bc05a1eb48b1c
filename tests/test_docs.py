"""The documentation says what the program does: commands, options, settings, endpoints. Its links lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from medfetch import catalog, known_sources, outlook, sources
from medfetch.cli import VERBS
from medfetch.config import Settings
from medfetch.errors import MedfetchError

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "cache" / "README.md"])


def _script(name: str) -> ModuleType:
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # there, the others find it
    spec.loader.exec_module(module)
    return module


REFERENCE = _script("command_reference")
TABLE = _script("dataset_table")
ERRORS = _script("error_reference")
RECIPES = _script("recipe_reference")
SOURCES = _script("source_reference")
MAN = _script("man_pages")
WRITTEN = {
    "cli": REFERENCE.reference,
    "datasets": TABLE.page,
    "errors": ERRORS.page,
    "recipe-reference": RECIPES.page,
    "source-reference": SOURCES.page,
}
"""Pages that ``make docs`` writes."""
COMMANDS: list[tuple[str, click.Command]] = list(REFERENCE.commands())


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_command_and_option_says_what_it_does(name: str, command: click.Command) -> None:
    assert command.help
    assert [option.name for option in REFERENCE.options(command) if not option.help] == []


def test_every_verb_is_summed_up() -> None:
    assert [verb for verb, summary in VERBS.items() if not summary] == []
    assert {name.split()[1] for name, _ in COMMANDS} == set(VERBS)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_page_from_the_code_is_what_the_code_says(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert page == WRITTEN[name](), "run: make docs"


def test_man_pages_are_what_the_commands_say() -> None:
    folder = ROOT / "man"
    found = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.glob("*/*")}
    assert found == MAN.pages(), "run: make docs"
    assert {f"man1/medfetch-{verb}.1" for verb in VERBS} < set(found)


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff: apt-get install groff")
def test_man_pages_are_good_roff() -> None:
    pages = sorted(map(str, (ROOT / "man").glob("*/*")))
    done = subprocess.run(
        ["groff", "-K", "utf-8", "-man", "-ww", "-T", "utf8", "-P-cbou", *pages], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("SYNOPSIS") == len(VERBS) + 1
    if shutil.which("mandoc"):
        # A date would be another with each making.
        lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True)
        assert [line for line in lint.stdout.splitlines() if "missing date" not in line] == []


def test_each_kind_of_error_is_one_class_and_has_a_heading() -> None:
    kinds = [each.kind for each in ERRORS.kinds()]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == set(ERRORS.TOLD) <= _headings(ROOT / "docs" / "errors.md")


def test_errors_elsewhere_have_a_kind_that_is_told_of() -> None:
    list(known_sources.known(Settings(ROOT)))  # imports all sources
    pending = [MedfetchError]
    while pending:
        each = pending.pop()
        pending += each.__subclasses__()
        assert each.kind in ERRORS.TOLD, each


def test_every_page_has_its_place_on_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    places = re.findall(
        r"^(/?[\w-]+)$", "".join(re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)), re.MULTILINE
    )
    pages = {f"docs/{path.stem}" for path in ROOT.glob("docs/*.md")} - {"docs/index"} | {
        path.stem for path in ROOT.glob("*.md")
    }
    named = [place.removeprefix("/") if place.startswith("/") else f"docs/{place}" for place in places]
    assert sorted(named) == sorted(pages), "put it into a list of docs/index.md"


def test_the_page_of_datasets_has_a_row_for_each_recipe() -> None:
    rows = [line for line in TABLE.page().splitlines() if line.startswith("| ")]
    assert {line.count(" |") for line in rows} == {9}
    assert [re.sub(r"^\| \[?([^\] ]+).*", r"\1", row) for row in rows[2:]] == list(catalog.find())


def test_of_every_source_it_is_known_whether_its_host_tells_checksums() -> None:
    assert set(sources.BUILTIN) <= outlook.TELLING | outlook.SILENT, "say so in src/medfetch/outlook.py"
    assert not outlook.TELLING & outlook.SILENT


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([a-z_]+)` \| `MEDFETCH_", page, re.MULTILINE))
    by_options_only = {"sandbox", "made_up", "links"}
    assert rows == {field.name for field in dataclasses.fields(Settings)} - by_options_only


def test_every_setting_has_the_variable_that_its_name_gives() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for name, variable in re.findall(r"^\| `([a-z_]+)` \| `MEDFETCH_([A-Z_]+)", page, re.MULTILINE):
        assert variable == {"endpoints": "ENDPOINT_"}.get(name, name.upper())


@pytest.mark.parametrize("source", sources.BUILTIN)
def test_every_endpoint_is_documented_with_its_address(source: str) -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9_]+)` \| [^|`]+ \| (.+) \|$", page, re.MULTILINE))
    for name, address in sources.get(source).traits.endpoints.items():
        assert rows[name].strip("`") == (address or "none: each file has its own")


def test_every_module_has_its_place_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "medfetch"
    modules = {path.stem for path in package.glob("[!_]*.py")}
    packages = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    rows = "".join(re.findall(r"^\| (`.+?) \|", page, re.MULTILINE))
    assert set(re.findall(r"`([a-z_]+/?)`", rows)) == modules | packages


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]
    missing = [link for link in links if not _leads_somewhere(page, link)]
    assert missing == []


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not heading or heading in _headings(target))


def _headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_pages_show_only_commands_and_options_that_exist(page: Path) -> None:
    options = {name.split()[1]: {"--help"} for name, _ in COMMANDS}
    for name, command in COMMANDS:
        options[name.split()[1]] |= {spelling for option in REFERENCE.options(command) for spelling in option.opts}
    for verb, rest in _commands_on(page):
        assert verb in options, f"medfetch {verb}{rest}"
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", rest)) <= options[verb], f"medfetch {verb}{rest}"


def _commands_on(page: Path) -> list[tuple[str, str]]:
    """What follows ``medfetch`` in a page's code: verb, and the rest of the command."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    in_lines = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    code = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    code += re.findall(r"`([^`\n]+)`", in_lines)
    return [(match[1], match[2]) for line in code if (match := re.match(r"medfetch ([a-z]+)\b([^#|]*)", line))]
