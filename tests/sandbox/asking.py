"""A client that shows a server's answers as they are."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from medfetch.sandbox import Sandbox


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def ask(box: Sandbox, target: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Reply:
    """One request on a connection of its own; ``If_Range="x"`` sends ``If-Range: x``."""
    connection = http.client.HTTPConnection("127.0.0.1", box.port, timeout=20)
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
