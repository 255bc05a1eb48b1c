"""YAML as plain data, together with the line and column of every key and value.

It must not know what a recipe is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

Field = tuple[str | int, ...]
"""The way from the top of a file to a value: ``("parts", "images", "routes", 0)``."""
Position = tuple[int, int]
"""Line and column, both counted from 1."""


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, except that a date stays text: JSON knows no dates."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in Loader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the YAML itself."""

    at: Position
    where: Field
    message: str
    hint: str | None = None
    fatal: bool = True
    """Whether there is no content to look at because of it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file's content; data is None where a flaw is fatal."""

    data: Any = None
    flaws: tuple[Flaw, ...] = ()
    values: dict[Field, Position] = field(default_factory=dict)
    keys: dict[Field, Position] = field(default_factory=dict)

    def position(self, where: Field) -> Position:
        """Of the value, or of the nearest value around it that the file has."""
        while where and where not in self.values:
            where = where[:-1]
        return self.values.get(where, (1, 1))


def dotted(where: Field) -> str:
    """``("parts", "images", "routes", 0)`` → ``parts.images.routes[0]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return text.removeprefix(".")


def parse(raw: bytes) -> Any:
    """The content alone, as fast as can be.

    Raises: ValueError if it is no YAML, or not UTF-8.
    """
    try:
        return yaml.load(raw.decode("utf-8-sig"), Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def read_marked(path: Path) -> Document:
    """The content with positions and flaws; what cannot be parsed is a flaw too.

    Raises: OSError.
    """
    raw = path.read_bytes()
    try:
        return _marked(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        flaw = Flaw((line, 1), (), f"not UTF-8 text (a byte 0x{raw[error.start]:02x})", "save the file as UTF-8")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        flaw = Flaw(at, (), f"not valid YAML: {error.problem or error.context}")
    except yaml.reader.ReaderError as error:
        line = raw.count(b"\n", 0, error.position) + 1
        flaw = Flaw((line, 1), (), f"not valid YAML: {error.reason}")
    except (yaml.YAMLError, ValueError) as error:
        flaw = Flaw((1, 1), (), f"not valid YAML: {' '.join(str(error).split())}")
    return Document(flaws=(flaw,))


def _marked(text: str) -> Document:
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document()
        document = Document()
        flaws = tuple(_walk(node, (), document, set()))
        data = None if any(flaw.fatal for flaw in flaws) else loader.construct_document(node)
        return replace(document, data=data, flaws=flaws)
    finally:
        loader.dispose()


def _walk(node: yaml.Node, where: Field, document: Document, seen: set[int]) -> Iterator[Flaw]:
    """Notes the positions under a node in ``document``, and yields what YAML allows but recipes do not."""
    at = (node.start_mark.line + 1, node.start_mark.column + 1)
    if id(node) in seen:
        # A node met twice is an alias; one inside itself would never end.
        yield Flaw(at, where, "the value is an alias (*name)", "write it out: people read recipes, too")
        return
    seen.add(id(node))
    document.values[where] = at
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*where, index), document, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            at = (key.start_mark.line + 1, key.start_mark.column + 1)
            if key.tag != "tag:yaml.org,2002:str":
                yield Flaw(at, where, f"a key that is not text: {key.value}", "put it in quotes")
                continue
            inner = (*where, key.value)
            if inner in document.keys:
                line = document.keys[inner][0]
                yield Flaw(at, inner, f"{key.value!r} is given twice, first in line {line}", "keep one", fatal=False)
            else:
                document.keys[inner] = at
            yield from _walk(value, inner, document, seen)
