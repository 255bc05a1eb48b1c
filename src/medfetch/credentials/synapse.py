"""Synapse's token as synapseclient 4.14.0 finds it: ~/.synapseConfig, then SYNAPSE_AUTH_TOKEN.

In the file it stands under ``[profile NAME]`` where SYNAPSE_PROFILE says so, else under ``[default]``, else, as in
older versions, under ``[authentication]``. Read in its credential_provider.py and configuration_services.py,
2026-11-20. It must not know what the token is used for.
"""

from __future__ import annotations

import configparser
from pathlib import Path

from medfetch.config import Settings, variable
from medfetch.credentials import reading
from medfetch.credentials.kinds import Found, Token
from medfetch.errors import UsageProblem


def look(_: str, settings: Settings) -> Found | None:
    """Raises: UsageProblem where the file cannot be parsed, or has not the profile that was asked for."""
    path = Path("~/.synapseConfig").expanduser()
    profile = variable("SYNAPSE_PROFILE")
    if value := _in_file(path, None if profile == "default" else profile):
        return Found(Token(value), reading.place(path))
    if value := variable("SYNAPSE_AUTH_TOKEN"):
        return Found(Token(value), "SYNAPSE_AUTH_TOKEN")
    return None


def _in_file(path: Path, profile: str | None) -> str | None:
    parsed = configparser.RawConfigParser()
    try:
        parsed.read_string(reading.text(path) or "")
    except configparser.Error:  # its message quotes the line
        raise UsageProblem(f"{path}: not an INI file") from None
    if profile and not parsed.has_section(f"profile {profile}"):
        raise UsageProblem(f"{path}: there is no [profile {profile}]", hint="SYNAPSE_PROFILE asks for it")
    sections = [f"profile {profile}"] if profile else ["default", "authentication"]
    # The first of them that holds anything is the one that counts.
    first = next((parsed[each] for each in sections if parsed.has_section(each) and parsed[each]), None)
    return first.get("authtoken") if first else None
