"""Google's Application Default Credentials, for it is google-auth that looks. It must not know what they open.

Its order: the file ``GOOGLE_APPLICATION_CREDENTIALS``, what ``gcloud auth application-default login`` left, the account
of a machine at Google. The project that is charged is ``GOOGLE_CLOUD_PROJECT``, else the credentials' own
``quota_project_id``; the project that an account happens to belong to is not taken for it. Read in google-auth 2.63.0
(_default.py, ``default``; environment_vars.py; credentials.py, ``CredentialsWithQuotaProject``), 2026-11-29.
"""

from __future__ import annotations

import logging
import time
import warnings
from datetime import UTC
from typing import Any

from medfetch.config import Settings, variable
from medfetch.credentials import guard
from medfetch.credentials.kinds import BilledToken, Found, GoogleLogin, Token
from medfetch.errors import Refused, Retryable, UsageProblem

SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
"""google-cloud-storage 3.17.1, client.py, ``SCOPE``: the narrowest of them that reads."""
LOGIN = "run: gcloud auth application-default login"
SET_PROJECT = "set GOOGLE_CLOUD_PROJECT, or run: gcloud auth application-default set-quota-project PROJECT"
UNTOLD = 300.0
"""Seconds that a token is used for which nobody tells how long it lives."""


def look(_: str, settings: Settings) -> Found | None:
    """A person's log-in at Google; without the network only what is on this machine.

    Raises: UsageProblem where it is there and cannot be read.
    """
    found = _default(settings)
    if found is None:
        return None
    return Found(GoogleLogin(lambda: _granted(found, None)), "Application Default Credentials")


def look_for_payer(_: str, settings: Settings) -> Found | None:
    """The same, with the project that is to be charged. Raises: likewise, and where none is named."""
    found = _default(settings)
    if found is None:
        return None
    project = variable("GOOGLE_CLOUD_PROJECT") or getattr(found, "quota_project_id", None)
    if not project:
        raise UsageProblem("nobody says which project at Google is to be charged", hint=SET_PROJECT)
    said = f"Application Default Credentials, and the project {project} pays"
    return Found(GoogleLogin(lambda: _granted(found, project)), said)


def _default(settings: Settings) -> Any:
    from google.auth import default  # a fifth of a second
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError

    def nobody(*_: Any, **__: Any) -> Any:
        raise TransportError("without the network")  # type: ignore[no-untyped-call]

    # What it warns of, that there is no log-in or no project, is said here where it matters.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    request: Any = nobody if settings.offline else None
    try:
        with warnings.catch_warnings(action="ignore"):
            return default(scopes=[SCOPE], request=request)[0]
    except DefaultCredentialsError as error:
        # Google's text for "there are none" is also that of a file that is named and not there.
        if variable("GOOGLE_APPLICATION_CREDENTIALS"):
            raise UsageProblem("the file GOOGLE_APPLICATION_CREDENTIALS cannot be used", hint=LOGIN) from None
        if "not found" in str(error):
            return None
        raise UsageProblem("Google's Application Default Credentials cannot be used", hint=LOGIN) from None
    except (GoogleAuthError, ValueError):  # their messages may quote what is in the file
        raise UsageProblem("Google's Application Default Credentials cannot be used", hint=LOGIN) from None


def _granted(found: Any, project: str | None) -> tuple[Token, float]:
    """The token, and until when it is good, in seconds since 1970.

    Raises: Refused where Google gives none; Retryable.
    """
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request

    try:
        found.refresh(Request())
    except TransportError:
        raise Retryable("Google's host for tokens cannot be reached", reached=False) from None
    except GoogleAuthError as error:
        if error.retryable:
            raise Retryable("Google's host for tokens has trouble") from None
        raise Refused(f"Google gave no token for the Application Default Credentials; {LOGIN}") from None
    token = BilledToken(found.token, project) if project else Token(found.token)
    guard.watch(token)
    return token, found.expiry.replace(tzinfo=UTC).timestamp() if found.expiry else time.time() + UNTOLD
