"""Writes docs/cli.md, from the commands themselves, to standard output (``make docs``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from medfetch.cli import VERBS, group

HEAD = """\
# The commands

Commands and options are written here by `make docs`, from what `medfetch COMMAND --help` says.

## What can be named

| NAME | example |
| --- | --- |
| a recipe's id, with or without its version | `lidc-idri`, `kits19@456b293` |
| a source and what it calls the dataset | `idc:nsclc_radiomics`, `tcia:NSCLC-Radiomics`, `s3:bucket/prefix` |
| a DOI, also as its address at doi.org | `doi:10.7937/K9/TCIA.2015.LO9QL9SX` |
| an address; `--sha256` says what must come | `https://example.org/scans.zip` |
| a manifest of NBIA, or a table of SeriesInstanceUIDs | `cart.tcia`, `series.csv`, `series.tsv` |
| a manifest of a Gen3 commons (the NIH's, MIDRC), or a table of its objects | `manifest.json`, `objects.csv` |
| a manifest of the Imaging Data Commons for s5cmd | `cohort.s5cmd`, `cohort.txt` |
| a recipe of your own | `./mine.yaml` |

`get` and `plan` also take `-r FILE`: a text file with one name a line (`#` begins a comment), or a YAML list
of names, and of mappings with `name` and, as far as wanted, `select`, `part` and `limit`.

## Part of an archive

`--select path=PATTERN` means the files that a dataset has when its archives are unpacked. Of a zip on a host with
ranges, split ones included, only the directory at its end is read (`plan --files` lists what is meant) and only the
members that match are fetched: neighbours in one request, large ones resumable like any file. They go where they would
be if all of it had been unpacked. Stored, deflated (Deflate64, too), bzip2 and LZMA are known, encrypted zips are
refused.

- What proves them is the length and the CRC32 in that directory: `archive-crc` in the receipt. That finds accidents; it
  comes from the host that sends the members, and a checksum of the whole zip cannot be compared with a part of it.
- All requests are for the version of the zip that was planned (`If-Range`). Of another one nothing is placed, and
  `--refresh` plans anew; a host that tells no version is judged by size and CRC32 alone.
- Where a host sends no ranges, it is said how large the whole is: leave `--select` out, or select the zip itself. Tar
  and 7z archives are had as a whole, too: a tar has no directory, and one that is compressed cannot be read in part.
- A pattern that means the zip, its folder or all of its members fetches the zip as a whole. So does a later run without
  `--select`, with what is here already: only then is it compared with a checksum. Another selection takes over large
  members that are here, and may fetch small ones again.
- With `--no-unpack` and `--keep-archives` patterns mean the archives themselves.
"""
EXIT_CODES = """
## Exit codes

| code | |
| --- | --- |
| 0 | all that was asked for is there and verified; with `--shard` also: others are at work on the rest |
| 1 | some files could not be had; the rest is kept, and the same command goes on from there |
| 2 | the command line, a recipe or a manifest is wrong |
| 3 | a requirement is not met; nothing was downloaded, and the message says what to do and where |
| 4 | bytes came that do not match their checksum or size, even after retries; they are not in the dataset |
| 5 | not enough disk space; nothing is lost |
| 6 | no host of any route could be reached |
| 75 | parked on SIGUSR1 (a job's time is nearly up): run the same command again |
| 130, 143 | stopped by Ctrl-C, by SIGTERM; what is complete is kept, and the same command goes on from there |
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """All commands with their full names, in the order of ``medfetch --help``."""
    context = click.Context(group)
    for verb in VERBS:
        command = group.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"medfetch {verb} {name}", child) for name, child in command.commands.items())
        else:
            yield f"medfetch {verb}", command


def options(command: click.Command) -> list[click.Option]:
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def common() -> dict[str | None, click.Option]:
    """Options that mean the same everywhere, by name: gc takes nothing else."""
    return {option.name: option for option in options(dict(commands())["medfetch gc"])}


def reference() -> str:
    pieces = [HEAD, "\n## Options that mean the same everywhere\n\n", _table(common().values())]
    for name, command in commands():
        pieces.append(f"\n## {name}\n\n```text\n{usage(name, command)}\n```\n\n{_prose(command)}\n")
        if own := [option for option in options(command) if option.name not in common()]:
            pieces += ["\n", _table(own)]
    return "".join([*pieces, EXIT_CODES])


def usage(name: str, command: click.Command) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    return " ".join([name, "[OPTIONS]", *map(_argument, arguments)])


def _argument(argument: click.Argument) -> str:
    word = (argument.name or "").upper()
    if argument.nargs == -1:
        word = f"{word.removesuffix('S')}…"
    return word if argument.required else f"[{word}]"


def _prose(command: click.Command) -> str:
    return " ".join((command.help or "").split())


def _table(found: Iterable[click.Option]) -> str:
    rows = [f"| `{spelling(option)}` | {option.help} |" for option in found]
    return "\n".join(["| option | |", "| --- | --- |", *rows, ""])


def spelling(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {option.metavar or option.type.name.split()[0].upper()}"
    return ", ".join(option.opts) + value


if __name__ == "__main__":
    print(reference(), end="")
