"""``medfetch verify``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from medfetch import database, dois, layers, presence, receipt_check, rehearsal, runner, standing, upkeep
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session
from medfetch.cli.wanted import NOTHING
from medfetch.errors import IntegrityError, UsageProblem
from medfetch.progress import counted


@click.command("verify")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@click.option("--content", is_flag=True, help="Also open the files: DICOM, NIfTI, gzip, zip.")
@click.option("--repair", is_flag=True, help="Fetch again what is wrong.")
@click.option(
    "--receipt", type=click.Path(path_type=Path),
    help="Instead: whether what is here, or in the FOLDER that is named, is what this receipt or RO-Crate is of.",
)  # fmt: skip
@with_session
def command(session: Session, names: tuple[str, ...], content: bool, repair: bool, receipt: Path | None) -> None:
    """Read every byte again and compare with what was verified when it came."""
    if receipt:
        if content or repair or len(names) > 1:
            raise UsageProblem("--receipt compares digests, of one folder at the most", hint="leave out the rest")
        _against(session, receipt, Path(names[0]) if names else None)
        return
    if not names:
        raise NOTHING
    bad, hint = 0, "--repair fetches them again"
    for name in names:
        recipe = dois.load(name, session.resting)
        elsewhere = f"medfetch get {name} --refresh makes a good copy"
        home = layers.where(recipe, session.resting)
        below = layers.is_layer(home, session.resting)
        if below and repair:
            raise UsageProblem(f"{name} is in a layer, {home.cache}", hint=f"{elsewhere} of your own")
        findings, count = [], 0
        with ExitStack() as stack:
            if below:
                stack.enter_context(database.untouched(home.root))
            else:
                upkeep.settle(home)
            for file, finding in upkeep.check(home, content=content):
                count += 1
                if finding:
                    findings.append(finding)
                if finding or session.verbose:
                    problem = finding.problem if finding else "ok"
                    session.out(
                        {"event": "file", "path": file.path, "problem": finding and problem}, f"{file.path}: {problem}"
                    )
            for finding in upkeep.damaged_archives(home):
                findings.append(finding)
                session.out(
                    {"event": "archive", "path": finding.path, "problem": finding.problem},
                    f"{finding.path}: {finding.problem}",
                )
            for gap in upkeep.missing_instances(home) if content else ():
                bad += 1
                session.out({"event": "series", "path": gap.path, "problem": gap.problem}, f"{gap.path}: {gap.problem}")
        if findings and repair:
            with session.reaching() as settings:
                recipe = rehearsal.stage(recipe, settings).recipe
                plans = upkeep.fulfilled(home)
                for made in plans:
                    runner.check_again(recipe, made, settings)
                with presence.alone(home, session.display()):
                    upkeep.forget(home, findings)
                for made in plans:
                    runner.fulfil(recipe, made, settings, session.display())
        else:
            bad += len(findings)
        if below and findings:
            hint = f"{elsewhere} of your own; tell whoever keeps {home.cache}"
        again = " and fetched again" if repair and findings else ""
        session.out(
            {"event": "verify", "dataset": recipe.id, "files": count, "bad": len(findings), "repaired": repair},
            f"{standing.label(recipe)}: {counted(count, 'file')}, {len(findings)} bad{again}"
            + (f" in the layer {home.cache}" if below else ""),
        )
    if bad:
        raise IntegrityError(f"{bad} files are not as they should be", hint=hint)


def _against(session: Session, receipt: Path, folder: Path | None) -> None:
    """A tree against a receipt. Raises: IntegrityError where it is another."""
    expected = receipt_check.read(receipt)
    there = receipt_check.check(expected, folder, session.resting)
    for path, problem in there.problems:
        what = "file" if path else "tree"
        session.out({"event": what, "path": path or None, "problem": problem}, f"{path or there.folder}: {problem}")
    told = {"files": there.files, "bytes": there.bytes, "bad": len(there.problems), "tree": there.tree or None}
    text = f"{expected.name}: {counted(there.files, 'file')} in {there.folder}, "
    text += counted(len(there.problems), "difference")
    session.out({"event": "verify", "receipt": str(receipt), "path": str(there.folder), **told}, text)
    if there.problems:
        raise IntegrityError(f"{there.folder} is not what {receipt} is of")
