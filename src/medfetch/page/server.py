"""The page on loopback, for whoever has its address. It must not know what the page shows.

Who may ask: the address has a token of 256 bits, compared in constant time, so no other user of the machine and no
page in the same browser finds it. The ``Host`` header must be our own, so a name of somebody else's that is made to
lead to 127.0.0.1 (DNS rebinding) leads nowhere. The page sends no referrer, so that no link tells the token.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from medfetch.errors import MedfetchError, UsageProblem

LOOPBACK = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # which a page cannot say of itself
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PATIENCE = 10.0
"""Seconds for a request to come."""


class Server(ThreadingHTTPServer):
    """Answers GET of one address with what ``make`` makes, anew each time; a context manager.

    Raises: UsageProblem where the port is not to be had.
    """

    def __init__(self, port: int, make: Callable[[], str]) -> None:
        try:
            super().__init__((LOOPBACK, port), _Request)
        except OSError as error:
            raise UsageProblem(
                f"port {port} cannot be had: {error.strerror}", hint="another --port, or none: a free one is taken"
            ) from error
        self.make = make
        self.one_at_a_time = threading.Lock()
        self.path = f"/{secrets.token_urlsafe(32)}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser that was given our address says in ``Host``."""
        return tuple(f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost"))

    @property
    def address(self) -> str:
        return f"http://{self.hosts[0]}{self.path}"


class _Request(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "medfetch", ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "This is not the address of the catalogue.\n")
        elif not hmac.compare_digest(self.path.encode(), self.server.path.encode()):
            self._answer(HTTPStatus.NOT_FOUND, "The address that medfetch printed has more to it.\n")
        else:
            self._page()

    def _page(self) -> None:
        try:
            with self.server.one_at_a_time:
                page = self.server.make()
        except MedfetchError as error:
            hint = f"{error.hint}\n" if error.hint else ""
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error.message}\n{hint}")
        else:
            self._answer(HTTPStatus.OK, page, "text/html")

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tells nobody: the token is in every request."""
