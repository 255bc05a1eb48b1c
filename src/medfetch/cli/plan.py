"""``medfetch plan``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import click

from medfetch import admission, runner, standing, storage, survey
from medfetch.charts import holdings
from medfetch.cli import completion, links, plots
from medfetch.cli.common import Session, with_session, with_wish
from medfetch.cli.wanted import wanted
from medfetch.errors import AccessRequired, UsageProblem
from medfetch.planning import Plan
from medfetch.progress import amount, counted, human
from medfetch.types import Assurance, Entry, Recipe, RemoteFile
from medfetch.wishes import Wish

CRC = Assurance.ARCHIVE_CRC.value


@click.command("plan")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@click.option("-r", "files", type=click.Path(path_type=Path), multiple=True, help="A list of datasets, text or YAML.")
@links.option
@click.option("--sha256", help="The digest that a plain http(s) address must have.")
@click.option("--write", is_flag=True, help="Say where it is kept, and in how many shards, for get --shard.")
@click.option("--files", "show_entries", is_flag=True, help="Each series and file too.")
@plots.option("Also what there is: series by modality, files by kind, sizes, subjects.")
@with_session
@with_wish
def command(
    session: Session, wish: Wish, names: tuple[str, ...], files: tuple[Path, ...], sha256: str | None,
    mail: TextIO | None, write: bool, show_entries: bool, plot: Path | None,
) -> None:  # fmt: skip
    """Show what get would fetch: series, files, bytes, routes, free space. No data is fetched; the plan is kept, and
    get works it off."""
    with session.reaching() as settings:
        display = session.display()
        refused: list[AccessRequired] = []
        for recipe, own, told in links.given(mail, wanted(names, files, wish, settings, sha256), settings, display):
            try:
                made = runner.make_plan(recipe, own, told, display)
            except AccessRequired as error:
                refused.append(error)
                continue
            content = _content(recipe, made)
            kept = f"\n  kept in {made.folder}: {counted(content['shards'], 'shard')} for get --shard" if write else ""
            session.out(content, _text(standing.label(recipe), content) + kept)
            if show_entries:
                for part, entry in made.entries():
                    for content, text in _lines(part, entry):
                        session.out({"event": "entry", **content}, f"  {text}")
            if plot:
                _plot(session, recipe, made, plots.of_several(plot, recipe.id, len(names) + len(files) > 1))
        if refused:
            raise admission.together(refused)


def _plot(session: Session, recipe: Recipe, made: Plan, plot: Path) -> None:
    told_by = [way["source"] for ways in made.header["routes"].values() for way in ways[:1]]
    found = survey.of_plan(made.entries(), told_by)
    chart = holdings.of(recipe, found, made.header["index"], parts=False)
    plots.show(session, plot, recipe.id, chart, UsageProblem(f"{recipe.id}: no file of it has a known size"))


def _lines(part: str, entry: Entry) -> Iterator[tuple[dict[str, Any], str]]:
    """An entry, or each of the members that it is; a member's ``bytes`` are those that it has in the archive."""
    if isinstance(entry, RemoteFile) and entry.unpack and entry.unpack.members:
        for member in entry.unpack.members:
            path = str(PurePosixPath(entry.unpack.into, member.name))
            known = {"path": path, "bytes": member.packed, "files": 1, "unpacked": member.size, "archive": entry.path}
            yield {"part": part, **known}, f"{path}  {human(member.packed)}, unpacked {human(member.size)}"
        return
    size = human(entry.size) if entry.size is not None else "size unknown"
    known = {"path": entry.path, "bytes": entry.size, "files": getattr(entry, "files", 1)}
    yield {"part": part, **known}, f"{entry.path}  {size}"


def _content(recipe: Recipe, made: Plan) -> dict[str, Any]:
    return {
        "event": "plan",
        "dataset": recipe.id,
        "version": recipe.version,
        "plan": made.id,
        **made.totals,
        "instances": sum(part["files"] for part in made.header["parts"].values() if part["series"]),
        "parts": {
            name: {**counts, "routes": [way["source"] for way in made.header["routes"][name]]}
            for name, counts in made.header["parts"].items()
        },
        "not_included": [part.name for part in recipe.parts if part.name not in made.header["parts"]],
        "select": made.header["select"],
        "licence": made.header["licence"],
        "you_pay": made.costs,
        "index": made.header["index"],
        "shards": made.header["shards"],
        "free_bytes": storage.free_bytes(made.home.root),
        "path": str(made.home.root),
    }


def _text(label: str, content: dict[str, Any]) -> str:
    lines = [f"{label}: {amount(content)}"]
    for name, counts in content["parts"].items():
        lines.append(f"  {name}: {amount(counts)}; by {', then '.join(counts['routes'])}")
        if members := counts.get("members"):
            lines.append(f"    {counted(members, 'file')} out of archives; they prove right by CRC32 ({CRC})")
    if content["not_included"]:
        lines.append(f"  not included: {', '.join(content['not_included'])} (--part NAME)")
    if content["you_pay"]:
        lines.append("  your account pays for requests and for all that is downloaded")
    lines.append(f"  to {content['path']} ({human(content['free_bytes'])} free)")
    return "\n".join(lines)
