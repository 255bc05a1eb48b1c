"""Who may import whom: the law, written down once, and held by reading every module's imports.

Imports inside functions count too. Names are relative to ``medfetch``; a name stands for everything under it, too.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "medfetch"

MAY = {
    # The data, the errors and the smallest helpers stand on their own …
    "types": [],
    "errors": [],
    "archives": ["errors", "patterns", "types"],
    "folders": ["patterns", "types"],
    "leases": [],
    "patterns": [],
    "progress": ["errors"],
    "recipe_folders": ["errors"],
    "yaml_marks": [],
    "bibtex": [],
    "addresses": ["types"],
    "storage": ["errors"],
    "permissions": ["cache", "errors", "storage"],
    "cache": ["errors", "permissions", "storage"],
    "catalog_index": ["yaml_marks"],
    "checksum": ["errors", "types"],
    "croissant_terms": ["archives", "names"],
    "database": ["cache", "errors", "storage"],
    "packs": ["cache", "database", "errors", "ledger", "storage"],
    "stored": ["cache", "database", "packs"],
    "ledger": ["database", "errors", "types"],
    "partial": ["checksum", "errors", "storage", "types"],
    "pieces": ["machine", "storage"],
    "places": ["errors", "types"],
    "charts": ["charts", "errors", "journal", "progress", "survey", "types"],
    "charts.figure": ["charts", "errors"],
    "charts.terminal": ["charts"],
    "connections": ["machine"],
    "machine": [],
    "pool": [],
    "schedulers": [],
    "ranges": ["types"],
    "volumes": [],
    "hosts": ["leases"],
    # … secrets are found without knowing what they are for …
    "credentials": ["config", "credentials", "errors"],
    # … a source translates, and touches the network only through the Net that it is handed …
    "sources": ["archives", "errors", "types", "checksum", "patterns", "sources", "torrents"],
    "torrents": ["errors", "types"],
    "unpack": ["errors", "types", "checksum", "dicom", "patterns", "unpack"],
    # … and the sandbox shares no code with what is tried out against it.
    "sandbox": ["config", "errors", "sandbox", "sandboxed"],
}
"""All of medfetch that these may import."""

NEVER = {
    "net": ["sources", "state", "ledger", "transfer", "shard", "runner", "catalog", "cli"],
    "state": ["net", "sources", "transfer", "runner", "cli"],
    "forecast": ["net", "state", "ledger", "transfer", "runner", "schedulers", "cli"],
    "planning": ["net", "sources", "transfer", "runner", "cli"],
    "verify": ["net", "sources", "state", "ledger", "transfer", "runner", "cli"],
    "catalog": ["net", "state", "ledger", "cache", "transfer", "runner", "cli"],
    "brought": ["net", "sources", "state", "ledger", "transfer", "catalog", "runner", "cli"],
    "manual": ["net.http", "catalog", "cli"],
    "recipe_data": ["net", "catalog", "recipe_check", "sources", "cli"],
    "recipe_search": ["net", "catalog", "catalog_index", "recipe_check", "sources", "cli"],
    "requirements": ["net", "state", "ledger", "credentials", "agreements", "sources", "runner", "cli"],
    "agreements": ["net", "state", "ledger", "catalog", "sources", "runner", "cli"],
    "journal": ["net", "sources", "state", "ledger", "planning", "transfer", "runner", "cli"],
    "standing": ["net", "state", "ledger", "catalog", "sources", "doors", "runner", "cli"],
    "admission": ["net", "state", "ledger", "catalog", "sources", "doors", "runner", "cli"],
    "dois": ["state", "ledger", "transfer", "requirements", "standing", "runner", "cli"],
    "doors": ["state", "ledger", "catalog", "standing", "agreements", "runner", "cli"],
    "survey": ["net", "state", "ledger", "planning", "catalog", "runner", "cli"],
    "updates.index": ["net", "sources", "state", "ledger", "catalog", "runner", "cli"],
    "updates.installing": ["net", "sources", "state", "ledger", "runner", "cli"],
    "updates.obtaining": ["net.http", "state", "ledger", "catalog", "runner", "cli"],
    "swarm": ["net", "sources", "state", "ledger", "transfer", "runner", "cli"],
    "transfer": ["sources", "state", "ledger", "catalog", "requirements", "runner", "cli"],
    "fetching": ["state", "ledger", "catalog", "requirements", "runner", "cli"],
    "placing": ["net", "sources", "transfer", "catalog", "runner", "cli"],
    "piles": ["net", "sources", "state", "transfer", "catalog", "runner", "cli"],
    "sealing": ["net", "sources", "state", "planning", "transfer", "catalog", "runner", "cli"],
    "shard": ["net", "catalog", "requirements", "runner", "cli"],
    "engines": ["net", "sources", "state", "ledger", "catalog", "requirements", "runner", "cli"],
    "probe": ["net.http", "state", "ledger", "catalog", "transfer", "planning", "runner", "cli"],
    "drafts": ["net", "state", "ledger", "catalog", "transfer", "planning", "runner", "cli"],
    "opening": ["net", "sources", "state", "transfer", "runner", "cli"],
    "filesystem": ["net", "sources", "state", "transfer", "runner", "cli"],
    "taking": ["net", "sources", "transfer", "catalog", "requirements", "runner", "cli"],
    "layers": ["net", "sources", "transfer", "catalog", "runner", "cli"],
    "kept": ["net", "state", "ledger", "catalog", "sources", "runner", "cli"],
    "locks": ["net", "state", "transfer", "cli"],
    "pins": ["net", "sources", "transfer", "catalog", "runner", "cli"],
    "formats": ["net", "state", "transfer", "runner", "cli"],
    "citations": ["sources", "state", "ledger", "transfer", "catalog", "runner", "cli"],
    "croissant": ["net", "state", "ledger", "cache", "transfer", "catalog", "runner", "cli"],
    "described": ["state", "ledger", "transfer", "catalog", "requirements", "standing", "runner", "cli"],
    "receipt_check": ["net", "sources", "state", "transfer", "runner", "cli"],
    "exports": ["net", "sources", "state", "transfer", "cli"],
    "receipt": ["net", "sources", "transfer", "runner", "cli"],
    "outlook": ["net", "state", "ledger", "credentials", "catalog", "sources", "runner", "cli"],
    "page": ["net", "state", "ledger", "catalog", "sources", "transfer", "cli"],
    "page.content": ["cache", "layers", "upkeep", "page.machine", "page.server"],
    "page.server": ["config", "cache", "standing", "page.content", "page.machine"],
    "presence": ["net", "sources", "state", "ledger", "planning", "transfer", "runner", "cli"],
    "reconciling": ["net", "sources", "transfer", "runner", "cli"],
    "shares": ["net", "sources", "state", "ledger", "planning", "runner", "cli"],
    "wishes": ["net", "sources", "state", "ledger", "transfer", "catalog", "runner", "cli"],
    "resolving": ["net.http", "state", "ledger", "catalog", "runner", "cli"],
    "adopting": ["net", "sources", "state", "transfer", "catalog", "runner", "cli"],
    "fulfilling": ["net", "catalog", "runner", "cli"],
    "by_hand": ["net", "sources", "catalog", "runner", "cli"],
    "runner": ["cli", "net.http"],
    "upkeep": ["net", "sources", "transfer", "cli"],
    "api": ["net", "sources", "state", "ledger", "cli"],
    "cli": ["net", "sources", "state", "ledger", "transfer", "shard"],
}
"""What these must not import."""

ONLY = {
    "bencode2": ["torrents"],
    "botocore": ["credentials.aws", "net.signing"],
    "cryptography": ["updates.index"],
    "dask": ["engines.pools"],
    "dask_jobqueue": ["engines.pools"],
    "distributed": ["engines.dask", "engines.dask_worker", "engines.pools"],
    "dulwich": ["sources._git", "sandbox.git", "updates.obtaining"],
    "fsspec": ["filesystem"],
    "google": ["credentials.google"],
    "google_crc32c": ["checksum", "sandbox.gcs", "sandbox.kaggle"],
    "pycurl": ["net.http"],
    "requests": ["net.stack"],
    "sqlite3": ["database"],
    "duckdb": ["sources._idc_index", "sandbox.archive"],
    "idc_index_data": ["sources._idc_index", "sandbox.archive"],
    "tcia_utils": ["sources._nbia"],
    "jsonschema": ["recipe_schema"],
    "click": ["cli"],
    "matplotlib": ["charts.figure"],
    "tqdm": ["progress"],
    "nibabel": ["verify"],
    "py7zr": ["sandbox.shapes", "unpack.sevenzip"],
    "pydicom": ["dicom", "verify", "sandbox.dicom"],
    "multiprocessing": ["engines"],
    "subprocess": ["credentials.command", "engines", "machine", "sandboxed", "swarm"],
    "socket": ["sandbox"],
    "http": ["page.server", "sandbox", "sandboxed"],
    "urllib.request": [],
    "urllib3": [],
    "pandas": [],
}
"""Which modules may import these of other people's packages, and of the standard library."""

SQL = ["database", "ledger", "packs", "pins", "state", "sources._idc_index", "sandbox.archive"]
"""Where SQL is written."""
ENVIRONMENT = ["config"]
"""Who reads the environment."""
DISTRIBUTIONS = {"google": "google-auth", "yaml": "pyyaml", "backports": "backports.zstd"}
"""Where a package is installed under another name."""
LATER = {"compression"}
"""Of the standard library, but only of a later Python than the oldest that is supported."""


@dataclass(frozen=True, slots=True)
class Import:
    what: str
    """A module: of medfetch relative to it ("" is the package itself), of others in full."""
    ours: bool
    line: int
    running: bool
    """It is imported as the module is, not when a function is called, and not only for the type checker."""


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    name: str
    """Relative to ``medfetch``."""
    path: Path
    tree: ast.Module

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


@cache
def modules() -> dict[str, Module]:
    """By name; read when the first test wants them, not by each process that collects tests."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        found[name] = Module(name, path, ast.parse(path.read_text(encoding="utf-8")))
    return found


@cache
def imports(module: Module) -> list[Import]:
    return list(_imports(module.tree, running=True))


def _imports(node: ast.AST, *, running: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for name in child.names:
                yield _import(name.name, child.lineno, running)
        elif isinstance(child, ast.ImportFrom):
            assert child.module and not child.level, f"line {child.lineno}: imports are written in full"
            for name in child.names:
                longer = f"{child.module}.{name.name}"
                is_module = longer.removeprefix("medfetch.") in modules()
                yield _import(longer if is_module else child.module, child.lineno, running)
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            typing = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from _imports(child, running=running and not function and not typing)


def _import(name: str, line: int, running: bool) -> Import:
    ours = name == "medfetch" or name.startswith("medfetch.")
    return Import(name.removeprefix("medfetch").lstrip(".") if ours else name, ours, line, running)


def under(name: str, parents: list[str]) -> bool:
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def broken(rule: str, name: str) -> list[str]:
    """The imports of a module, as sentences, that a rule forbids."""
    module, wrong = modules()[name], []
    for each in imports(module):
        if not each.ours or not each.what:  # the package itself holds only names that are imported when used
            continue
        allowed = under(each.what, MAY[rule]) if rule in MAY else not under(each.what, NEVER[rule])
        if not allowed:
            wrong.append(f"{module.at(each.line)}: {name} imports {each.what}")
    return wrong


def ruled(by: str) -> list[str]:
    return [name for name in modules() if under(name, [by])]


@pytest.mark.parametrize("rule", [*MAY, *NEVER])
def test_each_module_imports_only_what_the_law_allows(rule: str) -> None:
    modules = ruled(rule)
    assert modules, f"the law speaks of {rule}, which is not there"
    assert [sentence for name in modules for sentence in broken(rule, name)] == []


@pytest.mark.parametrize("targets", [*MAY.values(), *NEVER.values()], ids=[*MAY, *NEVER])
def test_the_law_speaks_only_of_modules_that_exist(targets: list[str]) -> None:
    assert [target for target in targets if target not in modules()] == []


def test_a_source_imports_no_other_source() -> None:
    wrong = [
        f"{module.at(each.line)}: {name} imports {each.what}"
        for name, module in modules().items()
        if name.startswith("sources.")
        for each in imports(module)
        if each.ours and each.what.startswith("sources.") and not each.what.startswith("sources._")
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ONLY)
def test_a_package_is_used_only_where_the_law_allows(package: str) -> None:
    wrong = [
        f"{module.at(each.line)}: {name} imports {each.what}"
        for name, module in modules().items()
        for each in imports(module)
        if not each.ours and under(each.what, [package]) and not under(name, ONLY[package])
    ]
    assert wrong == []


def test_only_the_settings_read_the_environment() -> None:
    wrong = []
    for name, module in modules().items():
        for node in ast.walk(module.tree):
            read = (
                isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.environb", "os.getenv")
            ) or (
                isinstance(node, ast.ImportFrom)
                and node.module == "os"
                and {"environ", "getenv"} & {a.name for a in node.names}
            )
            if read and name not in ENVIRONMENT:
                wrong.append(module.at(node.lineno))
    assert wrong == []


def test_sql_is_written_in_few_places() -> None:
    statement = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE FROM|CREATE|ATTACH|PRAGMA)\b")
    writers = {
        name
        for name, module in modules().items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and statement.match(node.value)
    }
    assert writers == set(SQL)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {each.what for each in imports(module) if each.ours and each.running}
        for name, module in modules().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' → '.join(error.args[1])}")


def test_dependencies_are_those_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.split(r"[<>=!~;\[ ]", line)[0] for line in lines}
    tops = {each.what.partition(".")[0] for module in modules().values() for each in imports(module) if not each.ours}
    foreign = tops - set(sys.stdlib_module_names) - LATER
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in foreign} == declared


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import medfetch.net.http", "net.http"),
        ("from medfetch.net import http", "net.http"),
        ("from medfetch import state", "state"),
        ("from medfetch.state import Ledger", "state"),
        ("def f():\n    from medfetch.cli.common import Session", "cli.common"),
        ("class A:\n    def f(self):\n        if True:\n            import medfetch.cache", "cache"),
        ("if TYPE_CHECKING:\n    from medfetch.types import Entry", "types"),
    ],
)
def test_the_reader_sees_imports_wherever_they_are(code: str, expected: str) -> None:
    assert [each.what for each in _imports(ast.parse(code), running=True)] == [expected]
