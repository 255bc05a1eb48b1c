"""The sandbox's life: it starts, tells where it is, serves many at once, listens to nobody else, and ends."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from asking import ask

from medfetch.errors import UsageProblem
from medfetch.sandbox import Fault, Sandbox, serve


def test_endpoints_and_environment(shared: Sandbox) -> None:
    base = f"http://127.0.0.1:{shared.port}"
    assert (
        shared.endpoints.items()
        >= {
            "idc": f"{base}/s3",
            "idc_gcs": f"{base}/gcs",
            "s3": f"{base}/s3",
            "tcia": f"{base}/nbia",
            "tcia_nlst": f"{base}/nlst",
            "kaggle": f"{base}/kaggle",
            "http": f"{base}/http",
        }.items()
    )
    assert shared.environment["MEDFETCH_ENDPOINT_TCIA_NLST"] == f"{base}/nlst"
    assert ask(shared, "/elsewhere").status == 404


def test_files_of_other_hosts(box: Sandbox) -> None:
    data = box.put("http://host/a b/file.zip", b"PK")
    assert (box.put("https://host/noise", size=5000), data) == (box.put("https://host/noise", size=5000), b"PK")
    reply = ask(box, "/http/host/a%20b/file.zip?Signature=x")
    assert (reply.body, reply.headers["Content-Type"]) == (b"PK", "application/zip")
    assert ask(box, "/http/host/missing").status == 404
    assert ask(box, "/http/host/noise", "POST", b"x").status == 405
    box.put("https://host/get?id=1", b"one")
    box.put("https://host/get?id=2", b"two")
    assert (ask(box, "/http/host/get?id=1").body, ask(box, "/http/host/get?id=2").body) == (b"one", b"two")
    row = {"address": "https://host/sent", "text": "hello"}
    assert ask(box, "/__files", "POST", json.dumps(row).encode()).status == 200
    assert ask(box, "/http/host/sent").body == b"hello"
    with pytest.raises(ValueError, match="expected https"):
        box.put("gopher://host/file", b"")


def test_many_requests_on_one_connection_and_many_connections_at_once(box: Sandbox) -> None:
    digest = hashlib.sha256(box.put("https://host/file", size=300_000)).hexdigest()
    together = threading.Barrier(8)
    seen: list[str] = []

    def fetch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", box.port, timeout=20)
        for turn in range(5):
            connection.request("GET", "/http/host/file")
            seen.append(hashlib.sha256(connection.getresponse().read()).hexdigest())
            if turn == 0:
                together.wait()
        connection.close()

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [digest] * 40
    stats = box.stats
    assert (stats.requests, stats.connections, stats.most_connections) == (40, 8, 8)
    assert stats.data_bytes == 40 * 300_000
    assert 1 <= stats.most_requests <= 8


def test_log_keeps_names_as_sent(box: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", box.port)) as connection:
        connection.sendall(b"GET /http/h/x HTTP/1.1\r\nhost: h\r\nX-odd-Name:  v\r\nConnection: close\r\n\r\n")
        while connection.recv(4096):
            pass
    (entry,) = box.log
    assert entry.headers == (("host", "h"), ("X-odd-Name", "v"), ("Connection", "close"))
    assert (entry.method, entry.target, entry.status, entry.header("x-odd-name")) == ("GET", "/http/h/x", 404, "v")


def test_it_listens_on_loopback_only() -> None:
    with pytest.raises(UsageProblem, match="loopback only"):
        serve("0.0.0.0", 0)


def test_wrong_options_are_told() -> None:
    with pytest.raises(UsageProblem, match="at least 2048"):
        Sandbox(max_instance_bytes=100)
    with Sandbox() as box, pytest.raises(UsageProblem, match=f"port {box.port} cannot be used"):
        Sandbox(box.port)


def test_stopping_ends_running_answers_and_frees_the_port() -> None:
    with Sandbox(faults=[Fault(endless=True)]) as box:
        box.put("https://host/file", b"x")
        connection = socket.create_connection(("127.0.0.1", box.port), timeout=20)
        connection.sendall(b"GET /http/host/file HTTP/1.1\r\n\r\n")
        assert connection.recv(10)
        box.stop()
        with connection, suppress(ConnectionResetError):
            while connection.recv(1 << 20):
                pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", box.port))


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "medfetch.sandbox", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_as_a_child_it_says_where_it_is_and_ends_with_its_parent(how: str) -> None:
    child = start("--max-instance-bytes", "20000", "--latency", "0.01")
    try:
        said = json.loads(child.stdout.readline())
        assert said["endpoints"]["idc"] == f"http://127.0.0.1:{said['port']}/s3"
        connection = http.client.HTTPConnection("127.0.0.1", said["port"], timeout=20)
        connection.request("HEAD", "/s3/idc-open-data")
        assert connection.getresponse().headers["x-amz-bucket-region"] == "us-east-1"
        child.send_signal(signal.SIGINT)
        if how == "SIGTERM":
            child.terminate()
        else:
            child.stdin.close()
        assert child.wait(20) == (143 if how == "SIGTERM" else 0)
        connection.close()
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def test_serve_prints_the_environment_and_runs_until_it_is_told_to_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from medfetch.sandbox import serve; serve()"], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            lines = [child.stdout.readline() for _ in range(6)]
            assert lines[0].startswith("export MEDFETCH_ENDPOINT_IDC=http://127.0.0.1:")
            assert child.poll() is None
            os.kill(child.pid, signal.SIGINT)
            assert child.wait(20) == 0
        finally:
            child.kill()
