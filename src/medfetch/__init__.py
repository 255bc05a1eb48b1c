"""medfetch obtains medical imaging datasets.

The way through the package, in order; nothing flows back:

    cli → runner → catalog    a name becomes a Recipe
                 → standing   what a person still has to do (before any byte)
                 → sources    a Route becomes RemoteFiles and Groups, lazily
                 → planning   those become shards on disk
                 → engines    shards are worked off, here by a few processes
                 → shard      one shard: list, fetch, check, place, write down
                 → transfer   one file: resume, retry, fail over, hash
                 → ledger, receipt   what is in the cache, and how sure we are

Newcomers read ``runner.py``, ``types.py``, then one file of ``sources/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medfetch.api import access, agree, export, get, plan
    from medfetch.catalog import load as recipe
    from medfetch.errors import MedfetchError
    from medfetch.opening import open_file as open
    from medfetch.types import Recipe

__all__ = ["MedfetchError", "Recipe", "__version__", "access", "agree", "export", "get", "open", "plan", "recipe"]

_HOMES = {
    "MedfetchError": "medfetch.errors:MedfetchError",
    "Recipe": "medfetch.types:Recipe",
    "access": "medfetch.api:access",
    "agree": "medfetch.api:agree",
    "export": "medfetch.api:export",
    "get": "medfetch.api:get",
    "open": "medfetch.opening:open_file",
    "plan": "medfetch.api:plan",
    "recipe": "medfetch.catalog:load",
}


def __getattr__(name: str) -> Any:
    # Public names are imported on first use, so that `medfetch --help` does not pay for all of them.
    if name not in _HOMES:
        raise AttributeError(f"module 'medfetch' has no attribute {name!r}")
    from importlib import import_module

    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute)
