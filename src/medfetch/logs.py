"""Log lines for the curious: on standard error, with -v; never a secret in them (net/layers.py shows addresses).

What is said of a crash is looked through, too: a library's exception may quote what it was given.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType


class _Redacting(logging.Formatter):
    """The last line of defence: nobody else logs a secret."""

    def format(self, record: logging.LogRecord) -> str:
        # With it comes all that looks for secrets, which most starts have no use for.
        from medfetch.credentials.guard import redacted

        return redacted(super().format(record))


def start(verbose: int) -> None:
    """2 shows every request, less only what is wrong. May be called again."""
    sys.excepthook = _crashed
    threading.excepthook = lambda crash: _crashed(crash.exc_type, crash.exc_value, crash.exc_traceback)
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Redacting("%(name)s: %(message)s"))
        root.addHandler(handler)
    if verbose > 1:
        logging.getLogger("medfetch").setLevel(logging.DEBUG)


def _crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, SystemExit):
        return
    from medfetch.credentials.guard import redacted

    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))
