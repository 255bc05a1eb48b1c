"""The source ``xnat`` against the sandbox: projects with their subjects, sessions and scans, open and closed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandbox.xnat import PASSWORD, USER
from medfetch.sources.xnat import Xnat
from medfetch.types import Door, RemoteFile, Selection

HOST = "central.example"
FILES = {
    "s1/s1_mr/1/DICOM/1.dcm": b"one" * 900, "s1/s1_mr/1/DICOM/sub/2.dcm": b"two" * 800,
    "s1/s1_mr/2 b/NIFTI/x+ä.nii": b"n",
    "s2/s2_mr/1/DICOM/1.dcm": b"three" * 700,
}  # fmt: skip
PATHS = {
    path.replace(f"{path.split('/')[1]}/", f"{path.split('/')[1]}/scans/", 1): data for path, data in FILES.items()
}
LOCATOR = {"host": HOST, "project": "P"}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        yield box


def net(box: Sandbox, login: str | None = None) -> PlainNet:
    made = PlainNet(Xnat.traits, xnat=box.endpoints["xnat"])
    if login:
        made.secrets[f"xnat:{HOST}"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return made


def resolved(net: PlainNet, selection: Selection | None = None, **locator: object) -> dict[str, RemoteFile]:
    files = list(Xnat().resolve({**LOCATOR, **locator}, net, selection or Selection()))
    return {file.path: file for file in files}


def test_files_of_scans_with_their_checksums(box: Sandbox) -> None:
    box.xnat.publish(HOST, "P", FILES)
    files = resolved(net(box))
    assert set(files) == set(PATHS)
    for path, data in PATHS.items():
        assert (files[path].size, str(files[path].checksums[0])) == (len(data), f"md5:{hashlib.md5(data).hexdigest()}")
    facets = {"subject": "s1", "session": "s1_mr", "series": "1", "modality": "MR"}
    assert files["s1/s1_mr/scans/1/DICOM/1.dcm"].facets == facets


def test_a_server_without_digests(box: Sandbox) -> None:
    box.xnat.publish(HOST, "P", FILES)
    box.xnat.digests = False
    assert {file.checksums for file in resolved(net(box)).values()} == {()}


def test_only_what_is_wanted_is_asked_for(box: Sandbox) -> None:
    box.xnat.publish(HOST, "P", FILES)
    asked = net(box)
    assert set(resolved(asked, Selection({"subject": ("s2",)}))) == {"s2/s2_mr/scans/1/DICOM/1.dcm"}
    assert len(asked.asked) == 3
    assert set(resolved(net(box), path="s1/*/scans/2*")) == {"s1/s1_mr/scans/2 b/NIFTI/x+ä.nii"}


def test_names() -> None:
    locate = Xnat().locate
    assert locate(f"{HOST}/P") == locate(f"https://{HOST}/data/projects/P") == LOCATOR
    assert locate(f"https://{HOST}/app/template/XDATScreen_report/project/P") == LOCATOR
    for wrong in ("", "P", HOST, f"{HOST}/", "h/P"):
        with pytest.raises(UsageProblem):
            locate(wrong)
    for locator in ({"host": "h"}, {"project": []}, {"path": []}, {"x": "y"}):
        with pytest.raises(RecipeError):
            resolved(PlainNet(Xnat.traits), **locator)


@pytest.mark.parametrize(
    ("login", "door"),
    [(None, Door.NO_LOGIN), ("a:b", Door.WRONG_LOGIN), (f"{USER}:{PASSWORD}", Door.OPEN)],
)
def test_closed_projects(box: Sandbox, login: str | None, door: Door) -> None:
    box.xnat.publish(HOST, "P", FILES, private=True)
    assert Xnat().preflight(LOCATOR, net(box, login)).door is door
    if door is Door.OPEN:
        assert {file.credential for file in resolved(net(box, login)).values()} == {f"xnat:{HOST}"}
    else:
        with pytest.raises(AccessRequired):
            resolved(net(box, login))


def test_what_is_not_there(box: Sandbox) -> None:
    box.xnat.publish(HOST, "P", FILES)
    assert Xnat().preflight({**LOCATOR, "project": "Q"}, net(box, f"{USER}:{PASSWORD}")).door is Door.ABSENT
    with pytest.raises(UsageProblem):
        resolved(net(box, f"{USER}:{PASSWORD}"), project="Q")


@pytest.mark.parametrize("body", ["<html>", "{}", '{"ResultSet": {"Result": [{}]}}'])
def test_what_is_no_list(box: Sandbox, body: str) -> None:
    box.xnat.publish(HOST, "P", FILES)
    box.add(Fault(match="/subjects", body=body, status=200))
    with pytest.raises(Retryable, match=HOST):
        resolved(net(box))


def test_a_project_arrives_and_the_password_stays(run: Run, home: Path, box: Sandbox) -> None:
    box.xnat.publish(HOST, "P", FILES, private=True)
    (home / ".netrc").write_text(f"machine {HOST} login {USER} password {PASSWORD}\n")
    (home / ".netrc").chmod(0o600)
    ran = run("get", f"xnat:{HOST}/P", "-vv", "--json")
    assert tree(Path(ran.last["path"])) == {path: sha256(data) for path, data in PATHS.items()}
    assert ran.last["assurance"] == {"published": len(FILES)}
    assert PASSWORD not in ran.out + ran.err
