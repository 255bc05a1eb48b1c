"""Log lines for the curious: on standard error, with -v; never a secret in them (net/layers.py shows addresses)."""

from __future__ import annotations

import logging
import sys


def start(verbose: int) -> None:
    """1 shows what happens inside, 2 every request; 0 nothing. May be called again."""
    if verbose:
        logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("medfetch").setLevel(logging.DEBUG if verbose > 1 else logging.INFO)
