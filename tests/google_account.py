"""A service account whose tokens the sandbox gives, as Google's own tools read it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from medfetch.sandbox import Sandbox
from medfetch.sandbox.gcs import PROJECT


@cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def account(box: Sandbox, home: Path, project: str | None = PROJECT) -> dict[str, str]:
    """The variables of a person who is logged in; ``project`` is charged, for nobody says so if it is None."""
    path = home / "account.json"
    content = {
        "type": "service_account", "client_email": "me@example.org", "private_key": private_key(),
        "project_id": "the-accounts-own", "token_uri": f"{box.endpoints['gcs']}/token",
    }  # fmt: skip
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)} | ({"GOOGLE_CLOUD_PROJECT": project} if project else {})
