"""Whether AWS's own tools have an account to use. What they keep is not read: only they sign with it.

Their order: keys in the environment, then the profile (AWS_PROFILE, else ``default``) in the shared credentials file,
then in the configuration file (boto3's guide "Credentials"; roles of machines and containers are not looked for).
"""

from __future__ import annotations

import configparser
from pathlib import Path

from medfetch.config import Settings, variable
from medfetch.credentials import reading
from medfetch.credentials.kinds import Found
from medfetch.errors import UsageProblem

BEARING = {"aws_access_key_id", "credential_process", "role_arn", "sso_session", "sso_start_url"}
"""A profile with one of these has an account."""


def look(_: str, settings: Settings) -> Found | None:
    if variable("AWS_ACCESS_KEY_ID") and variable("AWS_SECRET_ACCESS_KEY"):
        return Found(None, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    profile = variable("AWS_PROFILE") or "default"
    for name, default, section in (
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
        ("AWS_CONFIG_FILE", "~/.aws/config", profile if profile == "default" else f"profile {profile}"),
    ):
        path = Path(variable(name) or default).expanduser()
        if BEARING & _keys(path, section):
            return Found(None, f"the profile {profile} in {path}")
    return None


def _keys(path: Path, section: str) -> set[str]:
    parsed = configparser.RawConfigParser()
    try:
        parsed.read_string(reading.text(path) or "")
    except configparser.Error:  # its message quotes the line
        raise UsageProblem(f"{path}: not an INI file") from None
    return set(parsed[section]) if parsed.has_section(section) else set()
