"""The sandbox as a child process, for a run that rehearses: it ends when its parent does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from medfetch import config
from medfetch.config import Settings
from medfetch.errors import MedfetchError


@contextmanager
def sandboxed(settings: Settings) -> Iterator[Settings]:
    """Settings that lead to a sandbox, which runs as long as the block.

    Raises: MedfetchError where it does not start.
    """
    command = [sys.executable, "-P", "-m", "medfetch.sandbox", "--port", "0"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=config.for_children()
    ) as process:
        assert process.stdout and process.stdin
        try:
            line = process.stdout.readline()
            if not line:
                raise MedfetchError(f"the sandbox did not start (exit {process.wait()})")
            told = json.loads(line)
            yield settings.as_sandboxed(told["endpoints"], told["made_up"])
        finally:
            process.stdin.close()
            process.terminate()
