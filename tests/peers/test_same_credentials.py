"""Where the hosts' real clients find a secret, medfetch finds the same one, in every combination of places.

A client is used from its own environment if its program is on the path; without it the test is skipped.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

OURS = """
import sys
from medfetch import config, credentials
found = credentials.find(sys.argv[1], config.load())
print([getattr(found, key) for key in getattr(found, "__slots__", ())])
"""
# Each prints a list of the secret's parts, [] where it finds none, and asks no network.
CLIENTS = {
    "kaggle": """
from kagglesdk.kaggle_env import get_access_token_from_env
token, _ = get_access_token_from_env()
if token:
    print([token])
else:
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi
        api = KaggleApi()
        api._load_config()
        found = api.config_values
    except SystemExit:
        found = {}
    print([found["username"], found["key"]] if "username" in found and "key" in found else [])
""",
    "hf": """
from huggingface_hub import get_token
print([token] if (token := get_token()) else [])
""",
    "synapse": """
import os
from types import SimpleNamespace
from synapseclient.core.credentials import credential_provider as provider
provider.SynapseCredentialsProvider._create_synapse_credential = lambda self, client, user, token, *more: token
client = SimpleNamespace(configPath=os.path.expanduser("~/.synapseConfig"))
person = SimpleNamespace(username=None, auth_token=None, profile=None)
token = provider.get_default_credential_chain().get_credentials(client, person)
print([token] if token else [])
""",
}
PLACES: dict[str, list[dict[str, Any]]] = {
    "kaggle": [
        {"KAGGLE_API_TOKEN": "token-1"},
        {".kaggle/access_token": "token-2\n"},
        {".kaggle/access_token.txt": " token-3"},
        {"KAGGLE_USERNAME": "me"},
        {"KAGGLE_KEY": "key-4"},
        {".kaggle/kaggle.json": json.dumps({"username": "you", "key": "key-5"})},
        {".config/kaggle/kaggle.json": json.dumps({"username": "they", "key": "key-6"})},
    ],
    "hf": [
        {"HF_TOKEN": " hf_1\n"},
        {"HUGGING_FACE_HUB_TOKEN": "hf_2"},
        {"HF_TOKEN_PATH": "~/there", "there": "hf_3"},
        {"HF_HOME": "$HOME/hf", "hf/token": "hf_4\n"},
        {"XDG_CACHE_HOME": "~/xdg", "xdg/huggingface/token": "hf_5"},
        {".cache/huggingface/token": "hf_6"},
    ],
    "synapse": [
        {"SYNAPSE_PROFILE": "lab"},
        {".synapseConfig": "[default]\nusername = me\nauthtoken = syn1\n[profile lab]\nauthtoken = syn2\n"},
        {"SYNAPSE_AUTH_TOKEN": "syn3"},
    ],
}


def python_of(program: str) -> str:
    """The interpreter of a client's environment."""
    found = shutil.which(program, path=str(Path(sys.executable).parent)) or shutil.which(program)
    python = Path(found).parent / "python" if found else None
    if python is None or not python.exists():
        names = {"hf": "huggingface_hub", "synapse": "synapseclient"}
        pytest.skip(f"{program} is not installed: pip install {names.get(program, program)}, and its bin on the path")
    return str(python)


def laid_out(home: Path, places: tuple[dict[str, Any], ...]) -> dict[str, str]:
    """Puts the files of some places into a home; returns the environment that leads there."""
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    for name, value in ((name, value) for place in places for name, value in place.items()):
        if name.isupper():
            environment[name] = value
        else:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(value)
            (home / name).chmod(0o600)
    return environment


def said(python: str, code: str, *arguments: str, environment: dict[str, str]) -> str:
    command = [python, "-c", code, *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return ran.stdout.splitlines()[-1] if ran.returncode == 0 else "error"


@pytest.mark.long
@pytest.mark.parametrize("program", CLIENTS)
def test_the_same_secret_is_found(program: str, tmp_path: Path) -> None:
    python = python_of(program)
    places = PLACES[program]
    # None, each alone, each pair, and all: more would show nothing new.
    chosen = [some for count in (0, 1, 2, len(places)) for some in itertools.combinations(places, count)]
    wrong: dict[str, tuple[str, str]] = {}
    found: set[str] = set()
    for number, some in enumerate(chosen):
        home = tmp_path / str(number)
        home.mkdir()
        environment = laid_out(home, some)
        ours = said(sys.executable, OURS, program, environment=environment)
        theirs = said(python, CLIENTS[program], environment=environment)
        found.add(theirs)
        if ours != theirs:
            wrong[str(some)] = ours, theirs
    assert wrong == {}
    assert len(found) > 2, "the client has found nothing"
