"""Records of Zenodo, articles of figshare and datasets of a Dataverse by pooch and by medfetch: the same files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import tree
from running import Run

from medfetch.sandbox import Sandbox

FILES = {f"{number:02d}.nii": b"%d" % number * 700 for number in range(20)} | {"large.zip": b"z" * 900_000}
HOST, DOI = "data.example.org", "10.1234/FK2/ABC"

# Hosts are fixed in its code: requests for them are led here, and what doi.org would answer is given.
OFFICIAL = """
import sys
import pooch, requests
from pooch import downloaders
doi, page, into, *pairs = sys.argv[1:]
real = requests.Session.request

def here(self, method, url, *arguments, **options):
    for place in pairs:
        host, _, address = place.partition("=")
        if url.startswith(host):
            url = address + url[len(host):]
            break
    return real(self, method, url, *arguments, **options)

requests.Session.request = here
downloaders.doi_to_url = lambda doi, **options: page
dog = pooch.create(into, base_url=f"doi:{doi}/", registry=None)
dog.load_registry_from_doi()
for name in dog.registry:
    dog.fetch(name)
"""


def official(box: Sandbox, doi: str, page: str, into: Path) -> subprocess.CompletedProcess[str]:
    python = os.environ.get("PEER_POOCH", sys.executable)
    if subprocess.run([python, "-c", "import pooch, requests"], capture_output=True, check=False).returncode:
        pytest.skip(
            "pooch is not installed: make an environment with `pip install pooch==1.9.0 requests` "
            "and name its python in PEER_POOCH"
        )
    places = {
        "https://zenodo.org": box.endpoints["zenodo"],
        "https://api.figshare.com/v2": box.endpoints["figshare"],
        "https://figshare.com/ndownloader": box.endpoints["figshare_files"],
        f"https://{HOST}": f"{box.endpoints['dataverse']}/{HOST}",
    }
    return subprocess.run(
        [python, "-c", OFFICIAL, doi, page, str(into), *(f"{host}={there}" for host, there in places.items())],
        env={"PATH": os.environ["PATH"], "HOME": str(into.parent)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("doi", "page"),
    [
        ("10.5281/zenodo.12", "https://zenodo.org/records/12"),
        ("10.6084/m9.figshare.7.v1", "https://figshare.com/articles/dataset/x/7/1"),
        (DOI, f"https://{HOST}/dataset.xhtml?persistentId=doi:{DOI}"),
    ],
)
def test_the_same_files(box: Sandbox, run: Run, tmp_path: Path, doi: str, page: str) -> None:
    box.zenodo.publish(12, FILES)
    # pooch sees only what an article's own description shows.
    box.figshare.publish(7, dict(list(FILES.items())[-8:]))
    box.dataverse.publish(HOST, DOI, FILES)
    box.datacite.register(DOI, page)
    done = official(box, doi, page, tmp_path / "theirs")
    assert done.returncode == 0, done.stderr[-3000:]
    receipt = run("get", f"doi:{doi}", "--json").last
    assert tree(Path(receipt["path"])) == tree(tmp_path / "theirs")
    assert set(receipt["assurance"]) == {"published"}


def test_where_a_browser_is_wanted_medfetch_goes_on(box: Sandbox, run: Run, tmp_path: Path) -> None:
    box.figshare.publish(7, {"a.nii": b"a"})
    box.figshare.blocks = True
    done = official(box, "10.6084/m9.figshare.7.v1", "https://figshare.com/articles/dataset/x/7/1", tmp_path / "theirs")
    assert done.returncode == 1 and "does not match the known hash" in done.stderr
    assert run("get", "figshare:7/1", "--json").last["files"] == 1


def test_a_table_that_was_taken_in(box: Sandbox, run: Run, tmp_path: Path) -> None:
    """What is told of it is the checksum of neither form."""
    page = f"https://{HOST}/dataset.xhtml?persistentId=doi:{DOI}"
    box.dataverse.publish(HOST, DOI, {"a.tab": b"age\n1\n"}, tables={"a.tab": ("a.dta", b"stata")})
    done = official(box, DOI, page, tmp_path / "theirs")
    assert done.returncode == 1 and "does not match the known hash" in done.stderr
    receipt = run("get", f"dataverse:{HOST}/{DOI}", "--json").last
    assert (Path(receipt["path"]) / "a.dta").read_bytes() == b"stata"
