"""The dropbox source against the sandbox's Dropbox, and the whole way with medfetch itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import sha256, tree, write_recipe, zipped
from plain_net import NoNet, PlainNet
from running import Run

from medfetch.errors import AccessRequired, RecipeError, Refused, UsageProblem
from medfetch.sandbox import Sandbox
from medfetch.sources.dropbox import Dropbox
from medfetch.types import RemoteFile, Selection, Unpack

FILE = "https://www.dropbox.com/scl/fi/r2kd2s/scan.nii?rlkey=wcdg&st=x1&dl=0"
FOLDER = "https://www.dropbox.com/scl/fo/zjfq/AOfZ?rlkey=6tg3&dl=0"
OLD = "https://www.dropbox.com/sh/o8q84e/AADi?dl=0"
FILES = {"a.nii": b"a", "sub/b.nii": b"b" * 900}


@pytest.fixture
def net(box: Sandbox) -> PlainNet:
    box.dropbox.share(FILE, "scan.nii", b"n" * 900)
    box.dropbox.share(FOLDER, "Self Supervision", FILES)
    box.dropbox.share(OLD, "Retina", FILES)
    names = ("dropbox", "dropbox_files")
    return PlainNet(Dropbox.traits, **{name: box.endpoints[name] for name in names})


def resolved(net: PlainNet, selection: Selection = Selection(), **locator: Any) -> list[RemoteFile]:  # noqa: B008
    return list(Dropbox().resolve(locator, net, selection))


@pytest.mark.parametrize("text", [FILE, FOLDER, OLD, "https://dl.dropboxusercontent.com/s/a/b.zip"])
def test_links(text: str) -> None:
    assert Dropbox().locate(text) == {"link": text}


@pytest.mark.parametrize(
    "text", ["", "x", "http://www.dropbox.com/s/a/b", "https://dropbox.example/s/a/b", "https://www.dropbox.com/"]
)
def test_what_is_no_link(text: str) -> None:
    with pytest.raises(UsageProblem):
        Dropbox().locate(text)


@pytest.mark.parametrize(
    "locator",
    [
        {"link": "x"},
        {"link": FOLDER, "files": [{"path": "a.nii"}]},
        {"link": FILE, "files": [{"id": 1}]},
        {"path": "a"},
    ],
)
def test_bad_locators(locator: dict[str, Any]) -> None:
    with pytest.raises(RecipeError):
        resolved(NoNet(Dropbox.traits), **locator)


def test_a_file_by_its_link(net: PlainNet, box: Sandbox) -> None:
    (file,) = resolved(net, link=FILE)
    assert (file.path, file.size, file.unpack) == ("scan.nii", 900, None)
    assert file.urls == (f"{box.endpoints['dropbox']}/scl/fi/r2kd2s/scan.nii?rlkey=wcdg&st=x1&dl=1",)


def test_a_file_that_the_recipe_knows(net: PlainNet) -> None:
    (file,) = resolved(net, link=FILE, files=[{"path": "d/ct.nii", "md5": "0" * 32}])
    assert (file.path, file.size, len(file.checksums)) == ("d/ct.nii", 900, 1)


def test_a_folder_is_one_zip_of_no_known_size(net: PlainNet) -> None:
    (file,) = resolved(net, link=FOLDER)
    assert (file.path, file.size, file.unpack) == ("Self Supervision.zip", None, Unpack("zip"))
    (file,) = resolved(net, Selection({"path": ("sub/*",)}), link=FOLDER, path="*.nii")
    assert file.unpack == Unpack("zip", only=(("*.nii",), ("sub/*",)))


def test_several_folders_do_not_mix(net: PlainNet) -> None:
    files = resolved(net, link=[FOLDER, OLD])
    assert [file.unpack and file.unpack.into for file in files] == ["Self Supervision", "Retina"]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"link": FILE.replace("wcdg", "other")}, UsageProblem, "not shared any more"),
        ({"link": f"{FILE.replace('r2kd2s', 'password')}"}, AccessRequired, "Dropbox - scan.nii"),
        ({"link": f"{FILE.replace('r2kd2s', 'traffic')}"}, Refused, "429"),
    ],
)
def test_what_comes_in_place_of_the_data(
    net: PlainNet, box: Sandbox, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    box.dropbox.share(FILE.replace("r2kd2s", "password"), "scan.nii", b"", "password")
    box.dropbox.share(FILE.replace("r2kd2s", "traffic"), "scan.nii", b"", "traffic")
    with pytest.raises(error) as caught:
        resolved(net, **change)
    assert says in str(caught.value) + str(getattr(caught.value, "steps", ""))


# -- the whole way -------------------------------------------------------------------------------------------------


def test_a_folder_is_fetched_and_unpacked(net: PlainNet, run: Run) -> None:
    receipt = run("get", f"dropbox:{FOLDER}", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    assert receipt["assurance"] == {"first-seen": 2}


def test_some_of_a_folder(net: PlainNet, run: Run) -> None:
    receipt = run("get", f"dropbox:{FOLDER}", "--select", "path=sub", "--json").last
    assert tree(Path(receipt["path"])) == {"sub/b.nii": sha256(FILES["sub/b.nii"])}


def test_a_recipe_of_files(net: PlainNet, box: Sandbox, run: Run, home: Path) -> None:
    data = zipped(**{"m.nii": b"m"})
    box.dropbox.share("https://www.dropbox.com/s/x/masks.zip", "masks.zip", data)
    routes = [
        {
            "source": "dropbox",
            "link": [FILE, "https://www.dropbox.com/s/x/masks.zip"],
            "files": [{"path": "masks.zip", "sha256": sha256(data), "unpack": True}],
        }
    ]
    name = write_recipe(home, "shared", routes=routes)
    run("recipe", "check", home / f"{name}.yaml")
    receipt = run("get", name, "--json").last
    assert tree(Path(receipt["path"])) == {"m.nii": sha256(b"m"), "scan.nii": sha256(b"n" * 900)}
    assert receipt["assurance"] == {"published": 1, "size-only": 1}
