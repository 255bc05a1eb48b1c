"""nginx on loopback, plain and over TLS, perhaps behind a link with delay and a limit; and what it sent.

It must not know who asks.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from bench.data import Data

HOST = "127.0.0.1"
SETTLED = 0.1
"""Seconds without another line after which the access log is complete."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the server did for one run."""

    bytes: int
    """Of bodies."""
    requests: int
    connections: int
    """Over the whole run, not at once."""


@dataclass(slots=True)
class Server:
    port: int
    authority: Path | None
    """The certificate to trust, as PEM; None without TLS."""
    log: Path
    _read: int = field(default=0)

    @property
    def origin(self) -> str:
        return f"http{'s' if self.authority else ''}://{HOST}:{self.port}"

    def sent(self) -> Sent:
        """What was sent since this was asked the last time."""
        size = -1
        # A line is written after its last byte was sent: the client may be done before.
        while size != (size := self.log.stat().st_size):
            time.sleep(SETTLED)
        with open(self.log) as file:
            file.seek(self._read)
            lines = [line.split() for line in file]
            self._read = file.tell()
        return Sent(sum(int(line[1]) for line in lines), len(lines), len({line[0] for line in lines}))


def nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@contextmanager
def serving(data: Data, folder: Path, *, tls: bool, link: Path | None, delay: float, rate: int) -> Iterator[Server]:
    """A server of ``data`` under ``/data/``, and as the S3 bucket ``data``; ``folder`` is for its own files.

    ``delay`` seconds in each direction and ``rate`` bytes per second and connection are the doing of the program
    ``link`` (link.c), through which all goes if one of them is given.
    """
    port = free_port()
    (folder / "bucket.xml").write_text(_bucket(data))
    authority = _certificates(folder) if tls else None
    secure = f"ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;" if tls else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"""{"user root;" if os.getuid() == 0 else ""}
        daemon off; pid {folder}/pid; error_log {folder}/error.log;
        worker_processes auto;
        events {{ worker_connections 1024; }}
        http {{
          {temporary}
          log_format sent '$connection $body_bytes_sent';
          access_log {folder}/access.log sent;
          sendfile on; tcp_nopush on; keepalive_requests 10000000; keepalive_timeout 600;
          server {{
            listen {HOST}:{port}{" ssl" if tls else ""}; {secure}
            location /data/ {{ alias {data.folder}/; autoindex on; }}
            location = /data {{ default_type application/xml; alias {folder}/bucket.xml; }}
          }}
        }}"""
    )
    program = nginx_program()
    assert program
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with _running(command, port):
        log = folder / "access.log"
        if link is None or not (delay or rate):
            yield Server(port, authority, log)
        else:
            outer = free_port()
            with _running([str(link), str(outer), str(port), str(round(delay * 1e6)), str(rate)], outer):
                yield Server(outer, authority, log)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command) as process:
        try:
            for _ in range(500):
                with socket.socket() as probe:
                    if probe.connect_ex((HOST, port)) == 0:
                        break
                time.sleep(0.02)
            else:
                raise RuntimeError(f"{command[0]} does not listen on port {port}")
            yield
        finally:
            process.terminate()


def _bucket(data: Data) -> str:
    """The answer to ListObjectsV2 that names all files at once; a real S3 would take a request for each thousand."""
    date = "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    keys = "".join(f"<Contents><Key>{file.path}</Key>{date}<Size>{file.size}</Size></Contents>" for file in data.files)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>data</Name><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
    )


def _certificates(folder: Path) -> Path:
    """A private authority, and a certificate of it for the server beside it."""
    authority = trustme.CA()
    authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    return folder / "authority.pem"
