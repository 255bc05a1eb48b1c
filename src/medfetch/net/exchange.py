"""Exchanges what a person keeps for a token that lives for minutes or hours. It must not know who uses the token.

Gen3: Fence's ``/credentials/cdis/access_token``. Kaggle: what its own client does (kagglesdk 0.1.37, kaggle_creds.py,
read 2026-11-29): the refresh token that ``kaggle auth login`` left gives a token for twelve hours. It is asked for
here at the address that kagglesdk declares for that call. Neither answer changes what is kept. LORIS: a user
name and a password at ``/login`` (docs/API/LorisRESTAPI_v0.0.3.md of aces/Loris, 1.1, read 2026-11-29).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from medfetch.credentials import ApiKey, Login, RefreshToken, Token, gen3, guard
from medfetch.errors import Refused
from medfetch.hosts import host_of

LIFE = 12 * 3600
"""Seconds that a token of Kaggle's is asked for; its own client asks for as many."""
UNTOLD = 300.0
"""Seconds that a token is used for which nobody tells how long it lives."""
BY_LOGIN = ("loris",)
"""Kinds whose user name and password go to one address only, which gives a token for them."""
Post = Callable[[str, Mapping[str, str]], Any]
"""Posts JSON to an address; gives the answer, and follows no redirect, which could take it along."""


def exchanged(kept: ApiKey | RefreshToken | Login, base: str, post: Post) -> tuple[Token, float]:
    """The token, and until when it is good, in seconds since 1970; ``base``: where its host's interface is.

    Raises: Refused, which says how to get another key; Retryable.
    """
    match kept:
        case ApiKey(key, identifier):
            url, content = f"{base}/user/credentials/cdis/access_token", {"api_key": key, "key_id": identifier}
            what, field, hint = "the API key", "access_token", "keys lapse: make a new one in your profile there"
        case RefreshToken(value):
            content = {"refreshToken": value, "apiVersion": "API_VERSION_V1", "expirationDuration": f"{LIFE}s"}
            url, what, field, hint = f"{base}/api/v1/access-tokens/generate", "the log-in", "token", kept.renewal
        case Login(user, password):
            url, content = f"{base}/api/v0.0.3/login", {"username": user, "password": password}
            what, field, hint = (
                "the log-in",
                "token",
                "see whether it is right: you log in with it on the host's page, too",
            )
    try:
        answer = post(url, content).json()
        token = Token(str(answer[field]))
    except Refused as error:
        said = f"{host_of(url)} did not take {what}: {error.message}"
        raise Refused(said, status=error.status, hint=hint) from None
    except (ValueError, KeyError, TypeError):
        raise Refused(f"{host_of(url)} gave no access token for {what}", hint=hint) from None
    guard.watch(token)
    lapses, life = gen3.claims(token.value).get("exp"), answer.get("expiresIn")
    if isinstance(lapses, (int, float)):
        return token, lapses
    return token, time.time() + (life if isinstance(life, (int, float)) else UNTOLD)
