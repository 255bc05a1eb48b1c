"""What hosts' interfaces answer, as far as it is an object of JSON. It must not know hosts."""

from __future__ import annotations

from typing import Any

from medfetch.errors import Retryable


def told(answer: Any, whence: str) -> dict[str, Any]:
    """The object that a ``requests.Response`` holds; ``whence`` is the address or the host, for the message.

    Raises: Retryable where it is something else: a page of a proxy or of a host under repair, which passes.
    """
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Retryable(f"{whence} did not answer with JSON")
    return content
