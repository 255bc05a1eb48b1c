"""Shells complete commands, datasets, parts, sources and words: asked as shells ask, and in the shells themselves."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from running import PATIENCE, Run

from medfetch.cli import VERBS, group

BIN = Path(sys.executable).parent
RECIPE = """\
id: {name}
name: Sample
summary: A sample.
modality: [CT, X-ray]
anatomy: [lymph nodes]
access: {{level: open}}
licence: {{id: "Some words, (in brackets)"}}
parts:
  images: {{routes: [{{source: tcia, collection: A}}, {{source: http, files: [{{path: a, url: "https://h/a"}}]}}]}}
  outlines: {{summary: Lines., routes: [{{source: idc, collection: a}}]}}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipes of one's own: two."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("zz-first", "zz-second"):
        (folder / f"{name}.yaml").write_text(RECIPE.format(name=name))
    monkeypatch.setenv("MEDFETCH_RECIPES", str(folder))
    monkeypatch.setenv("MEDFETCH_CONFIG", str(tmp_path / "none.yaml"))
    return folder


def asked(line: str) -> list[str]:
    """What is offered for the last word of a line."""
    *words, begun = line.split(" ")
    found = ShellComplete(group, {}, "medfetch", "_MEDFETCH_COMPLETE").get_completions(words, begun)
    return [f"{item.type}:{item.value}" if item.type != "plain" else item.value for item in found]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("inf", ["info"]),
        ("info zz-", ["zz-first", "zz-second"]),
        ("get zz-f", ["zz-first"]),
        ("get zz-first zz-", ["zz-second"]),
        ("access zz-s", ["zz-second"]),
        ("get ./mi", ["file:./mi"]),
        ("get zz-first --part ", ["images", "outlines"]),
        ("plan zz-first --part o", ["outlines"]),
        ("get zz-first --route ", ["http", "idc", "tcia"]),
        ("get --route ", []),
        ("list --modality X", ["X-ray"]),
        ("list --modality x-R", ["X-ray"]),
        ("list --anatomy lymph", ["lymph-nodes"]),
        ("list --licence Some", []),
        ("list --access ope", ["open"]),
        ("list --sort s", ["size", "subjects"]),
        ("list --sourc", ["--source"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("info no-such-", []),
    ],
)
def test_what_is_offered(line: str, offered: list[str], mine: Path) -> None:
    assert asked(line) == offered


def test_all_commands_are_offered() -> None:
    assert asked("") == list(VERBS)


def test_a_broken_recipe_does_not_break_the_line(mine: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (mine / "zz-third.yaml").write_text("id: [")
    assert asked("info zz-") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        ("medfetch ", {"medfetch.catalog", "medfetch.config", "yaml"}),
        ("medfetch info lid", {"medfetch.recipe_check", "medfetch.runner", "jsonschema", "yaml"}),
        ("medfetch list --modality ", {"medfetch.recipe_check", "medfetch.runner", "jsonschema", "yaml"}),
        ("medfetch get lid", {"medfetch.recipe_check", "jsonschema", "duckdb", "requests", "numpy"}),
    ],
)
def test_completing_imports_little(words: str, unneeded: set[str], run: Run) -> None:
    run("list")  # compiles the recipes
    code = (
        "import json, sys; from medfetch.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "json.dump(sorted(sys.modules), sys.stderr)"
    )
    assert isinstance(run.environment, dict)
    more = {"_MEDFETCH_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=run.environment | more, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()
    assert unneeded & set(json.loads(done.stderr)) == set()


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install {name}")
    return found


def environment(run: Run) -> dict[str, str]:
    return run.environment | {"PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "READY> "}


def test_in_bash_by_its_function(run: Run) -> None:
    script = (
        'eval "$(medfetch completion bash)"; complete -p medfetch\n'
        'ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _medfetch_completion medfetch;'
        ' echo "${#COMPREPLY[@]} ${COMPREPLY[*]}"; }\n'
        "ask medfetch info lidc-i; ask medfetch get nlst --part sl; ask medfetch list --anatomy lymph"
    )
    done = subprocess.run(
        [shell("bash"), "--norc", "-c", script], env=environment(run), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].endswith("_medfetch_completion medfetch")
    assert done.stdout.splitlines()[1:] == ["1 lidc-idri", "1 slides", "1 lymph-nodes"]


def test_in_fish_by_its_own_command(run: Run) -> None:
    script = 'medfetch completion fish | source; complete -C "medfetch info lidc-i"'
    done = subprocess.run(
        [shell("fish"), "-c", script], env=environment(run), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["lidc-idri\tLIDC-IDRI"]


@pytest.mark.parametrize(
    ("name", "options", "first"),
    [("bash", ["--norc", "--noprofile", "-i"], ""), ("zsh", ["-f", "-i"], "autoload -U compinit; compinit -u -D; ")],
)
def test_at_the_keyboard(name: str, options: list[str], first: str, run: Run) -> None:
    program, surroundings = shell(name), environment(run)
    child, terminal = pty.fork()
    if child == 0:
        os.execve(program, [program, *options], surroundings)
    try:
        said = wait_for(terminal, "READY> ", "")
        os.write(terminal, f'{first}eval "$(medfetch completion {name})"; echo do"ne"\n'.encode())
        said = wait_for(terminal, "READY> ", wait_for(terminal, "done\r\n", said))
        os.write(terminal, b"medfetch info lidc-i\t\n")
        wait_for(terminal, "LIDC-IDRI (lidc-idri)", said)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def wait_for(terminal: int, text: str, said: str) -> str:
    """Reads on until a terminal has said a text; what it said beyond that."""
    until = time.monotonic() + PATIENCE
    while text not in said:
        ready, _, _ = select.select([terminal], [], [], max(0, until - time.monotonic()))
        assert ready, f"{text!r} did not come, but {said!r}"
        said += os.read(terminal, 4096).decode(errors="replace")
    return said.partition(text)[2]
