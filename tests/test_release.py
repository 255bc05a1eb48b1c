"""What a release is made from agrees with itself: version, changelog, conda recipe, image, pinned actions."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from medfetch.recipe_folders import builtin
from medfetch.updates import index

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _script(name: str) -> ModuleType:
    path = ROOT / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CHECK, CONDA = _script("release_check"), _script("conda_recipe")


def test_all_that_names_the_version_agrees() -> None:
    assert list(CHECK.problems(ROOT, None)) == []


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A repository as it is when its version is tagged."""
    for name in ("pyproject.toml", "CHANGELOG.md", "src/medfetch/__init__.py", "conda/recipe.yaml", "recipes/NUMBER"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tests" / "data" / "formats" / VERSION).mkdir(parents=True)
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(
        re.sub(r"^## .+$", f"## [{VERSION}] - 2026-12-01", text, count=1, flags=re.M)
    )
    _git(tmp_path, "init", "-q")
    return _tagged(tmp_path, f"v{VERSION}")


def _git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def _tagged(folder: Path, tag: str) -> Path:
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "--allow-empty", "-m", tag)
    _git(folder, "tag", tag)
    return folder


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="apt-get install git")


@needs_git
def test_a_release_in_order_and_what_is_out_of_it(released: Path) -> None:
    assert list(CHECK.problems(released, f"v{VERSION}")) == []
    assert list(CHECK.problems(released, "v9.9.9")) == [f"the tag is v9.9.9, the version {VERSION}"]
    for name, old, new in (
        ("src/medfetch/__init__.py", f'"{VERSION}"', '"0.0.1"'),
        ("conda/recipe.yaml", f'"{VERSION}"', '"0.0.1"'),
        ("CHANGELOG.md", f"[{VERSION}] - 2026-12-01", f"[Unreleased] {VERSION}"),
    ):
        text = (released / name).read_text(encoding="utf-8")
        (released / name).write_text(text.replace(old, new, 1))
        [problem] = CHECK.problems(released, f"v{VERSION}")
        assert name in problem
        (released / name).write_text(text)


@needs_git
def test_recipes_that_have_changed_have_a_higher_number(released: Path) -> None:
    number = int((released / "recipes" / "NUMBER").read_text())
    (released / "recipes" / "sample.yaml").write_text("id: sample\n")
    _tagged(released, f"recipes-{number}")
    [problem] = CHECK.problems(released, f"recipes-{number}")
    assert f"changed since v{VERSION}" in problem
    (released / "recipes" / "NUMBER").write_text(f"{number + 1}\n")
    _tagged(released, f"recipes-{number + 1}")
    assert list(CHECK.problems(released, f"recipes-{number + 1}")) == []
    assert list(CHECK.problems(released, f"recipes-{number + 2}")) != []


def test_the_conda_recipe_is_what_pyproject_says() -> None:
    page = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert page == CONDA.page(), "run: make docs"
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    run = yaml.safe_load(page)["requirements"]["run"]
    assert len(run) == len(wanted) + 1 and CONDA.NAMES.keys() <= {re.split("[<>=]", each)[0] for each in wanted}
    assert CONDA.depends("backports.zstd>=1; python_version < '3.14'") == "backports.zstd >=1"


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.name for path in WORKFLOWS])
def test_workflows_use_pinned_actions_and_no_rights_by_default(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used and [each for each in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", each[0])] == []
    assert [each for each in used if not re.fullmatch(r" # v\d+\.\d+\.\d+", each[1])] == []
    content = yaml.safe_load(text)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] and set(job["permissions"]) <= {"contents", "id-token", "attestations", "issues"}
        for script in (step.get("run", "") for step in job["steps"]):
            assert "${{" not in script, "what others may have named goes through the environment"


def test_the_image_has_what_it_is_built_from_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M) for name in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[0] == "!"}
    assert copied == let_in and all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^USER (.+)$", text, re.M) == ["1000"]


def test_the_script_signs_an_index_that_is_then_believed(tmp_path: Path) -> None:
    from test_recipe_update import new_key

    def script(*arguments: str, key: bytes, code: int = 0) -> str:
        command = [sys.executable, str(ROOT / "scripts" / "recipe_index.py"), *arguments]
        done = subprocess.run(command, input=key, capture_output=True, check=False)
        assert done.returncode == code, done.stderr
        return (done.stdout + done.stderr).decode()

    key, path = new_key(), tmp_path / "recipes.json"
    told = script(str(path), "--recipes", str(builtin()), key=key)
    found = index.opened(path.read_bytes(), (tmp_path / "recipes.json.sig").read_bytes(), [index.public(key)], "here")
    assert found.digest in told and script("--public", key=key).strip() == index.public(key)
    assert "secret" not in script("--public", key=b"secret", code=2)
