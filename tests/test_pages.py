"""The pages on shared caches and on machines without a network: their commands, run as they are written.

Only the folders are others (those of the pages are in ``/data`` and ``/media``), and the group ``lab`` is one that is
there.
"""

from __future__ import annotations

import grp
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import of_subject, tree

from medfetch.sandbox import Sandbox

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]


def commands(page: str) -> str:
    """The blocks of a page that are neither YAML nor the picture of a folder."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "".join(block for kind, block in blocks if not kind and not block.startswith("MEDFETCH.txt"))


@pytest.mark.parametrize("page", ["air-gapped.md", "shared-caches.md"])
def test_the_commands_of_a_page_do_what_it_says(page: str, box: Sandbox, tmp_path: Path) -> None:
    script = re.sub(r"/(data|media)/", rf"{tmp_path}/\1/", commands(page)).replace("sudo ", "")
    script = script.replace("-g lab ", f"-g {grp.getgrgid(os.getgid()).gr_name} ")
    for folder in ("bin", "data", "media", "home"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bin" / "medfetch").write_text(f'#!/bin/sh\nexec {sys.executable} -m medfetch "$@"\n')
    (tmp_path / "bin" / "medfetch").chmod(0o755)
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8",
        "MEDFETCH_CACHE": str(tmp_path / "cache"), "MEDFETCH_RESERVE": "0", **box.environment,
    }  # fmt: skip
    if page == "air-gapped.md":
        here, other = script.split("medfetch get lidc-idri --from")
        script = (
            f"{here}export MEDFETCH_CACHE={tmp_path}/other MEDFETCH_OFFLINE=1\nmedfetch get lidc-idri --from{other}"
        )
    done = subprocess.run(
        ["bash", "-euxc", script], env=environment, cwd=tmp_path / "home", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wanted = of_subject("LIDC-IDRI-0001")
    if page == "air-gapped.md":
        assert done.stdout.endswith(f"{tmp_path}/other/lidc-idri/current\n")
        assert tree(tmp_path / "other" / "lidc-idri" / "current") == wanted
    else:
        assert done.stdout.endswith(f"{tmp_path}/data/mirror/lidc-idri/current\n")
        assert tree(tmp_path / "data" / "medfetch" / "lidc-idri" / "current") == wanted
        assert not (tmp_path / "home" / "cache").exists()
