"""What one would write by hand: requests in threads, with SHA-256 of what is written.

``plain_requests.py LIST ORIGIN THREADS [CA]``, into the current folder; LIST has a line ``PATH SIZE SHA256`` a file.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

BLOCK = 256 << 10
local = threading.local()


def fetch(line: str) -> None:
    path, size, sha256 = line.split()
    session = local.__dict__.setdefault("session", requests.Session())
    digest, target = hashlib.sha256(), Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with session.get(f"{origin}/data/{path}", stream=True, timeout=60, verify=authority) as answer:
        answer.raise_for_status()
        with open(part, "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                digest.update(block)
    if part.stat().st_size != int(size) or digest.hexdigest() != sha256:
        raise SystemExit(f"{path}: wrong bytes")
    part.rename(target)


origin = sys.argv[2]
authority: bool | str = sys.argv[4] if len(sys.argv) > 4 else True
with ThreadPoolExecutor(int(sys.argv[3])) as pool, open(sys.argv[1]) as lines:
    for _ in pool.map(fetch, lines):
        pass
