"""The layers around the HTTP client: waits, retries, hosts' wishes, connections of all processes, the hosts' APIs."""

from __future__ import annotations

import datetime
import email.utils
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import responses
from clock import Clock
from servers import BLOCK, Asked, Server, Step, redirect, reply

from medfetch import hosts as hosts_module
from medfetch.config import Settings
from medfetch.errors import Refused, Retryable, Unreachable
from medfetch.hosts import Hosts, host_of
from medfetch.net import layers
from medfetch.net.http import Answer
from medfetch.net.layers import Paced, connections, refusal, retried, retry_after, shown, wished
from medfetch.net.stack import ApiNet
from medfetch.types import Traits

NOON = "Mon, 02 Jan 2023 12:00:00 GMT"


# -- what may be shown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "text"),
    [
        ("https://host/a/b.zip", "host", "https://host/a/b.zip"),
        ("https://HOST:8443/a?X-Amz-Signature=secret", "host:8443", "https://host:8443/a"),
        ("https://user:secret@host/a", "host", "https://host/a"),
        ("https://user:se%40cret@host:1/a@b?t=secret", "host:1", "https://host:1/a@b"),
        ("https://host?token=secret", "host", "https://host/"),
        ("http://[::1]:80/a", "[::1]:80", "http://[::1]:80/a"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, host: str, text: str) -> None:
    assert host_of(url) == host
    assert shown(url) == text


def test_a_hosts_words_are_shown_without_secrets_and_control_characters() -> None:
    text = 'No access\x1b[31m to\n "https://host/a?token=secret&x=1" for you, \x00really? Yes.' + "x" * 500
    error = refusal(403, {}, "https://user:password@host/a?token=secret", text)
    assert isinstance(error, Refused)
    assert error.status == 403
    assert error.message.startswith(
        "host answered 403 (no permission, or the link has expired) to https://host/a: "
        'No access[31m to "https://host/a?…" for you, really? Yes.xxx'
    )
    assert len(error.message) < 400


# -- waiting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 400, layers.LONGEST_RETRY_AFTER),
        ("Mon, 02 Jan 2023 12:00:30 GMT", 30.0),
        ("Mon, 02 Jan 2023 12:00:30 -0000", 30.0),
        ("Mon, 02 Jan 2023 13:00:30 +0100", 30.0),
        ("Monday, 02-Jan-23 12:00:30 GMT", 30.0),
        ("Mon, 02 Jan 2023 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", layers.LONGEST_RETRY_AFTER),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Mon, 02 Jan 99999999999 00:00:07 GMT", None),
        ("Mon, 99 Jan 2023 12:00:30 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value, "date": NOON}) == seconds


@pytest.mark.parametrize("date", [{}, {"date": "noon"}])
def test_retry_after_by_our_clock_where_the_host_tells_no_time(date: dict[str, str]) -> None:
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1000)
    seconds = retry_after({"retry-after": email.utils.format_datetime(then, usegmt=True), **date})
    assert seconds is not None
    assert 900 < seconds <= 1000


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "here"

    return attempt


def test_waits_grow_by_two_with_jitter_up_to_a_limit() -> None:
    clock = Clock()
    with pytest.raises(Retryable, match="no 9"):
        retried(failing(*(Retryable(f"no {n}") for n in range(20))), tries=10, backoff=1.0, stop=clock)
    floors = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(clock.waits) == len(floors)
    assert all(floor <= wait <= floor + 1 for floor, wait in zip(floors, clock.waits, strict=True))
    # Jitter: the fractions differ, or a thousand clients would come back together.
    assert len({wait % 1 for wait in clock.waits}) == len(floors)


def test_a_hosts_own_wish_goes_before() -> None:
    clock = Clock()
    said: list[str] = []
    attempt = failing(Retryable("busy", after=500.0), Retryable("busy", after=0.0))
    assert retried(attempt, tries=3, backoff=0.5, stop=clock, said=said.append) == "here"
    assert 500 <= clock.waits[0] <= 500.5
    assert 0 <= clock.waits[1] <= 0.5
    assert said == ["busy; again in 500 s", "busy"]


@pytest.mark.parametrize("error", [Refused("no"), ValueError("a bug"), InterruptedError()])
def test_only_what_may_pass_is_tried_again(error: Exception) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        retried(failing(error), tries=3, backoff=0, stop=clock)
    assert clock.waits == []


def test_a_stop_ends_the_wait() -> None:
    clock = Clock()
    clock.set()
    with pytest.raises(InterruptedError):
        retried(failing(Retryable("busy")), tries=3, backoff=0, stop=clock)


def bringing(length: list[int], *counts: int) -> Callable[[], str]:
    """Attempts that bring so many bytes and then fail."""
    left = list(counts)

    def attempt() -> str:
        if not left:
            return "here"
        length[0] += left.pop(0)
        raise Retryable("cut")

    return attempt


def test_progress_makes_up_for_failures() -> None:
    length = [0]
    attempt = bringing(length, *[0, layers.PROGRESS] * 10)
    assert retried(attempt, tries=2, backoff=0, stop=Clock(), progress=lambda: length[0]) == "here"
    attempt = bringing(length, 0, layers.PROGRESS - 1)
    with pytest.raises(Retryable):
        retried(attempt, tries=2, backoff=0, stop=Clock(), progress=lambda: length[0])


def test_there_is_an_end_even_with_progress() -> None:
    length, clock = [0], Clock()
    with pytest.raises(Retryable):
        retried(bringing(length, *[1 << 20] * 1000), tries=2, backoff=0, stop=clock, progress=lambda: length[0])
    assert len(clock.waits) == layers.ATTEMPTS - 1


# -- hosts, shared by processes -----------------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path, lambda: False)
    yield hosts
    hosts.close()


def test_a_pause_is_for_all_on_one_cache(hosts: Hosts, tmp_path: Path) -> None:
    stop = threading.Event()
    other = Hosts(tmp_path, stop.is_set)
    hosts.pause("https://user@host/a", 1000)
    assert 900 < other.pause_left("host") <= 1000
    assert other.pause_left("elsewhere") == 0
    with other.connection("https://elsewhere/b", 1):
        pass
    stop.set()
    with pytest.raises(InterruptedError), other.connection("https://host/b", 4):
        raise AssertionError("a connection in a pause")
    other.close()


def test_a_connection_comes_when_the_pause_is_over(hosts: Hosts) -> None:
    hosts.pause("https://host/a", 0.2)
    with hosts.connection("https://host/b", 1):
        assert hosts.pause_left("host") == 0


def test_a_shorter_wish_does_not_end_a_longer_pause(hosts: Hosts) -> None:
    hosts.pause("https://host/a", 1000)
    hosts.pause("https://host/b", 1)
    assert hosts.pause_left("host") > 900


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (200, {}, None),
        (200, {"retry-after": "9"}, None),
        (429, {"retry-after": "9"}, 9),
        # Zenodo, GitHub: the second since 1970, by the host's own clock where it tells it.
        (200, {"x-ratelimit-remaining": "1", "x-ratelimit-reset": "1672660830"}, None),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1672660830", "date": NOON}, 30),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1672660000", "date": NOON}, 0),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1772660830", "date": NOON}, 3600),
        (200, {"x-ratelimit-remaining": "0"}, None),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, None),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "45"}, 45),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "45", "retry-after": "9"}, 45),
        (429, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "5", "retry-after": "9"}, 9),
        # draft-ietf-httpapi-ratelimit-headers, in its later form, as Hugging Face sends it, and in its first ones.
        (200, {"ratelimit": '"resolvers";r=2999;t=120', "ratelimit-policy": '"fixed window";"resolvers";q=3000;w=300'},
         None),
        (429, {"ratelimit": '"resolvers";r=0;t=120', "ratelimit-policy": '"fixed window";"resolvers";q=3000;w=300'},
         120),
        (200, {"ratelimit": '"burst";r=10;t=1, "daily"; r=0; t=60'}, 60),
        (200, {"ratelimit": '"pages";r=0'}, None),
        (200, {"ratelimit": "limit=100, remaining=0, reset=50"}, 50),
        (200, {"ratelimit": "limit=100, remaining=10, reset=50"}, None),
    ],
)  # fmt: skip
def test_what_a_host_wishes(status: int, headers: dict[str, str], seconds: float | None) -> None:
    assert wished(status, headers) == seconds


class Answering:
    """A getter that always gives one answer."""

    def __init__(self, status: int, **headers: str) -> None:
        self.answer = Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, "", False)

    def get(self, *request: object, **terms: object) -> Answer:
        return self.answer

    def close(self) -> None:
        pass


def ask(hosts: Hosts, client: Answering) -> None:
    getter = Paced(lambda slot: client, hosts, Traits(connections=4))
    getter.get("https://host/a", {}, None, secret=None, patience=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "paused"), [(429, True), (503, True), (404, False), (200, False)])
def test_who_says_later_is_left_alone_by_all(hosts: Hosts, status: int, paused: bool) -> None:
    ask(hosts, Answering(status, retry_after="1000"))
    assert (hosts.pause_left("host") > 900) is paused


def test_who_has_nothing_left_is_left_alone_by_all(hosts: Hosts) -> None:
    ask(hosts, Answering(200, ratelimit='"resolvers";r=0;t=1000'))
    assert hosts.pause_left("host") > 900


def test_a_pause_ends_in_time_though_the_clock_is_set_back(
    hosts: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts.pause("https://host/a", 100)
    now = time.time()
    monkeypatch.setattr(hosts_module.time, "time", lambda: now - 3600)
    assert hosts.pause_left("host") <= 100
    other = Hosts(tmp_path, lambda: False)
    assert 90 < other.pause_left("host") <= 100
    other.close()


def test_a_host_that_is_down_is_not_tried_at_length(hosts: Hosts) -> None:
    assert not hosts.is_down("https://host/a")
    hosts.mark_down("https://user@HOST/a?b")
    assert hosts.is_down("https://host/b")
    assert not hosts.is_down("https://host:8443/b")


def test_no_more_connections_than_the_limit_within_a_process(hosts: Hosts) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(20):
            with hosts.connection("https://host/a", 3):
                with lock:
                    now[0] += 1
                    most[0] = max(most[0], now[0])
                time.sleep(0.001)
                with lock:
                    now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 3


HOLDING = """
import sys
from pathlib import Path
from contextlib import ExitStack
from medfetch.hosts import Hosts
hosts = Hosts(Path(sys.argv[1]), lambda: False)
with ExitStack() as stack:
    for _ in range(int(sys.argv[2])):
        stack.enter_context(hosts.connection("https://host/a", 3))
    print("held", flush=True)
    sys.stdin.readline()
hosts.close()
print("given back", flush=True)
sys.stdin.readline()
"""


def test_no_more_connections_than_the_limit_over_two_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path), "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        looks = iter([False, False, True])
        hosts = Hosts(tmp_path, lambda: next(looks, True))
        # The third one is free, a fourth there is not.
        third, fourth = hosts.connection("https://host/b", 3), hosts.connection("https://host/c", 3)
        with third, pytest.raises(InterruptedError), fourth:
            raise AssertionError("a fourth connection of three")
        hosts.close()
        other.stdin.write(b"\n")
        other.stdin.flush()
        assert other.stdout.readline() == b"given back\n"
        hosts = Hosts(tmp_path, lambda: False)
        with hosts.connection("https://host/b", 3), hosts.connection("https://host/c", 3):
            pass
        hosts.close()
        other.stdin.close()


def test_connections_of_a_killed_process_are_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(tmp_path), "3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.kill()
    hosts = Hosts(tmp_path, lambda: False)
    with hosts.connection("https://host/b", 3):
        pass
    hosts.close()


# -- the hosts' APIs ----------------------------------------------------------------------------------------------

URL = "https://api.example/list"


class Api:
    """An ApiNet, and what it waited for and said."""

    pause = 0.0

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(
            cache=folder, tries=3, backoff=0.01, user_agent="test/1", endpoints={"api": "http://mirror"}
        )
        self.clock = Clock()
        self.hosts = Hosts(folder, self.clock.is_set)
        self.said: list[str] = []

    @property
    def net(self) -> ApiNet:
        traits = Traits(endpoints={"api": "https://api.example", "b": "https://b.example"}, pause=self.pause)
        return ApiNet(self.settings, traits, self.hosts, self.clock, self.said.append)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    yield api
    api.hosts.close()


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as web:
        yield web


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_endpoints_can_be_replaced(api: Api) -> None:
    assert (api.net.endpoint("api"), api.net.replaced("api")) == ("http://mirror", True)
    assert (api.net.endpoint("b"), api.net.replaced("b")) == ("https://b.example", False)


def test_an_api_is_asked_with_our_name(api: Api, web: responses.RequestsMock) -> None:
    web.get(URL, json=[1, 2])
    assert api.net.get(URL, {"Collection": "A & B"}).json() == [1, 2]
    request = web.calls[0].request
    assert request.url == f"{URL}?Collection=A+%26+B"
    assert request.headers["User-Agent"] == "test/1"


def test_an_api_is_sent_a_form(api: Api, web: responses.RequestsMock) -> None:
    web.post(URL, body="ok")
    assert api.net.post(URL, data={"list": "1.2.3"}).text == "ok"
    assert web.calls[0].request.body == "list=1.2.3"


def test_an_api_that_fails_at_first_is_asked_again(api: Api, web: responses.RequestsMock) -> None:
    web.get(URL, status=503)
    web.get(URL, body=requests.exceptions.ChunkedEncodingError("cut"))
    web.get(URL, json=[])
    assert api.net.get(URL).json() == []
    assert len(web.calls) == 3
    assert api.said == ["api.example answered 503", "api.example: cut"]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_api_that_refuses_is_asked_once(api: Api, web: responses.RequestsMock, status: int) -> None:
    web.get(URL, status=status, body="who are you?")
    with pytest.raises(Refused) as caught:
        api.net.get(URL, {"token": "secret"})
    assert caught.value.status == status
    assert "who are you?" in caught.value.message
    assert "secret" not in caught.value.message
    assert len(web.calls) == 1


def test_an_api_that_stays_busy(api: Api, web: responses.RequestsMock) -> None:
    web.get(URL, status=500)
    with pytest.raises(Retryable) as caught:
        api.net.get(URL)
    assert caught.value.exit_code == 1
    assert len(web.calls) == 3


def test_an_apis_retry_after_pauses_its_host(api: Api, web: responses.RequestsMock) -> None:
    web.get(URL, status=429, headers={"Retry-After": "1000"})
    api.settings = replace(api.settings, tries=1)
    with pytest.raises(Retryable) as caught:
        api.net.get(URL)
    assert caught.value.after == 1000
    assert api.hosts.pause_left("api.example") > 900


@pytest.mark.parametrize(("pause", "after"), [(0.0, None), (70_000.0, 700.0)])
def test_a_429_that_does_not_say_for_how_long(
    api: Api, web: responses.RequestsMock, pause: float, after: float | None
) -> None:
    """The pause is for the usual backoff of a second; here it is a hundredth of that."""
    web.get(URL, status=429)
    api.pause, api.settings = pause, replace(api.settings, tries=1)
    with pytest.raises(Retryable) as caught:
        api.net.get(URL)
    assert caught.value.after == after
    assert (api.hosts.pause_left("api.example") > 600) is bool(pause)


def test_an_api_that_is_not_there_is_unreachable(api: Api) -> None:
    with Server(listening=False) as dead:
        url = dead.url("/list?token=secret")
        with pytest.raises(Unreachable) as caught:
            api.net.get(url)
        assert caught.value.exit_code == 6
        assert f"127.0.0.1:{dead.port} cannot be reached" in caught.value.message
        assert "secret" not in caught.value.message + " ".join(api.said)
        assert len(api.clock.waits) == 2
        assert api.hosts.is_down(url)
        with pytest.raises(Unreachable):
            api.net.get(url)
        assert len(api.clock.waits) == 2


def test_offline_asks_nobody(api: Api, server: Server) -> None:
    api.settings = replace(api.settings, offline=True)
    with pytest.raises(Unreachable) as caught:
        api.net.get(server.url("/list"))
    assert caught.value.hint == "leave out --offline"
    assert server.asked == []


def test_an_api_gets_no_password_unasked(api: Api, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = api.settings.cache / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script("/again", reply("200 OK", b"[]"))
    url = server.script("/list", redirect("/again"))
    # That requests would send it: else this test could not fail.
    assert requests.get(url, timeout=30).status_code == 200
    assert "authorization" in server.asked[0].headers
    api.net.get(url)
    assert [asked.path for asked in server.asked[2:]] == ["/list", "/again"]
    assert not any("authorization" in asked.headers for asked in server.asked[2:])


def test_an_api_says_where_it_leads_to_and_nobody_goes_there(api: Api, server: Server) -> None:
    url = server.script("/here/list", redirect("../there?signature=abc"))
    assert api.net.redirect(url) == server.url("/there?signature=abc")
    assert [asked.path for asked in server.asked] == ["/here/list"]
    alone = server.script("/alone", reply("200 OK", b"[]"))
    assert api.net.redirect(alone) == alone
    with pytest.raises(Refused, match="403"):
        api.net.redirect(server.script("/closed", reply("403 Forbidden")))


def test_a_peek_reads_a_page_and_nothing_of_a_file(api: Api, server: Server) -> None:
    large = 50_000_000
    named = {"Content-Disposition": 'attachment; filename="a.html"', "Content-Type": "text/html"}

    def endless(_: Asked) -> Iterator[Step]:
        told = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        yield f"HTTP/1.1 200 OK\r\n{told}Content-Length: {large}\r\n\r\n".encode()
        while True:
            yield b"x" * BLOCK

    server.script("/file", endless)
    peek = api.net.peek(server.script("/link", redirect("/file")))
    assert (peek.url, peek.page) == (server.url("/file"), None)
    assert peek.headers["content-length"] == str(large)
    assert server.of("/file")[0].headers["accept-encoding"] == "identity"
    server.die()
    assert server.sent("/file") < large
    with Server() as other:
        page = b"<title>Quota exceeded</title>"
        url = other.script("/page", reply("200 OK", page, "Content-Type: text/html; charset=utf-8"))
        assert api.net.peek(url).page == page.decode()
        with pytest.raises(Refused, match="gone for good"):
            api.net.peek(other.script("/gone", reply("404 Not Found", b"gone for good")))


def test_propfind_asks_for_a_folder_and_what_is_in_it(api: Api, web: responses.RequestsMock) -> None:
    web.add("PROPFIND", URL, b"<d:multistatus/>", status=207)
    assert api.net.propfind(URL, "<d:propfind/>", headers={"X-A": "b"}).content == b"<d:multistatus/>"
    asked = web.calls[0].request
    assert (asked.headers["Depth"], asked.headers["X-A"], asked.body) == ("1", "b", b"<d:propfind/>")


@pytest.mark.parametrize("location", ["file:///etc/passwd", "/list"], ids=["to file:", "a loop"])
def test_an_apis_bad_redirects_are_errors_of_ours(api: Api, server: Server, location: str) -> None:
    url = server.script("/list", redirect(location))
    with pytest.raises((Refused, Retryable)) as caught:
        api.net.get(url)
    assert f"127.0.0.1:{server.port}" in caught.value.message


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1,", b""], ids=["ssh", "cut", "empty"]
)
def test_an_api_that_speaks_no_http_is_asked_again(api: Api, server: Server, garbage: bytes) -> None:
    url = server.script("/list", lambda asked: [garbage], reply("200 OK", b"[]"))
    assert api.net.get(url).json() == []
    assert len(server.asked) == 2


def test_a_host_that_bears_fewer_connections_gets_fewer() -> None:
    traits = Traits(connections=8, host_connections={"zenodo.org": 2})
    assert connections(traits, "https://zenodo.org/records/1/files/a.zip") == 2
    assert connections(traits, "https://elsewhere.org/a.zip") == 8
