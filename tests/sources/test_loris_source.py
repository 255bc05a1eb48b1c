"""The source ``loris`` against the sandbox: projects, images, and the log-in that gives a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.loris import PASSWORD, USER
from medfetch.sources.loris import Loris
from medfetch.types import Door, RemoteFile, Selection

HOST = "preventad.example"
IMAGES = {"300001/V1/a_t1_001.mnc": b"one" * 9000, "300001/V 2/a_t2.mnc": b"two" * 500, "300002/V1/b+ä.mnc": b"three"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.loris.publish(HOST, "loris", IMAGES)
        yield box


def net(box: Sandbox, password: str | None = PASSWORD) -> PlainNet:
    made = PlainNet(Loris.traits, loris=box.endpoints["loris"])
    if password == PASSWORD:
        body = {"username": USER, "password": password}
        token = made.post(f"{box.endpoints['loris']}/{HOST}/api/v0.0.3/login", json=body).json()["token"]
        made.secrets[f"loris:{HOST}"] = f"Bearer {token}"
    elif password:
        made.secrets[f"loris:{HOST}"] = f"Bearer {password}"
    return made


def resolved(net: PlainNet, **locator: object) -> dict[str, RemoteFile]:
    files = list(Loris().resolve({"host": HOST, **locator}, net, Selection()))
    by_path = {file.path: file for file in files}
    assert len(by_path) == len(files)
    return by_path


def test_images_of_all_projects_or_of_one(box: Sandbox) -> None:
    more = {"300003/V1/c.mnc": b"c", "300002/V1/b+ä.mnc": b"three"}
    box.loris.publish(HOST, "other", more)
    assert set(resolved(net(box))) == {*IMAGES, *more}
    files = resolved(net(box), project="other")
    assert set(files) == set(more)
    assert files["300003/V1/c.mnc"].facets == {"subject": "300003", "session": "V1", "modality": "t1"}
    assert set(resolved(net(box), path="300001")) == {path for path in IMAGES if path.startswith("300001/")}


def test_names() -> None:
    locate = Loris().locate
    assert locate(HOST) == locate(f"https://{HOST}/") == {"host": HOST}
    assert locate(f"{HOST}/p") == {"host": HOST, "project": "p"}
    for wrong in ("", "h", f"{HOST}/p/q"):
        with pytest.raises(UsageProblem):
            locate(wrong)
    for locator in ({"host": "h"}, {"project": []}, {"path": []}, {"x": "y"}):
        with pytest.raises(RecipeError):
            resolved(PlainNet(Loris.traits), **locator)


@pytest.mark.parametrize(("password", "door"), [(None, Door.NO_LOGIN), ("x", Door.WRONG_LOGIN), (PASSWORD, Door.OPEN)])
def test_the_door(box: Sandbox, password: str | None, door: Door) -> None:
    assert Loris().preflight({"host": HOST}, net(box, password)).door is door
    if door is not Door.OPEN:
        with pytest.raises(AccessRequired):
            resolved(net(box, password))


def test_what_is_not_there(box: Sandbox) -> None:
    with pytest.raises(UsageProblem, match="no such project"):
        resolved(net(box), project="none")


@pytest.mark.parametrize("body", ["<html>", "{}", '{"Images": [{"Link": "/elsewhere"}]}'])
def test_what_is_no_list(box: Sandbox, body: str) -> None:
    asked = net(box)
    box.add(Fault(match="/images", body=body, status=200))
    with pytest.raises(Retryable, match=HOST):
        resolved(asked, project="loris")


# -- the whole way -------------------------------------------------------------------------------------------------


def netrc(home: Path, password: str) -> None:
    (home / ".netrc").write_text(f"machine {HOST} login {USER} password {password}\n")
    (home / ".netrc").chmod(0o600)


def test_images_arrive_and_the_password_goes_to_the_log_in_only(run: Run, home: Path, box: Sandbox) -> None:
    netrc(home, PASSWORD)
    ran = run("get", f"loris:{HOST}", "-vv", "--json")
    assert tree(Path(ran.last["path"])) == {path: sha256(data) for path, data in IMAGES.items()}
    assert ran.last["assurance"] == {"first-seen": len(IMAGES)}
    told = {entry.target.rpartition("/")[2] for entry in box.log if PASSWORD in str(entry.body)}
    assert told == {"login"}
    assert PASSWORD not in ran.out + ran.err


def test_a_wrong_log_in_is_told(run: Run, home: Path, box: Sandbox) -> None:
    netrc(home, "wrong-password")
    ran = run("get", f"loris:{HOST}", code=None)
    assert ran.code == 3
    assert "does not take this user name and password" in ran.err
