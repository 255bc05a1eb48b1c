"""Writes docs/errors.md, from the classes of errors.py, to standard output (``make docs``)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from medfetch import errors
from medfetch.errors import MedfetchError

HEAD = """\
# Errors

Exit codes and classes are written here by `make docs`, from `medfetch.errors`.

An error is told on standard error. The word in brackets behind it is its heading on this page:

```text
medfetch: lidc-idri needs 133.1 GB, the disk of /data/medfetch has 20.4 GB free (disk-full)
hint: choose another cache with --cache DIR, or less with --select or --part
```

With `--json` the last line of standard output tells the same to a script:

```json
{"event": "failed", "error": "DiskFull", "kind": "disk-full", "message": "…", "hint": "…", "exit": 5}
```

From Python all of them are caught as `medfetch.MedfetchError`, with `message`, `hint`, `kind` and `exit_code`. What
is no command line at all (an option that does not exist) is told as `Usage: …` without a kind, with exit code 2. No
error holds a secret.

"""
TOLD = {
    "failed": """\
What has no kind of its own; the message says what happened: worker processes that die again and again, a dataset
that `export` does not find complete, a sandbox that does not start. What is here already is kept.""",
    "usage": """\
The command line, the environment or the configuration file says something that cannot be: a name that no recipe
and no source has, a part that the dataset has not, a `--select` without `=`. Nothing was asked of any host.
`medfetch COMMAND --help` and [the commands](cli.md) say what there is, [the settings](settings.md) what a
configuration may hold.""",
    "recipe": """\
A recipe, a list (`-r`) or a manifest cannot be used. The message begins with file, line and column as far as they
are known, and says what was expected there. `medfetch recipe check FILE` finds all mistakes of a recipe at once.
[How to write a recipe](recipes.md) explains the fields, [a page](recipe-reference.md) lists them.""",
    "access-required": """\
A person has something to do first: an account, terms, an approval. The steps are listed with where to take them
and how long that usually takes, with `--json` as `steps`. Nothing was downloaded. `medfetch access NAME` shows how
each step stands, `medfetch login` and `medfetch agree` tell medfetch of those that are taken: [access](access.md).
What only a browser may fetch, `medfetch import` [takes in](import.md).""",
    "integrity": """\
What came is not what was announced: another checksum, another size, a web page in place of a file, an archive that
is broken. It was tried again, and by every other address and route; wrong bytes are never at a file's final name.
Run the same command again later. If it stays so, the host has another version, or the recipe is out of date:
`medfetch plan NAME --refresh` asks the host anew, `medfetch recipe probe NAME` compares the recipe with the hosts.
From `medfetch verify` it means that a file on the disk is not as it was: `medfetch verify NAME --repair` fetches
it again.""",
    "disk-full": """\
The dataset does not fit, or the disk or a quota became full on the way. Nothing complete is lost. Make room and
run the same command again; or choose another cache with `--cache`, or less with `--select` or `--part`. `medfetch
gc` removes what interrupted work left, `medfetch rm NAME` a dataset. The setting [`reserve`](settings.md) is room
that is never used.""",
    "unreachable": """\
No host of any route answered, or one would have to be asked and `--offline` forbids it. Look at the network and
the [proxy](settings.md), and run the same command again: it goes on from where it was. `medfetch recipe probe
NAME` tells which hosts answer.""",
    "refused": """\
A host said no, and asking again would not help: no such file (404, 410), not for this log-in (401, 403), another
region. If it is a matter of a log-in, `medfetch access NAME --check` asks the host what it wants. If something is
gone, the recipe is out of date: `medfetch recipe probe NAME`.""",
    "retryable": """\
A host was busy or broke off, in every attempt there was ([`tries`](settings.md)). What has come is kept; run the
same command again later.""",
    "not-here": """\
A program wants to read a file (`medfetch.open`, or an address of fsspec) that is not in the cache, or has not come
yet. The hint is the command that fetches it. It is a `FileNotFoundError` of Python, too: [in programs and
pipelines](pipelines.md).""",
    "cache": """\
The cache cannot be used: it is somebody else's, not writable, of another version of medfetch, damaged, or a file
that medfetch did not write lies where one of a dataset belongs. The message names the file. Nothing that lies in
the way is overwritten: move it away, or choose another cache with `--cache`.""",
    "incomplete": """\
The run has ended and files are missing. The first of them are named, each with the reason; with `--json` as
`failures`. What came is kept, and the same command fetches only what is missing. The exit code is 4 where the
bytes of one of them do not match, 6 where all that was missing was an answer of the hosts, else 1.""",
    "stopped": """\
A signal ended the run: Ctrl-C (130), SIGTERM (143), or SIGUSR1, with which schedulers say that a job's time is
nearly up (75). What is complete is kept, and of files on their way what has come: run the same command again
([resuming](resume.md)).""",
}
"""For each kind what it means to a person, and what to do."""


def kinds() -> Iterator[type[MedfetchError]]:
    """The classes of errors.py as they stand there."""
    found = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, MedfetchError)]
    yield from sorted(found, key=lambda each: inspect.getsourcelines(each)[1])


def page() -> str:
    found = list(kinds())
    rows = [f"| [{each.kind}](#{each.kind}) | {codes(each)} | `{each.__name__}` | {_first(each)} |" for each in found]
    table = ["| kind | exit code | class | means |", "| --- | --- | --- | --- |", *rows, ""]
    sections = [f"\n## {each.kind}\n\n{TOLD[each.kind]}\n" for each in found]
    return HEAD + "\n".join(table) + "".join(sections) + "\n[All exit codes](cli.md#exit-codes)\n"


def codes(kind: type[MedfetchError]) -> str:
    own = {"stopped": "130, 143, 75", "incomplete": "1, 4, 6"}
    return own.get(kind.kind, str(kind.exit_code))


def _first(kind: type[MedfetchError]) -> str:
    """The first sentence of its docstring."""
    told = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
    return told.partition("; ")[0].rstrip(".").replace("``", "`")


if __name__ == "__main__":
    print(page(), end="")
