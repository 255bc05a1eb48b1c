"""What a person still has to do before bytes may flow. It must not know sources or the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from medfetch import credentials
from medfetch.config import Settings
from medfetch.errors import AccessRequired
from medfetch.types import Part, Recipe, Requirement, Route


def steps(recipe: Recipe, parts: Iterable[Part]) -> list[Requirement]:
    """The steps for a recipe's parts, each once: the recipe's own, then those of each part's first route."""
    found: dict[str, Requirement] = {step.name: step for step in recipe.access.requires}
    for part in parts:
        for route in part.routes[:1]:
            found.update({step.name: step for step in route.requires})
    return list(found.values())


def check(recipe: Recipe, parts: Iterable[Part], routes: Mapping[str, list[Route]], settings: Settings) -> None:
    """Lets a run begin, or says what is missing.

    Raises: AccessRequired with every open step; nothing was downloaded.
    """
    parts = list(parts)
    pending = [as_dict(step) for step in steps(recipe, parts)]
    pending += [_login_step(host, settings) for host in _hosts_with_login(routes) if not _has_login(host, settings)]
    if pending:
        raise AccessRequired(
            f"{recipe.id}: {len(pending)} step{'s' if len(pending) > 1 else ''} to take before it can be downloaded",
            steps=pending,
            hint=recipe.access.terms and f"the terms: {recipe.access.terms}",
        )
    closed = [part.name for part in parts if not routes.get(part.name)]
    if closed or not parts:
        raise AccessRequired(
            f"{recipe.id}{': ' + ', '.join(closed) if parts else ''} cannot be fetched by program",
            steps=[],
            hint=recipe.homepage and f"see {recipe.homepage}",
        )


def as_dict(step: Requirement) -> dict[str, Any]:
    """A requirement for people's scripts; what is unknown says so."""
    return {
        "name": step.name, "kind": step.kind, "do": step.do, "at": step.at or "unknown", "wait": step.wait or "unknown",
    }  # fmt: skip


def _hosts_with_login(routes: Mapping[str, list[Route]]) -> list[str]:
    hosts: dict[str, None] = {}
    for first in (routes_of_part[0] for routes_of_part in routes.values() if routes_of_part):
        for file in first.locator.get("files", ()):
            if file.get("auth") == "basic":
                for each in file.get("pieces", [file]):
                    urls = each["url"] if isinstance(each["url"], list) else [each["url"]]
                    hosts.update({str(urlsplit(url).hostname): None for url in urls})
    return list(hosts)


def _has_login(host: str, settings: Settings) -> bool:
    return credentials.find(f"netrc:{host}", settings) is not None


def _login_step(host: str, settings: Settings) -> dict[str, Any]:
    do = f"add a line to {settings.netrc} (mode 600): machine {host} login USER password PASSWORD"
    return {"name": f"login-{host}", "kind": "account", "do": do, "at": f"https://{host}", "wait": "unknown"}
