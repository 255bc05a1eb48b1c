"""The report of a probe: for a terminal, and as Markdown for an issue. It must not know how anything was found."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from medfetch.probe.findings import FINE, WORST, Finding, Outcome

WIDE = 100
SHOWN = 4
"""Exchanges that are shown of a finding: the last ones decided it."""
LONGEST = 60_000
"""Characters: an issue of GitHub's holds 65,536."""
MEANINGS = {
    Outcome.GONE: "not there any more",
    Outcome.CHANGED: "not what the recipe says",
    Outcome.GATED: "wants a log-in or a permission, of which the recipe says nothing",
    Outcome.CHALLENGE: "a check for robots; whether it is there, a person with a browser sees",
    Outcome.MOVED: "a permanent redirect leads elsewhere",
    Outcome.UNREACHABLE: "no answer, or a host in trouble",
    Outcome.SLOW: "an answer that took long",
    Outcome.UNCHECKED: "not for a program to see, or not asked",
    Outcome.OK: "as the recipe says",
}


def text(findings: Sequence[Finding], *, everything: bool = False) -> Iterator[str]:
    """Lines for a terminal, the worst first: all that is not well, with ``everything`` the rest, too."""
    for outcome, some in _by_class(findings):
        if outcome in FINE and not everything:
            continue
        yield f"{outcome} ({len(some)}): {MEANINGS[outcome]}"
        for each in some:
            yield from textwrap.wrap(
                f"{each.dataset}, {each.what}: {each.said}", WIDE, initial_indent="  ", subsequent_indent="      ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
            if outcome not in FINE:
                yield from (f"      {exchange}" for exchange in each.asked[-SHOWN:])
    yield summary(findings)


def summary(findings: Sequence[Finding]) -> str:
    counts = counted(findings)
    found = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "nothing to ask"
    return f"{len({each.dataset for each in findings})} datasets: {found}"


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    """How many there are of each class, the worst first."""
    counts = Counter(each.outcome for each in findings)
    return {outcome.value: counts[outcome] for outcome in WORST if counts[outcome]}


def markdown(findings: Sequence[Finding], program: str) -> str:
    """The report for an issue or a page; ``program``: name and version of who asked."""
    dates = sorted(each.date for each in findings)
    when = f"{dates[0]} to {dates[-1]} (UTC)" if dates else "no time: nothing was asked"
    lines = ["# Are the recipes still true?", "", f"{summary(findings)}. Asked by {program}, {when}.", ""]
    lines += ["| class | findings | means |", "| --- | ---: | --- |"]
    lines += [f"| {name} | {count} | {MEANINGS[Outcome(name)]} |" for name, count in counted(findings).items()]
    for outcome, some in _by_class(findings):
        lines += ["", f"## {outcome} ({len(some)})", ""]
        if outcome in FINE:
            per_dataset = Counter(each.dataset for each in some)
            lines.append(", ".join(f"{name} ({count})" for name, count in sorted(per_dataset.items())))
            continue
        lines += ["| dataset | what | found | asked, and answered |", "| --- | --- | --- | --- |"]
        lines += [_row(each) for each in some]
    return _short_enough(lines)


def _row(each: Finding) -> str:
    asked = "<br>".join(f"{_cell(str(exchange))} ({exchange.seconds:.1f} s)" for exchange in each.asked[-SHOWN:])
    return f"| {_cell(each.dataset)} | {_cell(each.what)} | {_cell(each.said)} | {asked} |"


def _cell(words: str) -> str:
    """What hosts say stays text: it makes no cell, no tag, no link, no mention of a person or an issue."""
    return re.sub(r"[&<>|`@#\[\]*_\\]", lambda found: f"&#{ord(found[0])};", " ".join(words.split()))


def _short_enough(lines: list[str]) -> str:
    """The lines as far as an issue holds them; what is left out is counted."""
    kept, length = [], 0
    for number, line in enumerate(lines):
        length += len(line) + 1
        if length > LONGEST:
            kept += ["", f"… and {len(lines) - number} more lines: medfetch recipe probe --all --json has all."]
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _by_class(findings: Iterable[Finding]) -> Iterator[tuple[Outcome, list[Finding]]]:
    found = list(findings)
    for outcome in WORST:
        if some := [each for each in found if each.outcome is outcome]:
            yield outcome, some
