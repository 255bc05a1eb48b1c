"""``medfetch catalog``: what the page holds, where it is written, and who may ask the server for it."""

from __future__ import annotations

import datetime
import http.client
import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from datasets import http as http_route
from datasets import write_recipe
from running import PATIENCE, Run

import medfetch
from medfetch import agreements, catalog, page, requirements, sources, standing
from medfetch.cli.catalog import holdings_of
from medfetch.config import Settings
from medfetch.page import content
from medfetch.page.server import Server
from medfetch.types import Level, Recipe

LARGEST = 1_000_000
"""Bytes of the page of all recipes."""
RECIPES = catalog.search()
SECRET = "Zq7-very-secret-password"


def data_in(text: str) -> dict[str, Any]:
    """What the page was given."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_is_one_small_file_of_all_recipes(run: Run, home: Path) -> None:
    ran = run("catalog", "--html", "site/public", "--json")
    size = (home / "site/public/index.html").stat().st_size
    assert ran.last == {"page": "site/public/index.html", "datasets": len(RECIPES), "bytes": size}
    assert [path.name for path in (home / "site/public").iterdir()] == ["index.html"]
    text = (home / "site/public/index.html").read_text(encoding="utf-8")
    assert ran.last["bytes"] < LARGEST
    assert [each["id"] for each in data_in(text)["datasets"]] == [recipe.id for recipe in RECIPES]
    # It says nothing of this machine, and is the same as long as the recipes are.
    assert str(home) not in text and "machine" not in data_in(text)
    run("catalog", "--html", "site/public")
    assert (home / "site/public/index.html").read_text(encoding="utf-8") == text


def test_the_page_asks_nobody_for_anything() -> None:
    text = page.render(content.of(RECIPES)[0])
    shell = text.replace(json.dumps(data_in(text)), "")
    assert not re.search(r"<(script|img|iframe|object|embed|video|audio|source)\b[^>]*\bsrc=", shell)
    assert re.findall(r"<link\b[^>]*href=\"(\w+):", shell) == ["data"]
    assert "@import" not in shell and "url(" not in shell and "{{" not in shell
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy and policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1] and "http" not in policy[1]


def test_what_is_told_of_a_dataset_is_what_its_recipe_says() -> None:
    for recipe in RECIPES:
        check_told(recipe)


def check_told(recipe: Recipe) -> None:
    shown, steps = content.of([recipe])
    (dataset,) = shown["datasets"]
    assert (dataset["size"], dataset["subjects"], dataset["level"]) == (
        recipe.size,
        recipe.subjects,
        recipe.access.level,
    )
    names = [shown["steps"][number]["name"] for number in dataset["steps"]]
    own = requirements.steps(recipe, requirements.chosen(recipe))
    assert names == [step.name for step in requirements.in_order(own)]
    every = {step["name"] for step in shown["steps"]}
    assert every == {step.name for step in requirements.of_all_ways(recipe, recipe.parts)} - untold(recipe)
    assert [route["source"] for part in dataset["parts"] for route in part["routes"]] == [
        route.source for part in recipe.parts for route in part.routes
    ]
    assert [each["read"] for each in dataset["evidence"]] == [each["read"] for each in recipe.evidence]
    assert len(steps.content()) == len(shown["steps"])


def untold(recipe: Recipe) -> set[str]:
    """Terms of a dataset that no step speaks of are steps of a part or of a route only where that one has none."""
    known = {step.name for part in recipe.parts for step in requirements.steps(recipe, [part])}
    return {f"{recipe.id}-terms"} - known if recipe.access.level == Level.TERMS else set()


def test_a_recipe_that_cannot_be_shown_is_named(run: Run, home: Path) -> None:
    write_recipe(home, "broken", routes=http_route({"url": "https://h.example.org/a", "size": 3}))
    ran = run("catalog", "--html", "site", code=2)
    assert str(home / "broken.yaml") in ran.err and "recipe check" in ran.err
    assert not (home / "site").exists()


def test_a_word_of_the_command_is_one_word_whatever_the_id(tmp_path: Path) -> None:
    write_recipe(tmp_path, "odd", id="a; rm -rf ~", routes=http_route({"path": "a", "url": "https://h.example.org/a"}))
    shown, _ = content.of(catalog.search("a; -rf", extra=[tmp_path]))
    assert [each["word"] for each in shown["datasets"]] == ["'a; rm -rf ~'"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--html DIR"),
        (("--html", "a", "--serve"), "choose one"),
        (("--port", "8000"), "--port is for --serve"),
        (("--html", "a", "--check"), "--check is for --serve"),
        (("--serve", "--check", "--offline"), "leave out --offline"),
    ],
)
def test_what_does_not_go_together_is_said(run: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in run("catalog", *arguments, code=2).err


def test_a_folder_that_cannot_be_made_is_named(run: Run, home: Path) -> None:
    (home / "file").write_text("")
    assert "file/site" in run("catalog", "--html", "file/site", code=1).err


@pytest.mark.long  # of all recipes
def test_as_json_it_prints_what_the_page_shows(run: Run) -> None:
    assert run("catalog", "--json").lines == [json.loads(json.dumps(content.of(RECIPES, holdings_of(RECIPES))[0]))]


@dataclass
class Served:
    """A server of the page, by its address."""

    address: str
    body: str = ""
    """Of the last answer."""

    def ask(self, path: str | None = None, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        where = urlsplit(self.address)
        with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)) as connection:
            connection.request(method, where.path if path is None else path, headers=headers)
            answer = connection.getresponse()
            self.body = answer.read().decode()
        return answer

    def shown(self) -> dict[str, Any]:
        assert self.ask().status == 200
        return data_in(self.body)


@pytest.fixture
def small() -> Iterator[Served]:
    """The server in this process, with a page that is none."""
    with Server(0, lambda: "<html>") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Served(server.address)
        server.shutdown()
        thread.join()


def test_only_whoever_has_the_address_is_answered(small: Served) -> None:
    found = re.fullmatch(r"http://127\.0\.0\.1:\d+(/[\w-]{43}/)", small.address)
    assert found
    answer = small.ask()
    assert (answer.status, answer.getheader("Content-Type"), small.body) == (200, "text/html; charset=utf-8", "<html>")
    assert answer.getheader("Referrer-Policy") == "no-referrer" and answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("Access-Control-Allow-Origin") is None
    path = found[1]
    for other in ("/", "/index.html", path[:-1], path + "x", path.swapcase(), "/favicon.ico"):
        assert small.ask(other).status == 404
        assert "<html" not in small.body and path not in small.body


def test_a_name_that_was_made_to_lead_here_leads_nowhere(small: Served) -> None:
    port = urlsplit(small.address).port
    assert small.ask(Host=f"localhost:{port}").status == 200
    for host in ("evil.example.org", f"evil.example.org:{port}", "127.0.0.1", "127.0.0.1:1", ""):
        assert small.ask(Host=host).status == 421
        assert "<html" not in small.body


def test_it_only_reads(small: Served) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        assert small.ask(method=method).status == 501
        assert "<html>" not in small.body


def test_two_servers_have_two_tokens() -> None:
    with Server(0, str) as one, Server(0, str) as other:
        assert one.path != other.path


@contextmanager
def serving(run: Run, *arguments: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], Served]]:
    """``medfetch catalog --serve`` at work."""
    with run.start("catalog", "--serve", *arguments, **more) as process:
        assert process.stdout
        try:
            yield process, Served(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_it_ends_when_it_is_interrupted(run: Run, number: signal.Signals) -> None:
    with serving(run) as (process, _):
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err and err.endswith("ended\n")


def test_a_port_that_is_taken_is_said(run: Run, small: Served) -> None:
    port = urlsplit(small.address).port
    ran = run("catalog", "--serve", "--port", port, code=2)
    assert str(port) in ran.err and "--port" in ran.err


def test_it_tells_what_is_here_and_no_secret(run: Run, home: Path, cache: Path) -> None:
    more = {"PHYSIONET_USERNAME": "ada", "PHYSIONET_PASSWORD": SECRET, "MEDFETCH_DATA": str(home / "data")}
    with serving(run, **more) as (_, served):
        shown = served.shown()
        assert shown["machine"]["held"] == {}
        steps = shown["steps"]

        run("get", "lidc-idri", "--select", "subject=LIDC-IDRI-0001", "--limit", "1")
        medfetch.agree("egd-cxr", person="Ada", date=datetime.date(2026, 11, 2), data=home / "data")
        files = snapshot(cache)
        told = served.shown()["machine"]
        assert snapshot(cache) == files
        assert SECRET not in served.body
        held = told["held"]["lidc-idri"]
        assert (held["state"], held["plans"][0]["select"]) == ("complete", {"subject": ["LIDC-IDRI-0001"]})
        assert told["steps"].keys() == {recipe.id for recipe in RECIPES}
        states = {steps[int(number)]["name"]: state for number, (state, _) in told["steps"]["egd-cxr"].items()}
        assert (states["physionet-account"], states["egd-cxr-agreement"]) == ("present", "declared")

        (home / "data" / "agreements.jsonl").write_text("no json\n")
        assert served.ask().status == 500
        assert "agreements.jsonl" in served.body


@pytest.mark.long  # of all recipes
def test_the_hosts_are_asked_where_that_is_wanted(run: Run, home: Path) -> None:
    write_recipe(home, "mine", routes=[{"source": "kaggle", "dataset": "sandbox/few", "version": 1}])
    with serving(run, "--check", "--sandbox") as (_, served):
        told = served.shown()["machine"]
    assert told["asked"] and told["sandbox"]
    assert told["hosts"]["mine"]["says"] == "open"


def test_every_source_and_kind_of_step_can_be_shown() -> None:
    shown, _ = content.of(RECIPES)
    assert {source for each in shown["datasets"] for source in each["sources"]} <= set(sources.BUILTIN)
    assert [each["personal"] for each in shown["steps"]] == [
        each["kind"] in agreements.PERSONAL for each in shown["steps"]
    ]
    assert standing.overview(RECIPES, Settings(Path("/nonexistent"))).steps
