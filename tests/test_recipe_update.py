"""Recipes are updated without a release: what is signed, checked and newer counts; all else changes nothing."""

from __future__ import annotations

import dataclasses
import json
import shutil
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import trustme
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import DictBackend
from dulwich.web import HTTPGitApplication
from servers import Server, endless, redirect, reply, serve

from medfetch import catalog, config, recipe_folders
from medfetch.cli import group
from medfetch.config import Settings
from medfetch.errors import IntegrityError, RecipeError, Refused, Unreachable, UsageProblem
from medfetch.updates import index, installing, obtaining
from medfetch.updates.index import Recipes

BUILTIN = recipe_folders.number(recipe_folders.builtin())
KNOWN = "lidc-idri"


def recipe(name: str, summary: str = "Scans.", more: str = "") -> bytes:
    return f"id: {name}\nname: Sample\nsummary: {summary}\naccess: {{level: open}}\n{more}".encode()


def recipes(number: int = BUILTIN + 1, **files: bytes) -> Recipes:
    """A set with ``sample``, or with what is given by id."""
    found = files or {"sample": recipe("sample")}
    return Recipes(number, {f"http/{name.replace('_', '-')}.yaml": text for name, text in found.items()}, "test")


def new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(scope="module")
def key() -> bytes:
    return new_key()


@pytest.fixture
def settings(tmp_path: Path, key: bytes) -> Settings:
    return Settings(tmp_path / "cache", data=tmp_path / "data", recipes_keys=(index.public(key),), backoff=0.01)


def counting(settings: Settings) -> Mapping[str, Path]:
    """The recipes that the next run finds."""
    there = recipe_folders.updated(settings.data)
    return catalog.find([there] if there else [])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def published(folder: Path, made: Recipes, key: bytes) -> Path:
    """An index and its signature."""
    raw = index.packed(made)
    path = folder / "recipes.json"
    path.write_bytes(raw)
    (folder / "recipes.json.sig").write_bytes(index.signature(raw, key))
    return path


# -- the index ----------------------------------------------------------------------------------------------------


def test_an_index_carries_recipes_unchanged_and_is_the_same_again(key: bytes) -> None:
    made = index.of_folder(recipe_folders.builtin())
    raw = index.packed(made)
    assert raw == index.packed(index.of_folder(recipe_folders.builtin().parent))
    found = index.opened(raw, index.signature(raw, key), [index.public(new_key()), index.public(key)], "here")
    assert (found.number, found.digest, found.files) == (BUILTIN, made.digest, made.files)
    assert {Path(path).stem for path in found.files} - {"requirements"} == set(catalog.find())


def test_the_signature_is_looked_at_before_anything_is_read(key: bytes) -> None:
    raw = b'{"format": 99, "files": '
    with pytest.raises(IntegrityError, match="signed by none of the keys"):
        index.opened(raw, index.signature(raw, new_key()), [index.public(key)], "here")
    with pytest.raises(RecipeError, match="not valid JSON"):
        index.opened(raw, index.signature(raw, key), [index.public(key)], "here")


@pytest.mark.parametrize("change", [lambda raw: raw + b" ", lambda raw: raw.replace(b"Scans", b"Scams"), lambda _: b""])
def test_an_index_of_which_a_byte_was_changed_is_refused(key: bytes, change: object) -> None:
    raw = index.packed(recipes())
    with pytest.raises(IntegrityError):
        index.opened(change(raw), index.signature(raw, key), [index.public(key)], "here")  # type: ignore[operator]
    with pytest.raises(IntegrityError, match="63 bytes, expected 64"):
        index.opened(raw, index.signature(raw, key)[1:], [index.public(key)], "here")


@pytest.mark.parametrize(
    "path",
    [
        "../evil.yaml", "/etc/evil.yaml", "http/../../evil.yaml", "http/evil.yaml/../x.yaml", "http\\evil.yaml",
        "evil.yaml", "http/evil.sh", "http/.evil.yaml", "a/b/evil.yaml", "http/evil.yaml\n", "", "HTTP/evil.yaml",
        "NUMBER",
    ],
)  # fmt: skip
def test_no_name_in_an_index_leads_out_of_its_folder(path: str, key: bytes) -> None:
    raw = index.packed(Recipes(9, {path: recipe("evil"), "http/sample.yaml": recipe("sample")}, "test"))
    with pytest.raises(RecipeError, match="is no name of a recipe"):
        index.opened(raw, index.signature(raw, key), [index.public(key)], "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 2, "number": "seven"}, r"newer medfetch \(format 2, not 1\)"),
        ({"number": 7, "files": {}}, "does not say of which format"),
        ([], "does not say of which format"),
        ({"format": 1, "number": 0, "files": {"http/a.yaml": "id: a"}}, "a number from 1 on"),
        ({"format": 1, "number": True, "files": {"http/a.yaml": "id: a"}}, "a number from 1 on"),
        ({"format": 1, "number": 7, "files": {"http/a.yaml": 3}}, "the text of each recipe"),
        ({"format": 1, "number": 7, "files": {}}, "no recipes in it"),
        ({"format": 1, "number": 7, "files": {"http/a.yaml": "\ud800"}}, "is no text"),
        ({"format": 1, "number": 7, "files": {"http/a.yaml": "a" * (index.LONGEST_FILE + 1)}}, "more than 1,000,000"),
    ],
)
def test_a_signed_index_that_is_none_is_named(content: object, message: str, key: bytes) -> None:
    raw = json.dumps(content).encode()
    with pytest.raises(RecipeError, match=message) as caught:
        index.opened(raw, index.signature(raw, key), [index.public(key)], "here")
    assert "newer" not in message or "upgrade" in str(caught.value.hint)


def test_keys_that_are_none_are_named(key: bytes) -> None:
    raw = index.packed(recipes())
    # That of RFC 8410, section 10.1, as one of X25519, which signs nothing.
    x25519 = "MCowBQYDK2VuAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    for wrong in ("", "abc", "!!", x25519):
        with pytest.raises(UsageProblem, match="no public Ed25519 key"):
            index.opened(raw, index.signature(raw, key), [wrong], "here")
    for private in (b"", b"secret", index.public(key).encode()):
        with pytest.raises(UsageProblem, match="no private Ed25519 key") as caught:
            index.signature(raw, private)
        assert "secret" not in str(caught.value)


# -- what counts --------------------------------------------------------------------------------------------------


def test_an_update_goes_before_what_is_built_in_and_behind_a_persons_own(settings: Settings, tmp_path: Path) -> None:
    done = installing.install(recipes(sample=recipe("sample"), lidc_idri=recipe(KNOWN)), settings)
    assert (done.number, done.builtin, done.new, done.changed) == (BUILTIN + 1, False, ("sample",), (KNOWN,))
    found = counting(settings)
    assert {"sample", *catalog.find()} == set(found)
    assert found[KNOWN].is_relative_to(settings.data) and done.folder == found[KNOWN].parent.parent
    own = tmp_path / "own"
    own.mkdir()
    (own / "sample.yaml").write_bytes(recipe("sample", "My own."))
    loaded = config.load(data=settings.data, recipes=[own])
    assert catalog.load("sample", loaded.recipes).summary == "My own."
    assert catalog.load(KNOWN, loaded.recipes).summary == "Scans."


def test_an_update_that_is_older_than_the_program_is_ignored(settings: Settings) -> None:
    done = installing.install(recipes(BUILTIN), settings)
    assert done.builtin and counting(settings) == catalog.find()
    installing.install(recipes(), settings)
    state = json.loads(recipe_folders.state_file(settings.data).read_text())
    state["sets"][0]["number"] = BUILTIN  # as though a later release had come
    recipe_folders.state_file(settings.data).write_text(json.dumps(state))
    assert recipe_folders.updated(settings.data) is None


def test_older_and_other_recipes_of_the_same_number_are_refused(settings: Settings) -> None:
    installing.install(recipes(BUILTIN + 2), settings)
    before = snapshot(settings.data)
    with pytest.raises(IntegrityError, match=f"number {BUILTIN + 1}; number {BUILTIN + 2} was here") as caught:
        installing.install(recipes(BUILTIN + 1), settings)
    assert caught.value.exit_code == 4 and "--reset" in str(caught.value.hint)
    with pytest.raises(IntegrityError, match="other recipes of the number"):
        installing.install(recipes(BUILTIN + 2, other=recipe("other")), settings)
    assert snapshot(settings.data) == before
    again = installing.install(recipes(BUILTIN + 2), settings)
    assert (again.new, again.changed, again.gone) == ((), (), ())


def test_back_to_the_set_before_and_to_what_is_built_in(settings: Settings) -> None:
    first, second = recipes(BUILTIN + 1), recipes(BUILTIN + 2, other=recipe("other"))
    installing.install(first, settings)
    assert installing.install(second, settings).gone == ("sample",)
    back = installing.rollback(settings)
    assert (back.number, back.new, back.gone) == (BUILTIN + 1, ("sample",), ("other",))
    # What was gone back from may come again; what is older may still not.
    with pytest.raises(IntegrityError):
        installing.install(first, settings)
    assert installing.install(second, settings).number == BUILTIN + 2
    installing.rollback(settings)
    assert installing.rollback(settings).builtin
    with pytest.raises(UsageProblem, match="nothing to go back to"):
        installing.rollback(settings)
    assert installing.install(second, settings).number == BUILTIN + 2
    assert installing.reset(settings).builtin and counting(settings) == catalog.find()
    assert [path.name for path in recipe_folders.place(settings.data).iterdir()] == ["updated.json"]
    assert installing.install(first, settings).number == BUILTIN + 1


def test_recipes_that_this_medfetch_cannot_use_are_left_out(settings: Settings) -> None:
    newer = recipe(KNOWN, more="format: 2\nquantum: true\n")
    unknown = recipe("odd", more="routes: [{source: teleport, to: here}]\n")
    done = installing.install(recipes(sample=recipe("sample"), lidc_idri=newer, odd=unknown), settings)
    assert [str(problem.file) for problem in done.left_out] == [f"http/{KNOWN}.yaml", "http/odd.yaml"]
    assert "newer medfetch" in done.left_out[0].message and "upgrade" in str(done.left_out[0].hint)
    assert counting(settings)[KNOWN] == catalog.find()[KNOWN] and "odd" not in counting(settings)
    before = snapshot(settings.data)
    with pytest.raises(RecipeError, match="can use none of them"):
        installing.install(recipes(BUILTIN + 2, odd=unknown), settings)
    shared = {"requirements.yaml": b"step: {kind: wizardry, do: Cast a spell.}\n"}
    with pytest.raises(RecipeError, match=r"requirements\.yaml:1:"):
        installing.install(Recipes(BUILTIN + 2, {**recipes().files, **shared}, "test"), settings)
    assert snapshot(settings.data) == before


def test_what_an_update_that_was_killed_has_left_counts_for_nothing(settings: Settings) -> None:
    place = recipe_folders.place(settings.data)
    shutil.copytree(recipe_folders.builtin(), place / ".half")
    (place / "99-abc").mkdir()
    assert counting(settings) == catalog.find()
    installing.install(recipes(), settings)
    assert len(list(place.iterdir())) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1, "sets": [{}], "highest": null}', '{"format": 2}'])
def test_a_state_that_cannot_be_read_says_what_to_do(content: str, settings: Settings) -> None:
    path = recipe_folders.state_file(settings.data)
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(UsageProblem) as caught:
        config.load(data=settings.data)
    assert f"remove {path}" in str(caught.value.hint)
    assert ("upgrade" in str(caught.value.hint)) == ('"format": 2' in content)
    assert path.read_text() == content


# -- where they come from -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Server(tls=context) as server:
        yield server


@pytest.fixture
def trusting(settings: Settings, authority: trustme.CA, tmp_path: Path) -> Settings:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    return dataclasses.replace(settings, ca_bundle=str(tmp_path / "authority.pem"), tries=1)


def test_an_index_comes_by_https(server: Server, trusting: Settings, key: bytes) -> None:
    raw = index.packed(recipes())
    address = server.script("/recipes.json", serve(raw))
    server.script("/recipes.json.sig", serve(index.signature(raw, key)))
    found = obtaining.obtain(address, None, trusting)
    assert (found.number, found.files) == (BUILTIN + 1, recipes().files)
    assert all("authorization" not in asked.headers for asked in server.asked)


def test_a_repository_by_https_at_a_commit(
    checkout: tuple[Path, str], trusting: Settings, authority: trustme.CA
) -> None:
    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder, commit = checkout
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Repo(str(folder)) as repository:
        repository.refs[b"refs/heads/" + b"0" * 40] = commit.encode()  # a branch that is called like a commit
        application = HTTPGitApplication(DictBackend({"/medfetch.git": repository}))
        with make_server("127.0.0.1", 0, application, handler_class=Quiet) as host:
            host.socket = context.wrap_socket(host.socket, server_side=True)
            threading.Thread(target=host.serve_forever, daemon=True).start()
            address = f"https://127.0.0.1:{host.server_port}/medfetch.git"
            found = obtaining.obtain(address, commit, trusting)
            assert (found.number, found.files, found.origin) == (BUILTIN + 1, recipes().files, f"{address}@{commit}")
            with pytest.raises(UsageProblem, match=f"no commit {'0' * 40} in https"):
                obtaining.obtain(address, "0" * 40, trusting)
            host.shutdown()


def test_what_a_host_may_not_do(server: Server, trusting: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_BYTES", 1_000_000)
    address = server.script("/recipes.json", endless("200 OK", "Transfer-Encoding: identity"))
    server.script("/recipes.json.sig", serve(b"x" * 64))
    with pytest.raises(Refused, match="more than 1,000,000 bytes"):
        obtaining.obtain(address, None, trusting)
    with Server() as plain:
        elsewhere = plain.script("/recipes.json", serve(index.packed(recipes())))
        server.script("/recipes.json", redirect(elsewhere))
        with pytest.raises(Refused, match="without https"):
            obtaining.obtain(address, None, trusting)
    server.script("/recipes.json", reply("404 Not Found"))
    with pytest.raises(Refused, match="404"):
        obtaining.obtain(address, None, trusting)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, "nothing says where newer recipes are"),
        ("http://example.org/recipes.json", "by https or from a file, not by http"),
        ("ftp://example.org/recipes.json", "not by ftp"),
        ("https://me:hunter2@example.org/recipes.json", "has a user name"),
        ("https://example.org/recipes.json?token=hunter2", "has a user name, or"),
        ("https://example.org/medfetch.git", "is no index of recipes"),
        ("https://example.org/medfetch", "is no index of recipes"),
        ("file://elsewhere/recipes.json", "of another machine"),
        ("/nowhere/recipes.json", "cannot be read"),
    ],
)
def test_addresses_that_are_none(address: str | None, message: str, settings: Settings) -> None:
    with pytest.raises(UsageProblem, match=message) as caught:
        obtaining.obtain(address, None, settings)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}" and caught.value.hint


def test_offline_no_host_is_asked(settings: Settings) -> None:
    with pytest.raises(Unreachable, match="would have to be asked"):
        obtaining.obtain("https://example.org/recipes.json", None, dataclasses.replace(settings, offline=True))


@pytest.fixture
def checkout(tmp_path: Path) -> tuple[Path, str]:
    """A git repository with the recipes of two commits; the id of the first."""
    folder = tmp_path / "checkout"
    (folder / "recipes" / "http").mkdir(parents=True)
    (folder / "recipes" / "NUMBER").write_text(f"{BUILTIN + 1}\n")
    (folder / "recipes" / "http" / "sample.yaml").write_bytes(recipe("sample"))
    (folder / "other.yaml").write_text("no recipe")
    repository = porcelain.init(str(folder))
    porcelain.add(repository, [str(path) for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts])
    commit = porcelain.commit(repository, b"One", author=b"A <a@example.org>", committer=b"A <a@example.org>").decode()
    (folder / "recipes" / "http" / "sample.yaml").write_bytes(recipe("sample", "Since then."))
    return folder, commit


def test_a_folder_as_it_is_and_a_repository_at_a_commit(checkout: tuple[Path, str], settings: Settings) -> None:
    folder, commit = checkout
    now = recipes(sample=recipe("sample", "Since then."))
    for name in (folder, folder / "recipes", f"file://{folder}"):
        assert obtaining.obtain(str(name), None, settings).files == now.files
    found = obtaining.obtain(str(folder), commit, settings)
    assert (found.number, found.files, found.origin) == (BUILTIN + 1, recipes().files, f"{folder}@{commit}")
    for wrong, message in ((f"{commit[:-1]}{(int(commit[-1], 16) + 1) % 16:x}", "no commit"), ("main", "is no commit")):
        with pytest.raises(UsageProblem, match=message):
            obtaining.obtain(str(folder), wrong, settings)
    with pytest.raises(UsageProblem, match="no git repository"):
        obtaining.obtain(str(folder / "recipes"), commit, settings)
    shutil.rmtree(folder / "recipes" / "http")
    with pytest.raises(RecipeError, match="no recipes in it"):
        obtaining.obtain(str(folder), None, settings)
    (folder / "recipes" / "NUMBER").unlink()
    with pytest.raises(UsageProblem, match="no file NUMBER"):
        obtaining.obtain(str(folder), None, settings)


# -- the command --------------------------------------------------------------------------------------------------


def test_the_command_as_a_person_uses_it(settings: Settings, tmp_path: Path, key: bytes) -> None:
    def medfetch(*arguments: str, code: int = 0, **more: str) -> Result:
        environment = {"MEDFETCH_DATA": str(settings.data), "MEDFETCH_CONFIG": str(tmp_path / "none.yaml"), **more}
        done = CliRunner().invoke(group, list(arguments), env=environment)
        assert done.exit_code == code, done.output
        return done

    told = medfetch("recipe", "update", code=2)
    assert "nothing says where newer recipes are" in told.stderr and "recipes_from" in told.stderr
    place = published(tmp_path, recipes(sample=recipe("sample"), lidc_idri=recipe(KNOWN, "Newer.")), key)
    assert "who may sign" in medfetch("recipe", "update", MEDFETCH_RECIPES_FROM=str(place), code=2).stderr
    trust = {"MEDFETCH_RECIPES_FROM": str(place), "MEDFETCH_RECIPES_KEYS": index.public(key)}
    stranger = {**trust, "MEDFETCH_RECIPES_KEYS": index.public(new_key())}
    assert "none of the keys" in medfetch("recipe", "update", code=4, **stranger).stderr
    done = json.loads(medfetch("recipe", "update", "--json", **trust).stdout)
    assert (done["event"], done["number"], done["builtin"]) == ("recipes", BUILTIN + 1, False)
    assert (done["from"], done["new"], done["changed"]) == (str(place), ["sample"], [KNOWN])
    assert "Newer." in medfetch("info", KNOWN).stdout and "sample" in medfetch("list", "Sample").stdout
    assert "recipes number" in medfetch("recipe", "update", "--rollback").stdout
    assert "Newer." not in medfetch("info", KNOWN).stdout
    medfetch("recipe", "update", **trust)
    assert "came with medfetch" in medfetch("recipe", "update", "--reset").stdout
    assert "choose one" in medfetch("recipe", "update", "--reset", "--rollback", code=2).stderr
