"""``python -m medfetch.sandbox``: a sandbox for a parent process, which ends with it.

It must not print anything but one line of JSON, ``{"port": …, "endpoints": {…}, "made_up": {…}}``, once it answers.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import Any

from medfetch.errors import UsageProblem
from medfetch.sandbox import Sandbox
from medfetch.sandboxed import ITSELF


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m medfetch.sandbox", description="Ends at the end of its input.")
    parser.add_argument("--port", type=int, default=0, help="a free one, if it is 0 or taken")
    parser.add_argument("--max-instance-bytes", type=int, help="shrinks larger DICOM instances")
    parser.add_argument("--rate", type=int, help="bytes a second for each connection")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A terminal's Ctrl-C goes to the whole group; the parent decides when its sandbox ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _opened(**vars(options)) as box:
        box.show_examples()
        endpoints = {**box.endpoints, ITSELF: box.address}
        sys.stdout.write(json.dumps({"port": box.port, "endpoints": endpoints, "made_up": box.made_up}) + "\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


def _opened(port: int, **options: Any) -> Sandbox:
    """Raises: as Sandbox, but not where the port is taken."""
    try:
        return Sandbox(port, **options)
    except UsageProblem:
        if not port:
            raise
        return Sandbox(0, **options)


if __name__ == "__main__":
    main()
