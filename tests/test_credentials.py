"""Secrets are found where the hosts' tools keep them, in their order; kept by login; had from a vault's command."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import pickle
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import requests
from servers import Server

from medfetch import config, credentials
from medfetch.config import Settings
from medfetch.credentials import (
    AccessKey,
    ApiKey,
    BilledToken,
    HeaderToken,
    Login,
    RefreshToken,
    Token,
    guard,
    own_file,
)
from medfetch.credentials.kinds import from_text
from medfetch.errors import Refused, Retryable, UsageProblem
from medfetch.hosts import Hosts
from medfetch.net.http import Answer
from medfetch.net.secrets import Secrets
from medfetch.net.stack import ApiNet, bytes_getter
from medfetch.sandbox import Fault, Sandbox
from medfetch.sandboxed import sandboxed
from medfetch.types import Request, Traits

NAMES = [
    "CLOUDSDK_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT",
    "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "HF_HOME", "HF_TOKEN_PATH", "KAGGLE_CONFIG_DIR",
    "KAGGLE_USERNAME", "NETRC", "PHYSIONET_USERNAME", "SYNAPSE_PROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    *config.SECRETS,
]  # fmt: skip
COMMONS = "commons.example"


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with nothing in it, and an environment without secrets."""
    home = tmp_path / "person"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    # A machine at Amazon has keys of its own.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("google.auth.compute_engine._metadata._NO_GCE_CHECK", True)
    monkeypatch.setattr(guard, "_leave_no_core", lambda: None)
    yield home


@pytest.fixture
def settings(person: Path, tmp_path: Path) -> Settings:
    return Settings(
        cache=tmp_path / "cache", netrc=person / ".netrc", credentials_file=person / "config" / "credentials.json"
    )


def put(path: Path, content: str | dict[str, Any], mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def jwt(**claims: Any) -> str:
    """A JSON Web Token without a signature that would hold."""
    parts = ({"alg": "none"}, claims)
    return ".".join([*(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts), "sig"])


KEY = jwt(iss=f"https://{COMMONS}/user")

# Each place and what is found there; earlier ones go before later ones.
Put = Callable[[Path, pytest.MonkeyPatch], None]


def file(name: str, content: str | dict[str, Any]) -> Put:
    return lambda home, environment: put(home / name, content) and None


def variables(**values: str) -> Put:
    return lambda home, environment: [environment.setenv(name, value) for name, value in values.items()] and None


def kaggle_oauth(hours: float, refresh: str = "r") -> Put:
    until = datetime.now(UTC) + timedelta(hours=hours)
    content = {"refresh_token": refresh, "access_token": "oauth1", "access_token_expiration": until.isoformat()}
    return file(".kaggle/credentials.json", content)


ORDERS: dict[str, list[tuple[Put, Any]]] = {
    "kaggle": [
        (variables(KAGGLE_API_TOKEN="token-1"), Token("token-1")),
        (file(".kaggle/access_token", "token-2\n"), Token("token-2")),
        (file(".kaggle/access_token.txt", "token-3"), Token("token-3")),
        (variables(KAGGLE_USERNAME="me", KAGGLE_KEY="key-4"), Login("me", "key-4")),
        (file(".kaggle/kaggle.json", {"username": "you", "key": "key-5"}), Login("you", "key-5")),
        (kaggle_oauth(1), Token("oauth1")),
    ],
    "hf": [
        (variables(HF_TOKEN=" hf_1\n"), Token("hf_1")),
        (variables(HUGGING_FACE_HUB_TOKEN="hf_2"), Token("hf_2")),
        (file(".cache/huggingface/token", "hf_3\n"), Token("hf_3")),
    ],
    "dataverse:data.example": [
        (variables(DATAVERSE_KEY="dv1", DATAVERSE_SERVER="Data.example"), HeaderToken("dv1", "X-Dataverse-key")),
        (
            variables(DATAVERSE_KEY="dv2", DATAVERSE_SERVER="https://data.example/"),
            HeaderToken("dv2", "X-Dataverse-key"),
        ),
    ],
    "osf": [(variables(OSF_TOKEN="osf1"), Token("osf1"))],
    "zenodo": [(variables(ZENODO_TOKEN="zen1"), Token("zen1"))],
    "synapse": [
        (file(".synapseConfig", "[default]\nauthtoken = syn1\n[authentication]\nauthtoken=syn0\n"), Token("syn1")),
        (variables(SYNAPSE_AUTH_TOKEN="syn2"), Token("syn2")),
    ],
    "github": [
        (variables(GH_TOKEN="gh1"), Token("gh1")),
        (variables(GITHUB_TOKEN="gh2"), Token("gh2")),
        (file(".config/gh/hosts.yml", "github.com:\n    oauth_token: gh3\n    user: me\n"), Token("gh3")),
    ],
    "grand-challenge": [(variables(GRAND_CHALLENGE_AUTHORIZATION="BEARER gc1"), Token("gc1"))],
    "openneuro": [
        (variables(OPENNEURO_API_KEY="on1"), Token("on1")),
        (
            file(".config/openneuro-py/config.json", {"endpoint": "https://openneuro.org/", "apikey": "on2"}),
            Token("on2"),
        ),
    ],
    "redivis": [
        (variables(REDIVIS_API_TOKEN="red1"), Token("red1")),
        (file(".redivis/python_credentials", {"access_token": "red2", "expires_at": time.time() + 9e6}), Token("red2")),
    ],
    "physionet": [
        (variables(PHYSIONET_USERNAME="me", PHYSIONET_PASSWORD="pw1"), Login("me", "pw1")),
        (file(".netrc", "machine physionet.org login me password pw2\n"), Login("me", "pw2")),
    ],
    "netrc:data.example": [(file(".netrc", "machine data.example login me password pw\n"), Login("me", "pw"))],
    "loris:data.example": [(file(".netrc", "machine data.example login me password pw\n"), Login("me", "pw"))],
    "xnat:data.example": [(file(".netrc", "machine data.example login me password pw\n"), Login("me", "pw"))],
    f"gen3:{COMMONS}": [
        (variables(GEN3_API_KEY=f"accesstoken:///{KEY}"), Token(KEY)),
        (file(".gen3/credentials.json", {"api_key": KEY, "key_id": "id-1"}), ApiKey(KEY, "id-1")),
        (file(".gen3/other.json", {"api_key": KEY, "key_id": "id-2"}), ApiKey(KEY, "id-2")),
    ],
}


@pytest.mark.parametrize("name", ORDERS)
def test_secrets_are_found_in_the_order_of_the_hosts_own_tools(
    name: str, person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert credentials.find(name, settings) is None
    assert credentials.where(name, settings) is None
    # Last things first: medfetch's own file, then each place that goes before all that are there already.
    by_login = name.startswith(("loris", "netrc", "physionet", "xnat"))
    kept = from_text(name.partition(":")[0], json.dumps({"api_key": "own", "key_id": "own"}) if "gen3" in name
                     else "own:secret" if by_login else "own-secret")  # fmt: skip
    own_file.keep(name, kept, settings)
    assert credentials.find(name, settings) == kept
    assert credentials.where(name, settings) == str(settings.credentials_file)
    for place, expected in reversed(ORDERS[name]):
        place(person, monkeypatch)
        assert credentials.find(name, settings) == expected
        assert credentials.where(name, settings) != str(settings.credentials_file)


# -- what is particular to one tool -------------------------------------------------------------------------------


def test_kaggles_token_may_be_in_a_file_that_the_variable_names(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(put(person / "token", "from-file\n")))
    assert credentials.find("kaggle", settings) == Token("from-file")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t" * 5000)  # too long for a file's name
    assert credentials.find("kaggle", settings) == Token("t" * 5000)


def test_kaggles_user_and_key_are_each_overridden_alone(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(person / ".kaggle/kaggle.json", {"username": "you", "key": "key-5"})
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    assert credentials.find("kaggle", settings) == Login("me", "key-5")


def test_kaggles_folder(person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    put(person / ".config/kaggle/kaggle.json", {"username": "a", "key": "in-config"})
    assert credentials.find("kaggle", settings) == Login("a", "in-config")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(person / "xdg"))
    put(person / "xdg/kaggle/kaggle.json", {"username": "a", "key": "in-xdg"})
    assert credentials.find("kaggle", settings) == Login("a", "in-xdg")
    (person / ".kaggle").mkdir()  # where it is there, the others do not count
    assert credentials.find("kaggle", settings) is None
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(person / "xdg/kaggle"))
    assert credentials.find("kaggle", settings) == Login("a", "in-xdg")


@pytest.mark.parametrize(
    ("hours", "refresh", "found"),
    [
        (1, "r3fresh", Token("oauth1")),
        (0.1, "r3fresh", RefreshToken("r3fresh", "run: kaggle auth login --force")),
        (-1, "r3fresh", RefreshToken("r3fresh", "run: kaggle auth login --force")),
        (0.1, "", Token("oauth1")),
        (-1, "", None),
    ],
)
def test_kaggles_log_in_gives_another_token_when_the_first_is_over(
    hours: float, refresh: str, found: Any, person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle_oauth(hours, refresh)(person, monkeypatch)
    assert credentials.find("kaggle", settings) == found


def test_what_has_lapsed_is_not_there(person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle_oauth(-1, "")(person, monkeypatch)
    put(person / ".redivis/python_credentials", {"access_token": "red2", "expires_at": time.time() - 9})
    assert credentials.find("kaggle", settings) is None
    assert credentials.find("redivis", settings) is None


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [
        ("HF_TOKEN_PATH", "~/elsewhere", "elsewhere"),
        ("HF_HOME", "$HOME/hf", "hf/token"),
        ("XDG_CACHE_HOME", "~/xdg", "xdg/huggingface/token"),
    ],
)
def test_hugging_faces_file(
    variable: str, value: str, path: str, person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(person / ".cache/huggingface/token", "hf_usual")
    put(person / path, "hf_moved")
    monkeypatch.setenv(variable, value)
    assert credentials.find("hf", settings) == Token("hf_moved")


def test_synapses_profiles(person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(person / ".synapseConfig", "[authentication]\nauthtoken=old\n[profile lab]\nauthtoken = lab-token\n")
    assert credentials.find("synapse", settings) == Token("old")
    monkeypatch.setenv("SYNAPSE_PROFILE", "lab")
    assert credentials.find("synapse", settings) == Token("lab-token")
    monkeypatch.setenv("SYNAPSE_PROFILE", "nobody")
    with pytest.raises(UsageProblem, match=r"no \[profile nobody\]"):
        credentials.find("synapse", settings)
    path.write_text("[default]\nsecret-without-name\n")
    with pytest.raises(UsageProblem) as caught:
        credentials.find("synapse", settings)
    assert "secret-without-name" not in caught.value.message


def test_a_commons_key_is_for_the_commons_that_issued_it(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = jwt(iss="https://elsewhere.example/user")
    put(person / ".gen3/credentials.json", {"api_key": elsewhere, "key_id": "a"})
    put(person / ".gen3/crdc.json", {"api_key": KEY, "key_id": "b"})
    assert credentials.find(f"gen3:{COMMONS}", settings) == ApiKey(KEY, "b")
    assert credentials.find("gen3:elsewhere.example", settings) == ApiKey(elsewhere, "a")
    assert credentials.find("gen3:third.example", settings) is None
    path = put(person / "key.json", {"api_key": elsewhere, "key_id": "c"})
    monkeypatch.setenv("GEN3_API_KEY", str(path))
    assert credentials.find("gen3:elsewhere.example", settings) == ApiKey(elsewhere, "c")


def test_aws_keys_are_found_in_amazons_own_order(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last place first; each goes before those that are there already."""
    assert credentials.find("aws", settings) is None
    process = put(
        person / "process", '#!/bin/sh\necho \'{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "p"}\'\n', 0o700
    )
    lab = f"[profile lab]\ncredential_process = {process}\n"
    keys = "aws_access_key_id = {0}\naws_secret_access_key = {1}\n"
    put(person / ".aws/config", f"[default]\n{keys.format('C', 'c')}{lab}")
    assert credentials.find("aws", settings) == AccessKey("C", "c")
    put(person / ".aws/credentials", f"[default]\n{keys.format('F', 'f')}aws_session_token = t\n")
    assert credentials.find("aws", settings) == AccessKey("F", "f", "t")
    assert credentials.where("aws", settings) == "the profile default (shared-credentials-file)"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert credentials.find("aws", settings) == AccessKey("P", "p")
    assert credentials.where("aws", settings) == "the profile lab (custom-process)"
    variables(AWS_ACCESS_KEY_ID="E", AWS_SECRET_ACCESS_KEY="e", AWS_SESSION_TOKEN="s")(person, monkeypatch)
    assert credentials.find("aws", settings) == AccessKey("E", "e", "s")
    assert credentials.find("aws-payer", settings) == AccessKey("E", "e", "s", pays=True)


@pytest.mark.parametrize(
    ("values", "content", "says"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIAHALF"}, "", "aws_secret_access_key|AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "", "nobody"),
        ({}, "[default]\naws_s3cret_without_a_value\n", "cannot be read"),
    ],
)
def test_aws_keys_that_cannot_be_used_are_told_and_not_shown(
    values: dict[str, str], content: str, says: str, person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(person / ".aws/credentials", content)
    variables(**values)(person, monkeypatch)
    with pytest.raises(UsageProblem, match=says) as caught:
        credentials.find("aws", settings)
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_offline_no_host_is_asked_for_aws_keys(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server() as machine:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url(""))
        assert credentials.find("aws", replace(settings, offline=True)) is None
        assert machine.asked == []
        credentials.find("aws", settings)
        assert machine.asked != []


LOGGED_IN = {"type": "authorized_user", "client_id": "c", "client_secret": "s3cret", "refresh_token": "1//s3cret"}


def test_a_log_in_at_google_and_the_project_that_pays(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found without asking anybody, offline too; a project is charged only where one is named for it."""
    settings = replace(settings, offline=True)
    assert credentials.find("gcp", settings) is credentials.find("gcp-payer", settings) is None
    path = put(person / ".config/gcloud/application_default_credentials.json", LOGGED_IN)
    assert credentials.where("gcp", settings) == "Application Default Credentials"
    assert "s3cret" not in repr(credentials.find("gcp", settings))
    with pytest.raises(UsageProblem, match="which project"):
        credentials.find("gcp-payer", settings)
    put(path, {**LOGGED_IN, "quota_project_id": "of-the-file"})
    assert "of-the-file pays" in str(credentials.where("gcp-payer", settings))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-the-variable")
    assert "of-the-variable pays" in str(credentials.where("gcp-payer", settings))
    assert "s3cret" not in repr(BilledToken("ya29.s3cret", "p"))


@pytest.mark.parametrize("content", ["{s3cret", {"type": "s3cret"}, {**LOGGED_IN, "type": "service_account"}, None])
def test_a_log_in_at_google_that_cannot_be_used_is_told_and_not_shown(
    content: str | dict[str, Any] | None, person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = person / "account.json"
    if content is not None:
        put(path, content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(UsageProblem, match="cannot be used") as caught:
        credentials.find("gcp", settings)
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_netrcs_default_is_for_no_host(person: Path, settings: Settings) -> None:
    put(settings.netrc, "machine a.example login me password pw\ndefault login me password for-anybody\n")
    assert credentials.find("netrc:a.example", settings) == Login("me", "pw")
    assert credentials.find("netrc:b.example", settings) is None
    assert credentials.find("netrc:default", settings) is None


# -- who may read it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_what_others_can_read_is_refused(mode: int, settings: Settings) -> None:
    own_file.keep("kaggle", Token("secret"), settings)
    put(settings.netrc, "machine a login me password pw\n", mode)
    settings.credentials_file.chmod(mode)
    for name, path in (("netrc:a", settings.netrc), ("kaggle", settings.credentials_file)):
        with pytest.raises(UsageProblem) as caught:
            credentials.find(name, settings)
        assert caught.value.hint == f"run: chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_is_refused(settings: Settings) -> None:
    own_file.keep("kaggle", Token("secret"), settings)
    os.chown(settings.credentials_file, 65534, 65534)
    with pytest.raises(UsageProblem, match="belongs to another user"):
        credentials.find("kaggle", settings)


def test_of_a_tools_own_file_it_is_said_that_others_can_read_it(person: Path, settings: Settings) -> None:
    path = put(person / ".kaggle/kaggle.json", {"username": "a", "key": "b"}, 0o644)
    assert credentials.find("kaggle", settings) == Login("a", "b")
    assert f"chmod 600 {path}" in str(credentials.where("kaggle", settings))


# -- names and contents -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "nope", "kaggle:x", "netrc", "netrc:", "gen3:../x", "netrc:-x", "netrc:a b"])
def test_names_that_there_are_not(name: str, settings: Settings) -> None:
    with pytest.raises(UsageProblem) as caught:
        credentials.find(name, settings)
    assert "kaggle" in str(caught.value.hint)
    assert "netrc:HOST" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("hf", ""), ("hf", "two words"), ("hf", "naïve-token"), ("physionet", "no-colon-s3cret"), ("gen3", "s3cret"),
     ("gen3", '{"api_key": "s3cret"}'), ("netrc", "me:"), ("kaggle", '{"s3cret'), ("netrc", "me:tab\x01s3cret")],
)  # fmt: skip
def test_what_cannot_be_a_secret_is_refused_unquoted(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        from_text(kind, text)
    for word in ("two words", "naïve", "s3cret"):
        assert word not in str(caught.value)


def test_a_token_that_no_header_can_carry_is_named_by_its_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret\nwith a second line")
    with pytest.raises(UsageProblem) as caught:
        credentials.find("hf", settings)
    assert "HF_TOKEN" in caught.value.message
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    "secret",
    [
        Login("me", "s3cret-password"), Token("s3cret-token"), ApiKey("s3cret-key", "id"), RefreshToken("s3cret-again"),
        AccessKey("AKIA", "s3cret-key", "s3cret-session"),
    ],
)  # fmt: skip
def test_no_text_of_a_secret_shows_it(secret: Any) -> None:
    for text in (repr(secret), str(secret), f"{secret}", repr([secret]), repr({"a": secret})):
        assert "s3cret" not in text


def test_settings_hold_no_secrets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in config.SECRETS:
        monkeypatch.setenv(name, "s3cret-value")
    loaded = config.load(cache=settings.cache)
    assert b"s3cret" not in pickle.dumps(loaded)
    assert "s3cret" not in repr(loaded)
    assert not config.SECRETS & config.for_children().keys()


# -- medfetch's own file ------------------------------------------------------------------------------------------


def test_its_own_file_is_its_owners_alone_from_the_first_byte(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []
    real = os.replace

    def replace(source: str, target: Path) -> None:
        modes.append(stat.S_IMODE(os.stat(source).st_mode))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    before = os.umask(0)
    try:
        own_file.keep("hf", Token("one"), settings)
        own_file.keep("physionet", Login("me", "two"), settings)
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600]
    assert stat.S_IMODE(settings.credentials_file.parent.stat().st_mode) == 0o700
    assert [path.name for path in settings.credentials_file.parent.iterdir()] == ["credentials.json"]
    assert own_file.forget("hf", settings)
    assert not own_file.forget("hf", settings)
    assert credentials.find("physionet", settings) == Login("me", "two")


def test_its_own_file_when_it_cannot_be_written(settings: Settings, person: Path) -> None:
    put(person / "config", "a file in the way")
    with pytest.raises(UsageProblem, match="cannot be written"):
        own_file.keep("hf", Token("one"), settings)


def test_its_own_file_when_it_is_damaged(settings: Settings) -> None:
    for content in ("{s3cret", '["s3cret"]', '{"hf": "s3cret"}', '{"hf": {"tokn": "s3cret"}}'):
        put(settings.credentials_file, content)
        with pytest.raises(UsageProblem) as caught:
            credentials.find("hf", settings)
        assert "s3cret" not in caught.value.message
        assert str(settings.credentials_file) in caught.value.message


# -- a vault's command --------------------------------------------------------------------------------------------


def vault(settings: Settings, script: str) -> Settings:
    return Settings(
        cache=settings.cache, netrc=settings.netrc, credentials_file=settings.credentials_file,
        credentials_command=(sys.executable, "-c", script, "vault/{name}"),
    )  # fmt: skip


def test_a_command_is_asked_last_and_without_a_shell(settings: Settings) -> None:
    script = "import sys; print(f'{len(sys.argv)}:{sys.argv[1]};$HOME'); print('second line')"
    asked = vault(settings, script)
    assert credentials.find("netrc:a.example", asked) == Login("2", "vault/netrc:a.example;$HOME")
    own_file.keep("netrc:a.example", Login("me", "kept"), asked)
    assert credentials.find("netrc:a.example", asked) == Login("me", "kept")


def test_a_command_may_print_a_commons_key(settings: Settings) -> None:
    script = "import json; print(json.dumps({'api_key': 'k', 'key_id': 'i'}, indent=1))"
    assert credentials.find(f"gen3:{COMMONS}", vault(settings, script)) == ApiKey("k", "i")


def test_a_command_gets_none_of_our_secrets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIVIS_API_TOKEN", "s3cret")
    script = "import os, sys; print('REDIVIS_API_TOKEN' in os.environ, sys.stdin.read() == '', sep='-')"
    assert credentials.find("hf", vault(settings, script)) == Token("False-True")


def test_a_command_that_fails_is_told_without_its_output(
    settings: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    script = "import sys; print('s3cret-one'); print('s3cret-two', file=sys.stderr); sys.exit(3)"
    assert credentials.find("hf", vault(settings, script)) is None
    assert "ended with 3 for hf" in caplog.text
    with pytest.raises(UsageProblem) as caught:
        credentials.find("hf", vault(settings, "print('s3cret with spaces')"))
    assert "expected a token" in caught.value.message
    with pytest.raises(UsageProblem, match="UTF-8"):
        credentials.find("hf", vault(settings, "import sys; sys.stdout.buffer.write(b's3cret\\xff')"))
    assert "s3cret" not in caplog.text + caught.value.message + "".join(capfd.readouterr())
    assert credentials.find("hf", vault(settings, "")) is None


def test_a_command_is_asked_once_in_a_while(settings: Settings, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    script = f"import sys; open({str(asked)!r}, 'a').write(sys.argv[1] + ' '); print('a:b')"
    for name in ("physionet", "physionet", "netrc:a.example", "physionet"):
        assert credentials.find(name, vault(settings, script)) == Login("a", "b")
    assert asked.read_text().split() == ["vault/physionet", "vault/netrc:a.example"]


def test_a_command_that_is_not_there(settings: Settings) -> None:
    missing = Settings(cache=settings.cache, netrc=settings.netrc, credentials_command=("/no/such/program", "{name}"))
    with pytest.raises(UsageProblem, match="cannot be run"):
        credentials.find("hf", missing)


@pytest.mark.parametrize(
    "text",
    ["credentials:\n  command: pass show medfetch/{name}\n", 'credentials_command: [pass, show, "medfetch/{name}"]'],
)
def test_the_command_stands_in_the_configuration(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDFETCH_CONFIG", str(put(tmp_path / "config.yaml", text)))
    assert config.load().credentials_command == ("pass", "show", "medfetch/{name}")


@pytest.mark.parametrize("text", ["{command: 'pass \"'}", "{command: 5}", "{x: 1}"])
def test_a_command_that_is_none_is_an_error(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDFETCH_CONFIG", str(put(tmp_path / "config.yaml", f"credentials: {text}")))
    with pytest.raises(UsageProblem, match=r"config\.yaml"):
        config.load()


# -- where they go ------------------------------------------------------------------------------------------------


def secrets(settings: Settings, **endpoints: str) -> Secrets:
    told = Settings(cache=settings.cache, netrc=settings.netrc, endpoints=endpoints)
    traits = Traits(endpoints={"api": "https://api.example", "plain": "http://plain.example"})
    return Secrets(told, traits, lambda url, content: pytest.fail("no key is exchanged"))


@pytest.mark.parametrize(
    ("name", "url", "endpoints", "said"),
    [
        ("hf", "https://api.example/x", {}, None),
        ("hf", "https://other.example/x", {}, "not one of the hosts"),
        ("hf", "https://api.example.other.example/x", {}, "not one of the hosts"),
        ("hf", "https://api.example@other.example/x", {}, "not one of the hosts"),
        ("hf", "https://api.example:444/x", {}, "not one of the hosts"),
        ("hf", "http://api.example/x", {}, "without encryption"),
        ("hf", "http://plain.example/x", {}, "without encryption"),
        ("hf", "http://mirror.example:8042/x", {"api": "http://mirror.example:8042/hf"}, None),
        ("hf", "https://api.example/x", {"api": "http://mirror.example:8042/hf"}, "not one of the hosts"),
        ("netrc:data.example", "https://data.example:8443/x", {}, None),
        ("netrc:data.example", "http://data.example/x", {}, "without encryption"),
        ("netrc:data.example", "https://www.data.example/x", {}, "not one of the hosts"),
        ("netrc:127.0.0.1", "http://127.0.0.1:8042/x", {}, None),
        ("physionet", "https://api.example/x", {}, "physionet is not there"),
        ("aws", "https://bucket.s3.amazonaws.com/x", {}, None),
        ("aws-payer", "https://s3.eu-west-1.amazonaws.com/b.ucket/x", {}, None),
        ("aws", "https://bucket.s3.amazonaws.com.other.example/x", {}, "not one of the hosts"),
        ("aws", "https://sts.amazonaws.com/x", {}, "not one of the hosts"),
        ("aws", "http://bucket.s3.amazonaws.com/x", {}, "without encryption"),
        ("hf", "https://bucket.s3.amazonaws.com/x", {}, "not one of the hosts"),
        ("gcp", "https://oauth2.googleapis.com/x", {}, "not one of the hosts"),
        ("gcp-payer", "https://api.example.other.example/x", {}, "not one of the hosts"),
        ("gcp", "http://api.example/x", {}, "without encryption"),
    ],
)
def test_a_secret_goes_to_its_own_hosts(
    name: str, url: str, endpoints: dict[str, str], said: str | None, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", "hf_1")
    variables(AWS_ACCESS_KEY_ID="A", AWS_SECRET_ACCESS_KEY="s")(Path(), monkeypatch)
    put(settings.netrc, "machine data.example login me password pw\nmachine 127.0.0.1 login me password pw\n")
    if said is None:
        assert secrets(settings, **endpoints).of(name, url) in (
            Token("hf_1"), Login("me", "pw"), AccessKey("A", "s"), AccessKey("A", "s", pays=True),
        )  # fmt: skip
    else:
        with pytest.raises(Refused, match=said):
            secrets(settings, **endpoints).of(name, url)


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as box:
        box.put(f"https://{COMMONS}/data", b"data")
        yield box


class Nothing:
    """Takes an answer and does nothing with it."""

    def begin(self, answer: Answer) -> None:
        pass

    def data(self, blocks: list[bytes]) -> None:
        pass


@pytest.mark.parametrize("credential", ["hf", "netrc:api.example"])
def test_a_proxy_between_us_and_the_host_gets_no_secret(
    credential: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(settings.netrc, "machine api.example login me password pw\n")
    own_file.keep("hf", Token("hf_1"), settings)
    hosts = Hosts(settings.cache / "hosts", lambda: False)
    with Server() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url(""))
        monkeypatch.delenv("no_proxy", raising=False)
        getter = bytes_getter(settings, Traits(endpoints={"hf": "https://api.example"}), hosts, threading.Event())
        with pytest.raises(Retryable):
            getter.get(Request("https://api.example/x", credential=credential), Nothing())
        assert [(asked.method, asked.path) for asked in proxy.asked] == [("CONNECT", "api.example:443")]
        assert "authorization" not in proxy.asked[0].headers
    hosts.close()


def test_a_token_does_not_come_back_with_the_next_file(box: Sandbox, tmp_path: Path, settings: Settings) -> None:
    put(settings.netrc, "machine 127.0.0.1 login me password pässword\n")
    own_file.keep("hf", Token("hf_1"), settings)
    told = replace(settings, endpoints={"hf": box.endpoints["http"]})
    hosts = Hosts(settings.cache / "hosts", lambda: False)
    getter = bytes_getter(told, Traits(connections=1, endpoints={"hf": ""}), hosts, threading.Event())
    for name in ("hf", None, "netrc:127.0.0.1", "hf", "netrc:127.0.0.1", None):
        getter.get(Request(f"{box.endpoints['http']}/{COMMONS}/data", credential=name), Nothing())
    hosts.close()
    bearer, basic = "Bearer hf_1", f"Basic {base64.b64encode('me:pässword'.encode()).decode()}"
    assert [each.header("authorization") for each in box.log] == [bearer, None, basic, bearer, basic, None]
    assert box.stats.connections == 1


@pytest.fixture
def commons(box: Sandbox, settings: Settings, person: Path) -> Iterator[Callable[[], str]]:
    """Asks the sandbox for data of a commons; returns the Authorization that it got."""
    put(person / ".gen3/credentials.json", {"api_key": KEY, "key_id": "id-1"})
    base = box.endpoints["http"]
    told = Settings(cache=settings.cache, netrc=settings.netrc, endpoints={"gen3": base}, tries=1)
    hosts = Hosts(settings.cache / "hosts", lambda: False)
    net = ApiNet(told, Traits(endpoints={"gen3": "https://{host}"}), hosts, threading.Event())

    def ask() -> str:
        net.get(f"{base}/{COMMONS}/data", credential=f"gen3:{COMMONS}")
        return str(box.log[-1].header("authorization"))

    yield ask
    hosts.close()


def gives(box: Sandbox, body: str, **more: Any) -> None:
    box.add(Fault(match="/user/credentials/cdis/access_token$", method="POST", body=body, **more))


def test_a_commons_key_is_exchanged_for_a_token_that_is_kept_while_it_lives(
    box: Sandbox, commons: Callable[[], str]
) -> None:
    first, second = jwt(exp=time.time() + 30, n=1), jwt(exp=time.time() + 900, n=2)
    for token in (first, second):
        gives(box, json.dumps({"access_token": token}))
    assert [commons() for _ in range(3)] == [f"Bearer {first}", f"Bearer {second}", f"Bearer {second}"]
    posts = [entry for entry in box.log if entry.method == "POST"]
    assert [json.loads(entry.body) for entry in posts] == 2 * [{"api_key": KEY, "key_id": "id-1"}]
    assert {entry.target for entry in posts} == {f"/http/{COMMONS}/user/credentials/cdis/access_token"}
    assert all(KEY not in str(entry.headers) for entry in box.log)


@pytest.mark.parametrize("body", ["{}", "[]", "no JSON", '"text"'])
def test_a_commons_that_gives_no_token(body: str, box: Sandbox, commons: Callable[[], str]) -> None:
    gives(box, body)
    with pytest.raises(Refused, match="no access token"):
        commons()


def test_a_commons_that_refuses_the_key_says_why_without_it(box: Sandbox, commons: Callable[[], str]) -> None:
    gives(box, f"the key {KEY} has expired", status=401)
    with pytest.raises(Refused) as caught:
        commons()
    assert "the key *** has expired" in caught.value.message
    assert caught.value.status == 401
    assert "lapse" in str(caught.value.hint)


def test_a_redirect_does_not_get_the_key(box: Sandbox, commons: Callable[[], str]) -> None:
    with Sandbox() as other:
        there = f"{other.endpoints['http']}/{COMMONS}/user"
        gives(box, "", status=307, headers={"Location": there})
        with pytest.raises(Refused):
            commons()
        assert other.log == []


# -- rehearsals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORDERS)
def test_in_a_rehearsal_nothing_of_this_machine_is_looked_at(
    name: str, person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, _ in ORDERS[name]:
        place(person, monkeypatch)
    settings.credentials_file.parent.mkdir()
    put(settings.credentials_file, "damaged", 0o644)
    asked = person / "asked"
    settings = replace(settings, credentials_command=("touch", str(asked)))
    assert credentials.find(name, settings.as_sandboxed({})) is None
    made_up = {name.partition(":")[0]: {"user": "sandbox", "password": "made-up", "api_key": "a", "key_id": "b"}}
    found = credentials.find(name, settings.as_sandboxed({}, made_up))
    assert found in (Login("sandbox", "made-up"), ApiKey("a", "b"))
    assert credentials.where(name, settings.as_sandboxed({}, made_up)) == "the sandbox"
    assert not asked.exists()


def test_what_the_sandbox_makes_up_opens_its_gates_and_nobodys_own_reaches_it(
    person: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "s3cret-of-a-person"
    for name in config.SECRETS:
        monkeypatch.setenv(name, own)
    monkeypatch.setenv("PHYSIONET_USERNAME", "me")
    put(settings.netrc, f"machine data.example login me password {own}\n")
    with sandboxed(settings) as inside:
        hosts = Hosts(inside.cache / "hosts", lambda: False)
        wanted = {
            "kaggle": "/api/v1/datasets/list/a/b",
            "hf": "/api/datasets/a/b",
            "grand_challenge": "/api/v1/archives/",
            "synapse": "/auth/v1/userProfile",
            "physionet": "/files/a/1.0/SHA256SUMS.txt",
            "http": "/data.example/file",
        }
        names = {"grand_challenge": "grand-challenge", "http": "netrc:data.example"}
        for endpoint, path in wanted.items():
            net = ApiNet(inside, Traits(endpoints={endpoint: "https://real.example"}), hosts, threading.Event())
            with contextlib.suppress(Refused):
                net.get(f"{net.endpoint(endpoint)}{path}", credential=names.get(endpoint, endpoint))
        hosts.close()
        base = inside.endpoints["http"].removesuffix("/http")
        log = requests.get(f"{base}/__log", timeout=60).json()
    assert len(log) == len(wanted)
    assert all("authorization" in str(entry["headers"]).lower() for entry in log)
    assert own not in json.dumps(log)
    assert base64.b64encode(f"me:{own}".encode()).decode() not in json.dumps(log)
    # None of them is a wrong log-in there; what is asked for is not there.
    assert {entry["status"] for entry in log} <= {200, 404}


# -- in the words of others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("quoted", [str, quote, quote_plus, json.dumps, repr, html.escape])
@pytest.mark.parametrize("password", ["pass word&<12>", 'qu"ote\\d', "Umläut+7", "it's\tone"])
def test_a_secret_is_taken_out_however_it_is_quoted(password: str, quoted: Callable[[str], str]) -> None:
    guard.watch(Login("me", password))
    text = f"you sent {quoted(password)}: no"
    assert guard.redacted(text).strip("'\"") in ("you sent ***: no", "you sent '***': no", 'you sent "***": no')
    assert guard.redacted(base64.b64encode(f"me:{password}".encode()).decode()) == "***"
