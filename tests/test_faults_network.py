"""What the network does to a run, through the command line: hosts that die, names, certificates, proxies, IPv6."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from datasets import http, sha256, tree, write_recipe
from running import Medfetch, Run
from servers import Asked, Server, Step, cut, serve

SIZE, COUNT = 40_000, 60
NAMES = [f"{number:02d}.bin" for number in range(COUNT)]
NAME = "scans"


def content(name: str) -> bytes:
    """Bytes of its own for each file."""
    return random.Random(name).randbytes(SIZE)


WANTED = {name: sha256(content(name)) for name in NAMES}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def medfetch(tmp_path: Path, home: Path, cache: Path) -> Run:
    """The real command, with no endpoint replaced."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
    settings = {"CACHE": cache, "RECIPES": home, "TRIES": 2, "BACKOFF": 0.01, "PATIENCE": 3, "RESERVE": 0}
    return Medfetch(home, environment | {f"MEDFETCH_{name}": str(value) for name, value in settings.items()})


def known(path: str, *urls: str) -> dict[str, Any]:
    return {"path": path, "url": list(urls), "size": SIZE, "sha256": sha256(content(path))}


def dataset(home: Path, *files: dict[str, Any]) -> str:
    return write_recipe(home, NAME, parts={"all": {"routes": http(*files)}})


def in_place(cache: Path) -> dict[str, str]:
    return tree(cache / NAME / "current")


def all_on(server: Server) -> dict[str, str]:
    """Puts all files on a server; their addresses by name."""
    return {name: server.script(f"/{name}", serve(content(name), etag=f'"{name}"', keep=True)) for name in NAMES}


def dying(server: Server, name: str) -> None:
    """Has a server die for good in the middle of one file."""

    def script(asked: Asked) -> Iterable[Step]:
        yield from cut(serve(content(name)), SIZE // 2)(asked)
        server.die()

    server.script(f"/{name}", script)


# -- hosts that die -----------------------------------------------------------------------------------------------


def test_of_two_mirrors_one_dies_mid_run(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    with Server() as other:
        first, second = all_on(server), all_on(other)
        dying(server, NAMES[COUNT // 2])
        name = dataset(home, *(known(name, first[name], second[name]) for name in NAMES))
        receipt = medfetch("get", name, "--json").last
        assert in_place(cache) == WANTED
        files = {each["host"]: each["files"] for each in receipt["from"]}
        assert set(files) == {f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}"}
        assert sum(files.values()) == COUNT
        # Nothing that the first gave whole is asked of the second.
        assert len(other.asked) == files[f"127.0.0.1:{other.port}"]


def test_the_only_host_dies_and_comes_back(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    addresses = all_on(server)
    dying(server, NAMES[COUNT // 2])
    name = dataset(home, *(known(name, addresses[name]) for name in NAMES))
    ran = medfetch("get", name, "--json", code=6)
    here = in_place(cache)
    assert here.items() < WANTED.items()
    assert here
    assert (ran.last["event"], ran.last["exit"]) == ("failed", 6)
    assert f"127.0.0.1:{server.port} cannot be reached" in ran.last["message"]
    assert "later, run it again" in ran.last["hint"]
    with Server(port=server.port) as back:
        all_on(back)
        medfetch("get", name, "--json")
        assert in_place(cache) == WANTED
        assert {asked.path[1:] for asked in back.asked} == WANTED.keys() - here.keys()
        assert len(back.asked) == COUNT - len(here)


def test_all_mirrors_are_dead(medfetch: Run, home: Path, cache: Path) -> None:
    with Server(listening=False) as one, Server(listening=False) as two:
        urls = [one.url("/a?token=secret"), two.url("/a"), "http://data.invalid/a"]
        ran = medfetch("get", dataset(home, known("a.bin", *urls)), "--json", code=6)
        for host in (f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}", "data.invalid"):
            assert f"{host} cannot be reached" in ran.last["message"]
    assert "secret" not in ran.out + ran.err
    assert in_place(cache) == {}


# -- names --------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_known(medfetch: Run, home: Path, cache: Path, server: Server) -> None:
    ran = medfetch("get", dataset(home, known("a.bin", "http://data.invalid/a")), code=6)
    assert "data.invalid cannot be reached: Could not resolve" in ran.err
    mirror = server.script("/a", serve(content("a.bin")))
    dataset(home, known("a.bin", "http://data.invalid/a", mirror))
    medfetch("get", NAME)
    assert in_place(cache) == {"a.bin": sha256(content("a.bin"))}


def test_an_interface_whose_name_is_not_known(medfetch: Run) -> None:
    ran = medfetch("plan", "tcia:lidc-idri", code=6, MEDFETCH_ENDPOINT_TCIA="http://nbia.invalid")
    assert "nbia.invalid cannot be reached" in ran.err


# -- certificates -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trust:
    """A private authority, and the file by which it is trusted."""

    authority: trustme.CA
    file: Path


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    trust = Trust(trustme.CA(), tmp_path_factory.mktemp("trust") / "authority.pem")
    trust.authority.cert_pem.write_to_path(str(trust.file))
    return trust


BAD_CERTIFICATES = {
    "expired": "expired",
    "other-name": "127.0.0.1",
    "untrusted": "self-signed certificate in certificate chain|unable to get local issuer",
}
"""What is wrong, and what the message must say of it."""


def context(trust: Trust, what: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA() if what == "untrusted" else trust.authority
    ends = datetime(2020, 1, 1, tzinfo=UTC) if what == "expired" else None
    identity = "data.example" if what == "other-name" else "127.0.0.1"
    authority.issue_cert(identity, not_after=ends).configure_cert(made)
    return made


@pytest.mark.parametrize("what", BAD_CERTIFICATES)
def test_a_bad_certificate_is_named(medfetch: Run, home: Path, cache: Path, trust: Trust, what: str) -> None:
    trusted = {"MEDFETCH_CA_BUNDLE": str(trust.file)}
    with Server(tls=context(trust, what)) as bad:
        name = dataset(home, known("a.bin", bad.script("/a", serve(content("a.bin")))))
        for arguments in (("get", name), ("plan", "tcia:lidc-idri")):
            ran = medfetch(*arguments, code=1, MEDFETCH_ENDPOINT_TCIA=bad.url(""), **trusted)
            assert f"127.0.0.1:{bad.port}: its certificate is not valid" in ran.err
            assert re.search(BAD_CERTIFICATES[what], ran.err), ran.err
        assert (bad.asked, in_place(cache)) == ([], {})


def test_another_mirror_may_have_a_better_certificate(medfetch: Run, home: Path, cache: Path, trust: Trust) -> None:
    with Server(tls=context(trust, "expired")) as bad, Server(tls=context(trust, "good")) as good:
        urls = [each.script("/a", serve(content("a.bin"))) for each in (bad, good)]
        more = {"MEDFETCH_CA_BUNDLE": str(trust.file)}
        receipt = medfetch("get", dataset(home, known("a.bin", *urls)), "--json", **more).last
        assert in_place(cache) == {"a.bin": sha256(content("a.bin"))}
        assert [each["host"] for each in receipt["from"]] == [f"127.0.0.1:{good.port}"]


# -- proxies ------------------------------------------------------------------------------------------------------

PASSWORD = "hunter2-hunter2"


@dataclass(frozen=True)
class Squid:
    port: int
    log: Path

    def address(self, user: str = "") -> dict[str, str]:
        """The variables that lead through it."""
        return dict.fromkeys(("http_proxy", "https_proxy"), f"http://{user}127.0.0.1:{self.port}")

    def asked(self) -> list[str]:
        """``STATUS METHOD ADDRESS`` of each request."""
        return self.log.read_text().splitlines()


@pytest.fixture(scope="module")
def squid() -> Iterator[Squid]:
    """A real squid that wants a password of everybody."""
    program = shutil.which("squid") or shutil.which("squid", path="/usr/sbin")
    checker = Path("/usr/lib/squid/basic_ncsa_auth")
    if not program or not checker.exists() or not shutil.which("openssl"):
        pytest.skip("squid is not installed: apt-get install squid openssl")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    # Started by root it becomes another user, who may not look into pytest's folders.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        hashed = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True)
        (folder / "users").write_text(f"someone:{hashed.stdout}")
        (folder / "squid.conf").write_text(
            f"""http_port 127.0.0.1:{port}
            pid_filename none
            cache deny all
            max_filedescriptors 1024
            pinger_enable off
            shutdown_lifetime 0 seconds
            cache_log {folder}/cache.log
            coredump_dir {folder}
            logformat asked %>Hs %rm %ru
            access_log stdio:{folder}/access.log asked
            auth_param basic program {checker} {folder}/users
            auth_param basic children 1
            acl known proxy_auth REQUIRED
            http_access allow known
            http_access deny all
            """
        )
        with subprocess.Popen([program, "-N", "-f", str(folder / "squid.conf")], stderr=subprocess.DEVNULL) as process:
            try:
                for _ in range(1000):
                    with socket.socket() as probe:
                        if process.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0:
                            break
                    time.sleep(0.02)
                assert process.poll() is None, (folder / "cache.log").read_text()
                yield Squid(port, folder / "access.log")
            finally:
                process.terminate()


def written(cache: Path) -> str:
    """All that medfetch wrote of its own accord."""
    paths = (path for path in cache.rglob("*") if path.is_file() and path.suffix != ".bin")
    return "".join(path.read_bytes().decode("latin-1") for path in paths)


def test_through_a_proxy_that_knows_us(
    medfetch: Run, home: Path, cache: Path, server: Server, squid: Squid, trust: Trust
) -> None:
    user = squid.address(f"someone:{PASSWORD}@")
    with Server(tls=context(trust, "good")) as secure:
        plain, private = (each.script("/a", serve(content("a.bin"))) for each in (server, secure))
        name = dataset(home, known("a.bin", plain), {**known("a.bin", private), "path": "b.bin"})
        ran = medfetch("get", name, "--json", "-vv", MEDFETCH_CA_BUNDLE=str(trust.file), **user)
        assert in_place(cache) == {name: sha256(content("a.bin")) for name in ("a.bin", "b.bin")}
        assert {f"200 GET {plain}", f"200 CONNECT 127.0.0.1:{secure.port}"} <= set(squid.asked())
        hosts = {each["host"] for each in ran.last["from"]}
    assert hosts == {f"127.0.0.1:{each.port}" for each in (server, secure)}
    assert PASSWORD not in ran.out + ran.err + written(cache)
    # The proxy's password is the proxy's: no host sees it.
    assert not any("proxy-authorization" in asked.headers for asked in [*server.asked, *secure.asked])


def test_through_a_proxy_a_file_goes_on_where_it_was_cut(
    medfetch: Run, home: Path, cache: Path, squid: Squid, trust: Trust
) -> None:
    # Of smaller files nobody notes which version they are of.
    data, half = random.Random("large").randbytes(2_500_000), 1_250_000
    good = serve(data, etag='"v1"')
    with Server(tls=context(trust, "good")) as secure:
        # No digest would notice if the rest were taken for the beginning.
        file = {"path": "a.bin", "url": secure.script("/a", cut(good, half), good), "size": len(data)}
        more = {"MEDFETCH_CA_BUNDLE": str(trust.file), **squid.address(f"someone:{PASSWORD}@")}
        medfetch("get", dataset(home, file), **more)
        assert in_place(cache) == {"a.bin": sha256(data)}
        assert [asked.headers.get("range") for asked in secure.asked] == [None, f"bytes={half}-"]


@pytest.mark.parametrize(
    ("user", "tls"), [("", False), ("someone:wrong-wrong@", True)], ids=["nobody-http", "wrong-https"]
)
def test_a_proxy_that_wants_a_password_says_so(
    medfetch: Run, home: Path, cache: Path, squid: Squid, trust: Trust, user: str, tls: bool
) -> None:
    with Server(tls=context(trust, "good") if tls else None) as host:
        more = {"MEDFETCH_CA_BUNDLE": str(trust.file), "MEDFETCH_ENDPOINT_TCIA": host.url(""), **squid.address(user)}
        url = host.script("/a", serve(content("a.bin")))
        for arguments in (("get", dataset(home, known("a.bin", url))), ("plan", "tcia:lidc-idri")):
            ran = medfetch(*arguments, code=1, **more)
            assert "the proxy wants a password" in ran.err
            assert "https_proxy" in ran.err
            assert "wrong-wrong" not in ran.err + written(cache)
        assert host.asked == []


def test_a_proxy_that_is_not_there_is_named_without_its_password(medfetch: Run, home: Path, cache: Path) -> None:
    with Server(listening=False) as gone:
        more = {"https_proxy": f"http://someone:{PASSWORD}@127.0.0.1:{gone.port}"}
        for arguments in (
            ("get", dataset(home, known("a.bin", "https://data.invalid/a"))),
            ("plan", "tcia:lidc-idri"),
        ):
            ran = medfetch(*arguments, "-vv", code=6, **more)
            assert "cannot be reached" in ran.err
            assert "proxy" in ran.err
            assert PASSWORD not in ran.out + ran.err + written(cache)


# -- IPv6 ---------------------------------------------------------------------------------------------------------

ISOLATED = """
set -e
hosts=$1 www=$2 port=$3; shift 3
mount --bind "$hosts" /etc/hosts
ip link set lo up
ip link add void type veth peer name nobody
ip link set nobody up
ip address add 2001:db8::1/64 dev void nodad
ip link set void up
ip neighbour add 2001:db8::2 lladdr 02:00:00:00:00:02 dev void
"$PYTHON" -m http.server --bind 127.0.0.1 --directory "$www" "$port" 2>"$www/../log" &
server=$!
for _ in $(seq 500); do (: </dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.02; done
"$@" || code=$?
kill $server
exit ${code:-0}
"""
"""A network of its own for one command: names from a file, a web server at 127.0.0.1, and 2001:db8::2, which swallows
all that is sent there."""


LISTING = """<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>
<Contents><Key>b.bin</Key><Size>3</Size><ETag>"0"</ETag></Contents></ListBucketResult>"""


@pytest.fixture
def isolated(home: Path) -> Callable[[str], tuple[str, ...]]:
    """What to put before a command, so that ``data.example`` has this IPv6 address, and IPv4 where a server is."""
    try:
        link = ["unshare", "--mount", "--net", "ip", "link", "add", "void", "type", "veth"]
        subprocess.run(link, check=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network namespace can be made here: run as root, apt-get install iproute2")
    www = home / "www"
    www.mkdir()
    (www / "a.bin").write_bytes(content("a.bin"))
    (www / "bucket").write_text(LISTING)

    def wrap(address: str) -> tuple[str, ...]:
        (home / "hosts").write_text(f"{address} data.example\n127.0.0.1 data.example localhost\n")
        return ("unshare", "--mount", "--net", "bash", "-c", ISOLATED, "bash", str(home / "hosts"), str(www), "8080")

    return wrap


@pytest.mark.parametrize("address", ["::1", "2001:db8::2"], ids=["refuses", "is-silent"])
def test_where_ipv6_does_not_answer_ipv4_does(
    medfetch: Run, home: Path, cache: Path, isolated: Callable[[str], tuple[str, ...]], address: str
) -> None:
    name = dataset(home, known("a.bin", "http://data.example:8080/a.bin"))
    medfetch("get", name, wrap=isolated(address), MEDFETCH_TRIES="1", PYTHON=sys.executable)
    assert in_place(cache) == {"a.bin": sha256(content("a.bin"))}
    assert (home / "log").read_text().count("GET /a.bin") == 1


def test_where_ipv6_refuses_an_interface_is_asked_by_ipv4(
    medfetch: Run, home: Path, isolated: Callable[[str], tuple[str, ...]]
) -> None:
    more = {"MEDFETCH_TRIES": "1", "MEDFETCH_ENDPOINT_S3": "http://data.example:8080", "PYTHON": sys.executable}
    ran = medfetch("plan", "s3:bucket", "--json", wrap=isolated("::1"), **more)
    assert ran.last["files"] == 1
