"""What the server saw and did: requests, bytes, connections, for tests that ask afterwards.

It must not know what is served, nor write to sockets.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace

from medfetch.sandbox.messages import Request

LOGGED = 20_000
"""Requests remembered."""
QUIET = 0.5
"""Seconds that a reader waits for running answers to end."""


@dataclass(slots=True)
class Entry:
    """What the server saw and did, for one request."""

    time: float
    """Seconds since 1970."""
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    status: int = 0
    answered: dict[str, str] = field(default_factory=dict)
    """Headers of the answer."""
    sent: int = 0
    """Bytes of the body given to the socket."""

    def header(self, name: str) -> str | None:
        """A header of the request."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(slots=True)
class Tally:
    requests: int = 0
    connections: int = 0
    """Opened so far."""
    most_connections: int = 0
    """Open at the same time."""
    most_requests: int = 0
    """Under way at the same time."""
    bytes: int = 0
    """Of all bodies, as given to sockets."""
    data_bytes: int = 0
    """Of files and archives only."""
    refused: int = 0
    """Connections reset as they were opened."""


def _established(connection: socket.socket) -> bool:
    """Whether the other side has not closed it; where the system does not say, it is believed."""
    if not hasattr(socket, "TCP_INFO"):
        return True
    try:
        # Twice: the state is read before a sender in the middle of its call is waited for, behind whom an end may wait.
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        # The first byte of struct tcp_info, in linux/tcp.h, is its state; 1 is that of RFC 9293's ESTABLISHED.
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\1"
    except OSError:
        return False


class Record:
    """Several threads write to it; who reads gets whole entries and right sums."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._log: deque[Entry] = deque(maxlen=LOGGED)
        self._tally = Tally()
        self._open: set[socket.socket] = set()
        self._running = 0

    def log(self) -> list[Entry]:
        """Oldest first."""
        with self._changed:
            self._settle()
            return [replace(entry) for entry in self._log]

    def tally(self) -> Tally:
        with self._changed:
            self._settle()
            return replace(self._tally)

    def connections(self) -> list[socket.socket]:
        with self._changed:
            return list(self._open)

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.add(connection)
            self._tally.connections += 1
            # Who is gone is noticed here only with the next byte for them: where it matters, the kernel is asked.
            if len(self._open) > self._tally.most_connections:
                here = sum(map(_established, self._open))
                self._tally.most_connections = max(self._tally.most_connections, here)

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)

    def refused(self) -> None:
        with self._changed:
            self._tally.refused += 1

    def began(self, request: Request) -> Entry:
        body = request.body[:4000].decode("utf-8", "replace")
        entry = Entry(time.time(), request.method, request.target, request.headers, body)
        with self._changed:
            self._log.append(entry)
            self._running += 1
            self._tally.requests += 1
            self._tally.most_requests = max(self._tally.most_requests, self._running)
        return entry

    def sent(self, entry: Entry, count: int, is_data: bool) -> None:
        with self._changed:
            entry.sent += count
            self._tally.bytes += count
            self._tally.data_bytes += count * is_data

    def ended(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _settle(self) -> None:
        """A client may have read the last byte before its sender has noted it; long answers are not waited for."""
        self._changed.wait_for(lambda: self._running == 0, QUIET)
