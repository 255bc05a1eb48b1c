"""Signed links to storage at another origin, each good for a while, or for some uses. It must not know sockets."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

from medfetch.sandbox.messages import Request

T = TypeVar("T")


@dataclass(slots=True)
class _Link(Generic[T]):
    content: T
    uses: int | None
    expires: float


class Signing(Generic[T]):
    """A host that signs links to what it has; ``uses`` and ``life`` (seconds) say how long a new one is good."""

    def __init__(self, life: float) -> None:
        self.uses: int | None = None
        self.life = life
        self._links: dict[str, _Link[T]] = {}
        self._number = itertools.count()
        self._lock = threading.Lock()

    def sign(self, content: T) -> str:
        """A new signature for it."""
        with self._lock:
            signature = f"{next(self._number):032x}"
            self._links[signature] = _Link(content, self.uses, time.time() + self.life)
        return signature

    def signed(self, signature: str) -> T | None:
        """What it is for, used once more; None where it is over or nobody signed it."""
        with self._lock:
            link = self._links.get(signature)
            if link is None or link.expires < time.time() or link.uses == 0:
                return None
            if link.uses is not None:
                link.uses -= 1
            return link.content


def elsewhere(request: Request) -> str:
    """The sandbox as another origin: by the other name of this machine."""
    host, colon, port = (request.header("host") or "").partition(":")
    return f"http://{'127.0.0.1' if host == 'localhost' else 'localhost'}{colon}{port}"
