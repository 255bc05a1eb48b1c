"""Croissants: what is written of a dataset, what is had of what one describes, and what is not."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import COLLECTION, http, of_subject, sha256, tarred, tree, write_recipe, zipped
from running import Run

from medfetch import croissant, recipe_check, recipe_data
from medfetch.catalog import search
from medfetch.errors import RecipeError
from medfetch.sandbox import Sandbox
from medfetch.types import Recipe

SUBJECT = "LIDC-IDRI-0001"
SCANS, TABLE = zipped(**{"a/one.nii": b"one" * 9_000, "two.nii": b"two"}), b"id,age\n1,50\n"
PAGE = "https://data.example.org/"


def file_object(path: str, content: bytes | None = None, **more: Any) -> dict[str, Any]:
    told = {"sha256": sha256(content)} if content is not None else {}
    return {
        "@type": "cr:FileObject", "@id": path, "name": path, "contentUrl": f"https://data.example.org/{path}",
        "encodingFormat": "application/octet-stream", **told, **more,
    }  # fmt: skip


def file_set(container: str | None, *includes: str, **more: Any) -> dict[str, Any]:
    within = {"containedIn": {"@id": container}} if container else {}
    return {"@type": "cr:FileSet", "@id": f"set-{container}", "includes": list(includes), **within, **more}


def document(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"@type": "sc:Dataset", "name": "Scans", "url": PAGE, "distribution": list(nodes), **more}


def read(*nodes: dict[str, Any], url: str | None = None, **more: Any) -> Recipe:
    return croissant.read(json.dumps(document(*nodes, **more)), "croissant:scans.json", url)


def routes(recipe: Recipe) -> dict[str, tuple[str, Any]]:
    return {part.name: (part.routes[0].source, dict(part.routes[0].locator)) for part in recipe.parts}


def files(recipe: Recipe, part: str = "files") -> list[dict[str, Any]]:
    return list(routes(recipe)[part][1]["files"])


def manifest(content: Any, **more: Any) -> dict[str, Any]:
    text = json.dumps(content).encode()
    url = f"data:{croissant.RECIPE_FORMAT};base64,{base64.b64encode(text).decode()}"
    return file_object("recipe", text, **{"contentUrl": url, "encodingFormat": croissant.RECIPE_FORMAT, **more})


WHOLE = {"id": "x", "name": "X", "summary": "x", "access": {"level": "open"},
         "routes": [{"source": "zenodo", "record": 7}]}  # fmt: skip


# -- what a document means -----------------------------------------------------------------------------------------


def test_files_and_archives() -> None:
    recipe = read(
        file_object("scans.zip", SCANS, contentSize=f"{len(SCANS)} B"),
        file_set("scans.zip", "*.nii"),
        file_object("table.csv", md5="0" * 32, contentSize="12 kB"),
        license="https://creativecommons.org/licenses/by/4.0/",
        description="Some scans.",
    )
    assert files(recipe) == [
        {"path": "scans.zip", "sha256": sha256(SCANS), "size": len(SCANS), "unpack": {"into": "scans"},
         "url": "https://data.example.org/scans.zip"},
        {"path": "table.csv", "md5": "0" * 32, "url": "https://data.example.org/table.csv"},
    ]  # fmt: skip
    assert recipe.licence == {"id": "https://creativecommons.org/licenses/by/4.0/", "url": recipe.licence["id"]}
    assert (recipe.summary, recipe.homepage, recipe.name) == ("Some scans.", PAGE, "croissant:scans.json")


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ({"name": "images.tar", "@id": "x", "contentUrl": "https://host/get?file=7"}, "images.tar"),
        ({"name": "Flores 200 archive", "@id": "flores.tar.gz", "contentUrl": "https://short/xyz"}, "flores.tar.gz"),
        ({"name": "The archive", "@id": "a", "contentUrl": "https://host/b/c.zip?x=1"}, "c.zip"),
        ({"name": "pack", "@id": "a", "contentUrl": "https://host/", "encodingFormat": "application/zip"}, "pack.zip"),
        ({"name": "archive", "@id": "archive", "contentUrl": "https://host/d?f=1"}, "archive.tar.gz"),
        ({"name": "x/y.zip", "@id": "file/x/y.zip", "contentUrl": "https://host/z"}, "x/y.zip"),
        ({"name": "../../y.zip", "@id": "q", "contentUrl": "https://host/z"}, "y.zip"),
    ],
)  # fmt: skip
def test_what_a_file_is_called(node: dict[str, Any], path: str) -> None:
    node = {"@type": "cr:FileObject", "encodingFormat": "application/x-gzip", **node}
    [file] = files(read(node, file_set(node["@id"], "*")))
    assert file["path"] == path


def test_terms_under_any_prefix() -> None:
    text = json.dumps(document(file_object("a.csv", TABLE)))
    for term in ("contentUrl", "distribution", "sha256", "encodingFormat"):
        text = text.replace(f'"{term}"', f'"sc:{term}"')
    text = text.replace('"cr:FileObject"', '"http://mlcommons.org/croissant/FileObject"')
    assert files(croissant.read(text, "croissant:x.json", None))[0]["sha256"] == sha256(TABLE)


def test_repositories_are_asked_by_their_sources() -> None:
    page, none = (
        "https://huggingface.co/datasets/owner/name/tree/refs%2Fconvert%2Fparquet",
        "https://github.com/issues/80",
    )
    hub = file_object("repo", contentUrl=page, encodingFormat="git+https", sha256=none)
    lab = file_object("code", contentUrl="https://gitlab.example.org/group/data.git", encodingFormat="git+https")
    within = {"@type": "cr:FileObject", "@id": "in", "containedIn": {"@id": "code"}, "contentUrl": "tables/a.csv"}
    assert routes(read(hub, file_set("repo", "default/*/*.parquet", "**/*.json"), lab, within)) == {
        "repository": ("hf", {
            "dataset": "owner/name", "revision": "refs/convert/parquet",
            "path": ["default/*/*.parquet", "**/*.json", "*.json"],
        }),
        "repository-2": ("datalad", {
            "repository": "https://gitlab.example.org/group/data.git", "path": ["tables/a.csv"],
        }),
    }  # fmt: skip


def test_what_cannot_be_had_is_named() -> None:
    recipe = read(
        file_object("a.csv", TABLE),
        file_object("b.csv", TABLE, contentUrl="data/b.csv"),
        file_set(None, "*.png"),
        file_set("elsewhere", "*.jpg"),
        file_set("a.csv", "*.txt"),
    )
    assert routes(recipe)["by-hand"] == (
        "manual", {"at": PAGE, "files": [{"path": "b.csv", "sha256": sha256(TABLE)}]}
    )  # fmt: skip
    assert [reason.split(":")[0] for reason in recipe.unknown] == ["set-None", "set-elsewhere", "a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html>", "a web page, not JSON"),
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"distribution": []}', "no distribution"),
        ("[" * 100_000, "not JSON"),
        (json.dumps(document({"@type": "cr:FileSet", "@id": "s"})), "nothing of it can be had"),
        (json.dumps(document(file_object("a", sha256="0b033707ea49365a5ffdd14615825511"))), "no SHA256"),
        (json.dumps(document(file_object("a"), file_object("a"))), "used twice"),
        (json.dumps(document(file_object("x", **{"name": "../x", "@id": "file/../x"}))), "leaves the dataset's folder"),
        (json.dumps(document(file_object("a", contentUrl="https://me:secret@host/a"), url=5)), "holds a user name"),
        (json.dumps({"distribution": [{"@type": "cr:FileObject", "contentUrl": 7}]}), "no address with http"),
    ],
)
def test_what_is_no_croissant(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        croissant.read(text, "croissant:x.json", None)
    assert said in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/a", "http://[::1]/a", "http://169.254.169.254/latest", "http://10.1.2.3/a",
                "https://localhost/a", "http://nas/a", "http://printer.local/a"]
)  # fmt: skip
def test_a_document_out_there_chooses_nothing_in_here(address: str) -> None:
    nodes = (file_object("a"), file_object("b", contentUrl=address))
    recipe = read(*nodes, url="https://data.example.org/x.json")
    assert [file["path"] for file in files(recipe)] == ["a"] and "on this machine or its network" in recipe.unknown[0]
    inside = {**WHOLE, "routes": [{"source": "http", "files": [{"path": "b", "url": address}]}]}
    with pytest.raises(RecipeError, match="on this machine or its network"):
        read(manifest(inside), url="https://data.example.org/x.json")
    assert read(manifest(inside)).parts
    # A file of one's own, or a document from there, may.
    for own in (None, "http://nas/x.json"):
        assert [file["path"] for file in files(read(*nodes, url=own))] == ["a", "b"]


def test_relative_addresses_are_meant_from_the_document() -> None:
    [file] = files(read(file_object("b.csv", contentUrl="data/b.csv"), url="https://host/sets/x.json?token=s3cret"))
    assert file["url"] == "https://host/sets/data/b.csv"


def test_a_recipe_in_a_document() -> None:
    access = {"level": "terms", "requires": [{"name": "sign", "kind": "terms", "do": "Sign."}]}
    recipe = read(manifest({**WHOLE, "access": access}), file_set("recipe", "**"), file_object("a.csv", TABLE))
    assert routes(recipe)["all"] == ("zenodo", {"record": 7}) and len(files(recipe)) == 1
    assert [step.name for step in recipe.access.requires] == ["sign"]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (manifest({**WHOLE, "routes": [{"source": "zenodo"}]}), "cannot be used"),
        (manifest(["x"]), "cannot be used"),
        (manifest(WHOLE, sha256="0" * 64), "not the one whose SHA-256"),
        (manifest(WHOLE, contentUrl="https://host/recipe.json"), "stands in the document itself"),
        (manifest(WHOLE, contentUrl="data:;base64,%%%"), "damaged"),
    ],
)  # fmt: skip
def test_a_recipe_that_is_damaged(node: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        read(node)


def test_every_recipe_is_written_as_it_was_read() -> None:
    for recipe in search():
        content = recipe_data.content(recipe, recipe.parts)
        assert recipe_check.check_content(content) == []
        again = recipe_data.built(content, {}, recipe.origin)
        assert (again.parts, again.access, again.licence) == (recipe.parts, recipe.access, recipe.licence)
        assert (again.citations, again.homepage, again.also) == (recipe.citations, recipe.homepage, recipe.also)


# -- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(box: Sandbox) -> Sandbox:
    box.put("https://data.example.org/scans.zip", SCANS)
    box.put("https://data.example.org/table.csv", TABLE)
    box.put("https://data.example.org/notes.tgz", tarred(**{"n.txt": b"n"}))
    return box


TREE = {"scans/a/one.nii": sha256(b"one" * 9_000), "scans/two.nii": sha256(b"two"), "table.csv": sha256(TABLE)}


def put(box: Sandbox, *nodes: dict[str, Any], address: str = "https://data.example.org/sets/croissant.json") -> str:
    text = json.dumps(document(*nodes))
    box.put(address, text.encode())
    return f"croissant:{address}"


def test_what_an_address_describes_is_fetched_once(run: Run, shelf: Sandbox) -> None:
    nodes = (file_object("scans.zip", SCANS), file_set("scans.zip", "**"))
    name = put(shelf, *nodes, file_object("table.csv", TABLE, contentUrl="../table.csv"))
    receipt = run("get", name, "--json").last
    assert tree(Path(receipt["path"])) == TREE and receipt["assurance"] == {"published": 3}
    asked = len(shelf.log)
    assert run("path", name).out.strip() == receipt["path"]
    assert run("get", name, "--json").last["files"] == 3
    assert run("status", name, "--json").last["state"] == "complete"
    assert len(shelf.log) == asked, "where nothing is missing, nobody is asked"
    # Another document at the same address is another dataset, and is not looked for unasked.
    put(shelf, file_object("table.csv", TABLE))
    assert run("path", name).out.strip() == receipt["path"]
    assert run("get", name, "--refresh", "--json").last["files"] == 1


def test_wrong_bytes_are_not_what_was_described(run: Run, shelf: Sandbox, home: Path) -> None:
    (home / "bad.json").write_text(json.dumps(document(file_object("table.csv", b"another"))))
    assert "table.csv" in run("get", "croissant:bad.json", code=4).err


def test_what_is_left_to_a_person(run: Run, shelf: Sandbox, home: Path) -> None:
    content = document(file_object("table.csv", TABLE), file_object("b.csv", b"b", contentUrl="b.csv"))
    (home / "half.json").write_text(json.dumps(content))
    told = run("get", "croissant:half.json", code=3).err
    assert "no program fetches b.csv" in told and PAGE in told
    (home / "b.csv").write_bytes(b"b")
    assert "medfetch import croissant:half.json" in told
    run("import", "croissant:half.json", home / "b.csv", code=None)
    receipt = run("get", "croissant:half.json", "--json").last
    assert tree(Path(receipt["path"])) == {"table.csv": sha256(TABLE), "b.csv": sha256(b"b")}


def test_a_document_can_be_rehearsed(run: Run, home: Path, box: Sandbox) -> None:
    nodes = (file_object("scans.zip", SCANS), file_set("scans.zip", "**"), manifest(WHOLE), file_set("recipe", "**"))
    (home / "real.json").write_text(json.dumps(document(*nodes)))
    receipt = run("get", "croissant:real.json", "--sandbox", "--json").last
    assert receipt["sandbox"] and receipt["files"] > 2 and box.log == []


def test_a_user_name_in_the_address_goes_nowhere(run: Run, box: Sandbox) -> None:
    err = run("get", "croissant:https://me:secret@host/x.json", code=2).err
    assert "holds a user name" in err and "secret" not in err and box.log == []


def exported(run: Run, *arguments: object, **more: Any) -> dict[str, Any]:
    content = json.loads(run("export", *arguments, "--format", "croissant", **more).out)
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert "127.0.0.1" not in json.dumps(content)
    return dict(content)


def described(run: Run, home: Path, content: dict[str, Any], **more: Any) -> dict[str, str]:
    (home / "croissant.json").write_text(json.dumps(content))
    return tree(Path(run("get", "croissant:croissant.json", "--json", **more).last["path"]))


def by_id(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["@id"]: node for node in content["distribution"]}


@pytest.fixture
def name(shelf: Sandbox, home: Path) -> str:
    url = "https://data.example.org"
    listed = [
        {"path": "scans.zip", "url": f"{url}/scans.zip", "sha256": sha256(SCANS), "unpack": {"into": "scans"}},
        {"path": "table.csv", "url": f"{url}/table.csv"},
    ]
    return write_recipe(
        home, "scans", routes=http(*listed), licence={"id": "CC-BY-4.0"}, homepage=PAGE, cite=["doi:10.1234/x"],
        modality=["CT"],
    )  # fmt: skip


def test_a_plan_and_what_is_in_the_cache(run: Run, home: Path, shelf: Sandbox, name: str, tmp_path: Path) -> None:
    planned = exported(run, name)
    # Nobody tells a digest of the table yet: its part is had by the recipe.
    assert list(by_id(planned)) == ["recipe", "set/all/1", "set/all/2"]
    fetched = run("get", name, "--json").last
    here = exported(run, name)
    assert list(by_id(here)) == [
        "archive/scans.zip", "set/scans.zip/1", "file/scans/a/one.nii", "file/scans/two.nii", "file/table.csv",
    ]  # fmt: skip
    assert by_id(here)["file/table.csv"]["sha256"] == sha256(TABLE)
    assert by_id(here)["file/scans/two.nii"]["sha256"] == sha256(b"two")
    assert (here["license"], here["url"], here["conditionsOfAccess"]) == (
        {"@type": "sc:CreativeWork", "name": "CC-BY-4.0"}, PAGE, "Open to all.",
    )  # fmt: skip
    assert "doi = {10.1234/x}" in here["citeAs"] and here["keywords"] == ["CT"]
    assert described(run, home, planned) == described(run, home, here) == tree(Path(fetched["path"])) == TREE
    # Into a folder, it has its usual name.
    run("export", name, tmp_path / "out", "--format", "croissant")
    assert json.loads((tmp_path / "out" / "croissant.json").read_text()) == here


def test_a_selection_is_described_and_nothing_else(run: Run, home: Path) -> None:
    content = exported(run, COLLECTION, "-s", f"subject={SUBJECT}")
    assert [node["includes"] for node in content["distribution"][1:]] == [[f"{SUBJECT}/**/*.dcm"]]
    assert described(run, home, content) == of_subject(SUBJECT)


def test_series_that_are_in_the_cache_are_pinned(run: Run, home: Path) -> None:
    run("get", COLLECTION, "-s", f"subject={SUBJECT}")
    content = exported(run, COLLECTION)
    wanted = of_subject(SUBJECT)
    told = {node["contentUrl"]: node["sha256"] for node in content["distribution"] if "sha256" in node}
    assert wanted.items() <= told.items()
    path = next(iter(wanted))
    by_id(content)[f"file/{path}"]["sha256"] = hashlib.sha256(b"another").hexdigest()
    (home / "croissant.json").write_text(json.dumps(content))
    assert path in run("get", "croissant:croissant.json", code=4).err


def test_what_nobody_may_have_yet_is_told_by_its_recipe(run: Run, home: Path, shelf: Sandbox) -> None:
    step = {"name": "sign", "kind": "terms", "do": "Sign it.", "at": "https://data.example.org/terms", "wait": "a week"}
    access = {"level": "terms", "requires": [step], "note": "For research."}
    listed = {"path": "table.csv", "url": "https://data.example.org/table.csv", "sha256": sha256(TABLE)}
    name = write_recipe(home, "shut", access=access, routes=http(listed), homepage=PAGE)
    ran = run("export", name, "--format", "croissant")
    assert "told by its recipe alone" in ran.err
    content = json.loads(ran.out)
    assert content["conditionsOfAccess"] == (
        "Access: terms.\n1. Sign it. (https://data.example.org/terms; usual wait: a week)\nFor research."
    )
    assert by_id(content)["file/table.csv"]["sha256"] == sha256(TABLE)
    # Whoever has the document has to agree like everybody.
    (home / "croissant.json").write_text(json.dumps(content))
    told = run("get", "croissant:croissant.json", code=3).err
    assert "Sign it." in told and "medfetch agree croissant:croissant.json" in told
    run("agree", "croissant:croissant.json", "--step", "sign", "--agreed-on", "2026-01-02", "--as", "Ada Lovelace")
    assert described(run, home, content) == {"table.csv": sha256(TABLE)}


def test_a_query_that_may_be_a_secret_is_not_handed_on(run: Run) -> None:
    err = run("export", "https://data.example.org/a?token=abc", "--format", "croissant", code=2).err
    assert "has a query, which may be a secret" in err and "abc" not in err
