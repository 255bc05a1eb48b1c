"""The catalogue's page in a real Chromium: found, selected, copied, compared, by mouse and by keyboard, seen and heard.

All tests share one browser, and so one of pytest's workers.
"""

from __future__ import annotations

import datetime
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright
from running import PATIENCE, Run
from test_page import serving

import medfetch
from medfetch import catalog, page, recipe_search, requirements, standing
from medfetch.cli.catalog import holdings_of
from medfetch.config import Settings
from medfetch.page import content

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]
RECIPES = catalog.search()
CHOSEN = ["mimic-cxr-jpg", "lidc-idri", "drive", "kits19"]
SELECTED = "&".join(f"id={name}" for name in CHOSEN)
VIEWS = [
    "#/?access=open&access=application",
    "#/mimic-cxr-jpg",
    "#/lidc-idri",
    f"#compare?{SELECTED}",
    f"#selection?{SELECTED}",
]
TOLD = """(names) => names.map((ids) => {
  const {steps} = overview(ids.map((id) => DATASETS.get(id)));
  return steps.map(({step, state, said, opens}) => ({name: STEPS[step].name, state, said, opens}));
})"""
"""What the page tells of the steps of some selections."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work as root.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE * 1000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    holds = holdings_of([catalog.load(name) for name in CHOSEN])
    return page.write(content.of(RECIPES, holds)[0], tmp_path_factory.mktemp("site"))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile; in the end nothing was complained of, and nothing asked for but the page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE * 1000)
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    context.on("request", lambda request: said.append(request.url) if elsewhere(request.url) else None)
    yield context
    context.close()
    assert said == []


def elsewhere(address: str) -> bool:
    return not re.match(r"file:///|data:|http://127\.0\.0\.1:\d+/[\w-]{43}/$", address)


@pytest.fixture
def shown(context: BrowserContext, file: Path) -> Page:
    shown = context.new_page()
    shown.goto(file.as_uri())
    return shown


def go(shown: Page, address: str) -> None:
    """Opens an address of the page as if it had come by mail."""
    file = shown.url.partition("#")[0]
    shown.goto("about:blank")
    shown.goto(file + address)


def names(shown: Page) -> list[str]:
    return shown.locator("#table tbody tr:visible").evaluate_all("(rows) => rows.map((row) => row.dataset.id)")


def found(shown: Page) -> Locator:
    return shown.locator("#found")


def facet(shown: Page, name: str, value: str) -> Locator:
    return shown.locator(f'#filters input[name="{name}"][value="{value}"]')


def test_what_is_found_is_what_list_finds(shown: Page) -> None:
    wishes: list[tuple[str, dict[str, Any]]] = [
        ("", {}),
        ("q=lung+nodules", {"text": "lung nodules"}),
        ("modality=CT&modality=PET&access=open&sort=size", {"modality": ["CT", "PET"], "access": ["open"]}),
        ("source=idc&task=segmentation&sort=subjects&reverse=yes", {"source": ["idc"], "task": ["segmentation"]}),
        ("licence=CC-BY-4.0&max-size=100G&sort=access", {"licence": ["CC-BY-4.0"], "max_size": 10**11}),
        ("anatomy=lymph+nodes&status=available&sort=modality", {"anatomy": ["lymph nodes"], "status": ["available"]}),
    ]
    for query, wish in wishes:
        shown.evaluate("(address) => { location.hash = address; }", f"#/?{query}")
        rows = catalog.search(**wish)
        by = re.search(r"sort=(\w+)", query)
        wanted = recipe_search.ordered(rows, by[1] if by else "name", reverse="reverse" in query)
        total = f"{len(rows)} of {len(RECIPES)} datasets" if wish else f"{len(RECIPES)} datasets"
        expect(found(shown)).to_have_text(total)
        assert names(shown) == [recipe.id for recipe in wanted], query


def test_an_address_or_a_doi_finds_its_dataset(shown: Page) -> None:
    recipe = catalog.load("lidc-idri")
    for text in ("https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX", *recipe.also):
        shown.fill("#text", text)
        expect(found(shown)).to_have_text(f"1 of {len(RECIPES)} datasets")
        assert names(shown) == ["lidc-idri"]


def test_filters_are_in_the_address_and_the_back_button_takes_them_back(shown: Page) -> None:
    facet(shown, "modality", "CT").check()
    expect(found(shown)).to_have_text(re.compile(r"^42 of "))
    facet(shown, "access", "open").check()
    expect(shown).to_have_url(re.compile(r"#/\?modality=CT&access=open$"))
    both = names(shown)
    assert both == [recipe.id for recipe in catalog.search(modality="CT", access="open")]
    # The numbers beside the boxes are what each would find beside the others.
    label = shown.locator("label.value", has=shown.locator('input[name="anatomy"][value="lung"]'))
    expect(label.locator(".count")).to_have_text(str(len(catalog.search(modality="CT", access="open", anatomy="lung"))))
    shown.go_back()
    expect(facet(shown, "access", "open")).not_to_be_checked()
    expect(found(shown)).to_have_text(re.compile(r"^42 of "))
    shown.go_forward()
    expect(facet(shown, "access", "open")).to_be_checked()
    shown.get_by_role("button", name="Remove CT").click()
    expect(shown).to_have_url(re.compile(r"#/\?access=open$"))
    expect(shown.locator("h1:visible")).to_be_focused()
    shown.fill("#text", "there is no such thing")
    expect(shown.locator("#nothing")).to_be_visible()
    shown.get_by_role("button", name="Remove all filters").click()
    expect(found(shown)).to_have_text(f"{len(RECIPES)} datasets")


def test_a_list_that_was_sent_is_found_again(shown: Page) -> None:
    go(shown, "#/?q=segment&modality=MR&access=open&sort=size&reverse=yes&max-size=100G")
    assert shown.input_value("#text") == "segment" and shown.input_value("#most") == "100G"
    expect(facet(shown, "modality", "MR")).to_be_checked()
    expect(shown.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "descending")
    assert names(shown)
    shown.get_by_role("columnheader", name="People").get_by_role("button").click()
    expect(shown).to_have_url(re.compile("sort=subjects&?(?!.*reverse)"))


def test_a_dataset_has_an_address_and_says_all_that_is_known(shown: Page) -> None:
    go(shown, "#/mimic-cxr-jpg")
    expect(shown.locator("h1:visible")).to_have_text("MIMIC-CXR-JPG")
    expect(shown).to_have_title("MIMIC-CXR-JPG – medfetch")
    text = shown.locator("main").inner_text()
    recipe = catalog.load("mimic-cxr-jpg")
    told = [*recipe.evidence, *(each for step in requirements.steps(recipe, recipe.parts) for each in step.evidence)]
    assert len(told) > len(recipe.evidence), "what is known of the accounts stands with the steps that recipes share"
    assert all(each["fact"] in text and each["source"] in text for each in told)
    assert all(told in text for told in recipe.unknown)
    assert re.search(r"People\s+unknown", text) and re.search(r"Licence\s+unknown", text)
    assert "one week (2025)" in text and "the reference, by answering" in text and "as of 2026-11-20" in text
    at = "https://physionet.org/sign-dua/mimic-cxr-jpg/2.1.0/"
    expect(shown.get_by_role("link", name=at).first).to_have_attribute("href", at)
    expect(shown.get_by_role("link", name=at).first).to_have_attribute("rel", "noopener noreferrer")
    go(shown, "#/no-such-dataset")
    expect(shown.locator("main")).to_contain_text("There is no dataset “no-such-dataset”")


def test_every_dataset_can_be_shown(shown: Page) -> None:
    title = "(dataset) => datasetView(dataset).querySelector('h1').textContent"
    assert shown.evaluate(f"() => CATALOGUE.datasets.map({title})") == [recipe.name for recipe in RECIPES]


def test_one_comes_back_to_where_one_was(shown: Page) -> None:
    shown.evaluate("() => { location.hash = '#/?modality=CT'; }")
    shown.get_by_role("link", name="LIDC-IDRI", exact=True).click()
    expect(shown.locator("h1:visible")).to_be_focused()
    assert shown.evaluate("scrollY") == 0
    shown.go_back()
    expect(shown.get_by_role("link", name="LIDC-IDRI", exact=True)).to_be_focused()
    expect(shown.get_by_role("link", name="LIDC-IDRI", exact=True)).to_be_in_viewport()
    expect(found(shown)).to_have_text(re.compile(r"^42 of "))


def test_of_a_selection_the_steps_and_the_commands_are_shown_and_copied(shown: Page) -> None:
    for name in CHOSEN:
        shown.locator(f'#table input[data-select="{name}"]').check()
    expect(shown.get_by_role("complementary", name="What is selected")).to_contain_text("4 selected")
    shown.get_by_role("link", name="Steps and commands").click()
    expect(shown.locator("h1:visible")).to_have_text("Selection")
    expect(shown).to_have_url(re.compile(re.escape(f"#selection?{SELECTED}") + "$"))
    steps = standing.overview([catalog.load(name) for name in CHOSEN], Settings(Path("/nonexistent"))).steps
    items = shown.locator("ol.steps > li")
    assert [re.sub(r"\s+", " ", each) for each in items.locator(".do").all_inner_texts()] == [
        re.sub(r"\s+", " ", each.step.do).strip() for each in steps
    ]
    expect(items.nth(1)).to_contain_text("one week (2025)")
    # What a person brings is not in the command that fetches.
    code = shown.locator("pre").all_inner_texts()
    get = "medfetch get mimic-cxr-jpg lidc-idri kits19"
    assert code == [f"medfetch access {' '.join(CHOSEN)}", get, "medfetch import drive FILE…"]
    shown.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.get_by_role("button", name="Copy the command that fetches").click()
    expect(shown.locator("#said")).to_have_text("Copied to the clipboard")
    assert shown.evaluate("navigator.clipboard.readText()") == get
    shown.get_by_role("button", name="Remove DRIVE").click()
    expect(shown.locator("h1:visible")).to_be_focused()
    expect(shown.locator("main")).not_to_contain_text("medfetch import drive")
    # It is kept for the tab, and its address holds it for others.
    shown.get_by_role("link", name="Datasets", exact=True).click()
    shown.reload()
    expect(shown.locator("#table input[data-select]:checked")).to_have_count(3)
    go(shown, "#selection?id=kits19&id=gone")
    expect(shown.locator("main")).to_contain_text("Not in this catalogue: gone.")
    assert shown.locator("pre").all_inner_texts() == ["medfetch access kits19", "medfetch get kits19"]


def test_where_the_clipboard_is_shut_the_command_is_selected(shown: Page) -> None:
    go(shown, "#/lidc-idri")
    shown.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('shut')); }")
    shown.get_by_role("button", name="Copy the command that has it").click()
    expect(shown.locator("#said")).to_contain_text("copy it with the keyboard")
    assert shown.evaluate("String(getSelection())") == "medfetch get lidc-idri"


def test_the_steps_of_any_selection_are_those_of_access(shown: Page) -> None:
    chance = random.Random(7)
    every = [recipe.id for recipe in RECIPES]
    selections = [chance.sample(every, chance.randint(1, 12)) for _ in range(60)] + [every]
    by_id = {recipe.id: recipe for recipe in RECIPES}
    for names, told in zip(selections, shown.evaluate(TOLD, selections), strict=True):
        steps = standing.overview([by_id[name] for name in names], Settings(Path("/nonexistent"))).steps
        assert [(each["name"], each["opens"]) for each in told] == [
            (each.step.name, list(each.opens)) for each in steps
        ]


def test_compared_they_stand_side_by_side(shown: Page) -> None:
    go(shown, "#compare?id=lidc-idri&id=nsclc-radiomics&id=mimic-cxr-jpg")
    heads = shown.get_by_role("columnheader").get_by_role("link").all_inner_texts()
    assert heads == ["LIDC-IDRI", catalog.load("nsclc-radiomics").name, "MIMIC-CXR-JPG"]
    row = shown.get_by_role("row", name="Size to download")
    assert row.get_by_role("cell").all_inner_texts()[::2] == ["133.1 GB", "unknown"]
    rows = shown.locator(".compared tbody tr:visible")
    all_rows = rows.count()
    go(shown, "#compare?id=lidc-idri&id=nsclc-radiomics")
    shown.get_by_label("Only what differs").check()
    assert 0 < rows.count() < all_rows
    assert all(len(set(each.get_by_role("cell").all_text_contents())) == 2 for each in rows.all())
    shown.get_by_role("button", name="Remove LIDC-IDRI").click()
    expect(shown.locator("main")).to_contain_text("Select two or more datasets")


def test_all_of_it_can_be_done_by_keyboard(shown: Page) -> None:
    keys, at = shown.keyboard, shown.locator("*:focus")
    keys.press("Tab")
    expect(at).to_have_text("Skip to the content")
    keys.press("Enter")
    expect(shown.locator("main")).to_be_focused()
    keys.press("Tab")
    expect(shown.get_by_role("searchbox", name="Search")).to_be_focused()
    keys.type("nodules outlined")
    expect(found(shown)).to_have_text(re.compile("^1 of"))
    keys.press("Tab")
    keys.press("Enter")  # a facet is shut, and opened again
    assert not shown.locator("details[data-facet=modality]").evaluate("(details) => details.open")
    keys.press("Enter")
    tab_until(shown, '#table input[data-select="lidc-idri"]')
    keys.press("Space")
    tab_until(shown, "#table a.name")
    keys.press("Enter")
    expect(shown.locator("h1:visible")).to_have_text("LIDC-IDRI")
    expect(shown.locator("h1:visible")).to_be_focused()
    tab_until(shown, "button.select")
    expect(at).to_have_attribute("aria-pressed", "true")
    tab_until(shown, "#bar a")
    keys.press("Enter")
    expect(shown.locator("h1:visible")).to_have_text("Selection")


def tab_until(shown: Page, selector: str) -> None:
    for _ in range(300):
        shown.keyboard.press("Tab")
        if shown.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} is never reached")


def test_nothing_holds_the_keyboard(shown: Page) -> None:
    for address in VIEWS[1:]:
        go(shown, address)
        kinds = ("a[href]", "button", "input", "select", "[tabindex='0']")
        focusable = shown.locator(", ".join(f"{kind}:visible" for kind in kinds))
        reached = set()
        for _ in range(focusable.count() + 1):
            shown.keyboard.press("Tab")
            reached.add(shown.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
        assert len(reached) >= focusable.count(), address


def test_what_there_is_is_shown_as_numbers_with_bars(shown: Page) -> None:
    go(shown, "#/lidc-idri")
    panel = shown.get_by_role("region", name="What there is").get_by_role("table", name="Series by modality")
    rows = panel.get_by_role("row").filter(has=shown.get_by_role("rowheader"))
    assert [row.inner_text().split() for row in rows.all()] == [["CT", "1,018"], ["DX", "237"], ["CR", "53"]]
    widths = [row.locator("rect").evaluate("(rect) => rect.getBoundingClientRect().width") for row in rows.all()]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 237 / 1018, 53 / 1018], abs=0.01)
    go(shown, "#/mimic-cxr-jpg")
    expect(shown.get_by_role("region", name="What there is")).to_contain_text("medfetch plan mimic-cxr-jpg --plot")
    go(shown, "#/drive")
    expect(shown.get_by_role("region", name="What there is")).to_contain_text("Neither files nor sizes are known here.")


def test_printed_it_is_the_text_alone_and_on_white(context: BrowserContext, shown: Page) -> None:
    shown.emulate_media(media="print", color_scheme="dark")
    go(shown, f"#selection?{SELECTED}")
    for gone in ("nav", ".theme", "#bar", "button.copy", ".picked button"):
        assert shown.locator(f"{gone}:visible").count() == 0, gone
    assert shown.locator("ol.steps > li:visible").count() == 7
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(22, 37, 44)"
    go(shown, "#/?q=lung")
    assert shown.locator("#filters:visible").count() == 0
    assert 0 < len(names(shown)) < len(RECIPES)


def test_colours_are_the_systems_or_as_chosen(shown: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = shown.evaluate(paper)
    shown.emulate_media(color_scheme="dark")
    expect(shown.locator("html")).to_have_attribute("data-theme", "dark")
    assert shown.evaluate(paper) != light
    shown.get_by_label("Colours").select_option("light")
    assert shown.evaluate(paper) == light
    shown.reload()
    assert shown.evaluate(paper) == light
    assert shown.get_by_label("Colours").input_value() == "light"


@pytest.mark.parametrize(
    ("width", "colours"), [pytest.param(1280, "light", marks=pytest.mark.long), (1280, "dark"), (360, "light")]
)
def test_it_is_accessible_by_the_rules_of_axe(
    context: BrowserContext, tmp_path: Path, width: int, colours: Any
) -> None:
    # Of few datasets, for axe looks at each element of the list, and they are all alike.
    some = [catalog.load(name) for name in (*CHOSEN, "uk-biobank", "bigbrain")]
    shown = context.new_page()
    shown.goto(page.write(content.of(some, holdings_of(some))[0], tmp_path).as_uri())
    shown.emulate_media(color_scheme=colours)
    shown.set_viewport_size({"width": width, "height": 800})
    for address in VIEWS:
        go(shown, address)
        assert serious(shown) == [], address
        assert shown.evaluate("document.documentElement.scrollWidth") <= width, address


def serious(shown: Page) -> list[str]:
    """What axe-core finds to be serious or critical in what is to be seen."""
    result = Axe().run(shown, context={"exclude": [["#list[hidden]"], ["tr[hidden]"]]})
    return [
        f"{each['id']}: {node['html']} {node.get('failureSummary')}"
        for each in result.response["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def test_what_a_recipe_says_never_becomes_markup(context: BrowserContext, tmp_path: Path) -> None:
    nasty = '"><img src=x onerror=alert(1)><script>alert(2)</script></script><!--{{data}}'
    address = "javascript:alert(3)"
    step = {
        "name": nasty,
        "kind": "terms",
        "do": f"{nasty} https://e.example.org/{nasty}",
        "at": address,
        "wait": nasty,
    }
    file = {"path": nasty, "url": address, "sha256": "0" * 64, "checksums_by": nasty}
    recipe = {
        "id": nasty, "name": nasty, "summary": nasty, "version": nasty, "homepage": address, "also": [address, nasty],
        "licence": {"id": nasty, "url": address}, "cite": [nasty, address], "modality": [nasty], "anatomy": [nasty],
        "tasks": [nasty], "status": {"is": nasty, "as_of": nasty},
        "access": {"level": "terms", "requires": [step], "terms": address, "note": nasty},
        "parts": {nasty: {"summary": nasty, "routes": [{"source": "http", nasty: nasty, "files": [file]}]}},
        "evidence": [{"fact": nasty, "source": nasty, "read": nasty}], "unknown": [nasty],
    }  # fmt: skip
    (tmp_path / "nasty.yaml").write_text(yaml.safe_dump(recipe))
    shown = context.new_page()
    shown.goto(page.write(content.of(catalog.search("onerror", extra=[tmp_path]))[0], tmp_path / "site").as_uri())
    query = shown.evaluate("(id) => encodeURIComponent(id)", nasty)
    for place in (f"#/?q={query}&modality={query}", f"#/{query}", f"#compare?id={query}", f"#selection?id={query}"):
        go(shown, place)
        expect(shown.locator("main")).to_contain_text(nasty if "compare" not in place else "Select two")
        assert shown.locator("img, main script").count() == 0
        addresses = shown.locator("a[href]").evaluate_all("(links) => links.map((link) => link.protocol)")
        assert set(addresses) <= {"file:", "https:"}
    assert (
        shown.evaluate("() => compareView([...DATASETS.values(), ...DATASETS.values()]).querySelectorAll('img').length")
        == 0
    )


def test_served_it_shows_what_is_here_and_the_steps_as_access_does(
    context: BrowserContext, run: Run, home: Path
) -> None:
    more = {"SYNAPSE_AUTH_TOKEN": "no-token-of-anybody", "MEDFETCH_DATA": str(home / "data")}
    run("get", "lidc-idri", "--select", "subject=LIDC-IDRI-0001", "--limit", "1")
    day = datetime.date(2026, 11, 2)
    medfetch.agree("mimic-cxr-jpg", person="Ada", date=day, data=home / "data")
    medfetch.agree("drive", person="Ada", date=day, steps=["drive-join"], data=home / "data")
    asked = [*CHOSEN, "egd-cxr", "brats"]
    lines = [line for line in run("access", *asked, "--json", **more).lines if line["event"] == "step"]
    steps = [{key: line[key] for key in ("name", "state", "said", "opens")} for line in lines]
    assert {each["state"] for each in steps} >= {"declared", "missing", "present"}
    shown = context.new_page()
    with serving(run, **more) as (_, served):
        shown.goto(served.address)
        assert shown.evaluate(TOLD, [asked]) == [steps]
        facet(shown, "here", "complete").check()
        expect(found(shown)).to_have_text(re.compile("^1 of"))
        assert names(shown) == ["lidc-idri"]
        shown.get_by_role("link", name="LIDC-IDRI", exact=True).click()
        here = shown.get_by_role("region", name="On this machine")
        expect(here).to_contain_text("subject=LIDC-IDRI-0001: nothing missing")
        shown.get_by_role("link", name="This machine").click()
        row = shown.get_by_role("row", name=re.compile("^synapse"))
        expect(row).to_contain_text("here, not tried")
        expect(row).to_contain_text("SYNAPSE_AUTH_TOKEN")
        assert "no-token-of-anybody" not in shown.content()
        assert serious(shown) == []
