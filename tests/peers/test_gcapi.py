"""Archives by grand-challenge's own client, gcapi, and by medfetch: the same files, refused alike."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import trustme
from datasets import tree
from dicom_samples import instance
from running import Run

from medfetch.sandbox import Sandbox
from medfetch.sandbox.grand_challenge import TOKEN, Image

UIDS = [f"1.2.826.0.1.3680043.8.498.7.{number}" for number in range(12)]
FULL: list[dict[str, Any]] = [
    {"images/ct": Image({"mha": b"%d" % number * 900}), "images/mask": Image({"tif": b"mask %d" % number}),
     "report.json": b"<no json %d>" % number, "grade.json": {"grade": number}}
    for number in range(9)
]  # fmt: skip
GRADED: list[dict[str, Any]] = [{"grade.json": {"grade": number}} for number in range(95)]
SET = {"images/mr": Image(instances={uid: instance(uid) for uid in UIDS})}
ITEMS = [*FULL, *GRADED, SET]
"""More than the hundred that gcapi asks for at once."""

OFFICIAL = """
import json, sys
from pathlib import Path
import gcapi
token, address, slug, into = sys.argv[1:]
client = gcapi.Client(token=token, base_url=address + "/api/v1/", verify=False)
archive = client.archives.detail(slug=slug)
count = 0
for item in client.archive_items.iterate_all(params={"archive": archive.pk}):
    count += 1
    for value in item.values:
        client.download_socket_value(value, output_directory=Path(into) / item.pk)
print(count)
"""


@pytest.fixture
def tls(box: Sandbox) -> Iterator[str]:
    """The sandbox's grand-challenge by https, which gcapi insists on; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, context, box.port), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/grand-challenge"


def _serve(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with suppress(OSError):  # the test is over
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_connect, args=(plain, context, port), daemon=True).start()


def _connect(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """One request, which has no body, and the sandbox's answer to it."""
    with suppress(OSError), context.wrap_socket(plain, server_side=True) as near:
        head = list(takewhile(bytes.strip, near.makefile("rb")))
        kept = [line for line in head if not line.lower().startswith((b"connection:", b"host:"))]
        # The storage, where the sandbox's redirects lead, is without encryption.
        kept.append(b"Host: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port)
        with socket.create_connection(("127.0.0.1", port)) as far:
            far.sendall(b"".join(kept))
            while block := far.recv(1 << 16):
                near.sendall(block)


def official(slug: str, address: str, into: Path, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_GCAPI", sys.executable)
    if subprocess.run([python, "-c", "import gcapi"], capture_output=True, check=False).returncode:
        pytest.skip(
            "gcapi is not installed: make an environment with `pip install gcapi==0.16.1` "
            "and name its python in PEER_GCAPI"
        )
    return subprocess.run(
        [python, "-W", "ignore", "-c", OFFICIAL, token, address, slug, str(into)],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def values(folder: Path, item: str) -> dict[str, Any]:
    """What is no file, by socket, in the description of an item that medfetch keeps."""
    told = json.loads((folder / f"{item}.json").read_bytes())["values"]
    return {row["interface"]["relative_path"]: row["value"] for row in told if row["value"] is not None}


def test_the_same_files(box: Sandbox, run: Run, tls: str, tmp_path: Path) -> None:
    items = box.grand_challenge.archive("scans", ITEMS)
    theirs = tmp_path / "gcapi"
    box.grand_challenge.address = tls
    done = official("scans", tls, theirs)
    assert (done.returncode, done.stdout) == (0, f"{len(ITEMS)}\n"), done.stderr
    box.grand_challenge.address = None
    receipt = run("get", "grand-challenge:scans", "--json", GRAND_CHALLENGE_AUTHORIZATION=f"BEARER {TOKEN}").last
    ours = Path(receipt["path"])
    # gcapi writes values that are no files as files of its own; medfetch has them in the item's description.
    written = {path: digest for path, digest in tree(theirs).items() if not path.endswith("grade.json")}
    described = {path: digest for path, digest in tree(ours).items() if "/" in path}
    assert described == written
    assert len(written) == 3 * len(FULL) + len(UIDS)
    for item in items[:-1]:
        assert values(ours, item) == {"grade.json": json.loads((theirs / item / "grade.json").read_bytes())}


@pytest.mark.parametrize(
    ("slug", "token", "says"),
    [
        ("secret", TOKEN, "no such archive"),
        ("nowhere", TOKEN, "no such archive"),
        ("scans", "wrong", "https://grand-challenge.org/settings/api-tokens/"),
    ],
)
def test_where_it_is_refused_medfetch_is_and_says_why(
    box: Sandbox, run: Run, tls: str, tmp_path: Path, slug: str, token: str, says: str
) -> None:
    box.grand_challenge.archive("scans", ITEMS[:1])
    box.grand_challenge.archive("secret", ITEMS[:1], listed=False, granted=False)
    box.grand_challenge.address = tls
    done = official(slug, tls, tmp_path / "gcapi", token)
    assert done.returncode == 1
    assert "ObjectNotFound" in done.stderr or "401" in done.stderr
    box.grand_challenge.address = None
    ran = run("get", f"grand-challenge:{slug}", code=3, GRAND_CHALLENGE_AUTHORIZATION=token)
    assert says in "".join(ran.err.split("\n"))


def test_where_it_finds_nothing_medfetch_says_what_that_means(box: Sandbox, run: Run, tls: str, tmp_path: Path) -> None:
    """An archive that is listed, to somebody who was not let in: gcapi ends well, with nothing."""
    box.grand_challenge.archive("listed", ITEMS[:1], granted=False)
    box.grand_challenge.address = tls
    done = official("listed", tls, tmp_path / "gcapi")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
    box.grand_challenge.address = None
    ran = run("get", "grand-challenge:listed", code=3, GRAND_CHALLENGE_AUTHORIZATION=TOKEN)
    assert "you were not let in" in " ".join(ran.err.split())
