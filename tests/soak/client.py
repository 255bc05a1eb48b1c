"""Fetches the mixed dataset again and again within one process, each time into a fresh cache, until it is told to end.

    python -m soak.client FOLDER     one line of JSON after each round: seconds, failures that were gone on from

It must not know what the host does to it.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

import medfetch
from medfetch.errors import MedfetchError
from soak.mixed import NAME

TIMES = 5
"""Faults may end a run, such as ten refusals in a row: a person would say it again, but not for ever."""


def main(folder: Path) -> None:
    for number in range(1, 1_000_000):
        cache = folder / f"round-{number}"
        began, reasons = time.monotonic(), []
        for left in reversed(range(TIMES)):
            try:
                path = medfetch.get(NAME, cache=cache, progress=False)
                break
            except MedfetchError as error:
                reasons.append(str(error))
                if not left:
                    raise
        print(json.dumps({"path": str(path), "seconds": time.monotonic() - began, "again": reasons}), flush=True)
        sys.stdin.readline()  # until the tree has been looked at
        shutil.rmtree(cache)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
