"""Settings: flags before environment before the configuration file before defaults.

The only reader of os.environ. It must not know what the settings are used for.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import certifi
import platformdirs

from medfetch import __version__, recipe_folders
from medfetch.errors import UsageProblem
from medfetch.machine import processors
from medfetch.types import Mailed

OWN_SECRETS = "credentials.json"
SECRETS = frozenset({
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "DATAVERSE_KEY", "GH_TOKEN", "GITHUB_TOKEN",
    "GRAND_CHALLENGE_AUTHORIZATION", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "KAGGLE_API_TOKEN", "KAGGLE_KEY",
    "OPENNEURO_API_KEY", "OSF_TOKEN", "PHYSIONET_PASSWORD", "REDIVIS_API_TOKEN", "SYNAPSE_AUTH_TOKEN", "ZENODO_TOKEN",
})  # fmt: skip
"""Variables of other programs that may hold a secret."""
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a run can be told from outside; picklable, and but for ``links`` free of secrets."""

    cache: Path
    recipes: tuple[Path, ...] = ()
    """Directories of recipes that go before the built-in ones: those that were updated, then a person's own."""
    recipes_from: str | None = None
    """Where ``medfetch recipe update`` finds newer ones."""
    recipes_keys: tuple[str, ...] = ()
    """Public keys of those who may sign them (``updates.index``)."""
    data: Path = field(default_factory=lambda: user_data())
    """Where the ledger of agreements is kept, and updated recipes."""
    cache_layers: tuple[Path, ...] = ()
    """Caches of others that are looked into before the network, and never written to."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """By source or dataset: the group whose members its agreement covers; they may read what came under it."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Base addresses that replace a source's own, by endpoint name (``tcia``, ``idc_gcs``)."""
    offline: bool = False
    sandbox: bool = False
    made_up: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What opens the sandbox's gates, by kind of secret (``credentials``): in a rehearsal there are no others."""
    jobs: int | None = None
    """Connections of one run, over all its processes; None: as many as help. A source's own limit goes before."""
    processes: int = field(default_factory=lambda: min(4, processors()))
    limit_rate: int | None = None
    """Bytes per second, all connections together."""
    tries: int = 5
    """Attempts in a row without progress before a link is given up."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubled each time, with jitter, up to a minute."""
    patience: float | None = None
    """Seconds without a useful byte, in place of the source's own."""
    reserve: int = 100 * 10**6
    """Bytes of the disk that are never used."""
    user_agent: str = f"medfetch/{__version__}"
    netrc: Path = field(default_factory=lambda: Path("~/.netrc").expanduser())
    credentials_file: Path = field(default_factory=lambda: Path(platformdirs.user_config_dir("medfetch")) / OWN_SECRETS)
    """What ``medfetch login`` keeps."""
    credentials_command: tuple[str, ...] = ()
    """The words of a command that prints the secret called ``{name}``."""
    ca_bundle: str = field(default_factory=certifi.where)
    links: tuple[Mailed, ...] = field(default=(), repr=False)
    """What was in the mail (``--links``): handed to worker processes through their pipes, written nowhere."""
    verbose: int = 0
    """1: everything that is tried again, 2: every request too."""

    def as_sandboxed(
        self, endpoints: Mapping[str, str], made_up: Mapping[str, Mapping[str, str]] | None = None
    ) -> Settings:
        """The same settings against the sandbox: other hosts and secrets, and a cache of its own inside the cache."""
        return replace(
            self, cache=self.cache / ".sandbox", cache_layers=tuple(layer / ".sandbox" for layer in self.cache_layers),
            endpoints={**self.endpoints, **endpoints}, sandbox=True, made_up=made_up or {}, backoff=0.2,
        )  # fmt: skip


def parse_size(text: str) -> int:
    """``20M``, ``1.5G``, ``125 GB`` → bytes, in decimal units.

    Raises: UsageProblem for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)B?\s*", text, re.IGNORECASE)
    if not match:
        raise UsageProblem(f"{text!r} is not a size", hint="write it like 20M or 1.5G (bytes, decimal units)")
    return round(float(match[1]) * UNITS[match[2].upper()])


def user_data() -> Path:
    """The user's data directory, where the settings name no other."""
    return Path(platformdirs.user_data_dir("medfetch"))


def recipe_index() -> Path:
    """Where the compiled recipes are kept (``catalog_index``): in the user's cache directory, whatever the cache."""
    return Path(platformdirs.user_cache_dir("medfetch")) / ".medfetch" / "recipes.json"


def default_cache() -> Path:
    """``cache/`` of a source checkout, else the user's cache directory."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "cache" / "README.md").is_file() and (checkout / "pyproject.toml").is_file():
        return checkout / "cache"
    return Path(platformdirs.user_cache_dir("medfetch"))


def variable(name: str) -> str | None:
    """A variable of another program, empty or not set: None.

    Read when it is wanted: it may be a secret, and those lie in no Settings, which travel to other processes.
    """
    return os.environ.get(name) or None


def for_children() -> dict[str, str]:
    """The environment for a program that we start and that needs none of our secrets."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


def load(**flags: Any) -> Settings:
    """Settings from all layers; a flag that is None counts as not given.

    Raises: UsageProblem naming the variable, or the file and key, that is wrong.
    """
    environment = os.environ
    path = Path(environment.get("MEDFETCH_CONFIG") or Path(platformdirs.user_config_dir("medfetch")) / "config.yaml")
    values: dict[str, Any] = {"cache": default_cache()}
    endpoints: dict[str, str] = {}
    for where, layer in (
        (str(path), _from_file(path)),
        ("MEDFETCH_* in the environment", _from_environment(environment)),
        ("the command line", {key: value for key, value in flags.items() if value is not None}),
    ):
        endpoints.update(layer.pop("endpoints", {}))
        for key, value in layer.items():
            values[key] = _converted(key, value, where.replace("*", key.upper()))
    updated = recipe_folders.updated(values.get("data") or user_data())
    values["recipes"] = (*([updated] if updated else []), *values.get("recipes", ()))
    return Settings(**values, endpoints={name: str(address).rstrip("/") for name, address in endpoints.items()})


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    # Imported here because every worker process imports this module, and few people have such a file.
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path}: not valid YAML: {error}") from error
    except OSError as error:
        raise UsageProblem(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict) or not isinstance(content.get("endpoints", {}), dict):
        raise UsageProblem(f"{path}: expected a mapping of settings")
    for written, name in (("cache.groups", "groups"), ("cache.layers", "cache_layers")):
        if written in content:
            content[name] = content.pop(written)
    if isinstance(content.get("credentials"), dict):
        content.update({f"credentials_{key}": value for key, value in content.pop("credentials").items()})
    return content


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {"endpoints": {}}
    for name, value in environment.items():
        if not name.startswith("MEDFETCH_") or not value:
            continue
        key = name.removeprefix("MEDFETCH_").lower()
        if key.startswith("endpoint_"):
            values["endpoints"][key.removeprefix("endpoint_")] = value
        elif key != "config":
            values[key] = value
    for name, own in (("hf", "HF_ENDPOINT"), ("redivis", "REDIVIS_API_ENDPOINT")):
        if environment.get(own):
            values["endpoints"].setdefault(name, environment[own])
    if netrc := environment.get("NETRC"):
        values["netrc"] = netrc
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if environment.get(name):
            values.setdefault("ca_bundle", environment[name])
    return values


def _converted(key: str, value: Any, where: str) -> Any:
    """A layer's value in the type that Settings wants."""
    if key in ("cache", "data", "netrc", "credentials_file"):
        return Path(value).expanduser().absolute()
    if key == "groups":
        pairs = dict(pair.partition("=")[::2] for pair in value.split(",")) if isinstance(value, str) else value
        if not isinstance(pairs, Mapping) or not all(pairs.values()):
            raise UsageProblem(f"{where}: {key} is {value!r}", hint="such as {physionet: mimic-users}")
        return {str(source): str(group) for source, group in pairs.items()}
    if key in ("recipes", "cache_layers"):
        paths = value.split(os.pathsep) if isinstance(value, str) else value
        return tuple(Path(path).expanduser().absolute() for path in paths)
    if key == "credentials_command":
        try:
            return tuple(shlex.split(value) if isinstance(value, str) else map(str, value))
        except (TypeError, ValueError):
            raise UsageProblem(f"{where}: {key} is not a command", hint="such as: pass show medfetch/{name}") from None
    try:
        if key in ("limit_rate", "reserve"):
            return value if isinstance(value, int) else parse_size(str(value))
        if key in ("jobs", "processes", "tries", "verbose"):
            if int(value) < (key != "verbose"):
                raise ValueError
            return int(value)
        if key in ("backoff", "patience"):
            return float(value)
    except ValueError:
        raise UsageProblem(f"{where}: {key} is {value!r}, expected a positive number") from None
    if key == "offline":
        return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes", "on")
    if key == "recipes_keys":
        return tuple(re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else map(str, value))
    if key in ("user_agent", "ca_bundle", "recipes_from"):
        return str(value)
    raise UsageProblem(f"{where}: there is no setting {key!r}", hint="see docs/settings.md")
