"""Whether recipes are still true: each class of finding from what a host does, and what a report shows of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import http, write_recipe
from running import Run

from medfetch import sources
from medfetch.config import Settings
from medfetch.errors import AccessRequired, Refused, Unreachable
from medfetch.probe import judging, licences, probe, report
from medfetch.probe.addresses import of_size
from medfetch.probe.asking import Challenged, Watched, challenge
from medfetch.probe.findings import Exchange, Finding, Outcome
from medfetch.probe.routes import spread
from medfetch.sandbox import Fault, Sandbox
from medfetch.types import Access, Door, Level, Part, Recipe, Requirement, Route, Verdict

URL = "https://host.example/file.bin"
DATA = b"x" * 3000
LICENCE = {"id": "CC-BY-4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}


def made(*routes: Route, level: Level = Level.OPEN, **more: Any) -> Recipe:
    size = more.pop("part_size", None)
    parts = (Part("all", routes, size=size),) if routes else ()
    return Recipe("test", "Test", "A test.", parts, Access(level, more.pop("requires", ())), **more)


def file(**more: Any) -> Route:
    return Route("http", {"files": [{"path": "file.bin", "url": URL, **more}]})


@pytest.fixture
def ask(box: Sandbox, cache: Path) -> Any:
    """What is found of a recipe, asked in this process."""
    settings = Settings(
        cache, endpoints=box.endpoints, backoff=0.01, credentials_file=cache / "none", netrc=cache / "no"
    )

    def asked(recipe: Recipe, **options: Any) -> list[Finding]:
        settings_ = options.pop("settings", settings)
        return list(probe([recipe], settings_, lambda reason: None, **options))

    return asked


def only(found: list[Finding]) -> Finding:
    (finding,) = found
    return finding


# -- addresses -----------------------------------------------------------------------------------------------------


def test_a_file_that_is_as_the_recipe_says_is_ok_and_only_its_first_byte_is_asked(ask: Any, box: Sandbox) -> None:
    box.put(URL, DATA)
    finding = only(ask(made(file(size=len(DATA)))))
    assert (finding.outcome, finding.what) == (Outcome.OK, "part all, route (http)")
    (entry,) = box.log
    assert (entry.header("range"), entry.sent, entry.header("user-agent")) == (
        "bytes=0-0",
        1,
        Settings(Path()).user_agent,
    )


@pytest.mark.parametrize(
    ("faults", "outcome", "words"),
    [
        ([Fault(status=404, times=None)], Outcome.GONE, "answers 404"),
        ([Fault(status=410, times=None)], Outcome.GONE, "answers 410"),
        ([Fault(extra=5, times=None)], Outcome.CHANGED, "3,005 bytes now, not 3,000"),
        ([Fault(body="<html>hello", headers={"Content-Type": "text/html"})], Outcome.CHANGED, "web page in place"),
        ([Fault(body="<input type='password'>", headers={"Content-Type": "text/html"})], Outcome.GATED, "logging in"),
        ([Fault(status=401)], Outcome.GATED, "wants a log-in"),
        ([Fault(status=403, body="No.")], Outcome.GATED, "wants a log-in or a permission"),
        ([Fault(challenge=True)], Outcome.CHALLENGE, "Amazon's firewall"),
        ([Fault(status=202, body="")], Outcome.CHALLENGE, "202 without a body"),
        ([Fault(status=403, body="x", headers={"cf-mitigated": "challenge"})], Outcome.CHALLENGE, "Cloudflare"),
        ([Fault(status=503, times=None)], Outcome.UNREACHABLE, "answers 503"),
    ],
)  # fmt: skip
def test_what_a_host_answers_has_its_class(
    ask: Any, box: Sandbox, faults: list[Fault], outcome: Outcome, words: str
) -> None:
    box.put(URL, DATA)
    box.add(*faults)
    finding = only(ask(made(file(size=len(DATA)))))
    assert (finding.outcome, words in finding.said) == (outcome, True), finding.said
    assert finding.asked and finding.asked[-1].asked.endswith("/host.example/file.bin")


def test_a_file_that_has_moved_for_good_says_where(ask: Any, box: Sandbox) -> None:
    box.put("https://new.example/file.bin", DATA)
    box.add(Fault(match="host.example", moved=f"{box.endpoints['http']}/new.example/file.bin?key=s3cret", times=None))
    finding = only(ask(made(file(size=len(DATA)))))
    assert finding.outcome is Outcome.MOVED
    assert "moved for good to" in finding.said and "new.example/file.bin?…" in finding.said
    assert "s3cret" not in json.dumps(finding.as_dict())


def test_a_redirect_for_now_is_no_move_and_one_that_leads_nowhere_is_gone(ask: Any, box: Sandbox) -> None:
    box.put("https://new.example/file.bin", DATA)
    there = f"{box.endpoints['http']}/new.example/file.bin"
    box.add(Fault(match="host.example", redirect=there))
    assert only(ask(made(file()))).outcome is Outcome.OK
    box.add(Fault(match="host.example", moved=f"{there}.old"))
    assert only(ask(made(file()))).outcome is Outcome.GONE


def test_a_host_that_takes_long_is_slow(ask: Any, box: Sandbox) -> None:
    box.put(URL, DATA)
    box.add(Fault(stall=1.5))
    assert only(ask(made(file(size=len(DATA))), slow=1)).outcome is Outcome.SLOW


def test_a_host_that_hangs_up_is_unreachable_and_asked_no_more(ask: Any, box: Sandbox) -> None:
    box.add(Fault(refuse=True, times=None))
    recipe = made(file(), Route("http", {"files": [{"path": "b", "url": "https://host.example/b"}]}))
    first, second = ask(recipe)
    assert (first.outcome, second.outcome) == (Outcome.UNREACHABLE, Outcome.UNREACHABLE)
    assert "was not asked again" in second.said and box.stats.refused == 2


def test_a_host_that_wants_a_long_pause_is_left_alone(ask: Any, box: Sandbox) -> None:
    box.add(Fault(status=429, headers={"Retry-After": "3000"}, times=None))
    assert only(ask(made(file()))).outcome is Outcome.UNREACHABLE
    other = made(file(), Route("http", {"files": [{"path": "b", "url": "https://host.example/b"}]}))
    assert "left alone for" in ask(other)[1].said
    assert len(box.log) == 1


def test_a_host_is_asked_so_often_and_no_more(ask: Any, box: Sandbox) -> None:
    routes = [Route("http", {"files": [{"path": "f", "url": f"https://host.example/{n}"}]}) for n in range(4)]
    for number in range(4):
        box.put(f"https://host.example/{number}", DATA)
    found = ask(made(*routes), most=2)
    assert [each.outcome for each in found] == [Outcome.OK] * 2 + [Outcome.UNCHECKED] * 2
    assert "asked 2 times already" in found[-1].said and len(box.log) == 2


def test_of_many_addresses_some_are_asked_and_the_report_says_so(ask: Any, box: Sandbox) -> None:
    for number in range(50):
        box.put(f"https://host.example/{number}", DATA)
    locator = {"files": [{"path": "{n}.bin", "url": "https://host.example/{n}", "range": [0, 49]}]}
    finding = only(ask(made(Route("http", locator))))
    assert finding.outcome is Outcome.OK and "10 of its 50 addresses were asked" in finding.said
    assert {entry.target.rpartition("/")[2] for entry in box.log} >= {"0", "49"} and len(box.log) == 10


def test_digests_that_hosts_tell_are_compared(ask: Any, box: Sandbox) -> None:
    box.hub.publish("owner/name", {"large.bin": 9000})
    url = "https://huggingface.co/datasets/owner/name/resolve/main/large.bin"
    there = f"{box.endpoints['hf']}/datasets/owner/name/resolve/main/large.bin"
    box.add(Fault(match="/http/huggingface.co", redirect=there, times=None))
    route = Route("http", {"files": [{"path": "large.bin", "url": url, "sha256": "0" * 64}]})
    finding = only(ask(made(route)))
    assert finding.outcome is Outcome.CHANGED and "sha256" in finding.said


def test_pages_are_asked_each_once(ask: Any, box: Sandbox) -> None:
    box.put("https://home.example/page", b"<html>")
    step = Requirement("account", "account", "Sign up.", "https://home.example/gone")
    again = Requirement("again", "account", "Sign up.", "https://home.example/page")
    recipe = made(file(), homepage="https://home.example/page", level=Level.ACCOUNT, requires=(step, again))
    found = ask(recipe)
    assert [(each.what, each.outcome) for each in found] == [
        ("homepage", Outcome.OK), ("step account", Outcome.GONE), ("part all, route (http)", Outcome.GONE),
    ]  # fmt: skip


def test_what_only_a_person_can_have_is_asked_for_its_page(ask: Any, box: Sandbox) -> None:
    route = Route("manual", {"at": "https://host.example/apply"})
    assert ask(made(route))[-1].outcome is Outcome.GONE
    box.put("https://host.example/apply", b"<html>")
    assert ask(made(route))[-1].outcome is Outcome.UNCHECKED


def test_a_source_that_is_not_there_and_one_that_costs_are_not_asked(ask: Any, box: Sandbox) -> None:
    found = ask(made(Route("nowhere", {}), Route("s3", {"bucket": "bucket", "requester_pays": True})))
    routes = [each.outcome for each in found if each.what.startswith("part")]
    assert routes == [Outcome.UNCHECKED] * 2
    assert not [entry for entry in box.log if "/s3/" in entry.target]


# -- what hosts list -----------------------------------------------------------------------------------------------


def test_a_list_is_compared_with_the_size_that_the_recipe_tells(ask: Any, box: Sandbox) -> None:
    for name in ("a", "b", "c"):
        box.put(f"s3://bucket/folder/{name}", DATA)
    route = Route("s3", {"bucket": "bucket", "prefix": "folder/"})
    fine = only(ask(made(route, part_size=9000)))
    assert fine.outcome is Outcome.OK and "3 files, 9,000 bytes" in fine.said
    other = only(ask(made(route, part_size=12_345)))
    assert other.outcome is Outcome.CHANGED and "the recipe says 12,345" in other.said
    assert max(entry.sent for entry in box.log if entry.header("range")) == 1


def test_a_list_is_compared_with_the_digests_of_another_route(ask: Any, box: Sandbox) -> None:
    box.put("s3://bucket/file.bin", DATA)
    box.put(URL, DATA)
    right = hashlib.md5(DATA).hexdigest()
    for md5, outcome in ((right, Outcome.OK), ("0" * 32, Outcome.CHANGED)):
        recipe = made(Route("s3", {"bucket": "bucket"}), file(md5=md5, size=3000))
        assert ask(recipe)[0].outcome is outcome


@pytest.mark.parametrize(
    ("licence", "outcome"),
    [(LICENCE, Outcome.OK), ({"id": "CC-BY-NC-4.0"}, Outcome.CHANGED), ({"id": "Own terms"}, Outcome.UNCHECKED),
     (None, Outcome.CHANGED)],
)  # fmt: skip
def test_the_licence_is_the_one_that_the_host_tells(
    ask: Any, box: Sandbox, licence: dict[str, str] | None, outcome: Outcome
) -> None:
    box.zenodo.publish(7, {"scan.nii": DATA})
    finding = only(ask(made(Route("zenodo", {"record": 7}), licence=licence)))
    assert finding.outcome is outcome, finding.said


def test_a_newer_version_is_told(ask: Any, box: Sandbox) -> None:
    box.figshare.publish(5, {"scan.nii": DATA})
    recipe = made(Route("figshare", {"article": 5, "version": 1}), licence=LICENCE)
    assert only(ask(recipe)).outcome is Outcome.OK
    box.figshare.publish(5, {"scan.nii": DATA})
    finding = only(ask(recipe))
    assert finding.outcome is Outcome.CHANGED and "there is a newer version, 2; the route has 1" in finding.said


def test_a_gate_is_ok_where_the_recipe_tells_of_it_and_a_finding_where_it_does_not(ask: Any, box: Sandbox) -> None:
    box.physionet.publish("closed", "1.0", {"a": 10}, policy="credentialed")
    route = Route("physionet", {"project": "closed", "version": "1.0"})
    odc = {"id": "ODC-By-1.0"}
    assert only(ask(made(route, licence=odc))).outcome is Outcome.GATED
    told = only(ask(made(route, level=Level.CREDENTIALED, licence=odc)))
    assert told.outcome is Outcome.OK and "gated, as the recipe says" in told.said


def test_series_are_counted_and_no_archive_is_made_for_nothing(ask: Any, box: Sandbox) -> None:
    locator = {"collection": "LIDC-IDRI", "patient": "LIDC-IDRI-0001"}
    finding = only(ask(made(Route("tcia", locator), licence={"id": "CC-BY-3.0"})))
    assert finding.outcome is Outcome.OK and "groups" in finding.said
    assert not [entry for entry in box.log if "getImage" in entry.target]


def test_a_dataset_that_its_host_does_not_know_is_gone(ask: Any, box: Sandbox) -> None:
    found = ask(made(Route("zenodo", {"record": 1}), Route("kaggle", {"dataset": "no/body"})))
    assert [each.outcome for each in found] == [Outcome.GONE] * 2


# -- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("cc-by-4.0", "cc-by-4.0"), ("CC BY 4.0", "cc-by-4.0"), ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("Attribution 4.0 International (CC BY 4.0)", "cc-by-4.0"),
        ("https://creativecommons.org/licenses/by-nc-sa/3.0/", "cc-by-nc-sa-3.0"),
        ("Creative Commons Attribution-NonCommercial 3.0 Unported License", "cc-by-nc-3.0"),
        ("Creative Commons Attribution 4.0 International License", "cc-by-4.0"),
        ("CC0-1.0", "cc0-1.0"), ("CC0: Public Domain", "cc0-1.0"), ("CC0", "cc0-1.0"), ("CC BY", "cc-by"),
        ("http://creativecommons.org/publicdomain/zero/1.0", "cc0-1.0"), ("Own terms", None), ("Unknown", None),
        ("Open Data Commons Attribution License v1.0", "odc-by-1.0"), ("ODC-By-1.0", "odc-by-1.0"), ("MIT", "mit"),
        ("PDDL", "pddl-1.0"), ("Apache License 2.0", "apache-2.0"), ("Data files © Original Authors", None),
    ],
)  # fmt: skip
def test_a_licence_is_recognized_however_it_is_written(text: str, licence: str | None) -> None:
    assert licences.known(text) == licence


def test_licences_are_the_same_differ_or_cannot_be_compared() -> None:
    assert licences.same("CC BY 4.0", "CC-BY-4.0") is True
    assert licences.same("CC BY 4.0", "CC-BY-3.0") is False
    assert licences.same("CC BY-NC 4.0", "CC-BY-4.0") is False
    assert licences.same("CC BY", "CC-BY-4.0") is None
    assert licences.same("Own terms", "CC-BY-4.0") is None
    assert licences.same("Own terms", "own terms") is True


@pytest.mark.parametrize(
    ("known", "now", "same"),
    [(12_500_000_000, 12_547_000_000, True), (12_500_000_000, 12_700_000_000, False), (104_857_600, 104_857_601, False),
     (2_000_000_000, 2_900_000_000, True), (None, 5, True), (5, None, True)],
)  # fmt: skip
def test_a_size_is_as_precise_as_it_is_written(known: int | None, now: int | None, same: bool) -> None:
    assert (of_size("it", known, now) == []) is same


def test_checks_for_robots_are_told_from_good_pages() -> None:
    html = {"content-type": "text/html"}
    assert challenge(200, html, b"<title>Just a moment...</title>")
    assert challenge(403, html, b"<script src=captcha.js>")
    assert challenge(200, html, b"<script src=recaptcha/api.js>") is None
    assert challenge(200, {"content-type": "text/plain"}, b"Just a moment...") is None


@pytest.mark.parametrize(
    ("error", "open_", "gated"),
    [
        (Refused("no", status=401), Outcome.GATED, Outcome.OK), (Refused("no", status=410), Outcome.GONE, Outcome.GONE),
        (AccessRequired("x", steps=[{"do": "Ask."}]), Outcome.GATED, Outcome.OK),
        (Unreachable("no"), Outcome.UNREACHABLE, Outcome.UNREACHABLE),
        (Challenged("robot"), Outcome.CHALLENGE, Outcome.CHALLENGE),
        (Refused("no", status=403), Outcome.GATED, Outcome.OK),
    ],
)  # fmt: skip
def test_errors_have_classes(error: Any, open_: Outcome, gated: Outcome) -> None:
    assert judging.of_error(error, gated=False)[0] is open_
    assert judging.of_error(error, gated=True)[0] is gated


def test_every_answer_at_a_door_has_a_class() -> None:
    classes = {door: judging.of_door(Verdict(door, "said"), gated=False)[0] for door in Door}
    assert {door for door, outcome in classes.items() if outcome is Outcome.OK} == {Door.OPEN}
    assert classes[Door.WRONG_LOGIN] is Outcome.UNCHECKED and classes[Door.ABSENT] is Outcome.GONE


def test_sources_find_all_that_a_net_has() -> None:
    wanted = {name for name in vars(sources.Net) if not name.startswith("_")}
    assert wanted <= set(dir(Watched))


def test_a_sample_holds_both_ends() -> None:
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread([1, 2], 10) == [1, 2]


# -- reports -------------------------------------------------------------------------------------------------------


def finding(outcome: Outcome, said: str = "said", dataset: str = "data") -> Finding:
    exchange = Exchange("GET https://host/a|b", "404 <script>@somebody #1", 0.2)
    return Finding(dataset, "homepage", outcome, said, (exchange,), "2026-11-29T00:00:00+00:00")


def test_markdown_has_the_worst_first_and_what_hosts_say_stays_text() -> None:
    page = report.markdown([finding(Outcome.OK), finding(Outcome.MOVED), finding(Outcome.GONE)], "medfetch 1")
    assert page.index("## gone (1)") < page.index("## moved (1)") < page.index("## ok (1)")
    assert "<script>" not in page and "@somebody" not in page and " #1" not in page and "a|b" not in page
    assert "2026-11-29" in page and "medfetch 1" in page


def test_markdown_fits_into_an_issue_and_counts_what_is_left_out() -> None:
    page = report.markdown([finding(Outcome.GONE, "x" * 200) for _ in range(500)], "medfetch 1")
    assert len(page) < 65_536 and "more lines" in page


def test_the_command_reports_for_people_scripts_and_issues(run: Run, home: Path, box: Sandbox) -> None:
    box.put(URL, DATA)
    files = http({"path": "file.bin", "url": URL, "size": len(DATA)}, {"path": "b", "url": "https://host.example/b"})
    write_recipe(home, "first", routes=files)
    write_recipe(home, "second", routes=files[:1] and http({"path": "file.bin", "url": URL}))
    ran = run("recipe", "probe", "first", "second", code=1)
    assert "gone (1)" in ran.out and "2 datasets: 1 gone, 1 ok" in ran.out
    assert run("recipe", "probe", "second", "--json").last == {"event": "summary", "ok": True, "counts": {"ok": 1}}
    lines = run("recipe", "probe", "first", "--json", code=1).lines
    assert [line.get("class") for line in lines] == ["gone", None] and lines[0]["exchanges"]
    assert run("recipe", "probe", "first", "--markdown", "-", code=1).out.startswith("# Are the recipes still true?")
    run("recipe", "probe", "second", "--markdown", "report.md")
    assert "## ok (1)" in (home / "report.md").read_text()


def test_the_command_wants_names_or_all_and_one_format(run: Run, home: Path) -> None:
    assert "either names or --all" in run("recipe", "probe", code=2).err
    assert "two formats" in run("recipe", "probe", "lidc-idri", "--json", "--markdown", "-", code=2).err
    assert "asks the hosts" in run("recipe", "probe", "lidc-idri", "--offline", code=2).err


def test_no_secret_is_in_a_report(run: Run, home: Path, box: Sandbox) -> None:
    login = home / ".netrc"
    login.write_text("machine host.example login me password correct-horse-battery\n")
    login.chmod(0o600)
    box.add(Fault(status=403, body="you sent correct-horse-battery", times=None))
    write_recipe(home, "secret", routes=http({"path": "f", "url": URL + "?token=abcdef123456", "auth": "basic"}))
    ran = run("recipe", "probe", "secret", "--json", code=None)
    assert "correct-horse" not in ran.out + ran.err and "abcdef123456" not in ran.out + ran.err


def test_a_rehearsal_says_of_nothing_that_it_is_gone(run: Run) -> None:
    counts = run("recipe", "probe", "lidc-idri", "acdc", "--sandbox", "--json").last["counts"]
    assert set(counts) == {"ok", "not checkable"}


# -- the weekly job ------------------------------------------------------------------------------------------------

WORKFLOW = Path(__file__).parents[1] / ".github" / "workflows" / "probe.yml"


def test_the_weekly_job_calls_what_there_is_and_may_do_no_more_than_it_must() -> None:
    from medfetch.cli.recipe import command

    job = yaml.safe_load(WORKFLOW.read_text())
    assert set(job[True]) == {"schedule", "workflow_dispatch"}  # YAML reads `on` as true
    assert job["permissions"] == {}
    (steps,) = [each["steps"] for each in job["jobs"].values()]
    (permissions,) = [each["permissions"] for each in job["jobs"].values()]
    assert permissions == {"contents": "read", "issues": "write"}
    assert all(len(step["uses"].partition("@")[2]) == 40 for step in steps if "uses" in step)
    script = "\n".join(step.get("run", "") for step in steps)
    options = {option for parameter in command.commands["probe"].params for option in parameter.opts}  # type: ignore[attr-defined]
    (line,) = [line for line in script.splitlines() if "medfetch recipe probe" in line]
    used = {word for word in line.split() if word.startswith("--")}
    assert used and used <= options
    assert all(f"gh issue {verb}" in script for verb in ("list", "create", "edit"))
    # What hosts and recipes say is never part of a script.
    assert "${{" not in script
