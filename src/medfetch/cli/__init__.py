"""The command line: one thin module a verb, imported when its verb is used. It must not import net, sources, state."""

from __future__ import annotations

import sys
from gc import freeze  # not "import gc": the verb of that name takes its place
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from medfetch import __version__

VERBS = {
    "get": "fetch datasets: resolve, download, resume, verify, unpack, receipt",
    "import": "take in what you have downloaded by hand",
    "plan": "show what get would fetch",
    "list": "list and search the recipes",
    "info": "show one dataset: what it is, how it is obtained, where each fact was read",
    "catalog": "make a page of all datasets, to search, compare and select; or show it with what is here",
    "access": "show what has to be requested, where, how long it takes, and which of it is done",
    "agree": "record that you agree to a dataset's terms",
    "status": "show what is in the cache",
    "verify": "read every byte again; --repair fetches what is wrong",
    "path": "print where a dataset is; exit 1 if it is not complete",
    "rm": "remove datasets from the cache",
    "gc": "remove what interrupted work left",
    "export": "copy a dataset into a folder, for machines without a network; or tell of it in another format",
    "cluster": "write a job array for a cluster's scheduler",
    "lock": "pin datasets: files, digests, routes, terms; get --locked fetches exactly that",
    "cite": "write what is to be cited, as BibTeX or CSL-JSON",
    "login": "keep a credential, read from a prompt or standard input",
    "logout": "forget it",
    "completion": "print what makes a shell complete commands and datasets",
    "recipe": "check recipes, ask the hosts whether they are still true, begin new ones, fetch newer ones",
    "sources": "show the sources: where each comes from, what it needs, its limits",
    "sandbox": "run a stand-in for the archives on loopback",
}


class Verbs(click.Group):
    """Knows all verbs by name and imports only the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return import_module(f"medfetch.cli.{name}").command  # type: ignore[no-any-return]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # click would import all of them to see whether one is hidden.
        verbs = [CompletionItem(verb, help=told) for verb, told in VERBS.items() if verb.startswith(incomplete)]
        return verbs if not incomplete.startswith("-") else click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="medfetch %(version)s")
def group() -> None:
    """Obtain medical imaging datasets: resumable, verified, with a receipt.

    Exit codes: 0 all there and verified · 1 some files could not be had · 2 wrong command line or recipe ·
    3 a requirement is not met · 4 bytes do not match their checksum · 5 disk full · 6 no host reached ·
    130 interrupted, 143 terminated (state is saved: the same command goes on).

    The word in brackets behind an error is its heading in docs/errors.md, and in man medfetch-errors.
    """


def main() -> None:
    """The entry point."""
    try:
        group(prog_name="medfetch")
    except BrokenPipeError:
        # The reader of our output has gone, as in `medfetch list | head`.
        sys.stderr.close()
        sys.exit(1)
    finally:
        # As Python ends it would look for garbage among all that was imported: a tenth of the time of a short command.
        freeze()
