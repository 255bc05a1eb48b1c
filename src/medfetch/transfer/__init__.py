"""One file, from the first of its addresses that has it. It must not know sources, plans or SQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medfetch.errors import IntegrityError, MedfetchError, Refused, Retryable, Unreachable
from medfetch.hosts import Hosts, host_of
from medfetch.net.http import Answer, Receiver
from medfetch.net.layers import Getter
from medfetch.transfer.download import Download, Fetched, Terms
from medfetch.types import RemoteFile


def fetch_file(
    file: RemoteFile, partial: Path, getter: Getter, hosts: Hosts, terms: Terms, begun: FirstAttempt | None = None
) -> Fetched:
    """Fetches ``file`` into ``partial``, going on from what is there, from the first address that has it.

    ``begun``: the first attempt, which has failed.
    Raises:
        IntegrityError: what arrived was wrong, even after retries; nothing of it is kept.
        Refused, Retryable, Unreachable: no address gave it; the partial is kept.
        DiskFull, InterruptedError: the partial is kept.
    """
    failures: list[MedfetchError] = []
    for number, url in enumerate(file.urls):
        try:
            if begun and number == 0:
                return begun.download.run(begun.failure)
            return Download(file, url, number == 0, str(partial), getter, hosts, terms).run()
        except (IntegrityError, Refused, Retryable) as error:
            failures.append(error)
            if isinstance(error, Retryable) and not error.reached:
                hosts.mark_down(url)
            if number + 1 < len(file.urls):
                terms.said(f"{error.message}; trying {host_of(file.urls[number + 1])}")
    raise _worst(failures, file.path)


def _worst(failures: list[MedfetchError], path: str) -> MedfetchError:
    """One error for several addresses' failures: wrong bytes weigh most, an unreachable host least."""
    nobody = all(isinstance(error, Retryable) and not error.reached for error in failures)
    if len(failures) == 1 and not nobody:
        return failures[0]
    text = "; ".join(dict.fromkeys(error.message for error in failures)) or f"{path} has no address"
    for kind in (IntegrityError, Refused):
        if any(isinstance(error, kind) for error in failures):
            return kind(text)
    return Unreachable(text) if failures and nobody else Retryable(text)


class FirstAttempt:
    """The first attempt at a file of which nothing is here yet, for one who performs many together."""

    def __init__(self, file: RemoteFile, partial: str, getter: Getter, hosts: Hosts, terms: Terms) -> None:
        self.download = Download(file, file.urls[0], True, partial, getter, hosts, terms)
        self.request = self.download.request()
        self.receiver: Receiver = self.download
        self.failure: Exception | None = None

    def end(self, answer: Callable[[], Answer]) -> Fetched:
        """The file, when the response is over; ``answer`` raises what went wrong on the way.

        Raises: why it has to be tried again, by ``fetch_file``.
        """
        try:
            answer()
            return self.download.received()
        except Exception as error:
            self.failure = error
            raise
        finally:
            self.download.partial.close()
