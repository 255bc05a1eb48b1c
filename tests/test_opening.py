"""Files of a dataset that is in the cache, read by programs: by name, by fsspec, in threads and other processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from datasets import http, sha256, write_recipe
from fsspec.registry import available_protocols
from running import Run

import medfetch
from medfetch.errors import NotHere, UsageProblem
from medfetch.filesystem import MedfetchFileSystem
from medfetch.sandbox import Sandbox

FILES = {f"sub-{subject:02}/anat/{name}": os.urandom(5000) for subject in range(4) for name in ("t1.nii", "t2.nii")}
FILES |= {"readme.txt": b"read me", "sub-01/anat.json": b"{}", "sub-01-b/x": b"", "sub-01.txt": b"text"}


@pytest.fixture
def settings(home: Path, cache: Path) -> dict[str, Any]:
    return {"cache": cache, "recipes": (home,)}


@pytest.fixture(params=[(), ("--pack",), ("--pack=tar",)], ids=["loose", "zip", "tar"])
def name(request: pytest.FixtureRequest, run: Run, home: Path, box: Sandbox) -> str:
    for path, content in FILES.items():
        box.put(f"https://host/{path}", content)
    listed = [{"path": path, "url": f"https://host/{path}", "sha256": sha256(FILES[path])} for path in FILES]
    name = write_recipe(home, "brains", routes=http(*listed))
    run("get", name, *request.param)
    return name


@pytest.fixture
def fs(name: str, settings: dict[str, Any]) -> MedfetchFileSystem:
    return fsspec.filesystem("medfetch", **settings)


# -- medfetch.open -----------------------------------------------------------------------------------------------------


def test_a_file_is_opened_by_name_or_by_folder(name: str, settings: dict[str, Any], cache: Path) -> None:
    for dataset in (name, cache / name / "current", medfetch.recipe(name, settings["recipes"])):
        for path, content in FILES.items():
            with medfetch.open(dataset, path, **settings) as file:
                assert file.read() == content


def test_it_can_be_sought_in(name: str, settings: dict[str, Any]) -> None:
    path = "sub-02/anat/t2.nii"
    with medfetch.open(name, path, **settings) as file:
        assert file.seekable()
        assert file.readable()
        assert not file.writable()
        assert file.seek(-10, os.SEEK_END) == 4990
        assert file.read(100) == FILES[path][-10:]
        assert file.read() == b""
        assert file.seek(100) == file.tell() == 100
        assert file.read(5) == FILES[path][100:105]
        assert file.seek(5, os.SEEK_CUR) == 110
        buffer = bytearray(20)
        assert file.readinto(buffer) == 20
        assert buffer == FILES[path][110:130]
        assert file.seek(9999) == 9999
        assert file.read() == b""
        with pytest.raises((ValueError, OSError)):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_what_is_not_there_is_told(name: str, settings: dict[str, Any], cache: Path) -> None:
    for path in ("none", "sub-01", "readme.txt/x", ".medfetch/ledger.sqlite", "../x", "/etc/passwd", ""):
        with pytest.raises(NotHere) as caught:
            medfetch.open(name, path, **settings)
        assert isinstance(caught.value, FileNotFoundError)
        assert "medfetch get brains" in caught.value.hint
    with pytest.raises(NotHere, match="lidc-idri is not in the cache") as caught:
        medfetch.open("lidc-idri", "x", **settings)
    assert caught.value.hint == "medfetch get lidc-idri"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.hint, copy.exit_code) == (caught.value.message, caught.value.hint, 1)
    with pytest.raises(UsageProblem, match="only read"):
        medfetch.open(name, "readme.txt", "wb", **settings)
    with pytest.raises(UsageProblem):
        medfetch.open("no-such-dataset", "x", **settings)


# -- fsspec ------------------------------------------------------------------------------------------------------------


def test_fsspec_knows_the_protocol() -> None:
    assert "medfetch" in available_protocols() or fsspec.get_filesystem_class("medfetch") is MedfetchFileSystem


def test_it_is_a_tree_of_folders(fs: MedfetchFileSystem) -> None:
    assert fs.ls("", detail=False) == ["brains"]
    top = ["brains/readme.txt", "brains/sub-00", "brains/sub-01", "brains/sub-01-b", "brains/sub-01.txt"]
    assert sorted(fs.ls("medfetch://brains", detail=False)) == [*top, "brains/sub-02", "brains/sub-03"]
    assert sorted(fs.ls("brains/sub-01", detail=False)) == ["brains/sub-01/anat", "brains/sub-01/anat.json"]
    assert fs.ls("brains/sub-01/anat/t1.nii") == [fs.info("brains/sub-01/anat/t1.nii")]
    info = fs.info("medfetch://brains/sub-01/anat/t1.nii")
    assert (info["name"], info["size"], info["type"]) == ("brains/sub-01/anat/t1.nii", 5000, "file")
    assert info["sha256"] == sha256(FILES["sub-01/anat/t1.nii"])
    assert fs.checksum("brains/sub-01/anat/t1.nii") == int(info["sha256"], 16)
    assert fs.isdir("brains/sub-01")
    assert fs.isdir("")
    assert fs.isfile("brains/sub-01.txt")
    assert not fs.exists("brains/sub-0")
    assert not fs.exists("lidc-idri/x")
    assert fs.find("brains") == sorted(f"brains/{path}" for path in FILES)
    assert fs.find("brains/sub-01") == [
        "brains/sub-01/anat.json",
        "brains/sub-01/anat/t1.nii",
        "brains/sub-01/anat/t2.nii",
    ]
    assert fs.find("brains/sub-9") == []
    assert fs.glob("brains/*/anat/t1.nii") == [f"brains/sub-{number:02}/anat/t1.nii" for number in range(4)]
    assert fs.glob("medfetch://brains/**/*.json") == ["brains/sub-01/anat.json"]
    assert fs.du("brains") == sum(map(len, FILES.values()))
    assert {folder: len(files) for folder, _, files in fs.walk("brains/sub-01")} == {
        "brains/sub-01": 1,
        "brains/sub-01/anat": 2,
    }


def test_bytes_are_read_in_all_of_its_ways(fs: MedfetchFileSystem, settings: dict[str, Any], tmp_path: Path) -> None:
    path = "sub-03/anat/t2.nii"
    content = FILES[path]
    with fsspec.open(f"medfetch://brains/{path}", **settings) as file:
        assert file.read() == content
    with fsspec.open("medfetch://brains/readme.txt", "r", **settings) as file:
        assert file.read() == "read me"
    assert fs.cat(f"brains/{path}") == content
    assert fs.cat_file(f"brains/{path}", 10, -10) == content[10:-10]
    paths = [f"brains/{path}", "brains/readme.txt", f"brains/{path}", "brains/none"]
    first, second, third, fourth = fs.cat_ranges(paths, [0, 1, 4990, 0], [3, 2, 9999, 1])
    assert (first, second, third) == (content[:3], b"e", content[4990:])
    assert isinstance(fourth, NotHere)
    with pytest.raises(NotHere):
        fs.cat_ranges(paths, 0, 1, on_error="raise")
    fs.get("brains/sub-01", str(tmp_path / "copy"), recursive=True)
    assert (tmp_path / "copy" / "anat" / "t1.nii").read_bytes() == FILES["sub-01/anat/t1.nii"]
    with pytest.raises(NotHere, match="has no file 'none'") as caught:
        fs.open("brains/none")
    assert "medfetch get brains" in caught.value.hint
    with pytest.raises(NotImplementedError):
        fs.open("brains/none", "wb")


def _read(fs: MedfetchFileSystem, path: str) -> str:
    return sha256(fs.cat_file(path))


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_readers_in_other_processes(fs: MedfetchFileSystem, how: str) -> None:
    """As the workers of a data loader, which are given the file system, or a file that is open already."""
    paths = fs.find("brains")
    with ProcessPoolExecutor(2, multiprocessing.get_context(how)) as pool:
        found = list(pool.map(_read, [fs] * len(paths), paths))
    assert dict(zip(paths, found, strict=True)) == {f"brains/{path}": sha256(FILES[path]) for path in FILES}
    assert pickle.loads(pickle.dumps(fs)) == fs


def test_readers_in_threads(fs: MedfetchFileSystem) -> None:
    paths = list(FILES) * 5
    with ThreadPoolExecutor(8) as pool:
        for path, content in zip(paths, pool.map(lambda path: fs.cat_file(f"brains/{path}"), paths), strict=True):
            assert content == FILES[path]


def test_nothing_is_imported_before_it_is_used() -> None:
    code = "import medfetch.api, sys; print([name for name in ('fsspec', 'torch') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
