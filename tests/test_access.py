"""What has to be done before data can be had: the steps, their order, how they stand, what a run makes of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from datasets import http, write_recipe
from running import Run
from test_private import write_netrc

import medfetch
from medfetch import agreements, doors, requirements, sources, standing
from medfetch.config import Settings
from medfetch.errors import AccessRequired, Refused, Unreachable
from medfetch.sandbox import Sandbox
from medfetch.sources import Net
from medfetch.standing import State
from medfetch.types import (
    Access,
    Door,
    Entry,
    Level,
    Part,
    Recipe,
    RemoteFile,
    Requirement,
    Route,
    Selection,
    Traits,
    Verdict,
)

SHARED = {
    "archive-account": {"kind": "account", "do": "Sign up.", "at": "https://archive.org/register"},
    "archive-training": {
        "kind": "training", "do": "Take the course.", "at": "https://archive.org/course", "wait": "a day",
        "lapses": "three years", "after": ["archive-account"],
    },
    "archive-credentialing": {
        "kind": "approval", "do": "Apply.", "at": "https://archive.org/apply", "wait": "1-2 weeks",
        "sign": "your supervisor", "after": ["archive-account"],
    },
    "archive-login": {
        "kind": "token", "do": "Keep the log-in.", "at": "https://archive.org/help", "credential": "netrc:archive.org",
        "after": ["archive-account"],
    },
}  # fmt: skip
LONG = "https://example.org/" + "a-very-long-path-without-any-space/" * 3


def use_terms(recipe_id: str) -> dict[str, Any]:
    do = f"Sign the agreement of {recipe_id}."
    after = ["archive-training", "archive-credentialing"]
    return {
        "name": f"{recipe_id}-terms",
        "kind": "terms",
        "do": do,
        "at": f"https://archive.org/{recipe_id}",
        "after": after,
    }


@pytest.fixture
def shelf(home: Path) -> Path:
    """Recipes: two of one archive, one by application, one that needs nothing."""
    (home / "requirements.yaml").write_text(yaml.safe_dump(SHARED, sort_keys=False))
    files = http({"path": "file", "url": "https://archive.org/file"})
    for name in ("chest", "heart"):
        requires = ["archive-login", "archive-training", "archive-credentialing", use_terms(name)]
        write_recipe(home, name, access={"level": "credentialed", "requires": requires}, routes=files)
    applies = {
        "name": "knee-form",
        "kind": "application",
        "do": "Write to | the owners.",
        "at": LONG,
        "wait": "2 to 4 weeks",
    }
    write_recipe(home, "knee", access={"level": "application", "requires": [applies]}, homepage="https://knee.org")
    write_recipe(home, "free", routes=files)
    return home


def step(name: str, kind: str = "account", *, after: tuple[str, ...] = (), **more: Any) -> Requirement:
    return Requirement(name, kind, f"Do {name}.", after=after, **more)


def recipe(name: str, *steps: Requirement, level: Level = Level.CREDENTIALED, source: str = "gated") -> Recipe:
    parts = (Part("all", (Route(source, {"id": name}),)),)
    return Recipe(name, name, "A test.", parts, Access(level, steps), origin=f"{name}.yaml", digest=name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        tmp_path / "cache", data=tmp_path / "data", netrc=tmp_path / "netrc",
        credentials_file=tmp_path / "credentials.json", processes=1,
    )  # fmt: skip


# -- order and texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2-4 weeks", 28), ("1 to 2 weeks; delays were announced in 2024", 14), ("several business days", 5),
        ("aimed at 10 working days", 10), ("three weeks", 21), ("a couple of days", 2), ("about 48 hours", 2),
        ("1,095 days (three years)", 1095), ("at once", None), ("no answer (reports 2022 to 2026)", None), (None, None),
        ("renew every year", 365),
    ],
)  # fmt: skip
def test_waits_are_understood(text: str | None, days: float | None) -> None:
    assert requirements.days(text) == days


def test_an_agreement_is_taken_to_be_good_for_the_shortest_time_that_is_spoken_of() -> None:
    assert requirements.good_for("one year, or 90 days after the project") == 90
    assert requirements.good_for("when the project ends") is None


def test_the_longest_wait_comes_first_and_what_it_hangs_on_before_it() -> None:
    quick, slow = step("quick", wait="1 day"), step("slow", "approval", wait="4 weeks", after=("account",))
    account, unknown = step("account"), step("unknown", "application")
    token = step("token", "token", after=("quick",))
    assert requirements.in_order([token, quick, unknown, slow, account]) == [account, slow, unknown, quick, token]


def test_a_recipes_steps_wait_for_each_other_and_else_stand_as_written(run: Run, home: Path) -> None:
    def own(name: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "kind": kind, "do": "x", **more}

    form, sign_up = own("form", "application", after=["z-account"]), own("z-account", "account")
    requires = [form, own("z-terms", "terms"), own("a-join", "join"), sign_up]
    route = {"source": "http", "requires": [own("a-link", "terms", after=["a-join"]), "z-account"]}
    files = [{"path": "x", "url": "https://h.example/x"}]
    write_recipe(home, "own", access={"level": "application", "requires": requires}, routes=[{**route, "files": files}])
    steps = [line for line in run("access", "own", "--json").lines if line["event"] == "step"]
    assert [step["name"] for step in steps] == ["z-account", "form", "z-terms", "a-join", "a-link"]
    assert steps[1]["after"] == ["z-account"]


def test_what_is_not_established_is_not_called_open(run: Run, home: Path, box: Sandbox) -> None:
    box.put("https://h.example/x", b"x")
    files = http({"path": "x", "url": "https://h.example/x"})
    write_recipe(home, "vague", access={"level": "unknown"}, routes=files)
    write_recipe(home, "page", access={"level": "unknown"}, homepage="https://page.example/")
    said = " ".join(run("access", "vague", "page").out.split())
    assert "vague: what has to be done is not established" in said and "needs nothing" not in said
    assert "page: what has to be done is not established; no program can fetch it: https://page.example/" in said
    assert " unknown " in run("list", "--access", "unknown", "vague").out
    assert re.search(r"access +unknown", run("info", "vague").out)
    path = Path(run("get", "vague", "--json").last["path"])
    assert path.stat().st_mode & 0o077 == 0


def test_steps_that_wait_for_each_other_end(settings: Settings) -> None:
    first, second = step("first", after=("second",)), step("second", after=("first",))
    assert set(requirements.in_order([first, second])) == {first, second}


# -- as a person sees it -------------------------------------------------------------------------------------------


def test_each_step_once_in_order_with_what_it_opens(run: Run, shelf: Path) -> None:
    lines = run("access", "chest", "heart", "knee", "free", "--json").lines
    steps = [line for line in lines if line["event"] == "step"]
    assert [(each["number"], each["name"], each["opens"]) for each in steps] == [
        (1, "knee-form", ["knee"]),
        (2, "archive-account", ["chest", "heart"]),
        (3, "archive-credentialing", ["chest", "heart"]),
        (4, "archive-training", ["chest", "heart"]),
        (5, "archive-login", ["chest", "heart"]),
        (6, "chest-terms", ["chest"]),
        (7, "heart-terms", ["heart"]),
    ]
    states = {each["name"]: each["state"] for each in steps}
    assert states["archive-account"] == states["archive-training"] == states["knee-form"] == "unknown"
    assert states["archive-login"] == states["chest-terms"] == "missing"
    datasets = {line["dataset"]: line for line in lines if line["event"] == "dataset"}
    assert list(datasets) == ["chest", "heart", "knee", "free"]
    assert datasets["free"]["steps"] == datasets["free"]["to_take"] == []
    assert len(datasets["chest"]["to_take"]) == 5


def test_the_table_is_for_80_columns_and_breaks_no_address(run: Run, shelf: Path) -> None:
    out = run("access", "chest", "knee", "free").out
    assert [line for line in out.splitlines() if len(line) > 80] == [f"     {LONG}"]
    assert "  free: needs nothing\n" in out
    assert "no program can fetch it: https://knee.org" in out
    assert "must sign: your supervisor" in out
    assert out.count("https://archive.org/register\n") == 1


def test_tables_for_plans_and_spreadsheets(run: Run, shelf: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("access", "chest", "knee", "free", "--csv").out)))
    assert rows[0]["step"] == "knee-form"
    assert rows[0]["where"] == LONG
    assert rows[0]["who signs"] == "unknown"
    assert (rows[-1]["what to do"], rows[-1]["datasets"]) == ("needs nothing", "free")
    table = run("access", "chest", "knee", "free", "--markdown").out.splitlines()
    cells = [line.replace("\\|", "").count("|") for line in table if line.startswith("|")]
    assert len(cells) == 2 + 6 and set(cells) == {10}
    assert f"<{LONG}>" in table[2]
    assert table[-1] == "- free: needs nothing"


def test_all_recipes_and_what_is_no_question(run: Run, shelf: Path) -> None:
    named = {line["dataset"] for line in run("access", "--all", "--json").lines if line["event"] == "dataset"}
    assert {"chest", "heart", "knee", "free", "lidc-idri"} <= named
    assert "--all" in run("access", code=2).err
    assert "--all" in run("access", "--all", "free", code=2).err
    assert "one of them" in run("access", "free", "--csv", "--json", code=2).err
    assert "--offline" in run("access", "free", "--check", "--offline", code=2).err


def test_without_a_recipe_nothing_is_claimed(run: Run) -> None:
    ran = run("access", "tcia:NSCLC-Radiomics")
    assert "not known" in ran.out
    assert "  tcia:NSCLC-Radiomics: " in ran.out


def test_parts_that_want_more_are_pointed_at(run: Run, home: Path) -> None:
    terms = {"name": "rules", "kind": "terms", "do": "Agree.", "at": "https://rules.org/"}
    open_ways = http({"path": "a", "url": "https://archive.org/a"})
    ruled = [{**http({"path": "b", "url": "https://archive.org/b"})[0], "requires": [terms]}]
    write_recipe(home, "two", parts={"a": {"routes": open_ways}, "b": {"default": False, "routes": ruled}})
    said = "two: needs nothing; further steps for --part b"
    assert said in " ".join(run("access", "two").out.split())
    assert said in run("access", "two", "--csv").out + run("access", "two", "--markdown").out
    assert run("access", "two", "--json").last["further"] == ["b"]
    assert [each["name"] for each in run("plan", "two", "--part", "b", "--json", code=3).last["steps"]] == ["rules"]


def test_the_host_has_the_last_word(run: Run, home: Path) -> None:
    write_recipe(home, "gone", routes=[{"source": "physionet", "project": "no-such-project", "version": "1.0.0"}])
    assert "  gone: needs nothing\n" in run("access", "gone").out
    out = run("access", "gone", "--check").out
    assert "  gone: no step is known to be missing\n      the host says: no such dataset." in out
    assert run("access", "gone", "--check", "--json").last["host"]["says"] == "no such dataset"


def test_a_secret_that_is_here_is_seen_and_a_file_of_secrets_that_cannot_be_used_is_told(
    run: Run, shelf: Path, home: Path
) -> None:
    netrc = write_netrc(home, "archive.org")
    states = {line["name"]: line for line in run("access", "chest", "--json").lines if line["event"] == "step"}
    assert states["archive-login"]["state"] == states["archive-account"]["state"] == "present"
    assert states["archive-training"]["state"] == "unknown"
    netrc.chmod(0o644)
    out = " ".join(run("access", "chest").out.split())
    assert f"chmod 600 {netrc}" in out
    assert "unix" not in out.lower()


def test_what_is_wrong_on_this_machine_is_no_answer_of_a_host(run: Run, home: Path, box: Sandbox) -> None:
    box.physionet.publish("open", "1.0", {"a": b"x"})
    netrc = write_netrc(home, "physionet.org")
    netrc.chmod(0o644)
    ran = run("access", "physionet:closed/1.0", "physionet:open/1.0", "--check")
    assert ran.err.count(f"was not asked: {netrc} can be read by other users (run: chmod 600 {netrc})") == 2
    assert "the host says" not in ran.out
    assert f"hint: run: chmod 600 {netrc}" in run("get", "physionet:closed/1.0", code=2).err


# -- what a run makes of it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "plan"])
def test_a_run_names_every_missing_step_before_a_byte(
    run: Run, shelf: Path, box: Sandbox, cache: Path, verb: str
) -> None:
    ran = run(verb, "chest", "--json", code=3)
    names = ["archive-account", "archive-credentialing", "archive-training", "archive-login", "chest-terms"]
    assert [each["name"] for each in ran.last["steps"]] == names
    for address in ("register", "course", "apply", "help", "chest"):
        assert f"https://archive.org/{address}" in ran.err
    assert "medfetch agree chest" in ran.err
    assert box.stats.requests == 0
    assert not cache.exists()


def test_of_several_datasets_each_missing_step_is_named_once_before_anything_is_planned(
    run: Run, shelf: Path, box: Sandbox, cache: Path
) -> None:
    for verb in ("get", "plan"):
        ran = run(verb, "chest", "knee", "heart", "--json", code=3)
        names = [each["name"] for each in ran.last["steps"]]
        assert len(names) == len(set(names))
        assert {"archive-account", "archive-training", "chest-terms", "heart-terms", "knee-form"} <= set(names)
        opens = {each["name"]: each["opens"] for each in ran.last["steps"]}
        assert opens["archive-login"] == ["chest", "heart"] and opens["knee-form"] == ["knee"]
        assert ran.err.count("https://archive.org/register") == 1
        assert "medfetch access chest knee heart" in ran.err
    assert box.stats.requests == 0
    assert not cache.exists()


def test_with_keep_going_the_others_come_and_each_that_did_not_is_told(
    run: Run, shelf: Path, box: Sandbox, cache: Path
) -> None:
    box.put("https://archive.org/file", b"scan")
    ran = run("get", "chest", "free", "knee", "--keep-going", "--json", code=3)
    events = [(line["event"], line.get("dataset")) for line in ran.lines]
    assert ("receipt", "free") in events
    failed = [line for line in ran.lines if line["event"] == "failed"]
    assert [line["exit"] for line in failed] == [3, 3]
    assert [{name for step in line["steps"] for name in step["opens"]} for line in failed] == [{"chest"}, {"knee"}]
    assert {path.name for path in cache.iterdir() if not path.name.startswith(".")} == {"free", "CACHEDIR.TAG"}


def test_another_route_is_taken_only_when_its_own_steps_are(run: Run, box: Sandbox, home: Path) -> None:
    """The way that takes over from one that fails goes round no gate either."""
    box.put("https://mirror.org/file", b"scan")
    terms = {"name": "mirror-terms", "kind": "terms", "do": "Agree.", "at": "https://mirror.org/terms"}
    routes = [
        *http({"path": "file", "url": "https://archive.org/gone"}),
        {**http({"path": "file", "url": "https://mirror.org/file"})[0], "requires": [terms]},
    ]
    write_recipe(home, "two", routes=routes)
    for _ in range(2):
        run("get", "two", code=1)
        assert not [each for each in box.log if "mirror.org" in each.target]
    run("agree", "two", "--step", "mirror-terms", "--agreed-on", "2026-01-02", "--as", "Ada")
    ran = run("get", "two", "--json")
    assert [each.status for each in box.log if "mirror.org" in each.target] == [200]
    assert [each["step"] for each in ran.last["agreements"]] == ["mirror-terms"]


def test_what_is_declared_and_present_opens_the_way(run: Run, shelf: Path, box: Sandbox, home: Path) -> None:
    box.put("https://archive.org/file", b"scan")
    write_netrc(home, "archive.org")
    word = ("--agreed-on", "2026-01-02", "--as", "Ada")
    run(
        "agree",
        "heart",
        *word,
        "--step",
        "archive-training",
        "--step",
        "archive-credentialing",
        "--until",
        "2999-12-31",
    )
    (left,) = run("get", "chest", "--json", code=3).last["steps"]
    assert left["name"] == "chest-terms"
    run("agree", "heart", *word)
    run("get", "chest", code=3)  # terms are those of one dataset, whatever was agreed to elsewhere
    run("agree", "chest", *word)
    receipt = run("get", "chest", "--json").last
    assert {(each["step"], each["person"]) for each in receipt["agreements"]} == {
        ("archive-training", "Ada"), ("archive-credentialing", "Ada"), ("chest-terms", "Ada"),
    }  # fmt: skip


def test_a_step_of_many_datasets_that_each_has_for_itself(settings: Settings) -> None:
    join = step("join", "join")
    said = agreements.Agreement("one", "join", "join", "Ada", "2026-01-02", "")
    agreements.record([said], settings)
    seen = standing.overview([recipe("one", join), recipe("two", join)], settings)
    (merged,) = seen.steps
    assert (merged.state, merged.opens) == (State.UNKNOWN, ("one", "two"))
    assert "declared for one" in merged.said
    assert [each.to_take for each in seen.datasets] == [(), ("join",)]


# -- hosts that can be asked ---------------------------------------------------------------------------------------


class Gated:
    """A source whose host says what a test puts under a locator's id."""

    name: ClassVar[str] = "gated"
    traits: ClassVar[Traits] = Traits(endpoints={"http": ""}, offline=True)
    says: ClassVar[dict[str, Verdict | Exception]] = {}
    asked: ClassVar[list[str]] = []

    def locate(self, text: str) -> dict[str, Any]:
        return {"id": text}

    def resolve(self, locator: Mapping[str, Any], net: Net, selection: Selection) -> Iterator[Entry]:
        yield RemoteFile("file", "file", (f"{net.endpoint('http')}/archive.org/file",))

    def preflight(self, locator: Mapping[str, Any], net: Net) -> Verdict:
        self.asked.append(locator["id"])
        said = self.says[locator["id"]]
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> type[Gated]:
    monkeypatch.setitem(sources.BUILTIN, "gated", f"{__name__}:Gated")
    monkeypatch.setattr(Gated, "says", {})
    monkeypatch.setattr(Gated, "asked", [])
    settings.netrc.write_text("machine archive.org login me password secret\n")
    settings.netrc.chmod(0o600)
    return Gated


ACCOUNT = step("account")
LOGIN = step("login", "token", after=("account",), credential="netrc:archive.org")
TRAINING = step("training", "training", after=("account",))
RULES = step("rules", "join", after=("account",))


def at_door(door: Door) -> Verdict:
    return Verdict(door, f"It is {door}.", "https://archive.org/door")


@pytest.mark.parametrize(
    ("door", "login", "training", "rules"),
    [
        (Door.OPEN, State.MET, State.MET, State.MET),
        (Door.NO_LOGIN, State.MISSING, State.UNKNOWN, State.UNKNOWN),
        (Door.WRONG_LOGIN, State.MISSING, State.UNKNOWN, State.UNKNOWN),
        (Door.NOT_APPROVED, State.MET, State.MISSING, State.MISSING),
        (Door.PENDING, State.MET, State.MISSING, State.MISSING),
        (Door.RULES, State.MET, State.UNKNOWN, State.MISSING),
        (Door.AGENT, State.PRESENT, State.UNKNOWN, State.UNKNOWN),
        (Door.ABSENT, State.PRESENT, State.UNKNOWN, State.UNKNOWN),
        (Door.UNCLEAR, State.PRESENT, State.UNKNOWN, State.UNKNOWN),
        (Door.DOWN, State.PRESENT, State.UNKNOWN, State.UNKNOWN),
    ],
)
def test_each_answer_of_a_host_is_told_apart(
    settings: Settings, gated: type[Gated], door: Door, login: State, training: State, rules: State
) -> None:
    scans = recipe("scans", LOGIN, TRAINING, RULES, step("terms", "terms"))
    gated.says["scans"] = at_door(door)
    told = doors.ask_all([scans], settings, print)
    seen = standing.overview([scans], settings, told)
    states = {each.step.name: each.state for each in seen.steps}
    assert (states["login"], states["training"], states["rules"]) == (login, training, rules)
    assert states["terms"] == State.MISSING  # only a person agrees
    assert seen.datasets[0].verdict == at_door(door)


def test_what_one_dataset_shows_of_a_person_is_known_for_the_others(settings: Settings, gated: type[Gated]) -> None:
    both = [recipe(name, LOGIN, TRAINING, RULES) for name in ("one", "two")]
    gated.says.update(one=at_door(Door.OPEN), two=at_door(Door.NOT_APPROVED))
    seen = standing.overview(both, settings, doors.ask_all(both, settings, print))
    assert [each.to_take for each in seen.datasets] == [(), ("rules",)]


def test_hosts_are_asked_in_turn_and_one_that_is_down_ends_nothing(settings: Settings, gated: type[Gated]) -> None:
    names = ("one", "two", "three")
    gated.says.update(one=Unreachable("no answer"), two=Refused("418"), three=at_door(Door.OPEN))
    told = doors.ask_all([recipe(name, LOGIN) for name in names], settings, print)
    assert gated.asked == list(names)
    assert [told[name].door for name in names] == [Door.DOWN, Door.UNCLEAR, Door.OPEN]
    assert told["one"].said == "no answer"


def test_of_several_routes_one_that_is_open_is_enough(settings: Settings, gated: type[Gated]) -> None:
    routes = tuple(Route("gated", {"id": name}) for name in ("one", "two"))
    gated.says.update(one=at_door(Door.NOT_APPROVED), two=at_door(Door.OPEN))
    told = doors.ask([Part("all", routes)], settings, print)
    assert told and told.door == Door.OPEN
    gated.says["two"] = at_door(Door.DOWN)
    told = doors.ask([Part("all", routes)], settings, print)
    assert told and told.door == Door.NOT_APPROVED
    assert doors.ask([Part("all", (routes[0], Route("http", {"files": []})))], settings, print) is None


def test_a_host_that_opens_meets_what_nobody_declared(
    settings: Settings, gated: type[Gated], box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_to_all = recipe("scans", ACCOUNT, LOGIN, TRAINING)
    gated.says["scans"] = at_door(Door.OPEN)
    arguments = {"cache": settings.cache, "data": settings.data, "netrc": settings.netrc}
    made = medfetch.plan(open_to_all, **arguments)
    assert made.totals["entries"] == 1
    medfetch.plan(open_to_all, **arguments)
    assert gated.asked == ["scans"]  # what is planned is not asked for again


def test_a_part_of_which_no_host_tells_is_not_opened_by_the_host_of_another(
    settings: Settings, gated: type[Gated]
) -> None:
    applied = step("applied", "application")
    files = {"files": [{"path": "more", "url": "https://archive.org/more"}]}
    parts = (
        Part("images", (Route("gated", {"id": "scans"}),)),
        Part("more", (Route("http", files, requires=(applied,)),)),
    )
    gated.says["scans"] = at_door(Door.OPEN)
    both = Recipe("scans", "scans", "A test.", parts, Access(Level.CREDENTIALED, (TRAINING,)), digest="d", origin="o")
    arguments = {"cache": settings.cache, "data": settings.data, "netrc": settings.netrc}
    with pytest.raises(AccessRequired) as caught:
        medfetch.plan(both, **arguments)
    assert "applied" in [each["name"] for each in caught.value.steps]
    assert medfetch.plan(both, part="images", **arguments).totals["entries"] == 1


def test_what_a_host_says_of_terms(settings: Settings, gated: type[Gated]) -> None:
    """That they are not accepted there outdoes a person's word; that they are is no record here."""
    scans = recipe("scans", LOGIN, step("terms", "terms"))
    gated.says["scans"] = at_door(Door.OPEN)
    arguments = {"cache": settings.cache, "data": settings.data, "netrc": settings.netrc}
    with pytest.raises(AccessRequired) as caught:
        medfetch.plan(scans, **arguments)
    assert [each["name"] for each in caught.value.steps] == ["terms"]
    terms = standing.overview([scans], settings, doors.ask_all([scans], settings, print)).steps[-1]
    assert terms.state == State.MISSING and terms.said.startswith("the host lets you in, but it is not on record here")
    agreements.record([agreements.Agreement("scans", "terms", "terms", "Ada", "2026-01-02", "")], settings)
    assert medfetch.plan(scans, **arguments).totals["entries"] == 1
    for door in (Door.RULES, Door.NOT_APPROVED, Door.PENDING):
        gated.says["scans"] = at_door(door)
        terms = standing.overview([scans], settings, doors.ask_all([scans], settings, print)).steps[-1]
        assert (terms.state, terms.said) == (State.MISSING, f"Ada, 2026-01-02; but It is {door}.")
        with pytest.raises(AccessRequired) as caught:
            medfetch.plan(scans, refresh=True, **arguments)
        assert [each["name"] for each in caught.value.steps] == ["terms"]
        assert caught.value.hint is None  # nobody's word helps


@pytest.mark.parametrize(
    "door", [Door.WRONG_LOGIN, Door.NOT_APPROVED, Door.RULES, Door.PENDING, Door.AGENT, Door.UNCLEAR]
)
@pytest.mark.parametrize("steps", [(), (LOGIN, TRAINING, RULES)])
def test_a_host_that_does_not_open_stops_the_run(
    settings: Settings, gated: type[Gated], door: Door, steps: tuple[Requirement, ...]
) -> None:
    gated.says["scans"] = at_door(door)
    arguments = {"cache": settings.cache, "data": settings.data, "netrc": settings.netrc}
    with pytest.raises(AccessRequired, match=f"It is {door}") as caught:
        medfetch.plan(recipe("scans", *steps), **arguments)
    assert caught.value.steps
    if not steps:
        assert caught.value.steps[0]["at"] == "https://archive.org/door"
    assert not (settings.cache / "scans").exists()


def test_a_host_that_is_down_is_left_to_the_plan(settings: Settings, gated: type[Gated]) -> None:
    gated.says["scans"] = at_door(Door.DOWN)
    arguments = {"cache": settings.cache, "data": settings.data, "netrc": settings.netrc}
    assert medfetch.plan(recipe("scans", LOGIN), **arguments).totals["entries"] == 1


def test_from_python(settings: Settings, gated: type[Gated]) -> None:
    gated.says["scans"] = at_door(Door.OPEN)
    arguments = {"cache": settings.cache, "data": settings.data, "netrc": settings.netrc}
    seen = medfetch.access([recipe("scans", LOGIN), "lidc-idri"], check=True, **arguments)
    assert [(each.step.name, each.state) for each in seen.steps] == [("login", State.MET)]
    assert [each.dataset for each in seen.datasets] == ["scans", "lidc-idri"]
