"""Writes docs/recipe-reference.md, from the schema of recipes, to standard output (``make docs``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from importlib import resources
from typing import Any

Schema = Mapping[str, Any]
HEAD = """\
# The fields of a recipe

Written by `make docs` from `src/medfetch/recipe.schema.json`, by which `medfetch recipe check` judges. What the
fields are for, and how a recipe is written, is in [how to write a recipe](recipes.md).

Fields that have to be there are **bold**. No object has other fields than those that are named.
"""
OBJECTS = ("access", "status", "part", "requirement", "licence", "evidence", "file")
WORDS = {"modality": "Modalities", "anatomy": "Anatomies", "task": "Tasks"}
"""Lists of words that are too long for a cell, with their headings."""
SHARED = "Fields of all routes"
SCHEMA: Schema = json.loads(resources.files("medfetch").joinpath("recipe.schema.json").read_text(encoding="utf-8"))
DEFS: Mapping[str, Schema] = SCHEMA["$defs"]


def page() -> str:
    return "".join([HEAD, *_object("The recipe", SCHEMA), *_objects(), *_routes(), *_words()])


def sources() -> list[str]:
    """Those whose routes have fields of their own."""
    return sorted(each["if"]["properties"]["source"]["const"] for each in DEFS["route"]["allOf"])


def _objects() -> Iterator[str]:
    for name in OBJECTS:
        found = SCHEMA["properties"].get(name, {})
        found = found if "properties" in found else DEFS[name]
        yield from _object(name, found.get("items", found))


def _routes() -> Iterator[str]:
    yield from _object(SHARED, DEFS["route"])
    for source in sources():
        yield from _object(f"Routes of {source}", DEFS[source], without=set(DEFS["route"]["properties"]) - {"unpack"})


def _words() -> Iterator[str]:
    for name, heading in WORDS.items():
        yield f"\n## {heading}\n\n{', '.join(DEFS[name]['enum'])}\n"


def _object(heading: str, schema: Schema, without: Set[str] = frozenset()) -> Iterator[str]:
    required = {*schema.get("required", ())}
    yield f"\n## {heading}\n\n"
    if told := _choice(schema):
        yield f"{told}.\n\n"
    yield "| field | what it takes |\n| --- | --- |\n"
    for field, told in schema["properties"].items():
        if field not in without:
            name = f"**`{field}`**" if field in required else f"`{field}`"
            yield f"| {name} | {_cell(field, told)} |\n"


def _choice(schema: Schema) -> str:
    """Of which fields there has to be one, or some."""
    one = [each["required"] for each in schema.get("oneOf", ()) if "required" in each]
    some = [each["required"] for each in schema.get("anyOf", ()) if "required" in each]
    kind, found = ("One", one) if one else ("At least one", some)
    return f"{kind} of {', '.join(f'`{name}`' for names in found for name in names)}" if found else ""


def _cell(field: str, schema: Any) -> str:
    if schema is True:  # of all routes, but not said again
        schema = DEFS["route"]["properties"][field]
    return _kind(field, schema).replace("|", "\\|")


def _kind(field: str, schema: Schema) -> str:
    """What a value has to be, in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return _named(name)
    if field in OBJECTS and "properties" in schema:
        return f"see [{field}](#{field})"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "description" in schema:
        return str(schema["description"])
    kinds = schema.get("type", "object")
    return _typed(field, kinds if isinstance(kinds, str) else " or ".join(kinds), schema)


def _named(name: str) -> str:
    if name in OBJECTS:
        listed = DEFS[name].get("type") == "array"
        return f"a list of [{name}](#{name})" if listed else f"see [{name}](#{name})"
    if name in WORDS:
        return f"a word of [{WORDS[name].lower()}](#{WORDS[name].lower()})"
    if name == "route":
        return f"a route: [{SHARED.lower()}](#{SHARED.lower().replace(' ', '-')}), and those of its source"
    return _kind(name, DEFS[name])


def _typed(field: str, kind: str, schema: Schema) -> str:
    if kind == "array":
        return f"a list: {_kind(field, schema['items'])}"
    if kind == "string or array":
        return f"one or a list: {_kind(field, schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"by name: {_kind(field, schema['additionalProperties'])}"
    if "object" in kind and "properties" in schema:
        found = "an object of " + ", ".join(f"`{name}`" for name in schema["properties"])
        return f"`true`, or {found}" if "boolean" in kind else found
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "integer":
        bounds = (schema.get("minimum"), schema.get("maximum"))
        return "a number" + "".join(f", {word} {at}" for word, at in zip(("from", "to"), bounds, strict=True) if at)
    return "text" if kind == "string" else kind


if __name__ == "__main__":
    print(page(), end="")
