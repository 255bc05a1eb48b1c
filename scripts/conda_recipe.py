"""Writes conda/recipe.yaml, from pyproject.toml, to standard output (``make docs``)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

NAMES = {"duckdb": "python-duckdb"}
"""Packages that conda-forge has under another name."""
PAGE = """\
# Written by `make docs` from pyproject.toml, for rattler-build:  rattler-build build --recipe conda/recipe.yaml
# Dependencies have their names of PyPI, but for those that scripts/conda_recipe.py lists. It was not established that
# conda-forge has each of them: bencode2, idc-index-data and tcia-utils should be looked up first.
schema_version: 1

package:
  name: medfetch
  version: "{version}"

source:
  path: ..
  use_gitignore: true

build:
  noarch: python
  number: 0
  script: python -m pip install . --no-deps --no-build-isolation -vv
  python:
    entry_points:
      - medfetch = medfetch.cli:main

requirements:
  host:
    - python {python}
    - pip
    - hatchling
  run:
    - python {python}
{run}
tests:
  - python:
      imports: [medfetch]
      pip_check: true
  - script:
      - medfetch --version
      - medfetch recipe check

about:
  summary: {description}
  license: {license}
  license_file: LICENSE
"""


def page() -> str:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    run = "".join(f"    - {each}\n" for each in map(depends, project["dependencies"]))
    return PAGE.format(
        version=project["version"], python=project["requires-python"], run=run, license=project["license"],
        description=f'"{project["description"]}"',
    )  # fmt: skip


def depends(requirement: str) -> str:
    """``duckdb>=1.1`` → ``python-duckdb >=1.1``; a package for all Pythons wants the same of each."""
    found = re.fullmatch(r"([\w.-]+)([^;]*).*", requirement)
    assert found, f"pyproject.toml: {requirement!r} begins with no name"
    return f"{NAMES.get(found[1], found[1])} {found[2].strip()}".strip()


if __name__ == "__main__":
    print(page(), end="")
