"""The sandbox as a child process, for a run that rehearses: it ends when its parent does. And what it is told.

It stands outside of the package, whose import brings all stand-ins, pydicom among them.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medfetch import config
from medfetch.config import Settings
from medfetch.errors import MedfetchError

ITSELF = "sandbox"
"""The name that its own address has among the endpoints."""
PORTS = range(20_000, 32_000)
"""Below those that systems give out by themselves (Linux: 32768 and more)."""


@contextmanager
def sandboxed(settings: Settings, max_instance_bytes: int | None = None) -> Iterator[Settings]:
    """Settings that lead to a sandbox, which runs as long as the block; ``max_instance_bytes`` shrinks DICOM instances.

    Raises: MedfetchError where it does not start.
    """
    command = [sys.executable, "-P", "-m", "medfetch.sandbox", "--port", str(_usual_port(settings.cache))]
    command += ["--max-instance-bytes", str(max_instance_bytes)] if max_instance_bytes else []
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


def _usual_port(cache: Path) -> int:
    """The same for each run with a cache: addresses in plans of the last one have to lead to the next one's sandbox."""
    digest = hashlib.sha256(os.fsencode(cache.absolute())).digest()
    return PORTS.start + int.from_bytes(digest[:4], "big") % len(PORTS)


def show(address: str, recipe: Mapping[str, Any]) -> Any:
    """Has the sandbox at an address serve what a recipe wants; what it answers (``sandbox.rehearsal``).

    Raises: MedfetchError where it cannot.
    """
    import http.client  # it brings TLS, and few runs are rehearsals

    with closing(http.client.HTTPConnection(urlsplit(address).netloc)) as connection:
        try:
            connection.request("POST", "/__recipes", json.dumps(recipe))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise MedfetchError(f"the sandbox does not answer: {error}") from error
    if answer.status != 200:
        raise MedfetchError(f"the sandbox cannot serve what the recipe wants: {content.decode().strip()}")
    return json.loads(content)
