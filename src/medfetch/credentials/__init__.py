"""Secrets by name, found where the hosts' own tools keep them; never printed or logged. Nobody else looks for any.

It must not know what a secret is used for. The order is always the same: the host's own tools in their own order (a
module each), what ``medfetch login`` kept (``own_file``), then a vault's program (``command``). In a rehearsal nothing
of this machine is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from medfetch.config import Settings
from medfetch.credentials import (
    aws,
    command,
    gen3,
    google,
    guard,
    hugging_face,
    kaggle,
    netrc,
    own_file,
    synapse,
    tokens,
)
from medfetch.credentials.kinds import (
    AccessKey,
    ApiKey,
    BilledToken,
    Found,
    GoogleLogin,
    HeaderToken,
    Kept,
    Login,
    RefreshToken,
    Secret,
    Token,
    made_up,
    sound,
)
from medfetch.errors import UsageProblem

__all__ = [
    "BY_AWS", "KEEPERS", "KINDS", "AccessKey", "ApiKey", "BilledToken", "GoogleLogin", "HeaderToken", "Kept", "Login",
    "RefreshToken", "Secret", "Token", "checked", "find", "where",
]  # fmt: skip

KINDS: Mapping[str, Callable[[str, Settings], Found | None]] = {
    "aws": aws.look,
    "aws-payer": aws.look_for_payer,
    "dataverse": tokens.dataverse,
    "gcp": google.look,
    "gcp-payer": google.look_for_payer,
    "gen3": gen3.look,
    "github": tokens.github,
    "grand-challenge": tokens.grand_challenge,
    "hf": hugging_face.look,
    "kaggle": kaggle.look,
    "loris": netrc.look,
    "netrc": netrc.look,
    "osf": tokens.osf,
    "openneuro": tokens.openneuro,
    "physionet": tokens.physionet,
    "redivis": tokens.redivis,
    "synapse": synapse.look,
    "zenodo": tokens.zenodo,
    "xnat": netrc.look,
}
"""By the first part of a name, how the host's own tools look."""
BY_AWS = ("aws", "aws-payer")
"""Those that sign; of the second the account is charged for what it is given."""
KEEPERS = {
    **dict.fromkeys(BY_AWS, ("AWS's", "aws configure")),
    **dict.fromkeys(("gcp", "gcp-payer"), ("Google's", "gcloud auth application-default login")),
}
"""Kinds that their owners' own tools alone keep: whose, and the command that does."""
BY_HOST = ("dataverse", "gen3", "loris", "netrc", "xnat")
"""Kinds of which there is one for each host: ``gen3:HOST``."""
HOST = re.compile(r"[A-Za-z0-9_\[\]:][A-Za-z0-9_.:\[\]-]*")
"""What may stand in a command's arguments and in a file's name."""


def find(name: str, settings: Settings) -> Kept | None:
    """The secret of that name; None where there is none.

    Raises: UsageProblem where there is no such name, or a file that should hold it is damaged or open to others.
    """
    found = _found(name, settings)
    return found.secret if found else None


def where(name: str, settings: Settings) -> str | None:
    """Where the secret of that name is found, for a person; None where there is none. Raises: as ``find``."""
    found = _found(name, settings)
    return found.where if found else None


def checked(name: str) -> tuple[str, str]:
    """Kind and host of a name; the host is empty where a kind has but one secret.

    Raises: UsageProblem, which lists the names.
    """
    kind, _, host = name.partition(":")
    if kind not in KINDS or bool(host) != (kind in BY_HOST) or (host and not HOST.fullmatch(host)):
        known = ", ".join(f"{each}:HOST" if each in BY_HOST else each for each in KINDS)
        raise UsageProblem(f"{name!r} is no credential that medfetch knows", hint=f"expected one of {known}")
    return kind, host


def _found(name: str, settings: Settings) -> Found | None:
    kind, host = checked(name)
    if settings.sandbox:
        # A person's own secrets are for the real hosts; there is nothing to keep out of texts here.
        content = settings.made_up.get(kind)
        return Found(made_up(kind, content), "the sandbox") if content else None
    found = KINDS[kind](host, settings)
    if kind not in KEEPERS:
        found = found or own_file.look(name, settings) or command.look(name, settings)
    if found:
        try:
            guard.watch(sound(found.secret))
        except ValueError as error:
            raise UsageProblem(f"{name}, from {found.where}, cannot be right: {error}") from None
    return found
