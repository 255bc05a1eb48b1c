"""``medfetch sources``."""

from __future__ import annotations

from typing import Any

import click

from medfetch import known_sources
from medfetch.cli.common import Session, with_session
from medfetch.known_sources import Known


@click.command("sources")
@with_session
def command(session: Session) -> None:
    """Show the sources: where each comes from, what it needs, how many connections its hosts bear.

    A third-party source that fails to load is listed with the reason.
    """
    known = list(known_sources.known(session.settings))
    width = max(len(each.name) for each in known)
    for each in known:
        session.out(_content(each), f"{each.name.ljust(width)}  {_told(each)}")


def _told(each: Known) -> str:
    if each.traits is None:
        return f"{each.origin}: {each.error}"
    told = [each.summary]
    if each.traits.logins:
        told.append(f"log-in: {', '.join(each.traits.logins)}")
    if each.traits.program:
        told.append(f"needs {each.traits.program}{', which is not installed' if each.lacks else ''}")
    told.append(f"{each.traits.connections} connections a host")
    told.append(each.origin)
    return " · ".join(told)


def _content(each: Known) -> dict[str, Any]:
    content: dict[str, Any] = {"name": each.name, "from": each.origin, "loads": each.traits is not None}
    if each.traits is None:
        return {**content, "error": each.error}
    return {
        **content,
        "summary": each.summary,
        "logins": each.traits.logins,
        "program": each.traits.program or None,
        "installed": not each.lacks,
        "select": each.traits.facets,
        "connections": each.traits.connections,
        "host_connections": dict(each.traits.host_connections),
        "resumes": each.traits.ranges,
        "endpoints": each.endpoints,
    }
