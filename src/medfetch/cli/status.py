"""``medfetch status``."""

from __future__ import annotations

import click

from medfetch import cache, catalog, dois, runner, standing, upkeep
from medfetch.cache import Home
from medfetch.cli import completion
from medfetch.cli.common import Session, with_session
from medfetch.errors import MedfetchError
from medfetch.progress import counted, human
from medfetch.types import Recipe


@click.command("status")
@click.argument("names", nargs=-1, shell_complete=completion.names)
@with_session
def command(session: Session, names: tuple[str, ...]) -> None:
    """Show what is in the cache: complete, partial (and what is missing), stale; and agreements that have lapsed."""
    settings = session.resting
    if names:
        recipes = [dois.load(name, settings) for name in names]
        found: list[tuple[str, Home, Recipe | None]] = [(r.id, runner.home_of(r, settings), r) for r in recipes]
    else:
        homes = cache.homes(settings.cache)
        found = [(home.root.parent.name, home, _known(home.root.parent.name, session)) for home in homes]
    for name, home, recipe in found:
        if not home.inner.exists():
            session.out({"dataset": name, "state": "absent"}, f"{name}: not in the cache")
            continue
        content = upkeep.status(home, recipe)
        what = f"{content['state']}, {counted(content['files'], 'file')}, {human(content['bytes'])}"
        lines = [f"{name}: {what} in {home.root}"]
        for each in content["plans"]:
            asked = ", ".join(f"{facet}={','.join(values)}" for facet, values in each["select"].items()) or "everything"
            stale = f"; stale: {each['stale']} (get --refresh)" if each["stale"] else ""
            here = counted(each["files_here"], "file")
            some = f"{here} here, {each['missing']:,} of {each['entries']:,} series or files missing"
            missing = some if each["missing"] else "nothing missing"
            lines.append(f"  {'+'.join(each['parts'])}, {asked}: {each['state']}, {missing}{stale}")
            lines += [f"    {failure}" for failure in each["failures"]]
        over = standing.lapsed(name, recipe, settings)
        lines += [f"  lapsed on {each.expires}: {each.step} (medfetch agree {name})" for each in over]
        content["lapsed"] = [{"step": each.step, "expires": each.expires} for each in over]
        session.out({"dataset": name, **content}, "\n".join(lines))


def _known(name: str, session: Session) -> Recipe | None:
    try:
        return catalog.load(name, session.settings.recipes)
    except MedfetchError:
        return None
