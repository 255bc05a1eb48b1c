"""What a host sees of many processes on one cache: never more connections than it bears, and silence when it asks."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from medfetch import hosts as hosts_module
from medfetch import leases
from medfetch.config import Settings
from medfetch.hosts import Hosts
from medfetch.net.stack import ApiNet, bytes_getter
from medfetch.types import Request, Traits

LIMIT = 16
SERVED_IN = 0.005


@dataclass
class Strict:
    """A host that counts its open connections, and sends away whoever comes when there are ``limit``.

    One thread that hears of ends before beginnings, as the kernel tells of them: so its count is exact.
    """

    limit: int
    open: set[socket.socket] = field(default_factory=set)
    most: int = 0
    asked: list[float] = field(default_factory=list)
    """When requests came."""
    later_at: int | None = None
    """The number of the request that is told to come again in 2 seconds."""
    told_later: float | None = None
    _due: deque[tuple[float, socket.socket, bytes]] = field(default_factory=deque)

    def __enter__(self) -> Strict:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ending = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join()
        for each in (*self.open, self._listener, self._selector):
            each.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/file"

    def _run(self) -> None:
        while not self._ending:
            ready = [key.fileobj for key, _ in self._selector.select(SERVED_IN)]
            for each in ready:
                if isinstance(each, socket.socket) and each is not self._listener:
                    self._read(each)
            if self._listener in ready:
                self._accept()
            while self._due and self._due[0][0] <= time.monotonic():
                _, connection, answer = self._due.popleft()
                if connection in self.open:
                    connection.send(answer)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        self.open.add(connection)
        self.most = max(self.most, len(self.open))
        self._selector.register(connection, selectors.EVENT_READ)
        if len(self.open) > self.limit:
            connection.send(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nConnection: close\r\n\r\n")
            self._end(connection)

    def _end(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self.open.discard(connection)
        connection.close()

    def _read(self, connection: socket.socket) -> None:
        try:
            request = connection.recv(65536)
        except OSError:
            request = b""
        if not request:
            return self._end(connection)
        assert request.endswith(b"\r\n\r\n")
        self.asked.append(time.monotonic())
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata"
        if len(self.asked) == self.later_at:
            self.told_later = time.monotonic()
            answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"
        self._due.append((time.monotonic() + SERVED_IN, connection, answer))
        return None


@pytest.fixture
def strict() -> Iterator[Strict]:
    with Strict(LIMIT) as strict:
        yield strict


ASKING = """
import sys, threading
from pathlib import Path
from medfetch.config import Settings
from medfetch.hosts import Hosts
from medfetch.net.layers import refusal, retried
from medfetch.net.stack import ApiNet, bytes_getter
from medfetch.types import Request, Traits

folder, url = Path(sys.argv[1]), sys.argv[2]
limit, threads, requests = map(int, sys.argv[3:])
stop, counting, done = threading.Event(), threading.Lock(), 0
settings = Settings(cache=folder, backoff=0.01, tries=50)
hosts = Hosts(folder, stop.is_set)
getter = bytes_getter(settings, Traits(connections=limit), hosts, stop)
api = ApiNet(settings, Traits(connections=limit), hosts, stop)

class Nothing:
    def begin(self, answer): pass
    def data(self, blocks): pass

def once():
    answer = getter.get(Request(url), Nothing())
    if answer.status != 200:
        raise refusal(answer.status, answer.headers, url)

def work(number):
    global done
    for turn in range(requests):
        # Every tenth time over the hosts' interfaces: another client on the same connections.
        if (number + turn) % 10:
            retried(once, tries=50, backoff=0.01, stop=stop)
        else:
            api.get(url)
        with counting:
            done += 1

print("ready", flush=True)
sys.stdin.readline()
all = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
for each in all:
    each.start()
for each in all:
    each.join()
hosts.close()
print(done, flush=True)
"""


class Asking:
    """Processes that ask a host for something, all at once."""

    def __init__(self, folder: Path, url: str, processes: int, *, limit: int, threads: int, requests: int) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        command = [sys.executable, "-c", ASKING, *map(str, (folder, url, limit, threads, requests))]
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(processes)
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def start(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def end(self) -> list[tuple[int, str]]:
        """Exit code and last words of each."""
        words = [process.communicate(timeout=60)[0].strip() for process in self.processes]
        return [(process.returncode, word) for process, word in zip(self.processes, words, strict=True)]


def until(met: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline, f"{what}: not within a minute"
        time.sleep(0.01)


def test_sixteen_processes_never_have_a_seventeenth_connection(tmp_path: Path, strict: Strict) -> None:
    with Asking(tmp_path, strict.url, 16, limit=LIMIT, threads=8, requests=20) as asking:
        asking.start()
        until(lambda: len(strict.asked) > 100, "requests")
        for process in asking.processes[:3]:
            process.send_signal(signal.SIGKILL)
        ended = asking.end()
    assert [code for code, _ in ended[:3]] == [-signal.SIGKILL] * 3
    assert ended[3:] == [(0, "160")] * 13
    assert strict.most == LIMIT  # less would show that slots of the killed were lost, or none wanted them
    print(f"{len(strict.asked)} requests")
    until(lambda: not strict.open, "all connections end")


@pytest.mark.parametrize("limit", [1, 3])
def test_where_there_are_more_processes_than_connections_all_get_their_turn(tmp_path: Path, limit: int) -> None:
    with Strict(limit) as strict:
        with Asking(tmp_path, strict.url, 4, limit=limit, threads=2, requests=10) as asking:
            asking.start()
            assert asking.end() == [(0, "20")] * 4
        assert strict.most == limit


def test_when_a_host_says_later_no_process_asks_it(tmp_path: Path, strict: Strict) -> None:
    strict.later_at = 60
    with Asking(tmp_path, strict.url, 3, limit=LIMIT, threads=4, requests=200) as asking:
        asking.start()
        assert asking.end() == [(0, "800")] * 3
    assert strict.told_later
    since = [moment - strict.told_later for moment in strict.asked]
    # What was on its way, and what a process sends that is just then not let run, may still come.
    assert [moment for moment in since if 1 < moment < 1.99] == []
    assert max(since) > 2


# -- one process --------------------------------------------------------------------------------------------------


class Nothing:
    def begin(self, answer: object) -> None: ...

    def data(self, blocks: list[bytes]) -> None: ...


def test_a_process_that_only_computes_gives_its_connections_back(
    tmp_path: Path, strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts_module, "IDLE", 0.2)
    monkeypatch.delenv("http_proxy", raising=False)
    stop = threading.Event()
    hosts, settings = Hosts(tmp_path, stop.is_set), Settings(cache=tmp_path)
    bytes_getter(settings, Traits(), hosts, stop).get(Request(strict.url), Nothing())
    assert len(list(tmp_path.glob("*/slot-*"))) == len(strict.open) == 1
    until(lambda: not list(tmp_path.glob("*/slot-*")), "the slot goes back")
    until(lambda: not strict.open, "the connection ends")
    hosts.close()


def test_one_slot_is_one_connection_whoever_asks(
    tmp_path: Path, strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    stop = threading.Event()
    hosts, settings = Hosts(tmp_path, stop.is_set), Settings(cache=tmp_path)
    getter, api = bytes_getter(settings, Traits(), hosts, stop), ApiNet(settings, Traits(), hosts, stop)
    for _ in range(3):
        getter.get(Request(strict.url), Nothing())
        assert api.get(strict.url).text == "data"
        getter.get(Request(strict.url), Nothing())
    assert (strict.most, len(strict.asked)) == (1, 9)
    hosts.close()
    until(lambda: not strict.open, "the connection ends")


def test_who_uses_its_connections_all_the_time_gives_one_to_who_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts_module, "TURN", 0.05)
    ending, deadline = threading.Event(), time.monotonic() + 60
    greedy = Hosts(tmp_path, ending.is_set)
    modest = Hosts(tmp_path, lambda: time.monotonic() > deadline)

    def work() -> None:
        with suppress(InterruptedError):
            while True:
                with greedy.connection("http://host/a", 1):
                    time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: list(tmp_path.glob("host/slot-0")), "it has the only one")
    try:
        with modest.connection("http://host/b", 1):
            assert len(list(tmp_path.glob("host/slot-*"))) == 1
    finally:
        ending.set()
        thread.join()
        greedy.close()
        modest.close()


ELSEWHERE = """
import platform, sys, time
from pathlib import Path
platform.node = lambda: "elsewhere"
from medfetch.hosts import Host
host, limit = Host(Path(sys.argv[1])), int(sys.argv[2])
slots = [host.offer(limit) for _ in range(limit)]
assert all(slots)
print("taken", flush=True)
time.sleep(1000)
"""


def test_slots_of_a_machine_that_went_down_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "STALE", 1.5)
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "host"), "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"taken\n"
        host = hosts_module.Host(tmp_path / "host")
        assert host.offer(3) is None
        process.kill()
    # From here nobody can look for its processes: for a while they may live.
    assert host.offer(3) is None
    slots = [host.take(3, lambda: False) for _ in range(3)]
    assert host.offer(3) is None
    for slot in slots:
        host.give(slot)
    host.close()
