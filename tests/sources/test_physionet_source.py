"""The source ``physionet`` against the sandbox: which list it reads, what it makes of refusals, what it fetches."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from plain_net import PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Retryable, UsageProblem
from medfetch.sandbox import Fault, Sandbox
from medfetch.sources.physionet import SUMS, PhysioNet
from medfetch.types import Door, RemoteFile, Selection

LOCATOR = {"project": "cxr", "version": "2.1.0"}
PASSWORD = "correct-horse-4411"
FILES = {"LICENSE.txt": "licence", "files/p10/a b.jpg": 3000, "files/p11/c+ä.jpg": 2000}


@pytest.fixture
def box() -> Iterator[Sandbox]:
    """With its own user agents: ``requests`` is what the source's tests ask with."""
    with Sandbox() as box:
        box.physionet.accounts["ann"] = PASSWORD
        box.physionet.agents += "|python-requests/"
        yield box


def net(box: Sandbox, user: str | None = None, password: str = PASSWORD) -> PlainNet:
    made = PlainNet(PhysioNet.traits, **{name: box.endpoints[name] for name in PhysioNet.traits.endpoints})
    if user:
        made.secrets["physionet"] = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    return made


def resolved(net: PlainNet, **locator: object) -> list[RemoteFile]:
    return list(PhysioNet().resolve(locator or LOCATOR, net, Selection()))


# -- what is there -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spaces", [1, 2])
def test_a_gated_project_is_what_its_list_says(box: Sandbox, spaces: int) -> None:
    content = box.physionet.publish("cxr", "2.1.0", FILES, policy="credentialed", approved=["ann"], spaces=spaces)
    files = resolved(net(box, "ann"))
    assert [file.path for file in files] == ["SHA256SUMS.txt", *FILES]
    for file in files[1:]:
        assert [str(each) for each in file.checksums] == [f"sha256:{sha256(content[file.path])}"]
        assert file.size is None
    assert files[0].size == len(content["SHA256SUMS.txt"])
    assert {file.credential for file in files} == {"physionet"}
    assert files[2].urls == (f"{box.endpoints['physionet']}/files/cxr/2.1.0/files/p10/a%20b.jpg",)
    assert files[3].urls[0].endswith("/c%2B%C3%A4.jpg")


def test_the_password_goes_only_where_it_is_asked_for(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", FILES)
    assert {file.credential for file in resolved(net(box, "ann"))} == {None}
    assert {entry.header("authorization") for entry in box.log} == {None}


def test_an_open_project_comes_from_its_mirror_first(box: Sandbox) -> None:
    content = box.physionet.publish("cxr", "2.1.0", FILES, mirrored=True)
    files = resolved(net(box, "ann"))
    assert [file.size for file in files] == [len(content[file.path]) for file in files]
    assert files[1].urls == (
        f"{box.endpoints['physionet_s3']}/physionet-open/cxr/2.1.0/LICENSE.txt",
        f"{box.endpoints['physionet']}/files/cxr/2.1.0/LICENSE.txt",
    )
    assert files[1].etag is not None
    assert {entry.target.split("/")[1] for entry in box.log} == {"s3"}


def test_what_the_mirror_lacks_comes_from_the_site(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", {"a": "a"}, mirrored=True)
    box.physionet.publish("cxr", "2.1.0", {"a": "a", "b": "b"})
    box.put("s3://physionet-open/cxr/2.1.0/SHA256SUMS.txt", f"{sha256(b'b')}  b\n".encode())
    (_, file) = resolved(net(box))
    assert file.urls == (f"{box.endpoints['physionet']}/files/cxr/2.1.0/b",)


@pytest.mark.parametrize("fault", [Fault(match="^/s3/", status=503, times=None), Fault(match="^/s3/", status=403)])
def test_a_mirror_that_is_down_is_done_without(box: Sandbox, fault: Fault) -> None:
    box.physionet.publish("cxr", "2.1.0", FILES, mirrored=True)
    box.add(fault)
    assert {len(file.urls) for file in resolved(net(box))} == {1}


def test_only_what_the_locator_wants(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", FILES)
    for path, expected in {
        "files/p10": ["files/p10/a b.jpg"],
        "*.jpg": ["files/p10/a b.jpg", "files/p11/c+ä.jpg"],
        "*.txt": ["SHA256SUMS.txt", "LICENSE.txt"],
    }.items():
        assert [file.path for file in resolved(net(box), **LOCATOR, path=path)] == expected


def test_without_a_version_the_latest_is_taken(box: Sandbox) -> None:
    for version in ("2.0.0", "10.1.0", "9.2.0"):
        box.physionet.publish("cxr", version, {"a": version})
    assert "/cxr/10.1.0/" in resolved(net(box), project="cxr")[0].urls[0]


def test_a_doi_is_looked_up(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.0.0", FILES, doi="10.13026/C2JT1Q")
    box.physionet.publish("cxr", "2.1.0", FILES, doi="10.13026/8360-t248")
    locator = PhysioNet().locate("10.13026/c2jt1q")
    assert "/cxr/2.0.0/" in resolved(net(box), **locator)[0].urls[0]
    with pytest.raises(UsageProblem, match="no published project"):
        resolved(net(box), doi="10.13026/none")


def test_a_page_in_place_of_the_list_is_no_list(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", FILES)
    box.add(Fault(match="^/physionet.*SHA256SUMS", body="<html>Log in</html>", status=200))
    with pytest.raises(Retryable, match="no list of checksums"):
        resolved(net(box))


def test_lists_that_sums_programs_write(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", {"a": "a"})
    lines = [f"{'A' * 64} *./a", f"{'b' * 64}  b c\r", "", f"{'a' * 64} a", f"{'c' * 64} {SUMS}"]
    box.add(Fault(match="^/physionet.*SHA256SUMS", body="\n".join(lines), status=200))
    files = resolved(net(box))
    assert [file.path for file in files] == [SUMS, "a", "b c"]
    assert [str(each) for each in files[1].checksums] == [f"sha256:{'a' * 64}"]


def test_a_path_that_leaves_the_folder_is_refused(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", {"a": "a"})
    box.add(Fault(match="^/physionet.*SHA256SUMS", body=f"{'0' * 64} ../a\n", status=200))
    with pytest.raises(RecipeError, match="component"):
        resolved(net(box))


# -- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["content", "files"])
def test_the_address_of_a_page_is_a_name(part: str) -> None:
    assert PhysioNet().locate(f"https://physionet.org/{part}/mimic-cxr/2.1.0/") == {
        "project": "mimic-cxr",
        "version": "2.1.0",
    }


def test_names() -> None:
    locate = PhysioNet().locate
    assert locate("mimic-cxr-jpg/2.1.0") == {"project": "mimic-cxr-jpg", "version": "2.1.0"}
    assert locate("mimic-cxr-jpg/") == {"project": "mimic-cxr-jpg"}
    for wrong in ("", "a b", "mimic-cxr/latest", "../x", "a/1.0/files"):
        with pytest.raises(UsageProblem):
            locate(wrong)


@pytest.mark.parametrize(
    "locator",
    [{"version": "1.0"}, {"project": "a/b"}, {"project": "a", "version": "x"}, {"project": "a", "doi": "10.13026/x"},
     {"doi": "10.1/x"}, {"project": "a", "path": []}],
)  # fmt: skip
def test_bad_locators(box: Sandbox, locator: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        resolved(net(box), **locator)


# -- gates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "password", "agent", "door", "said"),
    [
        (None, "", True, Door.NO_LOGIN, "medfetch login physionet"),
        (None, "", False, Door.NO_LOGIN, "user agent"),
        ("ann", "wrong", True, Door.WRONG_LOGIN, "does not accept"),
        ("bob", PASSWORD, True, Door.NOT_APPROVED, "agreement"),
        ("ann", PASSWORD, False, Door.AGENT, "user agent or permission"),
        ("ann", PASSWORD, True, Door.OPEN, "open to this log-in"),
    ],
)
def test_each_refusal_is_told_apart(
    box: Sandbox, user: str | None, password: str, agent: bool, door: Door, said: str
) -> None:
    box.physionet.accounts["bob"] = PASSWORD
    box.physionet.publish("cxr", "2.1.0", FILES, policy="credentialed", approved=["ann"])
    if not agent:
        box.physionet.agents = "Wget/"
    verdict = PhysioNet().preflight(LOCATOR, net(box, user, password))
    assert verdict.door == door
    assert said in verdict.said
    if door is not Door.OPEN:
        with pytest.raises(AccessRequired) as error:
            resolved(net(box, user, password))
        (step,) = error.value.steps
        assert step["do"] == verdict.said
        assert step["at"] == verdict.at


def test_what_is_not_there(box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", FILES)
    for locator in ({"project": "cxr", "version": "9.9"}, {"project": "none"}, {"doi": "10.13026/none"}):
        assert PhysioNet().preflight(locator, net(box)).door == Door.ABSENT
        with pytest.raises(UsageProblem):
            resolved(net(box), **locator)


def test_an_open_project_is_asked_for_one_byte(box: Sandbox) -> None:
    for mirrored in (False, True):
        box.physionet.publish("cxr", "2.1.0", FILES, mirrored=mirrored)
        verdict = PhysioNet().preflight(LOCATOR, net(box))
        assert (verdict.door, verdict.said) == (Door.OPEN, "cxr/2.1.0 is open to all")
    assert {entry.header("range") for entry in box.log} == {"bytes=0-0"}


# -- the whole way -------------------------------------------------------------------------------------------------


def write_netrc(home: Path, password: str = PASSWORD) -> None:
    netrc = home / ".netrc"
    netrc.write_text(f"machine physionet.org login ann password {password}\n")
    netrc.chmod(0o600)


def test_a_thousand_files_of_which_two_are_bad(run: Run, home: Path, cache: Path, box: Sandbox) -> None:
    """One that is wrong on the server, and one that is missing: the others are there, those two are named."""
    listed = {f"files/p{number % 10}/{number:04d}.dcm": 100 + number for number in range(1000)}
    content = box.physionet.publish("cxr", "2.1.0", listed, policy="credentialed", approved=["ann"])
    wrong, missing = "files/p7/0017.dcm", "files/p1/0501.dcm"
    box.add(Fault(match=wrong, corrupt=3, times=None), Fault(match=missing, status=404, times=None))
    write_netrc(home)
    write_recipe(home, "cxr", routes=[{"source": "physionet", **LOCATOR}])
    ran = run("get", "cxr", "--json", code=4)
    here = tree(cache / "cxr" / "current")
    assert here == {path: sha256(data) for path, data in content.items() if path not in (wrong, missing)}
    assert {failure["path"] for failure in ran.last["failures"]} == {wrong, missing}
    assert wrong in ran.err and missing in ran.err
    assert PASSWORD not in ran.out + ran.err
    box.clear()
    run("get", "cxr")
    assert tree(cache / "cxr" / "current") == {path: sha256(data) for path, data in content.items()}


def test_the_site_is_asked_over_eight_connections(run: Run, home: Path, box: Sandbox) -> None:
    listed = {f"{number:03d}.dcm": 100 for number in range(150)}
    box.physionet.publish("cxr", "2.1.0", listed, policy="credentialed", approved=["ann"])
    box.add(Fault(match="dcm", stall=0.05, times=None))
    write_netrc(home)
    run("get", "physionet:cxr/2.1.0", "--jobs", "32")
    assert 1 < box.stats.most_requests <= PhysioNet.traits.connections == 8


def test_without_a_log_in_nothing_is_fetched(run: Run, home: Path, box: Sandbox) -> None:
    box.physionet.publish("cxr", "2.1.0", FILES, policy="credentialed", approved=["ann"])
    ran = run("get", "physionet:cxr/2.1.0", "--json", code=3)
    assert ran.last["steps"][0]["at"] == "https://physionet.org/content/cxr/2.1.0/"
    write_netrc(home, "wrong")
    assert "does not accept" in run("get", "physionet:cxr/2.1.0", code=3).err
    write_netrc(home)
    run("get", "physionet:cxr/2.1.0")


def test_an_open_project_survives_its_mirror(run: Run, box: Sandbox) -> None:
    content = box.physionet.publish("cxr", "2.1.0", FILES, mirrored=True)
    box.add(Fault(match="^/s3/.*jpg", status=404, times=None))
    ran = run("get", "physionet:cxr/2.1.0", "--json")
    assert tree(Path(ran.last["path"])) == {path: sha256(data) for path, data in content.items()}
