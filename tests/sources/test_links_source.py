"""The source ``links`` and ``--links``: what is read out of a mail, for how long it is good, what becomes of it."""

from __future__ import annotations

import base64
import json
import time
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest
from datasets import tree, write_recipe
from plain_net import NoNet
from running import Run
from servers import Server, cut, reply, serve

import medfetch
from medfetch import mail
from medfetch.errors import AccessRequired, RecipeError, Refused, UsageProblem
from medfetch.sources._signed import expiry
from medfetch.sources.links import Links
from medfetch.types import Link, Mailed, Selection

ASKED_AT = "https://data.example.org/form"
SECRET = "kT9%2FqWsx0pLm3Zr7Vb2Nc%3D"
OTHER = "hU4%2Bother8signature6Yd1"


def link(server: Server, name: str, *, until: float | None = None, secret: str = SECRET) -> str:
    end = int(time.time() + 3600 if until is None else until)
    return f"http://127.0.0.1:{server.port}/v2.0/{name}?AWSAccessKeyId=AK&Signature={secret}&Expires={end}"


# -- what is read out of a mail ------------------------------------------------------------------------------------


def names(text: str) -> dict[str, tuple[str, ...]]:
    return {each.link.url: each.names for each in mail.read(text)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('curl -C - "https://h.example/v2/a.tar.xz?S=1&E=2" --output a_v2.tar.xz', ("a.tar.xz", "a_v2.tar.xz")),
        ('curl -C - \\\n  "https://h.example/v2/a.tar.xz?S=1&E=2" \\\n  -o d/a_2.xz', ("a.tar.xz", "a_2.xz")),
        ("wget -O b.zip 'https://h.example/v2/a.tar.xz?S=1&E=2'", ("a.tar.xz", "b.zip")),
        ('curl -L -O "https://h.example/v2/a.tar.xz?S=1&E=2"', ("a.tar.xz",)),
        ("https://h.example/v2/a.tar.xz?S=1&E=2\r\n", ("a.tar.xz",)),
        ("Your file (<https://h.example/v2/a.tar.xz?S=1&E=2>).", ("a.tar.xz",)),
        ("It is at https://h.example/v2/a.tar.xz?S=1&E=2.", ("a.tar.xz",)),
        ('<a href="https://h.example/v2/a.tar.xz?S=1&amp;E=2">a</a>', ("a.tar.xz",)),
    ],
)  # fmt: skip
def test_links_are_found_in_commands_lines_and_prose(text: str, told: tuple[str, ...]) -> None:
    assert names(text) == {"https://h.example/v2/a.tar.xz?S=1&E=2": told}


def test_the_name_that_storage_is_asked_for_counts_too() -> None:
    address = "https://h.example/0815?response-content-disposition=attachment%3B%20filename%3D%22a%20b.zip%22&S=1"
    assert names(address) == {address: ("0815", "a b.zip")}


def test_links_that_outlook_has_wrapped() -> None:
    address = "https://h.example/a.tar.gz?Signature=a%2Bb&Expires=2000000000"
    wrapped = f"https://eur01.safelinks.protection.outlook.com/?url={quote(address, safe='')}&data=05%7C02&reserved=0"
    (found,) = mail.read(f'curl -C - "{wrapped}" --output a.tar.gz')
    assert (found.link.url, found.link.expires, found.names) == (address, 2000000000, ("a.tar.gz",))


def test_a_mail_that_was_saved_has_whole_links() -> None:
    address = f"https://h.example/a.zip?Signature={'x' * 100}&Expires=2000000000"
    message = EmailMessage()
    message.set_content(f"Dear all,\n{address}\n", cte="quoted-printable")
    message.add_alternative(f'<a href="{address.replace("&", "&amp;")}">a</a>', subtype="html", cte="base64")
    assert address not in message.as_string()
    assert list(names(message.as_string())) == [address]


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("Expires=2000000000&Signature=x", 2000000000),
        ("X-Amz-Date=20330518T033320Z&X-Amz-Expires=3600", 2000003600),
        ("X-Goog-Date=20330518T033320Z&X-Goog-Expires=60", 2000000060),
        ("se=2033-05-18T03%3A33%3A20Z&sig=x", 2000000000),
        ("X-Amz-Date=yesterday&X-Amz-Expires=60", None),
        ("X-Goog-Date=yesterday&X-Goog-Expires=60", None),
        ("X-Amz-Date=20330518T033320Z", None),
        ("Expires=soon", None),
        ("Policy=bm90aGluZw__", None),
        ("", None),
    ],
)
def test_until_when_a_link_is_good(query: str, seconds: float | None) -> None:
    assert expiry(f"https://h.example/a?{query}") == seconds


def test_until_when_a_link_of_cloudfront_with_a_policy_of_its_own_is_good() -> None:
    policy = {"Statement": [{"Resource": "*", "Condition": {"DateLessThan": {"AWS:EpochTime": 2000000000}}}]}
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    address = f"https://h.example/a?Policy={text.replace('+', '-').replace('=', '_').replace('/', '~')}&Signature=x"
    assert expiry(address) == 2000000000


# -- the source ----------------------------------------------------------------------------------------------------


def mailed(url: str, *names: str, expires: float | None = None) -> Mailed:
    return Mailed(Link(url, expires), names)


def test_a_file_has_a_name_that_outlives_its_links() -> None:
    net = NoNet(Links.traits)
    files = [{"path": "x/a.zip", "unpack": True, "size": 3}, {"path": "b.zip", "match": "*_b?.zip", "md5": "0" * 32}]
    first, second = Links().resolve({"asked_at": ASKED_AT, "files": files}, net, Selection())
    assert (first.urls, first.size) == ((f"{ASKED_AT}#a.zip",), 3)
    assert first.unpack and first.unpack.into == "x"
    net.links = (mailed("https://old", "a.zip", expires=time.time() + 100),
                 mailed("https://new", "a.zip", expires=time.time() + 200),
                 mailed("https://b", "v2_b3.zip"), mailed("https://c", "b.zip"))  # fmt: skip
    assert Links().link(first.urls[0], net).url == "https://new"
    assert Links().link(second.urls[0], net).url == "https://b"


def test_no_link_and_one_that_is_over_are_told_apart() -> None:
    net = NoNet(Links.traits)
    with pytest.raises(Refused, match=f"no link was given for a\\.zip; ask for one at {ASKED_AT}"):
        Links().link(f"{ASKED_AT}#a.zip", net)
    net.links = (mailed("https://secret", "a.zip", expires=time.time() - 1),)
    with pytest.raises(Refused, match=r"the link for a\.zip has expired") as raised:
        Links().link(f"{ASKED_AT}#a.zip", net)
    assert "secret" not in str(raised.value) + repr(net.links)


@pytest.mark.parametrize(
    "locator",
    [
        {"files": [{"path": "a"}]},
        {"asked_at": "form", "files": [{"path": "a"}]},
        {"asked_at": ASKED_AT, "files": []},
        {"asked_at": ASKED_AT, "files": [{"path": "a", "url": "https://h.example/a"}]},
        {"asked_at": ASKED_AT, "files": [{"path": "a"}, {"path": "a"}]},
        {"asked_at": ASKED_AT, "files": [{"path": "../a"}]},
    ],
)
def test_what_is_wrong_with_a_locator_is_told(locator: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        list(Links().resolve(locator, NoNet(Links.traits), Selection()))


def test_it_cannot_be_named_without_a_recipe() -> None:
    with pytest.raises(UsageProblem, match="recipe"):
        Links().locate("a.zip")


# -- the command line ----------------------------------------------------------------------------------------------

SMALL, LARGE = b"small" * 200, bytes(range(256)) * 12_000


@pytest.fixture
def recipe(home: Path) -> str:
    files = [{"path": "small.bin"}, {"path": "large.bin", "match": "large*.bin", "size": len(LARGE)}]
    route = {"source": "links", "asked_at": ASKED_AT, "files": files}
    return write_recipe(home, "mailed", parts={"all": {"routes": [route]}})


def test_without_links_one_is_told_where_to_ask(run: Run, recipe: str, cache: Path) -> None:
    for verb in ("get", "plan"):
        failed = run(verb, recipe, "--json", code=3).last
        assert [(step["kind"], step["state"], step["at"]) for step in failed["steps"]] == [
            ("link", "missing", ASKED_AT)
        ]
        assert "--links" in failed["steps"][0]["said"]
    assert not (cache / recipe).exists()
    assert "nobody's word" in run("agree", recipe, "--step", "mailed-links", code=2).err


def test_links_from_standard_input_or_a_file(run: Run, recipe: str, cache: Path, home: Path) -> None:
    with Server() as server:
        server.script("/v2.0/small.bin", serve(SMALL))
        server.script("/v2.0/large_v2.bin", serve(LARGE))
        text = f'curl "{link(server, "x")}" --output small.bin\n{link(server, "large_v2.bin")}\n'
        (home / "mail.txt").write_text(text.replace("/x?", "/small.bin?"))
        ran = run("get", recipe, "--links", "mail.txt", "--json")
        assert ran.lines[0] | {"until": ""} == {
            "event": "links", "dataset": recipe, "files": 2, "good": 2, "without_link": [], "expired": [], "until": "",
        }  # fmt: skip
        assert set(tree(cache / recipe / "current")) == {"small.bin", "large.bin"}
        asked = len(server.asked)
        # What is complete needs no links any more.
        assert run("get", recipe, "--json").last == ran.last
        assert len(server.asked) == asked
        run("rm", recipe, "--yes")
        piped = run("get", recipe, "--links", "-", wrap=("sh", "-c", 'exec "$@" < mail.txt', "sh"))
        assert "links for 2 of 2 files" in piped.err
        assert set(tree(cache / recipe / "current")) == {"small.bin", "large.bin"}


def test_it_says_what_has_no_link_and_what_is_for_no_file(run: Run, recipe: str, cache: Path, home: Path) -> None:
    with Server() as server:
        server.script("/v2.0/large.bin", serve(LARGE))
        (home / "mail").write_text(
            f"{link(server, 'small.bin', until=1000)}\n{link(server, 'large.bin')}\n{link(server, 'other.bin')}"
        )
        ran = run("get", recipe, "--links", "mail", code=1)
    assert "links that are for no file: 127.0.0.1/v2.0/other.bin\n" in ran.err
    assert "links for 1 of 2 files" in ran.err and "expired for small.bin" in ran.err
    assert ASKED_AT in ran.err
    assert {asked.path for asked in server.asked} == {"/v2.0/large.bin"}
    (home / "mail").write_text(link(server, "small.bin", until=1000))
    assert "expired for small.bin" in run("plan", recipe, "--links", "mail", code=3).err
    (home / "mail").write_text("no links today")
    assert "there is no link in mail" in run("get", recipe, "--links", "mail", code=2).err


def test_from_python(recipe: str, cache: Path, home: Path, tmp_path: Path) -> None:
    settings = {"recipes": [home], "cache": cache, "data": tmp_path / "data", "reserve": 0}
    with pytest.raises(AccessRequired):
        medfetch.get(recipe, progress=False, **settings)
    with Server() as server:
        server.script("/v2.0/small.bin", serve(SMALL))
        server.script("/v2.0/large.bin", serve(LARGE))
        text = f"{link(server, 'small.bin')}\n{link(server, 'large.bin')}\n"
        with pytest.raises(AccessRequired):  # they are over
            medfetch.get(recipe, links=link(server, "small.bin", until=1000), progress=False, **settings)
        assert medfetch.plan(recipe, links=text, **settings).totals["entries"] == 2
        (home / "mail").write_text(text)
        path = medfetch.get(recipe, links=home / "mail", progress=False, **settings)
    assert set(tree(path)) == {"small.bin", "large.bin"}
    for links, said in ((home / "none", "cannot be read"), ("no links today", "no link in")):
        with pytest.raises(UsageProblem, match=said):
            medfetch.get(recipe, links=links, progress=False, **settings)


def test_mailed_links_lead_nowhere_in_a_rehearsal(run: Run, recipe: str, home: Path) -> None:
    with Server() as server:
        (home / "mail").write_text(link(server, "small.bin"))
        assert "leave out --sandbox" in run("get", recipe, "--links", "mail", "--sandbox", code=2).err
        with pytest.raises(UsageProblem, match="their own hosts"):
            medfetch.plan(recipe, links=home / "mail", sandbox=True, recipes=[home], cache=home / "cache")
        assert server.asked == []


def test_tomorrows_links_go_on_from_what_todays_began_and_none_is_written_down(
    run: Run, recipe: str, cache: Path, home: Path
) -> None:
    with Server() as server:
        etag = '"one"'
        expired = reply("403 Forbidden", f"<Error><SignatureProvided>{SECRET}</SignatureProvided></Error>".encode())
        server.script("/v2.0/small.bin", serve(SMALL))
        server.script("/v2.0/large.bin", cut(serve(LARGE, etag=etag), 2_000_000), expired)
        (home / "mail").write_text(f"{link(server, 'small.bin')}\n{link(server, 'large.bin')}\n")
        first = run("get", recipe, "--links", "mail", "-vv", MEDFETCH_TRIES="2", code=1)
        here = _texts(cache) + first.out + first.err
        server.script("/v2.0/large.bin", serve(LARGE, etag=etag))
        (home / "mail").write_text(link(server, "large.bin", secret=OTHER))
        seen = len(server.asked)
        second = run("get", recipe, "--links", "mail", "--json", "-vv")
        later = server.asked[seen:]
    assert tree(cache / recipe / "current").keys() == {"small.bin", "large.bin"}
    assert {asked.path for asked in later} == {"/v2.0/large.bin"}
    assert OTHER in later[0].query and int(later[0].headers["range"].removeprefix("bytes=").rstrip("-")) >= 1_000_000
    here += _texts(cache) + second.out + second.err
    for secret in (SECRET, OTHER, "kT9/qWsx0pLm3Zr7Vb2Nc=", "kT9%2FqWsx0"):
        assert secret not in here


def _texts(folder: Path) -> str:
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".bin")
    return "".join(path.read_bytes().decode("latin-1") for path in files)
