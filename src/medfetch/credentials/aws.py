"""AWS keys as Amazon's own tools find them, for it is botocore that looks. It must not know what they sign.

botocore's order: keys in the environment (with AWS_SESSION_TOKEN), a role that the profile assumes or a web identity,
the profile (AWS_PROFILE, else ``default``) with single sign-on, in the shared credentials file, with
``credential_process``, in the configuration file; then the role of a container, and of a machine at Amazon. Read in
botocore 1.44.8 (credentials.py, ``create_credential_resolver``), 2026-11-29.
"""

from __future__ import annotations

from typing import Any

from medfetch.config import Settings
from medfetch.credentials.kinds import AccessKey, Found
from medfetch.errors import UsageProblem

BY_NETWORK = ("assume-role", "assume-role-with-web-identity", "sso", "login", "container-role", "iam-role")
"""botocore's names of the ways that have to ask a host."""


def look(_: str, settings: Settings, *, pays: bool = False) -> Found | None:
    """The keys of a person's account; without the network only what is on this machine.

    Raises: UsageProblem where there is no such profile, half a key, or one that cannot be renewed.
    """
    from botocore.exceptions import BotoCoreError, ConfigParseError  # a fifth of a second
    from botocore.session import Session

    session = Session()
    try:
        resolver = session.get_component("credential_provider")
        for way in BY_NETWORK if settings.offline else ():
            resolver.remove(way)
        found: Any = resolver.load_credentials()
        if found is None:
            return None
        keys = found.get_frozen_credentials()
        profile = session.get_config_variable("profile") or "default"
    except ConfigParseError as error:  # its message quotes the line
        raise UsageProblem(f"AWS's configuration cannot be read: {error.kwargs.get('path')}") from None
    except BotoCoreError as error:
        raise UsageProblem(f"AWS's own tools would find no keys: {error}", hint="run: aws configure") from None
    where = "the environment" if found.method == "env" else f"the profile {profile} ({found.method})"
    return Found(AccessKey(keys.access_key, keys.secret_key, keys.token, pays), where)


def look_for_payer(name: str, settings: Settings) -> Found | None:
    """The same, of an account that is to be charged. Raises: likewise."""
    return look(name, settings, pays=True)
