"""The gates of each host that the sandbox stands in for, by plain requests: who is let in, and where links lead."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from asking import Reply, ask

from medfetch.sandbox import Sandbox
from medfetch.sandbox.hf import TOKEN as HUB_TOKEN
from medfetch.sandbox.hosts import COMMONS
from medfetch.sandbox.kaggle import TOKEN
from medfetch.sandbox.physionet import PASSWORD
from medfetch.sandbox.physionet import USER as PERSON

DATA = bytes(range(256)) * 40
FILES = {"a.nii": DATA}


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'{PERSON}:{password}'.encode()).decode()}"


@dataclass(frozen=True)
class Host:
    """``open`` lets the person in, ``close`` throws them out again; ``data`` asks for the file."""

    open: Callable[[Sandbox], object]
    close: Callable[[Sandbox], object]
    data: Callable[[Sandbox, str], Reply]
    right: str
    wrong: str
    refused: tuple[int, int, int]
    """Without a log-in, with a wrong one, with a right one of somebody who is not let in."""


def get(path: str) -> Callable[[Sandbox, str], Reply]:
    return lambda box, login: ask(box, path, **({"Authorization": login} if login else {}))


def synapse(box: Sandbox, login: str) -> Reply:
    """Of the file that was put there last."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    told = ask(
        box, "/synapse/repo/v1/entity/children", "POST", b'{"parentId": "syn1", "includeTypes": ["file"]}', **headers
    )
    key = json.loads(told.body)["page"][-1]["id"]
    row = {"fileHandleId": f"9{key[3:]}", "associateObjectId": key, "associateObjectType": "FileEntity"}
    body = json.dumps({"includePreSignedURLs": True, "requestedFiles": [row]}).encode()
    headers = {"Authorization": login} if login else {}
    return ask(box, "/synapse/file/v1/fileHandle/batch", "POST", body, **headers)


def grand_challenge(granted: bool) -> Callable[[Sandbox], object]:
    return lambda box: box.grand_challenge.archive("a", [{"a.nii": DATA}], granted=granted)


MEDIA = f"/grand-challenge/media/components/{uuid.uuid5(uuid.NAMESPACE_URL, 'a/0/a.nii')}/a.nii"
"""Where the sandbox has the only file of that archive."""

HOSTS = {
    "kaggle": Host(
        lambda box: box.kaggle.competition("c", FILES),
        lambda box: box.kaggle.competition("c", FILES, entered=False),
        get("/kaggle/api/v1/competitions/data/download/c/a.nii"),
        f"Bearer {TOKEN}", "Bearer x", (401, 401, 403),
    ),
    "physionet": Host(
        lambda box: box.physionet.publish("p", "1.0", FILES, policy="credentialed", approved=[PERSON]),
        lambda box: box.physionet.publish("p", "1.0", FILES, policy="credentialed"),
        lambda box, login: ask(box, "/physionet/files/p/1.0/a.nii", User_Agent="Wget/1.21",
                               **({"Authorization": login} if login else {})),
        basic(PASSWORD), basic("x"), (401, 401, 403),
    ),
    "grand-challenge": Host(
        grand_challenge(True), grand_challenge(False), get(MEDIA), f"BEARER {TOKEN}", "BEARER x", (404, 404, 404),
    ),
    "hf": Host(
        lambda box: box.hub.publish("o/d", FILES, gated="manual", approved=[PERSON]),
        lambda box: box.hub.publish("o/d", FILES, gated="manual", pending=[PERSON]),
        get("/hf/datasets/o/d/resolve/main/a.nii"), f"Bearer {HUB_TOKEN}", "Bearer x", (401, 401, 403),
    ),
    "synapse": Host(
        lambda box: box.synapse.folder("syn1", FILES),
        lambda box: box.synapse.folder("syn1", {"b.nii": DATA}, unmet=["a condition"]),
        synapse, f"Bearer {TOKEN}", "Bearer x", (403, 401, 403),
    ),
    "gen3": Host(
        lambda box: box.gen3.put(COMMONS, "a", DATA),
        lambda box: box.gen3.put(COMMONS, "a", DATA, approved=False),
        get(f"/gen3/{COMMONS}/user/data/download/a"), "", "Bearer x", (401, 401, 403),
    ),
}  # fmt: skip


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, box: Sandbox) -> Host:
    return HOSTS[request.param]


def right(host: Host, box: Sandbox) -> str:
    return host.right or f"Bearer {box.gen3.access_token(COMMONS)}"


def status(reply: Reply) -> int:
    """Of Synapse's answers for several files what it says of the one."""
    if b"failureCode" in reply.body:
        return 403
    return reply.status


def link(reply: Reply) -> str | None:
    """Where an answer leads: by redirect, or in JSON."""
    if "Location" in reply.headers:
        return str(reply.headers["Location"])
    told = json.loads(reply.body) if reply.headers["Content-Type"] == "application/json" else {}
    return told.get("url") or told.get("requestedFiles", [{}])[0].get("preSignedURL")


def test_who_is_let_in(host: Host, box: Sandbox) -> None:
    host.open(box)
    assert [status(host.data(box, login)) for login in ("", host.wrong)] == list(host.refused[:2])
    assert status(host.data(box, right(host, box))) in (200, 302)


def test_who_was_let_in_is_not_any_more(host: Host, box: Sandbox) -> None:
    host.open(box)
    host.close(box)
    assert status(host.data(box, right(host, box))) == host.refused[2]


def test_links_lead_to_another_origin_and_expire(host: Host, box: Sandbox) -> None:
    host.open(box)
    address = link(host.data(box, right(host, box)))
    if address is None:
        assert host is HOSTS["physionet"], "all others have their files elsewhere"
        return
    parts = urlsplit(address)
    assert (parts.hostname, parts.port) == ("localhost", box.port)
    there = f"{parts.path}?{parts.query}"
    assert ask(box, there).body == DATA
    for hub in (box.kaggle, box.grand_challenge, box.hub, box.synapse, box.gen3):
        hub.life = -1
    over = urlsplit(link(host.data(box, right(host, box))) or "")
    assert ask(box, f"{over.path}?{over.query}").status in (400, 403)
    for hub in (box.kaggle, box.grand_challenge, box.hub, box.synapse, box.gen3):
        hub.life, hub.uses = 100, 1
    once = urlsplit(link(host.data(box, right(host, box))) or "")
    first, second = (ask(box, f"{once.path}?{once.query}").status for _ in range(2))
    assert first == 200 and second in (400, 403)
