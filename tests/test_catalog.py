"""The catalogue: what is wrong with a recipe and where, which recipe a name means, and what listing costs."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medfetch import catalog, names
from medfetch.errors import RecipeError, UsageProblem
from medfetch.recipe_schema import schema
from medfetch.types import Level

HEAD = """\
id: sample
name: Sample
summary: A sample.
access: {level: open}
evidence:
  - {fact: all, source: a page, read: 2026-11-20}
"""
HTTP = HEAD + "routes:\n  - source: http\n    files:\n"
ADDRESS = "an address that starts with http:// or https://"
TWO_PARTS = """\
parts:
  a:
    routes:
      - {source: http, files: [{path: x, url: https://h/x}]}
      - {source: http, files: [{path: x, url: https://mirror/x}]}
  b:
    routes:
      - {source: http, files: [{path: x, url: https://h/y}]}
"""
RELATIVE = "write it relative, with forward slashes"
APART = "`into: folder` in a route keeps the parts apart"


def problems(path: Path) -> list[tuple[int, int, str, str, str | None]]:
    found = list(catalog.check([path]))
    assert {problem.file for problem in found} <= {path}
    return [(problem.line, problem.column, problem.field, problem.message, problem.hint) for problem in found]


# What is wrong: (the file's content, [(line, column, field, message, hint), …])
WRONG = {
    "syntax": (
        HEAD + "routes: [{source: idc\n",
        [(8, 1, "", "not valid YAML: did not find expected ',' or '}'", None)],
    ),
    "tab": (
        HEAD + "routes:\n\t- a\n",
        [(8, 1, "", "not valid YAML: found character that cannot start any token", None)],
    ),
    "control character": (
        HEAD + 'homepage: "\a"\n',
        [(7, 1, "", "not valid YAML: control characters are not allowed", None)],
    ),
    "not utf-8": ("id: x\nname: \udcff\n", [(2, 1, "", "not UTF-8 text (a byte 0xff)", "save the file as UTF-8")]),
    "empty": ("", [(1, 1, "", "the file is empty", "docs/recipes.md shows a whole recipe")]),
    "only a comment": ("# nothing\n", [(1, 1, "", "the file is empty", "docs/recipes.md shows a whole recipe")]),
    "a web page": (
        "<html>log in</html>",
        [(1, 1, "", "expected a mapping of fields, found the text '<html>log in</html>'", None)],
    ),
    "a list": ("- a\n", [(1, 1, "", "expected a mapping of fields, found a list", None)]),
    "alias in itself": (
        HEAD + "unknown: &a [*a]\n",
        [(7, 10, "unknown[0]", "the value is an alias (*name)", "write it out: people read recipes, too")],
    ),
    "key that is no text": (HEAD + "1: x\n", [(7, 1, "", "a key that is not text: 1", "put it in quotes")]),
    "python object": (
        HEAD + "unknown: !!python/object:os.system [x]\n",
        [
            (
                7,
                10,
                "",
                "not valid YAML: could not determine a constructor for the tag"
                " 'tag:yaml.org,2002:python/object:os.system'",
                None,
            )
        ],
    ),
    "duplicate key": (HEAD + "name: Again\n", [(7, 1, "name", "'name' is given twice, first in line 2", "keep one")]),
    "duplicate key inside": (
        HEAD + "routes:\n  - source: tcia\n    collection: A\n    collection: B\n",
        [(10, 5, "routes[0].collection", "'collection' is given twice, first in line 9", "keep one")],
    ),
    "unknown field": (
        HEAD + "modalities: [CT]\n",
        [(7, 1, "modalities", "unknown field 'modalities'", "did you mean modality?")],
    ),
    "missing fields": (
        "id: sample\nname: S\n",
        [(1, 1, "", "the field 'summary' is missing", None), (1, 1, "", "the field 'access' is missing", None)],
    ),
    "wrong types": (
        HEAD + "modality: CT\nsubjects: many\nversion: 1.0\n",
        [
            (7, 11, "modality", "expected a list, found the text 'CT'", None),
            (8, 11, "subjects", "expected a whole number, found the text 'many'", None),
            (
                9,
                10,
                "version",
                "expected a version: letters, digits, dots, hyphens, plus signs, found the number 1.0",
                "put it in quotes",
            ),
        ],
    ),
    "vocabularies": (
        HEAD + "modality: [CT, MRI]\nanatomy: [lungs]\ntasks: [segment]\nstatus: {is: open, as_of: soon}\n",
        [
            (7, 16, "modality[1]", "'MRI' is not a known modality", "did you mean fMRI or MR?"),
            (8, 11, "anatomy[0]", "'lungs' is not a known anatomy", "did you mean lung?"),
            (9, 9, "tasks[0]", "'segment' is not a known task", "did you mean segmentation?"),
            (10, 14, "status.is", "'open' is not a known status", "known: available, gated, moved, unknown, withdrawn"),
            (10, 27, "status.as_of", "expected a date like 2026-11-20, found the text 'soon'", None),
        ],
    ),
    "access level": (
        HEAD.replace("open", "opened"),
        [(4, 17, "access.level", "'opened' is not a known access level", "did you mean open?")],
    ),
    "listed twice": (HEAD + "modality: [CT, CT]\n", [(7, 11, "modality", "'CT' is listed twice", None)]),
    "id": (
        HEAD.replace("id: sample", "id: other"),
        [(1, 5, "id", "the id 'other' is not the file's name 'sample'", "give both the same name")],
    ),
    "parts and routes": (
        HEAD + "routes: [{source: tcia, collection: A}]\nparts: {a: {}}\n",
        [(1, 1, "", "expected either parts or routes, not both", None)],
    ),
    "part name": (
        HEAD + "parts:\n  Task 1: {}\n",
        [
            (
                8,
                3,
                "parts.Task 1",
                "'Task 1' is not a name of lower-case letters and digits, joined by single hyphens or dots",
                None,
            )
        ],
    ),
    "no source": (HEAD + "routes:\n  - collection: A\n", [(8, 5, "routes[0]", "the field 'source' is missing", None)]),
    "unknown source": (
        HEAD + "parts:\n  images:\n    routes:\n      - source: tica\n        collection: A\n",
        [(10, 17, "parts.images.routes[0].source", "there is no source 'tica'", "did you mean tcia?")],
    ),
    "misspelt locator": (
        HEAD + "routes:\n  - source: idc\n    colection: a\n",
        [(9, 5, "routes[0].colection", "unknown field 'colection'", "did you mean collection?")],
    ),
    "idc without a subject": (
        HEAD + "routes:\n  - {source: idc, modality: CT}\n",
        [
            (
                8,
                5,
                "routes[0]",
                "expected a route with at least one of collection, source_doi, analysis_result, series",
                None,
            )
        ],
    ),
    "idc locator": (
        HEAD + "routes:\n  - {source: idc, source_doi: doi.org/10, series: [a]}\n",
        [
            (8, 31, "routes[0].source_doi", "expected a DOI that starts with 10., found the text 'doi.org/10'", None),
            (8, 52, "routes[0].series[0]", "expected a DICOM UID: digits and dots, found the text 'a'", None),
        ],
    ),
    "tcia locator": (
        HEAD + "routes:\n  - {source: tcia, host: other, collection: []}\n",
        [
            (8, 26, "routes[0].host", "'other' is not a known NBIA host", "known: nbia, nlst"),
            (8, 45, "routes[0].collection", "must not be empty", None),
        ],
    ),
    "s3 locator": (
        HEAD + "routes:\n  - {source: s3, bucket: My_Bucket, key: a}\n",
        [
            (
                8,
                26,
                "routes[0].bucket",
                "expected a bucket name: 3 to 63 lower-case letters, digits, dots, hyphens, found the text 'My_Bucket'",
                None,
            ),
            (
                8,
                37,
                "routes[0].key",
                "unknown field 'key'",
                "known: bucket, into, note, path, prefix, region, requester_pays, requires, source,"
                " third_party, unpack",
            ),
        ],
    ),
    "checksums": (
        HTTP + "      - {path: a, url: https://h/a, md5: abc, sha1: 12, sha256: xyz, sha512: ''}\n",
        [
            (10, 42, "routes[0].files[0].md5", "expected an MD5: 32 hexadecimal digits, found the text 'abc'", None),
            (
                10,
                53,
                "routes[0].files[0].sha1",
                "expected a SHA-1: 40 hexadecimal digits, found the number 12",
                "put it in quotes",
            ),
            (
                10,
                65,
                "routes[0].files[0].sha256",
                "expected a SHA-256: 64 hexadecimal digits, found the text 'xyz'",
                None,
            ),
            (
                10,
                78,
                "routes[0].files[0].sha512",
                "expected a SHA-512: 128 hexadecimal digits, found the text ''",
                None,
            ),
        ],
    ),
    "addresses": (
        HTTP + "      - {path: a, url: h/a}\n      - {path: b, url: ['https://me:secret@h/b']}\n",
        [
            (
                10,
                24,
                "routes[0].files[0].url",
                f"expected {ADDRESS}, without a user name in it, found the text 'h/a'",
                None,
            ),
            (
                11,
                25,
                "routes[0].files[1].url[0]",
                f"expected {ADDRESS}, without a user name in it, found the text 'https://…@h/b'",
                None,
            ),
        ],
    ),
    "neither url nor pieces": (
        HTTP + "      - {path: a}\n",
        [(10, 9, "routes[0].files[0]", "expected a file with either url or pieces", None)],
    ),
    "both url and pieces": (
        HTTP + "      - {path: a, url: https://h/a, pieces: [{url: https://h/1}, {url: https://h/2}]}\n",
        [(10, 9, "routes[0].files[0]", "expected a file with either url or pieces", None)],
    ),
    "one piece": (
        HTTP + "      - {path: a, pieces: [{url: https://h/1}]}\n",
        [(10, 27, "routes[0].files[0].pieces", "expected at least two pieces", None)],
    ),
    "sizes": (
        HTTP + "      - {path: a, url: https://h/a, size: 9 TiB}\n      - {path: b, url: https://h/b, size: -1}\n",
        [
            (
                10,
                43,
                "routes[0].files[0].size",
                "expected a size: a number of bytes, or text such as 9.95 GB (decimal units), found the text '9 TiB'",
                None,
            ),
            (
                11,
                43,
                "routes[0].files[1].size",
                "expected a size: a number of bytes, or text such as 9.95 GB (decimal units), found the number -1",
                None,
            ),
        ],
    ),
    "unpack": (
        HTTP + "      - {path: a.zip, url: https://h/a, unpack: false}\n"
        "      - {path: b.gz, url: https://h/b, unpack: true}\n",
        [
            (10, 49, "routes[0].files[0].unpack", "expected true, found false", None),
            (
                11,
                16,
                "routes[0].files[1].path",
                "expected an archive to unpack: .zip, .tar, .tar.gz, .tgz, .tar.bz2,"
                " .tar.xz or .7z, found the text 'b.gz'",
                None,
            ),
        ],
    ),
    "unpack outside": (
        HTTP + "      - {path: a.zip, url: https://h/a, unpack: {into: ../x}}\n",
        [(10, 56, "routes[0].files[0].unpack.into", "the folder '../x' leaves the dataset's folder (..)", RELATIVE)],
    ),
    "range": (
        HTTP + "      - {path: 'a{n}', url: 'https://h/{n:5d}', range: [3, 1], size: 1}\n",
        [
            (
                10,
                29,
                "routes[0].files[0].url",
                "with a range, the url must hold {n} or {n:05d} and no other braces, but is 'https://h/{n:5d}'",
                None,
            ),
            (10, 56, "routes[0].files[0].range", "the range [3, 1] is empty", "put the smaller number first"),
            (10, 64, "routes[0].files[0].size", "size cannot be the same for all files of a range", None),
        ],
    ),
    "range without a number": (
        HTTP + "      - {path: a, url: 'https://h/{n}', range: [0, 1]}\n",
        [
            (
                10,
                16,
                "routes[0].files[0].path",
                "with a range, the path must hold {n} or {n:05d} and no other braces, but is 'a'",
                None,
            )
        ],
    ),
    "path used twice": (
        HTTP + "      - {path: a, url: https://h/a}\n      - {path: a, url: https://h/b}\n",
        [(11, 16, "routes[0].files[1].path", "the path 'a' is used twice in this route", None)],
    ),
    "path of another part": (
        HEAD + TWO_PARTS,
        [(14, 39, "parts.b.routes[0].files[0].path", "the path 'x' is also used by the part 'a'", APART)],
    ),
    "ranges that overlap": (
        HTTP
        + "      - {path: 'a{n:02d}', url: 'https://h/{n}', range: [0, 4]}\n"
        + "      - {path: 'a{n:02d}', url: 'https://h/{n}', range: [5, 8]}\n"
        + "      - {path: a07, url: https://h/b}\n      - {path: a7, url: https://h/c}\n",
        [(12, 16, "routes[0].files[2].path", "the path 'a07' is used twice in this route", None)],
    ),
    "range of another part": (
        HEAD
        + TWO_PARTS.replace(
            "{path: x, url: https://h/x}", "{path: 'x{n}', url: 'https://h/{n}', range: [0, 9]}"
        ).replace("{path: x, url: https://h/y}", "{path: 'x{n}', url: 'https://h/{n}', range: [9, 12]}"),
        [(14, 39, "parts.b.routes[0].files[0].path", "the path 'x9' is also used by the part 'a'", APART)],
    ),
    "range without end": (
        HTTP + "      - {path: 'a{n}', url: 'https://h/{n}', range: [1, 10000000000000]}\n",
        [
            (
                10,
                53,
                "routes[0].files[0].range",
                "the range [1, 10000000000000] has more than 1,000,000 numbers",
                None,
            )
        ],
    ),
    "folder outside": (
        HEAD + "routes:\n  - {source: s3, bucket: b-1, into: a//b}\n",
        [(8, 37, "routes[0].into", "the folder 'a//b' has an empty component", RELATIVE)],
    ),
    "steps of the recipe": (
        HEAD.replace("open}", "account, requires: [{name: form, kind: application, do: x, after: [signup, sigup]}]}")
        + "routes:\n  - {source: s3, bucket: b-1, requires: [{name: signup, kind: account, do: x}]}\n",
        [(4, 92, "access.requires[0].after[1]", "there is no requirement 'sigup'", "did you mean signup?")],
    ),
    "steps that wait for each other": (
        HEAD.replace("open}", "account, requires: [{name: form, kind: application, do: x, after: [signup]}]}")
        + "routes:\n  - {source: s3, bucket: b-1, requires: [{name: signup, kind: account, do: x, after: [form]}]}\n",
        [
            (
                4,
                83,
                "access.requires[0].after",
                "these wait for each other: form after signup after form",
                "break the circle",
            )
        ],
    ),
    "two steps of one name": (
        HEAD.replace("open}", "account, requires: [{name: form, kind: application, do: x}]}")
        + "routes:\n  - {source: s3, bucket: b-1, requires: [{name: form, kind: application, do: y}]}\n",
        [(8, 49, "routes[0].requires[0].name", "another step of this recipe is called 'form', too", None)],
    ),
    "evidence from the future": (
        HEAD.replace("2026-11-20", "2999-01-01"),
        [(6, 39, "evidence[0].read", "the date 2999-01-01 is in the future", None)],
    ),
    "no such day": (
        HEAD.replace("2026-11-20", "2026-02-30"),
        [(6, 39, "evidence[0].read", "there is no day 2026-02-30", None)],
    ),
    "evidence undated": (
        HEAD.replace(", read: 2026-11-20", ""),
        [(6, 5, "evidence[0]", "the field 'read' is missing", None)],
    ),
    "read is no date": (
        HEAD.replace("2026-11-20", "yesterday"),
        [(6, 39, "evidence[0].read", "expected a date like 2026-11-20, found the text 'yesterday'", None)],
    ),
    "status from the future": (
        HEAD + "status: {is: moved, as_of: 2999-01-01}\n",
        [(7, 28, "status.as_of", "the date 2999-01-01 is in the future", None)],
    ),
    "unknown requirement": (
        HEAD.replace("{level: open}", "{level: account, requires: [tokn]}"),
        [(4, 37, "access.requires[0]", "there is no requirement 'tokn'", "did you mean token?")],
    ),
    "unknown requirement of a route": (
        HEAD + "routes:\n  - {source: tcia, collection: A, requires: [tokn]}\n",
        [(8, 46, "routes[0].requires[0]", "there is no requirement 'tokn'", "did you mean token?")],
    ),
    "requirement without a name": (
        HEAD.replace("open}", "open, requires: [{kind: token, do: x}]}"),
        [(4, 34, "access.requires[0]", "the field 'name' is missing", None)],
    ),
}
SHARED = "account: {kind: account, do: sign up}\ntoken: {kind: token, do: make one, after: [account]}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "requirements.yaml").write_text(SHARED)
    return tmp_path


def written(directory: Path, text: str, name: str = "sample.yaml") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize("case", WRONG)
def test_every_problem_has_its_place_and_a_plain_sentence(case: str, directory: Path) -> None:
    text, expected = WRONG[case]
    path = written(directory, text)
    assert problems(path) == expected


@pytest.mark.parametrize("case", [case for case in WRONG if case != "id"])
def test_loading_raises_the_first_problem(case: str, directory: Path) -> None:
    text, [(line, column, _, message, hint), *_] = WRONG[case]
    path = written(directory, text)
    with pytest.raises(RecipeError) as caught:
        catalog.load(str(path))
    assert caught.value.at == f"{path}:{line}:{column}"
    assert caught.value.message.endswith(message)
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/a", "is absolute"),
        ("C:/a", "is absolute"),
        ("a/../b", "leaves the dataset's folder (..)"),
        ("..", "leaves the dataset's folder (..)"),
        ("a//b", "has an empty component"),
        ("a/", "has an empty component"),
        ("./a", "has an empty component"),
        ("a\\b", "holds a backslash"),
        ("a\0b", "holds a control character"),
        ("a\nb", "holds a control character"),
        (".medfetch/plan", "is medfetch's own folder"),
        ("é" * 128, "has a component of more than 255 bytes"),
    ],
)
def test_unsafe_paths(path: str, reason: str, directory: Path) -> None:
    file = written(directory, f"{HTTP}      - {{path: {json.dumps(path)}, url: https://h/x}}\n")
    assert problems(file) == [(10, 16, "routes[0].files[0].path", f"the path {path!r} {reason}", RELATIVE)]


def test_the_longest_path_component_and_odd_names_are_fine(directory: Path) -> None:
    paths = ["x" * 255, "a b/ü%2F.zip", "..a", "a..b", "~"]
    items = "".join(f"      - {{path: {json.dumps(path)}, url: https://h/x}}\n" for path in paths)
    assert problems(written(directory, HTTP + items)) == []


def test_duplicate_ids_name_the_other_file(directory: Path) -> None:
    first = written(directory, HEAD, "a/sample.yaml")
    second = written(directory, HEAD, "b/sample.yaml")
    [problem] = catalog.check([directory])
    assert (problem.file, problem.line, problem.column, problem.field) == (second, 1, 5, "id")
    assert problem.message == f"the id 'sample' is also that of {first}"


def test_requirements_of_the_directory_above_are_known(directory: Path) -> None:
    path = written(directory, HEAD.replace("open}", "open, requires: [account]}"), "http/sample.yaml")
    assert problems(path) == []


def test_requirements_that_wait_for_each_other(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a: {kind: account, do: x, after: [c]}\n"
        "b: {kind: token, do: x, after: [a]}\n"
        "c: {kind: terms, do: x, after: [b]}\n",
        "requirements.yaml",
    )
    [problem] = catalog.check([tmp_path])
    assert problem.file == path
    assert problem.message.startswith("these wait for each other: ")
    assert problem.message.count(" after ") == 3 and problem.field.endswith(".after")
    assert problem.line == "abc".index(problem.field[0]) + 1
    assert problem.hint == "break the circle"


def test_problems_of_shared_requirements(tmp_path: Path) -> None:
    text = "a: {kind: account, do: x, after: [z]}\n"
    assert problems(written(tmp_path, text, "requirements.yaml")) == [
        (1, 35, "a.after[0]", "there is no requirement 'z'", "known: a")
    ]
    text = "a: {kind: acount, do: x}\nB: {kind: token, do: x, at: here}\n"
    assert problems(written(tmp_path, text, "requirements.yaml")) == [
        (1, 11, "a.kind", "'acount' is not a known kind of requirement", "did you mean account?"),
        (2, 1, "B", "'B' is not a name of lower-case letters and digits, joined by single hyphens or dots", None),
        (2, 29, "B.at", f"expected {ADDRESS}, found the text 'here'", None),
    ]


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "nothing.yaml"
    assert problems(path) == [(1, 1, "", "cannot be read: No such file or directory", None)]
    with pytest.raises(UsageProblem, match="cannot be read"):
        catalog.load(str(path))


def test_third_party_sources_are_checked_by_themselves(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(directory, HEAD + "routes:\n  - {source: orthanc, anything: [1]}\n")
    assert [found[3] for found in problems(path)] == ["there is no source 'orthanc'"]
    monkeypatch.setattr("medfetch.sources.names", lambda: ["orthanc"])
    assert problems(path) == []


FULL = """\
id: sample
name: Sample scans
summary: A sample of everything.
version: "1.2"
modality: [CT]
anatomy: [lung]
tasks: [detection]
subjects: 3
licence: {id: CC0-1.0, url: "https://example.org/cc0"}
cite: ["doi:10.1234/Sample"]
homepage: https://example.org/
also: ["http://old.example.org/data", "ftp://example.org"]
status: {is: available, as_of: 2026-11-20}
access:
  level: terms
  requires: [{name: click, kind: terms, do: accept, at: "https://example.org/terms"}]
  terms: https://example.org/terms
  note: A note.
parts:
  images:
    summary: Pictures.
    size: 1.5 GB
    unpacked: 3000000000
    routes:
      - {source: http, note: why, requires: [token], third_party: true, files: [{path: a, url: "https://h/a"}]}
      - {source: tcia, collection: Sample}
  extra:
    default: false
    licence: {id: CC-BY-4.0}
    routes: [{source: idc, collection: sample, source_doi: 10.1234/part}]
evidence: [{fact: all, source: a page, read: 2026-11-20}]
unknown: [much]
"""


@pytest.fixture
def full(directory: Path) -> Path:
    return written(directory, FULL)


def test_loading_gives_everything_that_the_file_says(full: Path) -> None:
    recipe = catalog.load(str(full))
    assert (recipe.id, recipe.name, recipe.version, recipe.subjects) == ("sample", "Sample scans", "1.2", 3)
    assert (recipe.modality, recipe.anatomy, recipe.tasks) == (("CT",), ("lung",), ("detection",))
    assert recipe.licence == {"id": "CC0-1.0", "url": "https://example.org/cc0"}
    assert recipe.status == {"is": "available", "as_of": "2026-11-20"}
    assert recipe.evidence == ({"fact": "all", "source": "a page", "read": "2026-11-20"},)
    assert recipe.unknown == ("much",)
    assert recipe.homepage == "https://example.org/"
    assert recipe.also == ("http://old.example.org/data", "ftp://example.org")
    assert recipe.access.level is Level.TERMS
    assert [(step.name, step.kind, step.at) for step in recipe.access.requires] == [
        ("click", "terms", "https://example.org/terms")
    ]
    images, extra = recipe.parts
    assert (images.name, images.default, images.size, images.unpacked) == ("images", True, 1_500_000_000, 3 * 10**9)
    assert (extra.default, extra.size, extra.licence) == (False, None, {"id": "CC-BY-4.0"})
    assert recipe.size == 1_500_000_000  # of the default parts
    first, second = images.routes
    assert first.third_party and first.locator == {"files": [{"path": "a", "url": "https://h/a"}]}
    # A step comes after the steps that it waits for.
    assert [step.name for step in first.requires] == ["account", "token"]
    assert (second.source, second.locator, second.requires) == ("tcia", {"collection": "Sample"}, ())


def test_digest_is_of_the_content_and_not_of_its_layout(full: Path) -> None:
    before = catalog.load(str(full)).digest
    full.write_text("# a comment\n" + FULL.replace("modality: [CT]", "modality:\n  - CT"))
    assert catalog.load(str(full)).digest == before
    full.write_text(FULL.replace("subjects: 3", "subjects: 4"))
    assert catalog.load(str(full)).digest != before


def test_routes_at_the_top_are_one_part(directory: Path) -> None:
    path = written(directory, HEAD + "size: 10 MB\nroutes: [{source: tcia, collection: A}]\n")
    recipe = catalog.load(str(path))
    [part] = recipe.parts
    assert (part.name, part.default, part.size, recipe.size) == ("all", True, 10_000_000, 10_000_000)


def test_ids_and_versions(full: Path) -> None:
    extra = [full.parent]
    assert catalog.load("sample", extra).origin == str(full)
    assert catalog.load("sample@1.2", extra).id == "sample"
    with pytest.raises(UsageProblem, match=r"'sample' has version 1\.2, not '1\.3'"):
        catalog.load("sample@1.3", extra)
    with pytest.raises(UsageProblem, match="'lidc-idri' has no version, not '2'"):
        catalog.load("lidc-idri@2")


def test_a_recipe_of_ones_own_goes_before_the_built_in_one(directory: Path) -> None:
    path = written(directory, HEAD.replace("id: sample", "id: lidc-idri"), "lidc-idri.yaml")
    assert catalog.load("lidc-idri", [directory]).origin == str(path)
    assert catalog.load("lidc-idri").name == "LIDC-IDRI"


def test_unknown_names_get_close_ones() -> None:
    with pytest.raises(UsageProblem, match="there is no recipe 'lidc-idr'") as caught:
        catalog.load("lidc-idr")
    assert caught.value.hint == "did you mean lidc-idri?"
    with pytest.raises(UsageProblem, match="there is no recipe 'of a kidney'") as caught:
        catalog.load("of a kidney")
    assert str(caught.value.hint).startswith("medfetch list 'of a kidney' looks into names and summaries of all 12")


def test_source_and_locator() -> None:
    recipe = catalog.load("tcia:NSCLC-Radiomics")
    assert recipe.id == "tcia--NSCLC-Radiomics"
    [part] = recipe.parts
    [route] = part.routes
    assert (part.name, route.source, route.locator) == ("all", "tcia", {"collection": "NSCLC-Radiomics"})
    assert recipe.origin == "tcia:NSCLC-Radiomics"
    assert catalog.load("s3:bucket/some/cart.tcia").parts[0].routes[0].source == "s3"
    with pytest.raises(UsageProblem, match="there is no source 'nowhere'"):
        catalog.load("nowhere:at/all")


def test_components_are_safe_and_different() -> None:
    texts = [
        "a/b",
        "a%2Fb",
        "a b",
        "a+b",
        "..",
        ".",
        ".a",
        "~",
        "%7E",
        "ü",
        "x" * 500,
        "x" * 501,
        "a:b",
        "a\\b",
        "a\0b",
    ]
    components = [names.component(text) for text in texts]
    assert len(set(components)) == len(texts)
    for component in components:
        assert len(f"physionet--{component}".encode()) <= 255
        assert not set(component) & set("/\\\0:") and not component.startswith(".")


@pytest.mark.parametrize("doi", ["10.7937/k9/tcia.2015.lo9ql9sx", "10.7937/K9/TCIA.2015.LO9QL9SX"])
def test_doi_that_a_recipe_is_cited_with(doi: str) -> None:
    assert catalog.load(f"doi:{doi}").id == "lidc-idri"


def test_doi_of_a_part_says_how_to_get_it() -> None:
    with pytest.raises(UsageProblem, match="is a part of a dataset") as caught:
        catalog.load("doi:10.5281/zenodo.12689650")
    assert caught.value.hint == "medfetch get nlst --part slides"


def test_doi_of_tcia_without_a_recipe_goes_to_the_index() -> None:
    recipe = catalog.load("doi:10.7937/K9/TCIA.2015.zpUKhCKB")
    [route] = recipe.parts[0].routes
    assert (route.source, route.locator) == ("idc", {"source_doi": "10.7937/k9/tcia.2015.zpukhckb"})


def test_doi_of_physionet_without_a_recipe_is_looked_up_there() -> None:
    (part,) = catalog.load("doi:10.13026/C2-no-recipe").parts
    (route,) = part.routes
    assert (route.source, route.locator) == ("physionet", {"doi": "10.13026/C2-no-recipe"})


def test_other_doi_says_that_nobody_was_asked() -> None:
    with pytest.raises(UsageProblem, match=r"no recipe has the DOI '10\.1234/x'") as caught:
        catalog.load("doi:10.1234/x")
    assert "DataCite was not asked" in str(caught.value.hint)


UUID = "00000000-0000-4000-8000-000000000001"
TCIA = "downloadServerUrl=https://nlst.cancerimagingarchive.net/x\nListOfSeriesToDownload=\n1.2.3\n"


@pytest.mark.parametrize(
    ("name", "text", "source", "locator"),
    [
        ("cart.tcia", TCIA, "tcia", {"series": ["1.2.3"], "host": "nlst"}),
        ("CART.TCIA", TCIA, "tcia", {"series": ["1.2.3"], "host": "nlst"}),
        ("uids.csv", "SeriesInstanceUID\n1.2.3\n", "tcia", {"series": ["1.2.3"], "host": "nbia"}),
        ("uids.tsv", "SeriesInstanceUID\n1.2.3\n", "tcia", {"series": ["1.2.3"], "host": "nbia"}),
        ("m.s5cmd", f"cp s3://idc-open-data/{UUID}/* .\n", "idc", {"crdc_series_uuid": [UUID]}),
        ("m.txt", f"cp s3://idc-open-data/{UUID}/* .\n", "idc", {"crdc_series_uuid": [UUID]}),
    ],
)
def test_manifests(
    name: str, text: str, source: str, locator: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    recipe = catalog.load(name)
    [route] = recipe.parts[0].routes
    assert (route.source, route.locator) == (source, locator)
    content = hashlib.sha256(text.encode()).hexdigest()
    assert recipe.id == f"{source}--{Path(name).stem}-{content[:12]}"


def test_a_manifest_is_its_content(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "cart.tcia", tmp_path / "b" / "cart.tcia"
    for path in (one, two):
        path.parent.mkdir()
        path.write_text(TCIA)
    assert catalog.load(str(one)).id == catalog.load(str(two)).id
    assert catalog.load(str(one)).digest == catalog.load(str(two)).digest
    two.write_text(f"{TCIA}1.2.4\n")
    assert catalog.load(str(one)).id != catalog.load(str(two)).id
    with pytest.raises(UsageProblem, match="cannot be read"):
        catalog.load(str(tmp_path / "none.tcia"))
    two.write_text("<html>")
    with pytest.raises(RecipeError) as raised:
        catalog.load(str(two))
    assert str(raised.value.at).startswith(str(two))


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://host/data/scan.nii.gz", "scan.nii.gz"),
        ("http://host/a%20b.zip", "a b.zip"),
        ("https://host/a%2Fb.zip", "a_b.zip"),
        ("https://host/x/..", "_.."),
        ("https://host/%2E%2E", "_.."),
        ("https://host/a%00b", "a_b"),
        ("https://host/.medfetch", "_.medfetch"),
        ("https://host/", "host"),
        ("https://host/" + "x" * 300 + ".zip", "x" * 251 + ".zip"),
    ],
)
def test_addresses(address: str, path: str) -> None:
    recipe = catalog.load(address)
    [route] = recipe.parts[0].routes
    assert (route.source, route.locator) == ("http", {"files": [{"path": path, "url": address}]})
    assert recipe.id.startswith("http--") and "/" not in recipe.id


def test_an_address_may_be_pinned() -> None:
    digest = "AB" * 32
    recipe = catalog.load("https://host/a.zip", sha256=digest)
    assert recipe.parts[0].routes[0].locator["files"][0]["sha256"] == digest.lower()
    with pytest.raises(UsageProblem, match="64 hexadecimal digits"):
        catalog.load("https://host/a.zip", sha256="abc")
    with pytest.raises(UsageProblem, match="not an http address"):
        catalog.load("lidc-idri", sha256=digest)


def test_what_may_be_a_secret_is_in_the_locator_only() -> None:
    one = catalog.load("https://host/a.zip?signature=secret")
    two = catalog.load("https://host/a.zip?signature=other")
    assert one.id != two.id
    for text in (one.id, one.name, one.origin, one.summary):
        assert "secret" not in text
    with pytest.raises(UsageProblem) as caught:
        catalog.load("https://me:secret@host/a.zip")
    assert "secret" not in f"{caught.value.message}{caught.value.hint}"


def test_searching() -> None:
    def found(**wanted: object) -> list[str]:
        return [recipe.id for recipe in catalog.search(**wanted)]  # type: ignore[arg-type]

    everything = found()
    assert everything == sorted(everything) and len(everything) >= 10
    assert found(text="SCREENING trial") == ["nlst"]
    assert found(modality="mr") == [recipe.id for recipe in catalog.search() if "MR" in recipe.modality]
    assert {"msd", "neuromorphometrics"} <= set(found(modality="mr")) < set(everything)
    assert found(anatomy="kidney") == [recipe.id for recipe in catalog.search() if "kidney" in recipe.anatomy]
    assert "kits19" in found(anatomy="kidney") and "nlst" not in found(anatomy="kidney")
    assert "ldct-and-projection-data" in found(task="denoising")
    assert found(access="paid") == ["neuromorphometrics"]
    assert set(found(source="tcia")) >= {
        "ldct-and-projection-data", "lidc-idri", "nlst", "nsclc-radiomics", "pancreas-ct"}  # fmt: skip
    small = {recipe.id: recipe.size for recipe in catalog.search(max_size=10**10)}
    assert {"echonet-dynamic", "pancreas-ct"} <= set(small) and "nlst" not in small
    assert all(size is not None and size <= 10**10 for size in small.values())  # what is of unknown size does not fit
    assert found(text="lung", modality="CT", source="idc", max_size=10**11) == ["nsclc-radiomics"]
    assert found(text="no such thing") == []


@pytest.mark.parametrize(
    ("filters", "message", "hint"),
    [
        ({"modality": "MRI"}, "'MRI' is not a known modality", "did you mean fMRI or MR?"),
        ({"task": "segment"}, "'segment' is not a known task", "did you mean segmentation?"),
        ({"anatomy": "lungs"}, "'lungs' is not a known anatomy", "did you mean lung?"),
        ({"access": "opn"}, "'opn' is not a known access level", "did you mean open?"),
    ],
)
def test_searching_for_a_word_of_no_vocabulary(filters: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(UsageProblem, match=message) as caught:
        catalog.search(**filters)  # type: ignore[arg-type]
    assert caught.value.hint == hint


def test_searching_includes_ones_own_recipes(full: Path) -> None:
    assert str(full) in [recipe.origin for recipe in catalog.search("sample", extra=[full.parent])]


def test_searching_names_the_recipe_that_is_broken(directory: Path) -> None:
    path = written(directory, "id: sample\nname: [\n")
    with pytest.raises(RecipeError, match=f"^{path}:3:1: not valid YAML"):
        catalog.search(extra=[directory])
    path = written(directory, HEAD.replace("{level: open}", "open"))
    with pytest.raises(RecipeError, match=f"^{path}:4:9: access: expected a mapping of fields, found the text 'open'"):
        catalog.search(extra=[directory])


def test_listing_imports_nothing_slow() -> None:
    code = (
        "import sys; from medfetch import catalog; assert catalog.search();"
        "print([name for name in ('jsonschema', 'duckdb', 'pandas', 'tcia_utils', 'pycurl', 'requests', 'pydicom',"
        " 'importlib.metadata') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_installed_copy_finds_the_recipes_that_it_carries(tmp_path: Path) -> None:
    package = Path(catalog.__file__).parent
    shutil.copytree(package, tmp_path / "medfetch", ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    shutil.copytree(catalog.builtin(), tmp_path / "medfetch" / "recipes")  # as pyproject.toml tells the wheel
    code = "from medfetch import catalog; print(catalog.load('lidc-idri').origin)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == tmp_path / "medfetch" / "recipes" / "idc" / "lidc-idri.yaml"


def test_the_schema_is_valid_and_describes_every_list_of_words() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema())
    assert all("title" in words for words in schema()["$defs"].values() if "enum" in words)


DOCUMENTATION = Path(__file__).parents[1] / "docs" / "recipes.md"


def test_the_documentation_shows_recipes_that_pass(tmp_path: Path) -> None:
    recipe, requirements = re.findall("```yaml\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    written(tmp_path, requirements, "requirements.yaml")
    path = written(tmp_path, recipe, "example-ct.yaml")
    assert list(catalog.check([tmp_path])) == []
    assert len(catalog.load(str(path)).parts) == 2


def test_the_documentation_names_every_field() -> None:
    text = DOCUMENTATION.read_text()
    definitions = schema()["$defs"]
    fields = set(schema()["properties"])
    for name in ("part", "http", "file", "idc", "s3", "tcia", "requirement", "licence"):
        fields |= set(definitions[name]["properties"])
    assert [field for field in sorted(fields) if not re.search(rf"\b{field}\b", text)] == []
    for name in ("status", "access"):
        properties = schema()["properties"][name]["properties"]
        words = properties.get("is", properties.get("level"))["enum"]
        assert [word for word in words if word not in text] == []
