"""Log lines for the curious: on standard error, with -v; never a secret in them (net/layers.py shows addresses)."""

from __future__ import annotations

import logging
import sys


def start(verbose: int) -> None:
    """2 shows every request, less nothing. May be called again."""
    if verbose > 1:
        logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
        logging.getLogger("medfetch").setLevel(logging.DEBUG)
