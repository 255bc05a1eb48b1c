"""The compiled recipes: what has not changed is not parsed again, what has changed is, and nothing depends on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medfetch import catalog, catalog_index, config, recipe_check, sources, yaml_marks
from medfetch.catalog_index import Index
from medfetch.errors import RecipeError, UsageProblem

RECIPE = """\
id: sample
name: Sample
summary: A sample.
access: {level: open}
routes: [{source: tcia, collection: A}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recipes of one's own: one."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "sample.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the index is kept; not made yet."""
    file = tmp_path / "index" / "recipes.json"
    monkeypatch.setattr(config, "recipe_index", lambda: file)
    return file


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is parsed from now on."""
    found: list[bytes] = []
    parse = yaml_marks.parse
    monkeypatch.setattr(yaml_marks, "parse", lambda raw: found.append(raw) or parse(raw))
    return found


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is checked from now on."""
    found: list[Path] = []
    check = recipe_check.check_recipe
    monkeypatch.setattr(
        recipe_check, "check_recipe", lambda path, known, stem: found.append(path) or check(path, known, stem)
    )
    return found


def test_nothing_is_parsed_where_nothing_has_changed(folder: Path, file: Path, parsed: list[bytes]) -> None:
    first = catalog.search(extra=[folder])
    assert len(parsed) == len(first) + 1  # and requirements.yaml
    parsed.clear()
    assert catalog.search(extra=[folder]) == first
    assert parsed == []


def test_only_what_has_changed_is_parsed(folder: Path, file: Path, parsed: list[bytes]) -> None:
    path = folder / "sample.yaml"
    catalog.search(extra=[folder])
    parsed.clear()
    before = path.stat()
    path.write_text(RECIPE.replace("A sample.", "B sample."))
    # Neither size nor time tell: a copy may keep both.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert [recipe.summary for recipe in catalog.search(extra=[folder]) if recipe.id == "sample"] == ["B sample."]
    assert parsed == [path.read_bytes()]


def test_what_is_new_or_gone_is_seen(folder: Path, file: Path) -> None:
    def ids() -> set[str]:
        return {recipe.id for recipe in catalog.search(extra=[folder])}

    before = ids()
    (folder / "another.yaml").write_text(RECIPE.replace("sample", "another"))
    assert ids() == before | {"another"}
    (folder / "another.yaml").unlink()
    (folder / "sample.yaml").unlink()
    assert ids() == before - {"sample"}
    (folder / "third.yaml").write_text(RECIPE.replace("sample", "third"))
    assert ids() == before - {"sample"} | {"third"}
    # What is gone does not pile up.
    assert str(folder / "another.yaml") not in json.loads(file.read_text())["entries"]


def test_a_change_of_shared_requirements_is_seen(folder: Path, file: Path) -> None:
    path = folder / "sample.yaml"
    path.write_text(RECIPE.replace("{level: open}", "{level: account, requires: [door]}"))
    steps = folder / "requirements.yaml"
    steps.write_text("door: {kind: account, do: knock}\n")
    assert [step.do for step in catalog.load("sample", [folder]).access.requires] == ["knock"]
    steps.write_text("door: {kind: account, do: ring}\n")
    assert [step.do for step in catalog.load("sample", [folder]).access.requires] == ["ring"]
    # That the recipe was right before does not help where what it requires is gone.
    steps.write_text("gate: {kind: account, do: ring}\n")
    with pytest.raises(RecipeError, match="there is no requirement 'door'"):
        catalog.load("sample", [folder])


def test_what_was_found_right_is_not_checked_again(folder: Path, file: Path, checked: list[Path]) -> None:
    path = folder / "sample.yaml"
    first = catalog.load("sample", [folder])
    assert catalog.load("sample", [folder]) == first and checked == [path]
    path.write_text(f"{RECIPE}subjects: 3\n")
    assert catalog.load("sample", [folder]).subjects == 3 and checked == [path, path]
    path.write_text(f"{RECIPE}subjects: none\n")
    for _ in range(2):  # What is wrong stays so, however often it is asked for.
        with pytest.raises(RecipeError, match="expected a whole number"):
            catalog.load("sample", [folder])


def test_listing_does_not_make_a_recipe_right(folder: Path, file: Path) -> None:
    (folder / "sample.yaml").write_text(f"{RECIPE}nonsense: 3\n")
    assert "sample" in {recipe.id for recipe in catalog.search(extra=[folder])}
    with pytest.raises(RecipeError, match="unknown field 'nonsense'"):
        catalog.load("sample", [folder])


def test_the_id_is_checked_with_the_name_of_the_file(folder: Path, file: Path) -> None:
    path = folder / "sample.yaml"
    assert catalog.load(str(path)).id == "sample"
    path.rename(folder / "other.yaml")
    with pytest.raises(RecipeError, match="is not the file's name 'other'"):
        catalog.load("other", [folder])


def test_a_source_that_is_gone_is_missed(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sample.yaml").write_text(RECIPE.replace("tcia, collection: A", "orthanc"))
    with monkeypatch.context() as installed:
        installed.setattr(sources, "names", lambda: ["orthanc"])
        assert catalog.load("sample", [folder]).id == "sample"
    with pytest.raises(RecipeError, match="there is no source 'orthanc'"):
        catalog.load("sample", [folder])


@pytest.mark.parametrize("content", ["1: x", "a: 1.5\nb: .nan", "a: !!binary aGk=", "a: !!set {b, c}"])
def test_what_json_would_change_is_parsed_each_time(
    content: str, tmp_path: Path, file: Path, parsed: list[bytes]
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(content)
    for _ in range(2):
        with Index(file) as index:
            assert repr(index.read(path)) == repr(yaml_marks.parse(path.read_bytes()))
    assert len(parsed) == 4


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"maker": "another", "entries": {}}', b"null"])
def test_a_damaged_index_is_made_anew(damage: bytes, folder: Path, file: Path, parsed: list[bytes]) -> None:
    whole = catalog.search(extra=[folder])
    kept = json.loads(file.read_bytes())
    file.write_bytes(damage)
    assert catalog.search(extra=[folder]) == whole
    assert json.loads(file.read_bytes()) == kept
    assert len(parsed) == 2 * (len(whole) + 1)


def test_of_other_code_nothing_is_believed(
    folder: Path, file: Path, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = catalog.search(extra=[folder])
    parsed.clear()
    monkeypatch.setattr(catalog_index, "MAKERS", catalog_index.MAKERS[:-1])
    assert catalog.search(extra=[folder]) == whole
    assert len(parsed) == len(whole) + 1


def test_where_nothing_can_be_kept_all_works(folder: Path, file: Path) -> None:
    file.parent.write_text("a file, where a folder is wanted")
    for _ in range(2):
        assert "sample" in {recipe.id for recipe in catalog.search(extra=[folder])}
        assert catalog.load("sample", [folder]).id == "sample"
    with pytest.raises(UsageProblem, match="there is no recipe 'another'"):
        catalog.load("another", [folder])


def test_a_full_disk_leaves_the_old_index(folder: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.search(extra=[folder])
    before = file.read_bytes()
    (folder / "sample.yaml").write_text(f"{RECIPE}subjects: 3\n")

    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    assert catalog.load("sample", [folder]).subjects == 3
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_processes_at_once_leave_a_whole_index(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from medfetch import catalog\n"
        "for number in range(20):\n"
        "    path = Path(sys.argv[1], sys.argv[2] + '.yaml')\n"
        "    path.write_text(Path(sys.argv[1], 'sample.yaml').read_text().replace('sample', sys.argv[2])"
        " + f'subjects: {number + 1}\\n')\n"
        "    found = catalog.load(sys.argv[2], [Path(sys.argv[1])])\n"
        "    assert found.subjects == number + 1, found\n"
    )
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "shared")}
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(folder), name], env=home, stderr=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    for each in running:
        _, said = each.communicate()
        assert each.returncode == 0, said
    [index] = (tmp_path / "shared" / "medfetch" / ".medfetch").iterdir()  # nothing else was left
    assert set(json.loads(index.read_bytes())) == {"maker", "entries"}
