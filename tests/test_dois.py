"""DOIs as names: of a recipe, of a repository that they tell by themselves, of one that DataCite tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import sha256, tree, write_recipe
from running import Run

from medfetch import catalog, names
from medfetch.errors import UsageProblem
from medfetch.sandbox import Sandbox

FILES = {"a.nii": b"a" * 5000, "readme.txt": b"read me"}
DATAVERSE = "https://data.example.org/dataset.xhtml?persistentId=doi:10.4321/FK2/ABC"


@pytest.mark.parametrize(
    "name", ["doi:10.1234/Ab", "DOI:10.1234/Ab", "https://doi.org/10.1234/Ab", "http://dx.doi.org/10.1234/Ab"]
)
def test_spellings(name: str) -> None:
    assert names.doi_of(name) == "10.1234/Ab"


@pytest.mark.parametrize("name", ["10.1234", "doi:11.1234/x", "https://example.org/10.1234/x", "lidc-idri"])
def test_what_is_no_doi(name: str) -> None:
    assert names.doi_of(name) is None


@pytest.mark.parametrize(
    ("doi", "name"),
    [
        ("10.5281/zenodo.4600654", "zenodo:4600654"),
        ("10.6084/m9.figshare.22202866", "figshare:22202866"),
        ("10.6084/M9.figshare.22202866.v2", "figshare:22202866/2"),
        ("10.17632/rscbjbr9sj.2", "mendeley:rscbjbr9sj/2"),
        ("10.17605/OSF.IO/ABCDE", "osf:ABCDE"),
        ("10.18112/openneuro.ds002236.v1.1.0", "openneuro:ds002236@1.1.0"),
        ("10.18112/openneuro.ds002236", "openneuro:ds002236"),
        ("10.13026/C2-x", "physionet:10.13026/C2-x"),
        ("10.7303/syn25649159", "synapse:syn25649159"),
        ("10.7910/DVN/ABCDEF", "dataverse:dataverse.harvard.edu/10.7910/DVN/ABCDEF"),
        ("10.1234/x", None),
    ],
)
def test_what_a_doi_tells_by_itself(doi: str, name: str | None) -> None:
    assert names.of_doi(doi) == name


def test_a_doi_that_tells_its_source_needs_no_network() -> None:
    (part,) = catalog.load("https://doi.org/10.5281/zenodo.4600654").parts
    assert (part.routes[0].source, part.routes[0].locator) == ("zenodo", {"record": 4600654})


def test_a_recipe_goes_first(home: Path) -> None:
    write_recipe(home, "mine", parts={
        name: {"routes": [{"source": "zenodo", "record": 77, "path": f"{name}.zip"}]} for name in ("train", "test")
    })  # fmt: skip
    write_recipe(home, "theirs", parts={
        "one": {"routes": [{"source": "figshare", "article": 5, "version": 2}]},
        "two": {"routes": [{"source": "dataverse", "host": "d.example", "doi": "10.1234/Two"}]},
    })  # fmt: skip
    assert catalog.load("doi:10.5281/zenodo.77", [home]).id == "mine"
    assert catalog.load("doi:10.5281/zenodo.78", [home]).id == "zenodo--78"
    for doi, part in (("10.6084/m9.figshare.5", "one"), ("10.6084/m9.figshare.5.v2", "one"), ("10.1234/two", "two")):
        with pytest.raises(UsageProblem) as caught:
            catalog.load(f"doi:{doi}", [home])
        assert f"theirs --part {part}" in str(caught.value.hint)
    assert catalog.load("doi:10.6084/m9.figshare.5.v3", [home]).id == "figshare--5%2F3"


# -- DataCite ------------------------------------------------------------------------------------------------------


def test_any_other_is_looked_up_once(box: Sandbox, run: Run) -> None:
    box.dataverse.publish("data.example.org", "10.4321/FK2/ABC", FILES)
    box.datacite.register("10.4321/FK2/ABC", DATAVERSE)
    receipt = run("get", "https://doi.org/10.4321/fk2/abc", "--json").last
    assert tree(Path(receipt["path"])) == {path: sha256(data) for path, data in FILES.items()}
    asked = len(box.log)
    assert [entry.target for entry in box.log if "datacite" in entry.target] == ["/datacite/dois/10.4321/fk2/abc"]
    # What is here needs no network, under any of its names.
    for name in ("doi:10.4321/FK2/ABC", "dataverse:data.example.org/10.4321/FK2/ABC"):
        assert run("path", name, "--offline").out.strip() == receipt["path"]
        assert run("get", name, "--offline", "--json").last["files"] == len(FILES)
    assert len(box.log) == asked


@pytest.mark.parametrize(
    ("address", "dataset"),
    [
        ("https://zenodo.org/record/77", "zenodo--77"),
        ("https://janelia.figshare.com/articles/dataset/Scans/5/2", "figshare--5%2F2"),
        ("https://osf.io/abcde/", "osf--abcde"),
        ("https://data.mendeley.com/datasets/abcd1234ef/2", "mendeley--abcd1234ef%2F2"),
        ("https://huggingface.co/datasets/o/d", "hf--o%2Fd"),
        (DATAVERSE, "dataverse--data.example.org%2F10.4321%2FFK2%2FABC"),
    ],
)
def test_pages_and_their_sources(box: Sandbox, run: Run, address: str, dataset: str) -> None:
    box.datacite.register("10.4321/x", address)
    assert run("info", "doi:10.4321/x", "--json").last["id"] == dataset


def test_a_recipe_goes_before_what_datacite_tells(box: Sandbox, run: Run, home: Path) -> None:
    write_recipe(home, "mine", routes=[{"source": "zenodo", "record": 77}])
    box.datacite.register("10.4321/x", "https://zenodo.org/records/77")
    assert run("info", "doi:10.4321/x", "--json").last["id"] == "mine"


def test_what_leads_nowhere(box: Sandbox, run: Run) -> None:
    box.datacite.register("10.4321/x", "https://archive.example/x", "The Archive")
    err = run("get", "doi:10.4321/x", code=2).err
    assert "leads to https://archive.example/x, of The Archive" in err and "medfetch get https://…" in err
    assert "knows no 10.4321/y" in run("get", "doi:10.4321/y", code=2).err
    assert "leave out --offline" in run("get", "doi:10.4321/z", "--offline", code=6).err
    assert "is no DOI" in run("get", "doi:abc", code=2).err


def test_in_a_rehearsal_the_stand_in_is_asked(box: Sandbox, run: Run) -> None:
    receipt = run("get", "doi:10.1234/OPEN", "--sandbox", "--json").last
    assert run("path", "doi:10.1234/OPEN", "--sandbox").out.strip() == receipt["path"]
    assert "medfetch get --sandbox" in run("path", "doi:10.1234/SHUT", "--sandbox", code=2).err
    assert box.log == []
