"""Writes the man pages, one for each verb, one of all and one of the errors, into the folder named (``make docs``).

click-man, which makes pages of click's commands, sees no verbs that are imported when they are used, and dates them.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import command_reference
import error_reference

from medfetch import __version__
from medfetch.cli import VERBS, group

FILES = """\
.SH FILES
.TP
.I ~/.config/medfetch/config.yaml
Settings; each has a variable, too, such as
.BR MEDFETCH_CACHE .
"""


def pages() -> dict[str, str]:
    """Pages by where they lie below share/man."""
    found: dict[str, list[tuple[str, click.Command]]] = {}
    for name, command in command_reference.commands():
        found.setdefault(name.split()[1], []).append((name, command))
    verbs = {f"man1/medfetch-{verb}.1": "".join(_verb(verb, commands)) for verb, commands in found.items()}
    return {"man1/medfetch.1": "".join(_all()), **verbs, "man7/medfetch-errors.7": "".join(_errors())}


def _all() -> Iterator[str]:
    yield _title("medfetch", 1)
    yield _section("NAME", r"medfetch \- obtain medical imaging datasets")
    yield _section("SYNOPSIS", r".B medfetch", r".I COMMAND", r"[\fIOPTIONS\fR] [\fIARGUMENTS\fR]")
    yield _section("DESCRIPTION", *_paragraphs((group.help or "").partition("\n\n")[0]))
    yield _section("COMMANDS", *(line for verb, told in VERBS.items() for line in _term(f"medfetch {verb}", told)))
    yield _section("EXIT STATUS", *(line for code, told in _exit_codes() for line in _term(code, told)))
    yield FILES
    yield _see_also(*(f"medfetch-{verb}" for verb in VERBS))


def _verb(verb: str, commands: list[tuple[str, click.Command]]) -> Iterator[str]:
    yield _title(f"medfetch-{verb}", 1)
    yield _section("NAME", rf"medfetch\-{verb} \- {_escaped(VERBS[verb])}")
    usages = [command_reference.usage(name, command) for name, command in commands]
    yield _section("SYNOPSIS", "\n.br\n".join(f".B {_escaped(usage)}" for usage in usages))
    if len(commands) == 1:
        yield _section("DESCRIPTION", *_paragraphs(commands[0][1].help or ""))
        yield _section("OPTIONS", *_options(command_reference.options(commands[0][1])))
    else:
        yield ".SH COMMANDS\n"
        for name, command in commands:
            own = [
                option for option in command_reference.options(command) if option.name not in command_reference.common()
            ]
            yield f".SS {_escaped(name)}\n" + "\n".join([*_paragraphs(command.help or ""), *_options(own)]) + "\n"
        yield _section("OPTIONS OF ALL OF THEM", *_options(command_reference.common().values()))
    yield _see_also("medfetch")


def _errors() -> Iterator[str]:
    yield _title("medfetch-errors", 7)
    yield _section("NAME", r"medfetch\-errors \- what the words in brackets behind a message of medfetch mean")
    yield _section("DESCRIPTION", "Each error is told with its kind, such as", r".BR (disk\-full) .")
    for each in error_reference.kinds():
        told = _paragraphs(_plain(error_reference.TOLD[each.kind]))
        yield _section(f"{each.kind} (exit {error_reference.codes(each)})", *told)
    yield _see_also("medfetch")


def _options(found: Iterable[click.Option]) -> Iterator[str]:
    for option in found:
        yield from _term(command_reference.spelling(option), option.help or "")


def _exit_codes() -> list[tuple[str, str]]:
    return re.findall(r"^\| (\d[\d, ]*) \| (.+) \|$", _plain(command_reference.EXIT_CODES), re.MULTILINE)


def _title(name: str, section: int) -> str:
    return f'.TH {_escaped(name.upper())} {section} "" "medfetch {__version__}" "medfetch"\n'


def _section(heading: str, *lines: str) -> str:
    return f'.SH "{_escaped(heading).upper() if heading.isupper() else _escaped(heading)}"\n' + "\n".join(lines) + "\n"


def _term(term: str, told: str) -> Iterable[str]:
    return ".TP", f".B {_escaped(term)}", *_paragraphs(told)


def _see_also(*names: str) -> str:
    pages = [f"{name}(1)" for name in names] + ["medfetch-errors(7)"]
    return _section("SEE ALSO", *(rf"\fB{_escaped(page[:-3])}\fR{page[-3:]}," for page in pages))[:-2] + "\n"


def _paragraphs(text: str) -> list[str]:
    found = [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text).split("\n\n")]
    return "\n.PP\n".join(map(_escaped, filter(None, found))).split("\n")


def _plain(markdown: str) -> str:
    """Without links and marks of code."""
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", markdown).replace("`", "")


def _escaped(text: str) -> str:
    """Text as roff takes it: hyphens that can be copied, nothing that begins a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return rf"\&{text}" if text.startswith((".", r"\(aq")) else text


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for old in folder.glob("man?/medfetch*"):
        old.unlink()
    for name, page in pages().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(page, encoding="utf-8")
