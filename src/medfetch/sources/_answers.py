"""What hosts' interfaces answer, as far as it is JSON. It must not know hosts."""

from __future__ import annotations

from typing import Any

from medfetch import checksum
from medfetch.errors import RecipeError, Retryable
from medfetch.types import Checksum


def told(answer: Any, whence: str) -> dict[str, Any]:
    """The object that a ``requests.Response`` holds; ``whence`` is the address or the host, for the message.

    Raises: Retryable where it is something else: a page of a proxy or of a host under repair, which passes.
    """
    content = _json(answer)
    if not isinstance(content, dict):
        raise Retryable(f"{whence} did not answer with JSON")
    return content


def rows(answer: Any, whence: str) -> list[dict[str, Any]]:
    """The list of objects that a ``requests.Response`` holds. Raises: likewise."""
    content = _json(answer)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise Retryable(f"{whence} did not answer with a list in JSON")
    return content


def digest(algorithm: str, value: Any) -> tuple[Checksum, ...]:
    """A checksum that a host tells; none where it tells none, or one of a kind that cannot be compared."""
    try:
        return (checksum.parse(f"{algorithm}:{value}"),)
    except RecipeError:
        return ()


def _json(answer: Any) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
