"""A first recipe from what hosts say: what they tell is there, what they do not is unknown, and it passes the check."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import Run

from medfetch import catalog, drafts
from medfetch.sandbox import Sandbox

DATA = b"x" * 3000
CC_BY = "https://creativecommons.org/licenses/by/4.0/"


def begun(run: Run, home: Path, name: str) -> dict[str, Any]:
    """The recipe that is begun for a name, after the check."""
    folder = home / "begun"
    folder.mkdir(exist_ok=True)
    ran = run("recipe", "new", name, "-o", folder)
    path = Path(ran.out.strip())
    assert list(catalog.check([path])) == []
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    path.unlink()
    today = datetime.date.today()
    assert content["status"]["as_of"] >= str(today - datetime.timedelta(days=1))
    assert content["evidence"][0]["source"] and content["unknown"]
    assert path.stem == content["id"] and "tasks" in content["unknown"]
    return content


def test_a_collection_of_the_imaging_data_commons(run: Run, home: Path) -> None:
    content = begun(run, home, "idc:nsclc_radiomics")
    assert content["modality"] == ["CT"] and content["subjects"] > 400 and content["size"] > 10**9
    assert content["licence"]["id"].startswith("CC-BY") and content["anatomy"] == ["lung"]
    assert content["cite"][0].startswith("doi:10.7937/")
    assert content["evidence"][0]["source"].startswith("idc-index-data")


def test_a_collection_of_the_cancer_imaging_archive(run: Run, home: Path) -> None:
    content = begun(run, home, "tcia:NSCLC-Radiomics-Genomics")
    assert content["modality"] == ["CT"] and content["subjects"] == 89
    assert content["licence"]["url"].startswith("http") and content["licence"]["id"].startswith("CC-BY")
    assert content["cite"][0].startswith("doi:10.7937/")


def test_a_record_of_zenodo_and_an_article_of_figshare_also_by_doi(run: Run, home: Path, box: Sandbox) -> None:
    box.zenodo.publish(4600654, {"scan.nii": DATA, "table.csv": b"a"})
    content = begun(run, home, "zenodo:4600654")
    assert content["routes"] == [{"source": "zenodo", "record": 4600654}] and content["size"] == 3001
    assert (content["licence"], content["cite"]) == ({"id": "CC-BY-4.0"}, ["doi:10.5281/zenodo.4600654"])
    box.figshare.publish(1234, {"scan.nii": DATA})
    content = begun(run, home, "doi:10.6084/m9.figshare.1234")
    assert content["routes"] == [{"source": "figshare", "article": 1234, "version": 1}]
    assert content["licence"] == {"id": "CC-BY-4.0", "url": CC_BY}
    assert content["summary"] == "Images of the sandbox." and content["version"] == "1"


def test_datasets_of_kaggle_and_the_hub_are_pinned(run: Run, home: Path, box: Sandbox) -> None:
    box.kaggle.dataset("owner/scans", {"scan.nii": DATA}, version=3)
    content = begun(run, home, "kaggle:owner/scans")
    assert content["routes"] == [{"source": "kaggle", "dataset": "owner/scans", "version": 3}]
    assert (content["version"], content["licence"]["id"], content["size"]) == ("3", "CC0-1.0", 3000)
    commit, _ = box.hub.publish("owner/scans", {"scan.nii": DATA})
    content = begun(run, home, "hf:owner/scans")
    assert content["routes"] == [{"source": "hf", "dataset": "owner/scans", "revision": commit}]
    assert content["licence"]["id"] == "CC-BY-4.0"


def test_a_snapshot_of_openneuro(run: Run, home: Path, box: Sandbox) -> None:
    box.openneuro.publish("ds000001", "1.0.0", {"sub-01/anat/sub-01_T1w.nii.gz": 50, "README": b"x"})
    content = begun(run, home, "openneuro:ds000001")
    assert content["routes"] == [{"source": "openneuro", "dataset": "ds000001", "version": "1.0.0"}]
    assert (content["modality"], content["subjects"], content["size"]) == (["MR"], 1, 51)
    assert content["licence"] == {"id": "CC0-1.0"} and content["cite"] == ["doi:10.18112/openneuro.ds000001.v1.0.0"]


def test_a_project_of_physionet_an_open_and_a_gated_one(run: Run, home: Path, box: Sandbox) -> None:
    box.physionet.publish("open", "1.2", {"a": 10}, doi="10.13026/abcd")
    content = begun(run, home, "physionet:open")
    assert content["routes"] == [{"source": "physionet", "project": "open", "version": "1.2"}]
    assert content["licence"]["id"] == "ODC-By-1.0" and content["access"]["level"] == "open"
    assert content["homepage"] == "https://physionet.org/content/open/1.2/"
    box.physionet.publish("closed", "1.0", {"a": 10}, policy="credentialed")
    content = begun(run, home, "physionet:closed")
    assert content["status"]["is"] == "gated" and content["access"]["level"] == "account"
    assert "no log-in" in content["access"]["note"]


def test_a_dataverse_a_bucket_a_folder_of_synapse_and_an_address(run: Run, home: Path, box: Sandbox) -> None:
    box.dataverse.publish("dataverse.example", "10.1234/ABC", {"scan.nii": DATA}, version="2.0")
    content = begun(run, home, "dataverse:dataverse.example/10.1234/ABC")
    assert content["routes"][0]["version"] == content["version"] == "2.0"
    assert content["licence"]["id"] == "CC0-1.0" and content["cite"] == ["doi:10.1234/ABC"]
    box.put("s3://bucket/folder/scan", DATA)
    content = begun(run, home, "s3:bucket/folder/")
    assert content["size"] == 3000 and {"licence", "homepage", "version"} <= set(content["unknown"])
    box.synapse.folder("syn7", {"scan.nii": DATA})
    content = begun(run, home, "synapse:syn7")
    assert content["status"]["is"] == "gated" and content["access"]["level"] == "account"
    box.put("https://host.example/scan.zip", DATA)
    content = begun(run, home, "https://host.example/scan.zip")
    assert content["routes"][0]["files"] == [
        {"path": "scan.zip", "url": "https://host.example/scan.zip", "size": 3000}
    ]  # fmt: skip


def test_no_file_is_overwritten_and_its_name_is_the_id(run: Run, home: Path, box: Sandbox) -> None:
    box.put("s3://bucket/folder/scan", DATA)
    run("recipe", "new", "s3:bucket/folder/", "-o", "mine.yaml")
    before = (home / "mine.yaml").read_text()
    assert yaml.safe_load(before)["id"] == "mine"
    assert "left as it is" in run("recipe", "new", "s3:bucket/folder/", "-o", "mine.yaml", code=2).err
    assert (home / "mine.yaml").read_text() == before
    assert "no name for a recipe" in run("recipe", "new", "s3:bucket/folder/", "-o", "Mine.yaml", code=2).err
    assert yaml.safe_load(run("recipe", "new", "s3:bucket/folder/").out)["size"] == 3000


def test_what_has_a_recipe_is_not_there_or_is_a_secret_is_refused(run: Run, box: Sandbox) -> None:
    assert "a recipe already" in run("recipe", "new", "lidc-idri", code=2).err
    assert "has no" in run("recipe", "new", "zenodo:1", code=2).err
    signed = "https://host.example/scan.zip?X-Amz-Signature=0123456789abcdef0123456789"
    ran = run("recipe", "new", signed, code=2)
    assert "signed" in ran.err and "0123456789abcdef" not in ran.out + ran.err
    assert "answers 404" in run("recipe", "new", "https://host.example/none.zip", code=2).err


@pytest.mark.parametrize(
    ("description", "sentence"),
    [
        ("<p>Scans of <b>20</b> people.</p>", "Scans of 20 people."),
        ("# Title\n\nSee [the page](https://example.org) &amp; more.", "Title See the page & more."),
        (f"The first sentence says what it is, and so on. {'More words. ' * 40}", None),
        ("word " * 100, None),
    ],
)
def test_a_summary_is_the_beginning_of_a_description(description: str, sentence: str | None) -> None:
    found = drafts._sentence(description)
    assert len(found) <= drafts.SUMMARY + 2 and "\n" not in found
    assert found == sentence if sentence else found.endswith((".", "…"))


@pytest.mark.parametrize(
    ("name", "recipe_id"),
    [("Brain MRI (2nd ed.)", "brain-mri-2nd-ed"), ("Änderung", "anderung"), ("医", "unnamed"), ("x" * 90, "x" * 60)],
)
def test_the_id_is_made_of_the_name(name: str, recipe_id: str) -> None:
    assert drafts._id(name) == recipe_id
