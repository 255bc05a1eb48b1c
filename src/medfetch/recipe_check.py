"""Everything that can be wrong with a recipe file, each with its line, its column and a plain sentence.

It must not know how recipes are found or used, and asks nothing of the network.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from medfetch.recipe_data import REQUIREMENTS, own_steps
from medfetch.recipe_schema import Finding, newer, schema_findings, suggestion
from medfetch.yaml_marks import Document, Field, Position, dotted, read_marked

LISTS_FILES = ("aspera", "box", "dropbox", "ftp", "gdrive", "http", "links", "manual", "onedrive")
"""Sources whose routes say of single files where they go."""
PLACEHOLDER = re.compile(r"\{n(:0[1-9]d)?\}")
"""The number in a path or address of a range."""
RELATIVE = "write it relative, with forward slashes"
LONGEST_RANGE = 1_000_000


@dataclass(frozen=True, slots=True)
class Problem:
    file: Path
    line: int
    """Counted from 1, as is the column."""
    column: int
    field: str
    """``parts.images.routes[0].source``; empty for the file as a whole."""
    message: str
    hint: str | None = None


def check(paths: Iterable[Path], requirements: Path) -> Iterator[Problem]:
    """Every problem of every recipe in files and directories, file by file, in the order of the lines.

    What recipes require is looked for in ``requirements``, and in the ``requirements.yaml`` of the two directories
    above each file. A path that does not exist is a problem, too.
    """
    ids: dict[str, Path] = {}
    shared: dict[Path, set[str]] = {}
    for path in _files(paths):
        try:
            document = read_marked(path)
        except OSError as error:
            yield Problem(path, 1, 1, "", f"cannot be read: {error.strerror or error}")
            continue
        if path.name == REQUIREMENTS:
            yield from _located(path, document, _requirements_findings(document.data))
            continue
        known: set[str] = set()
        for place in (requirements, *(directory / REQUIREMENTS for directory in path.absolute().parents[:2])):
            if place not in shared:
                shared[place] = _requirement_names(place)
            known |= shared[place]
        findings = list(_recipe_findings(document.data, known, path.stem))
        recipe_id = document.data.get("id") if isinstance(document.data, dict) else None
        if isinstance(recipe_id, str) and (other := ids.setdefault(recipe_id, path)) != path:
            findings.append(Finding(("id",), f"the id {recipe_id!r} is also that of {other}"))
        yield from _located(path, document, findings)


def check_recipe(path: Path, known_requirements: Iterable[str], stem: str | None) -> list[Problem]:
    """The problems of one recipe, given the names of the shared requirements, and its file's name if that matters.

    Raises: OSError.
    """
    document = read_marked(path)
    return _located(path, document, _recipe_findings(document.data, set(known_requirements), stem))


def check_content(content: Any) -> list[str]:
    """The problems of a recipe that is in no file, and names no shared requirements, each as a sentence."""
    findings = _recipe_findings(content, set(), None)
    return [f"{dotted(each.where)}: {each.message}" if each.where else each.message for each in findings]


def _located(path: Path, document: Document, findings: Iterable[Finding]) -> list[Problem]:
    """Findings and the YAML's own flaws as problems, in the order of the lines."""
    problems = [Problem(path, *flaw.at, dotted(flaw.where), flaw.message, flaw.hint) for flaw in document.flaws]
    if any(flaw.fatal for flaw in document.flaws):
        return problems
    for finding in findings:
        at: Position = document.position(finding.where)
        if finding.key:
            at = document.keys.get(finding.where, at)
        problems.append(Problem(path, *at, dotted(finding.where), finding.message, finding.hint))
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml"))
        else:
            yield path


def _requirement_names(path: Path) -> set[str]:
    data = read_marked(path).data if path.is_file() else None
    return set(data) if isinstance(data, dict) else set()


def _requirements_findings(data: Any) -> Iterator[Finding]:
    broken = list(schema_findings(data, "requirements"))
    yield from broken
    if broken:
        return
    for name, requirement in data.items():
        yield from _date_findings(requirement, (name,))
        for index, before in enumerate(requirement.get("after", [])):
            if before not in data:
                yield _unknown((name, "after", index), "requirement", before, data)
    try:
        TopologicalSorter({name: requirement.get("after", []) for name, requirement in data.items()}).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        yield Finding((circle[0], "after"), f"these wait for each other: {' after '.join(circle)}", "break the circle")


def _recipe_findings(data: Any, known: set[str], stem: str | None) -> Iterator[Finding]:
    broken = list(schema_findings(data, None))
    yield from broken
    if not isinstance(data, dict) or newer(data):
        return
    if stem is not None and isinstance(data.get("id"), str) and data["id"] != stem:
        yield Finding(("id",), f"the id {data['id']!r} is not the file's name {stem!r}", "give both the same name")
    yield from _date_findings(data, ())
    if broken:
        return  # What follows relies on the shape that the schema promises.
    known = known | own_steps(data).keys()
    steps: dict[str, tuple[Mapping[str, Any], Field]] = {}
    yield from _requirement_findings(data["access"].get("requires", []), ("access", "requires"), known, steps)
    from medfetch import sources  # as in catalog.load

    known_sources = sources.names()
    parts = data.get("parts") or ({"": data} if "routes" in data else {})
    owners: dict[str, str] = {}
    for name, part in parts.items():
        top: Field = ("parts", name) if "parts" in data else ()
        for index, route in enumerate(part.get("routes", [])):
            where = (*top, "routes", index)
            if route["source"] not in known_sources:
                yield _unknown((*where, "source"), "source", route["source"], known_sources)
            yield from _requirement_findings(route.get("requires", []), (*where, "requires"), known, steps)
            if "into" in route and (reason := unsafe(route["into"])):
                yield Finding((*where, "into"), f"the folder {route['into']!r} {reason}", RELATIVE)
            for number, each in enumerate(route["unpack"] if isinstance(route.get("unpack"), list) else ()):
                if each.get("into", ".") != "." and (reason := unsafe(each["into"])):
                    field = (*where, "unpack", number, "into")
                    yield Finding(field, f"the folder {each['into']!r} {reason}", RELATIVE)
            if route["source"] in LISTS_FILES:
                yield from _file_findings(route, (*where, "files"), name, owners)
    yield from _circles(steps)


def _requirement_findings(
    requires: list[Any], where: Field, known: set[str], steps: dict[str, tuple[Mapping[str, Any], Field]]
) -> Iterator[Finding]:
    """``steps`` holds those that the recipe itself has described so far, with where they stand."""
    for index, item in enumerate(requires):
        if isinstance(item, str):
            if item not in known:
                yield _unknown((*where, index), "requirement", item, known)
            continue
        if steps.setdefault(item["name"], (item, (*where, index)))[0] != item:
            yield Finding((*where, index, "name"), f"another step of this recipe is called {item['name']!r}, too")
        for number, before in enumerate(item.get("after", [])):
            if before not in known:
                yield _unknown((*where, index, "after", number), "requirement", before, known)


def _circles(steps: Mapping[str, tuple[Mapping[str, Any], Field]]) -> Iterator[Finding]:
    """Among the steps of one recipe; those of requirements.yaml wait for none of them."""
    try:
        TopologicalSorter({name: step.get("after", []) for name, (step, _) in steps.items()}).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        where = (*steps[circle[0]][1], "after")
        yield Finding(where, f"these wait for each other: {' after '.join(circle)}", "break the circle")


def _file_findings(route: Mapping[str, Any], where: Field, part: str, owners: dict[str, str]) -> Iterator[Finding]:
    """``owners`` holds the part of each path met so far: all parts share one home, all routes of a part its paths."""
    paths: set[str] = set()
    folder = f"{route['into']}/" if "into" in route else ""
    for index, file in enumerate(route.get("files", [])):
        here = (*where, index)
        path = file["path"]
        if reason := unsafe(path):
            yield Finding((*here, "path"), f"the path {path!r} {reason}", RELATIVE)
        if (
            isinstance(file.get("unpack"), dict)
            and file["unpack"]["into"] != "."
            and (reason := unsafe(file["unpack"]["into"]))
        ):
            yield Finding((*here, "unpack", "into"), f"the folder {file['unpack']['into']!r} {reason}", RELATIVE)
        placed = {f"{folder}{each}" for each in _numbered(file)}
        if both := paths & placed:
            yield Finding((*here, "path"), f"the path {min(both)!r} is used twice in this route")
        elif both := {each for each in placed if owners.setdefault(each, part) != part}:
            message = f"the path {min(both)!r} is also used by the part {owners[min(both)]!r}"
            yield Finding((*here, "path"), message, "`into: folder` in a route keeps the parts apart")
        paths |= placed
        if "range" in file:
            yield from _series_findings(file, here)


def _numbered(file: Mapping[str, Any]) -> Iterable[str]:
    """The path of a file, or of each file of a range that is not too long."""
    if "range" not in file:
        return [file["path"]]
    first, last = file["range"]
    return (_filled(file["path"], number) for number in range(first, last + 1)) if _bearable(first, last) else ()


def _bearable(first: int, last: int) -> bool:
    return last - first < LONGEST_RANGE


def _filled(template: str, number: int) -> str:
    return PLACEHOLDER.sub(lambda found: format(number, (found[1] or "")[1:]), template)


def _series_findings(file: Mapping[str, Any], here: Field) -> Iterator[Finding]:
    first, last = file["range"]
    if not _bearable(first, last):
        yield Finding((*here, "range"), f"the range [{first}, {last}] has more than {LONGEST_RANGE:,} numbers")
    if last < first:
        yield Finding((*here, "range"), f"the range [{first}, {last}] is empty", "put the smaller number first")
    for key in ("path", "url"):
        for text in [file[key]] if isinstance(file.get(key), str) else file.get(key, []):
            placeholders = re.findall(r"\{[^}]*\}", text)
            if not placeholders or any(not PLACEHOLDER.fullmatch(found) for found in placeholders):
                message = f"with a range, the {key} must hold {{n}} or {{n:05d}} and no other braces, but is {text!r}"
                yield Finding((*here, key), message)
    for key in ("pieces", "unpack", "size", "md5", "sha1", "sha256", "sha512"):
        if key in file:
            yield Finding((*here, key), f"{key} cannot be the same for all files of a range", key=True)


def unsafe(path: str) -> str | None:
    """What is wrong with a path as a place in a dataset's home; None if nothing is."""
    if "\0" in path or any(ord(letter) < 32 for letter in path):
        return "holds a control character"
    if "\\" in path:
        return "holds a backslash"
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        return "is absolute"
    components = path.split("/")
    if ".." in components:
        return "leaves the dataset's folder (..)"
    if any(component in ("", ".") for component in components):
        return "has an empty component"
    if components[0] == ".medfetch":
        return "is medfetch's own folder"
    if any(len(component.encode()) > 255 for component in components):
        return "has a component of more than 255 bytes"
    return None


def _date_findings(data: Mapping[str, Any], where: Field) -> Iterator[Finding]:
    """Days that do not exist or have not come yet; a wrong shape is the schema's matter."""
    evidence, status = data.get("evidence"), data.get("status")
    dates = [((*where, "status", "as_of"), status.get("as_of"))] if isinstance(status, dict) else []
    for index, item in enumerate(evidence if isinstance(evidence, list) else []):
        if isinstance(item, dict):
            dates.append(((*where, "evidence", index, "read"), item.get("read")))
    for place, text in dates:
        if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            continue
        try:
            day = datetime.date.fromisoformat(text)
        except ValueError:
            yield Finding(place, f"there is no day {text}")
            continue
        # Tomorrow is let pass: it may be tomorrow already where the recipe was written.
        if day > datetime.date.today() + datetime.timedelta(days=1):
            yield Finding(place, f"the date {text} is in the future")


def _unknown(where: Field, what: str, name: str, known: Iterable[str]) -> Finding:
    return Finding(where, f"there is no {what} {name!r}", suggestion(name, known))
