"""Items of CSL-JSON as BibTeX: entries and fields that BibTeX's own styles know, and doi, url, eprint besides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

ENTRIES = {
    "article-journal": "article", "paper-conference": "inproceedings", "chapter": "incollection", "book": "book",
    "thesis": "phdthesis", "report": "techreport",
}  # fmt: skip
"""The entry for a type of CSL; ``misc`` for all others: BibTeX's own styles have none for datasets."""
CONTAINERS = {"article": "journal", "inproceedings": "booktitle", "incollection": "booktitle"}
PUBLISHERS = {"phdthesis": "school", "techreport": "institution"}
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
"""What means something to TeX. BibTeX counts braces, also those with a backslash, and one alone would end a field."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def written(items: Iterable[Mapping[str, Any]]) -> str:
    """A file of BibTeX, in UTF-8."""
    return "\n".join(map(entry, items))


def entry(item: Mapping[str, Any]) -> str:
    """One item."""
    kind = ENTRIES.get(item["type"], "misc")
    fields = "".join(f"  {name} = {value},\n" for name, value in _fields(kind, item))
    return f"@{kind}{{{item['id']},\n{fields}}}\n"


def _fields(kind: str, item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for role in ("author", "editor"):
        if people := item.get(role):
            yield role, f"{{{' and '.join(map(_person, people))}}}"
    if title := item.get("title"):
        yield "title", f"{{{{{_escaped(title)}}}}}"  # in two pairs of braces: no style changes its letters
    date = item.get("issued", {}).get("date-parts", [[]])[0]
    if date:
        yield "year", f"{{{date[0]}}}"
    if len(date) > 1 and 1 <= date[1] <= len(MONTHS):
        yield "month", MONTHS[date[1] - 1]
    texts = {
        CONTAINERS.get(kind, ""): item.get("container-title"), PUBLISHERS.get(kind, "publisher"): item.get("publisher"),
        "volume": item.get("volume"), "number": item.get("issue"), "version": item.get("version"),
        "howpublished": "Data set" if item["type"] == "dataset" else None,
        "note": item.get("note"),
    }  # fmt: skip
    for name, text in texts.items():
        if name and text:
            yield name, f"{{{_escaped(text)}}}"
    if page := item.get("page"):
        yield "pages", f"{{{re.sub('[-–]+', '--', _escaped(page))}}}"
    if eprint := re.fullmatch(r"arXiv:(.+)", str(item.get("number", ""))):
        yield from (("eprint", f"{{{eprint[1]}}}"), ("archiveprefix", "{arXiv}"))
    for name in ("DOI", "URL"):
        if value := item.get(name):
            yield name.lower(), f"{{{_address(value)}}}"


def _person(told: Mapping[str, str]) -> str:
    if "family" not in told:
        return f"{{{_escaped(told['literal'])}}}"
    particles = [told[name] for name in ("dropping-particle", "non-dropping-particle") if name in told]
    # A name of several words is one: of braces BibTeX takes nothing apart, and no "and" in it ends a person.
    family = _escaped(told["family"])
    family = f"{{{family}}}" if re.search(r"\band\b|,", told["family"]) else family
    rest = [_escaped(told[name]) for name in ("suffix", "given") if name in told]
    return ", ".join([" ".join([*map(_escaped, particles), family]), *rest])


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def _address(text: str) -> str:
    """An address as it is, but for what would end the field or the line."""
    return re.sub(r"[{}\\\s]", lambda found: f"%{ord(found[0]):02X}", text)
