"""Requests that are performed together in one thread: each as ``layers.Paced`` would, but none waits for its turn.

A thread for each would take turns with all others for every 16 KiB that libcurl hands out, which costs as much as to
receive, hash and write them. It must not know files, retry, or look for credentials.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from medfetch.errors import Retryable
from medfetch.hosts import Host, Hosts, Slot
from medfetch.net.http import Answer, Crowd, Curl, Receiver
from medfetch.net.layers import connections, log, shown, wished
from medfetch.types import Request, Traits

End = Callable[[], Answer]
"""What came of a request; raises as ``Getter.get``."""


class _Started(NamedTuple):
    url: str
    host: Host
    slot: Slot
    done: Callable[[End], None]
    at: float


class Together:
    """Requests under way, of any number of hosts; all methods are for one thread."""

    def __init__(self, client: Callable[[Slot], Curl], hosts: Hosts) -> None:
        """``client`` gives the client that holds a slot's connection open."""
        self._client, self._hosts, self._crowd = client, hosts, Crowd()
        self._started: dict[Curl, _Started] = {}

    def __len__(self) -> int:
        return len(self._started)

    def start(
        self, request: Request, receiver: Receiver, traits: Traits, patience: float, done: Callable[[End], None]
    ) -> bool:
        """Begins a request without a credential, if its host has a connection to spare just now; else False."""
        host = self._hosts.of(request.url)
        slot = host.offer(connections(traits, request.url))
        if slot is None:
            return False
        client = self._client(slot)
        client.begin(request.url, request.headers, receiver, secret=None, patience=patience)
        self._started[client] = _Started(request.url, host, slot, done, time.monotonic())
        self._crowd.add(client)
        return True

    def turn(self, seconds: float, refill: Callable[[], None]) -> None:
        """Waits at most so long for bytes, passes them on, and tells of the requests that are through.

        ``refill`` may start others, which are on their way before anybody is told: what is done with a response must
        not keep the host waiting.
        """
        through: list[tuple[Callable[[End], None], End]] = []
        for client, failure in self._crowd.turn(seconds):
            started = self._started.pop(client)
            try:
                answer = client.end(failure)
            except Exception as error:
                end = _raising(error)
                if isinstance(error, Retryable):
                    log.debug("GET %s: %s", shown(started.url), error.message)
            else:
                end = _giving(answer)
                # While the connection is still ours: nobody shall ask in between.
                if wait := wished(answer.status, answer.headers):
                    started.host.pause(wait)
                if log.isEnabledFor(logging.DEBUG):
                    log.debug("GET %s: %d in %.3f s", shown(started.url), answer.status, time.monotonic() - started.at)
            started.host.give(started.slot)
            through.append((started.done, end))
            refill()
        if through:
            self._crowd.perform()
        for done, end in through:
            done(end)

    def close(self) -> None:
        """Breaks off what is under way: as if the process were stopped."""
        for client in self._crowd.drop():
            started = self._started.pop(client)
            started.host.give(started.slot)
            started.done(_raising(InterruptedError()))
        self._crowd.close()


def _giving(answer: Answer) -> End:
    return lambda: answer


def _raising(error: BaseException) -> End:
    def end() -> Answer:
        raise error

    return end
