"""The JSON Schema of a recipe, and its verdicts in the words of the person who wrote the file.

It must not know files, lines or anything that a schema cannot say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from medfetch.errors import UPGRADE

if TYPE_CHECKING:
    from medfetch.yaml_marks import Field

FORMAT = 1
"""Of recipes; a recipe that does not say is of the first (docs/versioning.md)."""
TYPES = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of fields",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that has not yet been found in the text: where in the content it is, and whether the key is meant."""

    where: Field
    message: str
    hint: str | None = None
    key: bool = False


def suggestion(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """A hint with the names that look like the one given, else ``otherwise``, or all of them."""
    import difflib

    names = sorted(known)
    if close := difflib.get_close_matches(name, names, n=3, cutoff=0.6):
        return f"did you mean {' or '.join(close)}?"
    if otherwise is not None:
        return otherwise
    return f"known: {', '.join(names)}" if names else "none are known here"


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema of a recipe."""
    text = resources.files("medfetch").joinpath("recipe.schema.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def newer(data: Any) -> bool:
    """Whether a recipe is of a format that this medfetch does not know."""
    found = data.get("format") if isinstance(data, dict) else None
    return isinstance(found, int) and found > FORMAT


@cache
def _validator(definition: str | None) -> Any:
    # Imported here because it takes as long as the whole of `medfetch list`.
    from jsonschema import Draft202012Validator

    whole = schema()
    if definition is None:
        return Draft202012Validator(whole)
    return Draft202012Validator({"$defs": whole["$defs"], "$ref": f"#/$defs/{definition}"})


def schema_findings(data: Any, definition: str | None) -> Iterator[Finding]:
    if data is None:
        yield Finding((), "the file is empty", "docs/recipes.md shows a whole recipe")
        return
    if newer(data):
        # All that is said of another format would be said of what it is not.
        message = f"written for a newer medfetch (format {data['format']}, not {FORMAT})"
        yield Finding(("format",), message, UPGRADE)
        return
    errors = list(_validator(definition).iter_errors(data))
    misspelt = {tuple(error.absolute_path) for error in errors if error.validator == "additionalProperties"}
    met: set[tuple[Field, str]] = set()
    for error in errors:
        if error.validator in ("anyOf", "oneOf") and tuple(error.absolute_path) in misspelt:
            continue  # What is missing is there, under a name that has been reported.
        for finding in _phrased(error):
            if (finding.where, finding.message) not in met:
                met.add((finding.where, finding.message))
                yield finding


def _phrased(error: Any) -> Iterator[Finding]:
    """A jsonschema error in the words of the person who wrote the file."""
    where: Field = tuple(error.absolute_path)
    rule, value, wanted, rules = error.validator, error.instance, error.validator_value, error.schema
    meaning = rules.get("description")
    if "propertyNames" in error.absolute_schema_path:
        yield Finding((*where, value), f"{value!r} is not {meaning}", key=True)
    elif rule == "required":
        for missing in (name for name in wanted if name not in value):
            yield Finding(where, f"the field {missing!r} is missing")
    elif rule == "additionalProperties":
        for extra in (name for name in value if name not in rules["properties"]):
            yield Finding((*where, extra), f"unknown field {extra!r}", suggestion(extra, rules["properties"]), True)
    elif rule == "enum":
        known = suggestion(value if isinstance(value, str) else "", wanted)
        yield Finding(where, f"{value!r} is not a known {rules['title']}", known)
    elif rule == "type":
        types = [wanted] if isinstance(wanted, str) else wanted
        hint = "put it in quotes" if "string" in types and isinstance(value, (bool, int, float)) else None
        expected = meaning or " or ".join(TYPES[name] for name in types)
        yield Finding(where, f"expected {expected}, found {_described(value)}", hint)
    elif rule == "uniqueItems":
        twice = next(item for index, item in enumerate(value) if item in value[:index])
        yield Finding(where, f"{twice!r} is listed twice")
    elif rule in ("minItems", "minLength", "minProperties") and not value:
        yield Finding(where, "must not be empty")
    elif rule == "const":
        yield Finding(where, f"expected {json.dumps(wanted)}, found {_described(value)}")
    elif rule in ("anyOf", "oneOf", "not"):
        yield Finding(where, f"expected {wanted.get('description') if rule == 'not' else meaning}")
    else:
        found = "" if isinstance(value, list) else f", found {_described(value)}"
        yield Finding(where, f"expected {meaning or f'{rule} {wanted}'}{found}")


def _described(value: Any) -> str:
    if isinstance(value, str):
        value = re.sub(r"//[^/@\s]*@", "//…@", value)  # An address may hold a password.
        return f"the text {value!r}" if len(value) < 100 else f"the text {value[:90]!r}…"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "a mapping of fields"
