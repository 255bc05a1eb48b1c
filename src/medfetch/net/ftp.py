"""What an FTP server's replies say, in the terms of an HTTP answer: status, length, range and date.

It must not know libcurl, which speaks the protocol (RFC 959, 2428, 3659).
"""

from __future__ import annotations

import datetime
import email.utils
import re
from collections.abc import Mapping

from medfetch.errors import Refused, Retryable

REPLY = re.compile(rb"([1-5][0-9]{2}) (.*)")
"""The last line of a reply; earlier ones have a hyphen behind the number."""
MOMENT = re.compile(r"(?:19|20)[0-9]{12}(?:\.[0-9]+)?")
"""How MDTM tells when a file was changed, in UTC (RFC 3659, 2.3)."""
BEGINS = (b"125", b"150")
CROWDED = re.compile(r"too many|maximum|limit|already connected|try (again )?later|full|busy", re.IGNORECASE)
"""What servers say of a log-in that they refuse only for now, though their code (530) says for good."""
LOG_IN = (332, 530, 532)
UNKNOWN_COMMAND = (500, 501, 502, 504)
NOT_IMPLEMENTED = 501
"""The status of what a server does not understand."""


def is_ftp(url: str) -> bool:
    return url[:6].lower() in ("ftp://", "ftps:/")


def head(lines: list[bytes], start: int, *, over: bool = False) -> tuple[int, dict[str, str]]:
    """Status and headers that the replies amount to; 0 where no data has begun, unless the transfer is ``over``.

    ``start``: the byte from which on it was asked for (REST).
    """
    if not over and not any(line[:3] in BEGINS for line in lines):
        return 0, {}
    told = [line[4:].strip().decode("latin-1") for line in lines if line[:4] == b"213 "]
    headers: dict[str, str] = {}
    if told and MOMENT.fullmatch(told[0]):
        changed = datetime.datetime.strptime(told.pop(0)[:14], "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
        headers["last-modified"] = email.utils.format_datetime(changed, usegmt=True)
    size = int(told[-1]) if told and told[-1].isdecimal() else None
    if start:
        headers["content-range"] = f"bytes {start}-{max(start, (size or 0) - 1)}/{'*' if size is None else size}"
        return 206, headers
    if size is not None:
        headers["content-length"] = str(size)
    return 200, headers


def start_of(headers: Mapping[str, str]) -> int:
    """The byte from which on a request's ``Range`` asks; 0 without one."""
    found = re.fullmatch(r"bytes=([0-9]+)-", headers.get("Range", ""))
    return int(found[1]) if found else 0


def refusal(lines: list[bytes], host: str) -> Refused | Retryable | None:
    """The error for a transfer that failed, if the server's last word tells why."""
    replies = [found for line in lines if (found := REPLY.match(line.strip()))]
    if not replies or replies[-1][1] < b"400":
        return None
    code = int(replies[-1][1])
    text = "".join(each for each in replies[-1][2].decode("utf-8", "replace") if each.isprintable())[:200]
    said = f"{host} answered {code}: {text}"
    if code < 500 or (code in LOG_IN and CROWDED.search(text)):
        return Retryable(said)
    if code in LOG_IN:
        return Refused(f"{said} (it wants a log-in)", status=401)
    if code in UNKNOWN_COMMAND:
        return Refused(said, status=NOT_IMPLEMENTED)
    return Refused(f"{said} (no such file there, or no permission)", status=404)
