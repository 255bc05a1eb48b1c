"""Secrets of every kind go to their host and nowhere else, whatever happens.

A source of the tests' own asks for all of them at once. Afterwards everything that medfetch said and wrote is searched
for them, and what reached a second origin; while it runs, what the system tells others of its processes.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from running import Medfetch, Ran, Run
from servers import Asked, Server, reply

from medfetch import sources
from medfetch.sandbox import Fault, Sandbox

COMMONS = "commons.example"
HOST = "data.example"


def jwt(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), "S1gn"])


KEY = jwt(iss=f"https://{COMMONS}/user", is_="s3cret-api-key")
ACCESS = jwt(exp=time.time() + 9000, is_="s3cret-access-token")
PASSWORDS = {"kaggle": "s3cret+kaggle/key=", "physionet": "s3cret physionet&", f"netrc:{HOST}": "s3cret-netrc"}
TOKENS = {
    "hf": "hf_s3cretHuggingFace",
    "synapse": "s3cret.synapse",
    "github": "s3cret-github",
    "openneuro": "s3cret-openneuro",
    "redivis": "s3cret-redivis",
    "grand-challenge": "s3cret-gc",
    "osf": "s3cret-osf",
    "zenodo": "s3cret-zenodo",
}
NAMES = [*PASSWORDS, *TOKENS, f"gen3:{COMMONS}"]
HEADERS = {
    **{name: "Basic " + base64.b64encode(f"me:{word}".encode()).decode() for name, word in PASSWORDS.items()},
    **{name: f"Bearer {word}" for name, word in TOKENS.items()},
    f"gen3:{COMMONS}": f"Bearer {ACCESS}",
}
WORDS = [
    *PASSWORDS.values(), *TOKENS.values(), KEY, ACCESS, *(each.split()[1] for each in HEADERS.values()),
    *(quote(word, safe="") for word in PASSWORDS.values()), "key-id-s3cret", "s3cret",
]  # fmt: skip

SOURCE = """
from medfetch import credentials
from medfetch.types import Link, RemoteFile, Traits

NAMES = {names!r}
KEY = {key!r}

class Probe:
    name = "probe"
    traits = Traits(endpoints={{"probe": "https://probe.example", "gen3": "https://{{host}}"}})

    def locate(self, text):
        return {{"what": text}}

    def resolve(self, locator, net, selection):
        base = net.endpoint("probe")
        for number, name in enumerate(NAMES):
            assert net.has(name), name
            net.get(f"{{base}}/list/{{number}}", credential=name)
            if locator["what"] != "listen":
                net.post(f"{{base}}/list/{{number}}", json={{}}, credential=name)
            yield RemoteFile(f"{{number}}.bin", f"{{number}}", (f"{{base}}/file/{{number}}",), credential=name)
        if locator["what"] == "crash":
            from medfetch import config
            found = [credentials.find(name, config.load()) for name in NAMES]
            raise RuntimeError(" ".join(getattr(each, "value", getattr(each, "password", KEY)) for each in found))
"""


@pytest.fixture
def probe(tmp_path: Path, run: Run, home: Path, box: Sandbox) -> dict[str, str]:
    """A source that wants a secret of every kind; each is kept in another way. What leads medfetch to them."""
    plugin = tmp_path / "plugin"
    info = plugin / "probe-1.dist-info"
    info.mkdir(parents=True)
    (plugin / "medfetch_probe.py").write_text(SOURCE.format(names=NAMES, key=KEY))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[medfetch.sources]\nprobe = medfetch_probe:Probe\n")

    vault = tmp_path / "vault"
    vault.write_text(f'#!/bin/sh\ntest "$1" = medfetch/synapse && echo {TOKENS["synapse"]}\n')
    vault.chmod(0o700)
    config = tmp_path / "config.yaml"
    config.write_text(f"credentials:\n  command: {vault} medfetch/{{name}}\n")
    files = {
        ".kaggle/kaggle.json": json.dumps({"username": "me", "key": PASSWORDS["kaggle"]}),
        ".netrc": f"machine {HOST} login me password {PASSWORDS[f'netrc:{HOST}']}\n",
        ".cache/huggingface/token": TOKENS["hf"],
        ".gen3/credentials.json": json.dumps({"api_key": KEY, "key_id": "key-id-s3cret"}),
    }
    for name, content in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(content)
        (home / name).chmod(0o600)
    for number, name in enumerate(NAMES):
        box.put(f"https://probe.example/list/{number}", b"[]")
        box.put(f"https://probe.example/file/{number}", name.encode())
    box.add(Fault(match=r"^/http/probe\.example/list/", method="POST", status=200, body="{}", times=None))
    box.add(
        Fault(match="/access_token$", method="POST", status=200, times=None, body=json.dumps({"access_token": ACCESS}))
    )
    return {
        "PYTHONPATH": str(plugin),
        "MEDFETCH_CONFIG": str(config),
        "MEDFETCH_ENDPOINT_PROBE": f"{box.endpoints['http']}/probe.example",
        "MEDFETCH_ENDPOINT_GEN3": box.endpoints["http"],
        "GITHUB_TOKEN": TOKENS["github"],
        "OPENNEURO_API_KEY": TOKENS["openneuro"],
        "REDIVIS_API_TOKEN": TOKENS["redivis"],
        "OSF_TOKEN": TOKENS["osf"],
        "ZENODO_TOKEN": TOKENS["zenodo"],
        "GRAND_CHALLENGE_AUTHORIZATION": TOKENS["grand-challenge"],
        "PHYSIONET_USERNAME": "me",
        "PHYSIONET_PASSWORD": PASSWORDS["physionet"],
    }


def secret_in(text: str) -> list[str]:
    return [word for word in WORDS if word in text]


def kept(ran: Ran, cache: Path, home: Path) -> None:
    """Fails where a secret was said, or written anywhere but where the test had put it."""
    assert secret_in(ran.out) == []
    assert secret_in(ran.err) == []
    ours = {home / name for name in (".kaggle/kaggle.json", ".netrc", ".cache/huggingface/token")}
    ours.add(home / ".gen3/credentials.json")
    written = [path for folder in (cache, home) for path in folder.rglob("*") if path.is_file() and path not in ours]
    assert [path for path in written if secret_in(path.read_bytes().decode("latin-1"))] == []


def seen(box: Sandbox, path: str) -> dict[str, set[str | None]]:
    """Which Authorization reached the files, or the lists, of each secret."""
    return {
        name: {
            entry.header("authorization")
            for entry in box.log
            if entry.target.partition("?")[0].endswith(f"{path}/{number}")
        }
        for number, name in enumerate(NAMES)
    }


def test_each_secret_reaches_its_host_and_nothing_else(
    run: Run, home: Path, cache: Path, box: Sandbox, probe: dict[str, str]
) -> None:
    kept(run("plan", "probe:all", "--json", "-vv", **probe), cache, home)
    ran = run("get", "probe:all", "-vv", **probe)
    kept(ran, cache, home)
    assert (cache / "probe--all" / "current" / ".medfetch" / "receipt.json").is_file()
    for path in ("list", "file"):
        assert seen(box, path) == {name: {header} for name, header in HEADERS.items()}
    kept(run("status", "--json", "-vv", **probe), cache, home)
    for form in ("--json", "--csv", "--markdown"):
        ran = run("access", "--all", form, "-vv", **probe)
        assert "physionet" in ran.out
        kept(ran, cache, home)
    # What is there needs nothing: no secret is even looked for.
    count = len(box.log)
    kept(run("get", "probe:all", "--json", **{**probe, "MEDFETCH_CONFIG": str(home / "none.yaml")}), cache, home)
    assert len(box.log) == count


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", ["list", "file"])
def test_hosts_that_quote_our_secrets(
    path: str, status: int, run: Run, home: Path, cache: Path, box: Sandbox, probe: dict[str, str]
) -> None:
    """Each refuses, and sends back the secret that it was sent."""
    for number, name in enumerate(NAMES):
        words = HEADERS[name].split()[1], PASSWORDS.get(name, ""), KEY if name.startswith("gen3") else ""
        box.add(Fault(match=f"/{path}/{number}$", status=status, body=" ".join(["wrong:", *words]), times=None))
    ran = run("get", "probe:all", "-vv", "--json", code=1, **probe)
    kept(ran, cache, home)
    assert f"answered {status}" in ran.err
    assert "wrong: ***" in ran.err


def test_a_redirect_to_another_origin_takes_nothing_along(
    run: Run, home: Path, cache: Path, box: Sandbox, probe: dict[str, str]
) -> None:
    with Sandbox() as other:
        for number, name in enumerate(NAMES):
            other.put(f"https://storage.example/{number}", name.encode())
            there = f"{other.endpoints['http']}/storage.example/{number}?X-Amz-Signature=s3cret-signature"
            box.add(Fault(match=f"/(list|file)/{number}$", redirect=there, times=None))
        ran = run("get", "probe:all", "-vv", "--json", **probe)
        kept(ran, cache, home)
        assert len(other.log) == 2 * len(NAMES)
        for entry in other.log:
            assert secret_in(f"{entry.headers} {entry.body}") == []
            assert entry.header("authorization") is None
    assert seen(box, "file") == {name: {header} for name, header in HEADERS.items()}


def test_a_proxy_and_its_password(run: Run, home: Path, cache: Path, probe: dict[str, str]) -> None:
    with Server() as proxy:
        proxy.script("", reply("407 Proxy Authentication Required"))
        far = {"MEDFETCH_ENDPOINT_PROBE": "https://probe.example", "MEDFETCH_ENDPOINT_GEN3": "https://commons.example"}
        address = f"http://me:s3cret-proxy@127.0.0.1:{proxy.port}"
        ran = run("get", "probe:all", "-vv", "--json", code=None, **{**probe, **far, "https_proxy": address})
        kept(ran, cache, home)
        assert ran.code
        assert {asked.method for asked in proxy.asked} == {"CONNECT"}
        assert all("authorization" not in asked.headers for asked in proxy.asked)


def test_a_crash_quotes_no_secret(run: Run, home: Path, cache: Path, probe: dict[str, str]) -> None:
    with run.start("plan", "probe:crash", "-vv", **probe) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "RuntimeError: ***" in err
    kept(Ran(1, out, err), cache, home)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="the system has no /proc")
def test_what_the_system_tells_of_the_processes(run: Run, home: Path, cache: Path, probe: dict[str, str]) -> None:
    """Read while they hold the secrets: when the host is asked."""
    lines: list[str] = []
    cores: set[str] = set()

    def look(asked: Asked) -> Iterator[Any]:
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1")
                    limits = (folder / "limits").read_text().splitlines()
                except OSError:  # it has ended
                    continue
                lines.append(line)
                # The name of the cache is this test's alone: these are ours.
                if "medfetch" in line and str(home.parent).encode() in environment(folder):
                    cores.update(limit.split()[4] for limit in limits if limit.startswith("Max core file size"))
        yield from reply("200 OK", b"[]")(asked)

    with Server() as host:
        for number in range(len(NAMES)):
            host.script(f"/list/{number}", look)
        cored = ("sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "sh")
        run("plan", "probe:listen", wrap=cored, **{**probe, "MEDFETCH_ENDPOINT_PROBE": host.url("")})
    assert lines
    assert [line for line in lines if secret_in(line)] == []
    assert cores == {"0"}


def environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


# -- every source -------------------------------------------------------------------------------------------------


def _contract() -> ModuleType:
    path = Path(__file__).parent / "contract" / "test_sources.py"
    spec = importlib.util.spec_from_file_location("contract_of_sources", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TYPED = {"physionet": "p/1.0"}
"""Where the contract's name would first ask for something without a secret."""


# Of links the links themselves are the secrets (tests/sources/test_links_source.py); the others ask no host anything.
@pytest.mark.parametrize(
    "name", [name for name in sources.BUILTIN if name not in ("aspera", "links", "manual", "torrent")]
)
def test_a_source_sends_its_own_secret_to_its_own_hosts(
    name: str, run: Run, home: Path, cache: Path, box: Sandbox, probe: dict[str, str]
) -> None:
    typed = TYPED.get(name) or _contract().CASES[name].typed
    typed = typed if "://" in typed else f"{name}:{typed}"
    own = {header for secret, header in HEADERS.items() if secret.partition(":")[0] == name}
    with Sandbox() as other:
        there = f"{other.endpoints['http']}/elsewhere.example/x?X-Amz-Signature=s3cret-signature"
        quoted = " ".join(["wrong:", HEADERS.get(name, "").partition(" ")[2], PASSWORDS.get(name, "")])
        wrong = [Fault(method="", status=403, body=quoted, times=None)] * bool(own)
        for fault in (Fault(redirect=there, times=None), *wrong):
            box.clear()
            box.add(fault)
            ran = run("get", typed, "--limit", 1, "-vv", "--json", code=None, **{**probe, "MEDFETCH_TRIES": "1"})
            assert ran.code
            kept(ran, cache, home)
        assert [entry for entry in other.log if secret_in(f"{entry.headers} {entry.body}")] == []
    sent = {entry.header("authorization") for entry in box.log}
    assert sent - {None} <= own
    assert name not in HEADERS or own <= sent


# -- login --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "typed"),
    [*((name, f"me:{word}\n") for name, word in PASSWORDS.items()), *TOKENS.items(),
     (f"gen3:{COMMONS}", json.dumps({"api_key": KEY, "key_id": "key-id-s3cret"}))],
)  # fmt: skip
def test_login_keeps_a_secret_and_shows_it_nowhere(name: str, typed: str, run: Medfetch, home: Path) -> None:
    file = home / ".config" / "medfetch" / "credentials.json"
    for verb, used in (("login", str(file)), ("logout", None)):
        command = [sys.executable, "-m", "medfetch", verb, name, "--json", "-vv"]
        done = subprocess.run(command, input=typed, capture_output=True, text=True, env=run.environment, check=True)
        assert secret_in(done.stdout + done.stderr) == []
        assert json.loads(done.stdout)["used" if verb == "login" else "left"] == used
        assert file.stat().st_mode & 0o777 == 0o600
        assert bool(secret_in(file.read_text())) == (verb == "login")


def test_login_says_what_goes_before(run: Medfetch, home: Path) -> None:
    command = [sys.executable, "-m", "medfetch", "login", "hf"]
    environment = {**run.environment, "HF_TOKEN": "hf_another"}
    done = subprocess.run(command, input="hf_s3cret", capture_output=True, text=True, env=environment, check=True)
    assert "HF_TOKEN goes before it" in done.stderr
    done = subprocess.run([*command, "-q"], input="two words", capture_output=True, text=True, env=run.environment)
    assert done.returncode == 2
    assert "nothing was kept" in done.stderr


def test_login_asks_at_a_terminal_without_showing_what_is_typed(run: Medfetch, home: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "medfetch", "login", "physionet"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=run.environment, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = read_until(ours, "User name")
        os.write(ours, b"me\n")
        shown += read_until(ours, "Password")
        os.write(ours, b"s3cret physionet&\n")
        shown += read_until(ours, "kept in")
        assert process.wait() == 0
    os.close(ours)
    assert secret_in(shown) == []
    kept = json.loads((home / ".config" / "medfetch" / "credentials.json").read_text())
    assert kept == {"physionet": {"user": "me", "password": "s3cret physionet&"}}


def read_until(terminal: int, text: str) -> str:
    shown = ""
    while text not in shown:
        shown += os.read(terminal, 1000).decode()
    return shown


def test_what_has_no_rehearsal(run: Run, home: Path) -> None:
    for verb in (("login", "hf"), ("logout", "hf"), ("agree", "brats", "--agreed-on", "2026-01-02", "--as", "Ada")):
        assert "leave out --sandbox" in run(*verb, "--sandbox", code=2).err
    assert list(home.iterdir()) == []


def test_names_that_login_does_not_know(run: Run, home: Path) -> None:
    assert "grand-challenge" in run("login", "nope", code=2).err
    assert "aws configure" in run("login", "aws", code=2).err
    assert "gcloud auth application-default login" in run("login", "gcp-payer", code=2).err
    assert "netrc:HOST" in run("logout", "netrc", code=2).err
    assert not (home / ".config").exists()
