"""What this medfetch writes, in small: caches, receipts, agreements, updated recipes, a signed index, a lock.

    python tests/format_samples.py

writes tests/data/formats/<version>, once, before a version is released. From then on every later one has to read it
(tests/test_formats.py). The host is a proxy on loopback, so that the addresses in the samples are those of no machine.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from datasets import tarred
from running import Medfetch
from servers import Script, Server, cut, reply, serve

from medfetch import __version__
from medfetch.updates import index
from medfetch.updates.index import Recipes

SAMPLES = Path(__file__).parent / "data" / "formats"
HOST = "http://data.example.org"
SCAN, TABLE = bytes(range(256)) * 8, b"subject,age\nS1,61\n"
ARCHIVE = tarred(**{"S1/slice": b"1" * 300, "S2/slice": b"2" * 300})
LARGE = bytes(reversed(range(256))) * 1200
FILES = {"scan.bin": SCAN, "table.csv": TABLE, "slices.tar.gz": ARCHIVE, "large.bin": LARGE}
ETAG = '"as-it-was"'
NUMBER = 10**6
"""Of the updated recipes: newer than all that ever come with medfetch."""


def recipes() -> dict[str, dict[str, object]]:
    """``whole`` is complete in the samples, and so is ``packed``; of ``half`` a file has begun."""

    def one(path: str, **more: object) -> dict[str, object]:
        return {"path": path, "url": f"{HOST}/{path}", "size": len(FILES[path]), **more}

    terms = {"name": "whole-terms", "kind": "terms", "do": "Accept the terms of use.", "at": f"{HOST}/terms"}
    sums = {path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    head = {"summary": "A sample.", "licence": {"id": "CC-BY-4.0"}, "cite": ["doi:10.1234/example"]}
    archive = one("slices.tar.gz", unpack={"into": "slices"})
    whole = [one("scan.bin", sha256=sums["scan.bin"]), one("table.csv"), archive]
    half = [one("table.csv"), one("large.bin", sha256=sums["large.bin"])]
    return {
        "whole": {
            "id": "whole", "name": "Whole", **head, "version": "1.0",
            "access": {"level": "terms", "requires": [terms], "terms": f"{HOST}/terms"},
            "routes": [{"source": "http", "files": whole}],
        },
        "half": {
            "id": "half", "name": "Half", **head, "access": {"level": "open"},
            "routes": [{"source": "http", "files": half}],
        },
        "packed": {
            "id": "packed", "name": "Packed", **head, "access": {"level": "open"},
            "routes": [{"source": "http", "files": whole}],
        },
    }  # fmt: skip


def environment(folder: Path, proxy: str | None) -> dict[str, str]:
    """Of a medfetch whose cache, data and recipes are in a folder, and for which one host is the whole network."""
    told = {
        "PATH": os.environ["PATH"], "HOME": str(folder / "home"), "LC_ALL": "C.UTF-8",
        "MEDFETCH_CACHE": str(folder / "cache"), "MEDFETCH_DATA": str(folder / "data"),
        "MEDFETCH_RECIPES": str(folder / "recipes"), "MEDFETCH_TRIES": "1", "MEDFETCH_BACKOFF": "0.01",
        "MEDFETCH_PROCESSES": "1", "MEDFETCH_RESERVE": "0",
    }  # fmt: skip
    return told | ({"http_proxy": proxy} if proxy else {"MEDFETCH_OFFLINE": "1"})


def answer(server: Server, files: Mapping[str, Script]) -> None:
    for path, script in files.items():
        server.script(f"{HOST}/{path}", script)


def make(folder: Path) -> None:
    for name in ("home", "data", "recipes"):
        (folder / name).mkdir(parents=True)
    for name, recipe in recipes().items():
        (folder / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    updated = b"id: updated\nname: Updated\nsummary: An updated recipe.\naccess: {level: open}\n"
    raw = index.packed(Recipes(NUMBER, {"http/updated.yaml": updated}, ""))
    (folder / "recipes.json").write_bytes(raw)
    (folder / "recipes.json.sig").write_bytes(index.signature(raw, key))
    (folder / "recipes.pub").write_text(index.public(key) + "\n")
    with Server() as server:
        answer(server, {path: serve(data, etag=ETAG) for path, data in FILES.items()})
        broken = cut(serve(LARGE, etag=ETAG), 200_000)
        server.script(f"{HOST}/large.bin", broken, reply("503 Service Unavailable"))
        run = Medfetch(folder, environment(folder, f"http://127.0.0.1:{server.port}"))
        run("agree", "whole", "--as", "A. Person", "--agreed-on", "2026-11-20")
        run("get", "whole")
        run("get", "packed", "--pack")
        run("get", "half", code=1)
        run("recipe", "update", "--from", "recipes.json", MEDFETCH_RECIPES_KEYS=index.public(key))
        run("lock", "whole", "-o", "medfetch.lock")
    shutil.rmtree(folder / "home")
    for mark in folder.rglob("unsynced.*"):
        mark.unlink()  # they speak of a start of this machine (``durability``)


if __name__ == "__main__":
    target = SAMPLES / __version__
    if target.exists():
        sys.exit(f"{target} is there: what was released is not written again")
    with tempfile.TemporaryDirectory() as temporary:
        make(Path(temporary, "medfetch"))
        shutil.copytree(Path(temporary, "medfetch"), target)
    print(target)
