"""Whether two texts name the same licence: hosts write the same one in a dozen ways.

It must not know hosts or recipes.
"""

from __future__ import annotations

import re

CREATIVE = re.compile(
    r"(?:creativecommons\.org/licenses/|\bcc[ -]*)(by(?:[ -](?:nc|nd|sa))*)[-/ ]*(?:v?([1-4]\.0))?", re.IGNORECASE
)
SPELT = {
    "attribution": "by", "noncommercial": "nc", "non-commercial": "nc", "noderivatives": "nd", "noderivs": "nd",
    "no derivatives": "nd", "sharealike": "sa", "share alike": "sa", "share-alike": "sa",
}  # fmt: skip
OTHERS = {
    r"publicdomain/zero|\bcc[ -]?0\b|cc zero": "cc0-1.0",
    r"\bpddl\b|public domain dedication and licen[cs]e": "pddl-1.0",
    r"\bodc[- ]by\b|open data commons attribution": "odc-by-1.0",
    r"\bodbl\b|open database licen[cs]e": "odbl-1.0",
    r"physionet credentialed health data licen[cs]e": "physionet-credentialed",
    r"physionet restricted health data licen[cs]e": "physionet-restricted",
    r"apache.{0,20}2\.0": "apache-2.0",
    r"^\W*mit( licen[cs]e)?\W*$|opensource\.org/licenses/mit": "mit",
    r"^\W*bsd[- ]3": "bsd-3-clause",
}


def known(text: str) -> str | None:
    """A licence's id in lower case, such as ``cc-by-nc-4.0``; None for what is not recognized.

    Without a version it ends with the last letter: ``cc-by``.
    """
    words = " ".join(text.split())
    for pattern, licence in OTHERS.items():
        if re.search(pattern, words, re.IGNORECASE):
            return licence
    if "creative commons" in words.lower():
        spelt = words.lower()
        terms = [short for long, short in SPELT.items() if long in spelt]
        version = re.search(r"\b([1-4]\.0)\b", spelt)
        if "by" in terms:
            order = [each for each in ("by", "nc", "nd", "sa") if each in terms]
            return "-".join(["cc", *order, *([version[1]] if version else [])])
    if found := CREATIVE.search(words):
        terms = re.split(r"[ -]", found[1].lower())
        order = [each for each in ("by", "nc", "nd", "sa") if each in terms]
        return "-".join(["cc", *order, *([found[2]] if found[2] else [])])
    return None


def same(one: str, other: str) -> bool | None:
    """None where one of them is not recognized, or does not tell its version, and the rest is the same."""
    first, second = known(one), known(other)
    if one.strip().casefold() == other.strip().casefold() or (first and first == second):
        return True
    if first is None or second is None:
        return None
    shorter, longer = sorted((first, second), key=len)
    return None if re.fullmatch(rf"{re.escape(shorter)}-[1-4]\.0", longer) else False


SPDX = {
    "apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "cc0-1.0": "CC0-1.0", "mit": "MIT",
    "odbl-1.0": "ODbL-1.0", "odc-by-1.0": "ODC-By-1.0", "pddl-1.0": "PDDL-1.0",
}  # fmt: skip


def spdx(text: str) -> str:
    """The id of a licence as SPDX writes it, where it is recognized to its version; else the text."""
    found = known(text) or ""
    return SPDX.get(found) or (found.upper() if re.fullmatch(r"cc-by.*-[1-4]\.0", found) else text)
