"""Whatever a dataset comes from: locked, wiped from the cache, fetched by the lock, it is the same tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import in_process
import pytest
import torrent_files
from datasets import write_recipe, zipped

from medfetch import catalog, locks, rehearsal, requirements, runner, sources
from medfetch.config import Settings
from medfetch.locks import Lock, Locked, making, using
from medfetch.sandbox import Sandbox
from medfetch.sandbox.hosts import COMMONS
from medfetch.types import Assurance, Recipe, Selection
from medfetch.wishes import Wish

PROGRAMMED = [source for source in sources.BUILTIN if source not in requirements.BY_HAND]
QUICK = ("http", "idc", "tcia", "zenodo")
SCANS = zipped(a=b"a" * 50_000, b=b"b")
TORRENT = torrent_files.torrent({"scans.zip": SCANS}, "scans.zip", **{"url-list": ["https://host/scans.zip"]})
OWN: dict[str, dict[str, Any]] = {
    "datalad": {"source": "datalad", "repository": "https://host/super", "path": ["a.nii.gz", "a.txt"]},
    "dropbox": {"source": "dropbox", "link": "https://www.dropbox.com/s/a/x", "files": [{"path": "x.csv"}]},
    "ftp": {"source": "ftp", "files": [{"path": "a.nii.gz", "url": "ftp://host/a.nii.gz", "size": 5}]},
    "gcs": {"source": "gcs", "bucket": "bucket", "prefix": "a/"},
    "gdrive": {"source": "gdrive", "files": [{"path": "y/z.nii.gz", "id": "2" * 33}]},
    "gen3": {"source": "gen3", "host": COMMONS, "objects": ["approved"]},
    "github": {"source": "github", "repository": "o/r", "release": "v1"},
    "grand-challenge": {"source": "grand-challenge", "archive": "scans"},
    "hf": {"source": "hf", "dataset": "o/d", "revision": "0" * 40, "path": "data/*.tar.gz", "unpack": True},
    "http": {"source": "http", "files": [{"path": "b/scans.zip", "url": "https://host/scans.zip", "unpack": True},
                                         {"path": "a.nii", "url": "https://host/a.nii", "md5": "0" * 32}]},
    "idc": {"source": "idc", "collection": "lidc_idri"},
    "onedrive": {"source": "onedrive", "link": "https://1drv.ms/f/c/1/a"},
    "s3": {"source": "s3", "bucket": "bucket", "prefix": "a/b_", "requester_pays": True},
    "tcia": {"source": "tcia", "collection": "LIDC-IDRI"},
    "torrent": {"source": "torrent", "info_hash": TORRENT[1], "torrent": "https://host/scans.zip.torrent"},
    "webdav": {"source": "webdav", "share": "https://cloud.example.org/remote.php/scans", "path": "[a-c]*"},
    "xnat": {"source": "xnat", "host": "xnat.example.org", "project": "P"},
    "zenodo": {"source": "zenodo", "record": 4242, "path": "scans.zip", "unpack": True},
}  # fmt: skip
"""Routes of recipes that are made up, where they are smaller than those that there are, or there are none."""


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Sandbox]:
    with Sandbox(max_instance_bytes=3_000) as box:
        box.show_examples()
        box.put("https://host/scans.zip.torrent", TORRENT[0])
        box.put("https://host/scans.zip", SCANS)
        yield box


@pytest.fixture
def settings(stand_in: Sandbox, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return in_process.rehearsing(stand_in, tmp_path, monkeypatch, recipes=str(home))


def recipe_of(source: str, home: Path) -> tuple[Recipe, str]:
    """A recipe with a route by that source, and the name of its part."""
    if source in OWN:
        return catalog.load(write_recipe(home, f"own-{source}", routes=[OWN[source]]), (home,)), "all"
    found = [
        (part.size or 0, recipe.id, part.name)
        for recipe in catalog.search()
        for part in recipe.parts
        if any(route.source == source for route in part.routes)
    ]
    assert found, f"no recipe has a route by {source}"
    _, name, part = min(found)
    return catalog.load(name), part


@pytest.mark.parametrize(
    "source", [pytest.param(each, marks=() if each in QUICK else pytest.mark.long) for each in PROGRAMMED]
)
def test_a_lock_reproduces_the_tree(source: str, settings: Settings, home: Path, tmp_path: Path) -> None:
    recipe, part = recipe_of(source, home)
    staged = rehearsal.stage(recipe, settings, series=True)
    told = replace(settings, links=staged.links)
    rehearsal._declare(recipe, told)
    some = {"series": staged.series[part]} if part in staged.series else {}
    wish, quiet = Wish(Selection(some), (part,), source), rehearsal._Quiet()
    path = tmp_path / "medfetch.lock"
    made = runner.make_plan(staged.recipe, wish, told, quiet)
    before = runner.fulfil(staged.recipe, made, told, quiet)
    into = Locked(making.name_of(recipe), {}, locks.folder_of(path), sandbox=True)
    locks.write(Lock(path, (making.locked(staged.recipe, wish, made, told, into),), sandbox=True))
    settings.cache.rename(tmp_path / "wiped")
    [(again, locked)] = using.wanted(path, (), told)
    after = runner.get(again, locked, told, quiet)
    assert after is not None
    assert (after["tree"], after["files"], after["bytes"]) == (before["tree"], before["files"], before["bytes"])
    assert locks.read(path).datasets[0].told["tree"] == before["tree"]
    # Every digest is known now: of what nobody publishes, by the lock.
    assert set(after["assurance"]) <= {Assurance.PUBLISHED, Assurance.LOCKED}
    assert after["assurance"].get("published", 0) <= before["assurance"].get("published", 0)
    assert after["lock"] == locks.read(path).datasets[0].digest
