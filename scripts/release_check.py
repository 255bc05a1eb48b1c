"""Whether all that names the version agrees, and recipes/NUMBER was raised; before a release, with its tag:

    python scripts/release_check.py [v1.2.3 | recipes-7]

Needs Python alone, and git for what was released before. Without a tag it looks at what has to be so at any time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(root: Path, tag: str | None) -> Iterator[str]:
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    in_code = _found(r'^__version__ = "(.+)"$', root / "src" / "medfetch" / "__init__.py")
    if in_code != version:
        yield f"src/medfetch/__init__.py has version {in_code}, pyproject.toml {version}"
    in_conda = _found(r'^  version: "(.+)"$', root / "conda" / "recipe.yaml")
    if in_conda != version:
        yield f"conda/recipe.yaml has version {in_conda}, pyproject.toml {version}: make docs"
    headings = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    newest = headings[0] if headings else "nothing"
    released = re.fullmatch(rf"\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d", newest)
    if not released and newest != f"[Unreleased] {version}":
        yield f"CHANGELOG.md begins with {newest!r}, expected '[{version}] - DATE' or '[Unreleased] {version}'"
    if version.endswith(".0") and not (root / "tests" / "data" / "formats" / version).is_dir():
        yield f"tests/data/formats/{version} is missing: python tests/format_samples.py"
    number = (root / "recipes" / "NUMBER").read_text(encoding="ascii").strip()
    if tag and tag.startswith("v"):
        if tag != f"v{version}":
            yield f"the tag is {tag}, the version {version}"
        if not released:
            yield f"CHANGELOG.md begins with {newest!r}, which is not released"
    elif tag and tag != f"recipes-{number}":
        yield f"the tag is {tag}, expected v{version} or recipes-{number}"
    if tag:
        yield from _of_recipes(root, tag, int(number))


def _of_recipes(root: Path, tag: str, number: int) -> Iterator[str]:
    """Recipes that are another set than those last published have a higher number."""
    last = _git(root, "describe", "--tags", "--abbrev=0", "--match=v*", "--match=recipes-*", f"{tag}^")
    if last is None or (before := _git(root, "show", f"{last}:recipes/NUMBER")) is None:
        return
    if _git(root, "diff", "--name-only", last, "--", "recipes") and number <= int(before):
        yield f"recipes have changed since {last}, but recipes/NUMBER is {number}, as it was"


def _found(pattern: str, path: Path) -> str | None:
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    found = list(problems(ROOT, sys.argv[1] if len(sys.argv) > 1 else None))
    print("\n".join(found) or "all agree")
    sys.exit(bool(found))
