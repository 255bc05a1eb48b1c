"""Names the project that Google charges, on requests that a person pays for. It must not know where it was found.

By the parameter ``userProject``, as google-cloud-storage 3.17.1 does for lists (client.py, ``list_blobs``) and for
bytes (blob.py, ``_get_download_url``); read 2026-11-29.
"""

from __future__ import annotations

from urllib.parse import urlencode

from medfetch.credentials import BilledToken, Secret


def billed(url: str, secret: Secret | None) -> str:
    """The address to ask: with the project behind it, where the secret has one."""
    if not isinstance(secret, BilledToken):
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'userProject': secret.project})}"
